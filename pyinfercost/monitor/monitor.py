"""The monitor of a model in this process: requests, time, energy and money, compared with the prediction."""

from __future__ import annotations

import atexit
import logging
import os
import threading
import time
import uuid
import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from os import PathLike
from typing import TYPE_CHECKING, Any, TypeVar, overload

from .. import _core
from .._checks import Range, number, text
from ..deployment.deployment import Deployment
from ..errors import InputError
from ..results.live import Distribution, Series, Snapshot, series
from ..results.live_figures import OUTCOMES
from .call_counts import Count, counter_of
from .device_times import DeviceTimes
from .drift import Drift
from .exporters.exporter_texts import open_exporter
from .exporters.periodic import Failures, Periodic
from .instrument import instrumented
from .log import MonitorLog
from .observer import info_of
from .planned import planned_figures, read_plan
from .power import Power
from .predictions import Predictions
from .request_columns import RequestColumns
from .requests import MonitoredRequest
from .reserved_time import ReservedTime
from .sessions import is_session, monitored_session
from .window import Window

if TYPE_CHECKING:
    from typing_extensions import Self

    from .._core import Graph
    from ..predict.rules import Rules
    from ..sources.capture import Capturable
    from .planned import PlanLike

_T = TypeVar("_T")
_KEPT = 65_536  # requests that wait to be logged: 5 MB
_INTERVAL = Range(0.01, 86_400, "seconds")
_SHARE = Range(1e-6, 1, "as a share of the machine")
_NS = 1e-9
_CPU, _GPU = "cpu", "gpu"

LOG = logging.getLogger("pyinfercost.monitor")
"""Where a monitor reports its own failures, each kind once."""


class MonitorError(InputError):
    """Settings of a monitor that exclude each other or are out of range."""


