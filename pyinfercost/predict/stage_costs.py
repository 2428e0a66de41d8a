"""Costs of a pipeline from those of its stages: micro-batches that fill it, the slowest stage, and the fullest one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from .. import _core
from .._records import dataclass
from ..sources.sizes import batch_name
from .plans import Boundary, boundary_of, family_of, value_of
from .quantities import column_of

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
_BLOCK = 16384  # points whose columns stay in the caches


def micro_batch(share: NDArray[np.int64], layout: Layout) -> NDArray[np.int64]:
    """Return the items of a micro-batch for shares of a batch."""
    import numpy as np

    parts = np.minimum(layout.micro_batches or layout.pipeline, np.maximum(share, 1))
    found: NDArray[np.int64] = -(-share // parts)
    return found


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
        import numpy as np

        batch = batch_name(self.graph)
        own = [
            (name, micro_batch(np.asarray(values, dtype=np.int64), self.layout) if name == batch else values, repeat)
            for name, values, repeat in axes
        ]
        for start in range(0, points, _BLOCK):
            count = min(_BLOCK, points - start)
            kinds = []
            for family in self.families:
                part = {name: np.empty(count) for name in COLUMNS}
                _core.evaluate_grid(family, own, machine, first=first + start, points=count, out=part, threads=threads)
                kinds.append(part)
            whole = {name: out[name][start : start + count] if name in out else np.empty(count) for name in COLUMNS}
            self._combine(kinds, axes, own, slice(first + start, first + start + count), machine, whole)

    def _combine(
        self,
        kinds: list[dict[str, Numbers]],
        axes: Sequence[Axis],
        own: Sequence[Axis],
        stretch: slice,
        machine: Hardware,
        out: Mapping[str, Numbers],
    ) -> None:
        """Fill the columns of all stages at some points, from those of a micro-batch in each kind of stage."""
        import numpy as np

        count = stretch.stop - stretch.start
        shares, parts = _Columns(axes, stretch), _Columns(own, stretch)
        batch = batch_name(self.graph)
        several = np.ones(1)
        if any(name == batch for name, _, _ in axes):
            share, part = shares(batch), parts(batch)
            several = (-(-share // np.maximum(part, 1))).astype(np.float64)
            if np.any(several > 1):
                self._hold(kinds, count, shares, parts)
        _core.combine_stages(
            [(columns, self.kind_of.count(kind)) for kind, columns in enumerate(kinds)],
            points=count,
            micro_batches=several,
            chunks=np.atleast_1d(np.asarray(self._chunks(count, parts), dtype=np.float64)),
            generates=self.boundary.reads_cache,
            idle_w=machine.power_w.get("idle", 0.0),
            out=out,
        )

    def _hold(
        self, kinds: list[dict[str, Numbers]], count: int, shares: Callable[[str], Any], parts: Callable[[str], Any]
    ) -> None:
        """Add the caches of the other micro-batches to the memory of each stage."""
        for kind, graph in zip(kinds, self.graphs, strict=True):
            cache = boundary_of(graph, self.precision).kv_cache_bytes
            if cache is not None:
                held, own = (column_of(self.graph, cache, count, column) for column in (shares, parts))
                kind["peak_memory_bytes"] = kind["peak_memory_bytes"] + (held - own)

    def _chunks(self, count: int, parts: Callable[[str], Any]) -> Any:
        """Return the chunks of a prompt, of a micro-batch of which an engine reads so many tokens in a step."""
        import numpy as np

        serving, tokens = self.serving, self.boundary.tokens
        if serving is None or not serving.chunk_tokens or tokens is None or self.boundary.reads_cache:
            return 1.0
        batch = batch_name(self.graph)
        try:
            sequences = np.asarray(parts(batch), dtype=np.int64)
        except KeyError:
            sequences = np.ones(count, dtype=np.int64)
        prompt = column_of(self.graph, tokens, count, parts).astype(np.int64) // np.maximum(sequences, 1)
        rest = prompt - prompt * round(serving.prefix_hit * _THOUSANDTHS) // _THOUSANDTHS
        each = np.maximum(1, serving.chunk_tokens // np.maximum(sequences, 1))
        return np.maximum(1, -(-rest // each)).astype(np.float64)


class _Columns:
    """Values of sizes at a stretch of a grid; a KeyError for another name."""

    def __init__(self, axes: Sequence[Axis], stretch: slice) -> None:
        self._axes = {name: (values, repeat) for name, values, repeat in axes}
        self._stretch = stretch

    def __call__(self, name: str) -> NDArray[np.int64]:
        import numpy as np

        values, repeat = self._axes[name]
        places = np.arange(self._stretch.start, self._stretch.stop, dtype=np.int64) // repeat % len(values)
        found: NDArray[np.int64] = np.asarray(values, dtype=np.int64)[places]
        return found
