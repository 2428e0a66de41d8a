"""The observer of a serving engine, which reads its `/metrics` and adds cost, energy and predictions."""

from __future__ import annotations

import logging
import threading
import time
import uuid
from collections.abc import Callable
from os import PathLike, fspath
from typing import TYPE_CHECKING, Any

from .._checks import Range, excerpt, number, shown, text
from .._escapes import visible
from .._http import Gone
from ..deployment import Deployment
from ..errors import InputError
from ..predict.peaks import peak_of
from ..results.costs import SECONDS_PER_HOUR
from ..results.live import Snapshot, series
from ..results.live_figures import USES
from ..serving.serve import Phases, phases_of
from ..serving.step_tables import StepCosts
from .drift import Drift
from .engine_account import EngineAccount
from .engines import ENGINES
from .exporters.exporter_texts import open_exporter
from .exporters.periodic import Failures, Periodic
from .log import MonitorLog
from .observer import info_of
from .planned import PlanLike, planned_figures, read_plan
from .power import Power
from .scraping import fetch, metrics_url
from .window import WINDOW_S, Window

if TYPE_CHECKING:
    from typing_extensions import Self

    from ..serving.serve import Served
    from ..serving.step_cost_factors import StepCostFactors

AUTO = "auto"
"""The engine is recognized by the names on its page."""

_INTERVAL = Range(0.01, 86_400, "seconds")
_TIMEOUT = Range(0.01, 3600, "seconds")
_LEAST_TIMEOUT_S, _LONGEST_TIMEOUT_S = 2.0, 10.0  # by default

LOG = logging.getLogger("pyinfercost.monitor")


class SidecarError(InputError):
    """Settings of a sidecar that are wrong or exclude each other."""


