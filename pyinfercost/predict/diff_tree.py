"""Which modules of a comparison are worth a row: what was added or removed as a whole is one, what is the same none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ..results.comparison import FIGURES, UNCHANGED, Change, ModuleChange

if TYPE_CHECKING:
    from ..results.comparison import Comparison

_OWN_SHIFT = 0.1
_WHOLE_SHIFT = 0.001
"""The same work in another place: up to which shares, of itself or of the whole, its time and energy are no news."""


@dataclass(frozen=True)
class Outline:
    """The rows of a comparison.

    Attributes:
        rows: what differs, in the order of the graph.
        shifted: what runs the same work in nearly the same time.
        units: of how many modules these are, the unchanged ones included.
        depth: down to where modules are shown by themselves.
        deepest: how deep the modules of both sides go.
        whole: whether rows that stand for several modules stand at other depths than `depth`, too.
        grouped: whether any row stands for several modules.
    """

    rows: tuple[ModuleChange, ...]
    shifted: tuple[ModuleChange, ...]
    units: int
    depth: int
    deepest: int
    whole: bool
    grouped: bool


def outline(comparison: Comparison, *, depth: int | None = None, most: int) -> Outline:
    """What to show of a comparison.

    Args:
        comparison: the comparison.
        depth: modules below it are added up, wherever they lie; None goes down to each module that differs, as far as
            rows are few, and shows what was added or removed as a whole by one row.
        most: how many rows are few.
    """
    deepest = max((_depth_of(row.module) for row in comparison.modules), default=1)
    counts = {row.module for row in comparison.modules}
    if depth is not None:
        units = collapsed(comparison.modules, depth)
        rows, shifted = _sorted_out(comparison, units)
        return Outline(rows, shifted, len(units), min(depth, deepest), deepest, whole=False, grouped=depth < deepest)
    root = _tree(comparison.modules)
    for level in range(deepest, 0, -1):
        taken = _outlined(root, level)
        rows, shifted = _sorted_out(comparison, [row for row, _ in taken])
        if len(rows) <= most:
            break
    several = {row.module for row, count in taken if count > 1 or row.module not in counts}
    depths = {_depth_of(row.module) for row in rows if row.module in several}
    shown = max((_depth_of(row.module) for row in rows), default=1)
    return Outline(rows, shifted, len(taken), shown, deepest, whole=depths != {shown}, grouped=bool(depths))


def whole_modules(modules: Sequence[ModuleChange], status: str) -> tuple[str, ...]:
    """Return the paths that were added, or removed, each as high as everything below it was.

    Modules without any figure are left out.
    """
    rows = [row for row, _ in _outlined(_tree(modules), None)]
    return tuple(row.module for row in rows if row.status == status and _takes(row))


def collapsed(modules: Sequence[ModuleChange], depth: int) -> tuple[ModuleChange, ...]:
    """Return the modules with those below a depth added up.

    Args:
        modules: the modules of a comparison.
        depth: names of a path to keep, at least 1.

    Raises:
        ValueError: for a depth below 1.
    """
    if depth < 1:
        raise ValueError(f"depth must be at least 1, got {depth}")
    groups: dict[str, list[ModuleChange]] = {}
    for row in modules:
        groups.setdefault(".".join(row.module.split(".")[:depth]), []).append(row)
    return tuple(rows[0] if len(rows) == 1 else _together(path, rows) for path, rows in groups.items())


def status_of(changes: Mapping[str, Change], *, before: bool, after: bool) -> str:
    """What became of a module, from its figures and on which sides it is."""
    if before and after:
        return "changed" if any(change.changed for change in changes.values()) else UNCHANGED
    return "removed" if before else "added"


@dataclass
class _Node:
    """A path, and below it modules by themselves and further paths, in the order of the graph."""

    path: str
    level: int
    items: list[_Node | ModuleChange] = field(default_factory=list)
    children: dict[str, _Node] = field(default_factory=dict)
    rows: list[ModuleChange] = field(default_factory=list)


def _tree(modules: Sequence[ModuleChange]) -> _Node:
    root = _Node("", 0)
    for row in modules:
        node = root
        node.rows.append(row)
        for name in row.module.split(".") if row.module else ():
            child = node.children.get(name)
            if child is None:
                child = _Node(f"{node.path}.{name}" if node.level else name, node.level + 1)
                node.children[name] = child
                node.items.append(child)
            node = child
            node.rows.append(row)
        node.items.append(row)
    return root


def _outlined(node: _Node, depth: int | None) -> list[tuple[ModuleChange, int]]:
    """The rows of a tree, and how many modules each stands for. What is on one side alone is not taken apart."""
    found: list[tuple[ModuleChange, int]] = []
    for item in node.items:
        if isinstance(item, ModuleChange):
            found.append((item, 1))
        elif len(item.rows) == 1:
            found.append((item.rows[0], 1))
        elif item.level == depth or {row.status for row in item.rows} in ({"added"}, {"removed"}):
            found.append((_together(item.path, item.rows), len(item.rows)))
        else:
            found += _outlined(item, depth)
    return found


def _sorted_out(
    comparison: Comparison, units: Sequence[ModuleChange]
) -> tuple[tuple[ModuleChange, ...], tuple[ModuleChange, ...]]:
    """Those that differ, and those of them that only had their times shifted; a view that was added is neither."""
    differing = [(row, _is_shift(comparison, row)) for row in units if row.status != UNCHANGED and _takes(row)]
    return tuple(row for row, shift in differing if not shift), tuple(row for row, shift in differing if shift)


def _takes(row: ModuleChange) -> bool:
    return any(change.changed for change in row.figures.values())


def _is_shift(comparison: Comparison, row: ModuleChange) -> bool:
    return row.same_work and all(
        _is_small(row.figures[name], comparison.totals[name]) for name in ("latency_s", "energy_j")
    )


def _is_small(change: Change, total: Change) -> bool:
    if change.difference is None:
        return not change.changed
    of_itself = _OWN_SHIFT * max(change.before or 0, change.after or 0)
    return abs(change.difference) <= max(of_itself, _WHOLE_SHIFT * max(total.before or 0, total.after or 0))


def _depth_of(module: str) -> int:
    return module.count(".") + 1


def _together(path: str, rows: list[ModuleChange]) -> ModuleChange:
    """Several modules as one, which is added or removed where all of them are."""
    changes = {
        name: Change(_sum([row.figures[name].before for row in rows]), _sum([row.figures[name].after for row in rows]))
        for name in FIGURES
    }
    status = status_of(
        changes, before=any(r.status != "added" for r in rows), after=any(r.status != "removed" for r in rows)
    )
    if status == UNCHANGED and any(row.status != UNCHANGED for row in rows):
        status = "changed"  # what one lost another one gained
    return ModuleChange(path, status, changes, same_work=all(row.same_work for row in rows))


def _sum(values: list[float | None]) -> float | None:
    """The sum of what is known; None where nothing is."""
    known = [value for value in values if value is not None]
    return sum(known) if known else None
