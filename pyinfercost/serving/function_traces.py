"""Azure Functions 2019: invocations of functions a minute, with percentiles of their durations and of their memory.

Shahrad et al., Serverless in the Wild (USENIX ATC 2020). Three tables belong together: one row for each function with
its invocations in each minute of a day, one with the percentiles of its durations in milliseconds, and one for each
application with the percentiles of its allocated memory in MB.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from .._checks import is_file, is_whole, path_of, shown
from .binned_traces import Bins, expanded, random_numbers, scaled
from .trace_rows import Rows, Settings, TraceError, csv_rows, places_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MINUTES = "HashFunction"
"""Columns in the first line of a table of invocations."""

DURATION_SHARES = (0.0, 0.01, 0.25, 0.5, 0.75, 0.99, 1.0)
"""Shares of invocations of the percentiles of durations."""

MEMORY_SHARES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99, 1.0)
"""Shares of samples of the percentiles of memory."""

_FUNCTION, _OWNER, _APP = "HashFunction", "HashOwner", "HashApp"
_DURATIONS = tuple(f"percentile_Average_{100 * share:.0f}" for share in DURATION_SHARES)
_MEMORY = tuple(f"AverageAllocatedMb_pct{100 * share:.0f}" for share in MEMORY_SHARES)
_BESIDE = {
    "durations": (("invocations_per_function_md", "function_durations_percentiles"), ("_inv", "_run")),
    "memory": (("invocations_per_function_md", "app_memory_percentiles"), ("_inv", "_mem")),
}
"""Table -> what stands in the names of files of invocations, and of files of the table."""

_MINUTE_S, _MILLISECOND = 60.0, 1e-3
_MOST_PER_MINUTE = 10**9
_SHORTEST_HASH = 8  # characters by which a function may be named
_SERVICE = 202  # stream of random numbers

FunctionLike: TypeAlias = "str | int"
"""A function: its hash, the first 8 characters or more of it, or its row, from 1."""


@dataclass(frozen=True, eq=False)
class AzureFunctions:
    """Functions and their invocations of a day.

    Attributes:
        names: Hash of each function.
        apps: Hash of its owner and its application.
        lines: Its line of the table of invocations.
        counts: Invocations of each function in each minute, int64, functions x minutes.
        durations_s: Its durations at `DURATION_SHARES`, functions x 7; None without such a table. Not numbers where the
            table has no row for a function.
        memory_mb: Allocated memory of its application at `MEMORY_SHARES`, functions x 8, likewise.
    """

    names: tuple[str, ...]
    apps: tuple[str, ...]
    lines: NDArray[np.int64]
    counts: NDArray[np.int64]
    durations_s: NDArray[np.float64] | None
    memory_mb: NDArray[np.float64] | None

    def bins(self) -> Bins:
        """Return a cell for each function and minute with invocations."""
        import numpy as np

        minutes, functions = np.nonzero(self.counts.T)
        starts: NDArray[np.float64] = minutes.astype(np.float64) * _MINUTE_S
        widths = np.full(starts.size, _MINUTE_S)
        counts = self.counts[functions, minutes]
        several = functions if len(self.names) > 1 else None
        return Bins(starts, widths, counts, self.lines[functions], several)


def read_functions(path: str | PathLike[str], function: FunctionLike | None = None) -> AzureFunctions:
    """Read the tables of Azure Functions 2019.

    Tables of durations and memory are found by their names, next to the invocations: `X_run.csv` and `X_mem.csv` for
    `X_inv.csv`, or the names of the published files.

    Args:
        path: The table of invocations.
        function: Hash of a function, at least 8 of its first characters, or its row from 1; all by default.

    Raises:
        TraceError: A table has another form, or no such function.
        MissingFileError: There is no such file.

    Examples:
        >>> from pathlib import Path
        >>> head = ",".join(["HashOwner,HashApp,HashFunction,Trigger", *map(str, range(1, 1441))])
        >>> _ = Path("invocations.csv").write_text(head + "\\no,a,f,http" + ",2" * 1440)
        >>> found = ic.read_functions("invocations.csv")
        >>> found.names, int(found.counts.sum())
        (('f',), 2880)
    """
    import numpy as np

    file = path_of(path)
    names, apps, lines, counts = _invocations(file, function)
    durations, memory = durations_file(file), _beside(file, "memory")
    in_ms = None if durations is None else _percentiles(durations, (_FUNCTION,), _DURATIONS, names)
    in_mb = None if memory is None else _percentiles(memory, (_OWNER, _APP), _MEMORY, apps)
    return AzureFunctions(
        tuple(names),
        tuple(apps),
        np.asarray(lines, dtype=np.int64),
        np.asarray(counts, dtype=np.int64).reshape(len(names), -1),
        None if in_ms is None else in_ms * _MILLISECOND,
        in_mb,
    )


def _invocations(
    path: Path, function: FunctionLike | None
) -> tuple[list[str], list[str], list[int], list[NDArray[np.int64]]]:
    """Return names, applications, lines and counts of functions."""
    wanted = _wanted(function)
    names, apps, lines, counts = [], [], [], []
    with csv_rows(path) as reader:
        header = [name.strip() for name in next(reader, [])]
        own, owner, app = places_of(header, (_FUNCTION, _OWNER, _APP), path)
        places = [place for place, name in enumerate(header) if name.removesuffix("_minute").isdigit()]
        if not places or places != list(range(places[0], places[0] + len(places))):
            raise TraceError(
                f"line 1 of {path.name} has {len(places)} columns of minutes; expected 1, 2, ... or 1_minute, "
                "2_minute, ... one after another"
            )
        row_number = 0
        for row in reader:
            if not row:
                continue
            row_number += 1
            if len(row) != len(header):
                raise TraceError(f"line {reader.line_num} of {path.name} has {len(row)} values; expected {len(header)}")
            if wanted is not None and not (
                row_number == wanted if isinstance(wanted, int) else row[own].startswith(wanted)
            ):
                continue
            names.append(row[own])
            apps.append(f"{row[owner]} {row[app]}")
            lines.append(reader.line_num)
            counts.append(_minutes(row, header, places, reader.line_num, path))
    if not names:
        what = "no functions" if wanted is None else f"{row_number} functions, and none is {shown(function)}"
        raise TraceError(f"{path.name} has {what}; pass the hash of a function, or its row from 1")
    if wanted is not None and len(names) > 1:
        raise TraceError(f"{path.name} has {len(names)} functions that begin with {shown(function)}; pass more of it")
    return names, apps, lines, counts


def _wanted(function: FunctionLike | None) -> FunctionLike | None:
    """Return the row or the hash of a function."""
    if function is None:
        return None
    if is_whole(function) and int(function) >= 1:
        return int(function)
    if isinstance(function, str):
        if len(function) >= _SHORTEST_HASH:
            return function
        if function.isascii() and function.isdigit() and int(function) >= 1:
            return int(function)
    raise TraceError(
        f"function is {shown(function)}; expected a hash, at least {_SHORTEST_HASH} of its first characters, or a row "
        "from 1"
    )


def _minutes(
    row: Sequence[str], header: Sequence[str], places: Sequence[int], line: int, path: Path
) -> NDArray[np.int64]:
    """Return the counts of a row."""
    import numpy as np

    texts = row[places[0] : places[-1] + 1]
    try:
        found = np.asarray(list(map(int, texts)), dtype=np.int64)
    except (ValueError, OverflowError):
        found = np.full(len(texts), -1)
        for place, text in enumerate(texts):
            plain = text.isascii() and text.isdigit() and len(text) < len(str(2**62))
            found[place] = int(text) if plain else -1
    wrong = np.flatnonzero((found < 0) | (found > _MOST_PER_MINUTE))
    if wrong.size:
        place = int(wrong[0])
        raise TraceError(
            f"line {line} of {path.name}: {header[places[place]]} is {shown(texts[place])}; expected a whole number of "
            f"invocations, up to {_MOST_PER_MINUTE:,}"
        )
    return found


def durations_file(path: Path) -> Path | None:
    """Return the table of durations next to a table of invocations, if there is one."""
    return _beside(path, "durations")


def _beside(path: Path, table: str) -> Path | None:
    for own, other in _BESIDE[table]:
        if own in path.name:
            found = path.with_name(path.name.replace(own, other))
            return found if is_file(found) else None
    return None


def _percentiles(path: Path, keys: Sequence[str], columns: Sequence[str], rows: Sequence[str]) -> NDArray[np.float64]:
    """Return percentiles of rows, in their order; not numbers for those that the table has not."""
    import numpy as np

    wanted = set(rows)
    found: dict[str, list[float]] = {}
    with csv_rows(path) as reader:
        header: list[str] = next(reader, [])
        places = places_of(header, (*keys, *columns), path)
        for row in reader:
            if not row:
                continue
            if len(row) <= max(places):
                raise TraceError(f"line {reader.line_num} of {path.name} has {len(row)} values; expected {len(header)}")
            key = " ".join(row[place] for place in places[: len(keys)])
            if key not in wanted:
                continue
            texts = [row[place] for place in places[len(keys) :]]
            try:
                values = [float(text) for text in texts]
            except ValueError:
                values = [float("nan")]
            if not all(low <= high for low, high in zip([0.0, *values], [*values, float("inf")], strict=True)):
                raise TraceError(
                    f"line {reader.line_num} of {path.name} has the percentiles {', '.join(texts)}; expected ascending "
                    "numbers, 0 or more"
                )
            found[key] = values
    absent = [float("nan")] * len(columns)
    return np.asarray([found.get(key, absent) for key in rows])


def read_function_rows(path: Path, settings: Settings) -> Iterator[Rows]:
    """Invocations of one function or of all, with durations where there is a table of them."""
    import numpy as np

    functions = read_functions(path, settings.function)
    table = functions.durations_s
    rng = np.random.default_rng(np.random.SeedSequence([settings.seed, _SERVICE]))
    of_times = random_numbers(settings)
    bins = scaled(functions.bins(), settings.scale, of_times)
    for rows in expanded(bins, of_times, evenly=settings.evenly):
        if table is not None:
            places = np.zeros(rows.lines.size, dtype=np.int64) if rows.functions is None else rows.functions
            rows.service_s = _of_percentiles(table, places, rng.random(places.size))
            for number in np.flatnonzero(np.isnan(rows.service_s)).tolist():
                name = functions.names[int(places[number])]
                rows.bad[number] = f"function {name[:12]} has no row in the table of durations"
        yield rows


def _of_percentiles(
    table: NDArray[np.float64], rows: NDArray[np.int64], shares: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the values below which lie these shares, linear between the percentiles of a row."""
    import numpy as np

    levels = np.asarray(DURATION_SHARES)
    place = np.clip(np.searchsorted(levels, shares, side="right") - 1, 0, levels.size - 2)
    low, high = table[rows, place], table[rows, place + 1]
    found: NDArray[np.float64] = low + (shares - levels[place]) / (levels[place + 1] - levels[place]) * (high - low)
    return found
