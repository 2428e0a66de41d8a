"""What the command line's own little notations mean: `--set sequence=2048`, `--batch 1,8,64`, `--batch 1:64`."""

from __future__ import annotations

import re
from collections.abc import Sequence

import click

# Sizes that depend on data have dots in their names, and `*` stands for several of them.
_SIZE_NAME = re.compile(r"[A-Za-z_*][\w.*]*")


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
        raise click.UsageError(f"size {name!r} must be a whole number, got {text!r}") from None


def axis_values(name: str, text: str) -> list[int]:
    """The values of an axis: `1,8,64`, `1:64` (both ends included), `8:64:8`, or several of these with commas."""
    values: list[int] = []
    for part in text.split(","):
        bounds = [whole_number(name, bound) for bound in part.split(":")]
        if len(bounds) == 1:
            values += bounds
            continue
        step = bounds[2] if len(bounds) == 3 else 1  # noqa: PLR2004
        if len(bounds) > 3 or step < 1 or bounds[1] < bounds[0]:  # noqa: PLR2004
            raise click.UsageError(f"size {name!r}: a range is FIRST:LAST or FIRST:LAST:STEP, rising; got {part!r}")
        values += range(bounds[0], bounds[1] + 1, step)
    return values


def known_names(what: str, text: str, known: Sequence[str]) -> list[str]:
    """The names of a list with commas, each of them known."""
    names = text.split(",")
    for name in names:
        if name not in known:
            raise click.UsageError(f"unknown {what} {name!r}; expected some of {', '.join(known)}")
    return names
