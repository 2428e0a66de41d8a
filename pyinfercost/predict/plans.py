"""Plans of a graph, made once and shared by all estimates and sweeps of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .. import _core
from .graph_cache import kept_with

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .._core import Graph, PlanFamily, Work


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
    kept = kept_with(graph)
    way = ("plans", precision, execution)
    if way not in kept:
        kept[way] = _core.PlanFamily(graph, precision=precision, execution=execution)
    family: PlanFamily = kept[way]
    return family
