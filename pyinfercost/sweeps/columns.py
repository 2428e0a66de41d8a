"""Columns of results: the evaluator's columns are kept, the others are derived when they are requested."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from itertools import product
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from .. import _core
from .._lazy import cached_property
from ..deployment import OPTIONS, Layout
from ..deployment.cold_starts import recorded_graphs
from ..deployment.engines import forms_steps
from ..errors import CountOverflowError, UnknownNameError
from ..inputs.engine_settings import EngineSettings
from ..predict.derived_costs import OF_START, DerivedCosts, Numbers, term_name
from ..predict.memory_use import MemoryLimits, held_bytes, sequences_of, sequences_that_fit
from ..predict.model_figures import OF_GRAPH, graph_figure
from ..predict.plans import PlanKey, boundary_of, plan_key_of
from ..predict.quantities import column_of
from ..predict.stages import loaded_bytes, stages_of
from ..results import figures
from ..sources.sizes import batch_name
from .condition_syntax import unknown_column
from .spec import COMPUTED, SCALES, scale_column

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from .._core import Boundary, Graph
    from ..predict.stages import StageGraph
    from .spec import Coded, Grid, SweepFacts

_ALWAYS = frozenset({figures.HARDWARE, figures.POWER, figures.LINK})
_FIGURES = figures.of_scope(figures.SWEEP)

QUANTITIES = tuple(figure.key for figure in _FIGURES if figure.needs <= _ALWAYS)
"""Columns of results that every sweep has; a figure that is unknown on a machine is NaN."""

IF_KNOWN = tuple(figure.key for figure in _FIGURES if not figure.needs <= _ALWAYS)
"""Columns of results that need a price, a place, a model that reads tokens, or a KV cache."""

_TOO_MANY_BYTES = 2.0**63

EVIDENCE = "evidence"
"""Evidence of the band of most of the latency, in the words of `hardware.evidence.EVIDENCE`."""

EMULATED_BY = "emulated_by"
"""The dtype that computes products for which the machine has no engine; empty if there are none."""

OF_KERNELS = (EVIDENCE, EMULATED_BY)
"""Columns of texts that follow from the kernels of a point."""

TEXTS = (
    "hardware", "precision", "engine", "serving", "execution", "layout", "price", "region", "transfer", "startup",
    *OF_KERNELS,
)  # fmt: skip
"""Columns of texts."""


OF_GRAPHS = (figures.TOKENS, figures.CACHE, figures.PREFILL, figures.DECODE)
"""Needs that a graph meets."""


def quantities(*given: str) -> tuple[str, ...]:
    """Return the columns of results.

    Args:
        *given: The needs that are met, of `results.figures`: `PRICE`, `PLACE`, `TOKENS`, `CACHE`,
            `PREFILL`, `DECODE`.
    """
    met = _ALWAYS | set(given)
    return tuple(figure.key for figure in _FIGURES if figure.needs <= met)


def column_names(grid: Grid, facts: SweepFacts) -> tuple[str, ...]:
    """Return the columns of a sweep: fields of deployments and scales, sizes, and results."""
    plan_keys = [name for name in (*OPTIONS[:3], *map(scale_column, SCALES), *OPTIONS[3:]) if name in grid.names]
    sizes = [name for name in grid.names if name not in plan_keys]
    boundary = boundary_of(facts.graph, "native")
    needs = (
        (figures.PRICE, facts.priced),
        (figures.PLACE, facts.placed),
        (figures.TOKENS, boundary.tokens is not None),
        (figures.CACHE, boundary.kv_cache_bytes is not None),
    )
    results = quantities(*(need for need, met in needs if met), boundary.phase)
    at = results.index("latency_high_s") + 1
    return (*plan_keys, *sizes, *results[:at], *OF_KERNELS, *results[at:])


class GridColumns(Mapping[str, "NDArray[Any]"]):
    """Columns of results at points of a grid, by name.

    The sizes and the deployment of a point follow from its number, and other results from the columns of the
    evaluator. So a point takes 80 bytes, and 8 more if some points of the grid are left out.
    """

    def __init__(
        self,
        grid: Grid,
        facts: SweepFacts,
        points: slice | NDArray[np.int64],
        computed: Mapping[str, NDArray[np.float64]],
    ) -> None:
        self.grid = grid
        self.facts = facts
        self.points = points
        self.computed = {name: computed[name] for name in COMPUTED}
        self._names = column_names(grid, facts)

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def __contains__(self, name: object) -> bool:
        return name in self._names

    @classmethod
    def empty(cls, grid: Grid, facts: SweepFacts) -> GridColumns:
        """Return the columns without points, against which a condition is checked before anything is computed."""
        import numpy as np

        return cls(grid, facts, slice(0, 0), {name: np.empty(0) for name in COMPUTED})

    @property
    def rows(self) -> int:
        """Number of points."""
        return len(self.computed["latency_s"])

    def take(self, rows: NDArray[Any]) -> GridColumns:
        """Return some of the points: row numbers, or a mask."""
        import numpy as np

        if isinstance(self.points, slice):
            chosen = np.flatnonzero(rows) if rows.dtype == np.bool_ else rows
            points = np.asarray(chosen, dtype=np.int64) + self.points.start
        else:
            points = self.points[rows]
        return GridColumns(
            self.grid, self.facts, points, {name: column[rows] for name, column in self.computed.items()}
        )

    def stretch(self, first: int, last: int) -> GridColumns:
        """Return neighboring points of a stretch of the grid, as views of its columns."""
        start = self.points.start if isinstance(self.points, slice) else 0
        points = slice(start + first, start + last)
        computed = {name: column[first:last] for name, column in self.computed.items()}
        return GridColumns(self.grid, self.facts, points, computed)

    def labels(self, name: str) -> tuple[NDArray[np.int64], tuple[Any, ...]]:
        """Return a column of texts as codes and the values that they index."""
        if name in OF_KERNELS:
            texts = self._texts(name)
            return self._codes(texts), texts.words
        return self.grid.codes(name, self.points), self.grid.values(name)

    def __getitem__(self, name: str) -> NDArray[Any]:
        import numpy as np

        column: NDArray[Any]
        if name in self.grid.names:
            column = self.grid.column(name, self.points)
        elif name in OF_KERNELS:
            texts = self._texts(name)
            column = np.asarray(texts.words, dtype=str)[self._codes(texts)]
        elif name == "peak_memory_bytes":
            if (self.computed[name] >= _TOO_MANY_BYTES).any():
                raise CountOverflowError(f"{name} does not fit 64 bits at some point; pass smaller sizes")
            column = self.computed[name].astype(np.int64)
        elif name == "energy_j" and "devices" in self.grid.names:
            column = self.computed[name] * self["devices"]
        elif name in self and name in self.computed:
            column = self.computed[name].view()
        elif name in self:
            column = self._derived(name)
        else:
            raise UnknownNameError(unknown_column(name, self._names))
        column.flags.writeable = False
        return column

    def _texts(self, name: str) -> Coded:
        return self.facts.evidence if name == EVIDENCE else self.facts.emulation

    def _codes(self, texts: Coded) -> NDArray[np.int64]:
        import numpy as np

        codes = texts.column(lambda name: self.grid.codes(name, self.points))
        return np.array(np.broadcast_to(codes, (self.rows,)), dtype=np.int64)

    def _derived(self, name: str) -> NDArray[Any]:
        import numpy as np

        latency_s = self.computed["latency_s"]
        if name in ("latency_low_s", "latency_high_s"):
            end = _core.band_low if name == "latency_low_s" else _core.band_high
            return end(latency_s, self.computed["spread_s"])
        points = GridPoints(self)
        if name == "fits_in_memory":  # true where the size is the owner's choice, so that a filter keeps such machines
            return points.fits
        if name == "machine_memory_bytes":
            size = np.broadcast_to(np.asarray(points.term("memory_bytes"), dtype=np.float64), latency_s.shape)
            return np.where(np.isfinite(size), np.floor(size), np.nan)
        if name == "max_sequences":
            fitting: NDArray[np.float64] = points.max_sequences
            return fitting
        if name == "throughput_per_s":
            interval_s = self.computed["interval_s"]
            rate: NDArray[np.float64] = np.divide(
                points.items * points.term("instances"),
                interval_s,
                out=np.full(interval_s.shape, np.nan),
                where=interval_s > 0,
            )
            return rate
        value = points.graph_figure(name) if name in OF_GRAPH else getattr(DerivedCosts(points), name)
        return np.array(np.broadcast_to(value, latency_s.shape), dtype=np.float64)


class _Rows:
    """The rows of a grid as numbers: of the values of its axes, and of the plans that they need."""

    def __init__(self, data: GridColumns) -> None:
        self._data = data
        self._codes: dict[str, NDArray[np.int64]] = {}

    def position(self, name: str) -> NDArray[np.int64]:
        if name not in self._codes:
            self._codes[name] = self._data.grid.codes(name, self._data.points)
        return self._codes[name]

    @cached_property
    def plan_keys(self) -> tuple[list[tuple[PlanKey, int]], NDArray[np.int64]]:
        """Return the pairs of plan key and machine position, and for each row the index of its pair.

        The machine is 0 for all rows unless some layout has stages, which are balanced on it.
        """
        import numpy as np

        grid, facts = self._data.grid, self._data.facts
        names = [name for name in PlanKey._fields if name in grid.names]
        known = {name: list(dict.fromkeys(grid.values(name))) for name in names}
        staged = any(Layout.parse(layout).pipeline > 1 for layout in known.get("layout", ()))
        code: Any = np.zeros(self._data.rows, dtype=np.int64)
        for name in names:
            numbers = np.asarray([known[name].index(value) for value in grid.values(name)])
            code = code * len(known[name]) + numbers[self.position(name)]
        machines = len(facts.pipelines.machines) if staged else 1
        if staged:
            code = code * machines + facts.machine_number.column(self.position)
        values = [dict(zip(names, row, strict=True)) for row in product(*known.values())]
        return [(plan_key_of(named), number) for named in values for number in range(machines)], code


class GridPoints:
    """Points of a grid, as `derived_costs.Points`; numbers that differ between points are columns."""

    def __init__(self, data: GridColumns) -> None:
        self._data = data
        self._rows = _Rows(data)

    @property
    def latency_s(self) -> NDArray[np.float64]:
        """Seconds of a forward."""
        return self._data.computed["latency_s"]

    @property
    def interval_s(self) -> NDArray[np.float64]:
        """Seconds between the starts of two forwards under continuous load."""
        return self._data.computed["interval_s"]

    @property
    def energy_j(self) -> NDArray[np.float64]:
        """Joules of a forward on all devices."""
        return self._data["energy_j"]

    @property
    def items(self) -> Numbers:
        """Items of the batch; 1 if the grid has no batch."""
        batch = batch_name(self._data.facts.graph)
        return self._data[batch] if batch in self._data.grid.names else 1.0

    @property
    def devices(self) -> Numbers:
        """Number of devices."""
        return self._data["devices"] if "devices" in self._data.grid.names else 1.0

    @cached_property
    def copies(self) -> NDArray[np.int64]:
        """Copies of the model that share the batch."""
        import numpy as np

        grid = self._data.grid
        devices: NDArray[np.int64] = self._data["devices"]
        if "layout" not in grid.names:
            return devices
        layouts = [Layout.parse(each) for each in grid.values("layout")]
        ranks, shares = (np.asarray(each) for each in zip(*((x.ranks, x.attention_data) for x in layouts), strict=True))
        place = self._rows.position("layout")
        found: NDArray[np.int64] = devices // ranks[place] * shares[place]
        return found

    @property
    def utilization(self) -> Numbers:
        """Share of the paid time in which devices work."""
        in_grid = "utilization" in self._data.grid.names
        return self._data["utilization"] if in_grid else self._data.facts.utilization

    @property
    def draft_tokens_per_step(self) -> Numbers:
        """Tokens of a sequence that a decode step with drafts yields."""
        import numpy as np

        grid = self._data.grid
        if "serving" not in grid.names:
            return 1.0
        of_text = np.asarray([EngineSettings.parse(text).tokens_per_step for text in grid.values("serving")])
        found: NDArray[np.float64] = of_text[self._rows.position("serving")]
        if "engine" in grid.names:
            forms_none = np.asarray([not forms_steps(engine) for engine in grid.values("engine")])
            found = np.where(forms_none[self._rows.position("engine")], 1.0, found)
        return found

    @property
    def max_sequences(self) -> NDArray[np.float64]:
        """Sequences that fit in the memory of one device; not a number where its owner chooses the size."""
        return self._sequences[0]

    @cached_property
    def _sequences(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Sequences that fit in the memory of one device, and sequences of the forward."""
        import numpy as np

        machine = [
            np.broadcast_to(np.asarray(self.term(name), dtype=np.float64), (self._data.rows,))
            for name in ("memory_bytes", "is_gpu", "is_a100")
        ]
        peak_bytes = self._data.computed["peak_memory_bytes"]
        found, asked = np.empty(self._data.rows), np.ones(self._data.rows)
        plan_keys, codes = self._rows.plan_keys
        for code, (plan_key, number) in enumerate(plan_keys):
            rows = np.flatnonzero(codes == code)
            if not len(rows):
                continue
            parts = Layout.parse(plan_key.layout).attention_tensor
            stages = self._stages(plan_key, number)
            graphs = [stage.graph for stage in stages] or [plan_key.graph(self._data.facts.graph)]
            value = partial(self._quantity, rows=rows, share=True)
            held: list[Any] = [held_bytes(graph, plan_key.precision, value) for graph in graphs] if stages else [0.0]
            others = peak_bytes[rows] - np.max(np.broadcast_arrays(*held), axis=0)
            memory_bytes, gpu, a100 = (column[rows] for column in machine)
            fitting: list[Any] = [
                sequences_that_fit(
                    graph,
                    plan_key.precision,
                    plan_key.engine,
                    (memory_bytes, gpu, a100),
                    of_graph + others,
                    value,
                    parts,
                    MemoryLimits.of(EngineSettings.parse(plan_key.serving)),
                )
                for graph, of_graph in zip(graphs, held, strict=True)
            ]
            found[rows] = np.min(fitting, axis=0)
            asked[rows] = sequences_of(graphs[0], plan_key.precision, value)
        return found, asked

    @property
    def fits(self) -> NDArray[np.bool_]:
        """Whether each point fits the memory: with an engine that divides it, whether its sequences fit the pool."""
        import numpy as np

        memory_bytes = self.term("memory_bytes")
        enough_memory = np.asarray(self._data.computed["peak_memory_bytes"] <= memory_bytes)
        plan_keys, codes = self._rows.plan_keys
        divides = np.asarray([_core.divides_memory(plan_key.engine, True) for plan_key, _ in plan_keys])[codes]
        divides &= np.broadcast_to(np.asarray(self.term("is_gpu")) > 0, divides.shape)
        if not divides.any() or "max_sequences" not in self._data:
            return enough_memory
        most, asked = self._sequences
        enough = np.isinf(memory_bytes) | (most >= asked)
        return np.where(divides, enough, enough_memory)

    def _stages(self, plan_key: PlanKey, number: int) -> tuple[StageGraph, ...]:
        """Return the stages with a KV cache of a plan key on a machine, by its position; none without a pipeline."""
        if Layout.parse(plan_key.layout).pipeline == 1:
            return ()
        stages = stages_of(self._data.facts.pipelines.at(plan_key, number))
        return tuple(each for each in stages if boundary_of(each.graph, plan_key.precision).kv_cache_bytes is not None)

    @property
    def recorded_graphs(self) -> Numbers:
        """Graphs that the engine records when it starts; not a number where its warm-up is not known."""
        import numpy as np

        plan_keys, codes = self._rows.plan_keys
        of_way = [
            recorded_graphs(plan_key.engine, plan_key.execution, EngineSettings.parse(plan_key.serving))
            for plan_key, _ in plan_keys
        ]
        found: NDArray[np.float64] = np.asarray(of_way)[codes]
        return found

    def term(self, name: str) -> Numbers:
        """Return a number of the deployments, by its name in `TERMS`."""
        import numpy as np

        terms = self._data.facts.terms
        found: Numbers = terms[name].column(self._rows.position)
        if name not in OF_START:
            return found
        plan_keys, code = self._rows.plan_keys
        names = [term_name(name, plan_key.engine) for plan_key, _ in plan_keys]
        for other in set(names) - {name}:
            found = np.where(
                np.asarray([each == other for each in names])[code], terms[other].column(self._rows.position), found
            )
        return found

    def boundary(self, of: Callable[[Boundary], Any], *, share: bool = False) -> Numbers:
        """Return a quantity at the boundary of a forward: of the whole batch, or of the largest share of a device."""
        return self._of_way(lambda graph, precision: of(boundary_of(graph, precision)), share=share)

    @property
    def loaded_bytes(self) -> Numbers:
        """Weights and buffers that a device loads: of a pipeline, one of the stage with most of them."""
        import numpy as np

        if not any(Layout.parse(layout).pipeline > 1 for layout in self._layouts()):
            return self.boundary(lambda at: at.weight_bytes)
        plan_keys, code = self._rows.plan_keys
        graph, pipelines = self._data.facts.graph, self._data.facts.pipelines
        values = np.empty(len(plan_keys))
        for place in np.unique(code).tolist():  # other combinations of paired axes have no rows
            plan_key, number = plan_keys[place]
            staged = Layout.parse(plan_key.layout).pipeline > 1
            launched = pipelines.at(plan_key, number) if staged else plan_key.graph(graph)
            values[place] = loaded_bytes(launched, plan_key.precision, launched.size_values({}))
        found: NDArray[np.float64] = values[code]
        return found

    def _layouts(self) -> Sequence[str]:
        grid = self._data.grid
        return grid.values("layout") if "layout" in grid.names else ()

    def graph_figure(self, key: str) -> Numbers:
        """Return a figure that follows from the graph, for the largest share of the batch on one device."""
        return self._of_way(lambda graph, precision: graph_figure(key, graph, precision) or 0, share=True)

    def _of_way(self, of: Callable[[Graph, str], Any], *, share: bool) -> Numbers:
        """Return a quantity of the graph of each point's engine and layout, in its precision."""
        import numpy as np

        graph = self._data.facts.graph
        plan_keys, code = self._rows.plan_keys
        of_launched: dict[tuple[str, str, str], Any] = {}
        for plan_key, _ in plan_keys:
            key = (plan_key.precision, plan_key.engine, plan_key.layout)
            if key not in of_launched:
                of_launched[key] = of(plan_key.graph(graph), plan_key.precision)
        found = [of_launched[plan_key.precision, plan_key.engine, plan_key.layout] for plan_key, _ in plan_keys]
        if len(of_launched) == 1:
            return self._quantity(found[0], slice(None), share=share)
        if all(isinstance(quantity, int) for quantity in found):
            values = np.asarray([float(quantity) for quantity in found])
            return float(values[0]) if (values == values[0]).all() else values[code]
        rows_of = np.empty(self._data.rows)
        for number, quantity in enumerate(found):
            rows = np.flatnonzero(code == number)
            rows_of[rows] = self._quantity(quantity, rows, share=share)
        return rows_of

    def _quantity(
        self, quantity: Any, rows: Any, *, share: bool, given: Mapping[str | None, int] = MappingProxyType({})
    ) -> NDArray[np.float64]:
        """Return a quantity at some rows, with other values of some sizes."""
        import numpy as np

        data = self._data
        count = data.rows if isinstance(rows, slice) else len(rows)

        def column(name: str) -> NDArray[np.int64]:
            if name in given:
                return np.full(count, given[name])
            whole: NDArray[np.int64] = data[name]
            if share and name == batch_name(data.facts.graph) and "devices" in data.grid.names:
                whole = -(-whole // self.copies)
            chosen: NDArray[np.int64] = whole[rows]
            return chosen

        found: NDArray[np.float64] = column_of(data.facts.graph, quantity, count, column)
        return found
