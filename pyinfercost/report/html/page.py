"""Puts a report together: one HTML file with its own style, script and data, and nothing from anywhere else."""

from __future__ import annotations

import base64
import hashlib
import json
import zlib
from functools import cache
from html import escape
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING, Any

from ... import _core
from ...hardware.dtypes import CORE_DTYPES, short_dtype
from ..colors import BOUND
from ..document import as_json, profile_document
from ..summary import heading, ledger, totals
from .points import points_document

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ...predict.alternatives import Alternatives
    from ...results.profile import Profile

ASSETS = Path(__file__).parent / "assets"

PROFILE_ID = "pyinfercost-profile"
"""The id of the script element that holds the profile's JSON, from which the report can be read back."""

_LEVEL = 6  # a higher one takes several times as long for two per cent

_SCRIPTS = ("numbers", "data", "headline", "axes", "roofline", "memory", "tree", "details", "main")


def profile_html(profile: Profile, found: Alternatives | None = None) -> str:
    """The report of a profile, with the points around it."""
    points = points_document(found) if found is not None and found.axes else None
    return report_html(profile_document(profile), points, text=_as_lines(profile))


def report_html(document: Mapping[str, Any], points: Mapping[str, Any] | None = None, *, text: str = "") -> str:
    """The report of a profile.

    Args:
        document: the JSON object of a profile.
        points: the JSON object of the points around it; None for a report without switches.
        text: the figures as plain text, for a browser that runs no scripts.

    Returns:
        The page. All that comes from the model is escaped, and its policy lets the browser run the page's own script
        alone and load nothing.
    """
    script = _script()
    policy = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return Template(_asset("page.html")).substitute(
        title=escape(document["model"] or "model"),
        policy=policy,
        style=_colours() + _asset("style.css"),
        script=script,
        version=escape(_core.__version__),
        text=escape(text),
        profile=embedded(as_json(document, indent=None)),
        points="" if points is None else _packed(points),
    )


def _as_lines(profile: Profile) -> str:
    """The figures of the whole, without the modules."""
    lines = [*heading(profile), *totals(profile), ("ledger", ledger(profile))]
    return "\n".join(f"{name:14}{text}" for name, text in lines)


def embedded(text: str) -> str:
    """JSON that can stand inside a script element: nothing in it ends the element or starts a comment."""
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def _packed(points: Mapping[str, Any]) -> str:
    """Deflated, since it is many times the profile; browsers unpack it themselves (Compression Streams)."""
    return base64.b64encode(zlib.compress(as_json(points, indent=None).encode(), _LEVEL)).decode()


def _colours() -> str:
    """What binds a layer has the colours of every other picture; they do for light and dark pages."""
    return ":root { " + " ".join(f"--{name}: {colour};" for name, colour in BOUND.items()) + " }\n"


@cache
def _script() -> str:
    names = json.dumps({name: short_dtype(name) for name in CORE_DTYPES.values()})
    return "".join(
        ["(() => {\n", f"const SHORT_DTYPES = {names};\n", *(_asset(f"{name}.js") for name in _SCRIPTS), "})();\n"]
    )


def _asset(name: str) -> str:
    return (ASSETS / name).read_text(encoding="utf-8")
