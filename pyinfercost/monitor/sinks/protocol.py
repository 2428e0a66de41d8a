"""What a sink is, and how it asks for its library."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any, Protocol, runtime_checkable


@runtime_checkable
class Sink(Protocol):
    """Takes records of cost.

    Sinks are made in every process of a distributed run and written to in one. So a sink that starts a run or opens a
    file does that at its first record. It closes what it has opened itself, and nothing that it was given.
    """

    def write(self, step: int, metrics: Mapping[str, float | int]) -> None:
        """Takes the figures after an optimizer step; names have slashes, as `cost/l4/latency_s`."""

    def close(self) -> None:
        """Writes out what is still held. A second call does nothing."""


def library(name: str, what: str, extra: str) -> Any:
    """An optional library, or an error that names the extra that brings it.

    Raises:
        ImportError: It is not installed.
    """
    try:
        return import_module(name)
    except ImportError as error:
        package = name.partition(".")[0]
        raise ImportError(
            f"{what} needs {package}, which cannot be imported ({error}): pip install 'pyinfercost[{extra}]'",
            name=package,
        ) from error
