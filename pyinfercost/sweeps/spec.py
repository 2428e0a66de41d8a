"""A sweep as data: the grid of its points, their deployments, and the computed columns.

A spec pickles small, and any stretch of its points is computed alone.
"""

from __future__ import annotations

import hashlib
import pickle
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from math import prod
from typing import TYPE_CHECKING, Any, Protocol

from .. import _core
from .._lazy import cached_property
from ..deployment import OPTIONS, Layout
from ..errors import CountOverflowError, InputError
from ..predict.model_figures import OF_GRAPH, graph_figure
from ..predict.plans import EngineOverrides, PlanKey, boundary_of, plan_key_of, value_of
from ..sources.sizes import Ranges, batch_name, maximum, minimum, taken
from .pipelines import SweepPipelines

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from .._core import Graph, Hardware, PlanFamily

SCALES = ("cores", "compute", "bandwidth")
"""Factors of `Hardware.scaled`; their columns are `cores_scale` and so on."""

COMPUTED = tuple(_core.evaluator_columns())
"""The columns of the evaluator; other columns follow from these and from the point."""


def copies_of(named: Mapping[str, Any]) -> int:
    """Return the copies of the model that share the batch at a point with these values."""
    devices: int = named.get("devices", 1)
    return Layout.parse(named["layout"]).on(devices).copies if "layout" in named else devices


def scale_column(scale: str) -> str:
    """Return the column of a scale."""
    return f"{scale}_scale"


# ---- grid ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Axis:
    """One axis: the values of a name, or of several names that vary together.

    Attributes:
        names: The names.
        columns: For each name its values along the axis, all of one length: an int64 array for a size, else a tuple;
            `Ranges` if they are many.
    """

    names: tuple[str, ...]
    columns: tuple[Sequence[Any] | NDArray[np.int64], ...]

    def __len__(self) -> int:
        return len(self.columns[0])


