"""Escapes of text from files of others, for terminals, messages, CSV and Markdown."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache, partial

# Controls (C0, DEL, C1), the soft hyphen, characters of no width, marks of the writing direction, separators of lines
# and paragraphs, halves of surrogate pairs, and tags.
_HIDDEN = (
    "\x00-\x1f\x7f-\x9f\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f"
    "\u3164\ud800-\udfff\ufeff\uffa0\ufff9-\ufffb\U000e0000-\U000e0fff"
)
# A spreadsheet takes a cell that begins so for a formula, or skips what it begins with; some read full-width forms
# alike.
_FORMULA = re.compile(r"[=+\-@\t\r\n\uff1d\uff0b\uff0d\uff20]")
_NUMBER = re.compile(r"[+-]\d+(\.\d*)?(e[+-]?\d+)?", re.IGNORECASE)
_SHORT = {"\n": r"\n", "\r": r"\r", "\t": r"\t"}


def _escape(match: re.Match[str]) -> str:
    character = match[0]
    code = ord(character)
    if character in _SHORT:
        return _SHORT[character]
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"  # noqa: PLR2004


visible: Callable[[str], str] = partial(re.compile(f"[{_HIDDEN}]").sub, _escape)
r"""Returns a text on one line, with control, bidirectional and zero-width characters as escapes of Python.

A terminal would run or hide them: `\x1b[2J` clears the screen, `\u202e` reverses what follows.
"""

visible_lines: Callable[[str], str] = partial(re.compile(f"(?!\n)[{_HIDDEN}]").sub, _escape)
"""Returns a text as `visible` does, with its line breaks."""


@lru_cache(maxsize=4096)
def spreadsheet_cell(text: str) -> str:
    """Return the text of a cell: control characters are escaped, and an apostrophe precedes what would be a formula."""
    shown = visible(text)
    return f"'{shown}" if _FORMULA.match(text) and not _NUMBER.fullmatch(text) else shown
