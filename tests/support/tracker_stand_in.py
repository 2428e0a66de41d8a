"""A tracker without computation, for tests of adapters to frameworks; `replaced` is the place to install it."""

from __future__ import annotations

import sys
import types
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from pyinfercost import CostBudgetExceededError
from pyinfercost.monitor import open_sink
from pyinfercost.sources.inputs import parse_inputs


class OverBudgetError(CostBudgetExceededError):
    """Error of a budget."""

    def __init__(self, message: str) -> None:
        super().__init__(message, ())


@dataclass(frozen=True)
class CostRecord:
    """A record of the stand-in."""

    step: int
    metrics: Mapping[str, float | int]

    def to_dict(self) -> dict[str, Any]:
        """The record as JSON values."""
        return {"step": self.step, "metrics": dict(self.metrics)}


class CostTracker:
    """Records its calls. `fails_in` and `budget_at` are settings of the stand-in only."""

    made: list[CostTracker] = []  # noqa: RUF012 - emptied by `replaced`

    def __init__(
        self,
        model: Any,
        inputs: Any = (),
        *,
        hardware: Any = (),
        precision: str = "native",
        training_precision: str | None = None,
        every: int = 1,
        sinks: Any = (),
        fails_in: str = "",
        budget_at: int | None = None,
    ) -> None:
        if hardware == "nonsense":
            raise ValueError("no such hardware")
        self.model, (self.args, self.kwargs) = model, parse_inputs(inputs)
        self.precision, self.every = precision, every
        self.sinks = [open_sink(sink) for sink in sinks]
        self.fails_in, self.budget_at = fails_in, budget_at
        self.enabled, self.error, self.last = True, None, None
        self.calls: list[str] = []
        self.shapes: list[Any] = []
        self.steps: list[int] = []
        self.count = 0
        self.is_paused = self.closed = False
        self.loaded: Mapping[str, Any] | None = None
        CostTracker.made.append(self)
        self._note("init")

    def _note(self, what: str) -> None:
        self.calls.append(what)
        if self.fails_in == what:
            raise RuntimeError(f"{what} does not work")

    def micro_batch(self, *args: Any, lengths: Any = None, **kwargs: Any) -> None:
        """Record the shapes."""
        self._note("micro_batch")
        assert not self.is_paused, "a batch while the tracker was paused"
        self.shapes.append(
            (*(tuple(value.shape) for value in args), *((name, tuple(value.shape)) for name, value in kwargs.items()))
        )

    def step(self, step: int | None = None) -> CostRecord | None:
        """Return a record every `every` steps."""
        self._note("step")
        self.count = self.count + 1 if step is None else step
        self.steps.append(self.count)
        if self.budget_at == self.count:
            raise OverBudgetError("enough is spent")
        if self.count % self.every:
            return None
        self.last = CostRecord(self.count, {"cost/l4/latency_s": 0.25, "training/items": len(self.shapes)})
        for sink in self.sinks:
            sink.write(self.count, self.last.metrics)
        return self.last

    def pause(self) -> None:
        """Stop the clock."""
        self._note("pause")
        assert not self.is_paused, "paused twice"
        self.is_paused = True

    def resume(self) -> None:
        """Start the clock."""
        self._note("resume")
        assert self.is_paused, "resumed twice"
        self.is_paused = False

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Pause within the context."""
        self.pause()
        yield
        self.resume()

    def state_dict(self) -> dict[str, Any]:
        """Return the counts."""
        self._note("state_dict")
        return {"count": self.count, "batches": len(self.shapes)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Store the state for inspection."""
        self._note("load_state_dict")
        self.loaded = dict(state)
        self.count = state["count"]

    def close(self) -> None:
        """Close the sinks."""
        self._note("close")
        assert not self.closed, "closed twice"
        self.closed = True
        for sink in self.sinks:
            sink.close()


def replaced(monkeypatch: pytest.MonkeyPatch) -> list[CostTracker]:
    """Install the stand-in in place of the tracker in adapters; return the list of created ones."""
    module = types.ModuleType("pyinfercost.training.tracker")
    module.CostTracker, module.CostRecord = CostTracker, CostRecord  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setattr(CostTracker, "made", [])
    return CostTracker.made


def stand_ins(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[CostTracker]]:
    """Fixture that yields the created stand-ins. One thread: with tiny models, threads only wait for each other."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield replaced(monkeypatch)
    torch.set_num_threads(threads)


@contextmanager
def stopped_once(*words: str) -> Iterator[None]:
    """Exactly one warning that tracking has stopped, which has these words."""
    from pyinfercost.training import TrackingStoppedWarning

    with pytest.warns(TrackingStoppedWarning) as told:
        yield
    texts = [str(one.message) for one in told if issubclass(one.category, TrackingStoppedWarning)]
    assert len(texts) == 1, texts
    for word in words:
        assert word in texts[0]
