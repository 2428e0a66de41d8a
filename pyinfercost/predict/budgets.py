"""Budgets: limits on the cost of a model, checked in a training loop or in a test."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from math import inf
from types import NoneType
from typing import TYPE_CHECKING, Any, NamedTuple

from .. import _core
from .._checks import Range, number, shown
from ..deployment import Deployment, deployment_of
from ..deployment.keywords import shows, split_options
from ..deployment.options import DeploymentOptions
from ..errors import Error, InputError, InputTypeError
from ..results import figures
from ..results.given_units import given, unit_of
from ..sources.sizes import bind_sizes
from .estimate import estimate_on

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from .._core import Graph
    from ..sources.capture import Capturable

_OF_MACHINE = tuple(each.key for each in figures.of_scope(figures.BUDGET) if figures.HARDWARE in each.needs)
_OF_MODEL = ("flops", "contraction_flops", "parameters", "parameter_bytes", "peak_memory_bytes")
_ACTIONS = ("raise", "warn")
_LIMIT = Range(1e-30, 1e30)
_AT = ("estimate", "high")


class CostBudgetWarning(UserWarning):
    """A model in training exceeds its budget."""


class CostBudgetExceededError(Error, AssertionError):
    """A model exceeds its budget.

    Attributes:
        overruns: The figures above their limits.
    """

    def __init__(self, message: str, overruns: tuple[Overrun, ...]) -> None:
        super().__init__(message)
        self.overruns = overruns


class Overrun(NamedTuple):
    """One figure above its limit.

    Attributes:
        name: The figure, with its unit.
        value: Its value.
        limit: The limit of the budget.
    """

    name: str
    value: float
    limit: float

    def __str__(self) -> str:
        over = f", {100 * (self.value / self.limit - 1):.1f} % over" if self.limit > 0 else ""
        return f"{self.name} is {self.value:.4g}, limit {self.limit:.4g}{over}"


class BudgetOptions(DeploymentOptions, total=False):
    """Limits, as numbers or as texts with units (`"20ms"`), and fields of a `Deployment`.

    Attributes:
        latency_s: Seconds of a forward of the batch.
        energy_per_item_j: Joules per item of the batch.
        cost_usd: USD per item; needs `price`.
        usd_per_million_tokens: USD per million tokens, for a model that reads tokens; needs `price`.
        carbon_g: Grams of CO2 equivalent per item; needs `region`, or a price that implies one.
        flops: All FLOPs of a forward, contractions and pointwise.
        contraction_flops: FLOPs of products, convolutions and attention, two per multiply-add.
        parameters: Number of parameters.
        parameter_bytes: Bytes of parameters.
        peak_memory_bytes: Weights, buffers and the peak of activations.
    """

    latency_s: float | str | None
    energy_per_item_j: float | str | None
    cost_usd: float | str | None
    usd_per_million_tokens: float | str | None
    carbon_g: float | str | None
    flops: float | str | None
    contraction_flops: float | str | None
    parameters: float | str | None
    parameter_bytes: float | str | None
    peak_memory_bytes: float | str | None


@dataclass(frozen=True, init=False)
class CostBudget:
    """Limits on the cost of one forward, all of which hold.

    Attributes:
        limits: Name of a figure -> its limit, in the unit of the name.
        on: Where and how the model runs, for limits that depend on it.
        sizes: Values of named sizes, such as the batch; the example's by default.
        at: `"estimate"` compares latency and energy themselves, `"high"` the upper ends of their bands.
        action: In a tracker: `"raise"` ends training with a `CostBudgetExceededError`, `"warn"` issues a warning each
            time the model goes over.
    """

    limits: Mapping[str, float]
    on: Deployment
    sizes: Mapping[str, int]
    at: str
    action: str

    @shows(BudgetOptions)
    def __init__(
        self,
        *,
        on: Deployment | None = None,
        sizes: Mapping[str, int] | None = None,
        at: str = "estimate",
        action: str = "raise",
        **options: Unpack[BudgetOptions],
    ) -> None:
        fields, others = split_options(options)
        if unknown := others.keys() - {*_OF_MACHINE, *_OF_MODEL}:
            known = ", ".join((*_OF_MACHINE, *_OF_MODEL))
            raise InputTypeError(
                f"a budget has no {sorted(unknown)[0]}; expected a limit ({known}) or a field of Deployment"
            )
        deployment = deployment_of(on, fields)
        limits = {name: _limit(name, value) for name, value in others.items() if value is not None}
        of_machine = [name for name in limits if name in _OF_MACHINE]
        if deployment.hardware is None and of_machine:
            raise InputError(f"a limit on {', '.join(of_machine)} depends on the machine; pass hardware=")
        if not limits:
            raise InputError(f"the budget has no limit; pass one of {', '.join((*_OF_MACHINE, *_OF_MODEL))}")
        for name, value, valid in (("at", at, _AT), ("action", action, _ACTIONS)):
            if value not in valid:
                raise InputError(f"{name} is {shown(value)}; expected one of {', '.join(valid)}")
        if not isinstance(sizes, (Mapping, NoneType)):
            raise InputTypeError(
                f"sizes is {shown(sizes)}; expected a mapping of names to values, such as {{'batch': 8}}"
            )
        self.__dict__.update(limits=limits, on=deployment, sizes=dict(sizes or {}), at=at, action=action)

    def overruns(self, graph: Graph) -> tuple[Overrun, ...]:
        """Return the figures of a captured forward that exceed their limits.

        Raises:
            InputError: A figure with a limit is unknown for this machine or model.
        """
        values = self._values(graph)
        unknown = [name for name in self.limits if values.get(name) is None]
        if unknown:
            machine = "no machine" if self.on.hardware is None else self.on.machine.id
            raise InputError(
                f"{', '.join(unknown)} of {graph.model or 'this model'} on {machine} is unknown, so its limit "
                "cannot be checked; costs need price=, carbon needs region=, energy needs a machine with power figures"
            )
        return tuple(Overrun(name, values[name], limit) for name, limit in self.limits.items() if values[name] > limit)

    def _values(self, graph: Graph) -> dict[str, Any]:
        given = bind_sizes(graph, self.sizes)
        total = _core.count(graph, graph.size_values(given), precision=self.on.precision).total
        values: dict[str, Any] = {name: getattr(total, name) for name in _OF_MODEL}
        if self.on.hardware is None:
            return values
        known = estimate_on(self.on, graph, given)
        values |= {name: getattr(known, name) for name in _OF_MACHINE}
        if self.at == "high":
            values["latency_s"] = known.latency_high_s
            if known.energy_high_j is not None and known.energy_j:
                values["energy_per_item_j"] *= known.energy_high_j / known.energy_j
        return values

    def text(self, overruns: tuple[Overrun, ...], model: str) -> str:
        """Return the message about these overruns."""
        timed = self.on.hardware is not None
        where = f" on {self.on.machine.id}" if timed else ""
        setting = f"{self.on.precision}, {self.on.execution}" if timed else self.on.precision
        return f"{model or 'the model'} is over its budget{where} ({setting}): " + "; ".join(map(str, overruns))


def _limit(name: str, value: Any) -> float:
    """Return a limit in the unit of its figure; a text may have a unit, such as `"20ms"` or `"80GB"`."""
    found = given(value) if isinstance(value, str) else None
    if found is not None and found[1] in ("", unit_of(name)):
        try:
            value = float(found[0])
        except OverflowError:
            value = inf
    elif isinstance(value, str):
        unit = unit_of(name)
        expected = f"a number, or one in {unit}" if unit else "a number"
        example = _TEXTS.get(unit or "", "1.5M")
        raise InputError(f"the limit {name} is {shown(value)}; expected {expected}, such as {example}")
    return number(value, f"the limit {name}", _LIMIT)


_TEXTS = {"s": "'20ms'", "J": "'5mJ'", "g": "'2g'", "B": "'80GB'", "USD": "'2USD'", "FLOP": "'4GFLOP'"}
"""Base unit -> a text with one of its units."""


class WatchedBudget:
    """A budget in a training loop: it raises, or warns once each time the model goes over."""

    def __init__(self, budget: CostBudget) -> None:
        self.budget = budget
        self._over = False
        self._graph: Any = None

    def check(self, graph: Graph, *, stacklevel: int) -> None:
        """Compare a forward with the budget, unless it was the last one compared.

        Raises:
            CostBudgetExceededError: It is over, and the budget's action is `"raise"`.
        """
        if graph is self._graph:
            return
        overruns = self.budget.overruns(graph)
        self._graph = graph
        was, self._over = self._over, bool(overruns)
        if not overruns:
            return
        message = self.budget.text(overruns, graph.model)
        if self.budget.action == "raise":
            self._graph = None  # raise again for a caller that catches the error and continues
            raise CostBudgetExceededError(message, overruns)
        if not was:
            warnings.warn(message, CostBudgetWarning, stacklevel=stacklevel)


@shows(BudgetOptions)
def assert_cost(
    model: Capturable,
    inputs: Any = (),
    *,
    on: Deployment | None = None,
    sizes: Mapping[str, int] | None = None,
    at: str = "estimate",
    **options: Unpack[BudgetOptions],
) -> None:
    """Fail if a model exceeds its budget, as an assertion of a test.

    `assert_cost(model, x, hardware="l4", precision="fp16", latency_s=0.005, sizes={"batch": 8})`

    Args:
        model: As `capture` takes it: a module, in training or not, a program, a file, a spec, a Graph.
        inputs: Inputs of a module, as in `capture`.
        on: Where and how the model runs; keywords override its fields.
        sizes: Values of named sizes.
        at: `"estimate"` or `"high"`.
        **options: Limits, as in `CostBudget`, and fields of `Deployment`.

    Raises:
        CostBudgetExceededError: An `AssertionError` that lists each overrun.
        InputError: No limit is given, or one cannot be checked.

    Examples:
        >>> ic.assert_cost(nn.Linear(784, 10), torch.empty(1, 784), hardware="l4", latency_s=0.001)
        >>> ic.assert_cost(nn.Linear(784, 10), torch.empty(1, 784), hardware="l4", latency_s=1e-9)
        Traceback (most recent call last):
            ...
        pyinfercost.predict.budgets.CostBudgetExceededError: ... latency_s is 5.219e-05, limit 1e-09, 5218900.0 % over
    """
    budget = CostBudget(on=on, sizes=sizes, at=at, **options)
    graph = _captured(model, inputs)
    overruns = budget.overruns(graph)
    if overruns:
        raise CostBudgetExceededError(budget.text(overruns, graph.model), overruns)


def _captured(model: Any, inputs: Any) -> Graph:
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(model, torch.nn.Module):
        from ..sources.example import capture_forward, example_of
        from ..sources.inference_view.view import inference_view

        return capture_forward(inference_view(model).module, example_of(inputs, None))
    from ..sources.capture import capture

    return capture(model, inputs)
