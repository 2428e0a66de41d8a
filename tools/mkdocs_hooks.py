"""Parts of documentation pages generated from code: commands from click, constants from the core's table, the gallery.

mkdocs puts the folder of this file on the path, instead of the root, whose `pyinfercost` would hide an installed wheel.
"""

from __future__ import annotations

import html
import inspect
import json
import re
from collections.abc import Iterator
from pathlib import Path
from pydoc import locate
from typing import Any

import click

from pyinfercost import _core
from pyinfercost.cli import main
from pyinfercost.results.declared import declarations_of, part_of


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Replace the markers of a page by the generated lists."""
    markers = (("<!-- commands -->", commands), ("<!-- constants -->", constants), ("<!-- gallery -->", gallery))
    for marker, lines in markers:
        if marker in markdown:
            markdown = markdown.replace(marker, "\n".join(lines()))
    return re.sub(r"<!-- keys of ([\w.]+) -->", lambda found: "\n".join(keys_of_result(found[1])), markdown)


def keys_of_result(name: str) -> Iterator[str]:
    """Yield the keys of a result's JSON object with their meanings, as lines of Markdown."""
    yield from ("| key | meaning |", "|---|---|")
    result: Any = locate(f"pyinfercost.{name}")
    for key, text in keys_of(result, result.document_key, {}):
        meaning = re.sub(r"\bNone\b", "`null`", text)
        yield f"| `{key}` | {meaning} |"


def keys_of(record: Any, place: str, shown: dict[type, str]) -> Iterator[tuple[str, str]]:
    """Yield the key and the sentence of each declaration and of its parts, but for results and parts of `shown`."""
    for each in declarations_of(record):
        if each.inner:
            continue
        part, key, text = part_of(each), f"{place}.{each.name}", each.text
        if each.spread:
            key, names = f"{place}.LATENCY", ", ".join(f"`{name}`" for name in each.spread)
            text = f"{text} `LATENCY` stands for {names}."
        same = getattr(part, "document_key", "") or shown.get(part, "")
        yield key, f"{text} Its keys are those of `{same}`." if same else text
        if part is not None and not same:
            shown[part] = key = key + "[]" * each.annotation.startswith("tuple")
            yield from keys_of(part, key, shown)


def gallery() -> Iterator[str]:
    """Yield the pages of the gallery that were built (`nox -s gallery`), as lines of Markdown."""
    index = Path(__file__).parents[1] / "docs" / "gallery" / "index.json"
    if not index.is_file():
        return
    yield from ("## Gallery", "")
    for file, title in json.loads(index.read_text(encoding="utf-8")).items():
        yield f"- [{title}](gallery/{file})"


def commands() -> Iterator[str]:
    """Yield each command with its usage, its help and its options, as lines of Markdown."""
    yield from with_inner(click.Context(main, info_name="pyinfercost", **main.context_settings))


def with_inner(context: click.Context) -> Iterator[str]:
    """Yield the lines of a command and of the commands in it."""
    yield from described(context)
    command = context.command
    for name in command.list_commands(context) if isinstance(command, click.Group) else ():
        inner = command.get_command(context, name)
        if inner is not None:
            yield from with_inner(click.Context(inner, info_name=name, parent=context))


def described(context: click.Context) -> Iterator[str]:
    """Yield the lines of one command."""
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


def constants() -> Iterator[str]:
    """Yield every calibration constant as lines of Markdown: a table for each group of tables with the same keys."""
    groups: dict[tuple[str, ...], list[_core.CalibrationConstant]] = {}
    for constant in _core.calibration_constants():
        groups.setdefault(tuple(constant.tables), []).append(constant)
    for tables, rows in groups.items():
        more = f" and {len(tables) - 1} more" if len(tables) > 1 else ""
        yield from ("", f"## [{tables[0]}]{more}", "")
        if more:
            yield from ("In each of " + ", ".join(f"`[{table}]`" for table in tables) + ":", "")
        yield from ("| key | unit | default | allowed | sets |", "|---|---|---|---|---|")
        for row in rows:
            cells = (f"`{row.key}`", row.unit, default_of(row), allowed_by(row), row.meaning)
            yield "| " + " | ".join(cells) + " |"


def default_of(row: _core.CalibrationConstant) -> str:
    """Return the value of a constant that no file sets, in the unit of files."""
    if row.required:
        return "required"
    if row.default is None:
        return "unset"
    # A time of 0 is 0 in any unit; the inverse rate has no limit.
    inverted = row.unit.startswith("elements/clock") and row.base_unit.startswith("s/")
    text = "no cost" if inverted else f"{row.default:g}"
    return f"that of {row.fallback}, else {text}" if row.fallback else text


def allowed_by(row: _core.CalibrationConstant) -> str:
    """Return the range of a constant's values in a file."""
    text = f"{'above' if row.above else 'from'} {row.low:g}"
    text += "" if row.high is None else f" to {row.high:g}"
    return f"{text}, whole" if row.whole else text
