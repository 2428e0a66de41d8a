"""Layers of a profile's document in a report: equal ones are stored once, since layers of a model repeat."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .._checks import MOST, Range, shown, whole
from ..errors import InputError

OWN = ("module", "note", "live_activation_bytes")
"""Keys that differ between equal layers; each has a list of distinct values of its own."""


def folded_layers(layers: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return layers in a form of which equal ones take a few bytes each.

    Args:
        layers: Layers of a profile's document, all with the same keys.

    Returns:
        `keys`; `rows`, the distinct values of these keys; `row`, the index of each layer among them; and `own`, for
        each of `OWN` its distinct `values` and the index `at` of each layer.
    """
    keys = [key for key in (layers[0] if layers else ()) if key not in OWN]
    row, rows = _indexed([tuple(layer[key] for key in keys) for layer in layers])
    own = {}
    for key in OWN:
        at, values = _indexed([layer[key] for layer in layers])
        own[key] = {"values": values, "at": at}
    return {
        "order": list(layers[0]) if layers else [],
        "keys": keys,
        "rows": [list(each) for each in rows],
        "row": row,
        "own": own,
    }


def unfolded_layers(folded: Mapping[str, Any], where: str, error: type[InputError]) -> list[dict[str, Any]]:
    """Return the layers of `folded_layers`.

    Args:
        folded: Its result, read from a file.
        where: Name of the file, for messages.
        error: The error to raise.

    Raises:
        InputError: Of the given type: the value is not in this form.
    """
    keys = _texts(folded, "keys", where, error)
    rows = _listed(folded, "rows", where, error)
    places = _listed(folded, "row", where, error)
    if len(places) > MOST:
        raise error(f"{where} has {len(places):,} layers; expected at most {MOST:,}")
    for values in rows:
        if not isinstance(values, list) or len(values) != len(keys):
            raise error(f"a row of layers of {where} is {shown(values)}; expected a list of {len(keys)} values")
    found = [dict(zip(keys, rows[_place(at, len(rows), where, error)], strict=True)) for at in places]
    own = folded.get("own")
    if not isinstance(own, Mapping):
        raise error(f"own of layers of {where} is {shown(own)}; expected an object")
    for key, column in own.items():
        if not isinstance(column, Mapping):
            raise error(f"{shown(key)} of layers of {where} is {shown(column)}; expected an object")
        values, at = _listed(column, "values", where, error), _listed(column, "at", where, error)
        if len(at) != len(found):
            raise error(f"{shown(key)} of layers of {where} has {len(at)} values; expected {len(found)}")
        for layer, place in zip(found, at, strict=True):
            layer[key] = values[_place(place, len(values), where, error)]
    order = _texts(folded, "order", where, error)
    return [{key: layer[key] for key in (*order, *layer) if key in layer} for layer in found]


def _indexed(values: Sequence[Any]) -> tuple[list[int], list[Any]]:
    """Return the index of each value among the distinct ones, and these; values of unequal types are distinct."""
    places: dict[Any, int] = {}
    typed = [(value, _types(value)) for value in values]
    at = [places.setdefault(key, len(places)) for key in typed]
    return at, [value for value, _ in places]


def _types(value: Any) -> Any:
    """Return the types in a value: 1, 1.0 and True are equal, and their JSON is not."""
    return tuple(map(type, value)) if isinstance(value, tuple) else type(value)


def _listed(document: Mapping[str, Any], key: str, where: str, error: type[InputError]) -> list[Any]:
    value = document.get(key)
    if not isinstance(value, list):
        raise error(f"{key} of layers of {where} is {shown(value)}; expected a list")
    return value


def _texts(document: Mapping[str, Any], key: str, where: str, error: type[InputError]) -> list[str]:
    values = _listed(document, key, where, error)
    for value in values:
        if not isinstance(value, str):
            raise error(f"{key} of layers of {where} has {shown(value)}; expected texts")
    return values


def _place(value: object, count: int, where: str, error: type[InputError]) -> int:
    return whole(value, f"an index in layers of {where}", Range(0, count - 1), error)
