"""Rows of a comparison: a subtree that was added or removed is one row, unchanged modules have none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from .._checks import whole
from ..results.profile import ancestors
from ..results.profile_changes import FIGURES, UNCHANGED, Change, ModuleChange

if TYPE_CHECKING:
    from ..results.profile_changes import ProfileChanges

_OWN_SHIFT = 0.1
_WHOLE_SHIFT = 0.001
"""Changes of time and energy below these shares, of the module or of the whole, are ignored for equal work."""


@dataclass(frozen=True)
class Outline:
    """The rows of the changes between two profiles.

    Attributes:
        rows: Differing modules, in the order of the graph.
        shifted: Modules with equal work and nearly equal time.
        units: Number of modules or groups, including unchanged ones.
        depth: Depth down to which modules have rows of their own.
        deepest: Depth of the deepest module of both sides.
        whole: Whether some groups are at other depths than `depth`.
        grouped: Whether a row is a group of modules.
    """

    rows: tuple[ModuleChange, ...]
    shifted: tuple[ModuleChange, ...]
    units: int
    depth: int
    deepest: int
    whole: bool
    grouped: bool


def outline(changes: ProfileChanges, *, depth: int | None = None, most: int) -> Outline:
    """Return the rows of the changes between two profiles.

    Args:
        changes: The changes.
        depth: Depth below which modules are added up. None shows each differing module, with subtrees that were added
            or removed as one row, and reduces the depth if there are too many rows.
        most: Maximum number of rows without `depth`.
    """
    deepest = max((_depth_of(row.module) for row in changes.modules), default=1)
    counts = {row.module for row in changes.modules}
    if depth is not None:
        depth = whole(depth, "depth")
        units = collapsed(changes.modules, depth)
        rows, shifted = _sorted_out(changes, units)
        return Outline(rows, shifted, len(units), min(depth, deepest), deepest, whole=False, grouped=depth < deepest)
    root = _tree(changes.modules)
    for level in range(deepest, 0, -1):
        taken = _outlined(root, level)
        rows, shifted = _sorted_out(changes, [row for row, _ in taken])
        if len(rows) <= most:
            break
    several = {row.module for row, count in taken if count > 1 or row.module not in counts}
    depths = {_depth_of(row.module) for row in rows if row.module in several}
    shown = max((_depth_of(row.module) for row in rows), default=1)
    return Outline(rows, shifted, len(taken), shown, deepest, whole=depths != {shown}, grouped=bool(depths))


def whole_modules(modules: Sequence[ModuleChange], status: str) -> tuple[str, ...]:
    """Return the roots of the subtrees that were added, or removed.

    Modules without any figure are left out.
    """
    rows = [row for row, _ in _outlined(_tree(modules), None)]
    return tuple(row.module for row in rows if row.status == status and _takes(row))


def collapsed(modules: Sequence[ModuleChange], depth: int) -> tuple[ModuleChange, ...]:
    """Return the modules with those below a depth added up.

    Args:
        modules: The modules of both profiles.
        depth: Number of names of a path to keep, at least 1.

    Raises:
        InputError: The depth is not a whole number of at least 1.
    """
    depth = whole(depth, "depth")
    groups: dict[str, list[ModuleChange]] = {}
    for row in modules:
        groups.setdefault(".".join(row.module.split(".")[:depth]), []).append(row)
    return tuple(rows[0] if len(rows) == 1 else _together(path, rows) for path, rows in groups.items())


def status_of(changes: Mapping[str, Change], *, before: bool, after: bool) -> str:
    """Return the status of a module from its figures and the sides that have it."""
    if before and after:
        return "changed" if any(change.changed for change in changes.values()) else UNCHANGED
    return "removed" if before else "added"


@dataclass
class _Node:
    """A path, with its modules and its subtrees in the order of the graph."""

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
        for path in ancestors(row.module):
            child = node.children.get(path)
            if child is None:
                child = _Node(path, node.level + 1)
                node.children[path] = child
                node.items.append(child)
            node = child
            node.rows.append(row)
        node.items.append(row)
    return root


def _outlined(node: _Node, depth: int | None) -> list[tuple[ModuleChange, int]]:
    """Return the rows of a tree, and the number of modules of each. A subtree of one side alone is one row."""
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
    changes: ProfileChanges, units: Sequence[ModuleChange]
) -> tuple[tuple[ModuleChange, ...], tuple[ModuleChange, ...]]:
    """Return the differing rows, apart from those with equal work; rows without any figure are in neither."""
    differing = [(row, _is_shift(changes, row)) for row in units if row.status != UNCHANGED and _takes(row)]
    return tuple(row for row, shift in differing if not shift), tuple(row for row, shift in differing if shift)


def _takes(row: ModuleChange) -> bool:
    return any(change.changed for change in row.figures.values())


def _is_shift(changes: ProfileChanges, row: ModuleChange) -> bool:
    return row.same_work and all(
        _is_small(row.figures[name], changes.totals[name]) for name in ("latency_s", "energy_j")
    )


def _is_small(change: Change, total: Change) -> bool:
    if change.difference is None:
        return not change.changed
    of_itself = _OWN_SHIFT * max(change.before or 0, change.after or 0)
    return abs(change.difference) <= max(of_itself, _WHOLE_SHIFT * max(total.before or 0, total.after or 0))


def _depth_of(module: str) -> int:
    return max(1, len(ancestors(module)))


def _together(path: str, rows: list[ModuleChange]) -> ModuleChange:
    """Return several modules as one, which is added or removed if all of them are."""
    changes = {
        name: Change(_sum([row.figures[name].before for row in rows]), _sum([row.figures[name].after for row in rows]))
        for name in FIGURES
    }
    status = status_of(
        changes, before=any(r.status != "added" for r in rows), after=any(r.status != "removed" for r in rows)
    )
    if status == UNCHANGED and any(row.status != UNCHANGED for row in rows):
        status = "changed"  # changes of modules that cancel out
    return ModuleChange(module=path, status=status, figures=changes, same_work=all(row.same_work for row in rows))


def _sum(values: list[float | None]) -> float | None:
    """Return the sum of the known values; None without any."""
    known = [value for value in values if value is not None]
    return sum(known) if known else None
