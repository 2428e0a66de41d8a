"""Settings of compressed-tensors: groups of layers, each with a scheme of weights and of activations."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from ..._checks import Fields, shown
from ...formats.table import FORMATS, Format
from ..loaded_model import SpecError
from . import schemes
from .module_lists import by_name

if TYPE_CHECKING:
    from .weights import Weight

_BITS = {("float", 8): "float8_e4m3fn", ("float", 4): "float4_e2m1fn_x2", ("int", 8): "int8", ("int", 4): "int4"}
_MXFP_GROUP = 32


def by_groups(settings: Fields) -> Callable[[Weight], Format | None]:
    """Return the format of each weight by the first of `config_groups` that targets it.

    Raises:
        SpecError: A scheme is unknown.
    """
    sparsity = settings.inner("sparsity_config")
    stored = sparsity.text("format")
    if stored not in (None, "dense"):
        raise SpecError(
            f"{sparsity.name('format')} is {shown(stored)}; expected dense: sparse weights are not supported"
        )
    groups = []
    every = settings.inner("config_groups")
    for name, _ in every.items():
        group = every.inner(name)
        targets = by_name(group.name("targets"), group.texts("targets") or ["Linear"])
        weights = group.inner("weights") if group.has("weights") else None
        groups.append((targets, None if weights is None else _format(weights, group)))
    return lambda weight: next((form for targets, form in groups if targets(weight)), None)


def _format(weights: Fields, group: Fields) -> Format:
    kind, bits = weights.text("type") or "int", weights.whole("num_bits", schemes.BLOCK) or 8
    if (kind, bits) not in _BITS:
        known = ", ".join(f"{kind} of {bits}" for kind, bits in _BITS)
        raise SpecError(f"{weights.name('num_bits')} is {bits} of type {shown(kind)}; expected {known}")
    activation = _activation(group, bits)
    length = schemes.group_of(weights, "group_size", None)
    if _BITS[kind, bits] == "float4_e2m1fn_x2":
        form = FORMATS["mxfp4_wo" if length == _MXFP_GROUP else "nvfp4_wo"]
        return replace(form, group=length or form.group, activation=activation)
    dtype = _BITS[kind, bits]
    zero = dtype if weights.flag("symmetric") is False else None
    form = Format(f"{kind}{bits}_compressed", dtype, scale="bfloat16", zero=zero, activation=activation)
    strategy = weights.text("strategy") or ("tensor" if length is None else "group")
    if strategy == "block":
        rows, columns = weights.wholes("block_structure", schemes.BLOCK) or [128, 128]
        return replace(form, rows=rows, group=columns)
    if strategy == "tensor":
        return replace(form, rows=None)
    if strategy == "channel":
        return form
    if strategy == "group":
        index = "int32" if weights.text("actorder") == "group" else None
        return replace(form, group=length, index=index)
    raise SpecError(f"{weights.name('strategy')} is {shown(strategy)}; expected tensor, channel, group or block")


def _activation(group: Fields, bits: int) -> str | None:
    """Return when activations are quantized; they have as many bits as weights.

    Raises:
        SpecError: They have another number.
    """
    if not group.has("input_activations"):
        return None
    activations = group.inner("input_activations")
    own = activations.whole("num_bits", schemes.BLOCK) or bits
    if own != bits:
        raise SpecError(
            f"{activations.name('num_bits')} is {own}, for weights of {bits} bits; expected as many bits, or "
            "input_activations null for activations that are not quantized"
        )
    dynamic = dict(activations.items()).get("dynamic", False)
    return "dynamic" if dynamic in (True, "local") else "static"
