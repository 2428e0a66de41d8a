"""Pipelines at the points of a sweep: the stages of each way to run on each machine."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ..deployment import parse_layout, parse_serving
from ..predict.stage_costs import StagePlans
from ..predict.stages import Pipeline, Timing, pipeline_of

if TYPE_CHECKING:
    from .._core import Graph, Hardware
    from ..predict.plans import EngineOverrides, Way


@dataclass(frozen=True)
class SweepPipelines:
    """The stages of each way to run, cut when they are asked for.

    Attributes:
        graph: The model.
        machines: The machines.
        overrides: Work by node of the caller's rules, for each engine's graph.
    """

    graph: Graph = field(repr=False)
    machines: tuple[Hardware, ...]
    overrides: EngineOverrides

    def at(self, way: Way, number: int) -> Pipeline:
        """Return the stages of a way to run on a machine, by its position."""
        timing = Timing(self.machines[number], way.precision, way.execution, way.serving)
        return pipeline_of(way.graph(self.graph), parse_layout(way.layout), timing)

    def plans(self, way: Way, number: int) -> StagePlans:
        """Return their plans."""
        pipeline = self.at(way, number)
        return StagePlans.of(
            pipeline,
            parse_layout(way.layout),
            way.precision,
            way.execution,
            serving=parse_serving(way.serving) if way.serving else None,
            serving_text=way.serving,
            overrides=pipeline.placed(self.overrides.get(way.launched, {})),
        )
