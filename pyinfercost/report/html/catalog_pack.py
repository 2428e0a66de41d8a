"""The catalog of machines in a page: a column for each of their values, so that what they share is stored once."""

from __future__ import annotations

import json
from functools import cache
from math import isinf, isnan
from typing import TYPE_CHECKING, Any

from ... import _cache, _core
from ...predict.derived_costs import term_keys
from .packed_texts import packed

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from ...results.exploration import KnownMachine, MachineCatalog

_ABSENT = -1
_DIGITS = (3, 6, 9, 12)
_KIND = "catalog"

# Constants that the loader derives from a number of clocks, as `csrc/hardware/constant.hpp` does: the page stores the
# number, which many machines share, and makes the same operations with the clock of each.
_OF_CLOCKS: tuple[tuple[Callable[[float, float], float], Callable[[float, float], float]], ...] = (
    (lambda clocks, hz: clocks * (1 / hz), lambda value, hz: value * hz),
    (lambda clocks, hz: clocks / hz, lambda value, hz: value * hz),
    (lambda clocks, hz: 1 / (clocks * hz), lambda value, hz: 1 / (value * hz)),
)


def catalog_pack(catalog: MachineCatalog) -> str:
    """Return the machines of the catalog, packed; as long as nothing changes they are packed once."""
    key = _cache.digest(catalog.version, _cache.of_package("report"))
    if (stored := _cache.read(_KIND, key)) is not None:
        return stored.decode()
    text = packed(json.dumps(catalog_document(catalog.machines), separators=(",", ":"), allow_nan=False))
    _cache.write(_KIND, key, text.encode())
    return text


def catalog_document(known: Sequence[KnownMachine]) -> dict[str, Any]:
    """Return the JSON object of machines by columns.

    Args:
        known: The machines.

    Returns:
        `count`; `paths`, the keys that lead to each value of a machine, of its terms and prices; `columns`, for each
        path `[values, runs, form]`: the distinct values; flat pairs of an index among them (-1 where a machine lacks
        the value) and the number of machines in sequence that have it; and 0, or which operation makes the value of
        clocks.
    """
    documents = sorted(
        map(machine_entry, known), key=lambda each: [each["machine"][k] for k in ("kind", "family", "id")]
    )
    columns: dict[tuple[str, ...], list[Any]] = {}
    for row, document in enumerate(documents):
        for path, value in _leaves(document):
            columns.setdefault(path, [_ABSENT] * len(documents))[row] = [value]
    hz = [document["machine"]["clock_hz"] for document in documents]
    return {
        "count": len(documents),
        "paths": [list(path) for path in columns],
        "columns": [_column(values, hz if path[1:2] == ("constants",) else None) for path, values in columns.items()],
    }


def machine_entry(known: KnownMachine) -> dict[str, Any]:
    """Return the JSON object of one machine with its price and its terms."""
    return {
        "machine": json.loads(known.machine.to_json()),
        "terms": {key: number_or_word(known.terms[key]) for key in _stored_terms()},
        "offers": [
            [
                *(offer.usd_per_h, offer.devices, offer.has_host, offer.text, offer.cloud),
                *map(number_or_word, (offer.grid_g_per_kwh, offer.pue)),
            ]
            for offer in known.offers
        ],
        "price": known.price,
    }


@cache
def _stored_terms() -> tuple[str, ...]:
    """Return the keys of `TERMS` that the costs of a deployment take, with any engine."""
    return tuple(dict.fromkeys(key for engine in _core.engines() for key in term_keys(engine).values()))


def number_or_word(value: float) -> float | str | None:
    """Return a number as the core's requests have it: None is not known, and infinity a word."""
    return None if isnan(value) else "unbounded" if isinf(value) else value


def _leaves(value: Mapping[str, Any], path: tuple[str, ...] = ()) -> list[tuple[tuple[str, ...], Any]]:
    found: list[tuple[tuple[str, ...], Any]] = []
    for key, each in value.items():
        found += _leaves(each, (*path, key)) if isinstance(each, dict) and each else [((*path, key), each)]
    return found


def _column(values: Sequence[Any], hz: Sequence[float] | None) -> list[Any]:
    """Return a column in the form of `catalog_document`; a value is in a list of one, unless it is absent."""
    form, best = 0, values
    if hz is not None and sum(values[at] != values[at - 1] for at in range(1, len(values))) > 2:  # noqa: PLR2004
        for number, (made, clocks) in enumerate(_OF_CLOCKS, 1):
            found = _in_clocks(values, hz, made, clocks)
            if found is not None and len(json.dumps(found)) < len(json.dumps(best)):
                form, best = number, found
    values = best
    distinct: dict[str, int] = {}
    runs: list[int] = []
    for value in values:
        at = _ABSENT if value == _ABSENT else distinct.setdefault(json.dumps(value[0]), len(distinct))
        if runs and runs[-2] == at:
            runs[-1] += 1
        else:
            runs += [at, 1]
    return [[json.loads(text) for text in distinct], runs, form]


def _in_clocks(
    values: Sequence[Any], hz: Sequence[float], made: Callable[..., float], clocks_of: Callable[..., float]
) -> list[Any] | None:
    """Return the short numbers of clocks that values were made of; None if one of them was not."""
    found: list[Any] = []
    for value, at in zip(values, hz, strict=True):
        if value == _ABSENT or not value[0]:
            found.append(value)
            continue
        if not isinstance(value[0], (int, float)):
            return None
        exact = clocks_of(value[0], at)
        short = next((each for digits in _DIGITS if made(each := float(f"{exact:.{digits}g}"), at) == value[0]), None)
        if short is None:
            return None
        found.append([short])
    return found
