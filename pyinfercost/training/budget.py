"""Budgets: limits on what a model may cost, checked while it trains or by a test."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, NamedTuple

from .guard import PassesThroughError

_OF_MACHINE = ("latency_s", "energy_per_item_j", "cost_usd", "usd_per_million_tokens", "carbon_g")
_OF_MODEL = ("memory_bytes", "flops", "parameters", "parameter_bytes")
_ACTIONS = ("raise", "warn")
_AT = ("estimate", "high")


class CostBudgetWarning(UserWarning):
    """A model in training costs more than its budget allows."""


class CostBudgetExceededError(PassesThroughError, AssertionError):
    """A model costs more than its budget allows.

    Attributes:
        overruns: what is over, each with its limit.
    """

    def __init__(self, message: str, overruns: tuple[Overrun, ...]) -> None:
        super().__init__(message)
        self.overruns = overruns


class Overrun(NamedTuple):
    """One figure above its limit.

    Attributes:
        name: of the figure, with its unit.
        value: of the model.
        limit: of the budget.
    """

    name: str
    value: float
    limit: float

    def __str__(self) -> str:
        over = f", {100 * (self.value / self.limit - 1):.1f} % over" if self.limit > 0 else ""
        return f"{self.name} is {self.value:.4g}, limit {self.limit:.4g}{over}"


@dataclass(frozen=True, kw_only=True)
class CostBudget:
    """Limits on what one forward may cost; each that is given holds.

    Attributes:
        latency_s: seconds of a forward of the batch.
        energy_per_item_j: joules of an item of the batch.
        cost_usd: USD of an item; needs `price`.
        usd_per_million_tokens: of a model that reads tokens; needs `price`.
        carbon_g: grams of CO2 equivalent of an item; needs `region`, or a price that says where.
        memory_bytes: weights, buffers and the peak of activations.
        flops: contraction FLOPs of a forward, two for each multiply-add.
        parameters: how many.
        parameter_bytes: that they take.
        hardware: the machine, for limits that depend on it: what `hardware.load` takes.
        precision: the dtype to serve in.
        execution: `eager`, `compiled` or `replayed`.
        threads: of a CPU.
        price, utilisation, region, transfer: as in `estimate`.
        sizes: values of named sizes, such as the batch; the example's where left out.
        at: `"estimate"` compares the latency and the energy themselves, `"high"` the upper ends of their bands.
        action: of a tracker: `"raise"` ends training with a `CostBudgetExceededError`, `"warn"` warns whenever the
            model goes over.
    """

    latency_s: float | None = None
    energy_per_item_j: float | None = None
    cost_usd: float | None = None
    usd_per_million_tokens: float | None = None
    carbon_g: float | None = None
    memory_bytes: float | None = None
    flops: float | None = None
    parameters: float | None = None
    parameter_bytes: float | None = None
    hardware: Any = None
    precision: str = "native"
    execution: str = "eager"
    threads: int | None = None
    price: Any = None
    utilisation: float = 1.0
    region: str | None = None
    transfer: Any = None
    sizes: Mapping[str, int] = field(default_factory=dict)
    at: str = "estimate"
    action: str = "raise"

    def __post_init__(self) -> None:
        for name in (*_OF_MACHINE, *_OF_MODEL):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ValueError(f"{name} is {value!r}; expected a limit above 0")
        if self.hardware is None and any(getattr(self, name) is not None for name in _OF_MACHINE):
            given = ", ".join(name for name in _OF_MACHINE if getattr(self, name) is not None)
            raise ValueError(f"a limit on {given} needs hardware=, the machine that it is of")
        if not self.limits:
            raise ValueError(f"a budget without a limit; expected one of {', '.join((*_OF_MACHINE, *_OF_MODEL))}")
        for name, known in (("at", _AT), ("action", _ACTIONS)):
            if getattr(self, name) not in known:
                raise ValueError(f"{name} is {getattr(self, name)!r}; expected one of {', '.join(known)}")

    @property
    def limits(self) -> dict[str, float]:
        """The limits that are given, by name."""
        named = ((name, getattr(self, name)) for name in (*_OF_MACHINE, *_OF_MODEL))
        return {name: float(value) for name, value in named if value is not None}

    def overruns(self, graph: Any) -> tuple[Overrun, ...]:
        """What a captured forward is over in; empty where it keeps to the budget.

        Raises:
            ValueError: a figure with a limit is not known for this machine or model: a limit that cannot be checked is
                not one that holds.
        """
        from ..predict.profile import profile

        sizes: dict[str, Any] = dict(self.sizes)
        known = profile(
            graph,
            hardware=self.hardware,
            precision=self.precision,
            execution=self.execution,
            threads=self.threads,
            price=self.price,
            utilisation=self.utilisation,
            region=self.region,
            transfer=self.transfer,
            **sizes,
        )
        total = known.counts.total
        values: dict[str, Any] = {
            "memory_bytes": total.peak_memory_bytes,
            "flops": total.contraction_flops,
            "parameters": total.parameters,
            "parameter_bytes": total.parameter_bytes,
        }
        if known.estimate is not None:
            values |= {name: getattr(known.estimate, name) for name in _OF_MACHINE}
            if self.at == "high":
                values["latency_s"] = known.estimate.latency_high_s
                if known.estimate.energy_high_j is not None and known.estimate.energy_j:
                    values["energy_per_item_j"] *= known.estimate.energy_high_j / known.estimate.energy_j
        unknown = [name for name in self.limits if values.get(name) is None]
        if unknown:
            raise ValueError(
                f"{', '.join(unknown)} of {graph.model or 'this model'} on {self.hardware} is not known, so that its "
                "limit cannot be checked: costs need price=, carbon needs region=, energy needs a machine's power"
            )
        return tuple(Overrun(name, values[name], limit) for name, limit in self.limits.items() if values[name] > limit)

    def text(self, overruns: tuple[Overrun, ...], model: str) -> str:
        """What is over, in words."""
        where = f" on {self.hardware}" if self.hardware is not None else ""
        way = f"{self.precision}, {self.execution}" if self.hardware is not None else self.precision
        return f"{model or 'the model'} is over its budget{where} ({way}): " + "; ".join(map(str, overruns))


class Watched:
    """A budget in a training loop: it warns once each time that the model goes over, or raises."""

    def __init__(self, budget: CostBudget) -> None:
        self.budget = budget
        self._over = False
        self._graph: Any = None

    def check(self, graph: Any, *, stacklevel: int) -> None:
        """Compares a forward with the budget, where it is another one than before.

        Raises:
            CostBudgetExceededError: it is over, and the budget raises.
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
            self._graph = None  # whoever catches it and goes on is told again
            raise CostBudgetExceededError(message, overruns)
        if not was:
            warnings.warn(message, CostBudgetWarning, stacklevel=stacklevel)


