"""Export to OpenTelemetry: names and values as an SDK's reader and a receiver of OTLP see them."""

from __future__ import annotations

import gzip
import http.server
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from support.scripted_observer import EDGES, ScriptedObserver, busy_observer

from pyinfercost.errors import InputError
from pyinfercost.monitor.exporters import OpenTelemetryExporter, open_exporter
from pyinfercost.monitor.metric_names import otel_name, otel_unit
from pyinfercost.results.live_figures import COUNTER, HISTOGRAM, LIVE_FIGURES

sdk = pytest.importorskip("opentelemetry.sdk.metrics.export", reason="needs opentelemetry-sdk: pyinfercost[otel]")


class Collected(sdk.MetricExporter):  # type: ignore[misc,name-defined]
    """An exporter that keeps what it gets, and refuses as many as a test says."""

    def __init__(self, refusals: int = 0) -> None:
        super().__init__()
        self.data: list[Any] = []
        self.refusals = refusals
        self.shut = 0

    def export(self, metrics_data: Any, timeout_millis: float = 10_000, **_: Any) -> Any:
        if self.refusals:
            self.refusals -= 1
            return sdk.MetricExportResult.FAILURE
        self.data.append(metrics_data)
        return sdk.MetricExportResult.SUCCESS

    def force_flush(self, timeout_millis: float = 10_000) -> bool:
        return True

    def shutdown(self, timeout_millis: float = 30_000, **_: Any) -> None:
        self.shut += 1


def metrics_of(data: Any) -> dict[str, Any]:
    (resource,) = data.resource_metrics
    (scope,) = resource.scope_metrics
    assert scope.scope.name == "pyinfercost"
    found = {metric.name: metric for metric in scope.metrics}
    assert len(found) == len(scope.metrics)
    return found


def exported(observer: ScriptedObserver) -> dict[str, Any]:
    exporter = Collected()
    sender = OpenTelemetryExporter(exporter, interval_s=600)
    sender.start(observer)
    sender.close()
    sender.close()
    assert exporter.shut == 1
    (data,) = exporter.data
    return metrics_of(data)


def attributes_of(observer: ScriptedObserver, figure: Any, labels: Any) -> dict[str, str]:
    found = {"gen_ai.request.model": observer.info["model"]}
    if figure.otel:
        found |= {"gen_ai.operation.name": "text_completion", "gen_ai.provider.name": "vllm"}
    return found | {f"pyinfercost.{name}": text for name, text in labels}


def test_every_figure_is_exact() -> None:
    observer = busy_observer()
    metrics = exported(observer)
    assert set(metrics) == {otel_name(figure) for figure in LIVE_FIGURES.values()} | {"pyinfercost.info"}
    for figure in LIVE_FIGURES.values():
        metric = metrics[otel_name(figure)]
        assert (metric.description, metric.unit) == (figure.help, otel_unit(figure))
        if figure.kind == HISTOGRAM:
            continue
        points = {tuple(sorted(point.attributes.items())): point.value for point in metric.data.data_points}
        expected = {
            tuple(sorted(attributes_of(observer, figure, each.labels).items())): value
            for each, value in observer.values.items()
            if each.figure == figure.key
        }
        assert points == expected
        assert isinstance(metric.data, sdk.Sum if figure.kind == COUNTER else sdk.Gauge)
    for each, distribution in observer.distributions.items():
        figure = LIVE_FIGURES[each.figure]
        data = metrics[otel_name(figure)].data
        assert data.aggregation_temporality is sdk.AggregationTemporality.CUMULATIVE
        (point,) = data.data_points
        assert point.attributes == attributes_of(observer, figure, ())
        assert (point.count, point.sum) == (distribution.count, distribution.total)
        assert tuple(point.explicit_bounds) == EDGES
        assert tuple(point.bucket_counts) == distribution.counts
        assert (point.min, point.max) == (0.0, EDGES[-1])


def test_names_of_the_conventions() -> None:
    metrics = exported(busy_observer())
    for name in ("request.duration", "time_to_first_token", "time_per_output_token"):
        assert metrics[f"gen_ai.server.{name}"].unit == "s"
    semconv = pytest.importorskip("opentelemetry.semconv._incubating.metrics.gen_ai_metrics")
    known = {value for name, value in vars(semconv).items() if name.startswith("GEN_AI_")}
    assert {figure.otel for figure in LIVE_FIGURES.values() if figure.otel} <= known


