"""Rows of scanned weights; tables of sparsity of weights and activations, and of its speedup."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from .._checks import Range, number, whole
from ..results.sparsity import WeightSparsity, share_below_rms
from ..results.units import percent, quantity, scale_for, significant
from ..scan.summary import total_of
from .derived import columns_of, row_of
from .layout import GAP, Column, Note, Pairs, Table

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..results.sparsity import ActivationSparsity, Figures, Sparsity, SparsitySpeedup
    from .layout import Layout, Part

THRESHOLDS = (0.01, 0.1)
"""Default fractions of a weight's RMS; elements below would be pruned first."""
_BELOW = {f"below_{fraction:g}_rms": fraction for fraction in THRESHOLDS}
_MAGNITUDES = ("largest", "root_mean_square")
COLUMNS = (*columns_of(WeightSparsity), "best_groups", "best_blocks", "best_blocks_zero_share", *_MAGNITUDES, *_BELOW)

_THRESHOLD = Range(1e-12, 1e12)


def sparsity_layout(result: Sparsity, *, depth: int | None = None, thresholds: Sequence[float] = THRESHOLDS) -> Layout:
    """Return the heading, one row per weight, the total, and skipped weights.

    Args:
        result: The scan.
        depth: Weights of modules below this depth are summed up.
        thresholds: Fractions of each weight's own RMS for which the share below is shown, 1e-12 to 1e12.

    Returns:
        The layout.
    """
    depth = None if depth is None else whole(depth, "depth")
    thresholds = [number(threshold, "a threshold", _THRESHOLD) for threshold in thresholds]
    rows = _rows(result, depth)
    parts: list[Part] = [Pairs(_heading(result)), GAP, Table(_columns(rows, thresholds), total=True)]
    if depth is not None and len(rows) - 1 < len(result.weights):
        parts.append(Note(f"Weights below depth {depth} are summed up; without --depth or depth= each has a row."))
    notes = [(weight.name or "(itself)", weight.note) for weight in result.weights if weight.note]
    notes += [(item.name, f"skipped: {item.reason}") for item in result.skipped]
    if notes:
        parts += [GAP, Pairs(notes)]
    return parts


def activation_layout(result: ActivationSparsity) -> Layout:
    """Return one row per module and activation operator, and the total."""
    rows = result.rows
    elements = scale_for(result.elements, "")
    columns = [
        Column("module", "", [*(row.module or "(itself)" for row in rows), "total"], numeric=False, flexible=True),
        Column("op", "", [*(row.op for row in rows), ""], numeric=False),
        Column("calls", "", [*(str(row.calls) for row in rows), str(sum(row.calls for row in rows))]),
        Column("elements", elements.unit, [elements.show(n) for n in (*(r.elements for r in rows), result.elements)]),
        Column("zeros", "%", [_percent(share) for share in (*(r.zero_share for r in rows), result.zero_share)]),
    ]
    return [Pairs([("model", result.model)]), GAP, Table(columns, total=True)]


def sparsity_rows(result: Sparsity) -> list[dict[str, Any]]:
    """Return one row per weight; shares are below `THRESHOLDS`."""
    return [_row(weight) for weight in result.weights]


def _row(weight: WeightSparsity) -> dict[str, Any]:
    magnitudes, groups, blocks = weight.magnitudes, weight.figures.best_groups, weight.figures.best_blocks
    return {
        **row_of(weight),
        "shape": "x".join(map(str, weight.shape)),
        "best_groups": groups.label if groups else None,
        "best_blocks": blocks.size if blocks else None,
        "best_blocks_zero_share": blocks.zero_share if blocks else None,
        **{name: getattr(magnitudes, name, None) for name in _MAGNITUDES},
        **{name: share_below_rms(magnitudes, each) if magnitudes else None for name, each in _BELOW.items()},
    }


class _Row:
    """A line of the table: one weight or the sum of several."""

    def __init__(self, name: str, weights: Sequence[WeightSparsity]) -> None:
        self.name = name
        self.figures: Figures = total_of(weight.figures for weight in weights)
        forms = dict.fromkeys(weight.form for weight in weights)
        self.form = next(iter(forms)) if len(forms) == 1 else f"{len(forms)} forms" if forms else ""
        self._weights = weights

    def share_below(self, fraction: float) -> float | None:
        """Return the share of elements below a fraction of their own weight's RMS."""
        known = [(w.magnitudes, w.figures.elements) for w in self._weights if w.magnitudes is not None]
        elements = sum(n for _, n in known)
        if not elements:
            return None
        return sum(share_below_rms(m, fraction) * n for m, n in known) / elements


