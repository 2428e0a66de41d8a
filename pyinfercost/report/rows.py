"""Rows of a profile's module tree, the figure that they are sorted by, and the effects with the most time."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import field, replace
from typing import TYPE_CHECKING

from .._checks import shown as shown_value
from .._checks import whole as whole_number
from .._records import dataclass
from ..errors import InputError
from ..results import figures
from ..results.profile import ancestors
from ..results.units import percent, quantity, scale_for
from .layout import Column

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from .._core import CountRow, LayerRow, Quantity
    from ..results.estimate import LayerEstimate
    from ..results.figures import Figure
    from ..results.profile import Profile

SHORT = 60
"""Maximum number of rows of a tree without a given depth."""

OWN_OP = "-"
"""Label of operators that a module calls itself, next to its submodules."""

SHARE = "share"
_BY_SORT = {figure.sort: figure for figure in figures.of_scope(figures.SORT)}
SORTS = (*_BY_SORT, SHARE)
"""Sort keys of rows; `share` is the latency, or FLOPs without hardware."""
TIMED = tuple(name for name, figure in _BY_SORT.items() if figures.HARDWARE in figure.needs)
"""Sort keys that need a machine."""

_MOST = 5
_LEAST = 0.01


@dataclass(frozen=True)
class Row:
    """One line of the table.

    `path` is the path of the module, or of the module that calls the operator. `share` is of the latency or, without
    one, of the FLOPs. `peak_activation_bytes` is the maximum of activations in use while the row runs. `known` is false
    if none of the row's operators is modeled.
    """

    level: int
    label: str
    path: str
    op: str
    known: bool
    flops: Quantity
    contraction_flops: Quantity
    pointwise_flops: Quantity
    traffic_bytes: Quantity
    parameters: Quantity
    peak_activation_bytes: Quantity
    latency_s: float | None
    energy_j: float | None
    share: float | None
    bound: str
    effect: str


@dataclass(frozen=True)
class Ranking:
    """The figure that rows are sorted by.

    Attributes:
        figure: The figure; every row has it as an attribute.
        total: Its value for the whole model.
    """

    figure: Figure
    total: Quantity | float

    @property
    def name(self) -> str:
        """Sort key."""
        return self.figure.sort

    def key(self, row: Row) -> float:
        """Return the figure as a number to sort by; unknown values come last."""
        value = getattr(row, self.figure.key)
        return value if row.known and isinstance(value, (int, float)) else -1.0


@dataclass
class _Module:
    """A module path with its children in the order of calls."""

    path: str
    level: int
    items: list[_Module | LayerRow] = field(default_factory=list)
    children: dict[str, _Module] = field(default_factory=dict)
    layers: list[LayerRow] = field(default_factory=list)

    def rows(self, depth: int) -> int:
        """Return the number of rows below this module down to a depth."""
        if self.level >= depth or len(self.layers) == 1:
            return 0
        return sum(1 + (item.rows(depth) if isinstance(item, _Module) else 0) for item in self.items)

    def depth(self) -> int:
        """Return the deepest level of a row in this tree."""
        if len(self.layers) == 1:
            return self.level
        return max(item.depth() if isinstance(item, _Module) else self.level + 1 for item in self.items)


@dataclass(frozen=True)
class Shown:
    """Rows of a table.

    Attributes:
        rows: The rows in order.
        depth: Shown depth of the tree.
        whole: Depth of the whole tree.
        ranking: Sorting of the rows; None for graph order.
        left_out: Number of rows left out of a flat list of the most costly ones; None for a tree.
    """

    rows: list[Row]
    depth: int
    whole: int
    ranking: Ranking | None = None
    left_out: int | None = None

    @property
    def flat(self) -> bool:
        """Whether this is a flat list of the most costly rows instead of a tree."""
        return self.left_out is not None


def shown_rows(profile: Profile, *, depth: int | None = None, sort: str | None = None, top: int | None = None) -> Shown:
    """Return the rows of a profile.

    Args:
        profile: The profile.
        depth: Modules below this depth are collapsed; None picks the deepest tree that is still short, and the whole
            tree for a list.
        sort: Figure by which sibling rows are sorted in descending order, one of `SORTS`; None keeps graph order.
        top: Number of leaf rows to show as a list with full paths, the most costly first; None shows the tree.

    Returns:
        The rows.

    Raises:
        InputError: The figure is unknown, the profile does not have it, or `top` is below 1.
    """
    top = None if top is None else whole_number(top, "top")
    depth = None if depth is None else whole_number(depth, "depth")
    if top is not None and sort is None:
        sort = "share"
    ranking = None if sort is None else ranking_of(profile, sort)
    root = _tree(profile)
    if not root.items:
        return Shown([], 0, 0, ranking, None if top is None else 0)
    whole = max(root.depth(), 1)  # a single layer has a row too
    if depth is None and top is not None:
        depth = whole
    if depth is None:
        depth = next((level for level in range(whole, 1, -1) if root.rows(level) <= SHORT), 1)
    depth = min(depth, whole)
    branches = _Rows(profile, depth).below(root)
    if top is None or ranking is None:
        return Shown(list(_in_order(branches, ranking)), depth, whole, ranking)
    leaves = sorted(_leaves(branches), key=ranking.key, reverse=True)
    listed = [replace(row, level=1, label=row.path or OWN_OP) for row in leaves[:top]]
    return Shown(listed, depth, whole, ranking, len(leaves) - len(listed))


def _tree(profile: Profile) -> _Module:
    """Return the tree of modules that compute or move bytes, or have an operator that is not modeled."""
    latency = {} if profile.estimate is None else {layer.index: layer.latency_s for layer in profile.estimate.layers}
    root = _Module("", 0)
    for layer in profile.counts.layers:
        row = layer.row
        idle = row.flops == 0 and row.bytes_read == 0 and row.bytes_written == 0 and not latency.get(layer.index)
        if idle and layer.modelled:
            continue
        module = root
        module.layers.append(layer)
        for path in ancestors(layer.module):
            if path not in module.children:
                module.children[path] = _Module(path, module.level + 1)
                module.items.append(module.children[path])
            module = module.children[path]
            module.layers.append(layer)
        module.items.append(layer)
    return root


@dataclass(frozen=True)
class _Branch:
    """A row and its children."""

    row: Row
    below: list[_Branch] = field(default_factory=list)


def _in_order(branches: list[_Branch], ranking: Ranking | None) -> Iterator[Row]:
    """Yield each row before its children; siblings by their figure or in graph order."""
    if ranking is not None:
        key = ranking.key
        branches = sorted(branches, key=lambda branch: key(branch.row), reverse=True)
    for branch in branches:
        yield branch.row
        yield from _in_order(branch.below, ranking)


def _leaves(branches: list[_Branch]) -> Iterator[Row]:
    """Yield the rows without children; they are disjoint and cover the whole model."""
    for branch in branches:
        if branch.below:
            yield from _leaves(branch.below)
        else:
            yield branch.row


class _Rows:
    def __init__(self, profile: Profile, depth: int) -> None:
        self._depth = depth
        self._counts = profile.counts
        self._by_module = profile.counts.by_module(depth)
        self._times: dict[int, LayerEstimate] = {}
        self._latency_s: float | None = None
        if profile.estimate is not None:
            self._latency_s = profile.estimate.latency_s
            self._times = {layer.index: layer for layer in profile.estimate.layers}

    def below(self, module: _Module) -> list[_Branch]:
        branches = []
        for item in module.items:
            if not isinstance(item, _Module):
                branches.append(_Branch(self._row(module.level + 1, OWN_OP, module.path, item.row, [item])))
                continue
            name = item.path.rpartition(".")[2]
            row = self._row(item.level, name, item.path, self._by_module[item.path], item.layers)
            goes_on = item.level < self._depth and len(item.layers) > 1
            branches.append(_Branch(row, self.below(item) if goes_on else []))
        return branches

    def _row(self, level: int, label: str, path: str, counted: CountRow, layers: list[LayerRow]) -> Row:
        latency_s, energy_j, bound, effect = None, None, "", ""
        known = any(layer.modelled for layer in layers)
        share = _ratio(counted.flops, self._counts.total.flops)
        if self._latency_s is not None:
            times = [self._times[layer.index] for layer in layers if layer.index in self._times]
            latency_s = sum(time.latency_s for time in times)
            joules = [time.energy_j for time in times if time.energy_j is not None]
            energy_j = sum(joules) if len(joules) == len(times) else None
            share = _ratio(latency_s, self._latency_s)
            by_bound: dict[str, float] = defaultdict(float)
            for time in times:
                by_bound[time.bound] += time.latency_s
            if latency_s > 0:
                bound = max(by_bound, key=by_bound.__getitem__)
                effect = effect_text(times)
            elif times:
                bound = "fused"  # the time is attributed to another row's kernel
        return Row(
            level=level,
            label=label,
            path=path,
            op=_op_name(layers),
            known=known,
            flops=counted.flops,
            contraction_flops=counted.contraction_flops,
            pointwise_flops=counted.pointwise_flops,
            traffic_bytes=counted.bytes_read + counted.bytes_written,
            parameters=counted.parameters,
            peak_activation_bytes=counted.peak_activation_bytes,
            latency_s=latency_s,
            energy_j=energy_j,
            share=share if known else None,
            bound=bound,
            effect=effect,
        )


def short_op(op: str) -> str:
    """Return the name of an operator without the namespace of torch or of kernels of serving engines."""
    return op.removeprefix("aten.").removeprefix("engine.")


def _op_name(layers: list[LayerRow]) -> str:
    missing = sum(not layer.modelled for layer in layers)
    if len(layers) == 1:
        return short_op(layers[0].op)
    return f"{len(layers)} ops" + (f", {missing} unknown" if missing else "")


def _ratio(part: Quantity | float, whole: Quantity | float) -> float | None:
    if isinstance(part, (int, float)) and isinstance(whole, (int, float)):
        return part / whole if whole else 0.0
    return None  # symbolic: depends on sizes without a value


def ranking_of(profile: Profile, sort: str) -> Ranking:
    """Return the ranking of a sort key in a profile.

    Args:
        profile: The profile.
        sort: One of `SORTS`.

    Returns:
        The figure and its total.

    Raises:
        InputError: The sort key is unknown, or the profile does not have the figure.
    """
    if sort not in SORTS:
        raise InputError(f"sort is {shown_value(sort)}; expected one of {', '.join(SORTS)}")
    estimate = profile.estimate
    if sort == SHARE:
        sort = "flops" if estimate is None else "latency"
    figure = _BY_SORT[sort]
    if figures.HARDWARE not in figure.needs:
        return Ranking(figure, profile.figures[figure.key] or 0)
    if estimate is None:
        raise InputError(f"rows cannot be sorted by {sort} without a machine; profile with hardware=")
    total = getattr(estimate, figure.key)
    if total is None:
        raise InputError(
            f"rows cannot be sorted by {sort}, because the file of {estimate.hardware} has no power; sort by latency, "
            "or use a machine with known power"
        )
    return Ranking(figure, total)


def of_the_whole(shown: Shown) -> str:
    """Return the share of a list's rows in the whole model, and the number of rows left out."""
    ranking, rows = shown.ranking, len(shown.rows)
    if ranking is None or shown.left_out is None:
        return ""
    these = f"These {rows} of {rows + shown.left_out:,} rows"
    rest = f"{shown.left_out:,} rows with less are left out." if shown.left_out else "none is left out."
    if ranking.name == "memory":  # peaks at different times do not add up
        return f"{these} run while most is held, up to {quantity(ranking.total, 'B')} of activations; {rest}"
    part = sum(max(ranking.key(row), 0.0) for row in shown.rows)
    if not isinstance(ranking.total, (int, float)):
        return f"{these} have most {ranking.figure.title}; {rest}"
    share = part / ranking.total if ranking.total else 0.0
    return f"{these} have {percent(share)} % of the {ranking.figure.title}; {rest}"


