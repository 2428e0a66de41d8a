"""Cost at fractional widths: exact at grid nodes, which the evaluator computes, and piecewise linear between them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

from ..errors import InputError

if TYPE_CHECKING:
    from .._core import Graph
    from ..deployment import Deployment
    from ..transform.channels import ChannelGroups

Widths = tuple[int, ...]
METRICS = ("latency_s", "energy_j", "cost_usd", "flops", "contraction_flops", "traffic_bytes", "peak_memory_bytes")
OF_MACHINE = ("latency_s", "energy_j", "cost_usd")
_COUNTED = {
    "flops": ("flops",),
    "contraction_flops": ("contraction_flops",),
    "traffic_bytes": ("bytes_read", "bytes_written"),
    "peak_memory_bytes": ("peak_memory_bytes",),
}
_MOST_OPEN = 48  # groups; a plan with more open widths takes minutes to build if channels are concatenated


class PointCost:
    """Cost of a model with given numbers of channels, equal to `estimate` and `count` of that model.

    Args:
        groups: Groups of channels, with the graph in which their widths are named sizes.
        names: Names of these sizes, in the order of the widths.
        metric: One of `METRICS`.
        on: Where and how it runs; without hardware, for metrics that need no machine.
        sizes: Values of other named sizes.
    """

    def __init__(
        self,
        groups: ChannelGroups,
        names: Sequence[str],
        *,
        metric: str,
        on: Deployment,
        sizes: Mapping[str, int],
    ) -> None:
        self._groups = groups
        # One plan for all widths is ten times as fast if it is quick to build. The plan of a CPU's eager kernels
        # depends on widths, because it rounds copies into blocked layouts.
        is_cpu = on.hardware is not None and on.machine.kind == "cpu"
        self._with_open_widths = not is_cpu and len(groups) <= _MOST_OPEN
        self._names = tuple(names)
        self._metric = metric
        self._on = on
        self._sizes = dict(sizes)
        self._quantities: list[Any] | None = None
        self._cached = lru_cache(maxsize=65536)(self._cost)

    def at(self, widths: Widths) -> float:
        """Return the cost at the given number of channels of each group."""
        return self._cached(widths)

    def exactly(self, widths: Widths) -> float:
        """Return the same cost from a graph with these widths, as if the narrow model had been captured."""
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
        from ..predict.plans import value_of

        graph = self._groups.graph
        sizes = graph.size_values(given)
        if (
            self._metric == "peak_memory_bytes" or not self._with_open_widths
        ):  # a peak is exact only if all sizes are known
            total = _core.count(graph, sizes, precision=self._on.precision).total
            return float(sum(value_of(getattr(total, name), {}) for name in _COUNTED[self._metric]))
        if self._quantities is None:
            total = _core.count(graph, {}, precision=self._on.precision).total
            self._quantities = [getattr(total, name) for name in _COUNTED[self._metric]]
        return float(sum(value_of(quantity, sizes) for quantity in self._quantities))

    def _of_machine(self, graph: Graph, given: Mapping[str, int]) -> float:
        from ..predict.derived_costs import DerivedCosts
        from ..predict.estimate import evaluate_on

        at = evaluate_on(self._on, graph, given).at
        return float(getattr(at if self._metric != "cost_usd" else DerivedCosts(at), self._metric))


class Slope(NamedTuple):
    """Cost at soft widths, and its slopes.

    Attributes:
        cost: In units of the metric.
        slopes: Cost per channel, for each group.
    """

    cost: float
    slopes: tuple[float, ...]


class Interpolation:
    """Continuous cost over soft widths, linear on the simplices of a grid.

    Within a cell the cost is interpolated on Kuhn's triangulation (Freudenthal 1942; in submodular optimization the
    Lovasz extension). For g groups, a soft point is a convex combination of g + 1 nodes on a path from the cell's
    lowest corner upwards, which raises the group nearest to its upper node first. Each slope is therefore a difference
    of the machine's own costs over a grid step: it includes the binding side of the roofline and the next one, padding
    to tiles, and launches that pruning does not save. Nothing is fitted, and nodes are exact.

    Args:
        nodes: Ascending widths of each group; the last is the full width.
        cost: Cost at whole widths.
    """

    def __init__(self, nodes: Sequence[Sequence[int]], cost: Callable[[Widths], float]) -> None:
        for of in nodes:
            if not of or list(of) != sorted(set(of)) or of[0] < 1:
                raise InputError(f"nodes are {list(of)}; expected ascending widths of at least 1")
        self._nodes = [tuple(of) for of in nodes]
        self._cost = cost
        self._simplex: Any = None
        self._found: tuple[float, list[float]] = (0.0, [])

    def at(self, widths: Sequence[float]) -> Slope:
        """Return cost and slopes at soft widths: flat below the first node, extrapolated above the last."""
        cells = [_cell(of, width) for of, width in zip(self._nodes, widths, strict=True)]
        shares = [0.0 if step == 0 else (width - low) / step for (low, step), width in zip(cells, widths, strict=True)]
        # Equal shares keep the order of the groups, so that equal widths give equal slopes.
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
    """Return the lower node of a width's cell and the distance to the upper one; 0 below the first node."""
    if len(nodes) == 1 or width < nodes[0]:
        return nodes[0], 0
    low = min(sum(node <= width for node in nodes) - 1, len(nodes) - 2)
    return nodes[low], nodes[low + 1] - nodes[low]


def nodes_of(width: int, granularity: int, steps: int) -> list[int]:
    """Return about `steps` equidistant widths that are multiples of the granularity, as grid nodes.

    The first is the granularity itself, the least that is kept, and the last the full width.
    """
    found = {max(granularity, round(width * k / steps / granularity) * granularity) for k in range(steps)}
    return [*sorted(node for node in found if node < width), width]
