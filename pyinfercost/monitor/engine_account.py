"""Counts, paid time and predictions of one serving engine, from the pages that it publishes."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from .._checks import excerpt
from .._escapes import visible
from .._http import Gone
from ..errors import Error
from ..results.live import Series, series
from ..results.live_figures import SCRAPES
from .engine_load import LoadReader
from .engine_totals import EngineTotals
from .engines import ENGINES
from .paid_time import PaidTime
from .scraping import Page, has_names, parse
from .step_predictions import TPOT, TTFT, StepPredictions

if TYPE_CHECKING:
    from ..deployment import Deployment
    from ..serving.serve import Phases
    from ..serving.step_cost_factors import StepCostFactors
    from ..serving.step_tables import StepCosts
    from .engines.metric import Engine

_TORCH = "torch"  # the engine of a deployment that names none
_REQUESTED = series("in_flight")
_NO_METRICS = ("text/html", "application/json")  # content types of pages that never are metrics


class EngineAccount:
    """Account of one engine.

    Attributes:
        values: Series of counters -> total.
        notes: Kind of an omission -> its words.
        paid: Paid time.
        gauges: Series -> value on the last page.
        engine: The table of the engine; None until a page is recognized.
        totals: Totals of its pages, likewise.
        predictions: Predictions of its steps; None without a model.
        predicted: Tokens and requests of the predictions.
        label: Name of the model on the pages.

    Args:
        on: Where the model runs.
        engine: The table; None to recognize it by the first page.
        served: Value of the label of the model; None adds all.
        model: The model, for predictions.
        correction: Measured factors of its steps.
        since_start: Whether the first page counts from the start of its process.
        clock: Monotonic clock in seconds.
        wall: Unix time in seconds.

    Raises:
        Error: The model cannot be predicted.
    """

    def __init__(
        self,
        on: Deployment,
        engine: Engine | None,
        served: str | None,
        model: Phases | StepCosts | None,
        correction: StepCostFactors | None,
        *,
        since_start: bool,
        clock: Callable[[], float],
        wall: Callable[[], float],
    ) -> None:
        self.values: dict[Series, float] = {series("scrapes", outcome=outcome): 0.0 for outcome in SCRAPES}
        self.notes: dict[str, str] = {}
        self.paid = PaidTime(self.values, self.notes, on.devices, since_start=since_start, clock=clock, wall=wall)
        self.values[series("dropped_records", kind="lines")] = 0.0
        self.gauges: dict[Series, float] = {}
        self.engine: Engine | None = None
        self.totals: EngineTotals | None = None
        self.predictions: StepPredictions | None = None
        self.predicted = {TPOT: 0.0, TTFT: 0.0}
        self.label = ""
        self._on = on
        self._served = served
        self._model = model
        self._correction = correction
        self._since_start = since_start
        self._loads = LoadReader()
        if on.device_price is None:
            self.notes["price"] = "no price is given: money is left out"
        if engine is not None:
            self._take(engine)
            self._predict(engine)

    def _take(self, engine: Engine) -> EngineTotals:
        """Take the table of an engine."""
        self.engine = engine
        self.totals = totals = EngineTotals(engine, self._served)
        for number, words in enumerate(engine.notes):
            self.notes[f"engine {number}"] = words
        return totals

    def _predict(self, engine: Engine) -> None:
        if self._model is None:
            return
        if engine.predicted_as is None:
            self.notes["predictions"] = f"pages of {engine.name} have no times of steps; nothing is predicted"
            return
        on = self._on
        if on.engine == _TORCH and on.hardware is not None:
            on = on.replace(engine=engine.predicted_as)
        self.predictions = StepPredictions(self._model, on if on.hardware is not None else None, self._correction)

    def add(self, content: str, content_type: str) -> Gone | None:
        """Add a page; return why it cannot be added."""
        engines = list(ENGINES.values()) if self.engine is None else [self.engine]
        wanted = set().union(*(each.wanted() for each in engines))
        page = parse(content, wanted, content_type=content_type)
        self.values[series("dropped_records", kind="lines")] += page.unreadable
        engine = max(engines, key=lambda each: _names(page, each))
        if not _names(page, engine):
            other = next((each.name for each in ENGINES.values() if has_names(content, each.prefix)), None)
            missing = f"the page has no metrics of {' or '.join(each.name for each in engines)}"
            if other is not None and other != engine.name and self.engine is not None:
                return Gone(f"{missing}, and has metrics of {other}", is_down=False, is_wrong=True)
            # Some engines have no metrics before the first request.
            if self.engine is None or not page.is_whole:
                is_wrong = content_type.lower().startswith(_NO_METRICS)
                return Gone(missing, is_down=False, is_wrong=is_wrong)
            self.notes["metrics"] = missing
        totals = self.totals
        if totals is None:
            totals = self._take(engine)
            try:
                self._predict(engine)
            except Error as error:
                self.notes["predictions"] = f"nothing is predicted: {error}"
        if not self._count(page, totals):
            return Gone("the first page has lines that cannot be read", is_down=False)
        self.values[series("scrapes", outcome="ok" if page.is_whole else "partial")] += 1
        if page.unreadable:
            self.notes["lines"] = f"a page had {page.unreadable} lines that cannot be read; the others were counted"
        self.label = self.label or _label(page, engine.model_label)
        return None

    def _count(self, page: Page, totals: EngineTotals) -> bool:
        """Add the increments of a page, and predict the time of its steps; return whether it can be counted."""
        paid = self.paid
        change = totals.read(page, from_zero=self._since_start or paid.was_down, after_gap=paid.had_gap)
        if change is None:
            return False
        running = [known[_REQUESTED] for known in (self.gauges, totals.gauges) if _REQUESTED in known]
        is_predicted = self._since_start or paid.was_read
        seconds = max(paid.add(change, totals, running), 1e-9)
        step_tokens = totals.shapes.get("step_tokens")
        load = self._loads.load(change, totals.counters, totals.distributions, step_tokens, seconds, running)
        if self.predictions is not None and is_predicted:
            for each, value in self.predictions.figures(load).items():
                self.values[each] = self.values.get(each, 0.0) + value
            self.predicted[TPOT] += load.decode_tokens
            self.predicted[TTFT] += load.prompts
        self.gauges = dict(totals.gauges)
        self.values.update(totals.counters)
        return True

    def fail(self, gone: Gone) -> None:
        """Count a reading without a page."""
        self.values[series("scrapes", outcome="error")] += 1
        self.paid.fail(gone)
        self.gauges = {}
        self.notes["failed"] = f"the last reading without a page: {gone.reason}"


def _names(page: Page, engine: Engine) -> int:
    """Return the metrics of an engine on a page."""
    return sum(name.startswith(engine.prefix) for name in page.samples)


def _label(page: Page, label: str) -> str:
    """Return the name of the model on a page; several are joined."""
    found = {
        value for samples in page.samples.values() for labels in samples for name, value in labels if name == label
    }
    return visible(excerpt(", ".join(sorted(found))))
