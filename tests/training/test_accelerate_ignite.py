"""Adapters to user-written loops, of accelerate and of ignite, in real runs."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from support.tracker_stand_in import CostTracker, OverBudgetError, stand_ins, stopped_once
from torch import nn

from pyinfercost.training import AccelerateCostTracker, AcceleratorSink, IgniteCostHandler

pytestmark = pytest.mark.torch

made = pytest.fixture(autouse=True, name="made")(stand_ins)


@pytest.fixture
def accelerate() -> Iterator[Any]:
    """The package, without what an earlier accelerator has left."""
    module = pytest.importorskip("accelerate", reason="needs accelerate: pip install 'pyinfercost[accelerate]'")
    from accelerate.state import AcceleratorState

    AcceleratorState._reset_state(reset_partial_state=True)
    yield module
    AcceleratorState._reset_state(reset_partial_state=True)


@pytest.fixture
def ignite() -> Any:
    """The package's engines, whose import calls what torch has deprecated."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return pytest.importorskip("ignite.engine", reason="needs ignite: pip install 'pyinfercost[ignite]'")


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.5), nn.Linear(8, 1))


def batches(count: int = 6) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """The second half has more items."""
    chance = torch.Generator().manual_seed(1)
    sizes = [2 if number < count // 2 else 3 for number in range(count)]
    return [(torch.randn(size, 4, generator=chance), torch.randn(size, 1, generator=chance)) for size in sizes]


def outcome(model: nn.Module, optimizer: Any) -> list[torch.Tensor]:
    """Weights, states of the optimizer, and the next random number."""
    states = [value for state in optimizer.state.values() for value in state.values()]
    return [*model.state_dict().values(), *states, torch.rand(1)]


def same(left: list[torch.Tensor], right: list[torch.Tensor]) -> bool:
    return len(left) > 8 and all(torch.equal(*pair) for pair in zip(left, right, strict=True))


def accelerated(accelerate: Any, model: nn.Module, *trackers: Any, **options: Any) -> tuple[Any, list[torch.Tensor]]:
    """A loop as its documentation writes it; what it gives is a step each two batches."""
    log_with = list(trackers) or None
    accelerator = accelerate.Accelerator(cpu=True, log_with=log_with, gradient_accumulation_steps=2, **options)
    accelerator.init_trackers("costs", config={"lr": 0.01})
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    model, optimizer = accelerator.prepare(model, optimizer)
    (cost,) = [one for one in trackers if isinstance(one, AccelerateCostTracker)] or [None]
    step = 0
    torch.manual_seed(5)
    for x, y in batches():
        with accelerator.accumulate(model):
            loss = (model(x) - y).square().mean()
            accelerator.backward(loss)
            optimizer.step()
            optimizer.zero_grad()
        if cost is not None:
            cost.micro_batch((x, y))
        if accelerator.sync_gradients:
            step += 1
            accelerator.log({"loss": loss.item()}, step=step)
            accelerator.log({"more": 1}, step=step)
    accelerator.end_training()
    return accelerator, outcome(model, optimizer)


def other_tracker(told: list[Any]) -> Any:
    """A tracker of somebody else."""
    from accelerate.tracking import GeneralTracker

    class Other(GeneralTracker):  # type: ignore[misc]
        name = "other"
        requires_logging_directory = False
        tracker = None

        def log(self, values: dict[str, Any], step: int | None = None, **_: Any) -> None:
            told.append((step, values))

    return Other()


def test_accelerate_counts_steps(accelerate: Any, made: list[CostTracker]) -> None:
    told: list[Any] = []
    model = network()
    cost = AccelerateCostTracker(model=model, sinks=[AcceleratorSink(lambda: accelerator)])
    accelerator = accelerate.Accelerator(cpu=True, log_with=[other_tracker(told), cost])
    accelerator.init_trackers("costs", config={"lr": 0.01})
    for number, (x, _) in enumerate(batches(4)):
        cost.micro_batch(x)
        if number % 2:
            accelerator.log({"loss": 0.5}, step=number)
            accelerator.log({"more": 0.5}, step=number)
    accelerator.end_training()
    assert [tuple(value.shape) for value in made[0].args] == [(2, 4)]
    assert made[0].shapes == [((2, 4),), ((2, 4),), ((3, 4),), ((3, 4),)]
    assert made[0].steps == [1, 3]  # the second call for a step is no step
    assert made[0].closed
    figures = [{"cost/l4/latency_s": 0.25, "training/items": items} for items in (2, 4)]
    logs = [{"loss": 0.5}, {"more": 0.5}]
    assert told == [(step, one) for step, own in ((1, figures[0]), (3, figures[1])) for one in (logs[0], own, logs[1])]


def test_accelerate_trains_as_without_it(accelerate: Any) -> None:
    _, plain = accelerated(accelerate, network())
    model = network()
    _, tracked = accelerated(accelerate, model, AccelerateCostTracker(model=model))
    assert same(plain, tracked)


@pytest.mark.parametrize("what", ["init", "micro_batch", "step", "close"])
def test_a_failure_in_accelerate_is_told_once(accelerate: Any, what: str) -> None:
    _, plain = accelerated(accelerate, network())
    model = network()
    with stopped_once("AccelerateCostTracker", f"{what} does not work"):
        _, tracked = accelerated(accelerate, model, AccelerateCostTracker(model=model, fails_in=what))
    assert same(plain, tracked)


def test_budgets_pass_through_accelerate(accelerate: Any) -> None:
    model = network()
    with pytest.raises(OverBudgetError, match="enough is spent"):
        accelerated(accelerate, model, AccelerateCostTracker(model=model, budget_at=2))


def test_accelerates_precision_and_checkpoints(accelerate: Any, made: list[CostTracker], tmp_path: Path) -> None:
    model = network()
    cost = AccelerateCostTracker(model=model)
    accelerator, _ = accelerated(accelerate, model, cost, mixed_precision="bf16")
    assert made[0].precision == "amp_bf16"
    accelerator.register_for_checkpointing(cost)
    accelerator.save_state(str(tmp_path / "saved"))
    again = AccelerateCostTracker(model=model)
    accelerator._custom_objects[:] = [again]
    accelerator.load_state(str(tmp_path / "saved"))
    again.micro_batch(batches()[0])
    assert made[1].loaded == {"count": 3, "batches": 6}
    given = AccelerateCostTracker(made[1])
    given.log({}, step=9)
    given.finish()
    assert made[1].steps == [9]
    assert not made[1].closed
    with pytest.raises(TypeError, match="got both a tracker and a model, or neither"):
        AccelerateCostTracker()
    with pytest.raises(TypeError, match=r"settings \['every'\]; pass the tracker alone"):
        AccelerateCostTracker(made[1], every=2)


def test_accelerate_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "accelerate.tracking", None)
    with pytest.raises(ImportError, match=r"pip install 'pyinfercost\[accelerate\]'"):
        AccelerateCostTracker(model=network())


