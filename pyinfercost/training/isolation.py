"""Isolation of a training loop from its tracking: failures are contained, random states are restored."""

from __future__ import annotations

import random
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import ParamSpec, TypeVar

from .._escapes import visible_lines
from ..predict.budgets import CostBudgetExceededError
from ..results.sinks import Sink

P = ParamSpec("P")
T = TypeVar("T")


class TrackingStoppedWarning(UserWarning):
    """Cost tracking failed and is disabled; training continues. Issued once, with the failure."""


class SinkFailedWarning(UserWarning):
    """A sink did not take a record; tracking continues, and the sink gets the next one. Issued once for each sink."""


class Guard:
    """Run functions so that their failures do not interrupt training.

    Attributes:
        error: The exception that disabled tracking; None before.
    """

    def __init__(self, what: str) -> None:
        self._what = what
        self.error: Exception | None = None

    @property
    def on(self) -> bool:
        """Whether nothing has failed so far."""
        return self.error is None

    def run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T | None:
        """Return the function's result; None if it fails, or if something failed before.

        Raises:
            CostBudgetExceededError: The function raised it, which is the caller's intent and no failure.
        """
        if self.error is not None:
            return None
        try:
            return function(*args, **kwargs)
        except CostBudgetExceededError:
            raise
        except Exception as error:
            self.stop(error)
            return None

    def stop(self, error: Exception) -> None:
        """Disable tracking, with one warning."""
        if self.error is None:
            self.error = error
            what = f"{self._what} failed and is disabled; training continues without it"
            _warn(f"{what}: {type(error).__name__}: {error}", TrackingStoppedWarning, stacklevel=5)


class GuardedSink:
    """A sink whose failures stop neither the training nor the tracking, nor the other sinks.

    Args:
        sink: The sink.
    """

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._failed = False

    def write(self, step: int, metrics: Mapping[str, float | int]) -> None:
        """Write a record; a failure is a warning, and the sink gets the next record all the same."""
        self._run("did not take a record", 7, self._sink.write, step, metrics)

    def close(self) -> None:
        """Close the sink."""
        self._run("did not close", 5, self._sink.close)

    def _run(self, what: str, stacklevel: int, function: Callable[..., object], *args: object) -> None:
        try:
            function(*args)
        except CostBudgetExceededError:
            raise
        except Exception as error:
            if not self._failed:
                self._failed = True
                name = type(self._sink).__name__
                told = f"the sink {name} {what}; tracking continues: {type(error).__name__}: {error}"
                _warn(told, SinkFailedWarning, stacklevel=stacklevel)


def _warn(message: str, category: type[Warning], *, stacklevel: int) -> None:
    # If warnings are errors, the warning itself would interrupt the training.
    with warnings.catch_warnings():
        if any(entry[0] == "error" for entry in warnings.filters):
            warnings.simplefilter("always", category)
        warnings.warn(visible_lines(message), category, stacklevel=stacklevel)


@contextmanager
def preserve_random_states() -> Iterator[None]:
    """Restore the generators of Python, numpy and torch, on all its devices, at the end."""
    import torch

    python, cpu = random.getstate(), torch.get_rng_state()
    numpy = sys.modules.get("numpy")
    numpy_state = numpy.random.get_state() if numpy is not None else None
    used = torch.cuda.is_available() and torch.cuda.is_initialized()  # type: ignore[no-untyped-call]
    gpus = torch.cuda.get_rng_state_all() if used else None
    apple = torch.mps.get_rng_state() if torch.backends.mps.is_available() else None
    try:
        yield
    finally:
        random.setstate(python)
        torch.set_rng_state(cpu)
        if numpy is not None and numpy_state is not None:
            numpy.random.set_state(numpy_state)
        if gpus is not None:
            torch.cuda.set_rng_state_all(gpus)
        if apple is not None:
            torch.mps.set_rng_state(apple)
