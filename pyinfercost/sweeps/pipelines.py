"""Points of a sweep whose devices wait for each other: stages of a pipeline, and copies of a model that is trained."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from .. import _core
from ..deployment import Layout
from ..predict.stages import Timing, pipeline_of, placed, stage_plans
from ..predict.training_pipelines import TrainingStagePlans
from ..predict.training_steps import with_exchange
from ..predict.workers import on_workers

if TYPE_CHECKING:
    from .._core import DeployedPipeline, Graph, Hardware, PlanFamily
    from ..predict.plans import EngineOverrides, PlanKey


@dataclass(frozen=True)
class SweepPipelines:
    """The stages of each plan key, cut on demand.

    Attributes:
        graph: The model.
        machines: The machines.
        overrides: Work by node of the caller's rules, for each engine's graph.
    """

    graph: Graph = field(repr=False)
    machines: tuple[Hardware, ...]
    overrides: EngineOverrides

    def at(self, plan_key: PlanKey, number: int) -> Graph:
        """Return the graph of all stages of a plan key on a machine, by its position."""
        timing = Timing(self.machines[number], plan_key.precision, plan_key.execution, plan_key.serving)
        return pipeline_of(plan_key.graph(self.graph), Layout.parse(plan_key.layout), timing)

    def check(self, plan_keys: Sequence[PlanKey]) -> None:
        """Cut the stages of some plan keys on the first machine, and make their plans.

        Raises:
            LayoutError: They cannot be cut.
        """
        on_workers(lambda plan_key: self._plans(plan_key, 0).prepare(), plan_keys)

    def evaluate(
        self,
        plan_key: PlanKey,
        family: PlanFamily,
        number: int,
        devices: int | None,
        axes: Any,
        machine: Hardware,
        **grid: Any,
    ) -> None:
        """Evaluate points of one plan key, with the waits between stages and between copies of a trained model.

        Args:
            plan_key: The plan key.
            family: The plans of one device, with the layers of all stages.
            number: The position of the machine.
            devices: Number of devices; None for the devices of the layout.
            axes: Sizes, as in `_core.evaluate_grid`.
            machine: The machine, scaled.
            **grid: The points, as in `_core.evaluate_grid`.
        """
        layout = Layout.parse(plan_key.layout)
        shared = layout if devices is None else layout.on(devices)
        if layout.pipeline > 1:
            plans = self._plans(plan_key, number)
            if self.graph.trains:
                pipeline = self.at(plan_key, number)
                training = TrainingStagePlans(plans, pipeline, shared, plan_key.precision, plan_key.execution)
                training.evaluate(axes, machine, **grid)
            else:
                plans.evaluate(axes, machine, **grid)
            return
        _core.evaluate_grid(family, axes, machine, **grid)
        if shared.data > 1 and self.graph.trains:
            out = grid.pop("out")
            step = plan_key.graph(self.graph)
            added = with_exchange(
                step, shared, plan_key.precision, plan_key.execution, axes, machine, columns=out, **grid
            )
            for name, column in out.items():
                column[:] = added[name]

    def _plans(self, plan_key: PlanKey, number: int) -> DeployedPipeline:
        """Return the plans of the stages of a plan key on a machine."""
        known: dict[tuple[PlanKey, int], DeployedPipeline] = self.__dict__.setdefault("_known", {})
        if (plan_key, number) not in known:
            pipeline = self.at(plan_key, number)
            known[plan_key, number] = stage_plans(
                pipeline,
                Layout.parse(plan_key.layout),
                plan_key.precision,
                plan_key.execution,
                plan_key.serving,
                placed(pipeline, self.overrides.get(plan_key.launched, {})),
            )
        return known[plan_key, number]

    def __getstate__(self) -> dict[str, Any]:
        # Plans are made again on demand.
        return {name: value for name, value in self.__dict__.items() if name != "_known"}
