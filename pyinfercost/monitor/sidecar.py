"""The observer beside a serving engine: it reads the engine's `/metrics` and adds cost, energy and predictions."""

from __future__ import annotations

import logging
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from .._checks import Range, number, shown, text
from .._escapes import visible
from .._lazy import optional_library
from ..deployment import Deployment
from ..errors import Error, InputError
from ..results.costs import SECONDS_PER_HOUR
from ..results.live import Distribution, Series, Snapshot, series
from ..results.live_figures import SCRAPES, USES
from .engine_totals import Change, EngineTotals
from .engines import ENGINES
from .scraping import Gone, Page, fetch, metrics_url, parse
from .step_predictions import Drift, StepLoad, StepPredictions, mean_context
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
_LONGEST_TIMEOUT_S = 10.0
_TORCH = "torch"  # the engine of a deployment that names none
_KEPT_NOTES = 20

LOG = logging.getLogger("pyinfercost.monitor")


class SidecarError(InputError):
    """Settings of a sidecar that are wrong or exclude each other."""


class Sidecar:
    """Count what a serving engine serves, uses and costs, from the metrics that it publishes.

    A thread reads the page every `interval_s`; `read` reads it at once. Counters of the engine become totals since the
    start of the sidecar: what each page has more than the one before is added, also across restarts (`engine_totals`).

    Paid time runs from the construction on a monotonic clock. The time between two readings is

    - `cold` if the second one failed because nothing listens or the server is not ready: it is paid, and serves nobody;
    - divided as before if the second one failed in another way, such as a page that cannot be read or comes too late;
    - `cold` if a restart is found, but for the time since the process became ready, where the page says when;
    - `busy` and `idle` otherwise. Busy time is, by what the page has: time in which the device works (SGLang, TGI);
      executions x their mean time (Triton); sequence-seconds of decoding and prefill over the mean number of sequences
      in a step (vLLM); or the share of the two readings at which requests ran.

    A failure of the server or of the page raises nothing: it is counted, and `up` is 0.

    Args:
        url: Address of the engine; `http://host:8000` stands for `http://host:8000/metrics`.
        engine: `"vllm"`, `"sglang"`, `"triton"`, `"tgi"`, or `"auto"`, by the first page.
        on: Where the model runs: machine, layout, precision, price. Without a machine nothing is predicted, and
            without a price money is left out.
        model: What is served, for predictions, FLOPs and bytes: the spec of a language model's config without a phase
            (`"hf:config.json"`), its graphs of decode and prefill, or the result of `step_costs`.
        name: Name of the model in exports; by default that on the page.
        served: Value of the label of the model on a page with several; None adds all.
        correction: What a measurement said about the steps of this server, from `calibrate_serving`.
        interval_s: Seconds between readings.
        timeout_s: Seconds for an answer; by default the interval, and at most 10.
        since_start: Whether the first page counts from the start of its process: for a single reading.
        window_s: Seconds of the gauges called "lately".

    Raises:
        SidecarError: A setting is wrong.
        ScrapeError: The address is none of HTTP.
        MissingLibraryError: Prometheus_client is not installed.
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
        interval_s: float = 15.0,
        timeout_s: float | None = None,
        since_start: bool = False,
        window_s: float = WINDOW_S,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        optional_library("prometheus_client.parser", "a sidecar", "prometheus")
        if engine != AUTO and engine not in ENGINES:
            raise SidecarError(f"engine is {shown(engine)}; expected {AUTO} or one of {', '.join(ENGINES)}")
        self.url = metrics_url(url)
        self.on = on if on is not None else Deployment()
        self.interval_s = number(interval_s, "interval_s", _INTERVAL, SidecarError)
        self._timeout_s = (
            min(_LONGEST_TIMEOUT_S, self.interval_s)
            if timeout_s is None
            else number(timeout_s, "timeout_s", _TIMEOUT, SidecarError)
        )
        self._name = None if name is None else text(name, "name", SidecarError)
        self._served = None if served is None else text(served, "served", SidecarError)
        self._model, self._correction = model, correction
        self._clock, self._wall = clock, wall
        self._since_start = since_start
        self._lock = threading.Lock()  # one reading at a time
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None
        self._run = uuid.uuid4().hex
        self._began_s = self._at_s = clock()
        self._began_wall_s = wall()
        self._window_s = window_s
        self._engine: Engine | None = None
        self._totals: EngineTotals | None = None
        self._predictions: StepPredictions | None = None
        self._notes: dict[str, None] = {}
        self._values: dict[Series, float] = {
            **{series("scrapes", outcome=outcome): 0.0 for outcome in SCRAPES},
            **{series("reserved_s", use=use): 0.0 for use in USES},
            **{series(name): 0.0 for name in ("restarts", "cold_starts")},
            series("dropped_records", kind="lines"): 0.0,
        }
        self._gauges: dict[Series, float] = {}
        self._busy_share = 0.0
        self._is_up = False
        self._was_down = self._had_gap = False
        self._label = ""
        self._drift = Drift()
        self._window = self._new_window()
        if engine != AUTO:
            self._recognize(ENGINES[engine])
        self._snapshot = self._made()

    # ---- readings ----

    def start(self) -> Self:
        """Begin to read in the background; a second call has no effect."""
        if self._thread is None:
            self._closing.clear()
            self._thread = threading.Thread(target=self._loop, name="pyinfercost-sidecar", daemon=True)
            self._thread.start()
        return self

    def close(self) -> None:
        """End the readings in the background; the last snapshot remains."""
        self._closing.set()
        thread, self._thread = self._thread, None
        if thread is not None:
            thread.join(timeout=self._timeout_s + 1.0)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def snapshot(self) -> Snapshot:
        """Return the figures of the last reading. Callable from any thread; it waits for nothing."""
        return self._snapshot

    def read(self) -> bool:
        """Read the page now, and return whether it could be read."""
        with self._lock:
            answer = fetch(self.url, timeout_s=self._timeout_s)
            if isinstance(answer, Gone):
                self._failed(answer)
            else:
                self._read(*answer)
            self._snapshot = self._made()
            return self._is_up

    def _loop(self) -> None:
        due_s = time.monotonic()
        while not self._closing.is_set():
            try:
                self.read()
            except Exception:  # a defect of the sidecar must not end it
                LOG.exception("the sidecar of %s could not count a page", visible(self.url))
            # A reading that took longer than the interval does not bring the next ones closer together.
            due_s = max(due_s + self.interval_s, time.monotonic())
            self._closing.wait(due_s - time.monotonic())

    def _read(self, content: str, content_type: str) -> None:
        known = ENGINES.values() if self._engine is None else (self._engine,)
        page = parse(content, set().union(*(each.wanted() for each in known)), content_type=content_type)
        if self._engine is None:
            found = max(ENGINES.values(), key=lambda each: _named(page, each.prefix))
            if _named(page, found.prefix):
                self._recognize(found)
        self._values[series("dropped_records", kind="lines")] += page.unreadable
        if self._engine is None or not _named(page, self._engine.prefix):
            name = "any engine" if self._engine is None else self._engine.name
            self._failed(Gone(f"the page has no metrics of {name}", is_down=False))
            return
        assert self._totals is not None
        is_first = not self._is_seen
        change = self._totals.read(
            page, from_zero=self._since_start or self._was_down, after_gap=self._had_gap
        )
        if change is None:
            self._failed(Gone("the first page has lines that cannot be read", is_down=False))
            return
        self._values[series("scrapes", outcome="ok" if page.is_whole else "partial")] += 1
        seconds = self._passed()
        is_new = change.restarted or (is_first and self._was_down)
        if is_first and self._since_start:
            seconds = max(seconds, self._wall() - (self._totals.started_s or self._wall()))
        ready_s = seconds
        if is_new:
            ready = self._totals.ready_s
            ready_s = 0.0 if ready is None else min(max(0.0, self._wall() - ready), seconds)
            self._values[series("cold_starts")] += 1
        if change.restarted:
            self._values[series("restarts")] += 1
            self._note("what was counted between the last reading of a process and its end is unknown")
        running = [self._gauges.get(series("in_flight")), self._totals.gauges.get(series("in_flight"))]
        busy_s = self._busy_s(change, ready_s, [each for each in running if each is not None])
        if ready_s > 0:
            self._busy_share = busy_s / ready_s
        self._reserve(busy=busy_s, idle=ready_s - busy_s, cold=seconds - ready_s)
        self._gauges = dict(self._totals.gauges)
        self._values.update(self._totals.counters)
        if self._predictions is not None and not is_first | is_new and seconds > 0:
            load = self._load(change, seconds, [each for each in running if each is not None])
            for each, value in self._predictions.figures(load).items():
                self._values[each] = self._values.get(each, 0.0) + value
        self._label = self._label or _one_label(page, self._engine.model_label)
        self._is_up, self._is_seen, self._was_down, self._had_gap = True, True, False, False

    _is_seen = False

    def _failed(self, gone: Gone) -> None:
        self._values[series("scrapes", outcome="error")] += 1
        seconds = self._passed()
        if gone.is_down:
            self._reserve(busy=0.0, idle=0.0, cold=seconds)
        else:
            busy_s = seconds * self._busy_share
            self._reserve(busy=busy_s, idle=seconds - busy_s, cold=0.0)
        self._was_down = gone.is_down and not self._is_seen
        self._had_gap = True
        self._is_up = False
        self._gauges = {}
        self._note(f"the last reading that failed: {gone.reason}", replaces="the last reading that failed")

    def _passed(self) -> float:
        """Return the seconds since the last reading, on the monotonic clock."""
        before_s, self._at_s = self._at_s, self._clock()
        return max(0.0, self._at_s - before_s)

    def _reserve(self, **seconds: float) -> None:
        for use, value in seconds.items():
            self._values[series("reserved_s", use=use)] += max(0.0, value) * self.on.devices

    def _recognize(self, engine: Engine) -> None:
        self._engine = engine
        self._totals = EngineTotals(engine, self._served)
        if self._model is None:
            return
        if engine.predicted_as is None:
            self._note(f"pages of {engine.name} have no times of steps; nothing is predicted")
            return
        on = self.on
        if on.engine == _TORCH and on.hardware is not None:
            on = on.replace(engine=engine.predicted_as)
        try:
            self._predictions = StepPredictions(self._model, on, self._correction)
        except Error as error:
            if self._thread is None:
                raise  # in the constructor, the caller learns of it
            self._note(f"nothing is predicted: {error}")
        self._window = self._new_window()

    # ---- estimates ----

    def _busy_s(self, change: Change, seconds: float, running: list[float]) -> float:
        """Return the time in which requests were in service, at most `seconds`."""
        parts = change.parts
        moved = sum(change.counters.get(series(name), 0.0) for name in ("output_tokens", "items")) > 0
        if parts.get("busy_s"):
            return min(seconds, parts["busy_s"])
        if parts.get("batches") and parts.get("batch_requests"):
            # Each request of a batch counts the time of the batch.
            return min(seconds, parts["batches"] * parts.get("batch_s", 0.0) / parts["batch_requests"])
        if parts.get("decode_tokens") and parts.get("steps"):
            together = max(1.0, parts["decode_tokens"] / parts["steps"])
            return min(seconds, (parts.get("decode_s", 0.0) + parts.get("prefill_s", 0.0)) / together)
        if parts.get("prefill_s"):
            return min(seconds, parts["prefill_s"])
        if running:
            self._note("busy time is estimated from whether requests ran at readings")
            return seconds * sum(each > 0 for each in running) / len(running)
        return min(seconds, change.counters.get(series("service_s"), 0.0)) if moved else 0.0

    def _load(self, change: Change, seconds: float, running: list[float]) -> StepLoad:
        parts, counters = change.parts, change.counters
        assert self._totals is not None
        shapes = self._totals.distributions
        ttft = shapes.get(series("ttft_s"))
        before = self._distributions.get(series("ttft_s"))
        self._distributions = shapes
        output_tokens = counters.get(series("output_tokens"), 0.0)
        answered = counters.get(series("requests", outcome="ok"), 0.0)
        prompts, ttft_s = answered, None
        if ttft is not None:
            prompts = float(ttft.count - (before.count if before else 0))
            ttft_s = ttft.total - (before.total if before else 0.0)
        decode_s, decode_tokens = parts.get("decode_s", 0.0), parts.get("decode_tokens", 0.0)
        decode_steps = parts.get("decode_steps")
        if "decode_s" not in parts and decode_steps:
            # Tokens of a step were decoded together, and each waited for the step.
            decode_tokens = max(0.0, output_tokens - answered)
            decode_s = parts.get("decode_steps_s", 0.0) * decode_tokens / decode_steps
        total = self._totals.counters
        all_answered = max(1.0, total.get(series("requests", outcome="ok"), 0.0))
        lengths = shapes.get(series("request_prompt_tokens"))
        prompt_mean = (
            lengths.mean if lengths is not None and lengths.count else total.get(series("prompt_tokens"), 0.0) / all_answered
        )
        return StepLoad(
            seconds=seconds,
            decode_s=decode_s,
            decode_tokens=decode_tokens,
            steps=parts.get("steps"),
            decode_steps=decode_steps,
            running=sum(running) / len(running) if running else 0.0,
            prompts=prompts,
            ttft_s=ttft_s,
            queue_s=counters.get(series("queue_s"), 0.0),
            prompt_tokens=counters.get(series("prompt_tokens"), 0.0) or prompt_mean * prompts,
            cached_tokens=counters.get(series("cached_prompt_tokens"), 0.0),
            prompt_mean=prompt_mean,
            context_mean=mean_context(
                prompt_mean,
                shapes.get(series("request_output_tokens")),
                total.get(series("output_tokens"), 0.0) / all_answered,
            ),
        )

    # ---- snapshots ----

    def _new_window(self) -> Window:
        from ..predict.peaks import peak_of

        peak = None
        if self.on.hardware is not None:
            peak = peak_of(self.on.machine, self.on.precision)
        return Window(
            self._began_s,
            window_s=self._window_s,
            flop_per_s=None if peak is None else peak.flop_per_s,
            byte_per_s=None if peak is None else peak.byte_per_s,
        )
