"""Seconds of each module of an eager forward, excluding the modules that it calls."""

from __future__ import annotations

import statistics
import time
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import torch

_FEWEST_RUNS = 3


class ModuleClock:
    """Hooks on every module of a model that measure the time of each, excluding its children.

    A hook costs one or two microseconds and runs twice per call of a module; `hook_s` is their total in a forward.
    """

    def __init__(self, module: torch.nn.Module, wait: Callable[[], object] | None = None) -> None:
        self._seconds: dict[str, float] = defaultdict(float)
        self._running: list[tuple[str, float]] = []  # path, and time of start or resumption
        self._wait = wait
        self._handles: list[Any] = []
        for path, part in module.named_modules():
            self._handles.append(part.register_forward_pre_hook(self._starting(path)))
            self._handles.append(part.register_forward_hook(self._ended, always_call=True))

    def _now(self) -> float:
        if self._wait is not None:
            self._wait()
        return time.perf_counter()

    def _starting(self, path: str) -> Callable[..., None]:
        def hook(*_: object) -> None:
            now = self._now()
            if self._running:
                caller, since = self._running[-1]
                self._seconds[caller] += now - since
            self._running.append((path, self._now()))

        return hook

    def _ended(self, *_: object) -> None:
        now = self._now()
        path, since = self._running.pop()
        self._seconds[path] += now - since
        if self._running:
            self._running[-1] = (self._running[-1][0], self._now())

    def take(self) -> dict[str, float]:
        """Return seconds by module path since the previous call of `take`."""
        taken, self._seconds = dict(self._seconds), defaultdict(float)
        return taken

    def close(self) -> None:
        """Remove the hooks."""
        for handle in self._handles:
            handle.remove()


def module_seconds(
    module: torch.nn.Module, forward: Callable[[], object], seconds: float, wait: Callable[[], object] | None = None
) -> dict[str, float]:
    """Return the median seconds of each module over several forwards, excluding its children.

    Args:
        module: The model.
        forward: Runs the model once.
        seconds: Duration of the measurement.
        wait: As for `time_call`.

    Returns:
        Seconds by module path.
    """
    clock = ModuleClock(module, wait)
    try:
        forward()
        clock.take()
        runs: list[dict[str, float]] = []
        end = time.perf_counter() + seconds
        while len(runs) < _FEWEST_RUNS or time.perf_counter() < end:
            forward()
            runs.append(clock.take())
    finally:
        clock.close()
    paths = dict.fromkeys(path for run in runs for path in run)
    return {path: statistics.median(run.get(path, 0.0) for run in runs) for path in paths}
