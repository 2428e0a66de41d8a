"""Reports for inspection, and parsers of the data in their text."""

from __future__ import annotations

import base64
import json
import zlib
from html.parser import HTMLParser
from typing import Any

import pyinfercost as ic

VARY = {"hardware": ["l4", "a100-sxm-80gb"], "execution": ["compiled"], "batch": [1, 64]}
EVIL = (
    "a<img src=x onerror=alert(1)>",
    "</script><script>window['taken'] = 1; alert(2)</script>",
    '"quoted" & <b>bold</b>',
)


class Scripts(HTMLParser):
    """Contents of script elements by id, and all addresses that a page could load."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: dict[str | None, str] = {}
        self.addresses: list[str] = []
        self._open: str | None = None
        self._inside = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = dict(attrs)
        self.addresses += [named[name] or "" for name in ("src", "href") if name in named]
        if tag == "script":
            self._inside, self._open = True, named.get("id")
            self.found[self._open] = ""

    def handle_endtag(self, tag: str) -> None:
        self._inside = self._inside and tag != "script"

    def handle_data(self, text: str) -> None:
        if self._inside:
            self.found[self._open] += text


def points_of(text: str) -> dict[str, Any]:
    packed = Scripts(text).found["pyinfercost-points"]
    points: dict[str, Any] = json.loads(zlib.decompress(base64.b64decode(packed)))
    return points


def evil_profile() -> ic.Profile:
    builder = ic.GraphBuilder("</title><script>alert(3)</script>")
    x = first = builder.tensor("float32", (8, 8), role="input")
    for number, name in enumerate(EVIL):
        y = builder.tensor("float32", (8, 8))
        builder.node("aten.relu.default", {"self": x}, [y], module=f"{name}.{number}")
        x = y
    y = builder.tensor("float32", (8, 8))
    builder.node("evil.<i>op</i>.default", {"self": x}, [y], module="end")
    return ic.profile(builder.build([first], [y]), hardware="t4")
