"""The report of a profile: one HTML file with its own style, script and data, which loads nothing else."""

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
from ...predict.alternatives import Alternatives, alternatives
from ...results import figures
from ..colors import BOUND
from ..documents import (
    LAYER_KEYS,
    TOTALS,
    as_json,
    estimate_document,
    machine_document,
    profile_document,
    profile_layers,
)
from ..summary import heading, ledger, totals

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ...results.profile import Profile

ASSETS = Path(__file__).parent / "assets"

PROFILE_ID = "pyinfercost-profile"
"""The id of the script element that holds the profile's JSON, from which the report can be read back."""

_CARDS = [
    {
        "key": figure.key,
        "title": figure.title[0].upper() + figure.title[1:],
        "unit": figure.unit,
        "items": figure.items,
        "per": figure.per,
        "words": figure.words,
        "machine": figures.HARDWARE in figure.needs,
        "always": figure.needs <= {figures.HARDWARE, figures.POWER},
    }
    for figure in sorted(figures.of_scope(figures.CARD), key=lambda figure: figures.HARDWARE not in figure.needs)
]
"""Rows of the catalog that the page's script shows as cards, those of a machine first."""

_LEVEL = 6  # a higher one takes several times as long for two per cent

_SCRIPTS = ("numbers", "data", "headline", "axes", "roofline", "memory", "tree", "details", "main")


def profile_page(profile: Profile, *, vary: Mapping[str, Any] | None = None) -> str:
    """Return the report of a profile, with switches to the points around it.

    Args:
        profile: the profile.
        vary: axis -> values, as in `predict.alternatives`.

    Raises:
        ValueError: for an axis that cannot be varied, or a value that it does not take.
    """
    counted_only = profile.estimate is None and not vary
    found = None if counted_only else alternatives(profile, vary)
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
        figures=embedded(as_json(_CARDS, indent=None)),
        points="" if points is None else _packed(points),
    )


def _as_lines(profile: Profile) -> str:
    """The figures of the whole, without the modules."""
    lines = [*heading(profile), *totals(profile), ("ledger", ledger(profile.counts))]
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


SCHEMA_VERSION = 1

_OF_GRAPH = ("module", "op", "phase")
"""Keys of a layer that are the same at every point."""

_COLUMNS = tuple(key for key in LAYER_KEYS if key not in _OF_GRAPH)


def points_document(found: Alternatives) -> dict[str, Any]:
    """The JSON object of a grid of profiles.

    Returns:
        `axes`, a list of `name` and `values`; `base`, the place of the report's own profile, which is empty here;
        `machines`; and `points`, the last axis fastest: each with `sizes`, `totals`, `memory`, `estimate` (whose
        `machine` is a place in `machines`) and `layers`, key -> a place in `columns`, which has each column of figures
        once, in seven digits; totals are exact. A point that is not there has `refused`, the reason.
    """
    machines: dict[str, tuple[int, dict[str, Any]]] = {}
    columns: dict[tuple[Any, ...], int] = {}

    def place_of(column: tuple[Any, ...]) -> int:
        return columns.setdefault(column, len(columns))

    points: list[dict[str, Any]] = []
    for place, profile in enumerate(found.points):
        if profile is None or profile.estimate is None:
            points.append({"refused": found.refused.get(place, "")})
            continue
        if place == found.base:
            points.append({})
            continue
        machine = profile.estimate.machine
        if machine.name not in machines:
            machines[machine.name] = (len(machines), machine_document(machine))
        layers = profile_layers(profile)
        points.append(
            {
                **_totals(profile),
                "estimate": {**estimate_document(profile.estimate), "machine": machines[machine.name][0]},
                "layers": {key: place_of(_column(layers, key)) for key in _COLUMNS},
            }
        )
    return {
        "schema_version": SCHEMA_VERSION,
        "axes": [{"name": name, "values": [_name(value) for value in values]} for name, values in found.axes.items()],
        "base": found.base,
        "machines": [document for _, document in machines.values()],
        "points": points,
        "columns": [list(column) for column in columns],
    }


def _totals(profile: Profile) -> dict[str, Any]:
    memory = profile.counts.memory
    return {
        "precision": profile.precision,
        "sizes": dict(profile.sizes),
        "totals": {name: profile.figures[name] for name in TOTALS},
        "memory": {"peak_node": memory.peak_node, "peak_op": memory.peak_op, "peak_module": memory.peak_module},
    }


def _name(value: Any) -> Any:
    return getattr(value, "id", value)


def _column(layers: list[dict[str, Any]], key: str) -> tuple[Any, ...]:
    """Seven digits of what is predicted: all of them would make half of the file."""
    values = [layer[key] for layer in layers]
    if not any(isinstance(value, float) for value in values):
        return tuple(values)
    seen: dict[float | None, float | None] = {None: None}  # layers repeat, and so do their figures
    for value in values:
        if value not in seen:
            seen[value] = float(f"{value:.7g}")
    return tuple(seen[value] for value in values)
