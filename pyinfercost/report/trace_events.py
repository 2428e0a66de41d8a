"""Events of the Chrome Trace Event Format, with times in microseconds.

A slice is a pair of begin and end and never an event with a duration: viewers round start and duration to nanoseconds,
each by itself, and drop a slice that then begins before the last one has ended. Rounded ends and begins stay in order.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import accumulate, pairwise
from typing import Any

_US = 1e6


class Events:
    """The events of one process of a timeline, in `found`.

    Args:
        process: its number, which is also its place among the others.
        name: what it is called.
    """

    def __init__(self, process: int, name: str) -> None:
        self.process = process
        self.found: list[dict[str, Any]] = []
        self._meta("process_name", 0, {"name": name})
        self._meta("process_sort_index", 0, {"sort_index": process})

    def name_thread(self, thread: int, name: str) -> None:
        """Names a track; tracks stand in the order of their numbers."""
        self._meta("thread_name", thread, {"name": name})
        self._meta("thread_sort_index", thread, {"sort_index": thread})

    def slice(self, thread: int, name: str, started_us: float, ended_us: float, arguments: Mapping[str, Any]) -> None:
        """A slice with nothing in it."""
        self.begin(thread, name, started_us, arguments)
        self.end(thread, name, ended_us)

    def begin(self, thread: int, name: str, ts: float, arguments: Mapping[str, Any]) -> None:
        """The start of a slice that `end` closes; what begins before that is nested in it."""
        self.found.append({"ph": "B", "pid": self.process, "tid": thread, "name": name, "ts": ts, "args": arguments})

    def end(self, thread: int, name: str, ts: float) -> None:
        """The end of the slice that began last."""
        self.found.append({"ph": "E", "pid": self.process, "tid": thread, "name": name, "ts": ts})

    def counter(self, name: str, ts: float, values: Mapping[str, float]) -> None:
        """Values that hold from now on."""
        self.found.append({"ph": "C", "pid": self.process, "tid": 0, "name": name, "ts": ts, "args": values})

    def _meta(self, name: str, thread: int, arguments: Mapping[str, Any]) -> None:
        self.found.append({"ph": "M", "pid": self.process, "tid": thread, "name": name, "ts": 0, "args": arguments})


def laid_out(seconds: Sequence[float]) -> list[tuple[float, float]]:
    """Starts and ends, in microseconds, of slices that follow each other without a gap."""
    return list(pairwise(_US * passed for passed in accumulate(seconds, initial=0.0)))


def module_slices(
    events: Events, thread: int, stretches: Sequence[tuple[str, str, float, float, Mapping[str, float]]]
) -> None:
    """Nested slices of modules, one for each time that a module goes on without a break.

    Args:
        events: where they go.
        thread: the track.
        stretches: in their order: what all is in, the path of the module, start and end in microseconds, and figures
            that a module has as the sum of those in it.
    """
    open_slices: list[tuple[str, dict[str, Any]]] = []
    now = 0.0

    def close(down_to: int) -> None:
        while len(open_slices) > down_to:
            events.end(thread, open_slices.pop()[0], now)

    for whole, module, started, ended, figures in stretches:
        names = [whole, *(module.split(".") if module else ())]
        shared = 0
        while shared < min(len(names), len(open_slices)) and open_slices[shared][0] == names[shared]:
            shared += 1
        close(shared)
        for depth in range(shared, len(names)):
            arguments: dict[str, Any] = {"module": ".".join(names[1 : depth + 1])}
            open_slices.append((names[depth], arguments))
            events.begin(thread, names[depth], started, arguments)
        for _, arguments in open_slices:  # viewers see what is added up until the end: the file is written later
            for figure, value in figures.items():
                arguments[figure] = arguments.get(figure, 0.0) + value
        now = ended
    close(0)
