"""Figures that follow from the latency and the energy of forwards: transfer, cold start, money, carbon, tokens.

The core has each formula once, for one point and for columns (`csrc/costs/derived.cpp`); what the formulas need of a
deployment and of a forward is found here. A sweep derives only the requested columns.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import inf, isfinite, isnan, nan
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from .. import _core
from .._records import dataclass
from ..deployment.cold_starts import (
    before_weights_s,
    cold_start,
    default_startup,
    recorded_graphs,
    warmup_s,
    weights_s_per_byte,
)
from ..deployment.host_links import host_link
from ..errors import InputError
from ..results import figures
from ..results.costs import Cost, Moved
from .plans import boundary_of, value_of
from .stages import loaded_bytes

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from .._core import Boundary, Graph
    from ..deployment.deployment import Deployment
    from ..inputs.price import Price
    from ..inputs.startup import Startup

Numbers: TypeAlias = "float | NDArray[np.float64]"
"""One number for all points, or one for each."""

_GIGA = 1e9
_BITS = 8


@dataclass(frozen=True)
class Term:
    """A number of a deployment that the formulas use.

    Attributes:
        fields: Fields of the deployment that it depends on.
        of: Returns the number; not a number if it is unknown.
    """

    fields: tuple[str, ...]
    of: Callable[[Deployment], float]


def _network_byte_per_s(on: Deployment) -> float:
    rate = on.data_transfer.network_gbit_per_s
    return inf if rate is None else rate * _GIGA / _BITS


def _or_nan(value: float | None) -> float:
    return nan if value is None else value


_MACHINE = ("hardware", "threads", "instances", "sustained", "host")
_PRICE = (*_MACHINE, "price", "layout", "devices")
_PLACE = (*_PRICE, "region")
_MOVING = (*_MACHINE, "transfer")
_STARTING = (*_MACHINE, "startup")
_OF_SERVICE = "service_"  # begins the name of a number with an engine whose replicas are added to a service

OF_START = ("before_weights_s", "weights_s_per_byte", "warmup_s", "warmup_s_per_graph")
"""Numbers of a start, which depend on the engine where no startup is stated."""


def _starting(engine: str) -> dict[str, Term]:
    """Return the numbers of a start, of deployments that state none with the default of an engine."""

    def terms_of(on: Deployment) -> Startup:
        return default_startup(engine) if on.startup is None else on.replica_startup

    def per_graph_s(on: Deployment) -> float:
        return warmup_s(terms_of(on), 1.0) - warmup_s(terms_of(on), 0.0)

    before = Term(_STARTING, lambda on: before_weights_s(on.machine, terms_of(on)))
    weights = Term(_STARTING, lambda on: weights_s_per_byte(on.machine, terms_of(on)))
    warmup = Term(("startup",), lambda on: warmup_s(terms_of(on), 0.0))
    return dict(zip(OF_START, (before, weights, warmup, Term(("startup",), per_graph_s)), strict=True))


def term_name(name: str, engine: str) -> str:
    """Return the key in `TERMS` of a number of deployments with an engine, whose default startup decides some."""
    of_service = name in OF_START and default_startup(engine) != default_startup("torch")
    return _OF_SERVICE + name if of_service else name


TERMS: Mapping[str, Term] = MappingProxyType(
    {
        "memory_bytes": Term(_MACHINE, lambda on: on.machine.memory_bytes),
        "is_gpu": Term(_MACHINE, lambda on: float(on.machine.kind == "gpu")),
        "is_a100": Term(_MACHINE, lambda on: float(_core.is_a100(on.machine))),
        "instances": Term(("instances",), lambda on: float(on.instances)),
        "idle_w": Term(_MACHINE, lambda on: on.machine.power_w.get("idle", 0.0)),
        **_starting("torch"),
        **{_OF_SERVICE + name: term for name, term in _starting("vllm").items()},
        "link_byte_per_s": Term(_MOVING, lambda on: host_link(on.machine, on.data_transfer.memory).byte_per_s),
        "link_latency_s": Term(_MOVING, lambda on: host_link(on.machine, on.data_transfer.memory).latency_s),
        "transfer_is_paid": Term(("transfer",), lambda on: float(on.transfer is not None)),
        "overlapped": Term(("transfer",), lambda on: float(on.data_transfer.overlapped)),
        "network_byte_per_s": Term(("transfer",), _network_byte_per_s),
        "network_rtt_s": Term(("transfer",), lambda on: on.data_transfer.network_rtt_s),
        "request_bytes_per_item": Term(("transfer",), lambda on: _or_nan(on.data_transfer.request_bytes)),
        "response_bytes_per_item": Term(("transfer",), lambda on: _or_nan(on.data_transfer.response_bytes)),
        "egress_usd_per_gb": Term(("transfer",), lambda on: on.data_transfer.egress_usd_per_gb),
        "usd_per_h": Term(_PRICE, lambda on: nan if on.device_price is None else on.device_price.usd_per_h),
        "paid_per_used": Term(_PRICE, lambda on: 1.0 if on.rent is None else on.rent.paid_devices() / on.devices),
        "usd_per_j": Term(_PRICE, lambda on: 0.0 if on.device_price is None else on.device_price.usd_per_j),
        "pue": Term(_PLACE, lambda on: nan if on.place is None else on.place.pue),
        "grid_g_per_kwh": Term(_PLACE, lambda on: nan if on.place is None else on.place.grid_g_per_kwh),
    }
)
"""Numbers of a deployment, by name."""


def term_keys(engine: str) -> dict[str, str]:
    """Return the numbers of deployments with an engine that the core's costs take: input -> key in `TERMS`."""
    return {name: term_name(name, engine) for name in TERMS if name in _core.cost_inputs()}


