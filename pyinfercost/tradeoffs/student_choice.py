"""Choice of a student by its predicted cost: the largest one within a budget."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from .._checks import Range, number, shown
from ..errors import InputTypeError
from ..predict.profile import profile
from ..results.figures import FIGURES
from ..sources.capture import capture
from . import DistillationError

if TYPE_CHECKING:
    from torch import nn

    from .._core import Graph
    from ..deployment import Deployment
    from ..sources.inputs import Inputs
    from .students import Student

LIMITED = ("latency_s", "energy_j", "cost_usd", "peak_memory_bytes", "parameter_bytes")
"""Predicted figures that a budget can limit."""

_COUNTED = ("peak_memory_bytes", "parameter_bytes")
_SHARE = Range(1e-6, 1)
_AMOUNT = Range(1e-30, 1e30)


def limits_of(within: Any) -> dict[str, float | str]:
    """Return the limits of a budget: a number in the unit of each figure, or a share of the teacher's as text.

    Args:
        within: A share of the teacher's latency (`0.3`), or a mapping of figures to numbers or to shares in percent:
            `{"latency_s": 0.002, "parameter_bytes": "25 %"}`.

    Raises:
        DistillationError: A figure is unknown, or a limit out of range.
    """
    if within is None:
        return {}
    if not isinstance(within, Mapping):
        return {"latency_s": f"{100 * number(within, 'within', _SHARE, DistillationError):g} %"}
    if not within:
        raise DistillationError("within is empty; expected a figure and its limit, such as {'latency_s': 0.002}")
    found: dict[str, float | str] = {}
    for name, limit in within.items():
        if name not in LIMITED:
            raise DistillationError(f"within has {shown(name)}; expected one of {', '.join(LIMITED)}")
        if isinstance(limit, str):
            _share_in(name, limit)
            found[name] = limit
        else:
            found[name] = number(limit, f"within[{name!r}]", _AMOUNT, DistillationError)
    return found


def choose(
    students: Sequence[Student],
    teacher: nn.Module,
    inputs: Inputs,
    within: Mapping[str, float | str],
    on: Deployment | None,
) -> Student:
    """Return the student of the greatest predicted latency within a budget.

    Args:
        students: The students to choose from; of those without a size, each size is tried.
        teacher: The teacher.
        inputs: Inputs of a forward.
        within: The limits.
        on: Machine of the prediction.

    Raises:
        DistillationError: No student is within the budget, or there is no machine.
    """
    if on is None or on.hardware is None:
        raise DistillationError("within needs a machine; run the candidate in ic.tradeoff(..., hardware=...)")
    needed = ("latency_s", *(name for name in within if name != "latency_s"))
    ofteacher = _figures(capture(teacher.eval(), inputs), on, needed)
    limits = {
        name: _share_in(name, limit) * ofteacher[name] if isinstance(limit, str) else limit
        for name, limit in within.items()
    }
    fitting: list[tuple[float, Student]] = []
    least: tuple[float, str] | None = None
    for family in students:
        for student in family.sizes(teacher, inputs):
            figures = _figures(student.graph(teacher, inputs), on, needed)
            over = [f"{name} {figures[name]:.4g}" for name, limit in limits.items() if figures[name] > limit]
            if not over:
                fitting.append((figures["latency_s"], student))
                break  # sizes come largest first
            if least is None or figures["latency_s"] < least[0]:
                least = figures["latency_s"], f"{student} has {' and '.join(over)}"
    if fitting:
        return max(fitting, key=lambda each: each[0])[1]
    said = ", ".join(f"{name} {limit:.4g}" for name, limit in limits.items())
    raise DistillationError(
        f"no student is within {said} on {on.machine.id}: {least[1] if least else 'there is none'}, the fastest. Allow "
        "more, or pass a smaller student"
    )


def _figures(graph: Graph, on: Deployment, names: Sequence[str]) -> dict[str, float]:
    """Return predicted figures of a forward.

    Raises:
        DistillationError: One is unknown, such as a cost without a price.
    """
    found = profile(graph, on=on)
    figures: dict[str, float] = {}
    for name in names:
        value = getattr(found.counts.total if name in _COUNTED else found.estimate, name)
        if value is None:
            need = FIGURES[name].needs or "more of the machine"
            raise DistillationError(f"within limits {name}, which is unknown here; it needs {need}")
        figures[name] = float(value)
    return figures


def _share_in(name: str, limit: str) -> float:
    """Return the share that a text in percent gives."""
    digits = limit.strip().removesuffix("%").strip()
    try:
        percent = float(digits) if limit.strip().endswith("%") else None
    except ValueError:
        percent = None
    if percent is None:
        raise InputTypeError(f"within[{name!r}] is {shown(limit)}; expected a number, or a share such as '25 %'")
    return number(percent / 100, f"within[{name!r}] as a share", _SHARE, DistillationError)
