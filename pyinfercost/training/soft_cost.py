"""A cost at widths between whole channels: exact at nodes, which the evaluator computes, and linear in between."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from .._core import Graph
    from ..transform.channels import ChannelGroups
    from .cost_to_serve import Machine

Widths = tuple[int, ...]
METRICS = ("latency_s", "energy_j", "cost_usd", "flops", "bytes", "memory_bytes")
OF_MACHINE = ("latency_s", "energy_j", "cost_usd")
_COUNTED = {
    "flops": ("contraction_flops",),
    "bytes": ("bytes_read", "bytes_written"),
    "memory_bytes": ("peak_memory_bytes",),
}
_MOST_OPEN = 48  # groups; plans with more open widths take minutes where channels are concatenated


class PointCost:
    """The cost of a model with given numbers of channels, as `estimate` and `count` say it of that model.

    Args:
        groups: of channels, with the graph in which their widths are named sizes.
        names: of these sizes, in the order in which widths are given.
        metric: one of `METRICS`.
        machine: for the metrics that depend on it.
        precision: the dtype to serve in.
        execution: `eager`, `compiled` or `replayed`.
        sizes: values of other named sizes.
        threads: of a CPU.
    """

    def __init__(
        self,
        groups: ChannelGroups,
        names: Sequence[str],
        *,
        metric: str,
        machine: Machine | None,
        precision: str,
        execution: str,
        sizes: Mapping[str, int],
        threads: int | None,
    ) -> None:
        self._groups = groups
        # One plan for all widths is ten times as fast, where it is soon made; that of a CPU's eager kernels rounds
        # copies into blocked layouts as it does for the captured widths.
        is_cpu = machine is not None and machine.hardware.kind == "cpu"
        self._with_open_widths = not is_cpu and len(groups) <= _MOST_OPEN
        self._names = tuple(names)
        self._metric = metric
        self._machine = machine
        self._execution = execution
        self._precision = precision
        self._threads = threads
        self._sizes = dict(sizes)
        self._quantities: list[Any] | None = None
        self._cached = lru_cache(maxsize=65536)(self._cost)

    def at(self, widths: Widths) -> float:
        """The cost where each group has so many channels."""
        return self._cached(widths)

    def exactly(self, widths: Widths) -> float:
        """The same from a graph with these widths in it, as if the narrow model had been captured."""
        return self._cost(widths, with_open_widths=False)

    def _cost(self, widths: Widths, with_open_widths: bool | None = None) -> float:
        kept = dict(zip(self._names, widths, strict=True))
        if self._metric in _COUNTED:
            return self._counted({**self._sizes, **kept})
        if self._with_open_widths if with_open_widths is None else with_open_widths:
            graph, given = self._groups.graph, {**self._sizes, **kept}
        else:
            graph, given = self._groups.at(**kept), self._sizes
        return self._of_machine(graph, given)

    def _counted(self, given: Mapping[str, int]) -> float:
        from .. import _core
        from ..predict.boundary import value_of

        graph = self._groups.graph
        sizes = graph.size_values(given)
        if self._metric == "memory_bytes" or not self._with_open_widths:  # a peak is exact where all sizes are known
            total = _core.count(graph, sizes, precision=self._precision).total
            return float(sum(value_of(getattr(total, name), {}) for name in _COUNTED[self._metric]))
        if self._quantities is None:
            total = _core.count(graph, {}, precision=self._precision).total
            self._quantities = [getattr(total, name) for name in _COUNTED[self._metric]]
        return float(sum(value_of(quantity, sizes) for quantity in self._quantities))

    def _of_machine(self, graph: Graph, given: Mapping[str, int]) -> float:
        from .. import _core
        from ..predict.plans import family_of
        from ..deployment.costs import cost_of

        if self._machine is None:
            raise ValueError(f"{self._metric} is a cost on a machine; expected hardware=")
        sizes = graph.size_values(given)
        point = {name: size for name, size in sizes.items() if name in given or not graph.depends_on_data(name)}
        plan = family_of(graph, self._precision, self._execution).plan_for(point)
        totals = _core.evaluate_point(plan, point, self._machine.hardware)
        if self._metric != "cost_usd":
            return float(totals[self._metric])
        price = self._machine.terms.price
        if price is None:
            raise ValueError("cost_usd needs price=, what an hour of the machine costs")
        return cost_of(
            price,
            latency_s=totals["latency_s"],
            items=sizes.get("batch", 1),
            utilisation=self._machine.terms.utilisation,
            energy_j=totals["energy_j"],
            idle_w=self._machine.hardware.power_w.get("idle", 0.0),
        ).usd


class Slope(NamedTuple):
    """A cost at soft widths, and how it changes with each of them.

    Attributes:
        cost: there.
        slopes: cost per channel, for each group.
    """

    cost: float
    slopes: tuple[float, ...]


class Interpolation:
    """A continuous cost over soft widths, linear on simplices of a grid.

    Between the nodes of a cell the cost is that of Kuhn's triangulation (Freudenthal 1942; in submodular optimisation
    Lovasz's extension): the soft point is a mean of as many nodes and one more as there are groups, on the way from the
    cell's lowest corner up, the group that is nearest to its upper node first. So each slope is a difference of the
    machine's own costs, over a whole step of the grid: it sees the side of the roofline that binds and the one that
    binds next, padding to tiles, and launches that no pruning saves. Nothing is fitted, and at nodes it is exact.

    Args:
        nodes: for each group ascending widths; the last is the full one.
        cost: of whole widths.
    """

    def __init__(self, nodes: Sequence[Sequence[int]], cost: Callable[[Widths], float]) -> None:
        for of in nodes:
            if not of or list(of) != sorted(set(of)) or of[0] < 1:
                raise ValueError(f"nodes are {list(of)}; expected ascending widths of at least 1")
        self._nodes = [tuple(of) for of in nodes]
        self._cost = cost
        self._simplex: Any = None
        self._found: tuple[float, list[float]] = (0.0, [])

    def at(self, widths: Sequence[float]) -> Slope:
        """The cost at soft widths, and its slopes. It is flat below the first node; above the last the cell goes on."""
        cells = [_cell(of, width) for of, width in zip(self._nodes, widths, strict=True)]
        shares = [0.0 if step == 0 else (width - low) / step for (low, step), width in zip(cells, widths, strict=True)]
        # The order of equal shares is that of the groups, so that the same widths always give the same slopes.
        order = sorted(range(len(shares)), key=lambda group: (-shares[group], group))
        simplex = (tuple(cells), tuple(order))
        if simplex != self._simplex:
            point = [low for low, _ in cells]
            lowest = before = self._cost(tuple(point))
            steps = [0.0] * len(cells)
            for group in order:
                if cells[group][1] == 0:
                    continue
                point[group] += cells[group][1]
                after = self._cost(tuple(point))
                steps[group] = after - before
                before = after
            self._simplex, self._found = simplex, (lowest, steps)
        lowest, steps = self._found
        cost = lowest + sum(share * step for share, step in zip(shares, steps, strict=True))
        slopes = tuple(step / cell[1] if cell[1] else 0.0 for step, cell in zip(steps, cells, strict=True))
        return Slope(cost, slopes)


def _cell(nodes: tuple[int, ...], width: float) -> tuple[int, int]:
    """The lower node of the cell that a width is in, and the distance to the upper one; 0 where it is flat."""
    if len(nodes) == 1 or width < nodes[0]:
        return nodes[0], 0
    low = min(sum(node <= width for node in nodes) - 1, len(nodes) - 2)
    return nodes[low], nodes[low + 1] - nodes[low]


def nodes_of(width: int, granularity: int, steps: int) -> list[int]:
    """Widths to compute a cost at: about `steps`, equally far apart, multiples of the granularity.

    The first is the granularity itself, the least that is kept, and the last the full width.
    """
    found = {max(granularity, round(width * k / steps / granularity) * granularity) for k in range(steps)}
    return [*sorted(node for node in found if node < width), width]
