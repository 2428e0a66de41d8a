"""Request traces of real services: read as a stream, checked, scaled, thinned, repeated and resampled."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import chain
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .._checks import Range, number, path_of, shown, whole
from .requests import CHUNK, Requests, joined
from .rules import Between, Faster, Repeated, Resampled, Rule, Thinned, ruled, scaling
from .trace_formats import FORMATS, format_of
from .trace_rows import CHARACTERS_PER_TOKEN, Rows, Settings, TraceError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from .function_traces import FunctionLike

HOLE_S = 3600.0
"""Seconds without a request from which on a trace counts as interrupted."""

_RATE = Range(1e-9, 1e9, "requests/s")
_LONG = Range(1e-6, 1e12, "s")
_SEED = Range(0, 2**63 - 1)


@dataclass(frozen=True)
class TraceSummary:
    """Figures of a trace, from one reading.

    Attributes:
        requests: Requests that are left after all rules.
        span_s: Seconds from the first to the last of them.
        rate_per_s: Mean rate: intervals over their span; not a number without times.
        variation: Coefficient of variation of the intervals; not a number without times.
        longest_gap_s: Longest time without a request.
        prompt_tokens: Mean tokens of prompts; not a number without lengths.
        output_tokens: Mean tokens of answers; not a number without lengths.
        dropped: Rows that were left out: bad ones, and requests that failed.
    """

    requests: int
    span_s: float
    rate_per_s: float
    variation: float
    longest_gap_s: float
    prompt_tokens: float
    output_tokens: float
    dropped: int


@dataclass(frozen=True)
class _Rules:
    holes: str
    hole_s: float
    disorder: str
    bad_rows: str
    spread: bool


@dataclass(frozen=True)
class Trace:
    """A request trace, and the rules by which it is changed. Each reading begins at its start.

    Attributes:
        path: The file.
        format: Its format, a key of `FORMATS`.
        timed: Whether requests have times.
        has_lengths: Whether requests have lengths.
        has_service: Whether the trace says how long each request takes.
    """

    path: Path
    format: str
    timed: bool
    has_lengths: bool
    has_service: bool
    _settings: Settings
    _rules: _Rules
    _changes: tuple[Rule, ...] = ()

    def chunks(self) -> Iterator[Requests]:
        """Yield the requests in order, a chunk at a time.

        The first one arrives at 0 s; 0 s is the start of the first bin of bins, and the start of the recording of
        recorded requests.

        Raises:
            TraceError: A line is not what its format says; the message has the line and the value.
        """
        return self._requests(_Dropped())

    def _requests(self, dropped: _Dropped) -> Iterator[Requests]:
        return ruled(_Checked(self, dropped).requests(), self._changes)

    def summary(self) -> TraceSummary:
        """Read the trace once and return its figures."""
        import numpy as np

        count, first, last, squares, longest, prompts, outputs = 0, np.nan, np.nan, 0.0, 0.0, 0.0, 0.0
        dropped = _Dropped()
        for chunk in self._requests(dropped):
            if not len(chunk):  # all of its rows are dropped
                continue
            times = chunk.arrival_s if count == 0 else np.concatenate([[last], chunk.arrival_s])
            gaps = np.diff(times)
            squares += float(gaps @ gaps)
            longest = max(longest, float(gaps.max(initial=0.0)))
            first = float(times[0]) if count == 0 else first
            last = float(times[-1])
            count += len(chunk)
            prompts += float(chunk.prompt_tokens.sum())
            outputs += float(chunk.output_tokens.sum())
        span, several = last - first, count > 1
        mean = span / (count - 1) if several else np.nan
        known = self.timed and several and span > 0
        return TraceSummary(
            requests=count,
            span_s=span if self.timed and count else 0.0,
            rate_per_s=1 / mean if known else float("nan"),
            variation=float(np.sqrt(max(0.0, squares / (count - 1) - mean**2)) / mean) if known else float("nan"),
            longest_gap_s=longest if self.timed else 0.0,
            prompt_tokens=prompts / count if count and self.has_lengths else float("nan"),
            output_tokens=outputs / count if count and self.has_lengths else float("nan"),
            dropped=dropped.rows,
        )

    # ---- rules ----

    def faster(self, factor: float) -> Trace:
        """Return the trace with all times divided by a factor: the same bursts, at a higher rate."""
        self._check_timed("faster")
        return self._with(Faster(factor))

    def at_rate(self, rate_per_s: float) -> Trace:
        """Return the trace with times scaled to a mean rate; reads the trace once."""
        wanted = number(rate_per_s, "rate_per_s", _RATE, TraceError)
        self._check_timed("at_rate")
        now = self.summary().rate_per_s
        if not now > 0:
            raise TraceError(f"{self.path.name} has no rate: its requests have one time; expected several times")
        return self.faster(wanted / now)

    def thinned(self, share: float, *, seed: int = 0) -> Trace:
        """Return the trace in which each request stays with a probability, whatever happens to the others."""
        return self._with(Thinned(share, seed))

    def scaled(self, factor: float, *, jitter_s: float = 0.0, seed: int = 0) -> Trace:
        """Return so many times the requests in the same time.

        Requests of bins are drawn from so many times their counts or rates. Others are thinned by a factor below 1:
        each stays with this probability. Above 1, each is repeated and, if the factor is not whole, thinned then.

        Args:
            factor: Requests / requests before.
            jitter_s: Copies but the first arrive up to so much later, uniformly; without effect on bins.
            seed: Of the requests that stay, and of the jitter; without effect on bins.
        """
        rules = scaling(factor, jitter_s, seed)
        if FORMATS[self.format].binned and not self._changes:
            return replace(self, _settings=self._settings._replace(scale=self._settings.scale * factor))
        return replace(self, _changes=(*self._changes, *rules))

    def between(self, start_s: float, end_s: float) -> Trace:
        """Return the requests from one time to another, in seconds from the start; times begin at `start_s`."""
        self._check_timed("between")
        return self._with(Between(start_s, end_s))

    def repeated(self, copies: int, *, jitter_s: float = 0.0, seed: int = 0) -> Trace:
        """Return the trace with several copies of each request.

        Args:
            copies: Requests for each request, at its time: the rate is as many times higher, and so are bursts.
            jitter_s: Copies but the first arrive up to so much later, uniformly. If it is larger than the intervals of
                the trace, copies are like independent users.
            seed: Of these times.
        """
        return self._with(Repeated(copies, jitter_s, seed))

    def resampled(self, requests: int, *, block_s: float = 60.0, seed: int = 0) -> Trace:
        """Return requests of blocks of the trace that are drawn with replacement, one after another.

        What happens within a block, bursts and their lengths, stays together (a block bootstrap). Conversations and
        prefixes that span blocks are cut. The trace is held in memory: some 20 bytes a request, and its hashes.

        Args:
            requests: Number of requests; the trace may have fewer.
            block_s: Seconds of a block.
            seed: Of the choice of blocks.
        """
        self._check_timed("resampled")
        return self._with(Resampled(requests, block_s, seed))

    def _with(self, rule: Rule) -> Trace:
        return replace(self, _changes=(*self._changes, rule))

    def _check_timed(self, rule: str) -> None:
        if not self.timed:
            raise TraceError(f"{self.path.name} has no times, and {rule} changes them; pass rate_per_s to Workload")


class _Dropped:
    """Counts rows that are left out."""

    def __init__(self) -> None:
        self.rows = 0


def read_trace(
    path: str | PathLike[str],
    format: str | None = None,
    *,
    times: bool = True,
    holes: str | None = None,
    hole_s: float = HOLE_S,
    disorder: str = "error",
    bad_rows: str = "error",
    spread: bool | None = None,
    tokens: Callable[[str], int] | None = None,
    turns: str = "first",
    function: FunctionLike | None = None,
    seed: int = 0,
) -> Trace:
    """Open a request trace. Rows are read when `chunks` asks for them, so files may be larger than memory.

    Args:
        path: The file: CSV of Azure's language models (2023, 2024, or requests a minute by bins), of Azure Functions
            (invocations a minute) or of BurstGPT; a table of bins with the columns `start_s` or `start_utc`, and
            `requests`, `requests_per_s`, `requests_per_min` or `requests_per_h`; recorded requests, CSV or Parquet with
            the column `arrival_s`, and `prompt_tokens` and `output_tokens`, or `service_s`; JSON lines of Mooncake, a
            JSON array like ShareGPT, or a result or prompts of vLLM's benchmark.
        format: One of `FORMATS`; by default found from the first line.
        times: Whether to use the times of the trace; without them, arrivals follow `Workload`.
        holes: What `hole_s` without a request are: `"error"`, `"keep"` (a quiet time), or `"close"`, which shortens
            them to `hole_s`. By default an error, but of bins and of recorded requests a
            quiet time, because these say so.
        hole_s: Seconds from which on an interval is a hole.
        disorder: Treatment of a time that falls from row to row: `"error"`, or `"sort"`, which puts rows in order that
            are at most 65,536 rows late.
        bad_rows: Treatment of a row with an invalid value: `"error"`, or `"drop"`. Rows of BurstGPT without an answer
            have failed, and are always left out.
        spread: Whether requests with one time are spread evenly until the next time, because times are coarse; by
            default in traces of Mooncake, whose times are 3 s apart. Requests of bins are spread evenly over their bin,
            and by default at random: as Poisson arrivals.
        tokens: Returns the tokens of a text, for traces with texts; by default 4 characters are a token.
        turns: Of conversations, `"first"` makes a request of the first answer, and `"all"` of each.
        function: Of Azure Functions: the hash of a function, at least 8 of its first characters, or its row from 1;
            by default all functions.
        seed: Of arrivals of a trace that has rates or counts alone, and of durations of Azure Functions.

    Raises:
        TraceError: The format is unknown, or an argument is.
        MissingFileError: There is no such file.

    Examples:
        >>> from pathlib import Path
        >>> requests = "2023-11-16 18:15:46,374,44", "2023-11-16 18:15:50,396,109"
        >>> _ = Path("trace.csv").write_text("\\n".join(["TIMESTAMP,ContextTokens,GeneratedTokens", *requests]))
        >>> ic.read_trace("trace.csv").summary().prompt_tokens
        385.0
    """
    file = path_of(path)
    name = format_of(file) if format is None else format
    if name not in FORMATS:
        raise TraceError(f"format is {shown(format)}; expected one of {', '.join(FORMATS)}")
    row = FORMATS[name]
    if holes is None:
        holes = "keep" if row.binned or row.whole else "error"
    if function is not None and name != "azure-functions":
        raise TraceError(f"function is {shown(function)} and the format is {name}; leave it out")
    for value, argument, known in (
        (holes, "holes", ("error", "keep", "close")),
        (disorder, "disorder", ("error", "sort")),
        (bad_rows, "bad_rows", ("error", "drop")),
        (turns, "turns", ("first", "all")),
    ):
        if value not in known:
            raise TraceError(f"{argument} is {shown(value)}; expected one of {', '.join(known)}")
    settings = Settings(
        tokens or _characters,
        all_turns=turns == "all",
        seed=whole(seed, "seed", _SEED, TraceError),
        evenly=bool(spread),
        function=function,
    )
    timed = row.timed and times
    if timed and name == "vllm-bench":  # it has times only since some version
        first = next(row.read(file, settings), None)
        timed = first is not None and first.times_s is not None
    rules = _Rules(
        holes=holes,
        hole_s=number(hole_s, "hole_s", _LONG, TraceError),
        disorder=disorder,
        bad_rows=bad_rows,
        spread=not row.binned and (row.spreads if spread is None else bool(spread)),
    )
    return Trace(file, name, timed, row.has_lengths(file), row.serves(file), settings, rules)


def _characters(text: str) -> int:
    return max(1, round(len(text) / CHARACTERS_PER_TOKEN))


class _Checked:
    """Rows of a file as requests, or the error that says which line is wrong."""

    def __init__(self, trace: Trace, dropped: _Dropped) -> None:
        self._trace, self._rules, self._dropped = trace, trace._rules, dropped
        self._format = FORMATS[trace.format]
        self._start_s: float | None = 0.0 if self._format.binned or self._format.whole else None
        self._last_s = 0.0
        self._closed_s = 0.0  # taken out of holes

    def requests(self) -> Iterator[Requests]:
        """Yield chunks of requests."""
        trace = self._trace
        rows = self._good(self._format.read(trace.path, trace._settings))
        if not trace.timed:
            yield from (self._requests(each, None) for each in rows)
            return
        ordered = self._sorted(rows) if self._rules.disorder == "sort" else rows
        made = (self._requests(each, self._times(each)) for each in ordered if each.lines.size)
        yield from _spread(made) if self._rules.spread else made

    def _good(self, chunks: Iterator[Rows]) -> Iterator[Rows]:
        import numpy as np

        for rows in chunks:
            kept = np.ones(rows.lines.size, dtype=bool)
            if rows.times_s is not None and self._trace.timed:
                for place in np.flatnonzero(~(np.abs(rows.times_s) <= _LONG.high)).tolist():
                    reason = f"its time is {rows.times_s[place]}; expected a finite number of at most {_LONG.high:g} s"
                    rows.bad.setdefault(place, reason)
            if rows.prompts is not None and rows.outputs is not None:
                if self._format.drops_empty:
                    kept &= rows.outputs != 0
                for name, lengths in (("the prompt", rows.prompts), ("the answer", rows.outputs)):
                    for place in np.flatnonzero(kept & (lengths == 0)).tolist():
                        rows.bad.setdefault(place, f"{name} has 0 tokens; expected at least 1")
            for place in sorted(rows.bad):
                if self._rules.bad_rows == "error" and kept[place]:
                    self._refuse(int(rows.lines[place]), rows.bad[place] + "; bad_rows='drop' leaves such rows out")
                kept[place] = False
            self._dropped.rows += int(kept.size - kept.sum())
            yield rows if kept.all() else _chosen(rows, np.flatnonzero(kept))

    def _refuse(self, line: int, reason: str) -> None:
        what = "item" if self._trace.format in ("sharegpt", "vllm-bench") else "line"
        raise TraceError(f"{what} {line} of {self._trace.path.name}: {reason}")

    def _sorted(self, chunks: Iterator[Rows]) -> Iterator[Rows]:
        """Sort rows, each of which is at most a chunk late."""
        import numpy as np

        waiting: Rows | None = None
        for rows in chunks:
            both = rows if waiting is None else _both(waiting, rows)
            both = _chosen(both, np.argsort(_times_of(both), kind="stable"))
            ready = max(0, both.lines.size - CHUNK)
            yield _chosen(both, np.arange(ready))
            waiting = _chosen(both, np.arange(ready, both.lines.size))
        if waiting is not None:
            yield waiting

    def _times(self, rows: Rows) -> NDArray[np.float64]:
        """Return seconds from the first request, without holes that are closed."""
        import numpy as np

        times = _times_of(rows)
        if self._start_s is None:
            self._start_s = self._last_s = float(times[0])
        gaps = np.diff(np.concatenate([[self._last_s], times]))
        early = np.flatnonzero(gaps < 0)
        if early.size:
            place = int(early[0])
            before = (
                "sort puts rows in order that are up to 65,536 late"
                if self._rules.disorder == "sort"
                else ("disorder='sort' puts rows in order")
            )
            self._refuse(
                int(rows.lines[place]), f"its time is {-gaps[place]:.6g} s before that of the row before; {before}"
            )
        long = np.flatnonzero(gaps > self._rules.hole_s)
        if long.size and self._rules.holes == "error":
            place = int(long[0])
            self._refuse(
                int(rows.lines[place]),
                f"no request came in the {gaps[place]:.6g} s before it, and {self._rules.hole_s:.6g} s are a hole; "
                "holes='keep' takes it for a quiet time, and holes='close' shortens it",
            )
        self._last_s = float(times[-1])
        found: NDArray[np.float64] = times - self._start_s - self._closed_s
        if long.size and self._rules.holes == "close":
            cut = np.cumsum(np.maximum(0.0, gaps - self._rules.hole_s))
            found = found - cut
            self._closed_s += float(cut[-1])
        return found

    def _requests(self, rows: Rows, times: NDArray[np.float64] | None) -> Requests:
        import numpy as np

        count = rows.lines.size
        nothing = np.zeros(count, dtype=np.int32)
        found = Requests(
            np.zeros(count) if times is None else times,
            nothing if rows.prompts is None else rows.prompts.astype(np.int32),
            nothing if rows.outputs is None else rows.outputs.astype(np.int32),
        )
        if rows.conversations is not None:
            found = replace(found, conversation=rows.conversations[0], turn=rows.conversations[1].astype(np.int32))
        if rows.functions is not None or rows.service_s is not None:
            found = replace(found, function=rows.functions, service_s=rows.service_s)
        if rows.hashes is None:
            return found
        offsets = np.concatenate([[0], np.cumsum([len(each) for each in rows.hashes], dtype=np.int64)])
        flat = np.fromiter(chain.from_iterable(rows.hashes), dtype=np.int64, count=int(offsets[-1]))
        return replace(found, hash_offsets=offsets, hashes=flat, hash_tokens=self._format.hash_tokens)


def _times_of(rows: Rows) -> NDArray[np.float64]:
    if rows.times_s is None:
        raise TraceError("a row of a trace with times has none; pass times=False")
    return rows.times_s


def _chosen(rows: Rows, places: NDArray[np.intp]) -> Rows:
    return Rows(
        rows.lines[places],
        None if rows.times_s is None else rows.times_s[places],
        None if rows.prompts is None else rows.prompts[places],
        None if rows.outputs is None else rows.outputs[places],
        None if rows.hashes is None else [rows.hashes[place] for place in places.tolist()],
        None if rows.conversations is None else rows.conversations[:, places],
        None if rows.functions is None else rows.functions[places],
        None if rows.service_s is None else rows.service_s[places],
    )


def _both(one: Rows, other: Rows) -> Rows:
    import numpy as np

    def together(name: str) -> Any:
        parts = getattr(one, name), getattr(other, name)
        return None if parts[0] is None else np.concatenate(parts, axis=-1)

    hashes = None if one.hashes is None or other.hashes is None else [*one.hashes, *other.hashes]
    lines, times_s, prompts, outputs = (together(name) for name in ("lines", "times_s", "prompts", "outputs"))
    others = (together(name) for name in ("conversations", "functions", "service_s"))
    return Rows(lines, times_s, prompts, outputs, hashes, *others)


def _spread(chunks: Iterator[Requests]) -> Iterator[Requests]:
    """Spread requests with one time evenly until the next time; requests of the last time keep it."""
    import numpy as np

    waiting: Requests | None = None
    for chunk in chunks:
        both = chunk if waiting is None else joined([waiting, chunk])
        last = int(np.searchsorted(both.arrival_s, both.arrival_s[-1]))
        if last == 0:
            waiting = both
            continue
        yield _evenly(both.part(slice(0, last)), float(both.arrival_s[-1]))
        waiting = both.part(slice(last, len(both)))
    if waiting is not None:
        yield waiting


def _evenly(chunk: Requests, until_s: float) -> Requests:
    import numpy as np

    times, first, counts = np.unique(chunk.arrival_s, return_index=True, return_counts=True)
    gaps = np.diff(np.append(times, until_s))
    place = np.arange(len(chunk)) - np.repeat(first, counts)
    return replace(chunk, arrival_s=chunk.arrival_s + np.repeat(gaps / counts, counts) * place)
