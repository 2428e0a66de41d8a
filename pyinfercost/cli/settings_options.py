"""Options of the command line that settings types declare: their names, types and sentences."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import click

from .commands import grouped
from .types import InUnits

if TYPE_CHECKING:
    from ..inputs.settings import Setting, Settings

_Command = TypeVar("_Command", bound="Callable[..., Any]")
_UNITS = {"s": "s", "seconds": "s", "bytes": "B"}
"""Unit of a range -> unit of an option."""
_MOST_WHOLE, _MOST_NUMBER = 1_000_000, 24
"""Greatest ends of ranges in the help: of whole numbers, and of others. The setting itself checks greater ones."""
_METAVARS = {"s": "S", "B": "BYTES"}


def option_of(setting: Setting, *flags: str, text: str = "", **more: Any) -> Callable[[_Command], _Command]:
    """Return the option of a setting, without a default: None stands for one that is not given.

    Args:
        setting: The setting.
        *flags: Names of the option; by default the name of the setting, and of a flag also its opposite.
        text: Its sentence in the help; by default the sentence of the setting.
        **more: Other arguments of `click.option`, which replace the arguments of the setting.
    """
    dashed = setting.name.replace("_", "-")
    usual = f"--{dashed}/--no-{dashed}" if setting.form == "flag" else f"--{dashed}"
    made: dict[str, Any] = {"default": None, "type": _kind(setting), "metavar": setting.metavar}
    if isinstance(made["type"], InUnits):
        made["metavar"] = setting.metavar or _METAVARS[made["type"].unit]
    if setting.form == "flag":
        made |= {"type": None, "is_flag": True}
    return click.option(*(flags or (usual,)), _name(setting, flags), help=text or setting.option, **{**made, **more})


def _name(setting: Setting, flags: Sequence[str]) -> str:
    """Return the name of the option among the values of a command and in the configuration file: its first flag."""
    return flags[0].removeprefix("--").partition("/")[0].replace("-", "_") if flags else setting.name


def _kind(setting: Setting) -> Any:
    """Return the type of an option; None for any text, which the setting itself reads."""
    low, high = setting.within.low, setting.within.high
    if setting.form == "whole":
        return click.IntRange(min=int(low), max=int(high) if high <= _MOST_WHOLE else None)
    if setting.form == "number" and not setting.words:
        if unit := _UNITS.get(setting.within.unit):
            return InUnits(unit)
        return click.FloatRange(min=low, max=high) if high <= _MOST_NUMBER else click.FLOAT
    if setting.form == "word":
        return click.Choice([word for word in setting.words if word], case_sensitive=False)
    return None


def options_of(
    settings: type[Settings],
    title: str,
    *,
    only: Collection[str] = (),
    flags: Mapping[str, tuple[str, ...]] | None = None,
) -> Callable[[_Command], _Command]:
    """Return a decorator that adds the options of a settings type: of the fields with a sentence for them.

    Args:
        settings: The type.
        title: Title of the options in the help.
        only: Fields with an option in this command; empty for all.
        flags: Field -> names of its option, where it has others.
    """
    named = flags or {}
    chosen = [each for each in settings.fields if each.option and each.name in (only or [each.name])]
    return grouped(title, *(option_of(each, *named.get(each.name, ())) for each in chosen))


def given_of(
    settings: type[Settings], options: Mapping[str, Any], flags: Mapping[str, tuple[str, ...]] | None = None
) -> dict[str, Any]:
    """Return the options of a settings type that are given, by the names of its fields.

    Args:
        settings: The type.
        options: Values of the options of the command.
        flags: As in `options_of`.
    """
    found = {each.name: options.get(_name(each, (flags or {}).get(each.name, ()))) for each in settings.fields}
    return {name: value for name, value in found.items() if value is not None}
