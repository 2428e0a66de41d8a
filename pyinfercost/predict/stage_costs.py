"""Plans of the stages of a pipeline; `csrc/deploy/pipeline_plans.cpp` has the costs of all stages together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, TypeAlias

from .. import _core
from .._records import dataclass
from .plans import Boundary, boundary_of, family_of, value_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from .._core import Graph, Hardware, PlanFamily, Work
    from ..inputs.layout import Layout
    from ..inputs.serving import Serving
    from .stages import Pipeline

Numbers: TypeAlias = "NDArray[np.float64]"
Axis: TypeAlias = "tuple[str, NDArray[np.int64], int]"
"""A size, its values, and for how many points in a row a value stands."""

COLUMNS = tuple(_core.evaluator_columns())
_THOUSANDTHS = 1000


def most_micro_batches(layout: Layout) -> int:
    """Return the micro-batches of a batch that has as many items."""
    return layout.micro_batches or layout.pipeline


@dataclass(frozen=True)
class StagePlans:
    """Plans of the stages of a pipeline, of which stages with equal costs have one.

    Attributes:
        families: Plans of a stage of each kind.
        graphs: Graphs of these stages.
        kind_of: For each stage the place of its kind.
        graph: The graph of all stages.
        layout: The layout.
        boundary: Boundary of the whole model.
        precision: Dtype to run in.
        serving: How an engine forms its steps; None for an engine that forms none.
        execution: How it runs.
    """

    families: tuple[PlanFamily, ...]
    graphs: tuple[Graph, ...]
    kind_of: tuple[int, ...]
    graph: Graph
    layout: Layout
    boundary: Boundary
    precision: str
    serving: Serving | None
    execution: str

    @classmethod
    def of(
        cls,
        pipeline: Pipeline,
        layout: Layout,
        precision: str,
        execution: str,
        *,
        serving: Serving | None,
        serving_text: str,
        overrides: Mapping[int, Work] | None = None,
    ) -> StagePlans:
        """Return the plans of a pipeline.

        Args:
            pipeline: The stages.
            layout: The layout.
            precision: Dtype to run in.
            execution: How it runs.
            serving: How an engine forms its steps; None for an engine that forms none.
            serving_text: The same as text.
            overrides: Work by node of the graph of all stages.
        """
        kinds = pipeline.kinds()
        if overrides:  # stages may differ in them
            kinds = tuple(range(len(pipeline.stages)))
        first = list(dict.fromkeys(kinds))
        families = []
        for number in first:
            stage = pipeline.stages[number]
            own = {place: overrides[node] for place, node in enumerate(stage.nodes) if overrides and node in overrides}
            families.append(family_of(stage.graph, precision, execution, own or None, serving_text))
        return cls(
            tuple(families),
            tuple(pipeline.stages[number].graph for number in first),
            tuple(first.index(kind) for kind in kinds),
            pipeline.graph,
            layout,
            boundary_of(pipeline.graph, precision),
            precision,
            serving,
            execution,
        )

    def memory_bytes(
        self, number: int, peak: float, share: Mapping[str, int], parts: Mapping[str, int], machine: Hardware
    ) -> int:
        """Return the memory of a stage at one point, with the caches of all micro-batches.

        Args:
            number: The stage.
            peak: Its peak for one micro-batch.
            share: Sizes of all micro-batches.
            parts: Sizes of one.
            machine: The machine.
        """
        cache = boundary_of(self.graphs[self.kind_of[number]], self.precision).kv_cache_bytes
        return int(peak) + (0 if cache is None else value_of(cache, share) - value_of(cache, parts))

    def prepare(self) -> None:
        """Make the plans at the default sizes; at most other sizes they are the same."""
        for family, graph in zip(self.families, self.graphs, strict=True):
            sizes = graph.size_values({})
            family.plan_for({name: size for name, size in sizes.items() if not graph.depends_on_data(name)})

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
        serving = self.serving
        cached = [boundary_of(graph, self.precision).kv_cache_bytes for graph in self.graphs]
        _core.evaluate_pipeline(
            self.graph,
            [(family, self.kind_of.count(kind), cached[kind]) for kind, family in enumerate(self.families)],
            axes,
            machine,
            first=first,
            points=points,
            out=out,
            micro_batches=most_micro_batches(self.layout),
            generates=self.boundary.reads_cache,
            tokens=self.boundary.tokens,
            chunk_tokens=0 if serving is None else serving.chunk_tokens,
            cached_thousandths=0 if serving is None else round(serving.prefix_hit * _THOUSANDTHS),
            threads=threads,
        )
