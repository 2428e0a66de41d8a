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
from ..errors import Error, InputError
from ..predict.peaks import Peak, peak_of
from ..results.costs import SECONDS_PER_HOUR
from ..results.live import Series, Snapshot, series
from ..results.live_figures import SCRAPES, USES
from ..serving.serve import Phases, phases_of
from ..serving.step_tables import StepCosts
from .drift import Drift
from .engine_load import LoadReader, busy_s
from .engine_totals import Change, EngineTotals
from .engines import ENGINES
from .exporters.opening import open_exporter
from .exporters.periodic import Failures, Periodic
from .log import MonitorLog
from .planned import PlanLike, planned_figures, read_plan
from .power import Power
from .scraping import Page, fetch, has_names, metrics_url, parse
from .step_predictions import TPOT, TTFT, StepPredictions
from .window import WINDOW_S, Window

if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Self

    from ..serving.correction import Correction
    from ..serving.serve import Served
    from .engines.metric import Engine

AUTO = "auto"
"""The engine is recognized by the names on its page."""

_INTERVAL = Range(0.01, 86_400, "seconds")
_TIMEOUT = Range(0.01, 3600, "seconds")
_LEAST_TIMEOUT_S, _LONGEST_TIMEOUT_S = 2.0, 10.0  # by default
_TORCH = "torch"  # the engine of a deployment that names none
_REQUESTED = series("in_flight")
_NO_METRICS = ("text/html", "application/json")  # content types of pages that never are metrics

LOG = logging.getLogger("pyinfercost.monitor")


class SidecarError(InputError):
    """Settings of a sidecar that are wrong or exclude each other."""


