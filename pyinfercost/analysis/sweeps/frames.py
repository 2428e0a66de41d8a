"""Sweeps as tables of other libraries: pandas, polars, Arrow, Parquet."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .columns import GridColumns

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from .result import Sweep

ROWS_PER_GROUP = 2**20


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
        if _is_text(sweep, name):
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
        if _is_text(sweep, name):
            codes, texts = _codes(sweep, name)
            table[name] = arrow.DictionaryArray.from_arrays(codes.astype("int32"), list(texts))
        else:
            table[name] = arrow.array(sweep[name])
    return arrow.table(table)


def to_polars(sweep: Sweep) -> Any:
    """The columns as a `polars.DataFrame`."""
    polars = library("polars", "to_polars")
    return polars.from_arrow(to_arrow(sweep))


def write_parquet(sweep: Sweep, path: Path | Any, columns: Iterable[str] | None = None) -> None:
    """The columns as one Parquet file, or into an open one."""
    parquet = library("pyarrow.parquet", "to_parquet")
    table = to_arrow(sweep, columns)
    # Times hardly ever repeat: a dictionary of them would be made and thrown away. What says which point a row is
    # repeats all the time.
    identity = [name for name in table.column_names if name in sweep.identity()]
    parquet.write_table(
        table,
        path,
        compression="snappy",
        use_dictionary=identity,
        write_statistics=identity,
        row_group_size=ROWS_PER_GROUP,
    )


def _is_text(sweep: Sweep, name: str) -> bool:
    return name in ("hardware", "precision", "execution")


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
