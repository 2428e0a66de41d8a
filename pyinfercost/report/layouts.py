"""Tables of layouts: the legal ones above the reasons of others."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..results.units import quantity
from .layout import GAP, Column, Note, Pairs, Table

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ..results.layouts import LayoutChoice, Layouts
    from .layout import Layout, Part

_LISTED = 4  # layouts on the line of a reason


def layouts_layout(found: Layouts) -> Layout:
    """Return the legal layouts with the weights of a device, and the others by reason."""
    legal = [each for each in found.choices if each.legal]
    pairs = [("model", found.model or "(unnamed graph)")]
    pairs += [("hardware", found.hardware)] if found.hardware else []
    parts: list[Part] = [Pairs([*pairs, ("layouts", f"{len(legal)} legal, {len(found.out)} out")])]
    if legal:
        columns = [
            Column("devices", "", [str(each.devices) for each in legal]),
            Column("nodes", "", [str(each.nodes) for each in legal]),
            Column("layout", "", [each.layout for each in legal], numeric=False),
            Column("weights of a device", "", [quantity(each.weight_bytes or 0, "B") for each in legal]),
        ]
        parts += [GAP, Table(columns)]
    return [*parts, *out_parts(found.out)]


def out_parts(out: Iterable[LayoutChoice]) -> list[Part]:
    """Return a line for each reason why layouts are out."""
    groups: dict[str, list[str]] = {}
    for each in out:
        groups.setdefault(each.reason, []).append(each.layout or "tensor=1")
    if not groups:
        return []
    lines = [(layouts[0], reason + _others(layouts[1:])) for reason, layouts in groups.items()]
    return [GAP, Note("Layouts that are out:", ""), Pairs(lines)]


def _others(layouts: list[str]) -> str:
    """Return the other layouts that are out for the same reason, the first of them by name."""
    if not layouts:
        return ""
    more = len(layouts) - _LISTED
    return f" (also {'; '.join(layouts[:_LISTED])}" + (f"; {more} more)" if more > 0 else ")")
