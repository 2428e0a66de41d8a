"""Sweeps as tables of other libraries: pandas, polars, Arrow, Parquet."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .columns import GridColumns
from .facts import TEXTS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from .result import Sweep

ROWS_PER_GROUP = 2**17
"""Rows that a reader can pick out by their least and greatest values, and that writing holds in memory at a time."""


def library(name: str, what: str) -> Any:
    """An optional library, or an error that names the extra that brings it."""
    try:
        return import_module(name)
    except ImportError as error:
        package = name.partition(".")[0]
        raise ImportError(
            f"{what} needs {package}, which is not installed: pip install 'pyinfercost[dataframes]'", name=package
        ) from error


def to_pandas(sweep: Sweep) -> Any:
    """The columns as a `pandas.DataFrame`, texts as categories."""
    pandas = library("pandas", "to_pandas")
    columns = {}
    for name in sweep.columns:
        if name in TEXTS:
            codes, texts = _codes(sweep, name)
            columns[name] = pandas.Categorical.from_codes(codes, categories=list(texts))
        else:
            columns[name] = sweep[name]
    return pandas.DataFrame(columns)


def to_arrow(sweep: Sweep, columns: Iterable[str] | None = None) -> Any:
    """The columns as a `pyarrow.Table`, texts as dictionaries."""
    arrow = library("pyarrow", "to_arrow")
    table = {}
    for name in sweep.columns if columns is None else columns:
        if name in TEXTS:
            codes, texts = _codes(sweep, name)
            table[name] = arrow.DictionaryArray.from_arrays(codes.astype("int32"), arrow.array(texts, arrow.string()))
        else:
            table[name] = arrow.array(sweep[name])
    return arrow.table(table)


def to_polars(sweep: Sweep) -> Any:
    """The columns as a `polars.DataFrame`, texts as categories."""
    polars = library("polars", "to_polars")
    return polars.from_arrow(to_arrow(sweep))


def write_parquet(sweep: Sweep, file: Path | Any) -> None:
    """The columns as one Parquet file, or into an open one; a row group at a time, so that little is in memory."""
    arrow = library("pyarrow", "to_parquet")
    parquet = library("pyarrow.parquet", "to_parquet")
    writer = None
    try:
        for part in _stretches(sweep, ROWS_PER_GROUP):
            table = to_arrow(part)
            if writer is None:
                writer = parquet.ParquetWriter(file, table.schema, **_encodings(table))
            writer.write_table(arrow.table(table.columns, schema=writer.schema), ROWS_PER_GROUP)
    finally:
        if writer is not None:
            writer.close()


def _stretches(sweep: Sweep, rows: int) -> Iterator[Sweep]:
    """The sweep in pieces; one without rows where it has none."""
    import numpy as np

    from .result import Sweep

    for first in range(0, len(sweep) or 1, rows):
        last = min(first + rows, len(sweep))
        data = sweep.data
        if isinstance(data, GridColumns) and isinstance(data.points, slice):
            points = slice(data.points.start + first, data.points.start + last)
            computed = {name: column[first:last] for name, column in data.computed.items()}
            yield Sweep(sweep.model, sweep.sizes, GridColumns(data.grid, data.facts, points, computed))
        else:
            yield sweep.take(np.arange(first, last))


def _encodings(table: Any) -> dict[str, Any]:
    """How each column is written.

    Neighbours of a grid are alike: whole numbers go up in equal steps, of which Parquet keeps the differences, and
    times share the upper bytes, which compress once the bytes are sorted by place. Texts and
    scales are few, and have dictionaries.
    """
    encodings: dict[str, str] = {}
    few: list[str] = []
    for field in table.schema:
        kind = str(field.type)
        if kind == "int64":
            encodings[field.name] = "DELTA_BINARY_PACKED"
        elif kind == "double" and not field.name.endswith("_scale"):
            encodings[field.name] = "BYTE_STREAM_SPLIT"
        elif kind != "bool":
            few.append(field.name)
    return {
        "compression": "zstd",
        "compression_level": 1,
        "use_dictionary": few or False,
        "column_encoding": encodings,
        "write_statistics": True,
    }


def _codes(sweep: Sweep, name: str) -> tuple[Any, tuple[str, ...]]:
    """A column of texts as codes and the distinct texts."""
    import numpy as np

    if isinstance(sweep.data, GridColumns):
        codes, values = sweep.data.labels(name)
    else:
        texts, codes = np.unique(sweep[name], return_inverse=True)
        values = tuple(texts.tolist())
    distinct = tuple(dict.fromkeys(values))
    if len(distinct) == len(values):
        return codes, values
    place = {text: position for position, text in enumerate(distinct)}
    return np.asarray([place[value] for value in values])[codes], distinct
