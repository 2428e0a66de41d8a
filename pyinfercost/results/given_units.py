"""Numbers with units as people write them: `20ms`, `80GB`, `1k`."""

from __future__ import annotations

import re
from fractions import Fraction
from types import MappingProxyType

_PREFIXES = {"n": -9, "u": -6, "\N{MICRO SIGN}": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15}
_BINARY = {"Ki": 1024, "Mi": 1024**2, "Gi": 1024**3, "Ti": 1024**4, "Pi": 1024**5}


def _units() -> dict[str, tuple[Fraction, str]]:
    """Return unit -> factor and base unit."""
    found: dict[str, tuple[Fraction, str]] = {
        "min": (Fraction(60), "s"),
        "h": (Fraction(3600), "s"),
        "d": (Fraction(86400), "s"),
        "Wh": (Fraction(3600), "J"),
        "kWh": (Fraction(3_600_000), "J"),
        "USD": (Fraction(1), "USD"),
        "usd": (Fraction(1), "USD"),
    }
    for prefix, exponent in _PREFIXES.items():
        factor = Fraction(10) ** exponent
        for base in ("s", "J", "W", "g"):
            if exponent <= 0 or base != "s":
                found[prefix + base] = (factor, base)
        if exponent >= 0:
            # Bytes are written in any case; bits are not meant.
            for name in {f"{prefix}B", f"{prefix}b", f"{prefix.upper()}B", f"{prefix.lower()}b"} - {"b"}:
                found[name] = (factor, "B")
            found[f"{prefix}FLOP"] = (factor, "FLOP")
            if prefix:
                found[prefix] = found[prefix.upper()] = (factor, "")
    for prefix, multiple in _BINARY.items():
        for name in (f"{prefix}B", f"{prefix.lower()}b"):
            found[name] = (Fraction(multiple), "B")
        found[prefix] = (Fraction(multiple), "")
    return found


UNITS = MappingProxyType(_units())
"""Unit -> factor and base unit: `ms` -> 1/1000 and `s`. Numbers of things (`k`, `Ki`) have no base unit."""

NUMBER_WITH_UNIT = r"(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)? ?[^\W\d_]+"
"""A number followed by letters, as a regular expression."""

_GIVEN = re.compile(r"([+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?)\s*([^\W\d_]*)")
_LONGEST = 60
_MOST_EXPONENT = 400

WITHOUT_UNITS = MappingProxyType(
    {
        "latency": "latency_s",
        "latency_low": "latency_low_s",
        "latency_high": "latency_high_s",
        "throughput": "throughput_per_s",
        "energy": "energy_j",
        "cost": "cost_usd",
        "carbon": "carbon_g",
        "ttft": "ttft_s",
        "tpot": "tpot_s",
        "cold_start": "cold_start_s",
        "peak_memory": "peak_memory_bytes",
        "memory_left": "memory_left_bytes",
    }
)
"""Figures without their units, which people type, and their names. No size of a model has such a name."""

_ENDINGS = {
    "_s": "s",
    "_j": "J",
    "_w": "W",
    "_g": "g",
    "_bytes": "B",
    "_usd": "USD",
    "_flops": "FLOP",
}


def given(text: str) -> tuple[Fraction, str] | None:
    """Return the exact number that a text states, in base units, and the base unit, which may be empty.

    None if it is no number, or has no known unit.
    """
    match = _GIVEN.fullmatch(text.strip()) if len(text) <= _LONGEST else None
    if match is None:
        return None
    digits, unit = match.groups()
    if abs(int(re.split("[eE]", digits)[1])) > _MOST_EXPONENT if re.search("[eE]", digits) else False:
        return None
    factor, base = UNITS.get(unit, (None, "")) if unit else (Fraction(1), "")
    return None if factor is None else (Fraction(digits) * factor, base)


def unit_of(name: str) -> str | None:
    """Return the base unit that the name of a figure ends in: `s` for `latency_s`; None if it has none."""
    if name.endswith("_per_s"):
        return None
    return next((unit for ending, unit in _ENDINGS.items() if name.endswith(ending)), None)


def full_name(name: str) -> str:
    """Return the figure that a name without its unit stands for: `latency_s` for `latency`; other names are kept."""
    return WITHOUT_UNITS.get(name, name)
