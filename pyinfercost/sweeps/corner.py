"""The greatest sizes of a grid: totals that do not fit 64 bits are refused before anything is computed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields
from itertools import product
from typing import TYPE_CHECKING, Any

from .. import _core
from ..errors import CountOverflowError, InputError
from ..predict.model_figures import OF_GRAPH, graph_figure
from ..predict.plans import Boundary, boundary_of, value_of
from ..sources.sizes import batch_name
from .axis_values import maximum, minimum, taken

if TYPE_CHECKING:
    from .spec import SweepSpec

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
        share[batch] = -(-share[batch] // int(corner.get(_DEVICES, 1)))
    try:
        for precision, execution in product(*(dict.fromkeys(spec.grid.values(n)) for n in ("precision", "execution"))):
            _check(spec, precision, execution, sizes, share)
    except CountOverflowError as error:
        return str(error)
    except InputError:
        return None  # the point is refused when the sweep reaches it
    return None


def _check(spec: SweepSpec, precision: str, execution: str, sizes: Mapping[str, int], share: Mapping[str, int]) -> None:
    graph = spec.graph
    machine = spec.machines[spec.machine_number.at(spec.grid, 0)]
    plan = spec.family(precision, execution).plan_for(share)
    peak = _core.evaluate_point(plan, share, machine)["peak_memory_bytes"]
    if peak >= 2**63:
        raise CountOverflowError(f"the peak memory is {peak:.3g} bytes")
    _core.evaluate_kernels(plan, share, machine)
    at = graph.size_values(sizes)
    boundary = boundary_of(graph, precision)
    quantities: list[Any] = [getattr(boundary, field.name) for field in fields(Boundary)]
    quantities += [graph_figure(key, graph, precision) for key in OF_GRAPH]
    for quantity in quantities:
        if quantity is not None:
            value_of(quantity, at)