def effects_over(layers: Iterable[LayerEstimate]) -> dict[str, float]:
    """Return effect -> share of the layers' time that it determined, in descending order."""
    taken_s: dict[str, float] = {}
    latency_s = 0.0
    for layer in layers:
        if layer.latency_s > 0:
            latency_s += layer.latency_s
            taken_s[layer.effect] = taken_s.get(layer.effect, 0.0) + layer.effect_share * layer.latency_s
    return {name: seconds / latency_s for name, seconds in sorted(taken_s.items(), key=lambda item: -item[1])}


def effect_text(layers: Iterable[LayerEstimate]) -> str:
    """Return the effect with the most time, such as `wave quantization 38 %`; empty without time."""
    return next((_shown(name, share) for name, share in effects_over(layers).items()), "")


def effects_text(layers: Iterable[LayerEstimate]) -> str:
    """Return the effects of at least a percent."""
    shares = [(name, share) for name, share in effects_over(layers).items() if share >= _LEAST]
    return ", ".join(_shown(name, share) for name, share in shares[:_MOST])


def _shown(name: str, share: float) -> str:
    return f"{name} {percent(share)} %"


# ---- columns ---------------------------------------------------------------------------------------------------------


def profile_columns(profile: Profile, shown: Shown) -> list[Column]:
    """Return the columns of a profile, with the totals as the last row.

    The sort key is never left out. In a list, effects are left out before paths become unreadable.
    """
    total, estimate, rows = profile.counts.total, profile.estimate, shown.rows
    sort = "" if shown.ranking is None else shown.ranking.name
    names = [*("  " * (row.level - 1) + row.label for row in rows), "total"]
    columns = [
        Column("module", "", names, numeric=False, flexible=True, keep_end=shown.flat),
        Column("op", "", [*(row.op for row in rows), f"{profile.counts.nodes} nodes"], numeric=False, flexible=True),
        _scaled("contract", "FLOP", rows, lambda row: row.contraction_flops, total.contraction_flops),
        _scaled("pointwise", "FLOP", rows, lambda row: row.pointwise_flops, total.pointwise_flops, spare=3),
        _scaled("traffic", "B", rows, lambda row: row.traffic_bytes, total.bytes_read + total.bytes_written),
        _scaled("params", "", rows, lambda row: row.parameters, total.parameters, spare=0 if sort == "params" else 2),
    ]
    if sort == "memory":
        columns.append(_scaled("held", "B", rows, lambda row: row.peak_activation_bytes, total.peak_activation_bytes))
    shares = ["" if row.share is None else percent(row.share) for row in rows]
    if estimate is None:
        return [*columns, Column("FLOPs", "%", [*shares, "100"])]
    binding = max(estimate.bound_shares, key=estimate.bound_shares.__getitem__)
    if sort == "energy" and estimate.energy_j is not None:
        columns.append(_scaled("energy", "J", rows, lambda row: row.energy_j, estimate.energy_j))
    return [
        *columns,
        _scaled("latency", "s", rows, lambda row: row.latency_s, estimate.latency_s),
        Column("share", "%", [*shares, "100"]),
        Column("bound", "", [*(row.bound for row in rows), binding], numeric=False, spare=1),
        Column(
            "effect",
            "",
            [*(row.effect for row in rows), effect_text(estimate.layers)],
            numeric=False,
            spare=1 if shown.flat else -1,
        ),
    ]


def _scaled(
    name: str,
    unit: str,
    rows: Sequence[Row],
    value: Callable[[Row], Quantity | float | None],
    total: Quantity | float,
    spare: int = 0,
) -> Column:
    scale = scale_for(total, unit, decimals=2)
    cells = [scale.show(value(row)) if row.known else "?" for row in rows]
    return Column(name, scale.unit, [*cells, scale.show(total)], spare=spare)
