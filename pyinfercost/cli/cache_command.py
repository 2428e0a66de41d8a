"""`pyinfercost cache`: contents of the cache, and how to empty it."""

from __future__ import annotations

import json
import time

import click

from .. import _cache
from .commands import command_group
from .options import format_option
from .output import messages_for_people, say, show, show_pairs, write


@command_group(invoke_without_command=True)
@click.pass_context
def cache(context: click.Context) -> None:
    """Show the cache of captured graphs, machines and names; list or clear its entries."""
    if context.invoked_subcommand is None:
        context.invoke(size)


@cache.command()
@format_option("table", "json")
def size(*, form: str = "table") -> None:
    """Show the folder, and the number and size of its entries by kind."""
    with messages_for_people():
        from ..results.units import quantity

        entries = _cache.entries()
        kinds = sorted({entry.kind for entry in entries})
        of_kinds = {kind: [entry.nbytes for entry in entries if entry.kind == kind] for kind in kinds}
        total, most = sum(entry.nbytes for entry in entries), _cache.limit_bytes()
        trouble = _cache.trouble()
        if form == "json":
            document = {
                "path": _cache.folder(),
                "trouble": trouble,
                "entries": len(entries),
                "bytes": total,
                "limit_bytes": most,
                "kinds": {kind: {"entries": len(sizes), "bytes": sum(sizes)} for kind, sizes in of_kinds.items()},
            }
            write(json.dumps(document, indent=2) + "\n", None)
            return
        lines = {
            "path": _cache.folder() or "none",
            **({} if trouble is None else {"not used": trouble}),
            "size": f"{quantity(total, 'B')} of {quantity(most, 'B')} in {len(entries)} entries",
            **{kind: f"{quantity(sum(sizes), 'B')} in {len(sizes)}" for kind, sizes in of_kinds.items()},
        }
        show_pairs(lines, form)


@cache.command("list")
@format_option("table", "json")
def list_entries(*, form: str) -> None:
    """List the captured graphs, the most recently used first."""
    with messages_for_people():
        found = [(entry, spec) for entry in _cache.entries() if (spec := _cache.first_line(entry)) is not None]
        rows = [
            {"spec": spec, "bytes": entry.nbytes, "used": _used_at(entry.used_s), "name": entry.name}
            for entry, spec in found
        ]
        if form == "json":
            write(json.dumps(rows, indent=2) + "\n", None)
            return
        from ..report.layout import Column, Table
        from ..report.table import laid_out
        from ..results.units import quantity

        columns = [
            Column("model", "", [str(row["spec"]) for row in rows], numeric=False, flexible=True),
            Column("size", "", [quantity(entry.nbytes, "B") for entry, _ in found]),
            Column("used", "", [str(row["used"]) for row in rows], numeric=False),
        ]
        show(laid_out([Table(columns)]), None)


def _used_at(seconds: float) -> str:
    try:
        return time.strftime("%Y-%m-%d %H:%M", time.localtime(seconds))
    except (ValueError, OverflowError, OSError):  # of a clock that was wrong
        return ""


@cache.command()
def clear() -> None:
    """Remove all entries."""
    with messages_for_people():
        trouble = _cache.trouble()
        removed = _cache.clear()
        say(f"Removed {removed} files" + ("" if trouble is None else f"; the cache is not used: {trouble}"))


@cache.command()
def path() -> None:
    """Print the folder."""
    with messages_for_people():
        place = _cache.folder()
        if place is None:
            raise click.ClickException("the cache is switched off by PYINFERCOST_NO_CACHE; unset it")
        write(place + "\n", None)
