"""The breakdown of a profile: what its parts have of the whole, each split by what binds its layers."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from ...results import figures
from ..colors import BOUND
from .inputs import module_at, short_op

VALUES: Mapping[str, tuple[str, str]] = MappingProxyType(
    {figure.key: (figure.title, figure.unit) for figure in figures.of_scope(figures.PART)}
)
"""Figures that can be broken down: title and unit."""

BY = ("module", "op", "bound", "effect")
"""What it can be broken down by."""

OTHERS = "others"
UNKNOWN = "unbound"
"""The segment of layers that nothing binds, since there is no estimate."""


@dataclass(frozen=True)
class Part:
    """A bar of the breakdown.

    Attributes:
        name: the module, op, bound or effect.
        value: what its layers have together.
        share: of the whole.
        layers: how many layers these are.
        segments: the value by what binds the layers: `"compute"`, `"dram"`, `"cache"`, `"launch"`, `"fused"` (the work
            of a layer that runs in another's kernel), or `"unbound"` where there is no estimate. Those that are 0 are
            not there.
    """

    name: str
    value: float
    share: float
    layers: int
    segments: Mapping[str, float]


@dataclass(frozen=True)
class Breakdown:
    """What a breakdown shows.

    Attributes:
        value: what was broken down, one of `VALUES`.
        by: by what, one of `BY`.
        whole: the sum over all layers.
        parts: the largest first; what does not fit is the last part.
        folded: how many parts are together in the last one, 0 where all are there.
        unknown: how many layers have no value, since their op is not modelled.
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
    """What the parts of a profile have of the whole.

    Args:
        document: what `Profile.to_dict` returns, or the same read from a file.
        by: `"module"`, `"op"`, `"bound"` or `"effect"`. A layer counts whole for what binds it.
        value: `"latency_s"`, `"energy_j"`, `"flops"` or `"traffic_bytes"`.
        depth: modules below this depth are added up; None takes those that run the layers.
        top: at most so many parts, the others together being the last; None for all.
        merge: whether numbers in paths stand for each other, so that blocks of equal build are one part:
            `layers.*.mlp`.

    Raises:
        ValueError: for another `by` or `value`, a `depth` or `top` below 1, and for a value that the profile has not.
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
            raise ValueError(f"{name} is one of {', '.join(map(repr, known))}, got {given!r}")
    for name, number in (("depth", depth), ("top", top)):
        if number is not None and number < 1:
            raise ValueError(f"{name} must be at least 1, or None for all, got {number}")


def _check_estimated(document: Mapping[str, Any], value: str, amounts: list[float | None]) -> None:
    counted = "value='flops' and value='traffic_bytes' need no machine"
    if document["estimate"] is None:
        raise ValueError(f"this profile has no estimate, so no {value}: profile with hardware=; {counted}")
    if amounts and all(amount is None for amount in amounts):
        machine = document["estimate"]["hardware"]
        why = "the power of this machine is not known" if value == "energy_j" else "no op of this graph is modelled"
        raise ValueError(f"{value} is not known for any layer on {machine}: {why}; {counted}")


def _amount(layer: Mapping[str, Any], value: str) -> float | None:
    if value == "flops":
        return float(layer["contraction_flops"] + layer["pointwise_flops"])
    if value == "traffic_bytes":
        return float(layer["bytes_read"] + layer["bytes_written"])
    amount: float | None = layer[value]
    return amount


def _bound(layer: Mapping[str, Any]) -> str:
    """What binds a layer, where it takes time of its own."""
    if layer["bound"] is None:
        return UNKNOWN
    bound: str = layer["bound"]
    return bound if layer["latency_s"] else "fused"


def _part(name: str, segments: Mapping[str, float], layers: int, whole: float) -> Part:
    value = sum(segments.values())
    order = (*BOUND, UNKNOWN)
    ordered = {bound: segments[bound] for bound in order if bound in segments}
    return Part(name, value, value / whole, layers, MappingProxyType(ordered))
