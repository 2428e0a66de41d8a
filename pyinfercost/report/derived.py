"""Documents, rows and tables of results, from what their classes declare."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from math import isfinite
from typing import TYPE_CHECKING, Any

from ..results.declared import Declared, declarations_of, document_of, part_of
from ..results.units import amount, percent, significant
from .layout import Column

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..results.result import Result

SCHEMA_VERSION = 1
"""Version of all documents; a key that gets another meaning raises it."""


def whole_document(result: Result, *, series: bool = True) -> dict[str, Any]:
    """Return the JSON object of a result, with series over time or without."""
    found = document_of(result, series=series)
    return {"schema_version": SCHEMA_VERSION, **({result.document_key: found} if result.document_key else found)}


def rows(result: Result) -> list[dict[str, Any]]:
    """Return a row for each record in the field that the class names, or the one row of a result."""
    return [row_of(each) for each in (getattr(result, result.rows_of) if result.rows_of else (result,))]


def columns(result: Result) -> tuple[str, ...]:
    """Return the names of the columns of `rows`."""
    parts = [part_of(each) for each in declarations_of(result) if each.name == result.rows_of]
    return columns_of(parts[0] if parts else result)


def columns_of(record: Any) -> tuple[str, ...]:
    """Return the names of the columns that `row_of` has for a record, or for records of a class."""
    return tuple(name for each in declarations_of(record) for name, _ in _cells(each, None))


def row_of(record: Any) -> dict[str, Any]:
    """Return a record as a row: one cell for each column."""
    return dict(cell for each in declarations_of(record) for cell in _cells(each, getattr(record, each.name)))


def ranked_rows(ranked: Iterable[Any], others: Iterable[Any]) -> list[dict[str, Any]]:
    """Return a row for each record with its rank, then one for each of the others, without."""
    first = [{"rank": rank, **row_of(each)} for rank, each in enumerate(ranked, 1)]
    return [*first, *({"rank": None, **row_of(each)} for each in others)]


def _cells(each: Declared, value: Any) -> Iterator[tuple[str, Any]]:
    """Yield the names and values of a declaration in a row."""
    if each.spread:
        part = part_of(each)
        for key in each.spread:
            item = None if value is None else value[key]
            if part is None:
                yield key, document_of(item)
            for own in declarations_of(part):
                if own.row:
                    is_time = own.unit == "s" and key.endswith("_s")
                    name = f"{key.removesuffix('_s')}_{own.name}_s" if is_time else f"{key}_{own.name}"
                    yield name, None if item is None else document_of(getattr(item, own.name))
    elif each.row and (part := part_of(each)) is not None:
        for own in declarations_of(part):
            yield from _cells(own, None if value is None else getattr(value, own.name))
    elif each.row and isinstance(value, Mapping):
        yield each.name, " ".join(f"{name}={number:.6g}" for name, number in value.items())
    elif each.row and isinstance(value, tuple):
        yield each.name, " ".join(map(str, value))
    elif each.row:
        yield each.name, document_of(value)


def headline_of(record: Any) -> Declared:
    """Return the figure that leads the pages of a record."""
    return next(each for each in declarations_of(record) if each.headline)


def headlines(record: Any, words: str = "headline") -> list[tuple[str, str]]:
    """Return the amount of the figure that leads the pages of a record, with its words; empty if it is unknown.

    Args:
        record: The record.
        words: Attribute of the declaration with the words: `headline` or `title`.
    """
    leading = headline_of(record)
    value = getattr(record, leading.name)
    return [] if value is None else [(amount(value, leading.unit), getattr(leading, words))]


def default_columns(kind: Any, records: Sequence[Any]) -> list[Column]:
    """Return the columns of the default table, of figures that a record knows.

    Args:
        kind: Class with the declarations.
        records: The records; None for a row without one.
    """
    found = []
    for each in declarations_of(kind):
        values = [getattr(record, each.name, None) for record in records]
        if each.spare is not None and any(value is not None for value in values):
            cells = ["" if value is None or not isfinite(value) else significant(value) for value in values]
            found.append(Column(each.title, each.unit, cells, spare=each.spare))
    return found


def pairs_of(record: Any, *, figures: bool) -> list[tuple[str, str]]:
    """Return the lines of a record's table: a title, and the texts of its declarations side by side.

    Args:
        record: The record.
        figures: Whether to return its figures; else facts.
    """
    lines: dict[str, list[str]] = {}
    for each in declarations_of(record):
        if each.shown and each.is_figure is figures and (text := _text(each, getattr(record, each.name))):
            lines.setdefault(each.shown.partition(": ")[0], []).append(text)
    return [(line, "; ".join(texts)) for line, texts in lines.items()]


def _text(each: Declared, value: Any) -> str:
    """Return the text of a value in a table; empty without one."""
    template = each.shown.partition(": ")[2]
    if value is None or value == "" or (each.quiet and not value):
        return ""
    if isinstance(value, bool):
        return template.split("|")[not value]
    if isinstance(value, Mapping):
        return ", ".join(template.format(name=name, value=item) for name, item in value.items())
    return template.format(_number(value, each.unit) if isinstance(value, (int, float)) else value)


def _number(value: float, unit: str) -> str:
    if unit == "share":
        return f"{percent(value)} %"
    if isinstance(value, int):
        return f"{value:,}"
    return amount(value, unit) if unit else f"{value:.1f}"