class Points(Protocol):
    """Points whose costs are derived: one, or the rows of a sweep."""

    @property
    def latency_s(self) -> Numbers:
        """Seconds of a forward."""

    @property
    def interval_s(self) -> Numbers:
        """Seconds between the starts of two forwards under continuous load."""

    @property
    def energy_j(self) -> Numbers:
        """Joules of a forward on all devices; not a number if unknown."""

    @property
    def items(self) -> Numbers:
        """Items of the batch, over all devices."""

    @property
    def devices(self) -> Numbers:
        """Devices that share the batch."""

    @property
    def utilization(self) -> Numbers:
        """Share of the paid time in which the devices work."""

    @property
    def draft_tokens_per_step(self) -> Numbers:
        """Tokens of a sequence that a decode step with drafts yields."""

    @property
    def loaded_bytes(self) -> Numbers:
        """Weights and buffers that a device loads: of a pipeline, one of the stage with most of them."""

    @property
    def recorded_graphs(self) -> Numbers:
        """Graphs that the engine records when it starts; not a number where its warm-up is not known."""

    def term(self, name: str) -> Numbers:
        """Return a number of the deployments, by its name in `TERMS`."""

    def boundary(self, of: Callable[[Boundary], Any], *, share: bool = False) -> Numbers:
        """Return a quantity at the boundary of a forward: of the whole batch, or of the largest share of a device."""


_OF_BOUNDARY: Mapping[str, tuple[Callable[[Boundary], Any], bool]] = MappingProxyType(
    {
        "input_tensors": (lambda at: at.input_tensors, False),
        "input_bytes": (lambda at: at.input_bytes, False),
        "device_input_bytes": (lambda at: at.input_bytes, True),
        "output_tensors": (lambda at: at.output_tensors, False),
        "output_bytes": (lambda at: at.output_bytes, False),
        "device_output_bytes": (lambda at: at.output_bytes, True),
        "tokens": (lambda at: at.tokens or 0, False),
        "reads_cache": (lambda at: int(at.reads_cache), False),
    }
)
"""Input -> its quantity at the boundary, and whether it is of the largest share of the batch on one device."""

_OF_POINTS = frozenset(
    {
        *("latency_s", "interval_s", "energy_j", "items", "devices", "utilization"),
        *("draft_tokens_per_step", "loaded_bytes", "recorded_graphs"),
    }
)
"""Inputs that are attributes of `Points`; inputs of neither kind are `TERMS`."""

COST_FIGURES = frozenset(_core.cost_figures())
"""Figures that are derived."""


_PRICED = tuple(each for each in figures.of_scope(figures.ESTIMATE) if figures.PRICE in each.needs)


class DerivedCosts:
    """The figures of the core's formulas (`csrc/costs/derived.cpp`), at some points: one attribute for each."""

    def __init__(self, points: Points) -> None:
        self._points = points
        self._inputs: dict[str, Numbers] = {}

    def __getattr__(self, figure: str) -> Numbers:
        if figure not in COST_FIGURES:
            raise AttributeError(figure)
        value: Numbers = _core.derive_cost(figure, self._input)
        self.__dict__[figure] = value
        return value

    @property
    def ttft_s(self) -> Numbers:
        """Seconds of a prefill until the first token."""
        return self._points.latency_s

    @property
    def tpot_s(self) -> Numbers:
        """Seconds of a decode step for each token of a sequence; with drafts, it yields several."""
        return self._points.latency_s / self.tokens_per_step

    def _input(self, name: str) -> Numbers:
        """Return an input of the formulas; each is computed once, and only if a formula needs it."""
        if name not in self._inputs:
            found: Numbers
            if name in _OF_POINTS:
                found = getattr(self._points, name)
            elif name in _OF_BOUNDARY:
                of, share = _OF_BOUNDARY[name]
                found = self._points.boundary(of, share=share)
            else:
                found = self._points.term(name)
            self._inputs[name] = found
        return self._inputs[name]


