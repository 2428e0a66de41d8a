"""Weights & Biases."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .protocol import library

_STEP = "cost/step"


class WandB:
    """Logs to a run of Weights & Biases, against a step of its own.

    A run has one counter that only goes up, and drops what is logged for an earlier number. So the counter is left
    to whoever trains: figures come with `cost/step`, which is declared to be their axis.

    Args:
        run: The run. None takes the one that is active when the first record comes, or else starts one.
        **init: Arguments of `wandb.init`, such as `project`.

    Raises:
        ImportError: There is no wandb.
    """

    def __init__(self, run: Any = None, **init: Any) -> None:
        self._wandb = library("wandb", "the sink WandB", "wandb") if run is None else None
        self._run = run
        self._init = init
        self._made = False
        self._defined: set[str] = set()

    def write(self, step: int, metrics: Mapping[str, float | int]) -> None:
        """Logs the figures."""
        if self._run is None:
            self._start()
        for name in metrics:
            prefix, slash, _ = name.partition("/")
            pattern = f"{prefix}/*" if slash else name
            if pattern not in self._defined:
                self._define(pattern)
        self._run.log({**metrics, _STEP: step})

    def close(self) -> None:
        """Finishes the run where this has started it."""
        if self._made:
            self._run.finish()
            self._run, self._made = None, False
            self._defined.clear()

    def _start(self) -> None:
        active = self._wandb.run  # type: ignore[union-attr]
        # wandb.init gives the active run, where there is one; that is somebody else's to finish.
        self._run = active if active is not None and not self._init else self._wandb.init(**self._init)  # type: ignore[union-attr]
        self._made = self._run is not active

    def _define(self, pattern: str) -> None:
        if not self._defined:
            self._run.define_metric(_STEP, hidden=True)
        self._run.define_metric(pattern, step_metric=_STEP)
        self._defined.add(pattern)
