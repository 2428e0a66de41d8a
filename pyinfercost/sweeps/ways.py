"""Ways to run: what the plans of a sweep depend on beside sizes and machines."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from ..deployment.deployment import TORCH, execution_of
from ..predict.plans import engine_graph, family_of, work_overrides

if TYPE_CHECKING:
    from .._core import Graph, PlanFamily, Work
    from ..predict.plans import Rules

EngineOverrides: TypeAlias = "Mapping[str, Mapping[int, Work]]"
"""Engine -> work by node of its graph; empty without rules of the caller."""


class Way(NamedTuple):
    """How a graph is run: what its plans depend on."""

    precision: str
    engine: str
    execution: str

    def family(self, graph: Graph, overrides: EngineOverrides) -> PlanFamily:
        """Return the plans of a captured graph.

        Raises:
            InputError: The engine has no such execution, or does not run the graph.
        """
        execution_of(self.engine, self.execution)
        return family_of(engine_graph(graph, self.engine), self.precision, self.execution, overrides.get(self.engine))


def way_of(named: Mapping[str, Any]) -> Way:
    """Return the way of a point from its values by name."""
    return Way(named["precision"], named.get("engine", TORCH), named["execution"])


def overrides_of(graph: Graph, ways: Iterable[Way], rules: Rules | None) -> dict[str, dict[int, Work]]:
    """Return the work of the nodes whose ops have a rule, for the graph of each engine."""
    found = {}
    for engine in dict.fromkeys(way.engine for way in ways):
        if works := work_overrides(engine_graph(graph, engine), rules):
            found[engine] = works
    return found
