"""Rules that change a stream of requests: scaled in time, thinned, cut, repeated, resampled.

A rule is a value that is called with chunks of requests and yields chunks. Its results do not depend on where the
chunks end, except for copies with a jitter.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import ceil
from typing import Protocol

from .._checks import Range, number, whole
from .requests import CHUNK, Requests, WorkloadError, joined

FACTOR = Range(1e-9, 1e9)
_COPIES = Range(1, 1_000_000)
_SCALE = Range(1e-9, 1_000_000.0)
_SHARE = Range(1e-9, 1.0)
_SECONDS = Range(0.0, 1e12, "s")
_LONG = Range(1e-6, 1e12, "s")
_REQUESTS = Range(1, 10**12, "requests")
_SEED = Range(0, 2**63 - 1)
_THIN, _JITTER, _BLOCKS = 301, 302, 303  # streams of random numbers
_MOST_BLOCKS = 10_000_000


class Rule(Protocol):
    """A change of a stream of requests."""

    def __call__(self, chunks: Iterator[Requests]) -> Iterator[Requests]:
        """Yield the changed requests of chunks."""
        ...


@dataclass(frozen=True)
class Faster:
    """All times divided by a factor: the same bursts, at a higher rate."""

    factor: float

    def __post_init__(self) -> None:
        number(self.factor, "factor", FACTOR, WorkloadError)

    def __call__(self, chunks: Iterator[Requests]) -> Iterator[Requests]:
        """Yield the changed requests of chunks."""
        for chunk in chunks:
            yield replace(chunk, arrival_s=chunk.arrival_s / self.factor)


@dataclass(frozen=True)
class Thinned:
    """Each request stays with a probability, whatever happens to the others."""

    share: float
    seed: int = 0

    def __post_init__(self) -> None:
        number(self.share, "share", _SHARE, WorkloadError)
        whole(self.seed, "seed", _SEED, WorkloadError)

    def __call__(self, chunks: Iterator[Requests]) -> Iterator[Requests]:
        """Yield the changed requests of chunks."""
        import numpy as np

        rng = np.random.default_rng(np.random.SeedSequence([self.seed, _THIN]))
        for chunk in chunks:
            kept = np.flatnonzero(rng.random(len(chunk)) < self.share)
            if kept.size:
                yield chunk.part(kept)


@dataclass(frozen=True)
class Between:
    """The requests from one time on and before another one; times begin at the first of them."""

    start_s: float
    end_s: float

    def __post_init__(self) -> None:
        number(self.start_s, "start_s", _SECONDS, WorkloadError)
        number(self.end_s, "end_s", _SECONDS, WorkloadError)
        if not self.start_s < self.end_s:
            raise WorkloadError(f"start_s is {self.start_s:.6g} and end_s is {self.end_s:.6g}; pass a later end")

    def __call__(self, chunks: Iterator[Requests]) -> Iterator[Requests]:
        """Yield the changed requests of chunks."""
        import numpy as np

        for chunk in chunks:
            low, high = (int(each) for each in np.searchsorted(chunk.arrival_s, [self.start_s, self.end_s]))
            if high > low:
                part = chunk.part(slice(low, high))
                yield replace(part, arrival_s=part.arrival_s - self.start_s)
            if high < len(chunk):
                return


@dataclass(frozen=True)
class Repeated:
    """Several copies of each request, of which all but the first arrive up to `jitter_s` later."""

    copies: int
    jitter_s: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        whole(self.copies, "copies", _COPIES, WorkloadError)
        number(self.jitter_s, "jitter_s", _SECONDS, WorkloadError)
        whole(self.seed, "seed", _SEED, WorkloadError)

    def __call__(self, chunks: Iterator[Requests]) -> Iterator[Requests]:
        """Yield the changed requests of chunks."""
        import numpy as np

        rng = np.random.default_rng(np.random.SeedSequence([self.seed, _JITTER]))
        waiting: Requests | None = None
        for chunk in chunks:
            # A few requests at a time: copies are many.
            for first in range(0, len(chunk), max(1, CHUNK // self.copies)):
                part = chunk.part(slice(first, first + max(1, CHUNK // self.copies)))
                made = part.part(np.repeat(np.arange(len(part)), self.copies))
                if not self.jitter_s:
                    yield made
                    continue
                later = rng.random(len(made)) * self.jitter_s
                later[:: self.copies] = 0.0
                made = replace(made, arrival_s=made.arrival_s + later)
                both = made if waiting is None else joined([waiting, made])
                both = both.part(np.argsort(both.arrival_s, kind="stable"))
                ready = int(np.searchsorted(both.arrival_s, part.arrival_s[-1], side="right"))
                yield both.part(slice(0, ready))
                waiting = both.part(slice(ready, len(both)))
        if waiting is not None and len(waiting):
            yield waiting


@dataclass(frozen=True)
class Resampled:
    """Blocks of the requests in time, drawn with replacement, one after another."""

    requests: int
    block_s: float = 60.0
    seed: int = 0

    def __post_init__(self) -> None:
        whole(self.requests, "requests", _REQUESTS, WorkloadError)
        number(self.block_s, "block_s", _LONG, WorkloadError)
        whole(self.seed, "seed", _SEED, WorkloadError)

    def __call__(self, chunks: Iterator[Requests]) -> Iterator[Requests]:
        """Yield the changed requests of chunks."""
        import numpy as np

        known = joined(list(chunks))
        if not len(known):
            return
        blocks = max(1, int(np.ceil((known.arrival_s[-1] + 1e-9) / self.block_s)))
        if blocks > _MOST_BLOCKS:
            raise WorkloadError(
                f"block_s is {self.block_s:g}, and the trace has {blocks:,} such blocks; expected at most "
                f"{_MOST_BLOCKS:,}: pass longer ones, or take a part of the trace with between"
            )
        edges = np.searchsorted(known.arrival_s, np.arange(blocks + 1) * self.block_s)
        edges[-1] = len(known)
        filled = np.flatnonzero(np.diff(edges))
        rng = np.random.default_rng(np.random.SeedSequence([self.seed, _BLOCKS]))
        left, at = self.requests, 0
        while left > 0:
            parts, held = [], 0
            while held < min(left, CHUNK):
                block = int(filled[rng.integers(filled.size)])
                # As many empty blocks are drawn before a filled one.
                at += int(rng.geometric(filled.size / blocks)) - 1 if filled.size < blocks else 0
                part = known.part(slice(int(edges[block]), int(edges[block + 1])))
                parts.append(replace(part, arrival_s=part.arrival_s + (at - block) * self.block_s))
                held += len(part)
                at += 1
            made = joined(parts).part(slice(0, left))
            left -= len(made)
            yield made


def scaling(factor: float, jitter_s: float, seed: int) -> tuple[Rule, ...]:
    """Return the rules that make so many times the requests in the same time.

    Up to 1 requests are thinned; above, each is repeated, the next whole number of times, and then thinned.

    Raises:
        WorkloadError: The factor is out of range.
    """
    wanted = number(factor, "factor", _SCALE, WorkloadError)
    copies = ceil(wanted)
    rules: list[Rule] = [] if copies == 1 else [Repeated(copies, jitter_s, seed)]
    if wanted != copies:
        rules.append(Thinned(wanted / copies, seed))
    return tuple(rules)


def ruled(chunks: Iterator[Requests], rules: tuple[Rule, ...]) -> Iterator[Requests]:
    """Return the chunks that rules make of chunks, one rule after another."""
    for rule in rules:
        chunks = rule(chunks)
    return chunks
