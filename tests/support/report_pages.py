"""Reports for inspection, and parsers of the data in their text."""

from __future__ import annotations

import base64
import json
import zlib
from html.parser import HTMLParser
from typing import Any

import pyinfercost as ic
from pyinfercost.errors import InputError
from pyinfercost.results.folded_layers import unfolded_layers

EVIL = (
    "a<img src=x onerror=alert(1)>",
    "</script><script>window['taken'] = 1; alert(2)</script>",
    '"quoted" & <b>bold</b>',
)


class Scripts(HTMLParser):
    """Contents of script elements by id, all addresses that a page could load, and the data of its charts."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: dict[str | None, str] = {}
        self.addresses: list[str] = []
        self.charts: list[dict[str, Any]] = []
        self._open: str | None = None
        self._inside = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = dict(attrs)
        self.addresses += [named[name] or "" for name in ("src", "href") if name in named]
        if "data-chart" in named:
            self.charts.append(json.loads(named["data-chart"] or ""))
        if tag == "script":
            self._inside, self._open = True, named.get("id")
            self.found[self._open] = ""

    def handle_endtag(self, tag: str) -> None:
        self._inside = self._inside and tag != "script"

    def handle_data(self, text: str) -> None:
        if self._inside:
            self.found[self._open] += text


def unpacked(content: str) -> bytes:
    """Return the content of a packed element."""
    return zlib.decompress(base64.b64decode(content))


def document_of(text: str) -> dict[str, Any]:
    """Return the profile in a page, as `diff` reads it."""
    document: dict[str, Any] = json.loads(unpacked(Scripts(text).found["pyinfercost-profile"]))
    return {**document, "layers": unfolded_layers(document["layers"], "the page", InputError)}


def evil_profile() -> ic.results.Profile:
    builder = ic.GraphBuilder("</title><script>alert(3)</script>")
    x = first = builder.tensor("float32", (8, 8), role="input")
    for number, name in enumerate(EVIL):
        y = builder.tensor("float32", (8, 8))
        builder.node("aten.relu.default", {"self": x}, [y], module=f"{name}.{number}")
        x = y
    y = builder.tensor("float32", (8, 8))
    builder.node("evil.<i>op</i>.default", {"self": x}, [y], module="end")
    return ic.profile(builder.build([first], [y]), hardware="t4")


def repeated_profile() -> ic.results.Profile:
    """Return a profile of six layers of a product and a relu; the last one is wider."""
    builder = ic.GraphBuilder("repeated")
    x = first = builder.tensor("float32", (64, 64), role="input")
    for number in range(6):
        width = 128 if number == 5 else 64
        weight = builder.tensor("float32", (64, width), role="parameter", name=f"layers.{number}.up.weight")
        y, z = builder.tensor("float32", (64, width)), builder.tensor("float32", (64, width))
        builder.node("aten.mm.default", {"self": x, "mat2": weight}, [y], module=f"layers.{number}.up")
        builder.node("aten.relu.default", {"self": y}, [z], module=f"layers.{number}.act")
        x = z
    return ic.profile(builder.build([first], [x]), hardware="t4")
