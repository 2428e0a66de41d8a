"""Settings of NVIDIA's Model Optimizer: an algorithm, or one for each layer; also of `hf_quant_config.json`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING

from ..._checks import Fields, shown
from ...formats.table import FORMATS, Format
from ..loaded_model import SpecError
from . import schemes

if TYPE_CHECKING:
    from .weights import Weight

MIXED = "MIXED_PRECISION"
ALGORITHMS: Mapping[str, Format] = MappingProxyType(
    {
        "FP8": schemes.fp8_of_tensors("static"),
        "FP8_PER_CHANNEL_PER_TOKEN": FORMATS["fp8_dynamic"],
        "FP8_PB_WO": replace(FORMATS["fp8_block"], activation=None),
        "MXFP8": FORMATS["mxfp8_dynamic"],
        "NVFP4": FORMATS["nvfp4_dynamic"],
        "NVFP4_AWQ": FORMATS["nvfp4_dynamic"],
        "W4A16_NVFP4": FORMATS["nvfp4_wo"],
        "W4A16_MXFP4": FORMATS["mxfp4_wo"],
        "W4A16_AWQ": replace(FORMATS["int4_awq"], zero=None),
        "W8A8_SQ_PER_CHANNEL": Format("int8_smooth", "int8", activation="static"),
    }
)
"""Formats by `quant_algo`."""


def by_algorithm(settings: Fields) -> Callable[[Weight], Format | None]:
    """Return the format of each weight.

    Raises:
        SpecError: An algorithm is unknown.
    """
    if (settings.text("quant_algo") or "").upper() == MIXED:
        layers = settings.inner("quantized_layers")
        forms = {name: _format(layers.inner(name)) for name, _ in layers.items()}
        return lambda weight: next((forms[name] for name in weight.names if name in forms), None)
    form = _format(settings)
    return lambda _: form


def _format(settings: Fields) -> Format:
    algorithm = settings.text("quant_algo")
    form = ALGORITHMS.get((algorithm or "").upper())
    if form is None:
        raise SpecError(
            f"{settings.name('quant_algo')} is {shown(algorithm)}; expected {', '.join(ALGORITHMS)}, {MIXED}"
        )
    if form.group is None or form.rows != 1:
        return form
    return replace(form, group=schemes.group_of(settings, "group_size", form.group))
