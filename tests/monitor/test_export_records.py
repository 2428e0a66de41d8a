"""Export to sinks: nothing counted twice, nothing lost, whatever the disk and the observer do."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from support.paths import ROOT
from support.scripted_observer import ScriptedObserver

from pyinfercost.errors import InputError, InputTypeError
from pyinfercost.monitor import Sink
from pyinfercost.monitor.exporters import (
    Exporter,
    PrometheusExporter,
    PrometheusTextfileExporter,
    RecordExporter,
    open_exporter,
)
from pyinfercost.monitor.exporters.records import record_of


class Kept:
    """A sink that keeps its records, and refuses as many as a test says."""

    def __init__(self, refusals: int = 0) -> None:
        self.records: list[Mapping[str, float | int]] = []
        self.refusals = refusals
        self.closed = 0

    def write(self, step: int, metrics: Mapping[str, float | int]) -> None:
        if self.refusals:
            self.refusals -= 1
            raise OSError(28, "No space left on device")
        assert step == len(self.records)
        self.records.append(dict(metrics))

    def close(self) -> None:
        self.closed += 1


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def wait_for(condition: Any) -> None:
    while not condition():
        time.sleep(0.002)


def test_a_record_has_what_changed_and_the_gauges() -> None:
    observer = ScriptedObserver()
    observer.add("requests", 5, outcome="ok")
    observer.set("power_w", 300.0)
    observer.fill("ttft_s", [4, 0, 0, 0, 0, 0], 0.5)
    first = observer.snapshot()
    assert record_of(first, None) == {
        "time_s": observer.time_s,
        "live/requests/ok": 5,
        "live/power_w": 300.0,
        "live/ttft_s/count": 4,
        "live/ttft_s/mean": 0.125,
        "live/ttft_s/p50": 0.125,
        "live/ttft_s/p90": 0.225,
        "live/ttft_s/p99": pytest.approx(0.2475),
    }
    observer.add("requests", 2, outcome="ok")
    observer.add("requests", 1, outcome="error")
    observer.set("power_w", 200.0)
    observer.time_s += 15
    assert record_of(observer.snapshot(), first) == {
        "time_s": observer.time_s,
        "interval_s": 15,
        "live/requests/ok": 2,
        "live/requests/error": 1,
        "live/power_w": 200.0,
        "live/ttft_s/count": 0,
    }


def test_an_observer_that_began_again_is_counted_from_zero() -> None:
    observer = ScriptedObserver(run="1")
    observer.add("output_tokens", 1000)
    before = observer.snapshot()
    again = ScriptedObserver(run="2")
    again.add("output_tokens", 30)
    assert record_of(again.snapshot(), before)["live/output_tokens"] == 30


def test_every_count_is_in_one_record() -> None:
    sink, observer = Kept(), ScriptedObserver()
    exporter = RecordExporter(sink, interval_s=0.01)
    exporter.start(observer)
    for _ in range(50):
        observer.add("output_tokens", 7)
        time.sleep(0.001)
    exporter.close()
    exporter.close()
    assert sum(record["live/output_tokens"] for record in sink.records) == 350
    assert sink.closed == 1
    assert len(sink.records) > 2


def test_a_record_that_a_sink_refuses_is_joined_with_the_next(caplog: pytest.LogCaptureFixture) -> None:
    sink, observer = Kept(refusals=3), ScriptedObserver()
    exporter = RecordExporter(sink, interval_s=0.01)
    observer.add("output_tokens", 100)
    exporter.start(observer)
    wait_for(lambda: sink.records)
    observer.add("output_tokens", 11)
    exporter.close()
    assert sink.records[0]["live/output_tokens"] == 100
    assert sum(record["live/output_tokens"] for record in sink.records) == 111
    assert exporter.errors == 3
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert "Kept failed, and tries again; further failures are counted: OSError" in caplog.text


def test_an_observer_that_fails_stops_no_exporter() -> None:
    sink, observer = Kept(), ScriptedObserver()
    observer.fails = RuntimeError("no")
    exporter = RecordExporter(sink, interval_s=0.01)
    exporter.start(observer)
    wait_for(lambda: exporter.errors > 1)
    observer.fails = None
    wait_for(lambda: sink.records)
    exporter.close()


def test_a_full_disk(tmp_path: Path) -> None:
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("this system has no /dev/full")
    path = tmp_path / "costs.jsonl"
    path.symlink_to(full)
    observer = ScriptedObserver()
    observer.add("output_tokens", 5)
    exporter = open_exporter(path, interval_s=0.01)
    assert isinstance(exporter, RecordExporter)
    exporter.start(observer)
    wait_for(lambda: exporter.errors > 1)
    path.unlink()  # the disk has room again
    wait_for(lambda: path.is_file() and path.stat().st_size)
    exporter.close()
    assert sum(record["live/output_tokens"] for record in lines(path)) == 5


LIMITED = """
import resource, signal, sys
from pyinfercost.errors import FileAccessError
from pyinfercost.monitor import Jsonl
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
sink = Jsonl(sys.argv[1])
resource.setrlimit(resource.RLIMIT_FSIZE, (50, resource.RLIM_INFINITY))
sink.write(0, {"a": 1})
try:
    sink.write(1, {"name" * 20: 2})
