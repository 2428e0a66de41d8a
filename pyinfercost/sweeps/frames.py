"""Columns as tables of other libraries: pandas, polars, Arrow, Parquet."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, TypeAlias

from .. import _core
from ..errors import MissingLibraryError
from .columns import TEXTS, GridColumns

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from numpy.typing import NDArray

Columns: TypeAlias = "Mapping[str, NDArray[Any]]"
"""Columns by name, all of one length."""

ROWS_PER_GROUP = 2**17
"""Rows of a row group of Parquet: readers skip groups by their extreme values, and a writer keeps one in memory."""


def library(name: str, what: str) -> Any:
    """Import an optional library.

    Args:
        name: The module.
        what: The function that needs it, for the message.

    Raises:
        MissingLibraryError: It is not installed; the message names the extra.
    """
    try:
        return import_module(name)
    except ImportError as error:
        package = name.partition(".")[0]
        raise MissingLibraryError(
            f"{what} needs {package}, which is not installed: pip install 'pyinfercost[dataframes]'", name=package
        ) from error


def known_values(column: Any) -> list[Any]:
    """Return a column as a list of str, int, float, bool and None, the last for NaN and infinity."""
    import numpy as np

    values: list[Any] = column.tolist()
    if column.dtype.kind == "f":
        for row in np.flatnonzero(~np.isfinite(column)).tolist():
            values[row] = None
    return values


def to_pandas(data: Columns) -> Any:
    """Return columns as a `pandas.DataFrame`, texts as categories."""
    pandas = library("pandas", "to_pandas")
    columns = {}
    for name in data:
        if name in TEXTS:
            codes, texts = _codes(data, name)
            columns[name] = pandas.Categorical.from_codes(codes, categories=list(texts))
        else:
            columns[name] = data[name]
    return pandas.DataFrame(columns)


def to_arrow(data: Columns) -> Any:
    """Return columns as a `pyarrow.Table`, texts as dictionaries."""
    arrow = library("pyarrow", "to_arrow")
    table = {}
    for name in data:
        if name in TEXTS:
            codes, texts = _codes(data, name)
            table[name] = arrow.DictionaryArray.from_arrays(codes.astype("int32"), arrow.array(texts, arrow.string()))
        else:
            table[name] = _array(arrow, data[name])
    return arrow.table(table)


def _array(arrow: Any, column: Any) -> Any:
    """Return a column as an Arrow array; NaN and infinity are null."""
    import numpy as np

    if column.dtype.kind != "f":
        return arrow.array(column)
    return arrow.array(column, mask=~np.isfinite(column))


def to_polars(data: Columns) -> Any:
    """Return columns as a `polars.DataFrame`, texts as categories."""
    return library("polars", "to_polars").from_arrow(to_arrow(data))


def write_parquet(parts: Iterable[Columns], file: Path | Any, metadata: Mapping[str, str] | None = None) -> None:
    """Write columns into one Parquet file, or into an open one.

    Args:
        parts: The columns of some rows each, at least one part; each is a row group, so that memory is bounded.
        file: A path, or an open file.
        metadata: Texts by key, for the metadata of the file.
    """
    arrow = library("pyarrow", "to_parquet")
    parquet = library("pyarrow.parquet", "to_parquet")
    writer = None
    try:
        for part in parts:
            _core.raise_if_stopped()
            table = to_arrow(part)
            if writer is None:
                table = table.replace_schema_metadata(metadata)
                writer = parquet.ParquetWriter(file, table.schema, **_encodings(table))
            writer.write_table(arrow.table(table.columns, schema=writer.schema), ROWS_PER_GROUP)
    finally:
        if writer is not None:
            writer.close()


def _encodings(table: Any) -> dict[str, Any]:
    """Return the encodings of the columns.

    Neighboring points are similar. Integers rise in equal steps, so that their differences are stored. Times share
    their upper bytes, which compress once bytes are grouped by position. Texts and scales have few values, and
    dictionaries.
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
        "write_page_checksum": True,
    }


def _codes(data: Columns, name: str) -> tuple[Any, tuple[str, ...]]:
    """Return a column of texts as codes and the distinct texts."""
    import numpy as np

    if isinstance(data, GridColumns):
        codes, values = data.labels(name)
    else:
        texts, codes = np.unique(data[name], return_inverse=True)
        values = tuple(texts.tolist())
    distinct = tuple(dict.fromkeys(values))
    if len(distinct) == len(values):
        return codes, values
    place = {text: position for position, text in enumerate(distinct)}
    return np.asarray([place[value] for value in values])[codes], distinct
