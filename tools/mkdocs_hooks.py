"""Parts of documentation pages generated from code: commands, constants of the core, the glossary, the gallery.

mkdocs puts the folder of this file on the path, instead of the root, whose `pyinfercost` would hide an installed wheel.
"""

from __future__ import annotations

import html
import importlib
import inspect
import json
import pkgutil
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from pyinfercost import _core, results
from pyinfercost.cli import main
from pyinfercost.cli.commands import groups_of
from pyinfercost.inputs.autoscalers import KINDS
from pyinfercost.inputs.settings import Settings
from pyinfercost.report import glossary
from pyinfercost.results import figures
from pyinfercost.results.declared import class_named, declarations_of, part_of
from pyinfercost.results.latency import Distribution


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Replace the markers of a page by the generated lists."""
    markers = (
        ("<!-- autoscalers -->", autoscalers),
        ("<!-- commands -->", commands),
        ("<!-- constants -->", constants),
        ("<!-- glossary -->", terms),
        ("<!-- gallery -->", gallery),
    )
    for marker, lines in markers:
        if marker in markdown:
            markdown = markdown.replace(marker, "\n".join(lines()))
    return re.sub(r"<!-- keys of (\w+)(?: as ([\w.]+))? -->", lambda m: "\n".join(table_of(*m.groups())), markdown)


def table_of(name: str, place: str | None) -> Iterator[str]:
    """Yield the keys of a class of results, or of a scope of figures, at a place in JSON, as lines of Markdown."""
    for module in pkgutil.iter_modules(results.__path__, f"{results.__name__}."):
        importlib.import_module(module.name)  # declares its classes
    yield from ("| key | meaning |", "|---|---|")
    known = class_named(name)
    listed = (
        [(f"{place}.{each.key}", each.sentence) for each in figures.of_scope(name)]
        if known is None
        else keys_of(known, place or known.document_key, {})
    )
    for key, text in listed:
        meaning = re.sub(r"\bNone\b", "`null`", text)
        yield f"| `{key}` | {meaning} |"


def keys_of(record: Any, place: str, seen: dict[Any, str]) -> Iterator[tuple[str, str]]:
    """Yield the key and the sentence of each declaration, and of parts in it; other results and seen parts are named.

    Args:
        record: The class.
        place: Its key.
        seen: Part that was described before -> its key.
    """
    for each in declarations_of(record):
        if each.inner:
            continue
        part, key = part_of(each), f"{place}.{each.name}"
        if each.spread:
            kind = "LATENCY" if part is not None and issubclass(part, Distribution) else "FIGURE"
            names = ", ".join(f"`{name}`" for name in each.spread)
            key = f"{place}.{kind}"
            yield key, f"{each.text} `{kind}` stands for {names}."
        else:
            known = getattr(part, "document_key", seen.get(part, ""))
            yield key, each.text + (f" Its keys are those of `{known}`." if known else "")
        for settings in Settings.__subclasses__():
            if settings.__name__ == each.annotation:
                yield from ((f"{key}.{setting.name}", setting.text) for setting in settings.fields)
        if part is not None and not hasattr(part, "document_key") and part not in seen:
            items = {"tuple": "[]", "Mapping": ".NAME"}.get(each.annotation.partition("[")[0], "")
            seen[part] = key if each.spread else key + items
            yield from keys_of(part, seen[part], seen)


def terms() -> Iterator[str]:
    """Yield the terms of reports with their meanings, as lines of Markdown: a table for each kind of term."""
    kinds = {
        "Headings": glossary.TERMS,
        "Columns of modules": glossary.COLUMNS,
        "Values of `Bound`": glossary.BOUNDS,
    }
    for title, meanings in kinds.items():
        yield from ("", f"## {title}", "", "| term | meaning |", "|---|---|")
        yield from (f"| {name} | {meaning} |" for name, meaning in meanings.items())
    yield from ("", "## Effects", "", "| effect | meaning | reduced by |", "|---|---|---|")
    yield from (f"| {name} | {effect.meaning} | {effect.remedy} |" for name, effect in glossary.EFFECTS.items())


def autoscalers() -> Iterator[str]:
    """Yield the class of each autoscaler, as directives of the API pages."""
    for kind in KINDS.values():
        yield from (f"::: pyinfercost.fleets.{kind.__name__}", "")


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
    if not isinstance(command, click.Group):
        return
    for name in command.list_commands(context):
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
    for title, options in groups_of(command, context).items():
        yield from ("", f"| {title.lower()} | does |", "|---|---|")
        for each in options:
            option, does = (
                html.escape(text).replace("|", "&#124;") for text in each.get_help_record(context) or ("", "")
            )
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
