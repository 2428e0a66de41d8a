"""The points around a profile as one small document: what the switches of a report choose from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..document import LAYER_KEYS, TOTALS, estimate_document, machine_document, profile_layers

if TYPE_CHECKING:
    from ...predict.alternatives import Alternatives
    from ...results.profile import Profile

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
        "totals": {name: getattr(profile.counts.total, name) for name in TOTALS},
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
