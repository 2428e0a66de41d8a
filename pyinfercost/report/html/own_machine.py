"""Data with which a page makes a machine of a reader's device file: the schema, names, and constants of each family."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from ... import _core
from ...hardware.constants import HELD, TABLES
from ...hardware.dtypes import CORE_DTYPES, VALUE_BITS
from ...hardware.files import BANDWIDTH_TOLERANCE, CALIBRATIONS, CHANNEL_BITS, calibration, families
from ...hardware.loading import HALVINGS, KNOWN_ENERGY, LEAST_SHARE, SLOT_W, find
from ...hardware.schema import CACHE_LEVELS, DEVICE, PLAUSIBLE, Field, Table

if TYPE_CHECKING:
    from ...results.exploration import MachineCatalog

_DERIVING = ("assumed.", "cache.", "energy.", "overheads.", "power.", "stream.inline_ecc", "achieved.")
"""Constants that the loader derives values of a machine from, by the beginning of their names."""


def own_machine_document(catalog: MachineCatalog) -> dict[str, Any]:
    """Return the JSON object by which a page reads device files.

    Args:
        catalog: The machines of the page, one of which the machine of a file has its constants from.

    Returns:
        `schema`, the keys of a device file; `plausible`, the range of any number; `tolerance` and
        `channel_bits` of channels of memory; `power`, numbers of the law of power; `dtypes` and `bits`, by the short
        names of files; `levels`, the caches; `families`, those with a calibration file; `constants`, by the family of
        cataloged machines, those that values of a machine are derived from, in base units; `per_clock`, the names of
        constants of a machine that are inversely proportional to its clock.
    """
    examples = {known.machine.family: known.machine.id for known in catalog.machines}
    schema = _keys(DEVICE)
    del schema["calibration"]  # constants of one machine have units of their own: the loader converts them
    return {
        "schema": schema,
        "plausible": [PLAUSIBLE.low, PLAUSIBLE.high],
        "tolerance": BANDWIDTH_TOLERANCE,
        "channel_bits": CHANNEL_BITS,
        "power": {
            "slot_w": SLOT_W,
            "least_share": LEAST_SHARE,
            "halvings": HALVINGS,
            "known_energy": KNOWN_ENERGY,
        },
        "dtypes": dict(CORE_DTYPES),
        "bits": dict(VALUE_BITS),
        "levels": list(CACHE_LEVELS),
        "families": families(CALIBRATIONS),
        "constants": {family: _deriving(device) for family, device in sorted(examples.items())},
        "per_clock": _per_clock(),
    }


def _keys(table: Table) -> dict[str, Any]:
    return {key: _rule(rule) for key, rule in table.keys.items()}


def _rule(rule: Field | Table) -> dict[str, Any]:
    if isinstance(rule, Table):
        return {"keys": _keys(rule), "required": rule.required}
    said = {"type": rule.type, "low": rule.low, "high": rule.high, "above": rule.above, "required": rule.required}
    return {key: value for key, value in said.items() if value} | ({"choices": rule.choices} if rule.choices else {})


def _deriving(device: str) -> dict[str, float]:
    """Return the constants of the family of a device that do not depend on a clock."""
    values = calibration(find(device)).in_base_units(math.nan)
    return {name: value for name, value in values.items() if name.startswith(_DERIVING) and not math.isnan(value)}


def _per_clock() -> list[str]:
    slow, fast = (
        _core.base_constants({f"{table}.{key}": 1.0 for table, keys in TABLES.items() for key in keys}, clock_hz=hz)
        for hz in (1.0, 2.0)
    )
    return sorted(name for name in slow if slow[name] != fast[name] and name in HELD)
