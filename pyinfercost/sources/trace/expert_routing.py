"""Routing that is given: how many groups of a grouped product get rows, so that their weights are read.

The work of such a product is that of its rows, whatever group each meets. Which weights are read depends on the
routing: by default every group gets rows, as long as there are rows. One size stands for all products of one routing.
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
"""Operators that multiply groups of rows with a weight each."""


class Routing(NamedTuple):
    """Rows that go to groups, and the calls that multiply them.

    Attributes:
        module: Path of the module that was running.
        bound: How many groups can get rows at most.
        calls: The grouped products.
    """

    module: str
    bound: Any
    calls: list[Call]


def routings(calls: Sequence[Call]) -> list[Routing]:
    """The routings of a forward, in order: products whose groups end at the same places share one."""
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
