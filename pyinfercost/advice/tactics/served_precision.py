"""Precision of a serving engine: 16-bit floats, or products of 8-bit floats that are quantized as they are computed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...deployment.engine_flags import flag_of
from ...hardware.dtypes import CORE_DTYPES
from ..tactic import Option, Options, Refusal
from ..traffic_tactic import TrafficTactic

if TYPE_CHECKING:
    from ..case import Case
    from ..setups import Setup

_PRECISIONS = {"bf16": ("rounding", "setting"), "fp16": ("rounding", "setting"), "fp8": ("small", "setting")}


class ServedPrecision(TrafficTactic):
    """bf16, fp16 or fp8 for all products of an engine."""

    name = "served_precision"
    screened = True
    title = "precision of products"
    group = "formats"

    def offered(self, setup: Setup, case: Case) -> Options:
        """Offer the precisions that the machine has an engine for; formats of weights decide on their own."""
        machine = setup.on.machine
        found, refused = [], []
        for name, (risk, effort) in _PRECISIONS.items():
            if name == setup.on.precision or (name == "fp8" and setup.variant.quantize):
                continue
            if CORE_DTYPES[name] not in machine.matrix_flop_per_s:
                refused.append(Refusal(text=name, why=f"{machine.id} has no matrix unit for {name}"))
                continue
            found.append(
                Option(
                    text=name,
                    change={"precision": name},
                    risk=risk,
                    effort=effort,
                    published=name,
                    apply=flag_of(setup.on.engine, "precision", name),
                )
            )
        return Options(found, refused)