def test_cumulative_values_begin_with_a_run() -> None:
    observer, exporter = ScriptedObserver(run="1"), Collected()
    sender = OpenTelemetryExporter(exporter, interval_s=0.01)
    observer.add("output_tokens", 5)
    sender.start(observer)
    while not exporter.data:
        time.sleep(0.002)
    observer.time_s += 60
    observer.info["run"] = "2"
    sender.close()
    points = [metrics_of(data)["pyinfercost.output_tokens"].data.data_points[0] for data in exporter.data]
    first, last = points[0], points[-1]
    assert first.start_time_unix_nano == first.time_unix_nano == 1_800_000_000 * 10**9
    assert last.start_time_unix_nano == last.time_unix_nano == 1_800_000_060 * 10**9


def test_a_receiver_that_refuses_is_counted(caplog: pytest.LogCaptureFixture) -> None:
    observer, exporter = busy_observer(), Collected(refusals=2)
    sender = OpenTelemetryExporter(exporter, interval_s=0.01)
    sender.start(observer)
    while not exporter.data:
        time.sleep(0.002)
    sender.close()
    assert sender.errors == 2
    assert len([record for record in caplog.records if record.name.startswith("pyinfercost")]) == 1


def test_instruments_of_a_provider() -> None:
    metrics_sdk = pytest.importorskip("opentelemetry.sdk.metrics")
    reader = sdk.InMemoryMetricReader()
    provider = metrics_sdk.MeterProvider([reader], shutdown_on_exit=False)
    observer = busy_observer()
    exporter = OpenTelemetryExporter(provider=provider)
    exporter.start(observer)
    metrics = metrics_of(reader.get_metrics_data())
    assert observer.snapshots <= 2, "instruments of one collection share a snapshot"
    assert set(metrics) == {otel_name(figure) for figure in LIVE_FIGURES.values() if figure.kind != HISTOGRAM}
    points = metrics["pyinfercost.requests"].data.data_points
    assert {point.attributes["pyinfercost.outcome"]: point.value for point in points} == {
        dict(each.labels)["outcome"]: value for each, value in observer.values.items() if each.figure == "requests"
    }
    assert metrics["pyinfercost.requests"].data.is_monotonic
    exporter._recent = (float("-inf"), None)
    observer.fails = RuntimeError("no")
    assert reader.get_metrics_data() is None
    assert exporter.errors == 1
    exporter.close()
    provider.shutdown()


def test_an_exporter_is_not_a_provider() -> None:
    with pytest.raises(InputError, match="both given"):
        OpenTelemetryExporter(Collected(), provider=object())


# ---- OTLP ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def receiver() -> Iterator[tuple[int, list[bytes]]]:
    """A receiver of OTLP over HTTP that keeps what it gets."""
    bodies: list[bytes] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            bodies.append(gzip.decompress(body) if self.headers.get("Content-Encoding") == "gzip" else body)
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: Any) -> None: ...

    server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server.server_port, bodies
    server.shutdown()
    server.server_close()
    thread.join()


def test_otlp_over_http(receiver: tuple[int, list[bytes]], monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("opentelemetry.exporter.otlp.proto.http.metric_exporter", reason="needs pyinfercost[otel]")
    service = pytest.importorskip("opentelemetry.proto.collector.metrics.v1.metrics_service_pb2")
    port, bodies = receiver
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{port}")
    monkeypatch.setenv("OTEL_SERVICE_NAME", "chat")
    exporter = open_exporter("otel", interval_s=600)
    exporter.start(busy_observer())
    exporter.close()
    request = service.ExportMetricsServiceRequest.FromString(bodies[0])
    (resource,) = request.resource_metrics
    named = {each.key: each.value.string_value for each in resource.resource.attributes}
    assert named["service.name"] == "chat"
    (scope,) = resource.scope_metrics
    metrics = {metric.name: metric for metric in scope.metrics}
    assert set(metrics) == {otel_name(figure) for figure in LIVE_FIGURES.values()} | {"pyinfercost.info"}
    observer = busy_observer()
    (point,) = metrics["gen_ai.server.time_to_first_token"].histogram.data_points
    distribution = next(value for each, value in observer.distributions.items() if each.figure == "ttft_s")
    assert tuple(point.bucket_counts) == distribution.counts
    assert point.sum == distribution.total
    (energy,) = metrics["pyinfercost.energy"].sum.data_points
    assert energy.as_double == next(value for each, value in observer.values.items() if each.figure == "energy_j")


def test_an_unknown_protocol_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "smoke")
    with pytest.raises(InputError, match="protocol of OTLP is 'smoke'; expected http/protobuf or grpc"):
        open_exporter("otel")
