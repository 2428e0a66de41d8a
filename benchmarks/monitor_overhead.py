"""Overhead of a Monitor: time of a request, throughput of a model of 10 ms, resident memory over many requests.

    python -m benchmarks.monitor_overhead [--rounds 15] [--pairs 400] [--requests 10000000] [--only calls|model|memory]

Bare and monitored calls alternate in short runs in random order, so that load on the machine affects both. A figure is
the median of the differences of pairs, with its quartiles. The monitor has a Prometheus exporter that is scraped, and a
log that is written, each second.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import statistics
import tempfile
import threading
import time
import urllib.request
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

import pyinfercost as ic

INTERVAL_S = 1.0
CALLS = 20_000
THREADS = 8
MODEL_S = 0.01
CALLS_OF_MODEL = 1
TASKS = 64


@contextmanager
def watched(monitor: ic.Monitor, port: int) -> Iterator[None]:
    """Scrape the exporter of a monitor each second."""
    over = threading.Event()

    def scrape() -> None:
        while not over.wait(INTERVAL_S):
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
                answer.read()

    thread = threading.Thread(target=scrape)
    with monitor:
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()


def monitor_of(folder: str, port: int, **options: Any) -> ic.Monitor:
    """Return a monitor with an exporter and a log."""
    return ic.Monitor(
        exporters=f"prometheus:{port}", log=Path(folder) / "monitor.jsonl", interval_s=INTERVAL_S, **options
    )


def paired(bare: Callable[[], float], monitored: Callable[[], float], rounds: int) -> list[tuple[float, float]]:
    """Return seconds of bare and monitored runs, which alternate in random order."""
    found = []
    order = random.Random(0)
    for _ in range(rounds):
        if order.random() < 0.5:
            first = bare()
            found.append((first, monitored()))
        else:
            second = monitored()
            found.append((bare(), second))
    return found


def timed(call: Callable[[], object], calls: int) -> float:
    """Return the seconds of calls, one after another."""
    began = time.perf_counter()
    for _ in range(calls):
        call()
    return time.perf_counter() - began


def in_threads(call: Callable[[], object], calls: int) -> float:
    """Return the seconds of calls that are divided among threads."""
    start = threading.Barrier(THREADS + 1)

    def work() -> None:
        start.wait()
        for _ in range(calls // THREADS):
            call()

    threads = [threading.Thread(target=work) for _ in range(THREADS)]
    for each in threads:
        each.start()
    start.wait()
    began = time.perf_counter()
    for each in threads:
        each.join()
    return time.perf_counter() - began


def in_tasks(call: Callable[[], Awaitable[object]], calls: int) -> float:
    """Return the seconds of calls that are divided among tasks of one event loop."""

    async def work() -> None:
        for _ in range(calls // TASKS):
            await call()

    async def run() -> float:
        began = time.perf_counter()
        await asyncio.gather(*(work() for _ in range(TASKS)))
        return time.perf_counter() - began

    return asyncio.run(run())


def compare_calls(folder: str, port: int, rounds: int) -> None:
    """Print what one request adds, by the way it is counted."""
    x = torch.zeros(8, 16)

    def function(value: torch.Tensor) -> torch.Tensor:
        return value

    async def coroutine(value: torch.Tensor) -> torch.Tensor:
        await asyncio.sleep(0)
        return value

    async def bare_block() -> None:
        await asyncio.sleep(0)

    monitor = monitor_of(folder, port)

    def block() -> None:
        with monitor.request(items=8, prompt_tokens=128) as request:
            request.output_tokens = 16

    async def async_block() -> None:
        async with monitor.request(items=8):
            await asyncio.sleep(0)

    bare_module, module = nn.Identity(), nn.Identity()
    monitor.instrument(module)
    counted, counted_async = monitor.instrument(function), monitor.instrument(coroutine)
    ways: list[tuple[str, Any, Any, Any]] = [
        ("function", lambda: function(x), lambda: counted(x), timed),
        (f"function, {THREADS} threads", lambda: function(x), lambda: counted(x), in_threads),
        ("torch module", lambda: bare_module(x), lambda: module(x), timed),
        (f"torch module, {THREADS} threads", lambda: bare_module(x), lambda: module(x), in_threads),
        ("block: with monitor.request()", lambda: None, block, timed),
        (f"async function, {TASKS} tasks", lambda: coroutine(x), lambda: counted_async(x), in_tasks),
        (f"async block, {TASKS} tasks", bare_block, async_block, in_tasks),
    ]
    with watched(monitor, port):
        for name, bare, monitored, run in ways:
            without, with_it = partial(run, bare, CALLS), partial(run, monitored, CALLS)
            pairs = paired(without, with_it, rounds)
            added = [(more - less) / CALLS * 1e6 for less, more in pairs]
            low, middle, high = statistics.quantiles(added, n=4)
            print(f"{name:40} {middle:6.2f} us a request ({low:.2f} .. {high:.2f})", flush=True)


def compare_model(folder: str, port: int, pairs: int) -> None:
    """Print the throughput of a model of 10 ms with a monitor, over that without it."""
    torch.set_num_threads(1)
    width = 1024
    model = nn.Sequential(*[nn.Linear(width, width) for _ in range(8)]).eval()
    rows = 8
    with torch.inference_mode():
        while timed(partial(model, torch.zeros(rows, width)), 20) / 20 < MODEL_S:
            rows += 8
        x = torch.zeros(rows, width)
        monitor = monitor_of(folder, port, model=model, inputs=(x,), on=ic.Deployment(hardware="epyc-9654", price=1.0))
        watched_model = monitor.instrument(nn.Sequential(*model))  # shares its layers
        calls = CALLS_OF_MODEL
        with watched(monitor, port):

            def bare() -> float:
                return timed(lambda: model(x), calls)

            def monitored() -> float:
                return timed(lambda: watched_model(x), calls)

            found = paired(bare, monitored, pairs)
    ratios = [without / with_it for without, with_it in found]
    low, middle, high = statistics.quantiles(ratios, n=4)
    error = statistics.stdev(ratios) / len(ratios) ** 0.5 * 1.25  # of a median, if noise is normal
    each_ms = statistics.median(without for without, _ in found) / calls * 1e3
    print(
        f"model of {each_ms:.1f} ms: throughput {middle:.5f} of that without a monitor ({low:.4f} .. {high:.4f}, "
        f"{len(ratios)} pairs of {calls} calls, standard error {error:.5f})"
    )


def resident_mb() -> float:
    """Return the resident memory of this process."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def compare_memory(folder: str, port: int, requests: int) -> None:
    """Print the resident memory while requests of many sizes pass, in threads and from an event loop."""
    monitor = monitor_of(folder, port)
    sizes = random.Random(0)
    lengths = [(sizes.randrange(1, 64), sizes.randrange(1, 8192), sizes.randrange(1, 1024)) for _ in range(100_000)]
    parts = 10

    def work(place: int, number: int) -> None:
        for step in range(number):
            items, prompt, output = lengths[(place + step * THREADS) % len(lengths)]
            with monitor.request(items=items, prompt_tokens=prompt) as request:
                request.output_tokens = output

    with watched(monitor, port):
        for part in range(parts):
            threads = [
                threading.Thread(target=work, args=(place, requests // parts // THREADS)) for place in range(THREADS)
            ]
            for each in threads:
                each.start()
            for each in threads:
                each.join()
            print(f"{(part + 1) * requests // parts:>12,} requests: {resident_mb():.1f} MB resident", flush=True)
    answered = monitor.snapshot().value("requests", outcome="ok")
    print(f"counted {answered:,.0f}; log of {sum(each.stat().st_size for each in Path(folder).iterdir()) / 1e6:.0f} MB")


def main() -> None:
    """Run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--pairs", type=int, default=400)
    parser.add_argument("--requests", type=int, default=10_000_000)
    parser.add_argument("--only", choices=["calls", "model", "memory"])
    parser.add_argument("--port", type=int, default=9411)
    options = parser.parse_args()
    for name, run, amount in (
        ("calls", compare_calls, options.rounds),
        ("model", compare_model, options.pairs),
        ("memory", compare_memory, options.requests),
    ):
        if options.only in (None, name):
            with tempfile.TemporaryDirectory() as folder:
                run(folder, options.port, amount)


if __name__ == "__main__":
    main()
