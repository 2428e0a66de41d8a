"""What zeros are worth, as a table."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .tabular import Column
from .text import percent, quantity, scale_for, significant

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rich.console import RenderableType

    from ..results.sparsity import SparsitySpeedup


def sparsity_speedup_view(result: SparsitySpeedup) -> RenderableType:
    """The machine, a line for each layer, and the whole forward."""
    from rich.console import Group
    from rich.text import Text

    from .table import pairs_view, total_grid_view

    layers = result.layers
    flops = scale_for(sum(layer.dense_flops for layer in layers), "FLOP")
    effective = [layer.effective_flops for layer in layers]
    size = scale_for(sum(layer.dense_bytes for layer in layers), "B")
    time = scale_for(result.latency_s, "s")
    columns = [
        Column("module", "", [*(layer.module for layer in layers), "forward"], numeric=False, flexible=True),
        Column("zeros", "%", [*(percent(layer.zero_share) for layer in layers), ""]),
        Column("dense", flops.unit, _with_sum(flops.show, [layer.dense_flops for layer in layers]), spare=2),
        Column("effective", flops.unit, _with_sum(flops.show, effective), spare=2),
        Column("stored", size.unit, _with_sum(size.show, [layer.dense_bytes for layer in layers]), spare=3),
        Column("least", size.unit, _with_sum(size.show, [layer.compressed_bytes for layer in layers]), spare=3),
        Column("latency", time.unit, [*(time.show(layer.latency_s) for layer in layers), time.show(result.latency_s)]),
        Column("speed-up", "x", [*(significant(layer.speedup) for layer in layers), significant(result.speedup)]),
    ]
    heading = [
        ("hardware", result.hardware),
        ("as it runs", quantity(result.latency_s, "s")),
        ("realisable", f"{quantity(result.realisable_s, 's')}, {significant(result.speedup)} x"),
    ]
    return Group(pairs_view(heading), Text(), total_grid_view(columns), Text(), pairs_view(_reasons(result)))


def _reasons(result: SparsitySpeedup) -> list[tuple[str, str]]:
    """What the machine makes of the zeros, each reason once with the layers that it is for."""
    modules: dict[str, list[str]] = {}
    for layer in result.layers:
        modules.setdefault(layer.why, []).append(layer.module or "(itself)")
    return [(_some(names), why) for why, names in modules.items()]


def _some(names: list[str], most: int = 2) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def _with_sum(show: Callable[[float], str], values: Sequence[float]) -> list[str]:
    return [show(value) for value in (*values, sum(values))]
