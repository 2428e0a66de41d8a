"""Our time against a peer's, taken turn by turn, so that a load on the machine falls on both."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Run = Callable[[], Any]


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
            target="" if max_ratio is None else f"<= {max_ratio:.2f}",
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
    warmup: int = 1,
) -> dict[str, Any]:
    """Runs the peers and us by turns: A B A B ...

    Args:
        benchmark: the fixture of pytest-benchmark, which times us; the peers run before each of our turns.
        title: what the lines of the summary are called.
        ours: what is measured.
        peers: name -> what it is measured against.
        rounds: how many turns.
        max_ratio: name of a peer -> the largest ratio to it that is wanted.
        warmup: turns before those that count.

    Returns:
        What the last turn of each returned: `"ours"` and every peer's. Without timing there is one turn.
    """
    answers: dict[str, Any] = {}
    seconds: dict[str, list[float]] = {name: [] for name in peers}

    def peers_turn() -> None:
        for name, run in peers.items():
            gc.collect()
            start = time.perf_counter()
            answers[name] = run()
            seconds[name].append(time.perf_counter() - start)
        gc.collect()

    answers["ours"] = benchmark.pedantic(ours, setup=peers_turn, rounds=rounds, warmup_rounds=warmup)
    if benchmark.enabled:
        ours_s = list(benchmark.stats.stats.data)
        for name, values in seconds.items():
            versus(title, name, ours_s, values[warmup:], (max_ratio or {}).get(name))
        benchmark.extra_info["peers_median_s"] = {
            name: statistics.median(values[warmup:]) for name, values in seconds.items()
        }
    return answers
