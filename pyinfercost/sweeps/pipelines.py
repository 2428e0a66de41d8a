"""Points of a sweep whose devices wait for each other: stages of a pipeline, and copies of a model that is trained."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from .. import _core
from ..deployment import Layout
from ..inputs.serving import Serving
from ..predict.plans import trains
from ..predict.stage_costs import StagePlans
from ..predict.stages import Pipeline, Timing, pipeline_of
from ..predict.training_pipelines import plans_class
from ..predict.training_steps import with_exchange
from ..predict.workers import on_workers

if TYPE_CHECKING:
    from .._core import Graph, Hardware, PlanFamily
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
        return pipeline_of(way.graph(self.graph), Layout.parse(way.layout), timing)

    def check(self, ways: Sequence[Way]) -> None:
        """Cut the stages of some ways to run on the first machine, and make their plans.

        Raises:
            LayoutError: They cannot be cut.
        """
        on_workers(lambda way: self._plans(way, 0).prepare(), ways)

    def evaluate(
        self, way: Way, family: PlanFamily, number: int, devices: int | None, axes: Any, machine: Hardware, **grid: Any
    ) -> None:
        """Evaluate points of one way to run, with what stages and copies of a trained model wait for each other.

        Args:
            way: The way to run.
            family: The plans of one device, with the layers of all stages.
            number: The position of the machine.
            devices: Number of devices; None for those of the layout.
            axes: Sizes, as in `_core.evaluate_grid`.
            machine: The machine, scaled.
            **grid: The points, as in `_core.evaluate_grid`.
        """
        layout = Layout.parse(way.layout)
        if layout.pipeline > 1:
            self._plans(way, number, devices).evaluate(axes, machine, **grid)
            return
        _core.evaluate_grid(family, axes, machine, **grid)
        shared = layout if devices is None else layout.on(devices)
        if shared.data > 1 and trains(self.graph):
            out = grid.pop("out")
            step = way.graph(self.graph)
            added = with_exchange(step, shared, way.precision, way.execution, axes, machine, columns=out, **grid)
            for name, column in out.items():
                column[:] = added[name]

    def _plans(self, way: Way, number: int, devices: int | None = None) -> StagePlans:
        """Return the plans of the stages of a way to run on a machine, of a layout that is repeated on some devices."""
        known: dict[tuple[Way, int, int | None], StagePlans] = self.__dict__.setdefault("_known", {})
        if (way, number, devices) not in known:
            pipeline = self.at(way, number)
            layout = Layout.parse(way.layout)
            known[way, number, devices] = plans_class(pipeline).of(
                pipeline,
                layout if devices is None else layout.on(devices),
                way.precision,
                way.execution,
                serving=Serving.parse(way.serving) if way.serving else None,
                serving_text=way.serving,
                overrides=pipeline.placed(self.overrides.get(way.launched, {})),
            )
        return known[way, number, devices]

    def __getstate__(self) -> dict[str, Any]:
        # Plans are made again on demand.
        return {name: value for name, value in self.__dict__.items() if name != "_known"}