class Sidecar:
    """Count the requests, resources and cost of a serving engine from the metrics that it publishes.

    A thread reads the page every `interval_s` between `start` and `close`; `read` reads it at once. Counters of the
    engine become totals since the start of the sidecar: the increment of each page over the page before is added, also
    across restarts of the server.

    Paid time runs from the construction on a monotonic clock. The time between two readings is

    - `cold` if the second one failed because nothing listens or the server is not ready: it is paid and serves nobody;
    - divided as before if the second one failed otherwise, such as a page that cannot be read or comes too late;
    - `cold` if a restart is found, but for the time since the process became ready, where the page has it;
    - `busy` and `idle` otherwise, by the estimate of `engine_load.busy_s`.

    A failure of the server or of its page raises nothing: it is counted, and `up` is 0.

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
        correction: Correction | None = None,
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
        self._spec = fspath(model) if isinstance(model, (str, PathLike)) else None
        self._model = model if model is None or isinstance(model, StepCosts) else phases_of(model)
        if isinstance(self._model, Phases) and self.on.hardware is None:
            raise SidecarError("model is given, and on has no machine for it; pass on=Deployment(hardware=...)")
        self._correction = correction
        self._plan = None if plan is None else read_plan(plan)
        self._since_start = since_start
        self._clock, self._wall = clock, wall
        self._window_s = window_s
        self._run = uuid.uuid4().hex
        self._lock = threading.Lock()  # one reading at a time
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None
        given = exporters if isinstance(exporters, (list, tuple)) else [exporters]
        self._exporters = [open_exporter(each, interval_s=self.interval_s) for each in given]
        self._log = self._new_log(log, plan)
        self._logging: Periodic | None = None
        self._began_s = self._at_s = self._good_s = clock()
        self._began_wall_s = wall()
        self._window = self._new_window(None)
        self._engine: Engine | None = None
        self._totals: EngineTotals | None = None
        self._predictions: StepPredictions | None = None
        self._loads = LoadReader()
        self._drift = Drift()
        self._predicted = {TPOT: 0.0, TTFT: 0.0}  # tokens and requests of the predictions
        self._power = None if energy is None else Power(energy)
        self._label = ""
        self._notes: dict[str, str] = {}
        self._values = {
            **{series("scrapes", outcome=outcome): 0.0 for outcome in SCRAPES},
            **{series("reserved_s", use=use): 0.0 for use in USES},
            **{series(each): 0.0 for each in ("restarts", "cold_starts")},
            series("dropped_records", kind="lines"): 0.0,
        }
        self._gauges: dict[Series, float] = {}
        self._busy_share = 0.0
        self._is_up = self._was_read = self._was_down = self._had_gap = False
        self._failure: Gone | None = None
        if self.on.device_price is None:
            self._note("price", "no price is given: money is left out")
        if engine != AUTO:
            self._take(ENGINES[engine])
            self._predict(ENGINES[engine])
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

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
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
                self._failure = answer if isinstance(answer, Gone) else self._read(*answer)
            except Exception as error:  # a defect of the sidecar must not end it
                if self._failure is None:
                    LOG.exception("the sidecar of %s could not count a page", visible(self.url))
                told = visible(excerpt(f"{type(error).__name__}: {error}"))
                self._failure = Gone(f"a defect of pyinfercost: the page could not be counted ({told})", is_down=False)
            if self._failure is not None:
                self._fail(self._failure)
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

    # ---- readings ----

    def _read(self, content: str, content_type: str) -> Gone | None:
        """Add a page; return why it cannot be added."""
        engines = list(ENGINES.values()) if self._engine is None else [self._engine]
        wanted = set().union(*(each.wanted() for each in engines))
        page = parse(content, wanted, content_type=content_type)
        self._values[series("dropped_records", kind="lines")] += page.unreadable
        engine = max(engines, key=lambda each: _names(page, each))
        if not _names(page, engine):
            other = next((each.name for each in ENGINES.values() if has_names(content, each.prefix)), None)
            missing = f"the page has no metrics of {' or '.join(each.name for each in engines)}"
            if other is not None and other != engine.name and self._engine is not None:
                return Gone(f"{missing}, and has metrics of {other}", is_down=False, is_wrong=True)
            # Some engines have no metrics before the first request.
            if self._engine is None or not page.is_whole:
                is_wrong = content_type.lower().startswith(_NO_METRICS)
                return Gone(missing, is_down=False, is_wrong=is_wrong)
            self._note("metrics", missing)
        totals = self._totals
        if totals is None:
            totals = self._take(engine)
            try:
                self._predict(engine)
            except Error as error:
                self._note("predictions", f"nothing is predicted: {error}")
        change = totals.read(page, from_zero=self._since_start or self._was_down, after_gap=self._had_gap)
        if change is None:
            return Gone("the first page has lines that cannot be read", is_down=False)
        self._values[series("scrapes", outcome="ok" if page.is_whole else "partial")] += 1
        if page.unreadable:
            self._note("lines", f"a page had {page.unreadable} lines that cannot be read; the others were counted")
        self._account(change, totals)
        self._label = self._label or _label(page, engine.model_label)
        return None

    def _account(self, change: Change, totals: EngineTotals) -> None:
        """Divide the time before a page, and predict the time of its steps."""
        seconds, wall_s = self._passed(), self._wall()
        since_good_s = self._at_s - self._good_s
        is_first = not self._was_read
        is_new = change.restarted or (is_first and self._was_down)
        if is_first and self._since_start:
            if totals.started_s is None:
                self._note("start", "the page lacks the start of its process, whose paid time is unknown")
            else:
                seconds = since_good_s = max(seconds, wall_s - totals.started_s)
        ready_s = seconds
        if is_new or (is_first and self._since_start):
            ready = totals.ready_s
            since_ready_s = (seconds if is_first and self._since_start else 0.0) if ready is None else wall_s - ready
            ready_s = min(max(0.0, since_ready_s), seconds)
        if is_new:
            self._values[series("cold_starts")] += 1
        if change.restarted:
            self._values[series("restarts")] += 1
            self._note("lost", "counts of a process between its last reading and its end are unknown")
        ends = [known[_REQUESTED] for known in (self._gauges, totals.gauges) if _REQUESTED in known]
        worked_s = busy_s(change, ready_s, ends)
        if ready_s > 0:
            self._busy_share = worked_s / ready_s
        self._reserve(busy=worked_s, idle=ready_s - worked_s, cold=seconds - ready_s)
        load = self._loads.load(
            change,
            totals.counters,
            totals.distributions,
            totals.shapes.get("step_tokens"),
            max(since_good_s, 1e-9),
            ends,
        )
        if self._predictions is not None and (self._since_start or not is_first):
            for each, value in self._predictions.figures(load).items():
                self._values[each] = self._values.get(each, 0.0) + value
            self._predicted[TPOT] += load.decode_tokens
            self._predicted[TTFT] += load.prompts
        self._gauges = dict(totals.gauges)
        self._values.update(totals.counters)
        self._good_s = self._at_s
        self._was_read, self._was_down, self._had_gap = True, False, False

    def _fail(self, gone: Gone) -> None:
        """Divide the time before a reading without a page."""
        self._values[series("scrapes", outcome="error")] += 1
        seconds = self._passed()
        if gone.is_down:
            self._reserve(busy=0.0, idle=0.0, cold=seconds)
        else:
            worked_s = seconds * self._busy_share
            self._reserve(busy=worked_s, idle=seconds - worked_s, cold=0.0)
        self._was_down |= gone.is_down and not self._was_read
        self._had_gap = True
        self._gauges = {}
        self._note("failed", f"the last reading without a page: {gone.reason}")

    def _passed(self) -> float:
        """Return the seconds since the last reading, on the monotonic clock."""
        before_s, self._at_s = self._at_s, self._clock()
        return max(0.0, self._at_s - before_s)

    def _reserve(self, **seconds: float) -> None:
        for use, value in seconds.items():
            self._values[series("reserved_s", use=use)] += max(0.0, value) * self.on.devices

    # ---- the served model ----

    def _take(self, engine: Engine) -> EngineTotals:
        """Take the table of an engine."""
        self._engine = engine
        self._totals = totals = EngineTotals(engine, self._served)
        for number_of, words in enumerate(engine.notes):
            self._note(f"engine {number_of}", words)
        return totals

    def _predict(self, engine: Engine) -> None:
        """Prepare predictions.

        Raises:
            Error: The model cannot be predicted.
        """
        if self._model is None:
            return
        if engine.predicted_as is None:
            self._note("predictions", f"pages of {engine.name} have no times of steps; nothing is predicted")
            return
        on = self.on
        if on.engine == _TORCH and on.hardware is not None:
            on = on.replace(engine=engine.predicted_as)
        self._predictions = StepPredictions(self._model, on if on.hardware is not None else None, self._correction)
        self._window = self._new_window(self._predictions.peak)

    def _new_log(self, log: str | PathLike[str] | MonitorLog | None, plan: PlanLike | None) -> MonitorLog | None:
        if not isinstance(log, (str, PathLike)):
            return log
        path = plan if isinstance(plan, (str, PathLike)) else None
        return MonitorLog(log, deployment=self.on, spec=self._spec, plan=path)

    def _new_window(self, peak: Peak | None) -> Window:
        if peak is None and self.on.hardware is not None:
            peak = peak_of(self.on.machine, self.on.precision)
        return Window(
            self._began_s,
            window_s=self._window_s,
            flop_per_s=None if peak is None else peak.flop_per_s,
            byte_per_s=None if peak is None else peak.byte_per_s,
        )

    def _note(self, kind: str, words: str) -> None:
        self._notes[kind] = words

    # ---- snapshots ----

    def _made(self) -> Snapshot:
        values = {
            **self._values,
            **self._gauges,
            series("up"): float(self._is_up),
            series("replicas"): float(self._is_up),
        }
        if self.on.rent is not None:
            usd_per_h = self.on.rent.usd_per_h()
            values[series("price_usd_per_h")] = usd_per_h
            for use in USES:
                hours = self._values[series("reserved_s", use=use)] / self.on.devices / SECONDS_PER_HOUR
                values[series("cost_usd", use=use)] = hours * usd_per_h
        notes = list(self._notes.values())
        if self._power is not None:
            energy_j = self._power.energy_j()
            if energy_j is not None:
                values[series("energy_j")] = energy_j
            elif self._power.why_not:
                notes.append(self._power.why_not)
        elif series("energy_j") not in values:
            notes.append("energy is not measured: the page has no counter of it; energy can be 'cpu' or 'cuda:0'")
        elapsed_s = self._at_s - self._began_s
        lately = self._window.lately(values, self._at_s)
        # Power on the page is of the moment.
        values = {**values, **{each: value for each, value in lately.items() if each not in values}}
        values.update(self._drift.gauges(values, self._at_s, self._predicted))
        time_s = self._began_wall_s + elapsed_s
        if self._plan is not None:
            values.update(planned_figures(self._plan, time_s))
        return Snapshot(
            time_s=time_s,
            values=values,
            distributions={} if self._totals is None else self._totals.distributions,
            info=self._info(),
            notes=(*notes, *(() if self._totals is None else self._totals.notes)),
        )

    def _info(self) -> dict[str, str]:
        on = self.on
        model = "" if self._predictions is None else self._predictions.name
        known = {
            "model": self._name or self._served or self._label or model,
            "hardware": "" if on.hardware is None else on.machine.id,
            "engine": "" if self._engine is None else self._engine.name,
            "precision": "" if on.hardware is None else on.precision,
            "layout": "" if on.layout is None else str(on.rank_layout),
            "observer": "sidecar",
            "run": self._run,
        }
        return {name: value for name, value in known.items() if value}


def _names(page: Page, engine: Engine) -> int:
    """Return the metrics of an engine on a page."""
    return sum(name.startswith(engine.prefix) for name in page.samples)


def _label(page: Page, label: str) -> str:
    """Return the name of the model on a page; several are joined."""
    found = {
        value for samples in page.samples.values() for labels in samples for name, value in labels if name == label
    }
    return visible(excerpt(", ".join(sorted(found))))