class Sidecar:
    """Count the requests, resources and cost of a serving engine from the metrics that it publishes.

    A thread reads the page every `interval_s` between `start` and `close`; `read` reads it at once. Counters of the
    engine become totals since the start of the sidecar: the increment of each page over the page before is added, also
    across restarts of the server.

    Paid time runs from the construction on a monotonic clock. It is `cold` until the server is ready, also after a
    restart, then `busy` while requests are in service, and `idle` otherwise (`paid_time.PaidTime`). A failure of the
    server or of its page raises nothing: it is counted, and `up` is 0.

    Args:
        url: Address of the engine; `http://host:8000` stands for `http://host:8000/metrics`.
        engine: `"vllm"`, `"sglang"`, `"triton"`, `"tgi"`, or `"auto"`: by the first page.
        on: Where the model runs: machine, layout, precision, price. Without a machine nothing is predicted, and without
            a price money is left out.
        model: The served model, for predictions, FLOPs and bytes: the spec of a language model's config without a phase
            (`"hf:config.json"`), its graphs of decode and prefill, or the result of `step_costs`.
        name: Name of the model in exports; by default that on the page.
        served: Value of the label of the model, for a page with several; None adds all.
        correction: Measured factors of the steps of this server, from `calibrate_serving`.
        energy: Where joules are read: `"cpu"` or `"cuda:0"`, counters of this machine; None for the counters on the
            page.
        plan: The plan of each hour, as `read_plan` accepts it: a file of `pyinfercost fleet --plan --format
            json`, or numbers such as `{"usd_per_h": 4}`.
        exporters: Where figures go, from `start` on: one or a list of arguments of `open_exporter`.
        log: File of the log, from which workloads and reports are made.
        interval_s: Seconds between readings.
        timeout_s: Seconds for an answer; by default the interval, between 2 and 10.
        since_start: Whether the first page counts from the start of its process: for a single reading.
        window_s: Seconds of the gauges called "lately".
        clock: Monotonic clock in seconds.
        wall: Unix time in seconds.

    Raises:
        SidecarError: A setting is wrong.
        PlanError: The plan cannot be read.
        FileAccessError: The log cannot be opened.
        ScrapeError: The address is none of HTTP.
        ServeError: The model has not both phases, or there is no machine for it.
    """

    def __init__(
        self,
        url: str,
        *,
        engine: str = AUTO,
        on: Deployment | None = None,
        model: Served | None = None,
        name: str | None = None,
        served: str | None = None,
        correction: StepCostFactors | None = None,
        energy: str | None = None,
        plan: PlanLike | None = None,
        exporters: Any = (),
        log: str | PathLike[str] | MonitorLog | None = None,
        interval_s: float = 15.0,
        timeout_s: float | None = None,
        since_start: bool = False,
        window_s: float = WINDOW_S,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        if engine != AUTO and engine not in ENGINES:
            raise SidecarError(f"engine is {shown(engine)}; expected {AUTO} or one of {', '.join(ENGINES)}")
        self.url = metrics_url(url)
        self.on = on if on is not None else Deployment()
        self.interval_s = number(interval_s, "interval_s", _INTERVAL, SidecarError)
        longest_s = min(_LONGEST_TIMEOUT_S, max(_LEAST_TIMEOUT_S, self.interval_s)) if timeout_s is None else timeout_s
        self._timeout_s = number(longest_s, "timeout_s", _TIMEOUT, SidecarError)
        self._name = None if name is None else text(name, "name", SidecarError)
        self._served = None if served is None else text(served, "served", SidecarError)
        spec = fspath(model) if isinstance(model, (str, PathLike)) else None
        phases = model if model is None or isinstance(model, StepCosts) else phases_of(model)
        if isinstance(phases, Phases) and self.on.hardware is None:
            raise SidecarError("model is given, and on has no machine for it; pass on=Deployment(hardware=...)")
        self._plan = None if plan is None else read_plan(plan)
        self._window_s = window_s
        self._run = uuid.uuid4().hex
        self._lock = threading.Lock()  # one reading at a time
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None
        given = exporters if isinstance(exporters, (list, tuple)) else [exporters]
        self._exporters = [open_exporter(each, interval_s=self.interval_s) for each in given]
        if isinstance(log, (str, PathLike)):
            path = plan if isinstance(plan, (str, PathLike)) else None
            log = MonitorLog(log, deployment=self.on, spec=spec, plan=path)
        self._log = log
        self._logging: Periodic | None = None
        self._drift = Drift()
        self._power = None if energy is None else Power(energy)
        self._is_up = False
        self._failure: Gone | None = None
        self._account = EngineAccount(
            self.on,
            None if engine == AUTO else ENGINES[engine],
            self._served,
            phases,
            correction,
            since_start=since_start,
            clock=clock,
            wall=wall,
        )
        self._predictions = self._account.predictions
        self._window = self._new_window()
        self._snapshot = self._made()

    def start(self) -> Self:
        """Begin to read, export and log in the background; a second call has no effect."""
        if self._thread is None:
            self._closing.clear()
            self._thread = threading.Thread(target=self._loop, name="pyinfercost-sidecar", daemon=True)
            self._thread.start()
            for exporter in self._exporters:
                exporter.start(self)
            log = self._log
            if log is not None:
                failures = Failures("the log of a sidecar")
                self._logging = Periodic(lambda: log.append(self._snapshot), self.interval_s, failures)
                self._logging.start()
        return self

    def close(self) -> None:
        """Read a last time, deliver and log it, and end the thread; the last snapshot remains."""
        self._closing.set()
        thread, self._thread = self._thread, None
        if thread is not None:
            thread.join(timeout=self._timeout_s + 1.0)
            if not thread.is_alive():
                self.read()
        for exporter in self._exporters:
            exporter.close()
        if self._logging is not None:
            self._logging.close()
            self._logging = None
        if self._power is not None:
            self._power.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *exception: object) -> None:
        self.close()

    def snapshot(self) -> Snapshot:
        """Return the figures of the last reading. Callable from any thread; it waits for nothing."""
        return self._snapshot

    @property
    def failure(self) -> Gone | None:
        """Why the last reading had no page; None if it had one, or before the first."""
        return self._failure

    def read(self) -> bool:
        """Read the page now, and return whether there was one. It raises nothing."""
        with self._lock:
            try:
                answer = fetch(self.url, timeout_s=self._timeout_s)
                self._failure = answer if isinstance(answer, Gone) else self._account.add(*answer)
            except Exception as error:  # a defect of the sidecar must not end it
                if self._failure is None:
                    LOG.exception("the sidecar of %s could not count a page", visible(self.url))
                told = visible(excerpt(f"{type(error).__name__}: {error}"))
                self._failure = Gone(f"a defect of pyinfercost: the page could not be counted ({told})", is_down=False)
            if self._failure is not None:
                self._account.fail(self._failure)
            if self._predictions is not self._account.predictions:
                self._predictions = self._account.predictions
                self._window = self._new_window()
            self._is_up = self._failure is None
            self._snapshot = self._made()
            return self._is_up

    def _loop(self) -> None:
        due_s = time.monotonic()
        while not self._closing.is_set():
            self.read()
            # Readings that took longer than the interval do not bring the next ones closer together.
            due_s = max(due_s + self.interval_s, time.monotonic())
            self._closing.wait(due_s - time.monotonic())

    def _new_window(self) -> Window:
        peak = None if self._predictions is None else self._predictions.peak
        if peak is None and self.on.hardware is not None:
            peak = peak_of(self.on.machine, self.on.precision)
        return Window(
            self._account.paid.began_s,
            window_s=self._window_s,
            flop_per_s=None if peak is None else peak.flop_per_s,
            byte_per_s=None if peak is None else peak.byte_per_s,
        )

    # ---- snapshots ----

    def _made(self) -> Snapshot:
        account = self._account
        values = {
            **account.values,
            **account.gauges,
            series("up"): float(self._is_up),
            series("replicas"): float(self._is_up),
        }
        if self.on.rent is not None:
            usd_per_h = self.on.rent.usd_per_h()
            values[series("price_usd_per_h")] = usd_per_h
            for use in USES:
                hours = account.values[series("reserved_s", use=use)] / self.on.devices / SECONDS_PER_HOUR
                values[series("cost_usd", use=use)] = hours * usd_per_h
        notes = list(account.notes.values())
        if self._power is not None:
            energy_j = self._power.energy_j()
            if energy_j is not None:
                values[series("energy_j")] = energy_j
            elif self._power.why_not:
                notes.append(self._power.why_not)
        elif series("energy_j") not in values:
            notes.append("energy is not measured: the page has no counter of it; energy can be 'cpu' or 'cuda:0'")
        lately = self._window.lately(values, account.paid.at_s)
        # Power on the page is of the moment.
        values = {**values, **{each: value for each, value in lately.items() if each not in values}}
        values.update(self._drift.gauges(values, account.paid.at_s, account.predicted))
        time_s = account.paid.wall_s
        if self._plan is not None:
            values.update(planned_figures(self._plan, time_s))
        return Snapshot(
            time_s=time_s,
            values=values,
            distributions={} if account.totals is None else account.totals.distributions,
            info=self._info(),
            notes=(*notes, *(() if account.totals is None else account.totals.notes)),
        )

    def _info(self) -> dict[str, str]:
        account, on = self._account, self.on
        predicted = "" if self._predictions is None else self._predictions.name
        return info_of(
            on,
            "sidecar",
            self._run,
            model=self._name or self._served or account.label or predicted,
            engine="" if account.engine is None else account.engine.name,
            precision="" if on.hardware is None else on.precision,
        )
