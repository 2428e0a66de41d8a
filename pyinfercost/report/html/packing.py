"""Texts in elements of a page: compressed, in letters that HTML has no other meaning for."""

from __future__ import annotations

import base64
import zlib

_LEVEL = 9


def packed(text: str | bytes) -> str:
    """Return a text compressed by DEFLATE with the header of zlib, in base64; `unpacked` of `link.js` reads it."""
    data = text.encode() if isinstance(text, str) else text
    return base64.b64encode(zlib.compress(data, _LEVEL)).decode()
