"""Destinations that hang, dawdle or are full: no request waits for them, and nothing is lost where they recover.

A request that waited would hang these tests: what the destinations wait for comes after the requests.
"""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from support.paths import ROOT

from pyinfercost import Monitor
from pyinfercost.monitor.exporters import OpenTelemetryExporter, PrometheusExporter, open_exporter

REQUESTS = 500


def serve(monitor: Monitor, times: int = REQUESTS) -> None:
    for _ in range(times):
        with monitor.request(prompt_tokens=3) as request:
            request.output_tokens = 2


def total(page: str, name: str) -> float:
    return sum(
        sample.value
        for family in text_string_to_metric_families(page)
        for sample in family.samples
        if sample.name == name
    )


class Silent:
    """A server that takes connections and what they send, and answers nothing."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._open: list[socket.socket] = []
        self.asked = threading.Event()
        self.port = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self._open.append(connection)
            self.asked.set()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)  # ends `accept`
        self._thread.join()
        self._listener.close()
        for each in self._open:
            each.close()


@pytest.fixture
def silent() -> Iterator[Silent]:
    found = Silent()
    yield found
    found.close()


def test_a_receiver_of_otlp_that_hangs(
    silent: Silent, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    pytest.importorskip("opentelemetry.exporter.otlp.proto.http.metric_exporter", reason="needs pyinfercost[otel]")
    monkeypatch.setattr("pyinfercost.monitor.exporters.periodic._PATIENCE_S", 0.05)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{silent.port}")
    exporter = open_exporter("otel", interval_s=0.01)
    assert isinstance(exporter, OpenTelemetryExporter)
    monitor = Monitor(name="small", exporters=exporter, energy=None)
    assert silent.asked.wait(60), "the delivery has begun"
    serve(monitor)
    assert monitor.snapshot().value("requests", outcome="ok") == REQUESTS
    monitor.close()  # it leaves the delivery behind
    assert exporter.errors == 0, "it hangs still"


@pytest.mark.parametrize("sent", [b"", b"GET /metr", b"GET /metrics HTTP/1.1\r\nHost: x\r\n"], ids=["", "line", "head"])
@pytest.mark.slow
def test_clients_that_dawdle(sent: bytes) -> None:
    exporter = PrometheusExporter(0)
    with Monitor(name="small", exporters=exporter, energy=None) as monitor:
        clients = [socket.create_connection(("127.0.0.1", exporter.port or 0)) for _ in range(20)]
        for each in clients:
            each.sendall(sent)
        serve(monitor)
        with urllib.request.urlopen(f"http://127.0.0.1:{exporter.port}/metrics", timeout=60) as answer:
            assert total(answer.read().decode(), "pyinfercost_requests_total") == REQUESTS
    for each in clients:
        each.close()


def test_a_client_that_does_not_read() -> None:
    """It asks again and again over one connection and reads nothing, until the buffers of both ends are full."""
    exporter = PrometheusExporter(0)
    with Monitor(name="small", exporters=exporter, energy=None) as monitor, socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect(("127.0.0.1", exporter.port or 0))
        client.setblocking(False)
        sent = 0
        try:
            while sent < 2**22:
                sent += client.send(b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: keep-alive\r\n\r\n" * 100)
        except OSError:  # the server takes no more, or closed the connection
            pass
        serve(monitor)
        with urllib.request.urlopen(f"http://127.0.0.1:{exporter.port}/metrics", timeout=60) as answer:
            assert total(answer.read().decode(), "pyinfercost_requests_total") == REQUESTS


FULL = """
import json, resource, signal, sys, time
from pathlib import Path
from pyinfercost import Monitor
from pyinfercost.monitor.exporters import open_exporter

folder = Path(sys.argv[1])
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # as Python does by itself
exporters = [open_exporter(folder / name, interval_s=0.02) for name in ("model.prom", "costs.jsonl", "costs.csv")]
monitor = Monitor(name="small", exporters=exporters, energy=None)

def serve(times):
    for _ in range(times):
        with monitor.request(prompt_tokens=3) as request:
            request.output_tokens = 2

def wait(condition):
    while not condition():
        time.sleep(0.005)

serve(100)
wait(lambda: all((folder / name).exists() for name in ("model.prom", "costs.jsonl", "costs.csv")))
unlimited = resource.RLIM_INFINITY
resource.setrlimit(resource.RLIMIT_FSIZE, (10, unlimited))  # every write fails with EFBIG
before = [each.errors for each in exporters]
serve(200)
wait(lambda: all(each.errors > count + 1 for each, count in zip(exporters, before)))
serve(200)
resource.setrlimit(resource.RLIMIT_FSIZE, (unlimited, unlimited))
monitor.close()
print(json.dumps(monitor.snapshot().value("requests", outcome="ok")))
"""


def test_a_disk_that_is_full_for_a_while(tmp_path: Path) -> None:
    ran = subprocess.run(
        [sys.executable, "-c", FULL, str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT / "tests",
        timeout=300,
    )
    assert ran.returncode == 0, ran.stderr
    assert json.loads(ran.stdout) == 500
    assert total((tmp_path / "model.prom").read_text(), "pyinfercost_requests_total") == 500
    records: list[dict[str, Any]] = [json.loads(line) for line in (tmp_path / "costs.jsonl").read_text().splitlines()]
    assert sum(record.get("live/requests/ok", 0) for record in records) == 500
    header, *rows = (line.split(",") for line in (tmp_path / "costs.csv").read_text().splitlines())
    place = header.index("live/requests/ok")
    assert sum(float(row[place] or 0) for row in rows) == 500


def test_an_exporter_whose_sink_hangs_holds_no_request(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pyinfercost.monitor.exporters.periodic._PATIENCE_S", 0.05)
    entered, released = threading.Event(), threading.Event()

    def hang(_step: int, _metrics: Any) -> None:
        entered.set()
        released.wait()

    monitor = Monitor(name="small", exporters=open_exporter(hang, interval_s=0.01), energy=None)
    assert entered.wait(60)
    serve(monitor)
    assert monitor.snapshot().value("requests", outcome="ok") == REQUESTS
    monitor.close()
    released.set()
