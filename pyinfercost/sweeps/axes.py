"""From what a caller of `sweep` gives to the axes of a grid, with every name and value checked."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from math import isfinite, nan
from operator import index
from os import PathLike
from typing import TYPE_CHECKING, Any

from .. import _core
from ..deployment.place_catalog import carbon_g
from ..deployment.terms import Terms, transfer_terms, where_is
from ..predict.arguments import SizeError, bind_axis, matched
from .grid import Axis, Grid
from .spec import SCALES, WAY, SweepSpec, scale_column

if TYPE_CHECKING:
    from .._core import Graph, Hardware, Work
    from ..results.costs import Price
    from ..sources.captured import Captured


def make_spec(
    captured: Captured,
    *,
    hardware: Any = None,
    precision: Any = None,
    execution: Any = None,
    devices: Any = None,
    scale: Mapping[str, Any] | None = None,
    points: Any = None,
    price: Any = None,
    usd_per_h: Any = None,
    utilization: float = 1.0,
    region: str | None = None,
    transfer: Any = None,
    overrides: Mapping[int, Work] | None = None,
    threads: int | None = None,
) -> SweepSpec:
    """The spec of a sweep from the arguments of `sweep`.

    Raises:
        ValueError: for an axis without values, or an unknown size, hardware, precision, execution or scale.
    """
    graph, sizes, fixed, called = captured
    listed = _listed(points)
    given = {"hardware": hardware, "precision": precision, "execution": execution, "devices": devices}
    for name in listed:
        if given.get(name) is not None or name in sizes:
            raise ValueError(f"{name!r} is given as an axis and in points; give it once")
    machines: list[Hardware] = []
    axes: list[Axis] = []
    if listed:
        axes.append(_joint_axis(graph, listed, machines, threads))
    prices = _price_axis(price)
    for name, default in (("hardware", None), ("precision", "native"), ("execution", "eager"), ("devices", None)):
        values = default if given[name] is None else given[name]
        if name == "hardware" and values is None and name not in listed:
            raise ValueError("sweep needs hardware: one or several ids, files or Hardware, as an axis or in points")
        if name not in listed and values is not None:
            axes.append(Axis((name,), (tuple(_way_values(name, values, machines, threads)),)))
        if name == "hardware":
            axes += _scale_axes(scale or {})
    if prices:
        axes.append(Axis(("price",), (tuple(prices),)))
    axes += [Axis((name,), ((value,),)) for name, value in fixed.items()]
    named = {name: bind_axis(graph, name, values) for name, values in matched(graph.sizes, sizes).items()}
    # A size that depends on data and has no axis is at its default, which may differ from point to point.
    named.update(
        (name, bind_axis(graph, name, limits["default"]))
        for name, limits in graph.sizes.items()
        if name not in named and name not in listed and not _core.depends_on_data(name)
    )
    axes += [Axis((name,), (values,)) for name, values in named.items()]
    grid = Grid(axes)
    if "devices" in grid.names and set(grid.values("devices")) != {1} and "batch" not in grid.names:
        raise SizeError(
            "devices share out the batch, and this graph has no size 'batch'; capture it with "
            "dynamic={0: {0: 'batch'}} and its like, or leave devices out"
        )
    open_sizes = tuple(name for name in grid.names if name in graph.sizes)
    each = prices.values() if prices else (price,)
    paid = tuple(filter(None, (_prices(one, usd_per_h, machines, threads) for one in each)))
    terms = Terms(utilization=utilization, transfer=transfer_terms(transfer))  # of all machines alike
    grams = _g_per_j(paid, region, len(machines))
    spec = SweepSpec(
        called, graph, overrides, tuple(machines), grid, open_sizes, paid, terms.utilization, grams, terms.transfer
    )
    spec.check()
    return spec


def as_axis(name: str, values: Any) -> list[Any]:
    """One or several values as a list."""
    if isinstance(values, (str, PathLike, _core.Hardware)):
        return [values]
    if not isinstance(values, Iterable):
        if name == "devices":
            return [values]
        raise TypeError(f"{name} must be one or several names, got {values!r}")
    axis = list(values)
    if not axis:
        raise ValueError(f"{name} has no values to sweep over")
    return axis


def _way_values(name: str, values: Any, machines: list[Hardware], threads: int | None) -> list[Any]:
    """The values of an axis that is no size; machines become numbers in `machines`."""
    axis = as_axis(name, values)
    if name == "hardware":
        from ..hardware import load

        numbers = []
        for machine in axis:
            machines.append(load(machine, threads=threads))
            numbers.append(len(machines) - 1)
        return numbers
    if name == "devices":
        counts = [_whole(name, count) for count in axis]
        if min(counts) < 1:
            raise ValueError(f"devices must be at least 1, got {min(counts)}")
        return counts
    known = _core.precisions() if name == "precision" else _core.executions()
    for value in axis:
        if value not in known:
            raise ValueError(f"unknown {name} {value!r}; expected {', '.join(known)}")
    return axis


def _whole(name: str, value: Any) -> int:
    try:
        return index(value)
    except TypeError:
        raise ValueError(f"{name} must be whole numbers, got {value!r}") from None


def _scale_axes(scale: Mapping[str, Any]) -> list[Axis]:
    """Axes of hypothetical machines: factors on what the catalogue says."""
    axes = []
    for name, values in scale.items():
        if name not in SCALES:
            raise ValueError(f"cannot scale {name!r}; expected {', '.join(SCALES)}")
        factors = [float(value) for value in (values if isinstance(values, Iterable) else [values])]
        if not factors:
            raise ValueError(f"scale of {name} has no values to sweep over")
        for factor in factors:
            if not (factor > 0 and isfinite(factor)):
                raise ValueError(f"{name} is scaled by {factor}; expected more than zero")
        axes.append(Axis((scale_column(name),), (tuple(factors),)))
    return axes


def _listed(points: Any) -> dict[str, list[Any]]:
    """A list of points as columns: given as mappings, as a mapping of columns, or as a data frame."""
    if points is None:
        return {}
    if hasattr(points, "columns") and hasattr(points, "__getitem__"):
        columns = {str(name): list(points[name]) for name in points.columns}
    elif isinstance(points, Mapping):
        columns = {str(name): as_axis(name, values) for name, values in points.items()}
    elif isinstance(points, Sequence) and points and all(isinstance(point, Mapping) for point in points):
        names = list(points[0])
        for number, point in enumerate(points):
            if set(point) != set(names):
                raise ValueError(
                    f"points must all have the same names: point 0 has {sorted(names)}, point {number} {sorted(point)}"
                )
        columns = {name: [point[name] for point in points] for name in names}
    else:
        raise ValueError(
            f"points must be a list of {{name: value}}, or columns of one length by name, and not empty; got {points!r}"
        )
    lengths = {name: len(column) for name, column in columns.items()}
    if len(set(lengths.values())) != 1 or not next(iter(lengths.values())):
        raise ValueError(f"points must have columns of one length above zero, got {lengths or 'none'}")
    return columns


def _joint_axis(graph: Graph, listed: dict[str, list[Any]], machines: list[Hardware], threads: int | None) -> Axis:
    """A list of points as one axis of several names."""
    columns: list[Any] = []
    for name, values in listed.items():
        if name == "hardware":
            first: dict[Any, int] = {}  # each machine is loaded once
            for value in values:
                if value not in first:
                    first[value] = _way_values(name, [value], machines, threads)[0]
            columns.append(tuple(first[value] for value in values))
        elif name in WAY[:-1]:
            columns.append(tuple(_way_values(name, values, machines, threads)))
        elif name in graph.sizes:
            columns.append(bind_axis(graph, name, values))
        else:
            raise SizeError(f"a point of a sweep has no {name!r}; it has {', '.join((*WAY[:-1], *graph.sizes))}")
    return Axis(tuple(listed), tuple(columns))


def _price_axis(price: Any) -> dict[str, Any]:
    """Several prices by what the points call them; nothing where there is one, or none."""
    if isinstance(price, (str, PathLike, Mapping)) or not isinstance(price, Iterable):
        return {}
    found: dict[str, Any] = {}
    for value in price:
        name = str(getattr(value, "text", value))
        if name in found:
            raise ValueError(f"price has {name!r} twice; give each once")
        if isinstance(value, Mapping):
            raise ValueError(f"price has {value!r} in a list; expected a number, an instance, terms or a file for all")
        found[name] = value
    if not found:
        raise ValueError("price has no values to sweep over")
    return found


def _prices(price: Any, usd_per_h: Any, machines: Sequence[Hardware], threads: int | None) -> tuple[Price, ...]:
    """What an hour of each machine costs."""
    from ..deployment import price_of

    if price is not None:
        if usd_per_h is not None:
            raise ValueError("price and usd_per_h are both given; give one of them")
        return tuple(price_of(price, machine.id, threads=threads) for machine in machines)
    if usd_per_h is None:
        return ()
    if isinstance(usd_per_h, Mapping):
        missing = sorted({machine.id for machine in machines} - set(usd_per_h))
        if missing:
            raise ValueError(f"usd_per_h has no price of {', '.join(missing)}")
        prices = [float(usd_per_h[machine.id]) for machine in machines]
    else:
        prices = [float(usd_per_h)] * len(machines)
    for usd, machine in zip(prices, machines, strict=True):
        if not (usd >= 0 and isfinite(usd)):
            raise ValueError(f"usd_per_h of {machine.id} is {usd}; expected zero or more USD an hour for one device")
    return tuple(price_of(usd, machine.id) for usd, machine in zip(prices, machines, strict=True))


def _g_per_j(prices: Sequence[Sequence[Price]], region: str | None, machines: int) -> tuple[tuple[float, ...], ...]:
    """Grams of CO2 equivalent for a joule, by price and machine; nothing where nobody said where any of them stands."""
    if region is None and not any(price.region for each in prices for price in each):
        return ()
    paid: Sequence[Sequence[Price | None]] = prices or [[None] * machines]
    places = [[where_is(price, region) for price in each] for each in paid]
    return tuple(tuple(nan if found is None else carbon_g(found, 1.0) for found in each) for each in places)
