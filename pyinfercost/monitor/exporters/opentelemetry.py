"""Export to OpenTelemetry: metrics with exact histograms over OTLP, or instruments of a meter provider."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from math import isfinite
from typing import TYPE_CHECKING, Any

from ... import _core
from ..._lazy import optional_library
from ...errors import InputError, StateError
from ...results.live import Distribution, Labels, Snapshot
from ...results.live_figures import COUNTER, HISTOGRAM, LIVE_FIGURES, LiveFigure
from ..metric_names import INFO_LABELS, MODEL, PREFIX, otel_name, otel_unit
from .buckets import cumulative
from .periodic import INTERVAL_S, Failures, Periodic

if TYPE_CHECKING:
    from ..observer import Observer

_USER, _EXTRA = "the exporter to OpenTelemetry", "otel"
_SCOPE = "pyinfercost"
_PER_S = 1_000_000_000
_TIMEOUT_MS = 10_000.0
_FRESH_S = 0.5  # instruments of one collection share a snapshot

# The exporter of each protocol; OpenTelemetry's specification defines the variables that choose it.
_PROTOCOLS = {
    "http/protobuf": "opentelemetry.exporter.otlp.proto.http.metric_exporter",
    "grpc": "opentelemetry.exporter.otlp.proto.grpc.metric_exporter",
}
_VARIABLES = ("OTEL_EXPORTER_OTLP_METRICS_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")


class OpenTelemetryExporter:
    """Export to OpenTelemetry.

    Names of figures follow its semantic conventions for generative AI where they have one, such as
    `gen_ai.server.time_to_first_token`; the others begin with `pyinfercost.`. Values have the attribute
    `gen_ai.request.model`.

    Without a provider, metrics are sent at regular intervals, histograms with their exact counts and sums, all of them
    cumulative. With a provider, counters and gauges are its observable instruments. The API of OpenTelemetry has no
    observable histogram, so distributions need an exporter.

    Args:
        exporter: The `MetricExporter` to send with. None sends over OTLP, configured by the variables
            `OTEL_EXPORTER_OTLP_*`.
        provider: The `MeterProvider` to create instruments of, instead of an exporter.
        interval_s: Time between deliveries; a provider has its own.
        operation: Value of the attribute `gen_ai.operation.name`, which the conventions require.

    Attributes:
        errors: Deliveries and snapshots that failed.

    Raises:
        MissingLibraryError: The SDK of OpenTelemetry or the exporter of the protocol is not installed.
        InputError: The variables name an unknown protocol, an exporter and a provider are both given, or the interval
            is out of range.
    """

    def __init__(
        self,
        exporter: Any = None,
        *,
        provider: Any = None,
        interval_s: float = INTERVAL_S,
        operation: str = "text_completion",
    ) -> None:
        if exporter is not None and provider is not None:
            raise InputError("exporter and provider are both given; pass one of them")
        self._sdk = optional_library("opentelemetry.sdk.metrics.export", _USER, _EXTRA)
        self._provider = provider
        self._operation = operation
        self._failures = Failures(_USER)
        self._exporter = _otlp_exporter() if exporter is None and provider is None else exporter
        self._periodic = Periodic(self._send, interval_s, self._failures)
        self._observer: Observer | None = None
        self._began_ns: dict[str, int] = {}
        self._recent: tuple[float, Snapshot | None] = (float("-inf"), None)
        self._lock = threading.Lock()

    @property
    def errors(self) -> int:
        """Deliveries and snapshots that failed."""
        return self._failures.count

    def start(self, observer: Observer) -> None:
        """Begin to send, or create the instruments."""
        self._observer = observer
        if self._provider is None:
            self._periodic.start()
            return
        try:
            self._create_instruments(self._provider.get_meter(_SCOPE, _core.__version__))
        except Exception as error:
            self._failures.add(error)

    def close(self) -> None:
        """Send once more and shut the exporter down; instruments of a provider report no more values."""
        if self._observer is None:
            return
        if self._provider is None:
            self._periodic.close()
            try:
                self._exporter.shutdown()
            except Exception as error:
                self._failures.add(error)
        self._observer = None

    def _send(self) -> None:
        if self._observer is None:
            return
        data = self._metrics_data(self._observer.snapshot())
        result = self._exporter.export(data, timeout_millis=_TIMEOUT_MS)
        if result is not self._sdk.MetricExportResult.SUCCESS:
            raise StateError("metrics were not taken; expected an endpoint that takes them (OTEL_EXPORTER_OTLP_*)")

    def _metrics_data(self, snapshot: Snapshot) -> Any:
        """Return a snapshot as metrics of the SDK.

        Cumulative values begin with the first snapshot of a run: the begin of its counts is unknown.
        """
        resources = import_module("opentelemetry.sdk.resources")
        scopes = import_module("opentelemetry.sdk.util.instrumentation")
        now_ns = int(snapshot.time_s * _PER_S)
        run = snapshot.info.get("run", "")
        if run not in self._began_ns:
            self._began_ns = {run: now_ns}
        began_ns = self._began_ns[run]
        metrics = [self._metric(figure, rows, snapshot, began_ns, now_ns) for figure, rows in _by_figure(snapshot)]
        info = self._sdk.NumberDataPoint(_info_of(snapshot), began_ns, now_ns, 1)
        metrics.append(
            self._sdk.Metric(
                f"{PREFIX}.info", "Labels of the observed model; the value is 1.", "1", self._sdk.Gauge([info])
            )
        )
        scope = self._sdk.ScopeMetrics(scopes.InstrumentationScope(_SCOPE, _core.__version__), metrics, "")
        return self._sdk.MetricsData([self._sdk.ResourceMetrics(resources.Resource.create(), [scope], "")])

    def _metric(
        self,
        figure: LiveFigure,
        rows: Mapping[Labels, float | Distribution],
        snapshot: Snapshot,
        began_ns: int,
        now_ns: int,
    ) -> Any:
        sdk, points = self._sdk, []
        for labels, value in rows.items():
            attributes = self._attributes(figure, labels, snapshot)
            if isinstance(value, Distribution):
                points.append(self._histogram_point(value, attributes, otel_unit(figure), began_ns, now_ns))
            else:
                points.append(sdk.NumberDataPoint(attributes, began_ns, now_ns, value))
        temporality = sdk.AggregationTemporality.CUMULATIVE
        if figure.kind == HISTOGRAM:
            data = sdk.Histogram(points, temporality)
        elif figure.kind == COUNTER:
            data = sdk.Sum(points, temporality, True)
        else:
            data = sdk.Gauge(points)
        return sdk.Metric(otel_name(figure), figure.help, otel_unit(figure), data)

    def _histogram_point(
        self, value: Distribution, attributes: Mapping[str, str], unit: str, began_ns: int, now_ns: int
    ) -> Any:
        bounds, below = cumulative(value, seconds=unit == "s")
        counts = [after - before for before, after in zip((0, *below), below, strict=False)]
        occupied = [place for place, count in enumerate(value.counts) if count]
        edges = (0.0, *value.bounds, value.bounds[-1] if value.bounds else 0.0)
        least, most = (edges[occupied[0]], edges[occupied[-1] + 1]) if occupied else (float("inf"), float("-inf"))
        return self._sdk.HistogramDataPoint(
            attributes, began_ns, now_ns, value.count, value.total, counts, bounds, least, most
        )

    def _attributes(self, figure: LiveFigure, labels: Labels, snapshot: Snapshot) -> dict[str, str]:
        attributes = {"gen_ai.request.model": str(snapshot.info.get(MODEL, ""))}
        if figure.otel is not None:
            attributes["gen_ai.operation.name"] = self._operation
            attributes["gen_ai.provider.name"] = str(snapshot.info.get("engine") or _SCOPE)
        return attributes | {f"{PREFIX}.{name}": text for name, text in labels}

    # ---- instruments of a provider -----------------------------------------------------------------------------------

    def _create_instruments(self, meter: Any) -> None:
        for figure in LIVE_FIGURES.values():
            if figure.kind == HISTOGRAM:
                continue
            create = meter.create_observable_counter if figure.kind == COUNTER else meter.create_observable_gauge
            create(otel_name(figure), [self._callback(figure)], otel_unit(figure), figure.help)

    def _callback(self, figure: LiveFigure) -> Callable[[Any], list[Any]]:
        observation = optional_library("opentelemetry.metrics", _USER, _EXTRA).Observation

        def observe(_options: Any) -> list[Any]:
            snapshot = self._snapshot()
            if snapshot is None:
                return []
            return [
                observation(value, self._attributes(figure, series.labels, snapshot))
                for series, value in snapshot.values.items()
                if series.figure == figure.key and isfinite(value)
            ]

        return observe

    def _snapshot(self) -> Snapshot | None:
        """Return the snapshot of this collection; None if the observer fails or is closed."""
        with self._lock:
            taken_s, snapshot = self._recent
            if time.monotonic() - taken_s > _FRESH_S:
                try:
                    snapshot = None if self._observer is None else self._observer.snapshot()
                except Exception as error:
                    self._failures.add(error)
                    snapshot = None
                self._recent = (time.monotonic(), snapshot)
            return snapshot


def _otlp_exporter() -> Any:
    """Return the exporter of OTLP that the environment asks for; HTTP without a word."""
    protocol = next((os.environ[name] for name in _VARIABLES if os.environ.get(name)), "http/protobuf")
    if protocol not in _PROTOCOLS:
        raise InputError(f"the protocol of OTLP is {protocol!r}; expected {' or '.join(_PROTOCOLS)} in {_VARIABLES[1]}")
    return optional_library(_PROTOCOLS[protocol], _USER, _EXTRA).OTLPMetricExporter()


def _by_figure(snapshot: Snapshot) -> Iterator[tuple[LiveFigure, dict[Labels, float | Distribution]]]:
    """Yield the figures of a snapshot, in the order of the catalog, with the finite values of their series."""
    found: dict[str, dict[Labels, float | Distribution]] = {}
    for series, value in snapshot.values.items():
        if isfinite(value):
            found.setdefault(series.figure, {})[series.labels] = value
    for series, distribution in snapshot.distributions.items():
        if isfinite(distribution.total):
            found.setdefault(series.figure, {})[series.labels] = distribution
    for key, figure in LIVE_FIGURES.items():
        if key in found:
            yield figure, found[key]


def _info_of(snapshot: Snapshot) -> dict[str, str]:
    known = {**snapshot.info, "version": _core.__version__}
    named = {"gen_ai.request.model": str(known.get(MODEL, ""))}
    return named | {f"{PREFIX}.{name}": str(known.get(name, "")) for name in INFO_LABELS if name != MODEL}
