"""Scan of a weight with all its figures on one thread, compared with reading the same memory once."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import pyinfercost as ic
from pyinfercost._core import sum_words

from .interleaved import race
from .parameters import CALL_ROUNDS, MAX_RATIO, SCAN_COLUMNS, SCAN_MB

torch = pytest.importorskip("torch")

DTYPES = ("float32", "bfloat16", "int8")


def weight(dtype: str) -> Any:
    """Return normal numbers, the smaller half of which is zero, in memory much larger than the caches."""
    columns = SCAN_COLUMNS
    rows = SCAN_MB * 2**20 // (columns * torch.empty(0, dtype=getattr(torch, dtype)).element_size())
    generator = torch.Generator().manual_seed(1)
    # A few rows are repeated: values do not affect the time, and drawing all of them would dominate it.
    drawn = torch.randn(256, columns, generator=generator)
    drawn[drawn.abs() < 0.6745] = 0
    if dtype == "int8":
        drawn = (drawn * 30).clamp(-127, 127)
    return drawn.to(getattr(torch, dtype)).repeat(rows // 256, 1)


def count_nonzero(tensor: Any) -> int:
    """Return torch's count of nonzeros, on one thread."""
    torch.set_num_threads(1)
    return int(torch.count_nonzero(tensor))


def numpy_sum(words: Any) -> float:
    """Return a sum by numpy."""
    return float(np.sum(words))


@pytest.mark.slow
@pytest.mark.parametrize("dtype", DTYPES)
def bench_scan(benchmark: Any, dtype: str) -> None:
    """All figures of one weight."""
    tensor = weight(dtype)
    memory = tensor.view(torch.uint8).numpy().reshape(-1)
    words = memory.view(np.float32)
    threads = torch.get_num_threads()
    peers = {
        "plain read (sum of words)": lambda: sum_words(memory),
        "numpy.sum of float32": lambda: numpy_sum(words),
        "torch.count_nonzero": lambda: count_nonzero(tensor),
    }
    if dtype == "int8":
        peers.pop("numpy.sum of float32")  # the words are not valid numbers
    wanted = {
        "plain read (sum of words)": MAX_RATIO[f"scan {dtype} / plain read"],
        "torch.count_nonzero": MAX_RATIO["scan / count_nonzero"] if dtype == "float32" else None,
    }
    try:
        answers = race(
            benchmark,
            f"scan of {SCAN_MB} MB of {dtype}",
            lambda: ic.sparsity(tensor, threads=1),
            peers,
            rounds=CALL_ROUNDS,
            max_ratio=wanted,
        )
    finally:
        torch.set_num_threads(threads)
    found = answers["ours"].weights[0].figures
    assert found.elements - found.zeros == answers["torch.count_nonzero"]
    # The first rows repeat, so their counts determine all.
    few = ic.sparsity(tensor[:256]).weights[0].figures
    repeats = len(tensor) // 256
    assert [g.satisfied for g in found.groups] == [repeats * g.satisfied for g in few.groups]
    assert [b.zero for b in found.blocks] == [repeats * b.zero for b in few.blocks]
    assert answers["plain read (sum of words)"] == int(memory.view(np.uint64).sum(dtype=np.uint64))


@pytest.mark.slow
def bench_scan_threads(benchmark: Any) -> None:
    """Two threads compared with one."""
    tensor = weight("float32")
    answers = race(
        benchmark,
        f"scan of {SCAN_MB} MB of float32, two threads",
        lambda: ic.sparsity(tensor, threads=2),
        {"one thread": lambda: ic.sparsity(tensor, threads=1)},
        rounds=CALL_ROUNDS,
    )
    assert answers["ours"] == answers["one thread"]
