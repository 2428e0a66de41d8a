"""Rows of request traces, and what reads them from CSV files."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timezone
from io import TextIOWrapper
from itertools import chain, islice
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NamedTuple

from .._checks import excerpt, lines_of, open_file, shown
from ..errors import InputError
from .requests import CHUNK

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


CHARACTERS_PER_TOKEN = 4.0
"""Characters of English text for a token of usual vocabularies; assumed where a trace has text and no lengths."""


_LONGEST_LINE = 2**20  # characters of a table; one of a function's minutes of a day has 10,000
_TOGETHER = 64  # lines that are checked and taken apart in one step


class TraceError(InputError):
    """A request trace that cannot be read: a column, a line or a value of it."""


@dataclass
class Rows:
    """Rows of a trace; arrays have one length.

    Attributes:
        lines: Line of the file, or number of the item, of each row.
        times_s: Times in seconds since 1970 or since the start of the trace; None if the trace has none.
        prompts: Tokens of prompts; -1 for a row to be dropped or refused. None if the trace has no lengths.
        outputs: Tokens of answers, likewise.
        hashes: Hashes of the blocks of each prompt.
        conversations: Conversation and turn of each row.
        functions: Number of the function of each row.
        service_s: Seconds that each request takes, of traces that have them.
        bad: Place of a bad row -> the reason.
    """

    lines: NDArray[np.int64]
    times_s: NDArray[np.float64] | None
    prompts: NDArray[np.int64] | None
    outputs: NDArray[np.int64] | None
    hashes: Sequence[Sequence[int]] | None = None
    conversations: NDArray[np.int64] | None = None
    functions: NDArray[np.int64] | None = None
    service_s: NDArray[np.float64] | None = None
    bad: dict[int, str] = field(default_factory=dict)


class Settings(NamedTuple):
    """Settings of formats in addition to the file.

    Attributes:
        count: Returns the tokens of a text.
        all_turns: Whether each answer of a conversation is a request; else the first alone.
        seed: Of arrivals that are drawn from rates or counts.
        evenly: Whether these are spread evenly over a bin; else at random.
        scale: Requests of a bin / those that the file says.
        function: Hash, or number of the row, of the function that is read; None for all.
    """

    count: Callable[[str], int]
    all_turns: bool
    seed: int
    evenly: bool = False
    scale: float = 1.0
    function: str | int | None = None


class Format(NamedTuple):
    """A format.

    Attributes:
        read: Yields the rows of a file.
        timed: Whether rows have times.
        has_lengths: Returns whether the rows of a file have lengths.
        hash_tokens: Tokens of a block that has a hash; 0 without hashes.
        drops_empty: Whether requests without an answer have failed, and are left out.
        spreads: Whether several requests have one time because times are coarse.
        binned: Whether rows are made of bins: times begin with the first bin, and bins without requests are known to
            have none.
        serves: Returns whether a file says how long requests take.
        whole: Whether a file has all requests of its time: times begin at 0 s, and times without requests are known to
            have none.
    """

    read: Callable[[Path, Settings], Iterator[Rows]]
    timed: bool = True
    has_lengths: Callable[[Path], bool] = lambda path: True
    hash_tokens: int = 0
    drops_empty: bool = False
    spreads: bool = False
    binned: bool = False
    serves: Callable[[Path], bool] = lambda path: False
    whole: bool = False


@contextmanager
def opened(path: Path) -> Iterator[IO[str]]:
    """Open a text file.

    Raises:
        MissingFileError: There is none.
        FileAccessError: It cannot be read.
        TraceError: While it is read: it is no UTF-8.
    """
    with TextIOWrapper(open_file(path), encoding="utf-8-sig", newline="") as file:
        try:
            yield file
        except UnicodeDecodeError as error:
            raise TraceError(
                f"{path.name} is no text in UTF-8 (byte 0x{error.object[error.start]:02x}); expected a trace in UTF-8"
            ) from None


def short_lines(file: IO[str], path: Path, most: int) -> Iterator[str]:
    """Return the lines of a text file.

    Raises:
        TraceError: While they are read: a line has more than `most` characters.
    """

    def together() -> Iterator[list[str]]:
        numbered = lines_of(file, most + 1)
        while part := list(islice(numbered, _TOGETHER)):
            lines = [line for _, line in part]
            if max(map(len, lines)) > most:
                number = next(number for number, line in part if len(line) > most)
                raise TraceError(
                    f"line {number} of {path.name} has more than {most:,} characters; expected a line for each row"
                )
            yield lines

    return chain.from_iterable(together())


# ---- CSV -------------------------------------------------------------------------------------------------------------


@contextmanager
def csv_rows(path: Path) -> Iterator[Any]:
    """Return the reader of a CSV file, of the `csv` module.

    Raises:
        MissingFileError: There is none.
        FileAccessError: It cannot be read.
        TraceError: It is no CSV file in UTF-8, or a line is too long.
    """
    with opened(path) as file:
        reader = csv.reader(short_lines(file, path, _LONGEST_LINE))
        try:
            yield reader
        except csv.Error as error:
            raise TraceError(f"line {reader.line_num} of {path.name} is no CSV: {error}") from None


def header_of(reader: Iterator[list[str]]) -> list[str]:
    """Return the first row of a CSV file that is no comment; empty without one."""
    return next((row for row in reader if not (row and row[0].lstrip().startswith("#"))), [])


def places_of(header: Sequence[str], needed: Sequence[str], path: Path) -> list[int]:
    """Return the places of columns in a header.

    Raises:
        TraceError: It has not all of them.
    """
    names = [name.strip() for name in header]
    missing = ", ".join(name for name in needed if name not in names)
    if missing:
        raise TraceError(
            f"line 1 of {path.name} has the columns {excerpt(', '.join(names)) or 'none'}, without {missing}; "
            f"expected {', '.join(needed)}"
        )
    return [names.index(name) for name in needed]


def csv_chunks(path: Path, needed: Sequence[str]) -> Iterator[tuple[NDArray[np.int64], list[list[str]]]]:
    """Yield lines and the texts of the needed columns."""
    import numpy as np

    with csv_rows(path) as reader:
        header = header_of(reader)
        places = places_of(header, needed, path)
        most, ended = max(places), False
        while not ended:
            lines: list[int] = []
            columns: list[list[str]] = [[] for _ in places]
            while len(lines) < CHUNK and not ended:  # few rows are held with the cells that are not needed
                before = reader.line_num
                part = [(reader.line_num, row) for row in islice(reader, _TOGETHER) if row]
                ended = reader.line_num == before
                for number, row in part:
                    if len(row) <= most:
                        raise TraceError(f"line {number} of {path.name} has {len(row)} values; expected {len(header)}")
                lines += [number for number, _ in part]
                for column, place in zip(columns, places, strict=True):
                    column += [row[place] for _, row in part]
            if lines:
                yield np.asarray(lines, dtype=np.int64), columns


def numbers_of(texts: Sequence[str], name: str, bad: dict[int, str]) -> NDArray[np.float64]:
    """Return numbers; NaN, and a reason, for other values."""
    import numpy as np

    try:
        found = np.asarray(texts, dtype=np.str_).astype(np.float64)
    except ValueError:
        found = np.full(len(texts), np.nan)
        for number, text in enumerate(texts):
            try:
                found[number] = float(text)
            except ValueError:
                bad.setdefault(number, f"{name} is {shown(text)}; expected a number")
    return found


def lengths_of(texts: Sequence[str], name: str, bad: dict[int, str]) -> NDArray[np.int64]:
    """Return whole numbers; -1, and a reason, for what is none, or below 0."""
    return checked_lengths(numbers_of(texts, name, bad), name, bad)


def checked_lengths(values: NDArray[np.float64], name: str, bad: dict[int, str]) -> NDArray[np.int64]:
    """Return whole numbers; -1, and a reason, for what is none, or below 0."""
    import numpy as np

    wrong = ~((values >= 0) & (values <= _MOST_LENGTH) & (np.floor(values) == values))
    for number in np.flatnonzero(wrong).tolist():
        if number not in bad:
            bad[number] = f"{name} is {values[number]:.17g}; expected a whole number of tokens, 0 or more"
    return np.where(wrong, -1, np.nan_to_num(values)).astype(np.int64)


_MOST_LENGTH = 1e8


def stamps_of(texts: Sequence[str], name: str, bad: dict[int, str]) -> NDArray[np.float64]:
    """Return seconds since 1970 of dates with times; those without a zone are in UTC."""
    import numpy as np

    plain = [text[:-6] if text.endswith("+00:00") else text.removesuffix("Z") for text in texts]
    try:
        stamps = np.asarray(plain, dtype="datetime64[ns]")
        if not np.isnat(stamps).any():
            whole = stamps.astype("datetime64[s]")
            seconds: NDArray[np.float64] = whole.astype(np.int64) + (stamps - whole).astype(np.int64) * 1e-9
            return seconds
    except ValueError:
        pass
    found = np.full(len(texts), np.nan)
    for number, text in enumerate(texts):
        try:
            at = datetime.fromisoformat(text.strip().replace("Z", "+00:00"))
            found[number] = (at if at.tzinfo else at.replace(tzinfo=timezone.utc)).timestamp()
        except ValueError:
            bad.setdefault(number, f"{name} is {shown(text)}; expected a date and a time, as in ISO 8601")
    return found
