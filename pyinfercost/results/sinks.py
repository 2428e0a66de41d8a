"""Interface of sinks for records, and conversion of specifications such as "costs.csv" to sinks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol, runtime_checkable


@runtime_checkable
class Sink(Protocol):
    """A destination of records.

    Sinks are created in every process of a distributed run and written to in one of them. Therefore a sink starts a run
    or opens a file only at its first record. It closes its own files, but no object that it was given.
    """

    def write(self, step: int, metrics: Mapping[str, float | int]) -> None:
        """Write the figures of an optimizer step; names have slashes, as in `cost/l4/latency_s`."""

    def close(self) -> None:
        """Flush pending records. A second call has no effect."""


_openers: list[Callable[[Any], Sink]] = []


def open_sinks(specification: Any) -> list[Sink]:
    """Return the sinks of a specification: one or a list of the values accepted by `pyinfercost.monitor.open_sink`.

    Packages that write records do not import sinks. Therefore `pyinfercost` registers the function that opens them.

    Raises:
        ValueError: A string is not the name of a sink.
        TypeError: A value cannot be a sink.
        ImportError: A sink needs a library that is not installed.
    """
    given = specification if isinstance(specification, list | tuple) else [specification]
    return [_openers[-1](each) for each in given]


def register_sink_opener(opener: Callable[[Any], Sink]) -> None:
    """Set the function that converts a string, a path or an object to a sink; `pyinfercost` calls it when imported."""
    _openers[:] = [opener]
