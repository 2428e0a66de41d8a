"""Percentiles of a monitored torch model under load beside those of the replay of its log.

    python -m benchmarks.wayback_live [--seconds 120] [--rate 25]

One thread serves a small transformer encoder, one request at a time; requests of 1 to 4 items come at random times and
wait in a queue. A `Monitor` writes the log, which is exported as a workload (arrivals, and times in service). The
workload is replayed on one replica with one place (`fleet`, `static:1`), and waits and whole requests are compared
with those that the driver measured itself.
"""

from __future__ import annotations

import argparse
import queue
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import torch

import pyinfercost as ic
from pyinfercost import Monitor
from pyinfercost.fleets import Slots
from pyinfercost.monitor.recorded import export_workload

PERCENTILES = (50, 90, 99)
LENGTH, WIDTH = 64, 256


def load(folder: Path, seconds: float, rate: float) -> tuple[np.ndarray, np.ndarray]:
    """Serve requests for some time; return their waits and times as the driver saw them."""
    torch.set_num_threads(1)
    layer = torch.nn.TransformerEncoderLayer(WIDTH, 8, 4 * WIDTH, batch_first=True)
    model = torch.nn.TransformerEncoder(layer, 4, enable_nested_tensor=False).eval()
    rng = np.random.default_rng(0)
    arrivals = np.cumsum(rng.exponential(1.0 / rate, round(seconds * rate)))
    items = rng.integers(1, 5, arrivals.size)
    waiting: queue.SimpleQueue[tuple[int, float] | None] = queue.SimpleQueue()
    waits, times = np.zeros(arrivals.size), np.zeros(arrivals.size)
    with (
        torch.inference_mode(),
        Monitor(name="encoder", energy=None, log=folder / "log.jsonl", interval_s=5) as monitor,
    ):
        requests = [monitor.request(items=int(each), waiting=True) for each in items]

        def serve() -> None:
            with torch.inference_mode():
                while (found := waiting.get()) is not None:
                    number, arrived = found
                    requests[number].start()
                    begun = time.perf_counter()
                    model(torch.zeros(int(items[number]), LENGTH, WIDTH))
                    ended = time.perf_counter()
                    requests[number].end()
                    waits[number], times[number] = begun - arrived, ended - arrived

        worker = threading.Thread(target=serve)
        worker.start()
        begin = time.perf_counter()
        for number, at in enumerate(arrivals):
            time.sleep(max(0.0, begin + at - time.perf_counter()))
            requests[number].begin()
            waiting.put((number, time.perf_counter()))
        waiting.put(None)
        worker.join()
    return waits, times


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=120.0)
    parser.add_argument("--rate", type=float, default=25.0, help="requests per second")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        waits, times = load(folder, options.seconds, options.rate)
        found = export_workload(folder / "log.jsonl", folder / "out.csv")
        fleet = ic.fleet(None, traffic=found.path, on=Slots(slots=1), autoscaler="static:1").fleets[0]
    print(f"{found.requests:,} requests of {len(times):,}, {fleet.pools[0].used_s / found.span_s:.0%} busy")
    print(
        "| percentile | wait measured, ms | replayed, ms | error | whole request measured, ms | replayed, ms | error |"
    )
    print("|---" * 7 + "|")
    for percent in PERCENTILES:
        cells = [f"p{percent}"]
        for values, key in ((waits, "wait_s"), (times, "e2e_s")):
            measured, replayed = float(np.percentile(values, percent)), float(getattr(fleet[key], f"p{percent}"))
            cells += [f"{1e3 * measured:.2f}", f"{1e3 * replayed:.2f}", f"{replayed / measured - 1:+.1%}"]
        print("| " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
