"""The last hours of a live model as text: a view of a terminal that is drawn again and again, and tables."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.segment import Segment
from rich.table import Table as Grid
from rich.text import Text

from .._escapes import visible
from .layout import ALARM, Column, Note, Pairs, Table
from .live_history import parts_of
from .live_lines import (
    Line,
    about_text,
    band_text,
    events_of,
    lines_of,
    ratio_text,
    spent_text,
    state_text,
    unknown_text,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console, ConsoleOptions, RenderableType, RenderResult

    from ..results.live_history import LiveHistory
    from .layout import Layout

_BLOCKS = "▁▂▃▄▅▆▇█"
_PLAIN = "_.:-=+*#"
_LEAST_CURVE = 8
_MOST_CURVE = 96
_GAP = 2  # between columns of the table
_LEAST_BESIDE = 6
_MOST_EVENTS = 2  # lines of the head
_ALL = 10_000  # lines of a view that no terminal bounds


class LiveView:
    """The last hours of a live model on a terminal of any size.

    It is as high as the terminal where that bounds it, as in a live display; then the least important lines are left
    out. Colors repeat what words say.
    """

    def __init__(self, history: LiveHistory, *, hint: str = "") -> None:
        """Show a history.

        Args:
            history: The history.
            hint: A text for the last line.
        """
        self._history = history
        self._hint = hint

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        width = options.max_width
        marks = _BLOCKS if options.encoding.startswith("utf") else _PLAIN
        bottom = [_one_line(self._hint, "dim")] if self._hint else []
        room = _ALL if options.height is None else options.height - len(bottom)
        above = self._head()
        lines = lines_of(self._history)
        left = max(1, room - len(above))
        while len(lines) > left:
            lines.remove(max(lines, key=lambda line: line.rank))
        shown: list[RenderableType] = [*above, _figures(self._history, lines, width, marks)]
        left -= len(lines)
        parts = parts_of(self._history)
        if parts and left >= len(parts) + 2:
            shown += [Text(), _parts(parts)]
            left -= len(parts) + 2
        notes = self._notes()
        if notes and left > 1:
            shown += [Text(), *notes[: left - 1]]
        drawn = [line for part in shown for line in console.render_lines(part, options.update(height=None), pad=False)]
        if options.height is not None:
            drawn = drawn[:room] + [[] for _ in range(room - len(drawn))]
        for part in bottom:
            drawn += console.render_lines(part, options.update(height=None), pad=False)
        for number, line in enumerate(drawn):
            if number:
                yield Segment.line()
            yield from line
        yield Segment.line()

    def _head(self) -> list[Text]:
        words, style = state_text(self._history)
        title = Text(visible(self._history.title), "bold", no_wrap=True, overflow="ellipsis", end="")
        about = about_text(self._history)
        title.append(f" {about}" if about else "", "not bold dim")
        spent = spent_text(self._history)
        found = [title, _one_line(words, style)]
        found += [_one_line(each, ALARM) for each in events_of(self._history)[:_MOST_EVENTS]]
        return [*found, *([_one_line(f"spent: {spent}", "")] if spent else []), Text()]

    def _notes(self) -> list[Text]:
        unknown = unknown_text(self._history)
        latest = self._history.latest
        found = [unknown] if unknown else []
        found += [] if latest is None else [f"note: {visible(each)}" for each in latest.notes]
        return [_one_line(each, "dim") for each in found]


def history_view(history: LiveHistory) -> LiveView:
    """Return the view for a terminal."""
    return LiveView(history)


def history_layout(history: LiveHistory) -> Layout:
    """Return figures with their lowest and highest values, parts with predictions, and notes."""
    pairs = [("model", visible(history.title)), ("observed", about_text(history)), ("state", state_text(history)[0])]
    pairs.append(("spent", spent_text(history)))
    found: list[Pairs | Table | Note] = [Pairs([(name, text) for name, text in pairs if text])]
    lines = lines_of(history)
    if lines:
        ranges = [_range(history, line) for line in lines]
        found.append(
            Table(
                [
                    Column("figure", "", [line.name for line in lines], numeric=False),
                    Column("lately", "", [line.now for line in lines]),
                    Column("beside", "", [line.compared for line in lines], numeric=False),
                    Column("lowest", "", [low for low, _ in ranges], spare=1),
                    Column("highest", "", [high for _, high in ranges], spare=1),
                ]
            )
        )
    parts = parts_of(history)
    if parts:
        found.append(
            Table(
                [
                    Column("part", "", [visible(each["part"]) for each in parts], numeric=False, flexible=True),
                    Column("measured / predicted", "", [ratio_text(each["measured_to_predicted"]) for each in parts]),
                    Column("band", "", [band_text(each["predicted_low"], each["predicted_high"]) for each in parts]),
                    Column("lately", "", [ratio_text(each["lately"]) for each in parts]),
                    Column("drift", "", [ratio_text(each["measured_to_first"]) for each in parts]),
                ]
            )
        )
    unknown = unknown_text(history)
    notes = [] if history.latest is None else history.latest.notes
    found += [Note(each, ALARM) for each in events_of(history)]
    return [*found, *(Note(visible(each)) for each in (*([unknown] if unknown else []), *notes))]


def curve_text(history: LiveHistory, line: Line, width: int, marks: str = _BLOCKS) -> str:
    """Return the course of a figure over all intervals: a mark for each of `width` times, from 0 to the highest.

    A time without a value is a space.
    """
    if not history.intervals or width < 1:
        return ""
    start_s = history.intervals[0].start_s
    span_s = max(1e-9, history.intervals[-1].end_s - start_s)
    sums, weights = [0.0] * width, [0.0] * width
    for each in history.intervals:
        value = line.curve(each)
        if value is None:
            continue
        first = min(width - 1, int(width * (each.start_s - start_s) / span_s))
        last = min(width - 1, int(width * (each.end_s - start_s) / span_s - 1e-6))
        for place in range(first, max(first, last) + 1):
            sums[place] += each.duration_s * value
            weights[place] += each.duration_s
    values = [total / weight if weight else None for total, weight in zip(sums, weights, strict=True)]
    top = max((value for value in values if value is not None), default=0.0)
    most = len(marks) - 1
    return "".join(
        " " if value is None else marks[0] if top <= 0 else marks[min(most, max(0, round(most * value / top)))]
        for value in values
    )


def _range(history: LiveHistory, line: Line) -> tuple[str, str]:
    values = [value for value in map(line.curve, history.intervals) if value is not None]
    return (line.show(min(values)), line.show(max(values))) if values else ("", "")


def _figures(history: LiveHistory, lines: Sequence[Line], width: int, marks: str) -> Grid:
    """Return the table of figures. Values are whole; comparisons and curves take the rest, or are left out."""
    names, values, others = (max((len(text) for text in texts), default=0) for texts in _texts(lines))
    left = width - names - values - _GAP
    compared = min(others, left - _GAP)
    curve = min(_MOST_CURVE, left - compared - 2 * _GAP)
    grid = Grid.grid(padding=(0, _GAP, 0, 0))
    grid.add_column(no_wrap=True, overflow="ellipsis")
    grid.add_column(no_wrap=True, justify="right", min_width=values)
    grid.add_column(no_wrap=True)
    grid.add_column(no_wrap=True)
    for line in lines:
        cells: list[RenderableType] = [line.name, Text(line.now, "bold")]
        if compared >= _LEAST_BESIDE:
            text = Text(line.compared, ALARM if line.alarming else "dim")
            text.truncate(compared, overflow="ellipsis")
            cells.append(text)
        elif left > _GAP:
            cells.append(Text("!" if line.alarming else "", ALARM))
        if curve >= _LEAST_CURVE:
            cells.append(Text(curve_text(history, line, curve, marks), "dim"))
        grid.add_row(*cells)
    return grid


def _texts(lines: Sequence[Line]) -> tuple[list[str], list[str], list[str]]:
    return [line.name for line in lines], [line.now for line in lines], [line.compared for line in lines]


def _parts(parts: Sequence[dict[str, object]]) -> Grid:
    grid = Grid(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")
    grid.add_column("part", no_wrap=True, overflow="ellipsis")
    for title in ("measured/predicted", "band", "lately", "drift"):
        grid.add_column(title, justify="right", no_wrap=True)
    for each in parts:
        cells = [_number(each[name]) for name in ("measured_to_predicted", "lately", "measured_to_first")]
        grid.add_row(
            Text(visible(str(each["part"]))),
            Text(cells[0], ALARM if each["in_band"] is False else ""),
            band_text(_value(each["predicted_low"]), _value(each["predicted_high"])),
            Text(cells[1], ALARM if each["lately_in_band"] is False else ""),
            cells[2],
        )
    return grid


def _value(value: object) -> float | None:
    return value if isinstance(value, float) else None


def _number(value: object) -> str:
    return ratio_text(_value(value))


def _one_line(text: str, style: str) -> Text:
    return Text(text, style, no_wrap=True, overflow="ellipsis")
