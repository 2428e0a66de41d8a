"""Traces of numbers of requests: bins of time with a count or a rate, and the arrivals that are drawn from them.

Given the number of arrivals of a Poisson process in a bin of constant rate, their times are independent and uniform in
it (order statistics property), so that arrivals are drawn as sorted uniform numbers, chunk by chunk.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from .._checks import excerpt
from .requests import CHUNK
from .trace_rows import Rows, Settings, TraceError, csv_chunks, csv_rows, header_of, numbers_of, stamps_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

WEEKLY = ("time_utc", "requests_per_min_mid_rescaled")
"""Columns of Azure's weekly rates: the middle of a bin, and requests a minute."""

BIN_STARTS = ("start_s", "start_utc")
"""Columns of a table of bins that have their starts: in seconds, or as dates."""

COUNTS = "requests"
RATES = {"requests_per_s": 1.0, "requests_per_min": 60.0, "requests_per_h": 3600.0}
"""Columns of a table of bins that have rates -> seconds of their unit."""

_STREAM = 201
_MOST = 1e9  # requests of a bin, or its rate
_MOST_SCALED = 1e10  # requests of a bin in all


class Bins(NamedTuple):
    """Cells of time, in the order of their starts; cells of one start belong to different functions.

    Attributes:
        starts_s: Start of each cell.
        widths_s: Its length, one for all cells of a start. No cell reaches beyond the next later start.
        counts: Requests in it, int64.
        lines: Its line of the file.
        functions: Number of its function; None if there is one for all.
    """

    starts_s: NDArray[np.float64]
    widths_s: NDArray[np.float64]
    counts: NDArray[np.int64]
    lines: NDArray[np.int64]
    functions: NDArray[np.int64] | None = None


def random_numbers(settings: Settings) -> np.random.Generator:
    """Return the random numbers of arrivals in bins."""
    import numpy as np

    return np.random.default_rng(np.random.SeedSequence([settings.seed, _STREAM]))


def expanded(bins: Bins, rng: np.random.Generator, *, evenly: bool) -> Iterator[Rows]:
    """Yield the requests of bins in the order of their arrival, in chunks of at most 65,536."""
    import numpy as np

    begun = np.concatenate([[0], np.cumsum(bins.counts)])
    # Cells of one start stay together: their requests are in one order.
    places = np.flatnonzero(np.diff(bins.starts_s, prepend=-np.inf, append=np.inf))
    first = 0
    while first < places.size - 1:
        last = int(np.searchsorted(begun[places], begun[places[first]] + CHUNK, side="right")) - 1
        last = max(last, first + 1)
        part = slice(int(places[first]), int(places[last]))
        first = last
        count = int(begun[part.stop] - begun[part.start])
        if count > CHUNK and not (evenly and bins.functions is not None):
            yield from expanded(_divided(_part(bins, part), rng, evenly=evenly), rng, evenly=evenly)
        elif count:
            yield from _drawn(_part(bins, part), rng, evenly=evenly)


def _part(bins: Bins, part: slice) -> Bins:
    functions = None if bins.functions is None else bins.functions[part]
    return Bins(bins.starts_s[part], bins.widths_s[part], bins.counts[part], bins.lines[part], functions)


def _drawn(bins: Bins, rng: np.random.Generator, *, evenly: bool) -> Iterator[Rows]:
    """Yield the requests of some bins."""
    import numpy as np

    total = int(bins.counts.sum())
    lines = np.repeat(bins.lines, bins.counts)
    if bins.functions is None and not evenly:
        yield Rows(lines, _ordered(bins, rng), None, None)
        return
    if evenly:
        begun = np.repeat(np.cumsum(bins.counts) - bins.counts, bins.counts)
        share = (np.arange(total) - begun + 0.5) / np.repeat(bins.counts, bins.counts)
    else:
        share = rng.random(total)
    times = np.repeat(bins.starts_s, bins.counts)
    times += share * np.repeat(bins.widths_s, bins.counts)
    if bins.functions is None:
        yield Rows(lines, times, None, None)
        return
    order = np.argsort(times, kind="stable")
    functions = np.repeat(bins.functions, bins.counts)
    for begin in range(0, total, CHUNK):  # evenly spread ones of one start may be more
        kept = order[begin : begin + CHUNK]
        yield Rows(lines[kept], times[kept], None, None, functions=functions[kept])


