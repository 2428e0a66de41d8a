"""Notations of the command line: `--set sequence=2048`, `--batch 1,8,64`, `--batch 1:64`."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Sequence
from fractions import Fraction
from math import isfinite

import click

from .._checks import excerpt, shown
from ..results.given_units import given
from ..sources.sizes import Ranges
from .types import engine_hint

# Sizes that depend on data have dots in their names, and `*` matches several of them.
_SIZE_NAME = re.compile(r"[A-Za-z_*][\w.*]*")
_MOST = 2**63 - 1
_MOST_FACTORS = 100_000
_DECIMALS = 12  # of a factor; sums of steps such as 0.1 are inexact


def named_settings(settings: tuple[str, ...], batch: str | None) -> dict[str, str]:
    """Return the values of `--set NAME=VALUE` and `--batch` by name."""
    values: dict[str, str] = {}
    for setting in (*settings, *([] if batch is None else [f"batch={batch}"])):
        name, equals, value = setting.partition("=")
        if not equals or not _SIZE_NAME.fullmatch(name):
            raise click.UsageError(f"--set takes NAME=VALUE, such as sequence=2048; got {shown(setting)}")
        if name in values:
            raise click.UsageError(f"size {shown(name)} is given twice; give it once")
        values[name] = value
    return values


def whole_number(name: str, text: str) -> int:
    """Parse the value of a size, which 64 bits hold."""
    try:
        number = int(text)
    except ValueError:
        found = given(text)
        if found is None or found[1] or found[0].denominator != 1:
            raise click.UsageError(
                f"{_titled(name)} must be a whole number, such as 8, 1k or 128Ki; got {shown(text)}"
            ) from None
        number = int(found[0])
    if not -_MOST - 1 <= number <= _MOST:
        raise click.UsageError(f"{_titled(name)} is {shown(text)}; give a number of at most {_MOST}")
    return number


def byte_sizes(text: str) -> list[int]:
    """Parse sizes such as `512`, `64MiB`, `1.5GB`, `1e6` or a comma-separated list; MB is 10^6 bytes, MiB is 2^20."""
    return [_byte_size(part.strip()) for part in text.split(",")]


def _byte_size(text: str) -> int:
    size, unit = given(text) or (Fraction(-1), "")
    if size < 0 or unit not in ("", "B"):
        raise click.UsageError(
            f"a message size is a number of bytes, such as 512, 64MiB, 1.5GB or 1e6; got {shown(text)}"
        )
    if size.denominator != 1:
        raise click.UsageError(f"a message size is a whole number of bytes; {shown(text)} is {float(size):g}")
    if size > _MOST:
        raise click.UsageError(f"message size {shown(text)} is too large; give at most {_MOST:g} bytes")
    return int(size)


def axis_values(name: str, text: str) -> Sequence[int]:
    """Parse the values of an axis: `1,8,64`, `1:64` (inclusive), `8:64:8`, or a comma-separated list of these.

    Ranges are not filled in.
    """
    parts = [_whole_range(name, part) for part in text.split(",")]
    return parts[0] if len(parts) == 1 else Ranges(*parts)


def _whole_range(name: str, text: str) -> range:
    bounds = [whole_number(name, bound) for bound in text.split(":")]
    first, last, step, *more = [*bounds, bounds[0], 1] if len(bounds) == 1 else [*bounds, 1]
    if step < 1 or last < first or more not in ([], [1]):
        raise click.UsageError(
            f"{_titled(name)}: a range is FIRST:LAST or FIRST:LAST:STEP, ascending; got {shown(text)}"
        )
    values = range(first, last + 1, step)
    if last - first >= step * sys.maxsize:
        raise click.UsageError(f"{_titled(name)}: {excerpt(text)} has 2^63 values or more; give fewer")
    return values


def _titled(name: str) -> str:
    return name if name.startswith("--") else f"size {shown(name)}"


def scale_axes(settings: tuple[str, ...], known: Sequence[str]) -> dict[str, list[float]]:
    """Parse the factors of each `--scale NAME=FACTORS`: `1,2,4`, `1:4:0.5` (inclusive), or a list of these."""
    axes: dict[str, list[float]] = {}
    for setting in settings:
        name, equals, text = setting.partition("=")
        if not equals or name not in known:
            raise click.UsageError(
                f"--scale takes NAME=FACTORS, such as bandwidth=1,2,4; NAME is {' or '.join(known)}; "
                f"got {shown(setting)}"
            )
        if name in axes:
            raise click.UsageError(f"--scale {name} is given twice; give all factors in one option")
        axes[name] = [factor for part in text.split(",") for factor in _factors(f"--scale {name}", part)]
    return axes


def _factors(what: str, text: str) -> list[float]:
    bounds = [_number(what, bound) for bound in text.split(":")]
    if min(bounds) <= 0:
        raise click.UsageError(f"{what} must be greater than 0, got {shown(text)}")
    if len(bounds) == 1:
        return bounds
    if len(bounds) == 2:  # noqa: PLR2004
        raise click.UsageError(f"{what}: a range of factors needs a step, such as {excerpt(text)}:0.5")
    first, last, step = bounds[:3]
    if len(bounds) > 3 or last < first:  # noqa: PLR2004
        raise click.UsageError(f"{what}: a range is FIRST:LAST:STEP, ascending; got {shown(text)}")
    steps = (last - first) / step * (1 + 1e-12) + 1e-9  # LAST is included despite rounding
    if steps > _MOST_FACTORS:
        raise click.UsageError(f"{what}: {excerpt(text)} has more than {_MOST_FACTORS:,} steps; give a larger step")
    return [round(first + number * step, _DECIMALS) for number in range(int(steps) + 1)]


def price_options(text: str) -> list[str]:
    """Split `--price on-demand,spot` into its prices; a text with `=` is one price, given by machine."""
    options = [text] if "=" in text else [part.strip() for part in text.split(",")]
    if not all(options) or len(set(options)) < len(options):
        raise click.UsageError(f"--price takes a comma-separated list of distinct prices; got {shown(text)}")
    return options


def prices_by_id(text: str, machines: Iterable[str]) -> dict[str, str]:
    """Return the price of a device-hour by machine id, as text; one price without an id is for all machines."""
    machines = list(machines)
    if "=" not in text:
        return dict.fromkeys(machines, text)
    by_id: dict[str, str] = {}
    for part in text.split(","):
        name, equals, price = part.partition("=")
        if not equals:
            raise click.UsageError(f"--price takes USD per hour, such as 2.49 or l4=0.80,t4=0.35; got {shown(text)}")
        if name in by_id:
            raise click.UsageError(f"--price of {name} is given twice; give it once")
        if name not in machines:
            raise click.UsageError(
                f"--price names {shown(name)}, which is not in --hardware; expected {_some(machines)}"
            )
        by_id[name] = price
    missing = [name for name in machines if name not in by_id]
    if missing:
        raise click.UsageError(f"--price of {_some(missing)} is missing; give one price for all, or one for each")
    return by_id


def _number(what: str, text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = float("nan")
    if not isfinite(number):
        raise click.UsageError(f"{what} must be a number, got {shown(text)}")
    return number


def _some(names: Sequence[str], most: int = 5) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def known_names(what: str, text: str, known: Sequence[str]) -> list[str]:
    """Parse a comma-separated list of distinct known names, in any case."""
    names = list(dict.fromkeys(name.strip().lower() for name in text.split(",")))
    for name in names:
        if name not in known:
            told = engine_hint(name) if what == "execution" else ""
            raise click.UsageError(f"unknown {what} {shown(name)}; expected some of {', '.join(known)}{told}")
    return names


def listed(option: str, texts: Iterable[str]) -> tuple[str, ...]:
    """Return the column names of an option that takes comma-separated lists and may be repeated."""
    names = tuple(name.strip() for text in texts for name in text.split(","))
    if not all(names):
        raise click.UsageError(f"{option} takes a comma-separated list of columns; one name is empty")
    return names
