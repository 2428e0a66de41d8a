"""What a sweep computes, as data: graph, machines and axes. It pickles small; any stretch of it is computed alone."""

from __future__ import annotations

import hashlib
import pickle
from dataclasses import dataclass, field
from functools import cached_property
from itertools import product
from math import prod
from typing import TYPE_CHECKING, Any

from .. import _core
from ..deployment.costs import usd_per_joule
from ..predict.plans import family_of
from .facts import MachineFacts
from .grid import Grid
from .host_transfer import moving_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    from numpy.typing import NDArray

    from .._core import Graph, Hardware, PlanFamily, Work
    from ..results.costs import Price, Transfer

WAY = ("hardware", "precision", "execution", "devices", "price")
SCALES = ("cores", "compute", "bandwidth")
"""What `Hardware.scaled` scales; the columns are called `cores_scale` and so on."""

COMPUTED = ("latency_s", "compute_s", "dram_s", "cache_s", "launch_s", "spread_s", "energy_j", "peak_memory_bytes")
"""What the evaluator gives; other columns follow from these and from the point."""


def scale_column(scale: str) -> str:
    """The column of a scale."""
    return f"{scale}_scale"


@dataclass(frozen=True)
class SweepSpec:
    """A sweep as data.

    Attributes:
        model: what the model is called.
        graph: the graph.
        overrides: Work by node, of the caller's own rules.
        machines: the machines; the axis `hardware` of the grid holds their numbers.
        grid: the points.
        open_sizes: names of the grid that are sizes of the graph (others were fixed by its capture).
        prices: what an hour of one device costs, for each value of the axis `price` (one, where there is no such axis)
            and each machine; empty where no prices were given.
        utilisation: share of the paid time in which devices work.
        g_per_j: grams of CO2 equivalent for a joule, as `prices` by price and machine; not a number where nothing says
            where a machine stands, empty where nobody asked.
        transfer: how data gets to the machines; None where it does not count.
    """

    model: str
    graph: Graph
    overrides: Mapping[int, Work] | None
    machines: tuple[Hardware, ...]
    grid: Grid
    open_sizes: tuple[str, ...]
    prices: tuple[tuple[Price, ...], ...] = field(default=())
    utilisation: float = 1.0
    g_per_j: tuple[tuple[float, ...], ...] = ()
    transfer: Transfer | None = None

    def __len__(self) -> int:
        return len(self.grid)

    @cached_property
    def key(self) -> str:
        """A hash of all that the results depend on, this version of the package included."""
        # Arrays as bytes: their repr is slow, and differs between versions of numpy.
        axes = [
            (axis.names, [c.tobytes() if hasattr(c, "tobytes") else list(c) for c in axis.columns])
            for axis in self.grid.axes
        ]
        works = sorted((node, work.__getstate__()) for node, work in (self.overrides or {}).items())
        parts = (
            _core.__version__,
            self.model,
            self.graph.to_json(),
            works,
            [machine.__getstate__() for machine in self.machines],
            axes,
            self.open_sizes,
            [(price.usd_per_h, price.usd_per_kwh, price.pue) for prices in self.prices for price in prices],
            self.utilisation,
            self.g_per_j,
            self.transfer,
        )
        return hashlib.sha256(repr(parts).encode()).hexdigest()

    def __getstate__(self) -> dict[str, Any]:
        # The key is kept, the families of plans are made anew where they are needed.
        state = {**self.__dict__, "key": self.key, "_families": {}}
        state.pop("facts", None)
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
                self._compute_way(self._way_at(first + done), offset, part, threads)
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
        """How many axes there are before the first that has a size, or a fixed one."""
        for depth, axis in enumerate(self.grid.axes):
            if not any(name in self.way_names for name in axis.names):
                return depth
        return len(self.grid.axes)

    @cached_property
    def _ways_are_outermost(self) -> bool:
        outer = self.grid.axes[: self._way_depth]
        names = [name for axis in outer for name in axis.names]
        return sorted(names) == sorted(self.way_names)

    def _way_at(self, point: int) -> tuple[Any, ...]:
        return tuple(self.grid.at(name, point) for name in self.way_names)

    def _compute_way(
        self, way: tuple[Any, ...], offset: int, out: Mapping[str, NDArray[np.float64]], threads: int
    ) -> None:
        """Points `offset` .. of the sizes alone, for one way of running them."""
        named = dict(zip(self.way_names, way, strict=True))
        axes = [(name, self._shares(name, named.get("devices", 1)), self.grid.repeat(name)) for name in self.open_sizes]
        points = len(next(iter(out.values())))
        _core.evaluate_grid(
            self._family(named["precision"], named["execution"]),
            axes,
            self._machine(named),
            first=offset,
            points=points,
            out=out,
            threads=threads,
        )

    def _compute_mixed(self, first: int, points: int, out: Mapping[str, NDArray[np.float64]], threads: int) -> None:
        """A list of points may vary the way from row to row: rows of one way are computed together."""
        import numpy as np

        stretch = slice(first, first + points)
        codes = np.stack([self.grid.codes(name, stretch) for name in self.way_names])
        ways, group = np.unique(codes, axis=1, return_inverse=True)
        order = np.argsort(group, kind="stable")
        bounds = np.searchsorted(group[order], np.arange(ways.shape[1] + 1))
        for number, way in enumerate(ways.T):
            rows = order[bounds[number] : bounds[number + 1]]
            named = {
                name: self.grid.values(name)[code] for name, code in zip(self.way_names, way.tolist(), strict=True)
            }
            axes = []
            for name in self.open_sizes:
                values = self._shares(name, named.get("devices", 1))
                axes.append((name, values[self.grid.codes(name, first + rows)], 1))
            part = {name: np.empty(len(rows)) for name in out}
            _core.evaluate_grid(
                self._family(named["precision"], named["execution"]),
                axes,
                self._machine(named),
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
        return -(-values // devices) if name == "batch" and devices > 1 else values

    def _family(self, precision: str, execution: str) -> PlanFamily:
        families: dict[tuple[str, str], PlanFamily] = self.__dict__.setdefault("_families", {})
        if (precision, execution) not in families:
            families[precision, execution] = family_of(self.graph, precision, execution, self.overrides)
        return families[precision, execution]

    def _machine(self, named: Mapping[str, Any]) -> Hardware:
        machine: Hardware = self.machines[named["hardware"]]
        scales = {scale: named[scale_column(scale)] for scale in SCALES if scale_column(scale) in named}
        return machine.scaled(**scales) if scales else machine

    @cached_property
    def facts(self) -> MachineFacts:
        """What columns of results need of the machines."""
        return MachineFacts(
            ids=tuple(machine.id for machine in self.machines),
            memory_bytes=tuple(machine.memory_bytes for machine in self.machines),
            usd_per_h=tuple(tuple(price.usd_per_h for price in prices) for prices in self.prices),
            usd_per_j=tuple(tuple(map(usd_per_joule, prices)) for prices in self.prices),
            idle_w=tuple(machine.power_w.get("idle", 0.0) for machine in self.machines),
            utilisation=self.utilisation,
            g_per_j=self.g_per_j,
            moving=moving_of(
                self.graph, self.machines, tuple(dict.fromkeys(self.grid.values("precision"))), self.transfer
            ),
        )

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
