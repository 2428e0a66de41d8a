"""Reasons for which fused kernels take longer than the same model's that are not fused."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

FUSED = ("compiled", "reduce-overhead")
"""Executions in which a compiler fuses operators."""

_MOST_OPS = 2
_LEAST_RATIO = 1.01


class LayerTime(NamedTuple):
    """Time of a layer, and its reason: an effect, as `docs/effects.md` lists them."""

    op: str
    latency_s: float
    effect: str


def why_slower(
    executions: tuple[str | None, str | None], layers: tuple[Sequence[LayerTime], ...]
) -> dict[str, Any] | None:
    """Return values of the notice `slower`: why the fused one of two executions of a model takes longer.

    The reason is the effect whose layers take most of the added time.

    Args:
        executions: The two executions.
        layers: The layers of both, with times.

    Returns:
        The values; None if both or none are fused, or fusion saves time.
    """
    fused = [execution in FUSED for execution in executions]
    if fused[0] == fused[1]:
        return None
    slow, fast = (0, 1) if fused[0] else (1, 0)
    totals = [sum(layer.latency_s for layer in side) for side in layers]
    if not totals[fast] > 0 or totals[slow] < _LEAST_RATIO * totals[fast]:
        return None
    by_effect = [_summed((layer.effect, layer.latency_s) for layer in side) for side in layers]
    added = {effect: seconds - by_effect[fast].get(effect, 0.0) for effect, seconds in by_effect[slow].items()}
    effect = max(added, key=lambda name: added[name])
    by_op = _summed((layer.op, layer.latency_s) for layer in layers[slow] if layer.effect == effect)
    first = sorted(by_op, key=lambda op: -by_op[op])[:_MOST_OPS]
    return {
        "execution": executions[slow],
        "other": executions[fast],
        "ratio": totals[slow] / totals[fast],
        "effect": effect,
        "added_s": added[effect],
        "op_shares": {op.removeprefix("aten."): by_op[op] / by_effect[slow][effect] for op in first},
    }


def _summed(parts: Iterable[tuple[str, float]]) -> Mapping[str, float]:
    sums: dict[str, float] = defaultdict(float)
    for name, seconds in parts:
        sums[name] += seconds
    return sums