@dataclass(frozen=True)
class OnePoint:
    """One point, as `Points`.

    Attributes:
        on: Its deployment.
        graph: The model.
        sizes: Values of all sizes of the graph.
        share: The same for the largest share of the batch on one device.
        latency_s: Seconds of the forward.
        interval_s: Seconds between the starts of two forwards under continuous load.
        energy_j: Joules of the forward on all devices; not a number if unknown.
        items: Items of the batch.
    """

    on: Deployment
    graph: Graph
    sizes: Mapping[str, int]
    share: Mapping[str, int]
    latency_s: float
    interval_s: float
    energy_j: float
    items: int

    @property
    def devices(self) -> int:
        """Devices that share the batch."""
        return self.on.devices

    @property
    def utilization(self) -> float:
        """Share of the paid time in which the devices work."""
        return self.on.utilization

    @property
    def draft_tokens_per_step(self) -> float:
        """Tokens of a sequence that a decode step with drafts yields."""
        return self.on.settings.tokens_per_step if self.on.serving else 1.0

    @property
    def loaded_bytes(self) -> int:
        """Weights and buffers that a device loads: of a pipeline, one of the stage with most of them."""
        return loaded_bytes(self.graph, self.on.precision, self.sizes)

    @property
    def recorded_graphs(self) -> float:
        """Graphs that the engine records when it starts; not a number where its warm-up is not known."""
        return recorded_graphs(self.on.engine, self.on.execution, self.on.settings)

    def term(self, name: str) -> float:
        """Return a number of the deployment, by its name in `TERMS`."""
        return TERMS[term_name(name, self.on.engine)].of(self.on)

    def boundary(self, of: Callable[[Boundary], Any], *, share: bool = False) -> float:
        """Return a quantity at the boundary of the forward."""
        return float(self.count(of, share=share))

    def count(self, of: Callable[[Boundary], Any], *, share: bool = False) -> int:
        """Return a quantity at the boundary of the forward as a whole number."""
        return value_of(of(boundary_of(self.graph, self.on.precision)), self.share if share else self.sizes)


def derived_figures(point: OnePoint) -> dict[str, Any]:
    """Return the fields of an `Estimate` that follow from its latency and energy.

    Raises:
        InputError: The cost needs the link or the energy of the machine, and its file does not state it.
    """
    on, derived = point.on, DerivedCosts(point)
    moved = _moved(point, derived)
    cost = None if on.device_price is None else _cost(point, derived, on.device_price)
    graphs = point.recorded_graphs if on.replica_startup.warmup == "engine" else nan
    start = cold_start(on.machine, point.loaded_bytes, on.replica_startup, engine=on.engine, graphs=graphs)
    boundary = boundary_of(point.graph, on.precision)
    tokens = None if boundary.tokens is None else point.count(lambda at: at.tokens)
    timed = tokens is not None and point.latency_s > 0
    energy_known = isfinite(point.energy_j)
    return {
        "energy_per_item_j": derived.energy_per_item_j if energy_known else None,
        "transfer_s": _known(derived.transfer_s),
        "transfer": moved,
        "cold_start_s": None if start is None else start.seconds,
        "cold_start": start,
        "tokens": tokens,
        "tokens_per_s": derived.tokens_per_s if timed else None,
        "tokens_per_s_per_sequence": derived.tokens_per_s_per_sequence if timed else None,
        "ttft_s": derived.ttft_s if boundary.phase == figures.PREFILL else None,
        "tpot_s": derived.tpot_s if boundary.phase == figures.DECODE else None,
        "cost": cost,
        **{
            each.key: float(getattr(derived, each.key))
            if cost and (tokens or figures.TOKENS not in each.needs)
            else None
            for each in _PRICED
        },
        "carbon_g": derived.carbon_g if energy_known and on.place is not None else None,
        "place": on.place,
    }


def _known(seconds: Numbers) -> float | None:
    return None if isnan(float(seconds)) else float(seconds)


def _moved(point: OnePoint, derived: DerivedCosts) -> Moved:
    return Moved(
        terms=point.on.data_transfer,
        input_bytes=point.count(lambda at: at.input_bytes, share=True),
        output_bytes=point.count(lambda at: at.output_bytes, share=True),
        host_s=_known(derived.host_s),
        network_s=float(derived.network_s),
        request_bytes=float(derived.request_bytes),
        response_bytes=float(derived.response_bytes),
        egress_usd=float(derived.egress_usd),
    )


def _cost(point: OnePoint, derived: DerivedCosts, price: Price) -> Cost:
    on = point.on
    if on.transfer is not None and isnan(float(derived.host_s)):
        raise InputError(
            f"transfer is given, and the file of {on.machine.id} has no link to the host; leave transfer out, or add "
            "the link to a copy of the file"
        )
    if price.usd_per_kwh > 0 and not isfinite(point.energy_j):
        raise InputError(
            f"electricity has a price, and the energy of {on.machine.id} is unknown: its file has no power; leave "
            "usd_per_kwh out, or add the power to a copy of the file"
        )
    return Cost(
        usd=float(derived.cost_usd),
        used_s=float(derived.used_s),
        paid_s=float(derived.paid_s),
        electricity_usd=float(derived.electricity_usd),
        egress_usd=float(derived.egress_usd),
        utilization=on.utilization,
        price=price,
        instances=None if on.rent is None or price.devices == 1 else on.rent.instances(),
        usd_per_h=float(derived.usd_per_h),
    )
