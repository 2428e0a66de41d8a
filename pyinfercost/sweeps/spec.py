"""What a sweep computes, as data: graph, machines and axes. It pickles small; any stretch of it is computed alone."""

from __future__ import annotations

import hashlib
import pickle
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from math import prod
from typing import TYPE_CHECKING, Any

from .. import _core
from ..predict.plans import family_of
from ..sources.sizes import batch_name

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    from numpy.typing import NDArray

    from .._core import Graph, Hardware, PlanFamily, Work
    from .deployments import Lookup
    from .facts import SweepFacts
    from .grid import Grid

WAY = (
    "hardware",
    "threads",
    "sustained",
    "precision",
    "execution",
    "devices",
    "price",
    "utilization",
    "region",
    "transfer",
)
"""The fields of a deployment, in the order of their columns."""

SCALES = ("cores", "compute", "bandwidth")
"""What `Hardware.scaled` scales; the columns are called `cores_scale` and so on."""

COMPUTED = tuple(_core.evaluator_columns())
"""The columns of the evaluator; other columns follow from these and from the point."""


def scale_column(scale: str) -> str:
    """The column of a scale."""
    return f"{scale}_scale"


@dataclass(frozen=True)
class SweepSpec:
    """A sweep as data.

    Attributes:
        model: Name of the model.
        graph: The graph.
        overrides: Work by node, from the caller's rules.
        grid: The points.
        open_sizes: Names of the grid that are sizes of the graph (others were fixed by its capture).
        machines: The machines.
        machine_number: The position in `machines` at each point.
        facts: What columns of results need beside the points.
    """

    model: str
    graph: Graph
    overrides: Mapping[int, Work] | None
    grid: Grid
    open_sizes: tuple[str, ...]
    machines: tuple[Hardware, ...]
    machine_number: Lookup
    facts: SweepFacts

    def __len__(self) -> int:
        return len(self.grid)

    @cached_property
    def key(self) -> str:
        """A hash of all values that the results depend on, this version of the package included."""
        axes = [(axis.names, [_hashed(column) for column in axis.columns]) for axis in self.grid.axes]
        works = sorted((node, work.__getstate__()) for node, work in (self.overrides or {}).items())
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
        # The key is kept, the families of plans and the numbers of values are made anew where they are needed.
        state = {**self.__dict__, "key": self.key, "_families": {}}
        state.pop("_value_numbers", None)
        return state

    def compute(self, first: int, out: Mapping[str, NDArray[np.float64]], *, threads: int = 1) -> None:
        """Computes the points from `first` on into `out`, one value for each point.

        Args:
            first: number of the first point.
            out: columns of `COMPUTED`, contiguous, of one length.
            threads: how many threads of this process to use.

        Raises:
            ValueError: for a point that the graph does not allow.
        """
        points = len(next(iter(out.values())))
        if self._ways_are_outermost:
            inner = prod(len(axis) for axis in self.grid.axes[self._way_depth :])
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
        """The names of the grid that say on what and how the model runs."""
        scales = tuple(scale_column(scale) for scale in SCALES)
        return tuple(name for name in self.grid.names if name in (*WAY, *scales))

    @cached_property
    def _way_depth(self) -> int:
        """Number of axes before the first that has a size, or a fixed one."""
        for depth, axis in enumerate(self.grid.axes):
            if not any(name in self.way_names for name in axis.names):
                return depth
        return len(self.grid.axes)

    @cached_property
    def _ways_are_outermost(self) -> bool:
        outer = self.grid.axes[: self._way_depth]
        names = [name for axis in outer for name in axis.names]
        return sorted(names) == sorted(self.way_names)

    def _compute_way(self, first: int, offset: int, out: Mapping[str, NDArray[np.float64]], threads: int) -> None:
        """Compute points of one way to run the model: from `first` on, which are the sizes from `offset` on."""
        named = {name: self.grid.at(name, first) for name in self.way_names}
        axes = [(name, self._shares(name, named.get("devices", 1)), self.grid.repeat(name)) for name in self.open_sizes]
        _core.evaluate_grid(
            self._family(named["precision"], named["execution"]),
            axes,
            self._machine(self.machine_number.at(self.grid, first), named),
            first=offset,
            points=len(next(iter(out.values()))),
            out=out,
            threads=threads,
        )

    @cached_property
    def _value_numbers(self) -> dict[str, NDArray[np.int64]]:
        """For each name of a way the positions of its axis, with equal numbers for equal values."""
        import numpy as np

        found = {}
        for name in self.way_names:
            number_of: dict[Any, int] = {}
            numbers = [number_of.setdefault(value, len(number_of)) for value in self.grid.values(name)]
            found[name] = np.asarray(numbers, dtype=np.int64)
        return found

    def _compute_mixed(self, first: int, points: int, out: Mapping[str, NDArray[np.float64]], threads: int) -> None:
        """Compute a stretch whose way to run may differ from row to row: rows of one way are computed together."""
        import numpy as np

        stretch = slice(first, first + points)
        # Rows of one way have equal values, wherever these stand in a list of points.
        columns = [numbers[self.grid.codes(name, stretch)] for name, numbers in self._value_numbers.items()]
        columns.append(np.broadcast_to(self.machine_number.column(lambda name: self.grid.codes(name, stretch)), points))
        ways, group = np.unique(np.stack(columns), axis=1, return_inverse=True)
        order = np.argsort(group, kind="stable")
        bounds = np.searchsorted(group[order], np.arange(ways.shape[1] + 1))
        for number in range(ways.shape[1]):
            rows = order[bounds[number] : bounds[number + 1]]
            at = first + int(rows[0])
            named = {name: self.grid.at(name, at) for name in self.way_names}
            axes = []
            for name in self.open_sizes:
                values = self._shares(name, named.get("devices", 1))
                axes.append((name, values[self.grid.codes(name, first + rows)], 1))
            part = {name: np.empty(len(rows)) for name in out}
            _core.evaluate_grid(
                self._family(named["precision"], named["execution"]),
                axes,
                self._machine(self.machine_number.at(self.grid, at), named),
                first=0,
                points=len(rows),
                out=part,
                threads=threads,
            )
            for name, column in part.items():
                out[name][rows] = column

    def _shares(self, name: str, devices: int) -> NDArray[np.int64]:
        """The values of a size on one device: the batch is dealt out, and the largest share counts."""
        import numpy as np

        values = np.asarray(self.grid.values(name), dtype=np.int64)
        return -(-values // devices) if name == batch_name(self.graph) and devices > 1 else values

    def _family(self, precision: str, execution: str) -> PlanFamily:
        families: dict[tuple[str, str], PlanFamily] = self.__dict__.setdefault("_families", {})
        if (precision, execution) not in families:
            families[precision, execution] = family_of(self.graph, precision, execution, self.overrides)
        return families[precision, execution]

    def _machine(self, number: int, named: Mapping[str, Any]) -> Hardware:
        machine: Hardware = self.machines[number]
        scales = {scale: named[scale_column(scale)] for scale in SCALES if scale_column(scale) in named}
        return machine.scaled(**scales) if scales else machine

    def check(self) -> None:
        """Refuses what is wrong with a way before anything is computed: each combination is planned or bound once.

        Raises:
            ValueError: for an unknown precision or execution.
        """
        values = [dict.fromkeys(self.grid.values(name)) for name in ("precision", "execution")]
        for precision, execution in product(*values):
            self._family(precision, execution)

    def to_bytes(self) -> bytes:
        """The spec for another process: a few kilobytes, since a graph's JSON compresses well."""
        import zlib

        return zlib.compress(pickle.dumps(self, protocol=5), 6)

    @staticmethod
    def from_bytes(data: bytes) -> SweepSpec:
        """The inverse of `to_bytes`; data is trusted, as all pickles are."""
        import zlib

        spec: SweepSpec = pickle.loads(zlib.decompress(data))
        return spec


def _hashed(column: Any) -> Any:
    """Return a column as a value for a hash: arrays as bytes, since their repr is slow and differs between versions."""
    return column.tobytes() if hasattr(column, "tobytes") else list(column)
