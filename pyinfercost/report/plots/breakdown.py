"""Breakdown of a profile: the share of each part, split by the bound of its layers."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from ...errors import InputError
from ...results import figures
from ..colors import BOUND
from .inputs import module_at, short_op

VALUES: Mapping[str, tuple[str, str]] = MappingProxyType(
    {figure.key: (figure.title, figure.unit) for figure in figures.of_scope(figures.PART)}
)
"""Figures that can be broken down: title and unit."""

BY = ("module", "op", "bound", "effect")
"""Keys to break down by."""

OTHERS = "others"
UNKNOWN = "unbound"
"""Segment of layers without a bound, because there is no estimate."""


@dataclass(frozen=True)
class Part:
    """A bar of the breakdown.

    Attributes:
        name: The module, operator, bound or effect.
        value: Sum over its layers.
        share: Share of the whole.
        layers: Number of layers.
        segments: The value by bound of the layers: `"compute"`, `"dram"`, `"cache"`, `"link"`, `"launch"`, `"fused"`
            (layers that run in another layer's kernel), or `"unbound"` without an estimate. Segments of 0 are omitted.
    """

    name: str
    value: float
    share: float
    layers: int
    segments: Mapping[str, float]


@dataclass(frozen=True)
class Breakdown:
    """Data of a breakdown plot.

    Attributes:
        value: The figure, one of `VALUES`.
        by: The key, one of `BY`.
        whole: Sum over all layers.
        parts: Parts in descending order; the last one may combine all that do not fit.
        folded: Number of parts combined in the last one; 0 if there is none.
        unknown: Number of layers without a value, because their operator is not modeled.
    """

    value: str
    by: str
    whole: float
    parts: tuple[Part, ...]
    folded: int
    unknown: int


def breakdown_of(
    document: Mapping[str, Any],
    *,
    by: str = "module",
    value: str = "latency_s",
    depth: int | None = 1,
    top: int | None = 12,
    merge: bool = False,
) -> Breakdown:
    """Compute the share of each part of a profile.

    Args:
        document: The result of `Profile.to_dict`, or the same read from a file.
        by: `"module"`, `"op"`, `"bound"` or `"effect"`. A layer is attributed entirely to its bound.
        value: `"latency_s"`, `"energy_j"`, `"flops"` or `"traffic_bytes"`.
        depth: Modules below this depth are summed up; None keeps the modules that run the layers.
        top: Maximum number of parts, the last one combining all others; None for all.
        merge: Whether to treat numbers in paths as equal, so that identical blocks form one part: `layers.*.mlp`.

    Returns:
        The parts.

    Raises:
        InputError: `by` or `value` is unknown, `depth` or `top` is below 1, or the profile does not have the value.
    """
    _check(by, value, depth, top)
    layers = document["layers"]
    amounts = [_amount(layer, value) for layer in layers]
    if figures.HARDWARE in figures.FIGURES[value].needs:
        _check_estimated(document, value, amounts)
    sums: dict[str, dict[str, float]] = {}
    counts: dict[str, int] = {}
    for layer, amount in zip(layers, amounts, strict=True):
        if not amount:
            continue
        bound = _bound(layer)
        name = {
            "module": module_at(layer["module"], depth),
            "op": short_op(layer["op"]),
            "bound": bound,
            "effect": layer["effect"] or UNKNOWN,
        }[by]
        if merge and by == "module":
            name = re.sub(r"(?<![^.])\d+(?![^.])", "*", name)
        segments = sums.setdefault(name, {})
        segments[bound] = segments.get(bound, 0.0) + amount
        counts[name] = counts.get(name, 0) + 1
    whole = sum(amount for amount in amounts if amount)
    parts = [_part(name, segments, counts[name], whole) for name, segments in sums.items()]
    parts.sort(key=lambda part: -part.value)
    folded = 0
    if top is not None and len(parts) > top:
        kept, rest = parts[: top - 1], parts[top - 1 :]
        folded = len(rest)
        segments = {}
        for part in rest:
            for bound, amount in part.segments.items():
                segments[bound] = segments.get(bound, 0.0) + amount
        parts = [*kept, _part(f"{OTHERS} ({folded})", segments, sum(part.layers for part in rest), whole)]
    return Breakdown(value, by, whole, tuple(parts), folded, sum(amount is None for amount in amounts))


def _check(by: str, value: str, depth: int | None, top: int | None) -> None:
    for name, given, known in (("by", by, BY), ("value", value, tuple(VALUES))):
        if given not in known:
            raise InputError(f"{name} is {given!r}; expected one of {', '.join(map(repr, known))}")
    for name, number in (("depth", depth), ("top", top)):
        if number is not None and number < 1:
            raise InputError(f"{name} must be at least 1, or None for all; got {number}")


def _check_estimated(document: Mapping[str, Any], value: str, amounts: list[float | None]) -> None:
    counted = "value='flops' and value='traffic_bytes' need no machine"
    if document["estimate"] is None:
        raise InputError(f"this profile has no estimate and therefore no {value}; profile with hardware=; {counted}")
    if amounts and all(amount is None for amount in amounts):
        machine = document["estimate"]["hardware"]
        why = "the power of this machine is unknown" if value == "energy_j" else "no operator of this graph is modeled"
        raise InputError(f"{value} is unknown for all layers on {machine}: {why}; {counted}")


def _amount(layer: Mapping[str, Any], value: str) -> float | None:
    if value == "flops":
        return float(layer["contraction_flops"] + layer["pointwise_flops"])
    if value == "traffic_bytes":
        return float(layer["bytes_read"] + layer["bytes_written"])
    amount: float | None = layer[value]
    return amount


def _bound(layer: Mapping[str, Any]) -> str:
    """Return the bound of a layer; empty or fused if it has no time of its own."""
    if layer["bound"] is None:
        return UNKNOWN
    bound: str = layer["bound"]
    return bound if layer["latency_s"] else "fused"


def _part(name: str, segments: Mapping[str, float], layers: int, whole: float) -> Part:
    value = sum(segments.values())
    order = (*BOUND, UNKNOWN)
    ordered = {bound: segments[bound] for bound in order if bound in segments}
    return Part(name, value, value / whole, layers, MappingProxyType(ordered))