def assert_cost(model: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None, **limits: Any) -> None:
    """Fails a test where a model costs more than it may.

    `assert_cost(model, x, hardware="l4", precision="fp16", latency_s=0.005, sizes={"batch": 8})`

    Args:
        model: what `capture` takes: a module, in training or not, a program, a file, a spec, a Graph.
        args: positional inputs of a module.
        kwargs: named inputs of a module.
        **limits: those of `CostBudget`, and its other attributes.

    Raises:
        CostBudgetExceededError: an `AssertionError` that lists what is over, and by how much.
        ValueError: for a limit that is not known, or cannot be checked.
    """
    budget = budget_of(limits)
    from ..sources.capture import capture

    torch = sys.modules.get("torch")
    if torch is not None and isinstance(model, torch.nn.Module):
        from .inference_view import deployed
        from .example import example_of
        from .cost_to_serve import captured

        graph = captured(deployed(model).module, example_of(args, kwargs, None))
    else:
        graph = capture(model, args, kwargs)
    overruns = budget.overruns(graph)
    if overruns:
        raise CostBudgetExceededError(budget.text(overruns, graph.model), overruns)


def budget_of(limits: Mapping[str, Any]) -> CostBudget:
    """A budget from words.

    Raises:
        ValueError: for a word that it does not have.
    """
    known = [entry.name for entry in fields(CostBudget)]
    wrong = [name for name in limits if name not in known]
    if wrong:
        raise ValueError(f"a budget has no {', '.join(wrong)}; expected some of {', '.join(known)}")
    return CostBudget(**limits)
