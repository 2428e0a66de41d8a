"""Our time compared with a baseline's, measured in turn, so that load on the machine affects both.

Every call runs in a new thread, and every turn at another stack depth, the same for both sides. CPython 3.11 allocates
frames in chunks of memory; a busy call that straddles two of them maps and unmaps one each time and takes up to twice
as long. Inside pytest this affected FlopCounterMode but not us: 89 ms instead of 50.
"""

from __future__ import annotations

import gc
import statistics
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle
from typing import Any

Run = Callable[[], Any]
DEPTHS = range(0, 120, 8)
"""Additional frames below a call; 15 values, so that as many turns use each once."""


@dataclass(frozen=True)
class Line:
    """One line of the summary: compared with a baseline, or with a target only."""

    title: str
    ours_s: float
    peer: str = ""
    peer_s: float = 0.0
    ratio: float = 0.0
    quartiles: tuple[float, float] = (0.0, 0.0)
    pairs: int = 0
    target: str = ""
    met: bool | None = None


LINES: list[Line] = []
NOTES: list[str] = []
"""Figures other than times."""


def versus(title: str, peer: str, ours_s: Sequence[float], peer_s: Sequence[float], max_ratio: float | None) -> None:
    """Add a line for two series of seconds measured in pairs.

    The ratio is the median of the pairs' ratios, since both measurements of a pair see the same machine load.
    """
    ratios = [ours / theirs for ours, theirs in zip(ours_s, peer_s, strict=True)]
    low, middle, high = statistics.quantiles(ratios, n=4) if len(ratios) > 1 else ratios * 3
    LINES.append(
        Line(
            title=title,
            ours_s=statistics.median(ours_s),
            peer=peer,
            peer_s=statistics.median(peer_s),
            ratio=middle,
            quartiles=(low, high),
            pairs=len(ratios),
            target="" if max_ratio is None else f"<= {max_ratio:.3g}",
            met=None if max_ratio is None else middle <= max_ratio,
        )
    )


def alone(title: str, ours_s: Sequence[float], max_s: float | None) -> None:
    """Add a line for seconds with a target of their own, or none."""
    middle = statistics.median(ours_s)
    LINES.append(
        Line(
            title=title,
            ours_s=middle,
            target="" if max_s is None else f"<= {max_s:g} s",
            met=None if max_s is None else middle <= max_s,
        )
    )


def race(
    benchmark: Any,
    title: str,
    ours: Run,
    peers: Mapping[str, Run],
    *,
    rounds: int,
    max_ratio: Mapping[str, float | None] | None = None,
    scale: Mapping[str, float] | None = None,
    warmup: int = 1,
) -> dict[str, Any]:
    """Run the baselines and us in turn: A B A B ...

    Args:
        benchmark: Fixture of pytest-benchmark; baselines run before each of our turns. Its own table includes garbage
            collection and starting a thread; the summary does not.
        title: Title in the summary.
        ours: The measured function.
        peers: Name -> baseline.
        rounds: Number of turns.
        max_ratio: Name of a baseline -> target, as an upper limit of the ratio.
        scale: Name of a baseline -> our work relative to its work, by which its seconds are multiplied.
        warmup: Number of turns that are not counted.

    Returns:
        Results of the last turn: `"ours"` and those of all baselines. Without timing there is one turn.
    """
    answers: dict[str, Any] = {}
    seconds: dict[str, list[float]] = {name: [] for name in ("ours", *peers)}
    depths = cycle(DEPTHS)

    def turn() -> tuple[tuple[int], dict[str, Any]]:
        depth = next(depths)
        for name, run in peers.items():
            answers[name] = timed(run, depth, seconds[name])
        return (depth,), {}

    def ours_at(depth: int) -> Any:
        return timed(ours, depth, seconds["ours"])

    answers["ours"] = benchmark.pedantic(ours_at, setup=turn, rounds=rounds, warmup_rounds=warmup)
    if benchmark.enabled:
        factors = {"ours": 1.0, **(scale or {})}
        counted = {name: [s * factors.get(name, 1.0) for s in all_s[warmup:]] for name, all_s in seconds.items()}
        for name in peers:
            versus(title, name, counted["ours"], counted[name], (max_ratio or {}).get(name))
        benchmark.extra_info["median_s"] = {name: statistics.median(values) for name, values in counted.items()}
        benchmark.extra_info["ours_s"] = counted["ours"]
    return answers


def timed(run: Run, depth: int, seconds: list[float]) -> Any:
    """Run a function in a new thread, `depth` frames down, and append its duration.

    Raises:
        BaseException: Raised by the function.
    """
    results: list[Any] = []
    errors: list[BaseException] = []

    def body() -> None:
        try:
            start = time.perf_counter()
            results.append(_below(depth, run))
            seconds.append(time.perf_counter() - start)
        except BaseException as error:
            errors.append(error)

    gc.collect()
    thread = threading.Thread(target=body)
    thread.start()
    thread.join()
    if errors:
        raise errors[0]
    return results[0]


def _below(depth: int, run: Run) -> Any:
    return _below(depth - 1, run) if depth else run()
