"""Scan of a file in the page cache, compared with a plain memory map: `python benchmarks/scan_file.py FOLDER`.

A file of 1 GB is written, scanned by the methods in turn, and removed. A plain map is what a cut of the file turns into
a signal; the map "from before" has all its pages in place before it is timed. Ratios are medians of pairs. CPU time is
shown as well, since other jobs on the machine disturb it less.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from pyinfercost._core import FileBytes, SparsityScan

COLUMNS = 4096
BLOCK_ROWS = 1024
HEADER = 104
"""Bytes before the weight, as in a `.safetensors` file."""
ITEM_BYTES = {"float32": 4, "bfloat16": 2}

Seconds = tuple[float, float]


def write(path: Path, megabytes: int) -> None:
    """Write random bits, half of which are zero in whole words, behind a header."""
    rng = np.random.default_rng(0)
    block = rng.integers(1, 2**31, size=(BLOCK_ROWS, COLUMNS), dtype=np.uint32)
    block[rng.random(block.shape) < 0.5] = 0
    with path.open("wb") as file:
        file.write(bytes(HEADER))
        for _ in range(megabytes * 2**20 // block.nbytes):
            file.write(block.data)


def seconds_of(run: Callable[[], Any]) -> Seconds:
    """Return the wall-clock time and the CPU time, in seconds."""

    def busy_s() -> float:
        usage = resource.getrusage(resource.RUSAGE_SELF)
        return usage.ru_utime + usage.ru_stime

    busy, start = busy_s(), time.perf_counter()
    run()
    return time.perf_counter() - start, busy_s() - busy


def compare(path: Path, dtype: str, threads: int, pairs: int) -> None:
    """Print the ratios of a scan of the file to its peers.

    Raises:
        AssertionError: The methods disagree.
    """
    row_bytes = COLUMNS * ITEM_BYTES[dtype]
    rows = (path.stat().st_size - HEADER) // row_bytes

    def scan(data: Any) -> dict[str, Any]:
        scan = SparsityScan(dtype, rows, COLUMNS)
        scan.add(data, offset=HEADER, row_stride=row_bytes, threads=threads)
        return scan.result()

    def scan_map() -> dict[str, Any]:
        memory = np.memmap(path, dtype=np.uint8, mode="r")
        return scan(memory.ctypes.data)

    kept = np.memmap(path, dtype=np.uint8, mode="r")
    with path.open("rb") as file:
        number = file.fileno()
        methods: dict[str, Callable[[], dict[str, Any]]] = {
            "ours": lambda: scan(FileBytes(number, str(path))),
            "plain map": scan_map,
            "plain map from before": lambda: scan(kept.ctypes.data),
            "reads": lambda: scan(FileBytes(number, str(path), mapped=False)),
        }
        expected = scan_map()
        if any(run() != expected for run in methods.values()):
            raise AssertionError("the methods disagree")
        times: dict[str, list[Seconds]] = {name: [] for name in methods}
        for turn in range(pairs):
            names = list(methods)
            for name in names if turn % 2 else reversed(names):
                times[name].append(seconds_of(methods[name]))
    for name in list(methods)[1:]:
        columns = [f"{dtype}, threads: {threads}, ours {statistics.median(s[0] for s in times['ours']):.3f} s, {name}"]
        for kind, what in enumerate(("wall", "CPU")):
            ratios = [ours[kind] / peer[kind] for ours, peer in zip(times["ours"], times[name], strict=True)]
            low, middle, high = statistics.quantiles(ratios, n=4)
            columns.append(f"{what} {middle:.2f} ({low:.2f} .. {high:.2f})")
        print("; ".join(columns), flush=True)


def main() -> None:
    """Write the file, compare the methods, and remove it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--megabytes", type=int, default=1024)
    parser.add_argument("--pairs", type=int, default=31)
    given = parser.parse_args()
    path = given.folder / "weights.bin"
    try:
        write(path, given.megabytes)
        for dtype in ITEM_BYTES:
            for threads in (1, 2):
                compare(path, dtype, threads, given.pairs)
    finally:
        path.unlink(missing_ok=True)


if __name__ == "__main__":
    main()
