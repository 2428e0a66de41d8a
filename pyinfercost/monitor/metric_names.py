"""Names and units of figures in Prometheus and OpenTelemetry, made from the names of this package."""

from __future__ import annotations

import re
from typing import NamedTuple

from ..results.live_figures import COUNTER, LiveFigure

PREFIX = "pyinfercost"

MODEL = "model"
"""The label that every series has."""

INFO_LABELS = (MODEL, "hardware", "engine", "precision", "layout", "observer", "version")
"""Labels of the series `pyinfercost_info`: constants of the model, and the version of this package."""


class _Unit(NamedTuple):
    """A unit that a name of this package ends in.

    Attributes:
        suffix: The end of the name.
        base: The end in Prometheus: the base unit in full (https://prometheus.io/docs/practices/naming/).
        ucum: The unit in OpenTelemetry, a code of UCUM, in which braces enclose notes.
        in_name: Whether OpenTelemetry's name keeps the unit, because UCUM has none for it.
    """

    suffix: str
    base: str
    ucum: str
    in_name: bool


# The first match applies, so longer suffixes come first.
_UNITS = (
    _Unit("_usd_per_h", "_usd_per_hour", "{USD}/h", True),
    _Unit("_per_s", "_per_second", "1/s", True),
    _Unit("_per_h", "_per_hour", "1/h", True),
    _Unit("_share", "_ratio", "1", False),
    _Unit("_s", "_seconds", "s", False),
    _Unit("_j", "_joules", "J", False),
    _Unit("_w", "_watts", "W", False),
    _Unit("_g", "_grams", "g", False),
    _Unit("_bytes", "_bytes", "By", True),
    _Unit("_flops", "_flops", "{FLOP}", True),
    _Unit("_usd", "_usd", "{USD}", True),
    _Unit("_usd_per_request", "_usd_per_request", "{USD}/{request}", True),
    _Unit("_per_million_tokens", "_per_million_tokens", "{USD}", True),
    _Unit("_joules_per_token", "_joules_per_token", "J/{token}", True),
    _Unit("_tokens", "_tokens", "{token}", True),
    _Unit("_requests", "_requests", "{request}", True),
    _Unit("_items", "_items", "{item}", True),
)


def base_units(name: str) -> str:
    """Return a name with its unit in full: `latency_seconds` for `latency_s`."""
    unit = _unit_of(name)
    return name if unit is None else (f"_{name}".removesuffix(unit.suffix) + unit.base).removeprefix("_")


def prometheus_name(figure: LiveFigure) -> str:
    """Return the name of a figure in Prometheus: `pyinfercost_energy_joules_total`."""
    return f"{PREFIX}_{base_units(figure.key)}" + ("_total" if figure.kind == COUNTER else "")


def otel_name(figure: LiveFigure) -> str:
    """Return the name of a figure in OpenTelemetry, by its semantic conventions where they have one."""
    if figure.otel is not None:
        return figure.otel
    unit = _unit_of(figure.key)
    key = figure.key if unit is None or unit.in_name else figure.key.removesuffix(unit.suffix)
    return f"{PREFIX}.{key}"


def otel_unit(figure: LiveFigure) -> str:
    """Return the unit of a figure as a code of UCUM: `s`, `J`, `{token}`; `1` without one."""
    unit = _unit_of(figure.key)
    return "1" if unit is None else unit.ucum


def valid_prometheus_name(text: str) -> str:
    """Return a text with underscores in place of characters that Prometheus allows in no name."""
    return re.sub(r"[^a-zA-Z0-9_]", "_", text)


def _unit_of(name: str) -> _Unit | None:
    return next((unit for unit in _UNITS if f"_{name}".endswith(unit.suffix)), None)
