"""Plans of a graph, made once and shared by all estimates and sweeps of it."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING

from .. import _core

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .._core import Graph, PlanFamily, Work

# By identity, since graphs compare by all that they hold. An entry goes when its graph does.
_families: dict[int, dict[tuple[str, str], PlanFamily]] = {}


def family_of(graph: Graph, precision: str, execution: str, overrides: Mapping[int, Work] | None = None) -> PlanFamily:
    """The plans of a graph for one way of running it.

    Args:
        graph: the graph.
        precision: the dtype to run in.
        execution: how it is run.
        overrides: Work by node, of the caller's own rules; such plans are not kept.

    Raises:
        ValueError: for an unknown precision or execution.
    """
    if overrides:
        return _core.PlanFamily(graph, precision=precision, execution=execution, overrides=overrides)
    key = id(graph)
    if key not in _families:
        _families[key] = {}
        weakref.finalize(graph, _families.pop, key, None)
    ways = _families[key]
    way = (precision, execution)
    if way not in ways:
        ways[way] = _core.PlanFamily(graph, precision=precision, execution=execution)
    return ways[way]
