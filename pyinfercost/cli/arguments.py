"""What the command line's own little notations mean: `--set sequence=2048`, `--batch 1,8,64`, `--batch 1:64`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from fractions import Fraction
from math import isfinite

import click

# Sizes that depend on data have dots in their names, and `*` stands for several of them.
_SIZE_NAME = re.compile(r"[A-Za-z_*][\w.*]*")
_BYTE_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*(?:([kmgt])(i?))?b?", re.IGNORECASE)
_MOST_FACTORS = 100_000
_DECIMALS = 12  # of a factor: what a step of 0.1 adds up to is not exact


def named_settings(settings: tuple[str, ...], batch: str | None) -> dict[str, str]:
    """The values of `--set NAME=VALUE` by name, with `--batch` among them."""
    values: dict[str, str] = {}
    for setting in (*settings, *([] if batch is None else [f"batch={batch}"])):
        name, equals, value = setting.partition("=")
        if not equals or not _SIZE_NAME.fullmatch(name):
            raise click.UsageError(f"--set takes NAME=VALUE, such as sequence=2048; got {setting!r}")
        if name in values:
            raise click.UsageError(f"size {name!r} is given twice")
        values[name] = value
    return values


def whole_number(name: str, text: str) -> int:
    """The value of a size."""
    try:
        return int(text)
    except ValueError:
        raise click.UsageError(f"{_titled(name)} must be a whole number, got {text!r}") from None


def byte_sizes(text: str) -> list[int]:
    """Sizes such as `512`, `64MiB`, `1.5GB`, or several with commas; binary and decimal units mean what they say."""
    return [_byte_size(part.strip()) for part in text.split(",")]


def _byte_size(text: str) -> int:
    match = _BYTE_SIZE.fullmatch(text)
    if match is None:
        raise click.UsageError(f"a size is a number of bytes such as 512, 64MiB or 1.5GB; got {text!r}")
    number, prefix, binary = match.groups()
    size = Fraction(number) * (1024 if binary else 1000) ** (" kmgt".index(prefix.lower()) if prefix else 0)
    if size.denominator != 1:
        raise click.UsageError(f"a size is a whole number of bytes; {text!r} is {float(size):g}")
    return int(size)


def axis_values(name: str, text: str) -> Sequence[int]:
    """The values of an axis: `1,8,64`, `1:64` (both ends included), `8:64:8`, or several of these with commas."""
    parts = [_whole_range(name, part) for part in text.split(",")]
    return parts[0] if len(parts) == 1 else [value for part in parts for value in part]


def _whole_range(name: str, text: str) -> range:
    bounds = [whole_number(name, bound) for bound in text.split(":")]
    first, last, step, *more = [*bounds, bounds[0], 1] if len(bounds) == 1 else [*bounds, 1]
    if step < 1 or last < first or more not in ([], [1]):
        raise click.UsageError(f"{_titled(name)}: a range is FIRST:LAST or FIRST:LAST:STEP, rising; got {text!r}")
    return range(first, last + 1, step)


def _titled(name: str) -> str:
    return name if name.startswith("--") else f"size {name!r}"


def scale_axes(settings: tuple[str, ...], known: Sequence[str]) -> dict[str, list[float]]:
    """The factors of each `--scale NAME=FACTORS`: `1,2,4`, `1:4:0.5` (both ends included), or several of these."""
    axes: dict[str, list[float]] = {}
    for setting in settings:
        name, equals, text = setting.partition("=")
        if not equals or name not in known:
            raise click.UsageError(
                f"--scale takes NAME=FACTORS, such as bandwidth=1,2,4; NAME is {' or '.join(known)}; got {setting!r}"
            )
        if name in axes:
            raise click.UsageError(f"--scale {name} is given twice")
        axes[name] = [factor for part in text.split(",") for factor in _factors(f"--scale {name}", part)]
    return axes


def _factors(what: str, text: str) -> list[float]:
    bounds = [_number(what, bound) for bound in text.split(":")]
    if min(bounds) <= 0:
        raise click.UsageError(f"{what} must be more than zero, got {text!r}")
    if len(bounds) == 1:
        return bounds
    if len(bounds) == 2:  # noqa: PLR2004
        raise click.UsageError(f"{what}: a range of factors needs a step, as in {text}:0.5")
    first, last, step = bounds[:3]
    if len(bounds) > 3 or last < first:  # noqa: PLR2004
        raise click.UsageError(f"{what}: a range is FIRST:LAST:STEP, rising; got {text!r}")
    steps = (last - first) / step * (1 + 1e-12) + 1e-9  # LAST counts where steps miss it by rounding alone
    if steps > _MOST_FACTORS:
        raise click.UsageError(f"{what}: {text} has more than {_MOST_FACTORS:,} steps")
    return [round(first + number * step, _DECIMALS) for number in range(int(steps) + 1)]


def price_options(text: str) -> list[str]:
    """`--price on-demand,spot`: several prices to choose from, as they were written; with `=` it is one, by machine."""
    options = [text] if "=" in text else [part.strip() for part in text.split(",")]
    if not all(options) or len(set(options)) < len(options):
        raise click.UsageError(f"--price takes prices with commas between, each once; got {text!r}")
    return options


def prices_by_id(text: str, machines: Iterable[str]) -> dict[str, str]:
    """`--price`: what an hour of one device costs, for all machines or by id, as it was written."""
    machines = list(machines)
    if "=" not in text:
        return dict.fromkeys(machines, text)
    by_id: dict[str, str] = {}
    for part in text.split(","):
        name, equals, price = part.partition("=")
        if not equals:
            raise click.UsageError(f"--price takes USD an hour, as in 2.49 or l4=0.80,t4=0.35; got {text!r}")
        if name in by_id:
            raise click.UsageError(f"--price of {name} is given twice")
        if name not in machines:
            raise click.UsageError(f"--price of {name!r}, which --hardware does not name; it names {_some(machines)}")
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
        raise click.UsageError(f"{what} must be a number, got {text!r}")
    return number


def _some(names: Sequence[str], most: int = 5) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def known_names(what: str, text: str, known: Sequence[str]) -> list[str]:
    """The names of a list with commas, each of them known, each once."""
    names = list(dict.fromkeys(text.split(",")))
    for name in names:
        if name not in known:
            raise click.UsageError(f"unknown {what} {name!r}; expected some of {', '.join(known)}")
    return names


def listed(option: str, texts: Iterable[str]) -> tuple[str, ...]:
    """Names of columns, from an option that takes several with commas and may be repeated."""
    names = tuple(name.strip() for text in texts for name in text.split(","))
    if not all(names):
        raise click.UsageError(f"{option} takes names of columns with commas between; one is empty")
    return names
