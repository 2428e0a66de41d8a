"""A real server of Prometheus with the generated configuration, and what it answers."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

from pyinfercost.monitor.provisioning import MonitorConfig, write_config
from pyinfercost.results.live import Snapshot, series
from pyinfercost.results.live_figures import COUNTER, LIVE_FIGURES

from .scripted_observer import ScriptedObserver, busy_observer

PATIENCE_S = 60.0


def free_port() -> int:
    """Return a port that nothing listens on."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def wait_until(condition: Callable[[], Any], what: str, poll_s: float = 0.05) -> Any:
    """Wait for a condition, and return its first value that is true."""
    end_s = time.monotonic() + PATIENCE_S
    while not (found := condition()):
        if time.monotonic() > end_s:
            raise AssertionError(f"waited {PATIENCE_S:g} s for {what}")
        time.sleep(poll_s)
    return found


class PrometheusServer:
    """Prometheus with the files of `pyinfercost monitor config` in a folder of its own."""

    def __init__(self, folder: Path, config: MonitorConfig) -> None:
        write_config(folder, config)
        self.folder = folder
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait until it answers queries; what it stored before is still there."""
        words = [
            *("prometheus", "--config.file=prometheus/prometheus.yml", "--storage.tsdb.path=data"),
            *(f"--web.listen-address=127.0.0.1:{self.port}", "--log.level=warn"),
        ]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(words, cwd=self.folder, stdout=log, stderr=log)
        wait_until(self._is_ready, "Prometheus")

    def kill(self) -> None:
        """End it at once, without a chance to write anything."""
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()
            self._process = None

    def _is_ready(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, (self.folder / "log").read_text()
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/-/ready", timeout=5) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, ConnectionError):
            return False

    def get(self, path: str, **parameters: Any) -> Any:
        """Return the data of an answer of its API."""
        address = f"http://127.0.0.1:{self.port}/api/v1/{path}?{urllib.parse.urlencode(parameters, doseq=True)}"
        try:
            with urllib.request.urlopen(address, timeout=30) as answer:
                found = json.load(answer)
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{parameters}: {error.read().decode()}") from error
        assert found["status"] == "success"
        return found["data"]

    def query(self, expression: str) -> list[dict[str, Any]]:
        """Return the series of an expression at this moment."""
        return list(self.get("query", query=expression)["result"])

    def value(self, expression: str) -> float | None:
        """Return the value of an expression with one series or none."""
        found = self.query(expression)
        assert len(found) <= 1, found
        return float(found[0]["value"][1]) if found else None

    def samples(self, selector: str, window: str = "10m") -> list[tuple[float, float]]:
        """Return times and values of what was scraped of one series."""
        (found,) = self.query(f"{selector}[{window}]")
        return [(float(at), float(value)) for at, value in found["values"]]


def grown(samples: list[tuple[float, float]]) -> float:
    """Return how far a counter grew, also where it began again; `increase` of Prometheus, without its extrapolation."""
    return sum(after - before if after >= before else after for (_, before), (_, after) in pairwise(samples))


class MovingObserver(ScriptedObserver):
    """An observer with all figures of the catalog, whose counters grow with time."""

    def __init__(self, model: str = "all-figures") -> None:
        start = busy_observer(model)
        super().__init__(model)
        self.values, self.distributions = dict(start.values), dict(start.distributions)
        self.values[series("reserved_s", use="idle")] = 0.0
        self._began_s = time.monotonic()

    def snapshot(self) -> Snapshot:
        """Return the figures of this moment."""
        seconds = time.monotonic() - self._began_s
        found = super().snapshot()
        values = {
            each: value * (1 + seconds) if LIVE_FIGURES[each.figure].kind == COUNTER else value
            for each, value in found.values.items()
        }
        whole = int(seconds)
        distributions = {
            each: type(value)(value.bounds, tuple(count * (1 + whole) for count in value.counts), value.total)
            for each, value in found.distributions.items()
        }
        return Snapshot(time.time(), values, distributions, found.info)
