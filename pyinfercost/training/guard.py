"""What hangs in somebody's training loop must never stop it: the first failure is told once and switches it off."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class TrackingStoppedWarning(UserWarning):
    """Cost is no longer tracked; training goes on. The message says what failed, and is given once."""


class PassesThroughError(Exception):
    """What a caller has asked for, such as a budget that raises: no failure, so that no guard holds it back."""


class Guard:
    """Runs what must not disturb training.

    Attributes:
        error: The exception that switched it off; None while it is on.
    """

    def __init__(self, what: str) -> None:
        self._what = what
        self.error: Exception | None = None

    @property
    def on(self) -> bool:
        """Whether nothing has failed so far."""
        return self.error is None

    def run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T | None:
        """What the function returns; None where it fails or something failed before.

        Raises:
            PassesThroughError: The function raised it.
        """
        if self.error is not None:
            return None
        try:
            return function(*args, **kwargs)
        except PassesThroughError:
            raise
        except Exception as error:
            self.stop(error)
            return None

    def stop(self, error: Exception) -> None:
        """Switches off, with one warning."""
        if self.error is None:
            self.error = error
            # Where warnings are errors, raising one here would stop the training that it is about.
            with warnings.catch_warnings():
                if any(entry[0] == "error" for entry in warnings.filters):
                    warnings.simplefilter("always", TrackingStoppedWarning)
                warnings.warn(
                    f"{self._what} has failed and is switched off, training goes on without it: "
                    f"{type(error).__name__}: {error}",
                    TrackingStoppedWarning,
                    stacklevel=4,
                )
