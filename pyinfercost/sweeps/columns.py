"""The columns of a sweep's results: a few are kept, the others are worked out when asked for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from ..deployment.costs import electricity_usd
from ..predict.model_figures import OF_GRAPH
from ..predict.uncertainty import band
from ..results.costs import SECONDS_PER_HOUR
from .grid import Grid
from .spec import COMPUTED, SCALES, WAY, scale_column

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from .facts import MachineFacts

_MILLION = 1_000_000


def column_names(grid: Grid, facts: MachineFacts) -> tuple[str, ...]:
    """The columns of a sweep: on what and how the model runs, the sizes, and the results."""
    ways = [name for name in (*WAY[:1], *map(scale_column, SCALES), *WAY[1:]) if name in grid.names]
    sizes = [name for name in grid.names if name not in ways]
    return (*ways, *sizes, *facts.quantities())


class GridColumns(Mapping[str, "NDArray[Any]"]):
    """Columns of results at points of a grid, by name.

    What says which point a row is follows from its number; bands, throughput and fit follow from what is kept.
    So a point takes 64 bytes, and 8 more where not all points of the grid are there.
    """

    def __init__(
        self,
        grid: Grid,
        facts: MachineFacts,
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
    def empty(cls, grid: Grid, facts: MachineFacts) -> GridColumns:
        """The columns of no point: what a condition is checked against before anything is computed."""
        import numpy as np

        return cls(grid, facts, slice(0, 0), {name: np.empty(0) for name in COMPUTED})

    @property
    def rows(self) -> int:
        """How many points there are."""
        return len(self.computed["latency_s"])

    def take(self, rows: NDArray[Any]) -> GridColumns:
        """Some of the points: row numbers, or a mask."""
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
        """Neighbouring points of a stretch of the grid, as views of its columns."""
        start = self.points.start if isinstance(self.points, slice) else 0
        points = slice(start + first, start + last)
        computed = {name: column[first:last] for name, column in self.computed.items()}
        return GridColumns(self.grid, self.facts, points, computed)

    def labels(self, name: str) -> tuple[NDArray[np.int64], tuple[Any, ...]]:
        """A column of the grid as codes and what they stand for."""
        values = self.grid.values(name)
        if name == "hardware":
            values = tuple(self.facts.ids[machine] for machine in values)
        return self.grid.codes(name, self.points), values

    def __getitem__(self, name: str) -> NDArray[Any]:
        import numpy as np

        column: NDArray[Any]
        if name in self.grid.names:
            codes, values = self.labels(name)
            column = np.asarray(values)[codes]
        elif name == "peak_memory_bytes":
            column = self.computed[name].astype(np.int64)
        elif name == "energy_j" and "devices" in self.grid.names:
            column = self.computed[name] * self["devices"]
        elif name in self and name in self.computed:
            column = self.computed[name].view()
        elif name in self:
            column = self._derived(name)
        else:
            raise KeyError(name)
        column.flags.writeable = False
        return column

    def _derived(self, name: str) -> NDArray[Any]:
        import numpy as np

        latency_s = self.computed["latency_s"]
        if name in ("latency_low_s", "latency_high_s"):
            return band(latency_s, self.computed["spread_s"])[name == "latency_high_s"]
        if name == "fits_in_memory":
            return self.computed["peak_memory_bytes"] <= self.of_machine(self.facts.memory_bytes)
        if name in ("transfer_s", "cold_start_s"):
            moved: NDArray[np.float64] = getattr(self.facts.moving, name)(self)
            return moved
        if name in OF_GRAPH:
            return self.facts.moving.graph_figure(self, name)
        items = self.batch_items()
        if name == "throughput_per_s":
            timed = latency_s > 0
            rate: NDArray[np.float64] = np.divide(items, latency_s, out=np.full(latency_s.shape, np.nan), where=timed)
            return rate
        if name == "energy_per_item_j":
            joules: NDArray[np.float64] = self["energy_j"] / items
            return joules
        if name == "carbon_g":
            grams: NDArray[np.float64] = self["energy_j"] / items * self._of_price(self.facts.g_per_j)
            return grams
        usd = self._cost_usd(latency_s, items)
        if name == "usd_per_million_tokens":
            usd = _MILLION * usd * items / self.facts.moving.tokens(self)
        return usd

    def _cost_usd(self, latency_s: NDArray[np.float64], items: NDArray[Any]) -> NDArray[np.float64]:
        """As `money.costs.cost_of`."""
        import numpy as np

        moving = self.facts.moving
        devices = self["devices"] if "devices" in self.grid.names else np.ones(1)
        working_s = latency_s * devices / items
        used_s = working_s
        if moving.counts:
            used_s = (latency_s + moving.waiting_s(self, latency_s)) * devices / items
        paid_s = used_s / self.facts.utilisation
        usd: NDArray[np.float64] = paid_s * self._of_price(self.facts.usd_per_h) / SECONDS_PER_HOUR
        usd_per_j = self._of_price(self.facts.usd_per_j)
        idle_w = self.of_machine(self.facts.idle_w)
        owned = usd_per_j > 0  # elsewhere electricity is in the price, and joules need not be known
        joules = self["energy_j"] / items
        usd = usd + np.where(owned, electricity_usd(joules, paid_s - working_s, idle_w, usd_per_j), 0.0)
        if moving.counts:
            usd = usd + moving.egress_usd(self, items)
        return usd

    def batch_items(self) -> NDArray[Any]:
        """Items of the batch at each point; 1 for all where the grid has no batch."""
        import numpy as np

        return self["batch"] if "batch" in self.grid.names else np.ones(1)

    def of_machine(self, values: Any) -> NDArray[np.float64]:
        """A fact of each row's machine."""
        import numpy as np

        of_axis = np.asarray([values[machine] for machine in self.grid.values("hardware")], dtype=np.float64)
        return of_axis[self.grid.codes("hardware", self.points)]

    def _of_price(self, values: Any) -> NDArray[np.float64]:
        """A fact of each row's price and machine."""
        import numpy as np

        prices = range(len(values)) if "price" in self.grid.names else (0,)
        of_axes = np.asarray(
            [[values[price][machine] for machine in self.grid.values("hardware")] for price in prices], dtype=np.float64
        )
        price = self.grid.codes("price", self.points) if "price" in self.grid.names else 0
        found: NDArray[np.float64] = of_axes[price, self.grid.codes("hardware", self.points)]
        return found