except FileAccessError:
    partial = open(sys.argv[1]).read()
    assert partial.count("\\n") == 1 and not partial.endswith("\\n"), partial
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    sink.write(2, {"a": 3})
"""


def test_a_line_that_did_not_fit_is_removed(tmp_path: Path) -> None:
    path = tmp_path / "costs.jsonl"
    subprocess.run([sys.executable, "-c", LIMITED, str(path)], check=True, cwd=ROOT / "tests")
    assert lines(path) == [{"step": 0, "a": 1}, {"step": 2, "a": 3}]


def test_words_and_objects(tmp_path: Path) -> None:
    class Own:
        def start(self, observer: object) -> None: ...
        def close(self) -> None: ...

    own = Own()
    assert open_exporter(own) is own
    exporter = open_exporter("prometheus")
    assert isinstance(exporter, PrometheusExporter)
    served = open_exporter("prometheus:0")
    served.start(ScriptedObserver())
    assert isinstance(served, PrometheusExporter)
    assert served.port
    served.close()
    other = open_exporter("prometheus:localhost:0")
    other.start(ScriptedObserver())
    assert isinstance(other, PrometheusExporter)
    assert other.port
    other.close()
    assert isinstance(open_exporter(tmp_path / "m.prom"), PrometheusTextfileExporter)
    for value in ("costs.csv", "costs.jsonl", "stdout", Kept(), lambda step, metrics: None):
        assert isinstance(open_exporter(value), RecordExporter)
    assert isinstance(own, Exporter)
    assert not isinstance(Kept(), Exporter)
    assert isinstance(Kept(), Sink)


@pytest.mark.parametrize(
    ("value", "error"),
    [
        ("prometeus", InputError),
        ("prometheus:", InputError),
        ("prometheus:http", InputError),
        ("prometheus:70000", InputError),
        ("prometheus:host:x", InputError),
        ("otel:x", InputError),
        ("", InputError),
        (7, InputTypeError),
        (None, InputTypeError),
        (b"otel", InputTypeError),
        (RecordExporter, InputTypeError),
    ],
)
def test_what_is_no_exporter(value: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match=r"exporter|port of"):
        open_exporter(value)


def test_intervals_have_a_range() -> None:
    with pytest.raises(InputError, match="interval_s is 0"):
        open_exporter("costs.jsonl", interval_s=0)


def test_a_sink_that_hangs_does_not_hold_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    import threading

    monkeypatch.setattr("pyinfercost.monitor.exporters.periodic._PATIENCE_S", 0.05)
    released = threading.Event()

    class Hanging(Kept):
        def write(self, step: int, metrics: Mapping[str, float | int]) -> None:
            released.wait()

    exporter = RecordExporter(Hanging(), interval_s=0.01)
    exporter.start(ScriptedObserver())
    exporter.close()
    released.set()
