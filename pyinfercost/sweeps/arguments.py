"""Arguments of `sweep` in some of their forms: lists of points, shared batches, and prices by their terms."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from ..deployment import Deployment, UnpricedError, deployment_of
from ..errors import InputError, InputTypeError
from ..sources.sizes import as_axis, maximum

ON = "on"
"""Key of the deployment in a list of points."""


def shares_batch(
    on: Deployment | Sequence[Deployment] | None,
    devices: Sequence[int] | None,
    points: Mapping[str, Sequence[Any]] = MappingProxyType({}),
) -> bool:
    """Return whether several devices share the batch at some point of a sweep.

    Values that are no numbers of devices are refused with the spec of the sweep.

    Args:
        on: One deployment or several.
        devices: Values of the field, which override those of `on`; None leaves it to them.
        points: Columns of a list of points.
    """
    if devices is None:
        devices = points.get("devices")
    if devices is None:
        several = [on] if isinstance(on, Deployment) else [*(on or ()), *points.get(ON, ())]
        devices = [each.devices for each in several if isinstance(each, Deployment)] or [1]
    try:
        return maximum(devices) > 1
    except (TypeError, ValueError):
        return False


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
        each = deployment_of(on, **fields, hardware=machine)
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