class Monitor:
    """Count the requests, resources and cost of a model in this process, and compare them with the prediction.

    `instrument` wraps a module, a session or a function; `request` is a context manager around a request;
    `MonitorMiddleware` observes an ASGI application, `monitored_client` a client.

    A request costs about a microsecond. Memory is bounded: latencies are counted in fixed intervals, and sizes in at
    most 4,096 groups. No device is synchronized: the times of CUDA are read from events when they have passed. A
    failure of the monitor is logged and counted, and never reaches a request. After a fork the child counts on its own,
    from zero, without exporters.

    Reserved time runs from the construction to `close`. It is `cold` inside of `starting()`, `busy` while requests are
    in service, and `idle` otherwise. Money is reserved time times the price of the deployment.

    Args:
        model: The served model, for FLOPs, bytes and predicted times: a `Graph`, or anything that `capture`
            accepts. None counts requests alone.
        inputs: Example inputs of a module, as in `capture`.
        on: Where it runs: machine, precision, price. Without a machine, nothing is predicted.
        name: Name of the model in exports; by default the name of the graph.
        dynamic: Dimensions of inputs that vary, as in `capture`. For a module with inputs, by default the first
            dimension of the first input is the batch, if the module can be captured so.
        rules: Work of the caller's own ops.
        exporters: Where figures go: one or a list of arguments of `open_exporter`, such as `"prometheus:9400"`,
            `"page:9401"`, `"otel"`, `"costs.jsonl"`.
        log: File of the log, from which workloads and reports are made; it has times and sizes, and no contents.
        plan: The plan, as `read_plan` accepts it; its figures of the hour are shown next to the measured ones.
        energy: Where joules are read: `"cpu"`, `"cuda:0"`, None for nowhere, or `"auto"`: by the machine of `on`.
        share: Share of the machine that this model pays, if several share it.
        interval_s: Seconds between records of exporters and logs, and between samples of the live page.
        clock: Monotonic nanoseconds.

    Raises:
        MonitorError: A setting is wrong.
        InputError: The model cannot be captured.
    """

    def __init__(
        self,
        model: Capturable | Graph | None = None,
        inputs: Any = (),
        *,
        on: Deployment | None = None,
        name: str | None = None,
        dynamic: Mapping[int | str, Mapping[int, str]] | None = None,
        rules: Rules | None = None,
        exporters: Any = (),
        log: str | PathLike[str] | MonitorLog | None = None,
        plan: PlanLike | None = None,
        energy: str | None = "auto",
        share: float = 1.0,
        interval_s: float = 15.0,
        clock: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self.on = on if on is not None else Deployment()
        self._share = number(share, "share", _SHARE, MonitorError)
        self.interval_s = number(interval_s, "interval_s", _INTERVAL, MonitorError)
        graph = None if model is None else _captured(model, inputs, dynamic)
        self._predictions = None if graph is None else Predictions(graph, self.on, rules)
        default = "model" if graph is None else graph.model
        self.name = default if name is None else text(name, "name", MonitorError)
        self.count: Count = counter_of(graph)
        self._energy = _energy_device(energy, self.on)
        given = exporters if isinstance(exporters, (list, tuple)) else [exporters]
        self._exporters = [open_exporter(each, interval_s=self.interval_s) for each in given]
        rent = self.on.rent
        self._usd_per_h = None if rent is None else rent.usd_per_h() * self._share
        if isinstance(log, (str, PathLike)):
            log = MonitorLog(log, deployment=on, spec=_path(model), price_usd_per_h=self._usd_per_h, plan=_path(plan))
        self._log = log
        self._logging: Periodic | None = None
        self._plan = None if plan is None else read_plan(plan)
        self.clock = clock
        self._lock = threading.Lock()
        self._restores: list[Callable[[], None]] = []
        self._failures: dict[str, int] = {}
        self._closed_ns: int | None = None
        self.meter = _core.Meter(0 if log is None else _KEPT)
        self._begin()
        _MONITORS.add(self)
        for exporter in self._exporters:
            exporter.start(self)

    def _begin(self) -> None:
        """Start counting from zero, at the construction or in the child of a fork."""
        self._reserved = ReservedTime(self.clock, self.on.devices * self._share, self._usd_per_h)
        self.devices = DeviceTimes(self.meter, self.clock)
        self._run = uuid.uuid4().hex
        self._power = None if self._energy is None else Power(self._energy)
        peak = None if self._predictions is None else self._predictions.peak
        self._drift = Drift()
        self._window = Window(
            self._reserved.began_ns * _NS,
            flop_per_s=None if peak is None else peak.flop_per_s,
            byte_per_s=None if peak is None else peak.byte_per_s,
        )
        if self._log is not None:
            self._logging = Periodic(self._record, self.interval_s, Failures("the log of a monitor"))
            self._logging.start()

    @overload
    def instrument(
        self, target: _T, *, count: Count | None = ..., tokens_of: Callable[[Any], int] | None = ...
    ) -> _T: ...
    @overload
    def instrument(
        self, *, count: Count | None = ..., tokens_of: Callable[[Any], int] | None = ...
    ) -> Callable[[_T], _T]: ...
    def instrument(
        self, target: Any = None, *, count: Count | None = None, tokens_of: Callable[[Any], int] | None = None
    ) -> Any:
        """Count every call of a model.

        Args:
            target: A `torch.nn.Module`, whose forward is wrapped in place until `close` (compile it before, with
                `torch.compile`; a capture or an export of it is not counted); an object with `run`, such as an
                `onnxruntime.InferenceSession`, of which a proxy is returned that counts all its methods to run; or a
                function, also an asynchronous one or a generator, of which a wrapper is returned. None returns a
                decorator.
            count: Returns the items and tokens of a call from its arguments and its result; by default the first
                dimension of its first array, and tokens if the model has a size with the role `sequence`.
            tokens_of: Tokens of a piece that a generator yields; by default 1. The first piece is the first token.

        Raises:
            InputTypeError: The target cannot be called.
        """
        if target is None:
            return lambda found: self.instrument(found, count=count, tokens_of=tokens_of)
        if is_session(target):
            return monitored_session(self, target, count or self.count)
        return instrumented(self, target, count or self.count, tokens_of, self._restores)

    def request(self, *, items: int = 1, prompt_tokens: int = 0, waiting: bool = False) -> MonitoredRequest:
        """Return a context manager around one request, also `async with`.

        Args:
            items: Items of its batch; this and tokens may be set on the request until it ends.
            prompt_tokens: Tokens of its prompt.
            waiting: Whether it waits before its service, which `start()` begins.
        """
        return MonitoredRequest(self, items, prompt_tokens, waiting=waiting)

    @contextmanager
    def starting(self) -> Iterator[None]:
        """Mark the time of a block as a cold start: loading weights, compiling, warming up."""
        self._reserved.start()
        try:
            yield
        finally:
            self._reserved.end()

    def snapshot(self) -> Snapshot:
        """Return the figures of this moment. Callable from any thread."""
        self.devices.poll()
        on = self.on
        now_ns = self.clock() if self._closed_ns is None else self._closed_ns
        totals = self.meter.totals(now_ns)
        values: dict[Series, float] = {
            **{series("requests", outcome=name): n for name, n in zip(OUTCOMES, totals["requests"], strict=True)},
            **{series(name): totals[name] for name in ("items", "prompt_tokens", "output_tokens")},
            series("cached_prompt_tokens"): totals["cached_tokens"],
            series("queue_s"): totals["queue_ns"] * _NS,
            series("service_s"): totals["service_ns"] * _NS,
            series("in_flight"): totals["in_flight"] + self.devices.pending,
            series("waiting"): totals["waiting"],
            series("dropped_records", kind="requests"): totals["dropped"],
            series("dropped_records", kind="counts"): sum(self._failures.values()),
            series("replicas"): 1.0,
            **self._reserved.figures(now_ns, totals["busy_ns"]),
        }
        notes = []
        energy_j = None if self._power is None else self._power.energy_j()
        if energy_j is not None:
            values[series("energy_j")] = energy_j
        elif self._power is not None and self._power.why_not:
            notes.append(self._power.why_not)
        if self._predictions is not None:
            predicted = self._predictions.figures({k: v.tolist() for k, v in self.meter.sizes().items()})
            values.update(predicted.values)
            values.update(self._drift.gauges(predicted.values, now_ns * _NS, predicted.requests))
            if self._predictions.refused:
                notes.append(self._predictions.refused)
        values.update(self._window.lately(values, now_ns * _NS))
        time_s = self.wall_s(now_ns)
        if self._plan is not None:
            values.update(planned_figures(self._plan, time_s))
        return Snapshot(
            time_s=time_s,
            values=values,
            distributions=_distributions(self.meter.histograms()),
            info=info_of(on, "monitor", self._run, model=self.name, engine=on.engine, precision=on.precision),
            notes=tuple(notes),
        )

    def wall_s(self, at_ns: int) -> float:
        """Return the Unix time of a moment of the monotonic clock, without jumps of the wall clock since the start."""
        return self._reserved.wall_s(at_ns)

    def failed(self, subject: str, error: BaseException) -> None:
        """Count a failure of the monitor itself, and log the first of its kind."""
        kind = f"{subject}: {type(error).__name__}"
        with self._lock:
            times = self._failures[kind] = self._failures.get(kind, 0) + 1
        if times == 1:
            LOG.warning(
                "the monitor of %s could not count %s; requests are unaffected", self.name, subject, exc_info=error
            )

    def close(self) -> None:
        """End the reserved time, give wrapped modules back, deliver the last figures; a second call has no effect."""
        if self._closed_ns is not None:
            return
        self._closed_ns = self.clock()
        for exporter in self._exporters:
            exporter.close()
        if self._logging is not None:
            self._logging.close()
        while self._restores:
            self._restores.pop()()
        if self._power is not None:
            self._power.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _record(self) -> None:
        """Append the changes to the log."""
        if self._log is not None:
            self._log.append(self.snapshot(), RequestColumns.taken(self.meter, self._reserved.zero_s))

    def _after_fork(self) -> None:
        """Count from zero in a child: threads are gone, and its parent reports earlier counts."""
        self._lock = threading.Lock()
        if self._closed_ns is not None:
            return
        if self._exporters:
            LOG.warning(
                "the monitor of %s was forked; process %d counts on its own and exports nothing: create a Monitor in "
                "each worker, after the fork",
                self.name,
                os.getpid(),
            )
        self._exporters = []
        self.meter.restart()  # wrapped calls hold it
        self._begin()


def _energy_device(energy: str | None, on: Deployment) -> str | None:
    if energy != "auto":
        return energy
    return "cuda" if on.hardware is not None and on.machine.kind == _GPU else _CPU


def _captured(model: Any, inputs: Any, dynamic: Any) -> Graph:
    from ..sources.capture import capture

    if dynamic is not None or isinstance(model, (_core.Graph, str, PathLike)):
        return capture(model, inputs, dynamic=dynamic)
    try:
        return capture(model, inputs, dynamic={0: {0: "batch"}})
    except InputError:  # a batch that the module fixes
        return capture(model, inputs)


def _path(value: Any) -> str | None:
    return os.fspath(value) if isinstance(value, (str, PathLike)) else None


_EDGES: list[float] = []


def _distributions(histograms: Mapping[str, tuple[list[int], list[int], float]]) -> dict[Series, Distribution]:
    if not _EDGES:
        _EDGES.extend(_core.histogram_edges().tolist())
    return {series(name): _distribution(*found) for name, found in histograms.items() if found[0]}


def _distribution(places: list[int], counts: list[int], total: float) -> Distribution:
    bounds: list[float] = []
    inside: list[int] = []
    above = 0
    for place, count in zip(places, counts, strict=True):
        if place + 1 == len(_EDGES):
            above = count
            continue
        if place and (not bounds or bounds[-1] < _EDGES[place]):
            bounds.append(_EDGES[place])
            inside.append(0)
        bounds.append(_EDGES[place + 1])
        inside.append(count)
    return Distribution(tuple(bounds), (*inside, above), total)


_MONITORS: weakref.WeakSet[Monitor] = weakref.WeakSet()


def _forked() -> None:
    for monitor in list(_MONITORS):
        monitor._after_fork()


@atexit.register
def _end() -> None:
    for monitor in list(_MONITORS):
        monitor.close()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)
