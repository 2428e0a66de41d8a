"""Sinks without a library: lines of text, and a function."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping
from fnmatch import fnmatchcase
from typing import TextIO

# A unit at the end of a name, and how it is written. The first that fits counts, so longer ones come first.
_UNITS = (
    ("_flops_per_s", "FLOP/s"),
    ("_bytes_per_s", "B/s"),
    ("_per_s", "/s"),
    ("_flops", "FLOP"),
    ("_bytes", "B"),
    ("_s", "s"),
    ("_j", "J"),
    ("_w", "W"),
    ("_g", "g"),
)
_SHARES = ("_share", "mfu", "hfu", "mbu")
BRIEF = (
    "cost/*/latency_s",
    "cost/*/cost_usd",
    "converted/*/latency_s",
    "sparsity/zero_share",
    "training/step_s",
    "training/items_per_s",
    "training/tokens_per_s",
    "training/mfu",
)
"""What fits a line of a terminal: what the word `stdout` shows."""


class Stdout:
    """One line a record: `step 120 | cost/l4: latency 1.234 ms, energy 80.00 mJ | training: mfu 41.2 %`.

    Args:
        stream: Where to write; None is `sys.stdout` as it is at the time. It is never closed.
        only: Names to show, with the wildcards of a shell: `"cost/*"`. None shows all.
    """

    def __init__(self, stream: TextIO | None = None, only: str | Iterable[str] | None = None) -> None:
        self._stream = stream
        self._only = (only,) if isinstance(only, str) else None if only is None else tuple(only)

    def write(self, step: int, metrics: Mapping[str, float | int]) -> None:
        """Writes the line, or none where no name is to be shown."""
        groups: dict[str, list[str]] = {}
        for name, value in metrics.items():
            if self._only is None or any(fnmatchcase(name, pattern) for pattern in self._only):
                group, _, figure = name.rpartition("/")
                groups.setdefault(group, []).append(readable(figure, value))
        if groups:
            parts = [f"step {step}"]
            for group, figures in groups.items():
                parts.append((f"{group}: " if group else "") + ", ".join(figures))
            stream = sys.stdout if self._stream is None else self._stream
            stream.write(" | ".join(parts) + "\n")
            stream.flush()

    def close(self) -> None:
        """Nothing is held back."""


class Callback:
    """Calls a function with the step and the figures.

    Args:
        function: Called with `(step, metrics)`.
    """

    def __init__(self, function: Callable[[int, Mapping[str, float | int]], object]) -> None:
        self._function = function

    def write(self, step: int, metrics: Mapping[str, float | int]) -> None:
        """Calls the function."""
        self._function(step, metrics)

    def close(self) -> None:
        """Nothing is held back."""


def readable(name: str, value: float) -> str:
    """A figure with the unit that its name ends in: `latency_s` and 0.001234 are `latency 1.234 ms`."""
    from ...results.units import quantity, significant

    if name.endswith(_SHARES):
        return f"{name} {100 * value:.3g} %"
    sign, size = ("-", -value) if value < 0 else ("", value)
    for suffix, unit in _UNITS:
        if f"_{name}".endswith(suffix):
            return f"{name.removesuffix(suffix)} {sign}{quantity(size, unit)}"
    if name.endswith("_usd"):
        return f"{name.removesuffix('_usd')} {sign}{significant(size)} USD"
    return f"{name} {value if isinstance(value, int) else significant(value)}"
