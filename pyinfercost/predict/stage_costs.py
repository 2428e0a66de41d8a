"""Costs of the stages of a pipeline, whose plans and sums `csrc/deploy/deployed_pipeline.cpp` has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from .. import _core
from .._records import dataclass
from ..inputs.serving import Serving
from .plans import graph_cache

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from typing_extensions import Self

    from .._core import Graph, Hardware, Work
    from ..inputs.layout import Layout

Numbers: TypeAlias = "NDArray[np.float64]"
Axis: TypeAlias = "tuple[str, NDArray[np.int64], int]"
"""A size, its values, and for how many points in a row a value stands."""

COLUMNS = tuple(_core.evaluator_columns())


def most_micro_batches(layout: Layout) -> int:
    """Return the micro-batches of a batch that has as many items."""
    return layout.micro_batches or layout.pipeline


@dataclass(frozen=True)
class StagePlans:
    """Plans of the stages of a pipeline, of which stages with equal costs have one.

    Attributes:
        core: The stages, as the core has them.
        graph: The graph of all stages.
        layout: The layout.
        precision: Dtype to run in.
        execution: How it runs.
        step: Settings of an engine's steps, by the names of the core.
    """

    core: _core.DeployedPipeline
    graph: Graph
    layout: Layout
    precision: str
    execution: str
    step: Mapping[str, Any]

    @classmethod
    def of(
        cls,
        graph: Graph,
        layout: Layout,
        precision: str,
        execution: str,
        serving: str,
        overrides: Mapping[int, Work] | None = None,
    ) -> Self:
        """Return the plans of a pipeline.

        Args:
            graph: The graph of all stages.
            layout: The layout.
            precision: Dtype to run in.
            execution: How it runs.
            serving: Settings of an engine's steps, as text.
            overrides: Work by node of the graph of all stages; such plans are not kept.
        """
        step = Serving.parse(serving).for_plans() if serving else {}
        most = most_micro_batches(layout)
        kept = {} if overrides else graph_cache(graph)
        key = ("stage plans", precision, execution, most)
        if key not in kept:
            kept[key] = _core.DeployedPipeline(
                graph, precision=precision, execution=execution, micro_batches=most, overrides=overrides
            )
        return cls(kept[key], graph, layout, precision, execution, step)

    def prepare(self) -> None:
        """Make the plans at the default sizes; at most other sizes they are the same."""
        self.core.prepare(self.step)

    def evaluate(
        self,
        axes: Sequence[Axis],
        machine: Hardware,
        *,
        first: int,
        points: int,
        out: Mapping[str, Numbers],
        threads: int = 1,
    ) -> None:
        """Evaluate points of a grid, as `_core.evaluate_grid` does for one graph.

        Args:
            axes: Sizes, for the largest share of the batch.
            machine: The machine.
            first: Number of the first point.
            points: Number of points.
            out: Columns that are filled.
            threads: Threads of this process.
        """
        self.core.evaluate(axes, machine, first=first, points=points, out=out, step=self.step, threads=threads)
