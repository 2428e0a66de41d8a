"""Output of `pyinfercost sweep`: a table, CSV, JSON or Parquet."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import click

from .._interrupts import STOPPED
from ..deployment.prices import GIVEN
from ..hardware.hosts import CHOICES
from ..report.layout import GAP, Note, Pairs
from ..report.layouts import out_parts
from ..report.render import render
from ..results.estimate import BOUNDS
from ..results.layouts import LayoutChoice
from ..results.units import quantity
from ..sweeps.result import Sweep
from .output import say, show, write_pieces
from .runners_up import other_offer, runners_up

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..inputs.price import Price
    from ..report.layout import Part
    from ..sweeps.storage import StoredSweep
    from .choice import Choice

FORMATS = ("table", "csv", "json", "parquet")
ROWS_OF_A_TABLE = 40
_FEW_PRICES = 2  # as many stand above a table; more of them follow it
_MIDDLE, _UPPER_END = "latency_s", "latency_high_s"
_PRICE = "price"
_LAUNCHED = ("eager", "compiled")  # by the host, one by one
_HINT = (
    f"Note: a limit on {_MIDDLE} applies to the estimate, which a measurement exceeds as often as not. About 9 of 10 "
    f"measurements are below {_UPPER_END}: the band is meant to hold 8 of 10, and 1 of 10 is above it."
)


@dataclass
class Answer:
    """Outcome of a sweep.

    Attributes:
        choice: The points to show.
        result: The computed points.
        points: Number of points in the grid.
        filtered: Whether all points of `result` satisfy the condition.
        prices: Price of a device-hour by machine.
        folder: Folder that stores the points, if any.
        stopped: Progress of an interrupted sweep; empty if it finished.
        loaded: Machines under continuous load, by id.
        hosts: Machine -> time in which its host issues an operator, where it is assumed.
        experts: Loads of experts that times are for; empty for a model without experts.
        out: Layouts that were tried and are out.
        ranked: Whether the best point is one of several layouts that were found.
    """

    choice: Choice
    result: Sweep | StoredSweep
    points: int
    filtered: bool
    prices: dict[str, Price] | None = None
    folder: str | None = None
    stopped: str = ""
    loaded: tuple[str, ...] = ()
    experts: tuple[str, ...] = ()
    hosts: Mapping[str, str] = field(default_factory=dict)
    out: tuple[LayoutChoice, ...] = ()
    ranked: bool = False


def show_answer(answer: Answer, form: str, output: str | None, limit: int | None) -> None:
    """Show or write the selected points.

    Raises:
        ClickException: `--best` was given and no point satisfies the condition.
        Exit: The sweep was interrupted; the code is 130.
    """
    if answer.stopped:
        again = f"; run the same command again to resume from {answer.folder}" if answer.folder else ""
        say(f"Sweep {answer.stopped}{again}")
    choice = answer.choice
    matching = answer.result
    if choice.where is not None and not answer.filtered:
        matching = matching.where(choice.where)
    found = len(matching)
    if not found:
        told = _nothing(answer)
        if choice.best is not None and not answer.stopped:
            raise click.ClickException(told)
        say(told)
    if found or not answer.stopped:
        _show(answer, matching if not found else choice.of(matching), matching, form, output, limit)
    if answer.stopped:
        raise click.exceptions.Exit(STOPPED)


def _nothing(answer: Answer) -> str:
    """Return the message for an empty result."""
    where, computed = answer.choice.where, answer.result
    if where is None or not (answer.filtered or len(computed)):
        return "no point was computed"
    if answer.filtered:
        points = "the computed points" if answer.stopped else f"{answer.points:,} points"
        return f"none of {points} satisfies {where}"
    shortfall = where.shortfall(computed.data, rows=len(computed))  # type: ignore[union-attr]
    return f"none of {len(computed):,} points satisfies {where}\n{shortfall}"


def _show(
    answer: Answer,
    chosen: Sweep | StoredSweep,
    matching: Sweep | StoredSweep,
    form: str,
    output: str | None,
    limit: int | None,
) -> None:
    if form == "table":
        where = answer.choice.where
        if where is not None and where.limits(_MIDDLE) and _UPPER_END not in where.names:
            say(_HINT)
        _show_table(answer, chosen, matching, output, limit or ROWS_OF_A_TABLE)
    else:
        for each in answer.out:
            say(f"Out: {each.layout} on {each.devices} devices: {each.reason}")
        points = chosen if limit is None else _first(chosen, limit)
        if form == "csv":
            write_pieces(render(points, "csv"), output)
        elif form == "json":
            write_pieces((points.to_json(), "\n"), output)
        elif output is not None:
            (points if isinstance(points, Sweep) else points.where(None)).to_parquet(output)


def _show_table(
    answer: Answer, chosen: Sweep | StoredSweep, matching: Sweep | StoredSweep, output: str | None, limit: int
) -> None:
    from ..report.table import laid_out

    about = _about(answer, len(matching), _first(chosen, limit))
    known: Mapping[str, Price] = answer.prices or {}
    if answer.choice.is_one_point and len(chosen):
        shown = _first(chosen, 1)
        if answer.ranked:
            known = _prices_of(shown, known)
            following = _ranking(answer.choice, matching, limit)
        else:
            others = runners_up(answer.choice, matching)
            machines = {*shown["hardware"].tolist(), *([] if others is None else others["hardware"].tolist())}
            known = {name: price for name, price in known.items() if machines & {*name.split()}}
            following = []
            if others is not None:
                following = [GAP, Note("The best point and those that follow it:", ""), *_table_of(others, limit)]
        about, prices = _with_prices(about, known)
        *parts, point = render(shown, "layout", about=about, point=True)
        lines = [*point.pairs, *other_offer(answer.choice, str(shown["hardware"][0]), known)]
        parts = [*parts, Pairs(lines), *following]
    else:
        about, prices = _with_prices(about, _prices_of(chosen, known))
        more = "--top shows more, --format csv all, --where and --pareto filter"
        parts = render(chosen, "layout", about=about, limit=limit, more=more)
    if prices:
        parts = [*parts, GAP, Note("Prices of a device:", ""), Pairs(prices)]
    show(laid_out([*parts, *out_parts((*answer.out, *_too_large(answer)))]), output)


def _with_prices(
    about: list[tuple[str, str]], known: Mapping[str, Price]
) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """Return the lines above a table with a few prices, and those prices that follow it because there are more."""
    prices = _price_lines(known)
    if len(prices) > _FEW_PRICES:
        return about, prices
    return [*about, *((_PRICE, f"{name}: {text}" if name else text) for name, text in prices)], []


def _prices_of(chosen: Sweep | StoredSweep, known: Mapping[str, Price]) -> Mapping[str, Price]:
    """Return the prices of the layouts that a table has, if layouts decide them."""
    if not (isinstance(chosen, Sweep) and any(" x " in name for name in known) and "layout" in chosen):
        return known
    rows = zip(*(chosen[name].tolist() for name in ("devices", "hardware", "layout")), strict=True)
    found: dict[str, Price] = {}
    for devices, hardware, layout in dict.fromkeys(rows):
        name = f"{devices} x {hardware}"
        own = f"{name} as {layout}"
        if (price := known.get(own, known.get(name))) is not None:
            found[name if str(found.get(name, price)) == str(price) else own] = price
    return found or known


def _ranking(choice: Choice, matching: Sweep | StoredSweep, limit: int) -> list[Part]:
    """Return a table of the best point of each layout, the best layouts first."""
    return [GAP, *_table_of(choice.ranked(matching, ("hardware", "devices", "layout")), limit)]


def _table_of(points: Sweep, limit: int) -> list[Part]:
    """Return the table of some points without the values that all of them share."""
    return list(render(points, "layout", limit=limit)[2:])


def _too_large(answer: Answer) -> list[LayoutChoice]:
    """Return the layouts of which no point fits the memory, with the least memory that they need."""
    result = answer.result
    if not answer.ranked or answer.filtered or not isinstance(result, Sweep) or not len(result):
        return []
    names = list(zip(*(result[name].tolist() for name in ("hardware", "layout", "devices")), strict=True))
    fitting = {name for name, fits in zip(names, result["fits_in_memory"].tolist(), strict=True) if fits}
    least: dict[tuple[str, str, int], int] = {}
    for name, needed in zip(names, result["peak_memory_bytes"].tolist(), strict=True):
        if name not in fitting:
            least[name] = min(needed, least.get(name, needed))
    memory = dict(zip(result["hardware"].tolist(), result["machine_memory_bytes"].tolist(), strict=True))
    return [
        LayoutChoice(
            layout=layout,
            devices=devices,
            reason=f"weights, caches and activations of a device need {quantity(needed, 'B')}, "
            f"{_than(needed, hardware, memory[hardware])}",
        )
        for (hardware, layout, devices), needed in least.items()
    ]


def _than(needed: float, hardware: str, memory: float) -> str:
    of_engine = "" if needed > memory else "the engine leaves of "
    return f"more than {of_engine}the {quantity(memory, 'B')} of {hardware}"


def _hosts(answer: Answer, shown: Sweep) -> str:
    """Return the assumed hosts of points that launches of single kernels bind, in words."""
    rest = [shown[f"{name}_s"] for name in BOUNDS if name != "launch"]
    found = {
        answer.hosts[hardware]: None
        for i, hardware in enumerate(shown["hardware"].tolist())
        if hardware in answer.hosts
        and shown["execution"][i] in _LAUNCHED
        and all(shown["launch_s"][i] > each[i] for each in rest)
    }
    return f"{', '.join(found)} per operator is assumed: --host {CHOICES} or microseconds" if found else ""


def _about(answer: Answer, found: int, shown: Sweep) -> list[tuple[str, str]]:
    """Return the lines above a table: the grid, the condition and the selection."""
    searched = f"{answer.points:,}"
    if answer.stopped:
        searched = answer.stopped
    lines = [("points", searched)]
    if answer.choice.where is not None:
        lines.append(("where", f"{answer.choice.where} ({found:,} point{'' if found == 1 else 's'})"))
    if words := answer.choice.words():
        lines.append(("best" if answer.choice.best else "chosen", words))
    if answer.loaded:
        lines.append(("load", f"continuous on {', '.join(answer.loaded)}"))
    if answer.hosts and (hosts := _hosts(answer, shown)):
        lines.append(("host", hosts))
    if answer.experts:
        lines.append(("experts", f"{', '.join(answer.experts)} loads; --layout expert_load=... states others"))
    if answer.folder:
        lines.append(("kept in", answer.folder))
    return lines


def _price_lines(prices: Mapping[str, Price]) -> list[tuple[str, str]]:
    """Return machines and their price; no machine where one line stands for all."""
    given = {name: price.usd_per_h for name, price in prices.items() if price.text == GIVEN}
    if given and len(given) == len(prices):
        if len(set(given.values())) == 1:
            return [("", f"{next(iter(given.values())):g} USD per device-hour")]
        return [("", ", ".join(f"{name} {price:g}" for name, price in given.items()) + " USD per device-hour")]
    lines: list[tuple[str, str]] = []
    by_text: dict[str, list[str]] = {}
    for name, price in prices.items():
        by_text.setdefault(str(price), []).append(name)
    for text, names in by_text.items():
        lines.append(("" if len(by_text) == 1 else ", ".join(names), text))
    return lines


def _first(chosen: Sweep | StoredSweep, limit: int) -> Sweep:
    """Return the first `limit` points."""
    return chosen.stretch(0, min(limit, len(chosen))) if isinstance(chosen, Sweep) else chosen.head(limit)
