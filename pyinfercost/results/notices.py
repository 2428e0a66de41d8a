"""Notices of results: codes with values; their sentences are in `report/notices.py`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ..report.render import render
from .declared import declared, derived, fact


@declared(kw_only=False)
class Notice:
    """A finding about a result. `str(notice)` is its sentence."""

    code: str = fact("Code of the finding, such as `truncated`.")
    values: Mapping[str, Any] = fact("Names and numbers in its sentence.")

    def __str__(self) -> str:
        sentence: str = render(self, "sentence")
        return sentence


def notice(code: str, **values: Any) -> Notice:
    """Return a notice."""
    return Notice(code, values)


@declared
class WithNotices:
    """A result with notices."""

    notices: tuple[Notice, ...] = fact("Notices: assumptions, explanations, and limits of the figures.", default=())

    @property
    @derived(is_figure=False)
    def notes(self) -> tuple[str, ...]:
        """The notices in words."""
        return sentences(self.notices)


@declared
class WithWarnings:
    """A result with notices that are warnings."""

    notices: tuple[Notice, ...] = fact(
        "Warnings: differences other than the model, and calls that figures lack.", default=()
    )

    @property
    @derived(is_figure=False)
    def warnings(self) -> tuple[str, ...]:
        """The notices in words."""
        return sentences(self.notices)


def sentences(notices: Iterable[Notice]) -> tuple[str, ...]:
    """Return the sentences of notices."""
    return tuple(map(str, notices))