class Grid:
    """A product of axes, the last of them innermost: point 0 is the first value of each.

    A point is a number in `range(len(grid))`. Its values are computed on demand, so that a grid of 10^10 points takes
    no memory.
    """

    def __init__(self, axes: Sequence[Axis]) -> None:
        self.axes = tuple(axes)
        self.size = prod(len(axis) for axis in self.axes)
        self._places: dict[str, tuple[Any, int]] = {}
        repeat = self.size
        for axis in self.axes:
            repeat = repeat // len(axis) if len(axis) else 0
            for name, values in zip(axis.names, axis.columns, strict=True):
                self._places[name] = (values, repeat)

    def __len__(self) -> int:
        return self.size

    @property
    def names(self) -> tuple[str, ...]:
        """The names of all axes, in order."""
        return tuple(self._places)

    def values(self, name: str) -> Any:
        """Return the values of a name along its axis, as in `Axis`."""
        return self._places[name][0]

    def repeat(self, name: str) -> int:
        """Return the number of consecutive points with the same value."""
        return self._places[name][1]

    def position(self, name: str, point: int) -> int:
        """Return the position of a point on the axis of a name."""
        values, repeat = self._places[name]
        return point // repeat % len(values)

    def at(self, name: str, point: int) -> Any:
        """Return the value of a name at a point."""
        return self.values(name)[self.position(name, point)]

    def codes(self, name: str, points: slice | NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the positions of some points in `values(name)`."""
        import numpy as np

        values, repeat = self._places[name]
        if not isinstance(points, slice):
            return points // repeat % len(values)
        # A stretch of the grid: runs of equal values need no division per point.
        first, last = points.start, points.stop
        start = first // repeat
        runs = (last - 1) // repeat - start + 1 if last > first else 0
        codes = np.arange(start, start + runs, dtype=np.int64) % len(values)
        if repeat > 1 and runs:
            # Clipped to the stretch: a run of an outer axis may be larger than memory.
            lengths = np.full(runs, min(repeat, last - first), dtype=np.int64)
            lengths[0] = min((start + 1) * repeat, last) - first
            if runs > 1:
                lengths[-1] = last - (start + runs - 1) * repeat
            codes = np.repeat(codes, lengths)
        return codes

    def column(self, name: str, points: slice | NDArray[np.int64]) -> NDArray[Any]:
        """Return the values of a name at some points."""
        return taken(self.values(name), self.codes(name, points))

    def plan_keys(self) -> list[PlanKey]:
        """Return the plan keys of the grid."""
        parts: list[list[dict[str, Any]]] = []
        for axis in self.axes:
            own = [name for name in axis.names if name in PlanKey._fields]
            if own:
                rows = dict.fromkeys(zip(*(self.values(name) for name in own), strict=True))
                parts.append([dict(zip(own, row, strict=True)) for row in rows])
        plan_keys = ({name: value for part in parts_of for name, value in part.items()} for parts_of in product(*parts))
        return [plan_key_of(named) for named in plan_keys]


# ---- values at the points of a grid ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Lookup:
    """A value that depends on the position on some axes of a grid.

    Attributes:
        axes: For each dimension of `values` a name on its axis, and for each position of the axis the index into
            `values`; None if position and index are equal.
        values: The values.
    """

    axes: tuple[tuple[str, NDArray[np.int64] | None], ...]
    values: NDArray[Any]

    def column(self, position: Callable[[str], NDArray[np.int64]]) -> Any:
        """Return the values at some points: one number if they are all equal, else an array.

        Args:
            position: Gives the positions of the points on the axis of a name.
        """
        if not self.axes:
            return self.values.item()
        places = [position(name) if numbers is None else numbers[position(name)] for name, numbers in self.axes]
        return self.values[tuple(places)]

    def at(self, grid: Grid, point: int) -> Any:
        """Return the value at one point."""
        places = [(grid.position(name, point), numbers) for name, numbers in self.axes]
        return self.values[tuple(place if numbers is None else numbers[place] for place, numbers in places)]

    def content(self) -> tuple[Any, ...]:
        """Return the content as plain values, for a hash."""
        axes = [(name, None if numbers is None else numbers.tobytes()) for name, numbers in self.axes]
        return axes, self.values.shape, self.values.tobytes()


class Coded(Protocol):
    """Texts of a column, as positions in a list; computed for the points that are asked for."""

    @property
    def words(self) -> tuple[str, ...]:
        """The list."""

    def column(self, position: Callable[[str], NDArray[np.int64]]) -> NDArray[np.int64]:
        """Return the positions in the list at some points, as `Lookup.column` does."""


@dataclass(frozen=True)
class SweepFacts:
    """Inputs of the columns of results, besides the points.

    Attributes:
        graph: The model.
        terms: The numbers of `derived_costs.TERMS` at each point.
        utilization: Share of the paid time in which devices work, for a grid without such an axis.
        priced: Whether a price is known at some point.
        placed: Whether a region is known at some point.
        evidence: Evidence of the bands.
        emulation: Dtypes that compute precisions for which a machine has no engine.
        machine_number: The position of the machine at each point.
        pipelines: Stages of the layouts that have some.
    """

    graph: Graph = field(repr=False)
    terms: Mapping[str, Lookup]
    utilization: float
    priced: bool
    placed: bool
    evidence: Coded
    emulation: Coded
    machine_number: Lookup
    pipelines: SweepPipelines

    def content(self) -> tuple[Any, ...]:
        """Return all but the graph as plain values, for a hash."""
        terms = [(name, lookup.content()) for name, lookup in self.terms.items()]
        return terms, self.utilization, self.priced, self.placed  # texts of kernels follow from the rest of a spec


# ---- spec ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class SweepSpec:
    """A sweep as data.

    Attributes:
        model: Name of the model.
        graph: The graph.
        overrides: Work by node of the caller's rules, for the graph of each engine and layout.
        grid: The points.
        open_sizes: Names of the grid that are sizes of the graph; the capture fixed the others.
        machines: The machines.
        machine_number: The position in `machines` at each point.
        facts: Inputs of the columns of results.
    """

    model: str
    graph: Graph
    overrides: EngineOverrides
    grid: Grid
    open_sizes: tuple[str, ...]
    machines: tuple[Hardware, ...]
    machine_number: Lookup
    facts: SweepFacts

    def __len__(self) -> int:
        return len(self.grid)

    @cached_property
    def key(self) -> str:
        """A hash of all values that the results depend on, and of the version of the package."""
        axes = [(axis.names, [_hashed(column) for column in axis.columns]) for axis in self.grid.axes]
        works = sorted(
            (launched, node, work.__getstate__())
            for launched, of_node in self.overrides.items()
            for node, work in of_node.items()
        )
        parts = (
            _core.__version__,
            self.model,
            self.graph.to_json(),
            works,
            [machine.__getstate__() for machine in self.machines],
            self.machine_number.content(),
            axes,
            self.open_sizes,
            self.facts.content(),
        )
        return hashlib.sha256(repr(parts).encode()).hexdigest()

    def __getstate__(self) -> dict[str, Any]:
        # The key travels; families of plans and numbers of values are computed again on demand.
        state = {**self.__dict__, "key": self.key, "_families": {}}
        state.pop("_value_numbers", None)
        return state

    def compute(self, first: int, out: Mapping[str, NDArray[np.float64]], *, threads: int = 1) -> None:
        """Compute the points from `first` on into `out`.

        Args:
            first: Number of the first point.
            out: Contiguous columns of `COMPUTED`, all of shape (points,).
            threads: Threads of this process.

        Raises:
            InputError: The graph does not allow a point.
        """
        points = len(next(iter(out.values())))
        if self._ways_are_outermost:
            inner = prod(len(axis) for axis in self.grid.axes[self._fixed_depth :])
            done = 0
            while done < points:
                offset = (first + done) % inner
                count = min(inner - offset, points - done)
                part = {name: column[done : done + count] for name, column in out.items()}
                self._compute_way(first + done, offset, part, threads)
                done += count
        else:
            self._compute_mixed(first, points, out, threads)

    @cached_property
    def way_names(self) -> tuple[str, ...]:
        """The names of the grid that are fields of deployments, or scales."""
        scales = tuple(scale_column(scale) for scale in SCALES)
        return tuple(name for name in self.grid.names if name in (*OPTIONS, *scales))

    @cached_property
    def _way_depth(self) -> int:
        """Number of axes before the first one with a size."""
        for depth, axis in enumerate(self.grid.axes):
            if not any(name in self.way_names for name in axis.names):
                return depth
        return len(self.grid.axes)

    @cached_property
    def _fixed_depth(self) -> int:
        """Number of axes that have one value in a call of the evaluator: those before the last one of ranges."""
        for depth in range(len(self.grid.axes) - 1, self._way_depth, -1):
            if any(isinstance(values, Ranges) for values in self.grid.axes[depth].columns):
                return depth
        return self._way_depth

    @cached_property
    def _fixed_sizes(self) -> frozenset[str]:
        return frozenset(name for axis in self.grid.axes[self._way_depth : self._fixed_depth] for name in axis.names)

    @cached_property
    def _ways_are_outermost(self) -> bool:
        outer = self.grid.axes[: self._way_depth]
        names = [name for axis in outer for name in axis.names]
        return sorted(names) == sorted(self.way_names)

    def _compute_way(self, first: int, offset: int, out: Mapping[str, NDArray[np.float64]], threads: int) -> None:
        """Compute points with equal values on the first `_fixed_depth` axes.

        Args:
            first: Number of the first point.
            offset: Its number among the points with these values.
            out: Their columns.
            threads: Threads of this process.
        """
        named = {name: self.grid.at(name, first) for name in self.way_names}
        points, copies = len(next(iter(out.values()))), copies_of(named)
        if self._has_ranges:
            offset, axes = self._axes_of(first, offset, points, copies)
        else:
            values = self.grid.values
            axes = [
                (name, self._shares(name, values(name), copies), self.grid.repeat(name)) for name in self.open_sizes
            ]
        self._evaluate(first, named, axes, first=offset, points=points, out=out, threads=threads)

    def _evaluate(
        self, point: int, named: Mapping[str, Any], axes: list[tuple[str, NDArray[np.int64], int]], **grid: Any
    ) -> None:
        """Evaluate points with the plan key and the machine of one of them; `grid` is as in `_core.evaluate_grid`."""
        plan_key, number = plan_key_of(named), self.machine_number.at(self.grid, point)
        machine, family = self._machine(number, named), self.family(plan_key)
        if Layout.parse(plan_key.layout).pipeline > 1 or self.graph.trains:
            self.facts.pipelines.evaluate(plan_key, family, number, named.get("devices"), axes, machine, **grid)
        else:
            _core.evaluate_grid(family, axes, machine, **grid)

    def _axes_of(
        self, first: int, offset: int, points: int, copies: int
    ) -> tuple[int, list[tuple[str, NDArray[np.int64], int]]]:
        """Return the axes of some points, of ranges only the values at these points, and the offset on these axes."""
        import numpy as np

        start = offset
        axes = []
        for name in self.open_sizes:
            values, repeat = self.grid.values(name), self.grid.repeat(name)
            if name in self._fixed_sizes:
                values, repeat = [self.grid.at(name, first)], 1
            elif isinstance(values, Ranges):
                start = offset % repeat  # `repeat` is a multiple of the periods of the inner axes
                values = values.at(np.arange(offset // repeat, (offset + points - 1) // repeat + 1))
            axes.append((name, self._shares(name, values, copies), repeat))
        return start, axes

    @cached_property
    def _has_ranges(self) -> bool:
        return any(isinstance(self.grid.values(name), Ranges) for name in self.open_sizes)

    @cached_property
    def _value_numbers(self) -> dict[str, NDArray[np.int64]]:
        """For each name of a deployment its values along the axis as numbers, equal for equal values; not of ranges."""
        import numpy as np

        found = {}
        for name in self.way_names:
            if isinstance(self.grid.values(name), Ranges):
                continue
            number_of: dict[Any, int] = {}
            numbers = [number_of.setdefault(value, len(number_of)) for value in self.grid.values(name)]
            found[name] = np.asarray(numbers, dtype=np.int64)
        return found

    def _compute_mixed(self, first: int, points: int, out: Mapping[str, NDArray[np.float64]], threads: int) -> None:
        """Compute a stretch of several deployments in any order; rows of one deployment are computed together."""
        import numpy as np

        stretch = slice(first, first + points)
        # Rows of one deployment have equal values, at any positions of a list of points.
        columns = [
            self._value_numbers[name][self.grid.codes(name, stretch)]
            if name in self._value_numbers
            else self.grid.column(name, stretch)
            for name in self.way_names
        ]
        columns.append(np.broadcast_to(self.machine_number.column(lambda name: self.grid.codes(name, stretch)), points))
        plan_keys, group = np.unique(np.stack(columns), axis=1, return_inverse=True)
        order = np.argsort(group, kind="stable")
        bounds = np.searchsorted(group[order], np.arange(plan_keys.shape[1] + 1))
        for number in range(plan_keys.shape[1]):
            rows = order[bounds[number] : bounds[number + 1]]
            at = first + int(rows[0])
            named = {name: self.grid.at(name, at) for name in self.way_names}
            axes = []
            for name in self.open_sizes:
                values = self.grid.column(name, first + rows)
                axes.append((name, self._shares(name, values, copies_of(named)), 1))
            part = {name: np.empty(len(rows)) for name in out}
            self._evaluate(at, named, axes, first=0, points=len(rows), out=part, threads=threads)
            for name, column in part.items():
                out[name][rows] = column

    def _shares(self, name: str, values: Any, copies: int) -> NDArray[np.int64]:
        """Return values of a size on the copy with the largest share of the batch."""
        import numpy as np

        sizes = np.asarray(values, dtype=np.int64)
        return -(-sizes // copies) if name == batch_name(self.graph) and copies > 1 else sizes

    def family(self, plan_key: PlanKey) -> PlanFamily:
        """Return the plans of the graph for one plan key."""
        families: dict[PlanKey, PlanFamily] = self.__dict__.setdefault("_families", {})
        if plan_key not in families:
            families[plan_key] = plan_key.family(self.graph, self.overrides)
        return families[plan_key]

    def _machine(self, number: int, named: Mapping[str, Any]) -> Hardware:
        machine: Hardware = self.machines[number]
        scales = {scale: named[scale_column(scale)] for scale in SCALES if scale_column(scale) in named}
        return machine.scaled(**scales) if scales else machine

    def check(self) -> None:
        """Make each plan once, so that an unknown key fails before anything is computed.

        Raises:
            InputError: A precision, an engine or an execution is unknown, or an engine does not run the graph.
        """
        for plan_key in self.grid.plan_keys():
            self.family(plan_key)
        if cut := [plan_key for plan_key in self.grid.plan_keys() if Layout.parse(plan_key.layout).pipeline > 1]:
            self.facts.pipelines.check(cut)

    def to_bytes(self) -> bytes:
        """Return the spec as bytes for another process: a few kilobytes, since the JSON of a graph compresses well."""
        import zlib

        return zlib.compress(pickle.dumps(self, protocol=5), 6)

    @staticmethod
    def from_bytes(data: bytes) -> SweepSpec:
        """Return the spec of `to_bytes`. The data must be trusted: it is a pickle."""
        import zlib

        spec: SweepSpec = pickle.loads(zlib.decompress(data))
        return spec


def _hashed(column: Any) -> Any:
    """Return a column as a value for a hash: arrays as bytes, since their repr is slow and differs between versions."""
    if isinstance(column, Ranges):
        return [(part.start, part.stop, part.step) for part in column.parts]
    return column.tobytes() if hasattr(column, "tobytes") else list(column)


# ---- the greatest sizes ----------------------------------------------------------------------------------------------

_DEVICES = "devices"
_MOST_CORNERS = 256
"""Maximum number of rows of a list of points that are checked, the greatest ones; others fail when they are read."""


def check_corner(spec: SweepSpec) -> None:
    """Check that all totals fit 64 bits at the greatest sizes, as `estimate` does at its point.

    Totals rise with sizes. A list of points need not contain the greatest value of each size together; its rows are
    checked if these values fail.

    Raises:
        CountOverflowError: A total does not fit; the message names the sizes.
    """
    corner = {name: maximum(spec.grid.values(name)) for name in spec.open_sizes}
    if _DEVICES in spec.grid.names:
        corner[_DEVICES] = minimum(spec.grid.values(_DEVICES))
    error = _overflow(spec, corner)
    for row in () if error is None else _rows(spec, corner):
        error = _overflow(spec, row)
        corner = row
        if error is not None:
            break
    if error is None:
        return
    alone = [
        name for name in spec.open_sizes if _overflow(spec, {**corner, name: minimum(spec.grid.values(name))}) is None
    ]
    named = ", ".join(f"{name}={corner[name]}" for name in alone or spec.open_sizes)
    raise CountOverflowError(f"totals at {named} do not fit 64 bits ({error}); pass smaller sizes")


def _rows(spec: SweepSpec, corner: Mapping[str, int]) -> Iterator[dict[str, int]]:
    """Yield the corners of a list of points, those that no other one exceeds in every size; else the corner itself."""
    import numpy as np

    axes = [axis for axis in spec.grid.axes if len(axis.names) > 1]
    names = [name for axis in axes for name in axis.names if name in corner]
    if not any(name in spec.open_sizes for name in names):
        yield dict(corner)
        return
    every = np.arange(len(axes[0]))
    rows = np.unique(np.stack([taken(spec.grid.values(name), every) for name in names]), axis=1)
    front = _core.pareto_front([row.astype(np.float64) for row in rows], [name != _DEVICES for name in names])
    greatest = front[np.argsort(-np.log2(rows[:, front].astype(np.float64)).sum(axis=0), kind="stable")]
    for place in greatest[:_MOST_CORNERS].tolist():
        yield {**corner, **dict(zip(names, rows[:, place].tolist(), strict=True))}


def _overflow(spec: SweepSpec, corner: Mapping[str, int]) -> str | None:
    """Return the message of a total that does not fit at some sizes; None if all fit, or the sizes are not allowed."""
    sizes = {name: int(corner[name]) for name in spec.open_sizes}
    share = dict(sizes)
    batch = batch_name(spec.graph)
    if batch in share:
        share[batch] = -(-share[batch] // _least_copies(spec, int(corner.get(_DEVICES, 1))))
    try:
        for plan_key in spec.grid.plan_keys():
            _check(spec, plan_key, sizes, share)
    except CountOverflowError as error:
        return str(error)
    except InputError:
        return None  # the point is refused when the sweep reaches it
    return None


def _least_copies(spec: SweepSpec, devices: int) -> int:
    if "layout" not in spec.grid.names:
        return devices
    layouts = [Layout.parse(each) for each in spec.grid.values("layout")]
    return min(max(1, devices // each.ranks * each.attention_data) for each in layouts)


def _check(spec: SweepSpec, plan_key: PlanKey, sizes: Mapping[str, int], share: Mapping[str, int]) -> None:
    graph = plan_key.graph(spec.graph)
    machine = spec.machines[spec.machine_number.at(spec.grid, 0)]
    plan = spec.family(plan_key).plan_for(share)
    peak = _core.evaluate_point(plan, share, machine)["peak_memory_bytes"]
    if peak >= 2**63:
        raise CountOverflowError(f"the peak memory is {peak:.3g} bytes")
    _core.evaluate_kernels(plan, share, machine)
    at = graph.size_values(sizes)
    boundary = boundary_of(graph, plan_key.precision)
    at_boundary = (boundary.input_bytes, boundary.output_bytes, boundary.weight_bytes, boundary.step_bytes)
    quantities: list[Any] = [*at_boundary, boundary.tokens, boundary.kv_cache_bytes]
    if boundary.kv_cache_bytes is not None:  # else the graph has none of these figures
        quantities += [graph_figure(key, graph, plan_key.precision) for key in OF_GRAPH]
    for quantity in quantities:
        if quantity is not None:
            value_of(quantity, at)
