"""Commands whose help lists options by group: the most used ones, or all of them with `--help-all`."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any, TypeVar

import click

_Command = TypeVar("_Command", bound="Callable[..., Any]")

GENERAL, OUTPUT = "Options", "Output"
"""Group of options without another one, the first; group of the options on output, the last but one."""
_OTHER = "Help"

_USED = (
    *("scrape", "model", "hardware", "traffic", "rate", "prompt", "output-tokens", "batch", "precision", "engine"),
    *("price", "latency", "saving", "output", "html", "slo", "autoscaler", "plan", "find", "where", "pareto", "best"),
    *("fail-if", "format", "context", "quantize", "layout", "execution", "devices", "set"),
)
"""Options that are used most, in the order in which a help has room for them."""
_SHOWN, _FEW = 12, 16
"""Options in a help, and most of a command whose help has all of them."""


def grouped(title: str, *options: Callable[[Any], Any]) -> Callable[[_Command], _Command]:
    """Return a decorator that adds options to a command, under a title in its help."""

    def added(command: _Command) -> _Command:
        before = {id(each) for each in getattr(command, "__click_params__", ())}
        for option in reversed(options):
            command = option(command)
        for each in command.__click_params__:  # type: ignore[attr-defined]
            if id(each) not in before and not hasattr(each, "group"):
                each.group = title
        return command

    return added


def groups_of(command: click.Command, context: click.Context) -> dict[str, list[click.Option]]:
    """Return the options of a command that are not hidden, by the title of their group."""
    found: dict[str, list[click.Option]] = {GENERAL: []}
    last: dict[str, list[click.Option]] = {OUTPUT: [], _OTHER: []}
    for each in command.get_params(context):
        if isinstance(each, click.Option) and not each.hidden:
            title = getattr(each, "group", GENERAL if each in command.params else _OTHER)
            (last if title in last else found).setdefault(title, []).append(each)
    return {title: options for title, options in (found | last).items() if options}


def _rank(option: click.Option) -> int:
    name = max(option.opts, key=len).removeprefix("--")
    return _USED.index(name) if name in _USED else len(_USED)


class _Grouped(click.Command):
    """A command with groups of options in its help."""

    @cached_property
    def _help_all(self) -> click.Option:
        options = [each for each in self.params if isinstance(each, click.Option) and not each.hidden]
        shown: dict[str, Any] = {"is_flag": True, "expose_value": False, "is_eager": True, "callback": _show_all}
        text = f"Show all {len(options)} options and exit."
        return click.Option(["--help-all"], hidden=len(options) <= _FEW, help=text, **shown)

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        return [*super().get_params(ctx), self._help_all]

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        groups = groups_of(self, ctx)
        listed = [option for title, options in groups.items() if title != _OTHER for option in options]
        whole = self._help_all.hidden or ctx.meta.get(__name__, False)
        shown = listed if whole else sorted(listed, key=_rank)[:_SHOWN]
        for title, options in groups.items():
            records = [each.get_help_record(ctx) for each in options if title == _OTHER or each in shown]
            if any(records):
                with formatter.section(title):
                    formatter.write_dl([record for record in records if record is not None])
        if isinstance(self, click.Group):
            self.format_commands(ctx, formatter)


def _show_all(context: click.Context, _: click.Parameter, value: bool) -> None:
    if value and not context.resilient_parsing:
        context.meta[__name__] = True
        click.echo(context.get_help(), color=context.color)
        context.exit()


class _Group(_Grouped, click.Group):
    """Commands under one name, with groups of options in its help."""


def command(name: str | None = None, **settings: Any) -> Callable[[Callable[..., Any]], click.Command]:
    """Return the decorator `click.command` of a command with groups of options in its help."""
    return click.command(name, cls=_Grouped, **settings)


def command_group(name: str | None = None, **settings: Any) -> Callable[[Callable[..., Any]], click.Group]:
    """Return the decorator `click.group` of a group with groups of options in its help."""
    return click.group(name, cls=_Group, **settings)
