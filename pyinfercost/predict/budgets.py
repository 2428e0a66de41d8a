"""Budgets: limits on the cost of a model, checked in a training loop or in a test."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Mapping
from dataclasses import InitVar, dataclass, field
from math import inf
from typing import TYPE_CHECKING, Any, NamedTuple, SupportsIndex

from .. import _core
from .._checks import Range, number, shown
from ..deployment import (
    Deployment,
    HardwareLike,
    HostLike,
    LayoutLike,
    PriceLike,
    ServingLike,
    StartupLike,
    TransferLike,
    deployment_of,
)
from ..errors import Error, InputError
from ..results.given_units import given, unit_of
from ..sources.sizes import bind_sizes
from .estimate import estimate_on

if TYPE_CHECKING:
    from .._core import Graph
    from ..sources.capture import Capturable

_COUNTED_ONLY = Deployment()

_OF_MACHINE = ("latency_s", "energy_per_item_j", "cost_usd", "usd_per_million_tokens", "carbon_g")
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


@dataclass(frozen=True, kw_only=True)
class CostBudget:
    """Limits on the cost of one forward. All limits that are given hold; they may be texts with units: `"20ms"`.

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
        on: Where and how the model runs, for limits that depend on it; the keywords below override its fields.
        hardware: The machine. This and the next thirteen are the fields of `Deployment`, which describes them; they are
            part of `on` afterwards.
        devices: Number of machines.
        layout: How the model lies on them.
        precision: Dtype to serve in.
        engine: What runs the model: `"torch"` or a serving engine.
        serving: How a serving engine forms its steps.
        execution: `"eager"`, `"compiled"`, `"cuda_graph"` or `"reduce-overhead"`.
        threads: Threads of a CPU.
        instances: Copies of the model side by side on one CPU.
        sustained: Whether the machine runs without pause.
        host: Host of a GPU: microseconds to issue an operator, or a name.
        price: Price of a device hour.
        utilization: Share of the paid time in which the devices work.
        region: Location of the machine.
        transfer: How inputs reach the device and results return.
        startup: How a replica starts, for `cold_start_s`.
        sizes: Values of named sizes, such as the batch; the example's by default.
        at: `"estimate"` compares latency and energy themselves, `"high"` the upper ends of their bands.
        action: In a tracker: `"raise"` ends training with a `CostBudgetExceededError`, `"warn"` issues a warning each
            time the model goes over.
    """

    latency_s: float | str | None = None
    energy_per_item_j: float | str | None = None
    cost_usd: float | str | None = None
    usd_per_million_tokens: float | str | None = None
    carbon_g: float | str | None = None
    flops: float | str | None = None
    contraction_flops: float | str | None = None
    parameters: float | str | None = None
    parameter_bytes: float | str | None = None
    peak_memory_bytes: float | str | None = None
    on: Deployment = _COUNTED_ONLY
    hardware: InitVar[HardwareLike | None] = None
    devices: InitVar[SupportsIndex | None] = None
    layout: InitVar[LayoutLike | None] = None
    precision: InitVar[str | None] = None
    engine: InitVar[str | None] = None
    serving: InitVar[ServingLike | None] = None
    execution: InitVar[str | None] = None
    threads: InitVar[int | None] = None
    instances: InitVar[SupportsIndex | None] = None
    sustained: InitVar[bool | None] = None
    host: InitVar[HostLike | None] = None
    price: InitVar[PriceLike | None] = None
    utilization: InitVar[float | None] = None
    region: InitVar[str | None] = None
    transfer: InitVar[TransferLike | None] = None
    startup: InitVar[StartupLike | None] = None
    sizes: Mapping[str, int] = field(default_factory=dict)
    at: str = "estimate"
    action: str = "raise"

    def __post_init__(
        self,
        hardware: HardwareLike | None,
        devices: SupportsIndex | None,
        layout: LayoutLike | None,
        precision: str | None,
        engine: str | None,
        serving: ServingLike | None,
        execution: str | None,
        threads: int | None,
        instances: SupportsIndex | None,
        sustained: bool | None,
        host: HostLike | None,
        price: PriceLike | None,
        utilization: float | None,
        region: str | None,
        transfer: TransferLike | None,
        startup: StartupLike | None,
    ) -> None:
        deployment = deployment_of(
            self.on,
            hardware=hardware,
            devices=devices,
            layout=layout,
            precision=precision,
            engine=engine,
            serving=serving,
            execution=execution,
            threads=threads,
            instances=instances,
            sustained=sustained,
            host=host,
            price=price,
            utilization=utilization,
            region=region,
            transfer=transfer,
            startup=startup,
        )
        object.__setattr__(self, "on", deployment)
        for name in (*_OF_MACHINE, *_OF_MODEL):
            value = getattr(self, name)
            if value is not None:
                object.__setattr__(self, name, _limit(name, value))
        if self.on.hardware is None and any(getattr(self, name) is not None for name in _OF_MACHINE):
            given = ", ".join(name for name in _OF_MACHINE if getattr(self, name) is not None)
            raise InputError(f"a limit on {given} depends on the machine; pass hardware=")
        if not self.limits:
            raise InputError(f"the budget has no limit; pass one of {', '.join((*_OF_MACHINE, *_OF_MODEL))}")
        for name, known in (("at", _AT), ("action", _ACTIONS)):
            if getattr(self, name) not in known:
                raise InputError(f"{name} is {shown(getattr(self, name))}; expected one of {', '.join(known)}")

    @property
    def limits(self) -> dict[str, float]:
        """The limits that are given, by name."""
        named = ((name, getattr(self, name)) for name in (*_OF_MACHINE, *_OF_MODEL))
        return {name: float(value) for name, value in named if value is not None}

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
        way = f"{self.on.precision}, {self.on.execution}" if timed else self.on.precision
        return f"{model or 'the model'} is over its budget{where} ({way}): " + "; ".join(map(str, overruns))


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


def assert_cost(
    model: Capturable,
    inputs: Any = (),
    *,
    latency_s: float | str | None = None,
    energy_per_item_j: float | str | None = None,
    cost_usd: float | str | None = None,
    usd_per_million_tokens: float | str | None = None,
    carbon_g: float | str | None = None,
    flops: float | str | None = None,
    contraction_flops: float | str | None = None,
    parameters: float | str | None = None,
    parameter_bytes: float | str | None = None,
    peak_memory_bytes: float | str | None = None,
    on: Deployment | None = None,
    hardware: HardwareLike | None = None,
    devices: SupportsIndex | None = None,
    layout: LayoutLike | None = None,
    precision: str | None = None,
    engine: str | None = None,
    serving: ServingLike | None = None,
    execution: str | None = None,
    threads: int | None = None,
    instances: SupportsIndex | None = None,
    sustained: bool | None = None,
    host: HostLike | None = None,
    price: PriceLike | None = None,
    utilization: float | None = None,
    region: str | None = None,
    transfer: TransferLike | None = None,
    startup: StartupLike | None = None,
    sizes: Mapping[str, int] | None = None,
    at: str = "estimate",
) -> None:
    """Fail if a model exceeds its budget, as an assertion of a test.

    `assert_cost(model, x, hardware="l4", precision="fp16", latency_s=0.005, sizes={"batch": 8})`

    Args:
        model: As `capture` takes it: a module, in training or not, a program, a file, a spec, a Graph.
        inputs: Inputs of a module, as in `capture`.
        latency_s: Limits, as in `CostBudget`, which describes this and all that follow.
        energy_per_item_j: Joules per item.
        cost_usd: USD per item.
        usd_per_million_tokens: USD per million tokens.
        carbon_g: Grams of CO2 equivalent per item.
        flops: All FLOPs of a forward.
        contraction_flops: FLOPs of products, convolutions and attention.
        parameters: Number of parameters.
        parameter_bytes: Bytes of parameters.
        peak_memory_bytes: Weights, buffers and the peak of activations.
        on: Where and how the model runs.
        hardware: The machine.
        devices: Number of machines.
        layout: How the model lies on them.
        precision: Dtype to serve in.
        engine: What runs the model: `"torch"` or a serving engine.
        serving: How a serving engine forms its steps.
        execution: `"eager"`, `"compiled"`, `"cuda_graph"` or `"reduce-overhead"`.
        threads: Threads of a CPU.
        instances: Copies of the model side by side on one CPU.
        sustained: Whether the machine runs without pause.
        host: Host of a GPU: microseconds to issue an operator, or a name.
        price: Price of a device hour.
        utilization: Share of the paid time in which the devices work.
        region: Location of the machine.
        transfer: How inputs reach the device and results return.
        startup: How a replica starts, for `cold_start_s`.
        sizes: Values of named sizes.
        at: `"estimate"` or `"high"`.

    Raises:
        CostBudgetExceededError: An `AssertionError` that lists each overrun.
        InputError: No limit is given, or one cannot be checked.
    """
    budget = CostBudget(
        latency_s=latency_s,
        energy_per_item_j=energy_per_item_j,
        cost_usd=cost_usd,
        usd_per_million_tokens=usd_per_million_tokens,
        carbon_g=carbon_g,
        flops=flops,
        contraction_flops=contraction_flops,
        parameters=parameters,
        parameter_bytes=parameter_bytes,
        peak_memory_bytes=peak_memory_bytes,
        on=on or _COUNTED_ONLY,
        hardware=hardware,
        devices=devices,
        layout=layout,
        precision=precision,
        engine=engine,
        serving=serving,
        execution=execution,
        threads=threads,
        instances=instances,
        sustained=sustained,
        host=host,
        price=price,
        utilization=utilization,
        region=region,
        transfer=transfer,
        startup=startup,
        sizes=dict(sizes or {}),
        at=at,
    )
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
