"""HTML report of a profile: a single file with its own style, script and data, which loads no other resource."""

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
from ...results.folded_layers import folded_layers
from ..colors import BOUND
from ..documents import (
    LAYER_KEYS,
    TOTALS,
    estimate_document,
    machine_document,
    profile_document,
    profile_layers,
)
from ..summary import heading, ledger, totals
from .about import call_of, terms_document, written_by

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ...results.profile import Profile

ASSETS = Path(__file__).parent / "assets"

PROFILE_ID = "pyinfercost-profile"
"""Id of the script element that holds the profile's JSON; the profile is read back from it."""

GROUPS = {
    "Speed": ("latency_s", "throughput_per_s", "ttft_s", "tpot_s", "tokens_per_s"),
    "Energy and cost": ("energy_j", "cost_usd", "usd_per_million_tokens"),
    "Memory": ("peak_memory_bytes", "kv_cache_bytes", "kv_cache_bytes_per_token", "max_sequences"),
    "Work": ("flops", "traffic_bytes", "parameters"),
}
"""Group of the page's headline -> figures in it."""

_GROUP_OF = {key: group for group, keys in GROUPS.items() for key in keys}

_CARDS = [
    {
        "key": figure.key,
        "title": figure.title[0].upper() + figure.title[1:],
        "unit": figure.unit,
        "items": figure.items,
        "per": figure.per,
        "words": figure.words,
        "group": _GROUP_OF.get(figure.key, "Work"),
        "machine": figures.HARDWARE in figure.needs,
        "always": figure.needs <= {figures.HARDWARE, figures.POWER},
    }
    for figure in sorted(figures.of_scope(figures.CARD), key=lambda figure: figures.HARDWARE not in figure.needs)
]
"""Figures of the catalog that the page's script shows as cards, with those of a machine first."""

_LEVEL = 6  # higher levels take several times as long and save 2 %

_SCRIPTS = (
    "numbers",
    "tip",
    "terms",
    "data",
    "sentence",
    "headline",
    "axes",
    "roofline",
    "memory",
    "layout",
    "folding",
    "tree",
    "details",
    "main",
)


def profile_page(profile: Profile, *, vary: Mapping[str, Any] | None = None, hint: str = "", command: str = "") -> str:
    """Return the report of a profile, with switches to alternative points.

    Args:
        profile: The profile.
        vary: Axis -> values, as in `predict.alternatives`.
        hint: What would shorten the forward most, in words; empty shows what reduces its main effect.
        command: Command line or call that made the profile; empty states the call in Python.

    Returns:
        The HTML text.

    Raises:
        ValueError: An axis or one of its values is invalid.
    """
    counted_only = profile.estimate is None and not vary
    found = None if counted_only else alternatives(profile, vary)
    points = points_document(found) if found is not None and found.axes else None
    origin = written_by(command or call_of(profile))
    return report_html(profile_document(profile), points, text=_as_lines(profile), hint=hint, origin=origin)


def report_html(
    document: Mapping[str, Any],
    points: Mapping[str, Any] | None = None,
    *,
    text: str = "",
    hint: str = "",
    origin: str = "",
) -> str:
    """Return the report of a profile's JSON document.

    Args:
        document: JSON object of a profile.
        points: JSON object of the alternative points; None for a report without switches.
        text: Figures as plain text, for browsers without scripts.
        hint: What would shorten the forward most, in words.
        origin: When and by what the page is written.

    Returns:
        The HTML text. Content from the model is escaped, and the page's content security policy allows its own script
        only and no network access.
    """
    script = _script()
    policy = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return Template(asset("page.html")).substitute(
        title=escape(document["model"] or "model"),
        policy=policy,
        style=_colors() + asset("base.css") + asset("style.css"),
        script=script,
        version=escape(_core.__version__),
        text=escape(text),
        origin=escape(origin),
        profile=embedded(_compact({**document, "layers": folded_layers(document["layers"])})),
        figures=embedded(_compact({"cards": _CARDS, "groups": list(GROUPS), "hint": hint, **terms_document()})),
        points="" if points is None else _packed(points),
    )


def _as_lines(profile: Profile) -> str:
    """Return the figures of the whole model as lines of text."""
    lines = [*heading(profile), *totals(profile), ("ledger", ledger(profile.counts))]
    return "\n".join(f"{name:14}{text}" for name, text in lines)


def _compact(document: Any) -> str:
    return json.dumps(document, separators=(",", ":"), allow_nan=False)


def embedded(text: str) -> str:
    """Escape JSON for a script element, so that nothing in it ends the element or starts a comment."""
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def _packed(points: Mapping[str, Any]) -> str:
    """Compress the alternatives, which are far larger than the profile; browsers decompress them natively."""
    return base64.b64encode(zlib.compress(_compact(points).encode(), _LEVEL)).decode()


def _colors() -> str:
    """Return the colors of bounds as CSS variables; they suit light and dark pages."""
    return ":root { " + " ".join(f"--{name}: {color};" for name, color in BOUND.items()) + " }\n"


@cache
def _script() -> str:
    names = json.dumps({name: short_dtype(name) for name in CORE_DTYPES.values()})
    return "".join(
        ["(() => {\n", f"const SHORT_DTYPES = {names};\n", *(asset(f"{name}.js") for name in _SCRIPTS), "})();\n"]
    )


def asset(name: str) -> str:
    """Return the text of a file of the pages."""
    return (ASSETS / name).read_text(encoding="utf-8")


SCHEMA_VERSION = 1

_OF_GRAPH = ("module", "op", "phase")
"""Keys of a layer that are equal at all points."""

_COLUMNS = tuple(key for key in LAYER_KEYS if key not in _OF_GRAPH)


def points_document(found: Alternatives) -> dict[str, Any]:
    """Return the JSON object of a grid of profiles.

    Args:
        found: The profiles.

    Returns:
        `axes`, a list of `name` and `values`; `base`, the index of the report's own profile, which is empty here;
        `machines`; and `points`, with the last axis fastest. Each point has `sizes`, `totals`, `memory`, `estimate`
        (whose `machine` is an index into `machines`) and `layers`: key -> index into `columns`, which holds each
        distinct column of figures once, with seven digits; totals are exact. A point that could not be profiled has
        `refused`, the reason.
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
    """Round predicted figures to seven digits; full precision would double the size of the file."""
    values = [layer[key] for layer in layers]
    if not any(isinstance(value, float) for value in values):
        return tuple(values)
    seen: dict[float | None, float | None] = {None: None}  # cache, since repeated layers have equal figures
    for value in values:
        if value not in seen:
            seen[value] = float(f"{value:.7g}")
    return tuple(seen[value] for value in values)
