"""Given routings: the number of groups of a grouped product that get rows, which determines the weights read.

The FLOPs of such a product depend on its rows only, regardless of their groups. The weights read depend on the routing:
by default every group gets rows, as long as there are enough rows. All products of one routing share one size.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import torch

from .value_ranges import argument, least, op_name

if TYPE_CHECKING:
    from .calls import Call

_WEIGHTS_OF_GROUPS = 3  # dimensions
GROUPED_PRODUCTS = frozenset(
    {
        "aten._grouped_mm",
        "aten._scaled_grouped_mm",
        "aten._scaled_grouped_mm_v2",
        "transformers.grouped_mm_fallback",
    }
)
"""Operators that multiply groups of rows by one weight each."""


class Routing(NamedTuple):
    """Rows assigned to groups, and the calls that multiply them.

    Attributes:
        module: Path of the running module.
        bound: Maximum number of groups that can get rows.
        calls: The grouped products.
    """

    module: str
    bound: Any
    calls: list[Call]


def routings(calls: Sequence[Call]) -> list[Routing]:
    """Return the routings of a forward in order; products with the same group offsets share one."""
    found: dict[tuple[str, int], Routing] = {}
    for call in calls:
        if op_name(call) not in GROUPED_PRODUCTS:
            continue
        left, right = call.args[:2]
        ends = argument(call, "offs")
        if not isinstance(ends, torch.Tensor) or left.dim() >= _WEIGHTS_OF_GROUPS or right.dim() < _WEIGHTS_OF_GROUPS:
            continue
        key = (call.module, id(ends))
        if key not in found:
            found[key] = Routing(call.module, least(right.shape[0], left.shape[0]), [])
        found[key].calls.append(call)
    return list(found.values())
