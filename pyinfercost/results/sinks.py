"""Sinks of records: the protocol, and how a specification such as "costs.csv" becomes one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol, runtime_checkable


@runtime_checkable
class Sink(Protocol):
    """A destination of records.

    Sinks are created in every process of a distributed run and written to in one. Therefore a sink that starts a run or
    opens a file does so at its first record. It closes what it has opened, and nothing that it was given.
    """

    def write(self, step: int, metrics: Mapping[str, float | int]) -> None:
        """Write the figures of an optimizer step; names have slashes, as in `cost/l4/latency_s`."""

    def close(self) -> None:
        """Flush pending records. A second call has no effect."""


_openers: list[Callable[[Any], Sink]] = []


def open_sinks(specification: Any) -> list[Sink]:
    """Return the sinks that a caller names: one or a list of what `pyinfercost.monitor.open_sink` takes.

    Records come from several rooms that know no sink. Therefore the package registers the function that opens one.

    Raises:
        ValueError: A word names no sink.
        TypeError: A value cannot be a sink.
        ImportError: A sink needs a library that is not installed.
    """
    given = specification if isinstance(specification, list | tuple) else [specification]
    return [_openers[-1](each) for each in given]


def register_sink_opener(opener: Callable[[Any], Sink]) -> None:
    """Set the function from a word, a path or an object to its sink; the package does so when it is imported."""
    _openers[:] = [opener]
