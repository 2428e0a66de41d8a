"""Isolation of a training loop from its tracking: failures are contained, random states are restored."""

from __future__ import annotations

import random
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import ParamSpec, TypeVar

from ..predict.budgets import CostBudgetExceededError

P = ParamSpec("P")
T = TypeVar("T")


class TrackingStoppedWarning(UserWarning):
    """Cost tracking failed and is disabled; training continues. Issued once, with the failure."""


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
            # If warnings are errors, the warning itself would interrupt the training.
            with warnings.catch_warnings():
                if any(entry[0] == "error" for entry in warnings.filters):
                    warnings.simplefilter("always", TrackingStoppedWarning)
                warnings.warn(
                    f"{self._what} failed and is disabled; training continues without it: "
                    f"{type(error).__name__}: {error}",
                    TrackingStoppedWarning,
                    stacklevel=4,
                )


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
