"""What mkdocs asks of this project while it builds the site: the commands, from click itself.

mkdocs puts the folder of this file on the path. It is not the root, whose `pyinfercost` would hide an installed wheel.
"""

from __future__ import annotations

import html
import inspect
from collections.abc import Iterator
from typing import Any

import click

from pyinfercost.cli import main

MARKER = "<!-- commands -->"


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Puts the commands in the place of the marker."""
    return markdown.replace(MARKER, "\n".join(commands())) if MARKER in markdown else markdown


def commands() -> Iterator[str]:
    """Each command with its usage, its help and its options, as lines of Markdown."""
    parent = click.Context(main, info_name="pyinfercost", **main.context_settings)
    yield from described(parent)
    for name in main.list_commands(parent):
        command = main.get_command(parent, name)
        if command is not None:
            yield from described(click.Context(command, info_name=name, parent=parent))


def described(context: click.Context) -> Iterator[str]:
    """One command."""
    command = context.command
    usage = command.get_usage(context).partition(" ")[2]
    yield from (
        "",
        f"## {context.command_path}",
        "",
        "```text",
        usage,
        "```",
        "",
        inspect.cleandoc(command.help or ""),
        "",
    )
    yield from ("| option | does |", "|---|---|")
    for parameter in command.get_params(context):
        record = parameter.get_help_record(context) if isinstance(parameter, click.Option) else None
        if record is not None:
            option, does = (html.escape(text).replace("|", "&#124;") for text in record)
            yield f"| <code>{option}</code> | {does} |"
    if command.epilog and (context.parent is None or command.epilog != main.epilog):
        yield from ("", inspect.cleandoc(command.epilog))
