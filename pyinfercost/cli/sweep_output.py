"""What a sweep found, as a table, CSV, JSON or Parquet."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from ..deployment.prices import GIVEN
from ..report.render import render
from ..sweeps.result import Sweep
from .output import STOPPED, show, write_pieces

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..results.costs import Price
    from ..sweeps.storage import StoredSweep
    from .choice import Choice

FORMATS = ("table", "csv", "json", "parquet")
ROWS_OF_A_TABLE = 40


@dataclass
class Answer:
    """What came of a sweep.

    Attributes:
        choice: which points are wanted.
        result: the points that were computed.
        points: how many points the grid has.
        filtered: whether `result` has only points that satisfy the condition.
        prices: what an hour of a device costs, by machine.
        folder: where the points are kept.
        stopped: how far it came, where it was stopped.
    """

    choice: Choice
    result: Sweep | StoredSweep
    points: int
    filtered: bool
    prices: dict[str, Price] | None = None
    folder: str | None = None
    stopped: str = ""


def show_answer(answer: Answer, form: str, output: str | None, limit: int | None) -> None:
    """Shows or writes the points that are wanted.

    Raises:
        ClickException: where there should be a best point and nothing satisfies the condition.
        Exit: with 130, where the sweep was stopped.
    """
    if answer.stopped:
        again = f"; the same command goes on from there, in {answer.folder}" if answer.folder else ""
        click.echo(f"Sweep {answer.stopped}{again}", err=True)
    choice = answer.choice
    matching = answer.result
    if choice.where is not None and not answer.filtered:
        matching = matching.where(choice.where)
    found = len(matching)
    if not found:
        told = _nothing(answer)
        if choice.best is not None and not answer.stopped:
            raise click.ClickException(told)
        click.echo(told, err=True)
    if found or not answer.stopped:
        _show(answer, matching if not found else choice.of(matching), found, form, output, limit)
    if answer.stopped:
        raise click.exceptions.Exit(STOPPED)


def _nothing(answer: Answer) -> str:
    """Why there are no points."""
    where, computed = answer.choice.where, answer.result
    if where is None or not (answer.filtered or len(computed)):
        return "no point was computed"
    if answer.filtered:
        points = "the points that were computed" if answer.stopped else f"{answer.points:,} points"
        return f"none of {points} satisfies {where}"
    shortfall = where.shortfall(computed.data, rows=len(computed))  # type: ignore[union-attr]
    return f"none of {len(computed):,} points satisfies {where}\n{shortfall}"


def _show(
    answer: Answer, chosen: Sweep | StoredSweep, found: int, form: str, output: str | None, limit: int | None
) -> None:
    if form == "table":
        _show_table(answer, chosen, found, output, limit or ROWS_OF_A_TABLE)
    else:
        points = chosen if limit is None else _first(chosen, limit)
        if form == "csv":
            write_pieces(render(points, "csv"), output)
        elif form == "json":
            write_pieces((points.to_json(), "\n"), output)
        elif output is not None:
            (points if isinstance(points, Sweep) else points.where(None)).to_parquet(output)


def _show_table(answer: Answer, chosen: Sweep | StoredSweep, found: int, output: str | None, limit: int) -> None:
    about = _about(answer, found)
    if answer.choice.is_one_point and len(chosen):
        show(render(_first(chosen, 1), "view", about=about, point=True), output)
    else:
        more = "--limit shows more, --format csv all, --where and --pareto choose"
        show(render(chosen, "view", about=about, limit=limit, more=more), output)


def _about(answer: Answer, found: int) -> list[tuple[str, str]]:
    """What was searched, and what was looked for."""
    searched = f"{answer.points:,}"
    if answer.stopped:
        searched = answer.stopped
    lines = [("points", searched)]
    if answer.choice.where is not None:
        lines.append(("where", f"{answer.choice.where} ({found:,} point{'' if found == 1 else 's'})"))
    if words := answer.choice.words():
        lines.append(("best" if answer.choice.best else "chosen", words))
    lines += _price_lines(answer.prices or {})
    if answer.folder:
        lines.append(("kept in", answer.folder))
    return lines


def _price_lines(prices: Mapping[str, Price]) -> list[tuple[str, str]]:
    """What machines cost; prices of the caller's own in one line."""
    given = {name: price.usd_per_h for name, price in prices.items() if price.text == GIVEN}
    if given and len(given) == len(prices):
        if len(set(given.values())) == 1:
            return [("price", f"{next(iter(given.values())):g} USD an hour for a device")]
        return [("price", ", ".join(f"{name} {price:g}" for name, price in given.items()) + " USD an hour")]
    lines: list[tuple[str, str]] = []
    by_text: dict[str, list[str]] = {}
    for name, price in prices.items():
        by_text.setdefault(str(price), []).append(name)
    for text, names in by_text.items():
        lines.append(("price", text if len(by_text) == 1 else f"{', '.join(names)}: {text}"))
    return lines


def _first(chosen: Sweep | StoredSweep, limit: int) -> Sweep:
    """The first points."""
    return chosen.stretch(0, min(limit, len(chosen))) if isinstance(chosen, Sweep) else chosen.head(limit)
