"""Our time against a peer's, taken turn by turn, so that a load on the machine falls on both.

Every call runs in a thread of its own, and every turn at another depth of the stack, the same for both sides. CPython
3.11 keeps frames in chunks of memory; a busy call that happens to straddle two of them maps and unmaps one each time
and takes up to twice as long. Called from inside pytest, that hit FlopCounterMode and not us: 89 ms instead of 50.
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
"""Additional frames below a call; 15 of them, so that as many turns meet each once."""


@dataclass(frozen=True)
class Line:
    """One line of the summary: us against one peer, or us against a target alone."""

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
"""Figures that are no times."""


def versus(title: str, peer: str, ours_s: Sequence[float], peer_s: Sequence[float], max_ratio: float | None) -> None:
    """Adds a line for two series of seconds that were measured in pairs.

    The ratio is the median of the pairs' ratios: the two halves of a pair saw the same machine.
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
    """Adds a line for seconds that have a target of their own, or none."""
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
    """Runs the peers and us by turns: A B A B ...

    Args:
        benchmark: the fixture of pytest-benchmark; the peers run before each of our turns. Its own table includes
            collecting garbage and starting a thread; the summary does not.
        title: what the lines of the summary are called.
        ours: what is measured.
        peers: name -> what it is measured against.
        rounds: how many turns.
        max_ratio: name of a peer -> the largest ratio to it that is wanted.
        scale: name of a peer -> how much more we do than it does; its seconds are multiplied by that.
        warmup: turns before those that count.

    Returns:
        What the last turn of each returned: `"ours"` and every peer's. Without timing there is one turn.
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
    """Runs something in a fresh thread, `depth` frames down, and appends how long it took.

    Raises:
        BaseException: what it raised.
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
