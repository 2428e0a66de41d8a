"""Methods of all results: documents, tables, pages and data frames, rendered by `report.render`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

from ..report.render import render

if TYPE_CHECKING:
    from os import PathLike


class Result:
    """A result that can be rendered as text, documents, pages and data frames.

    `print(result)` shows `to_text()`, and a notebook shows a table. CSV files and data frames have the rows of
    `to_rows`, whose columns are named in `columns`. An unknown figure is None in rows and documents, and empty in CSV.
    """

    __slots__ = ()
    document_key = ""
    """Key of the result in its JSON object."""
    rows_of = ""
    """Field with the records that are its rows; empty for a result that is one row."""

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns of `to_rows`, of CSV and of data frames, in order."""
        names: tuple[str, ...] = render(self, "columns")
        return names

    def to_rows(self) -> list[dict[str, Any]]:
        """Return the rows as dicts of str, int, float, bool and None, in the order of `columns`."""
        rows: list[dict[str, Any]] = render(self, "rows")
        return rows

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON object, with a unit in every key."""
        document: dict[str, Any] = render(self, "dict")
        return document

    def to_json(self, *, indent: int | None = 2) -> str:
        """Return `to_dict` as JSON text."""
        text: str = render(self, "json", indent=indent)
        return text

    @overload
    def to_csv(self, path: None = None) -> str: ...
    @overload
    def to_csv(self, path: str | PathLike[str]) -> None: ...
    def to_csv(self, path: str | PathLike[str] | None = None) -> str | None:
        """Return the rows as CSV with a header, or write them into a file."""
        pieces = render(self, "csv")
        if path is None:
            return "".join(pieces)
        with Path(path).open("w", encoding="utf-8", newline="") as file:
            file.writelines(pieces)
        return None

    def to_text(self, *, width: int = 100) -> str:
        """Return the tables as plain text.

        Args:
            width: Width of a line in characters.

        Returns:
            The text.
        """
        text: str = render(self, "text", width=width)
        return text

    def to_markdown(self) -> str:
        """Return the tables as Markdown."""
        text: str = render(self, "markdown")
        return text

    def to_html(self) -> str:
        """Return one HTML page that needs no network and no other file."""
        page: str = render(self, "html")
        return page

    def to_pandas(self) -> Any:
        """Return the rows as a `pandas.DataFrame`.

        Returns:
            The data frame, with the columns of `columns`.

        Raises:
            ImportError: If pandas is not installed; the message names the extra.
        """
        return render(self, "pandas")

    def to_arrow(self) -> Any:
        """Return the rows as a `pyarrow.Table`.

        Returns:
            The data frame, with the columns of `columns`.

        Raises:
            ImportError: If pyarrow is not installed; the message names the extra.
        """
        return render(self, "arrow")

    def to_polars(self) -> Any:
        """Return the rows as a `polars.DataFrame`.

        Returns:
            The data frame, with the columns of `columns`.

        Raises:
            ImportError: If polars is not installed; the message names the extra.
        """
        return render(self, "polars")

    def __str__(self) -> str:
        return self.to_text()

    def _repr_html_(self) -> str:
        snippet: str = render(self, "snippet")
        return snippet