def _rows(result: Sparsity, depth: int | None) -> list[_Row]:
    by_name: dict[str, list[WeightSparsity]] = {}
    for weight in result.weights:
        parts = weight.name.split(".")
        shown = weight.name if depth is None else ".".join(parts[:depth])
        by_name.setdefault(shown or "(itself)", []).append(weight)
    return [*(_Row(name, weights) for name, weights in by_name.items()), _Row("total", result.weights)]


def _heading(result: Sparsity) -> list[tuple[str, str]]:
    total = result.total
    shared = sum(len(weight.aliases) for weight in result.weights)
    tied = f", and {shared} names of the same memory" if shared else ""
    return [
        ("model", result.model),
        ("weights", f"{len(result.weights)}{tied}, {quantity(total.elements, '')} elements"),
        ("stored", quantity(total.stored_bytes, "B")),
        ("zeros", f"{_percent(total.zero_share)} % of elements"),
    ]


def _columns(rows: Sequence[_Row], thresholds: Sequence[float]) -> list[Column]:
    total = rows[-1].figures
    elements, stored = scale_for(total.elements, ""), scale_for(total.stored_bytes, "B")
    figures = [row.figures for row in rows]
    return [
        Column("weight", "", [row.name for row in rows], numeric=False, flexible=True),
        Column("form", "", [row.form for row in rows], numeric=False, spare=1),
        Column("elements", elements.unit, [elements.show(f.elements) for f in figures]),
        Column("stored", stored.unit, [stored.show(f.stored_bytes) for f in figures], spare=4),
        Column("zeros", "%", [_percent(f.zero_share) for f in figures]),
        Column("N:M", "", [_groups(f) for f in figures], numeric=False),
        Column("2:4", "%", [_groups_share(f) for f in figures], spare=3),
        Column("blocks", "% zero", [_blocks(f) for f in figures]),
        Column("rows", "zero", [_count(f.zero_rows, f.rows) for f in figures]),
        Column("channels", "zero", [_count(f.zero_channels, f.channels) for f in figures]),
        *(
            Column(
                f"<{fraction:g} rms",
                "%",
                ["" if (share := row.share_below(fraction)) is None else _percent(share) for row in rows],
                spare=2 if place == 0 and len(thresholds) > 1 else 0,
            )
            for place, fraction in enumerate(thresholds)
        ),
    ]


def _groups(figures: Figures) -> str:
    """Return the strictest N:M structure of a matrix."""
    best = figures.best_groups if figures.rows else None
    return best.label if best else "-" if figures.rows else ""


def _groups_share(figures: Figures) -> str:
    """Return the share of groups along the rows of a matrix that are 2:4, which hardware can exploit."""
    if not figures.rows:
        return ""
    found = [groups for groups in figures.groups if groups.label == "2:4"]
    return _percent(found[0].share) if found else ""


def _blocks(figures: Figures) -> str:
    best = figures.best_blocks
    return f"{best.size}x{best.size} {_percent(best.zero_share)}" if best else "-" if figures.rows else ""


def _count(part: int, whole: int) -> str:
    return str(part) if whole else ""


def _percent(share: float) -> str:
    """Format with one decimal; values between 0 and 100 are never shown as 0 or 100."""
    if share in (0.0, 1.0):
        return f"{100 * share:.0f}"
    shown = f"{100 * share:.1f}"
    return {"0.0": "<0.1", "100.0": ">99.9"}.get(shown, shown)


def speedup_layout(result: SparsitySpeedup) -> Layout:
    """Return the machine, a row per layer and for the whole forward, and the reasons."""
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
        ("realizable", f"{quantity(result.realizable_s, 's')}, {significant(result.speedup)} x"),
    ]
    return [Pairs(heading), GAP, Table(columns, total=True), GAP, Pairs(_reasons(result))]


def _reasons(result: SparsitySpeedup) -> list[tuple[str, str]]:
    """Return the machine's treatment of the zeros, each reason once with its layers."""
    modules: dict[str, list[str]] = {}
    for layer in result.layers:
        modules.setdefault(layer.why, []).append(layer.module or "(itself)")
    return [(_some(names), why) for why, names in modules.items()]


def _some(names: list[str], most: int = 2) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def _with_sum(show: Callable[[float], str], values: Sequence[float]) -> list[str]:
    return [show(value) for value in (*values, sum(values))]