def _ordered(bins: Bins, rng: np.random.Generator) -> NDArray[np.float64]:
    """Return uniform times in bins that follow one another, in order.

    Sorted uniform numbers are sums of exponential ones over the sum of one more of them (Devroye, Non-Uniform Random
    Variate Generation, 1986, section V.2.1), which is faster than to sort.
    """
    import numpy as np

    gaps = bins.counts + 1
    ends = np.cumsum(gaps) - 1
    sums = rng.standard_exponential(int(gaps.sum()))
    np.cumsum(sums, out=sums)
    until = sums[ends]
    since = np.concatenate([[0.0], until[:-1]])
    sums -= np.repeat(since, gaps)
    sums *= np.repeat(bins.widths_s / (until - since), gaps)
    sums += np.repeat(bins.starts_s, gaps)
    # A product may be rounded beyond the end of its bin.
    np.minimum(sums, np.repeat(bins.starts_s + bins.widths_s, gaps), out=sums)
    return np.delete(sums, ends)


def _divided(cells: Bins, rng: np.random.Generator, *, evenly: bool) -> Bins:
    """Return parts of cells of one start, each with less requests than a chunk has."""
    import numpy as np

    total = int(cells.counts.sum())
    number = 2 * ceil(total / CHUNK)
    if evenly:  # equal distances go on from part to part
        whole = np.arange(number + 1) * total // number
        counts, edges = np.diff(whole), whole / total
    else:  # numbers of uniform times in equal parts are multinomial
        counts = rng.multinomial(cells.counts, np.full(number, 1 / number)).T.reshape(-1)
        edges = np.arange(number + 1) / number
    start, width, several = cells.starts_s[0], cells.widths_s[0], cells.counts.size
    starts, widths = start + edges[:-1] * width, np.diff(edges) * width
    functions = None if cells.functions is None else np.tile(cells.functions, number)
    return Bins(np.repeat(starts, several), np.repeat(widths, several), counts, np.tile(cells.lines, number), functions)


def scaled(bins: Bins, scale: float, rng: np.random.Generator) -> Bins:
    """Return bins with so many times the requests: whole copies of each, and one more with a probability.

    Raises:
        TraceError: A bin has more than 10,000,000,000 requests then.
    """
    import numpy as np

    if scale == 1:
        return bins
    _check_counts(bins.counts * scale, bins.lines)
    copies = int(np.floor(scale))
    more = rng.binomial(bins.counts, scale - copies)
    return bins._replace(counts=(bins.counts * copies + more).astype(np.int64))


def _check_counts(expected: NDArray[np.floating[Any]], lines: NDArray[np.int64]) -> None:
    number = int(expected.argmax()) if expected.size else 0
    if expected.size and expected[number] > _MOST_SCALED:
        raise TraceError(
            f"line {int(lines[number])} has a bin of {expected[number]:.4g} requests; expected at most "
            f"{_MOST_SCALED:.0e}; pass a smaller scale, or correct the rate or the times"
        )


def _counts(expected: NDArray[np.float64], rng: np.random.Generator, *, evenly: bool) -> NDArray[np.int64]:
    """Return numbers of requests with these means: Poisson, or the nearest whole numbers of their sum so far."""
    import numpy as np

    if not evenly:
        return rng.poisson(expected).astype(np.int64)
    found: NDArray[np.int64] = np.diff(np.rint(np.concatenate([[0.0], np.cumsum(expected)]))).astype(np.int64)
    return found


# ---- files -----------------------------------------------------------------------------------------------------------


