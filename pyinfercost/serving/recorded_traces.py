"""Recorded requests as a table, CSV or Parquet: when they arrived, how long they were, and when they were answered.

`pyinfercost monitor export` writes such tables. Lines of a CSV file that begin with `#`, and the metadata of a Parquet
file under the key `pyinfercost`, say where the requests come from.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from .._checks import excerpt, open_file, shown
from ..errors import MissingFileError
from ..sweeps.frames import library
from .requests import CHUNK
from .trace_rows import Rows, Settings, TraceError, checked_lengths, csv_chunks, csv_rows, header_of, numbers_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Numbers = NDArray[np.float64]

ARRIVAL = "arrival_s"
"""The column that each table of recorded requests has."""

LENGTHS = ("prompt_tokens", "output_tokens")
STAMPS = ("first_token_s", "last_token_s")
SERVICE = "service_s"
COLUMNS = (ARRIVAL, *LENGTHS, *STAMPS, "items", SERVICE)
"""Columns, in seconds on the clock of the arrivals: `first_token_s` and `last_token_s` are times, not durations."""

ALSO = {"input_tokens": "prompt_tokens", "finish_s": "last_token_s"}
"""Names of other tools -> ours."""

MAGIC = b"PAR1"
NOTE_KEY = b"pyinfercost"


class Table(NamedTuple):
    """A part of a table.

    Attributes:
        lines: Line, or number of the row, of each request.
        columns: Column -> values; not a number where a cell is empty.
        bad: Place of a bad row -> the reason.
    """

    lines: NDArray[np.int64]
    columns: Mapping[str, Numbers]
    bad: dict[int, str]


def is_parquet(path: Path) -> bool:
    """Return whether a file is a Parquet file, by its first bytes."""
    try:
        with open_file(path) as file:
            return file.read(len(MAGIC)) == MAGIC
    except OSError:
        return False


def names_of(path: Path) -> dict[str, str]:
    """Return our name -> the name in the file, of the columns that a table has.

    Raises:
        TraceError: It has no arrivals.
    """
    if is_parquet(path):
        names = list(_parquet(path).schema_arrow.names)
    else:
        with csv_rows(path) as reader:
            names = [name.strip() for name in header_of(reader)]
    found = {ALSO.get(name, name): name for name in names if ALSO.get(name, name) in COLUMNS}
    if ARRIVAL not in found:
        raise TraceError(
            f"{path.name} has the columns {excerpt(', '.join(names)) or 'none'}, without {ARRIVAL}; expected recorded "
            f"requests with {', '.join(COLUMNS)}, of which all but the first may be missing"
        )
    return found


def has_lengths(path: Path) -> bool:
    """Return whether a table has the lengths of requests."""
    return set(LENGTHS) <= names_of(path).keys()


def has_service(path: Path) -> bool:
    """Return whether a table has the time that each request takes, and no lengths, which decide it otherwise."""
    return SERVICE in names_of(path) and not has_lengths(path)


def note_of(path: Path) -> dict[str, Any]:
    """Return the note of a file about its requests, as `monitor export` writes it; empty without it."""
    content = b""
    if is_parquet(path):
        content = (_parquet(path).schema_arrow.metadata or {}).get(NOTE_KEY, b"")
    else:
        with open_file(path) as file:
            line = file.readline(2**20)
        content = line[1:].strip() if line.startswith(b"#") else b""
    try:
        found = json.loads(content)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def tables(path: Path) -> Iterator[Table]:
    """Yield the rows of a table, a chunk at a time.

    Raises:
        TraceError: It is no table of recorded requests.
    """
    names = names_of(path)
    read = _parquet_tables if is_parquet(path) else _csv_tables
    yield from read(path, names)


def _csv_tables(path: Path, names: Mapping[str, str]) -> Iterator[Table]:
    for lines, texts in csv_chunks(path, list(names.values())):
        bad: dict[int, str] = {}
        columns = {
            name: numbers_of([text.strip() or "nan" for text in cells], names[name], bad)
            for name, cells in zip(names, texts, strict=True)
        }
        yield Table(lines, columns, bad)


def _parquet_tables(path: Path, names: Mapping[str, str]) -> Iterator[Table]:
    import numpy as np

    begun = 0
    try:
        for batch in _parquet(path).iter_batches(CHUNK, columns=list(names.values())):
            columns = {
                name: batch.column(names[name]).to_numpy(zero_copy_only=False).astype(np.float64) for name in names
            }
            yield Table(np.arange(begun + 1, begun + batch.num_rows + 1), columns, {})
            begun += batch.num_rows
    except (TraceError, MissingFileError):
        raise
    except Exception as error:  # pyarrow raises built-in exceptions of many kinds, also for damaged pages
        raise TraceError(
            f"{path.name} is damaged, or has a column that is none of numbers: {shown(str(error))}"
        ) from None


def _parquet(path: Path) -> Any:
    parquet = library("pyarrow.parquet", "a Parquet file")
    try:
        return parquet.ParquetFile(path)
    except FileNotFoundError:
        raise MissingFileError(f"{path} cannot be read: there is no such file") from None
    except Exception as error:  # likewise
        raise TraceError(f"{path.name} is no Parquet file that can be read: {shown(str(error))}") from None


def read_recorded(path: Path, settings: Settings) -> Iterator[Rows]:
    """Recorded requests: seconds since the recording began, and lengths where they are known."""
    for lines, columns, bad in tables(path):
        lengths: Sequence[Any] = (None, None)
        if set(LENGTHS) <= columns.keys():
            lengths = [checked_lengths(columns[name], name, bad) for name in LENGTHS]
        service = columns.get(SERVICE) if lengths[0] is None else None
        if service is not None:
            for place, value in enumerate(service.tolist()):
                if not 0 <= value < float("inf"):
                    bad.setdefault(place, f"{SERVICE} is {value}; expected seconds, 0 or more")
        yield Rows(lines, columns[ARRIVAL], lengths[0], lengths[1], service_s=service, bad=bad)
