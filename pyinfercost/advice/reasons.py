"""Reasons: why a tactic does not help, as the mechanism with figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import floor, log10
from typing import TYPE_CHECKING

from ..results.estimate import BOUNDS
from ..results.units import percent

if TYPE_CHECKING:
    from ..results.estimate import Estimate
    from .case import Case
    from .tactic import Tried

WORDS: Mapping[str, str] = {
    "compute": "arithmetic",
    "dram": "memory traffic",
    "cache": "cache traffic",
    "link": "traffic between devices",
    "launch": "launches of kernels",
}
"""Term of a latency -> the bound in words."""

_NOTABLE = 0.02
"""Least change of a term, as a share of the latency, that a reason names."""


def bound_words(estimate: Estimate) -> str:
    """Return the bounds of a forward: `62 % memory traffic, 30 % launches of kernels`."""
    shares = sorted(estimate.bound_shares.items(), key=lambda item: -item[1])
    return ", ".join(f"{percent(share)} % {WORDS[name]}" for name, share in shares if share >= _NOTABLE)


def seconds_by_bound(estimate: Estimate) -> dict[str, float]:
    """Return the seconds of an item that each term binds."""
    rate = estimate.throughput_per_s or 0.0
    seconds = 1 / rate if rate > 0 else estimate.latency_s
    return {name: estimate.bound_shares.get(name, 0.0) * seconds for name in BOUNDS}


_MATRIX = ("linear", "addmm", "mm", "matmul")


def matrix_share(estimate: Estimate) -> float:
    """Return the share of the latency that linear layers and other products of matrices with weights take."""
    taken_s = sum(layer.latency_s for layer in estimate.layers if layer.op.rpartition(".")[2] in _MATRIX)
    return taken_s / estimate.latency_s if estimate.latency_s > 0 else 0.0


def reason(tried: Tried, case: Case) -> str:
    """Return why an option does not help: which terms of the time of an item fall, and which do not."""
    before, after = case.estimate, tried.estimate
    if before is None or after is None:
        return ""
    old, new = seconds_by_bound(before), seconds_by_bound(after)
    whole = sum(old.values())
    changes = {name: new[name] - old[name] for name in BOUNDS}
    falls = [name for name in BOUNDS if changes[name] < -_NOTABLE * whole]
    rises = [name for name in BOUNDS if changes[name] > _NOTABLE * whole]
    if not falls and not rises:
        return f"an item takes {short(whole, 's')} as before: {bound_words(after)}"
    parts = []
    for verb, names in (("shortens", falls), ("adds", rises)):
        if names:
            amounts = [f"{WORDS[name]} by {short(abs(changes[name]), 's')}" for name in names]
            if verb == "adds":
                amounts = [f"{short(changes[name], 's')} of {WORDS[name]}" for name in names]
            parts.append(f"{verb} {joined(amounts)}")
    now, then = short(whole, "s"), short(sum(new.values()), "s")
    total = f"an item takes {then} instead of {now}" if then != now else f"an item takes about {now} as before"
    return f"{total}: it {' and '.join(parts)}; then it is {bound_words(after)}"


def joined(parts: Sequence[str]) -> str:
    """Return parts of a sentence with commas, and `and` before the last one."""
    if len(parts) < len(("one", "other")):
        return "".join(parts)
    return f"{', '.join(parts[:-1])} and {parts[-1]}"


_DIGITS = 2
_PREFIXES = {0: "", -3: "m", -6: "u", -9: "n"}


def short(value: float, unit: str) -> str:
    """Return a figure with two significant digits and its unit: `5.3 ms`."""
    if value <= 0:
        return f"0 {unit}"
    power = max(-9, min(0, 3 * floor(log10(value) / 3)))
    return f"{short_number(value / 10.0**power)} {_PREFIXES[power]}{unit}"


def short_number(value: float) -> str:
    """Return a number with two significant digits and no exponent."""
    if value <= 0:
        return "0"
    digits = max(0, _DIGITS - 1 - floor(log10(value)))
    return f"{value:,.{digits}f}"
