"""Formats of weights that serving engines have kernels for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...deployment.engine_flags import flag_of
from ...formats.table import FORMATS
from ..tactic import Option, Options, Refusal
from ..traffic_tactic import TrafficTactic

if TYPE_CHECKING:
    from ..case import Case
    from ..setups import Setup

_OF_ENGINES = {
    "vllm": ("fp8_dynamic", "fp8_wo", "int8_dynamic", "int8_wo", "int4_awq", "int4_gptq", "nvfp4_dynamic"),
    "sglang": ("fp8_dynamic", "int8_dynamic", "int4_awq", "int4_gptq", "nvfp4_dynamic"),
    "trtllm": ("fp8_static", "int8_wo", "int4_wo", "int4_awq", "nvfp4_dynamic"),
}
"""Engine -> formats of checkpoints that it serves."""

_BUILDS = {"fp8_dynamic": "setting"}
"""Formats that an engine makes as it loads a checkpoint of 16-bit weights; others are checkpoints of their own."""


class ServedFormats(TrafficTactic):
    """Weights of 8 or 4 bits."""

    name = "served_formats"
    screened = True
    title = "8-bit and 4-bit weights"
    group = "formats"
    risk = "small"
    effort = "build"

    def offered(self, setup: Setup, case: Case) -> Options:
        """Offer formats that the engine serves, and whose products the machine has an engine for."""
        on = setup.on
        if on.engine not in _OF_ENGINES:
            return Options((), [Refusal(text="formats of weights", why=f"engine {on.engine} serves none of them")])
        if on.precision == "fp8":
            return Options((), [Refusal(text="formats of weights", why="weights are in fp8 already")])
        found, refused = [], []
        for name in _OF_ENGINES[on.engine]:
            form = FORMATS[name]
            if name == setup.variant.quantize:
                continue
            # A kernel that dequantizes weights needs no unit for their dtype; one that multiplies them does.
            if form.activation is not None and form.dtype not in on.machine.matrix_flop_per_s:
                why = f"{on.machine.id} has no matrix unit for {form.dtype}"
                refused.append(Refusal(text=name, why=why))
                continue
            found.append(
                Option(
                    text=f"{name} weights",
                    change={"quantize": name},
                    effort=_BUILDS.get(name, ""),
                    published=name,
                    apply=flag_of(on.engine, "quantize", name),
                )
            )
        return Options(found, refused)