def _columns(
    path: Path, times: str, values: str, *, whole: bool
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]:
    """Return times in seconds, values and lines of a table of bins.

    Raises:
        TraceError: A value is none, or the file has less than two bins, or they do not ascend.
    """
    import numpy as np

    stamps, numbers, lines = [np.zeros(0)], [np.zeros(0)], [np.zeros(0, dtype=np.int64)]
    for at, (time_texts, value_texts) in csv_chunks(path, (times, values)):
        bad: dict[int, str] = {}
        found = numbers_of if times == BIN_STARTS[0] else stamps_of
        stamps.append(found(time_texts, times, bad))
        amounts = numbers_of(value_texts, values, bad)
        wrong = ~((amounts >= 0) & (amounts <= _MOST)) | (whole & (amounts != np.floor(amounts)))
        for number in np.flatnonzero(wrong).tolist():
            kind = "a whole number, 0 or more" if whole else f"a number from 0 to {_MOST:g}"
            bad.setdefault(number, f"{values} is {amounts[number]:.6g}; expected {kind}")
        for number in np.flatnonzero(~np.isfinite(stamps[-1])).tolist():
            bad.setdefault(number, f"{times} is {stamps[-1][number]}; expected a time")
        if bad:
            number = min(bad)
            raise TraceError(f"line {int(at[number])} of {path.name}: {bad[number]}")
        numbers.append(amounts)
        lines.append(at)
    stamp, line = np.concatenate(stamps), np.concatenate(lines)
    if stamp.size < 2:  # noqa: PLR2004 - a width needs two times
        raise TraceError(f"{path.name} has {stamp.size} bins; expected at least 2")
    steps = np.diff(stamp)
    if steps.min() <= 0:
        number = int(np.argmin(steps)) + 1
        raise TraceError(f"line {int(line[number])} of {path.name} is not after the line before it; sort the bins")
    return stamp - stamp[0], np.concatenate(numbers), line


def read_weekly(path: Path, settings: Settings) -> Iterator[Rows]:
    """Azure's weekly rates: requests a minute at the middle of bins."""
    import numpy as np

    middle, values, lines = _columns(path, *WEEKLY, whole=False)
    steps = np.diff(middle)
    edges = np.concatenate([[-steps[0] / 2], middle[:-1] + steps / 2, [middle[-1] + steps[-1] / 2]])
    yield from _of_rates(edges - edges[0], values / RATES["requests_per_min"], lines, settings)


def read_bins(path: Path, settings: Settings) -> Iterator[Rows]:
    """A table of bins: their starts, and the requests in each or their rate; the last is as long as the one before."""
    import numpy as np

    with csv_rows(path) as reader:
        header = [name.strip() for name in header_of(reader)]
    times = [name for name in BIN_STARTS if name in header]
    values = [name for name in (COUNTS, *RATES) if name in header]
    if len(times) != 1 or len(values) != 1:
        raise TraceError(
            f"line 1 of {path.name} has the columns {excerpt(', '.join(header)) or 'none'}; expected one of "
            f"{', '.join(BIN_STARTS)}, and one of {', '.join((COUNTS, *RATES))}"
        )
    starts, amounts, lines = _columns(path, times[0], values[0], whole=values[0] == COUNTS)
    edges = np.append(starts, 2 * starts[-1] - starts[-2])
    if values[0] == COUNTS:
        rng = random_numbers(settings)
        bins = scaled(Bins(starts, np.diff(edges), amounts.astype(np.int64), lines), settings.scale, rng)
        yield from expanded(bins, rng, evenly=settings.evenly)
    else:
        yield from _of_rates(edges, amounts / RATES[values[0]], lines, settings)


def _of_rates(
    edges: NDArray[np.float64], per_s: NDArray[np.float64], lines: NDArray[np.int64], settings: Settings
) -> Iterator[Rows]:
    import numpy as np

    widths, rng = np.diff(edges), random_numbers(settings)
    expected = per_s * widths * settings.scale
    _check_counts(expected, lines)
    counts = _counts(expected, rng, evenly=settings.evenly)
    yield from expanded(Bins(edges[:-1], widths, counts, lines), rng, evenly=settings.evenly)