def ignited(ignite: Any, handler: IgniteCostHandler | None, *, name: str | None = None, model: Any = None) -> Any:
    """Two epochs of six batches, two to a step, and an evaluation after each epoch."""
    model = network() if model is None else model
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)

    def update(engine: Any, batch: Any) -> float:
        loss = (model(batch[0]) - batch[1]).square().mean()
        loss.backward()
        if engine.state.iteration % 2 == 0:
            optimizer.step()
            optimizer.zero_grad()
        return loss.item()

    trainer = ignite.Engine(update)
    evaluator = ignite.Engine(lambda engine, batch: model(batch[0]).mean().item())
    trainer.add_event_handler(ignite.Events.EPOCH_COMPLETED, lambda engine: evaluator.run(batches(2)))
    if handler is not None:
        assert handler.attach(trainer, name) is handler.attach_pause(evaluator)
    torch.manual_seed(5)
    state = trainer.run(batches(), max_epochs=2)
    return state, outcome(model, optimizer)


def test_ignite_counts_steps(ignite: Any, made: list[CostTracker]) -> None:
    model = network()
    handler = IgniteCostHandler(model=model, accumulation=2, every=2)
    state, _ = ignited(ignite, handler, name="bill", model=model)
    (tracker,) = made
    assert tracker.steps == [1, 2, 3, 4, 5, 6]
    assert tracker.shapes == [((2, 4),)] * 3 + [((3, 4),)] * 3 + [((2, 4),)] * 3 + [((3, 4),)] * 3
    assert (tracker.calls.count("pause"), tracker.calls.count("resume")) == (2, 2)
    assert tracker.closed
    assert state.metrics == {"bill/cost/l4/latency_s": 0.25, "bill/training/items": 12}
    assert handler.state_dict() == {"count": 6, "batches": 12}
    ignited(ignite, handler, model=model)  # another run goes on
    assert made[1].loaded == {"count": 6, "batches": 12}


def test_ignite_trains_as_without_it(ignite: Any) -> None:
    model = network()
    _, plain = ignited(ignite, None)
    state, tracked = ignited(ignite, IgniteCostHandler(model=model, accumulation=2), model=model)
    assert same(plain, tracked)
    assert state.metrics == {"cost/l4/latency_s": 0.25, "training/items": 12}


@pytest.mark.parametrize("what", ["init", "micro_batch", "step", "pause", "resume", "close"])
def test_a_failure_in_ignite_is_told_once(ignite: Any, what: str) -> None:
    model = network()
    _, plain = ignited(ignite, None)
    with stopped_once("IgniteCostHandler", f"{what} does not work"):
        _, tracked = ignited(ignite, IgniteCostHandler(model=model, fails_in=what), model=model)
    assert same(plain, tracked)


def test_budgets_pass_through_ignite(ignite: Any) -> None:
    with pytest.raises(OverBudgetError, match="enough is spent"):
        ignited(ignite, IgniteCostHandler(CostTracker(None, budget_at=2)))


def test_what_ignite_is_given(ignite: Any, made: list[CostTracker], monkeypatch: pytest.MonkeyPatch) -> None:
    handler = IgniteCostHandler(CostTracker(None), inputs=lambda batch: {"x": batch[1]}, accumulation=3)
    handler.load_state_dict({"count": 5})
    assert made[0].loaded == {"count": 5}
    ignited(ignite, handler)
    assert made[0].steps == [1, 2, 3, 4]
    assert made[0].shapes[0] == (("x", (2, 1)),)
    assert not made[0].closed  # it was there already
    with pytest.raises(ValueError, match="accumulation is 0; expected at least 1"):
        IgniteCostHandler(model=network(), accumulation=0)
    with pytest.raises(TypeError, match="got neither a tracker nor a model"):
        IgniteCostHandler()
    monkeypatch.setitem(sys.modules, "ignite.engine", None)
    with pytest.raises(ImportError, match=r"pip install 'pyinfercost\[ignite\]'"):
        handler.attach(None)
