"""Arguments of `sweep` in some of their forms: lists of points, shared batches, and prices by their terms."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from math import isfinite
from types import MappingProxyType
from typing import Any

from ..deployment import Deployment, Layout, LayoutError, UnpricedError, deployment_of
from ..deployment.engines import forms_steps
from ..errors import InputError, InputTypeError, TooLargeError
from ..sources.sizes import BATCH, FILLED_IN, Ranges, as_axis, maximum
from .spec import SCALES, scale_column

ON = "on"
"""Key of the deployment in a list of points."""

ALL = "all"
"""In the place of layouts: all legal ones of the given devices."""


def is_all(layout: Any) -> bool:
    """Return whether layouts are to be found."""
    return isinstance(layout, str) and layout.strip() == ALL


def with_tensor(layout: Any, tensor: Any) -> Any:
    """Return the layouts of a sweep that is given the devices that share products.

    Args:
        layout: Layouts, which then must be None.
        tensor: Values of the field.

    Raises:
        LayoutError: Both are given.
    """
    if layout is not None:
        raise LayoutError("layout and tensor are both given; pass layouts such as 'tensor=4,data=2', or tensor alone")
    return [{"tensor": value} for value in as_axis("tensor", tensor)]


def shares_batch(
    on: Deployment | Sequence[Deployment] | None,
    devices: Sequence[int] | None,
    layout: Any = None,
    points: Mapping[str, Sequence[Any]] = MappingProxyType({}),
) -> bool:
    """Return whether several copies of the model share the batch at some point of a sweep.

    Values that are no numbers of devices, and no layouts, are refused with the spec of the sweep.

    Args:
        on: One deployment or several.
        devices: Values of the field, which take precedence over `on`; None leaves it to `on`.
        layout: One value of the field or several, which take precedence over `on`; None leaves it to `on`.
        points: Columns of a list of points.
    """
    if is_all(layout):
        return True
    if devices is None:
        devices = points.get("devices")
    try:
        ranks, known = _layouts_of(on, layout, points)
        if devices is None:
            given = layout is not None or "layout" in points
            return any(each.copies > 1 for each in ranks) or (given and any(each.devices > 1 for each in known))
        return any(maximum(devices) // each.ranks * each.attention_data > 1 for each in ranks)
    except (TypeError, ValueError):
        return False


def shared_sizes(
    on: Deployment | Sequence[Deployment] | None,
    devices: Sequence[int] | None,
    layout: Any = None,
    points: Mapping[str, Sequence[Any]] = MappingProxyType({}),
) -> tuple[str, ...]:
    """Return the named sizes that devices share at some point of a sweep, with the arguments of `shares_batch`."""
    if is_all(layout):
        return (BATCH, "sequence", "prompt")
    try:
        ranks, _ = _layouts_of(on, layout, points)
        names = dict.fromkeys(name for each in ranks for name in each.shared_sizes)
    except (TypeError, ValueError):
        return ()
    if shares_batch(on, devices, layout, points):
        names[BATCH] = None
    return tuple(names)


def computes_masks(
    on: Deployment | Sequence[Deployment] | None,
    engine: Any = None,
    points: Mapping[str, Sequence[Any]] = MappingProxyType({}),
) -> bool:
    """Return whether masks of attention are computed at some point of a sweep: serving engines compute none.

    Args:
        on: One deployment or several.
        engine: Value of the field, or a sequence of values, which take precedence over `on`; None leaves it to `on`.
        points: Columns of a list of points.
    """
    given = points.get("engine", ()) if engine is None else as_axis("engine", engine)
    names = [each for each in given if isinstance(each, str)] or [each.engine for each in _deployments_of(on, points)]
    return not names or not all(map(forms_steps, names))


def _layouts_of(
    on: Deployment | Sequence[Deployment] | None, layout: Any, points: Mapping[str, Sequence[Any]]
) -> tuple[list[Layout], list[Deployment]]:
    """Return the layouts of a sweep, and its deployments.

    Raises:
        LayoutError: A layout is refused.
    """
    single = isinstance(layout, (Layout, str, Mapping))
    layouts = points.get("layout", ()) if layout is None else [layout] if single else list(layout)
    known = _deployments_of(on, points)
    return [Layout.parse(each) for each in layouts] or [each.rank_layout for each in known] or [Layout()], known


def _deployments_of(
    on: Deployment | Sequence[Deployment] | None, points: Mapping[str, Sequence[Any]]
) -> list[Deployment]:
    several = [on] if isinstance(on, Deployment) else [*(on or ()), *points.get(ON, ())]
    return [each for each in several if isinstance(each, Deployment)]


def priced_machines(
    machines: Sequence[Any], terms: Sequence[str], on: Deployment | None, fields: Mapping[str, Any]
) -> Sequence[Any]:
    """Return the machines whose price is known; others are left out with a warning, unless they are all.

    Args:
        machines: The machines.
        terms: The terms that a price is asked for.
        on: The deployment that they share.
        fields: Threads and instances that they share.
    """
    found, left_out = [], []
    for machine in machines:
        each = deployment_of(on, {**fields, "hardware": machine})
        try:
            for price in terms:
                each.replace(price=price)
            found.append(machine)
        except UnpricedError:
            left_out.append(each.machine.id)
    if not found or not left_out:
        return machines
    warnings.warn(
        f"left out because no {' or '.join(terms)} price is known: {', '.join(left_out)}; pass price= by machine, with "
        "USD per hour for these",
        UserWarning,
        stacklevel=6,
    )
    return found


def columns_of(points: Any) -> dict[str, Sequence[Any]]:
    """Return the columns of `points`: mappings of names to values, a mapping of columns, or a data frame.

    Raises:
        InputError: It is none of these, or the columns differ in length.
    """
    columns: dict[str, Sequence[Any]]
    if hasattr(points, "columns") and hasattr(points, "__getitem__"):
        try:
            columns = {str(name): list(points[name]) for name in points.columns}
        except (TypeError, KeyError, IndexError) as error:
            raise InputTypeError(f"points is {points!r}; expected a data frame or columns by name ({error})") from None
    elif isinstance(points, Mapping):
        columns = {str(name): as_axis(name, values) for name, values in points.items()}
    elif isinstance(points, Sequence) and points and all(isinstance(point, Mapping) for point in points):
        names = list(points[0])
        for number, point in enumerate(points):
            if set(point) != set(names):
                raise InputError(f"point {number} has {[*point]}, and point 0 has {names}; expected the same names")
        columns = {name: [point[name] for point in points] for name in names}
    else:
        raise InputError(
            f"points is {points!r}; expected a list of {{name: value}}, or columns of one length by name, not empty"
        )
    lengths = {name: len(column) for name, column in columns.items()}
    if len(set(lengths.values())) != 1 or not next(iter(lengths.values())):
        raise InputError(f"points has columns of lengths {lengths or 'none'}; expected one length above 0")
    return columns


def check_prices(prices: Sequence[Any]) -> None:
    """Check that the prices of an axis have different labels.

    Raises:
        InputError: A price occurs twice, or is a mapping by machine.
    """
    names = set()
    for value in prices:
        name = str(getattr(value, "text", value))
        if name in names:
            raise InputError(f"price has {name!r} twice; pass each price once")
        if isinstance(value, Mapping):
            raise InputError(f"price has {value!r} in a list; expected a number, an instance, terms or a file for all")
        names.add(name)


def scale_axes(scale: Mapping[str, Any]) -> dict[str, tuple[float, ...]]:
    """Return axes of hypothetical machines: factors on the rates of the catalog."""
    axes = {}
    if not isinstance(scale, Mapping):
        raise InputTypeError(f"scale is {scale!r}; expected a mapping, as {{'bandwidth': [1, 2]}}")
    for name, values in scale.items():
        if name not in SCALES:
            raise InputError(f"scale has {name!r}; expected some of {', '.join(SCALES)}")
        factors = _factors(name, values)
        for factor in factors:
            if not (factor > 0 and isfinite(factor)):
                raise InputError(f"scale has {factor} for {name!r}; expected a number above 0")
        axes[scale_column(name)] = factors
    return axes


def _factors(name: str, values: Any) -> tuple[float, ...]:
    factors = as_axis(f"scale {name!r}", values)
    if isinstance(factors, Ranges):
        raise TooLargeError(f"scale has {len(factors):,} values for {name!r}; pass {FILLED_IN:,} at the most")
    try:
        return tuple(float(value) for value in factors)
    except (TypeError, ValueError, OverflowError) as error:
        raise InputTypeError(f"scale has {values!r} for {name!r}; expected numbers ({error})") from None
