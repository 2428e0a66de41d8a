"""Texts in elements of a page: compressed, in letters that HTML has no other meaning for."""

from __future__ import annotations

import base64
import zlib

_LEVEL = 9


def packed(text: str) -> str:
    """Return a text compressed by DEFLATE with the header of zlib, in base64; `unpacked` of `link.js` reads it."""
    return in_letters(zlib.compress(text.encode(), _LEVEL))


def in_letters(compressed: bytes) -> str:
    """Return the text of bytes that are compressed already."""
    return base64.b64encode(compressed).decode()
