"""The callback in the Trainer of transformers: its counts, and training equal to that without it."""

from __future__ import annotations

import json
import random
import sys
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
import torch
from support.tracker_stand_in import CostTracker, OverBudgetError, stand_ins, stopped_once

from pyinfercost.training import TransformersCostCallback

pytestmark = pytest.mark.torch

transformers = pytest.importorskip("transformers", reason="needs transformers: pip install 'pyinfercost[training]'")
pytest.importorskip("accelerate", reason="the Trainer needs accelerate: pip install 'pyinfercost[training]'")


made = pytest.fixture(autouse=True, name="made")(stand_ins)


class Items(torch.utils.data.Dataset):  # type: ignore[type-arg]
    """Sequences whose items draw from every generator; the lengths go up by one every second item."""

    looked_at: list[int]

    def __init__(self) -> None:
        self.looked_at = []

    def __len__(self) -> int:
        return 16

    def __getitem__(self, index: int) -> dict[str, Any]:
        self.looked_at.append(index)
        noise = random.random() + np.random.random() + float(torch.rand(()))  # noqa: NPY002 - as data sets do
        ids = torch.full((5 + index // 2,), index + int(noise))
        return {"input_ids": ids, "labels": ids.clone(), "name": str(index)}


class Stream(torch.utils.data.IterableDataset):  # type: ignore[type-arg]
    """Data that can only be gone through."""

    def __iter__(self) -> Any:
        yield from (Items()[index] for index in range(16))


def collate(items: list[dict[str, Any]]) -> dict[str, Any]:
    """Pads to the longest; takes keys out of the items, as some collators do."""
    for item in items:
        item.pop("name")
    padded = {
        name: torch.nn.utils.rnn.pad_sequence([item[name] for item in items], batch_first=True)
        for name in ("input_ids", "labels")
    }
    return {**padded, "attention_mask": torch.ones_like(padded["input_ids"])}


class Logger(transformers.TrainerCallback):  # type: ignore[misc]
    """What the Trainer's own loggers are told."""

    def __init__(self) -> None:
        self.told: list[tuple[int, dict[str, Any]]] = []

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
        self.told.append((state.global_step, dict(logs)))


def trainer_of(folder: Path, *callbacks: Any, data: Any = None, **options: Any) -> Any:
    """A tiny GPT-2, eight batches of two, two to a step."""
    config = transformers.GPT2Config(vocab_size=32, n_positions=16, n_embd=8, n_layer=1, n_head=2)
    torch.manual_seed(0)
    model = transformers.GPT2LMHeadModel(config)
    settings = {
        "output_dir": str(folder),
        "per_device_train_batch_size": 2,
        "gradient_accumulation_steps": 2,
        "num_train_epochs": 1,
        "logging_steps": 2,
        "eval_strategy": "steps",
        "eval_steps": 2,
        "save_steps": 2,
        "report_to": [],
        "disable_tqdm": True,
        "remove_unused_columns": False,
        "use_cpu": True,
        **options,
    }
    data = Items() if data is None else data
    return transformers.Trainer(
        model,
        transformers.TrainingArguments(**settings),
        collate,
        train_dataset=data,
        eval_dataset=Items(),
        callbacks=list(callbacks),
    )


def outcome(trainer: Any) -> list[Any]:
    """Weights, states of the optimizer, the next random numbers, and the losses."""
    states = [value for state in trainer.optimizer.state.values() for value in state.values()]
    chance = torch.tensor([random.random(), np.random.random(), float(torch.rand(()))])  # noqa: NPY002
    losses = [entry[name] for entry in trainer.state.log_history for name in ("loss", "eval_loss") if name in entry]
    return [*trainer.model.state_dict().values(), *states, chance, torch.tensor(losses)]


def same(left: list[Any], right: list[Any]) -> bool:
    return len(left) > 20 and all(torch.equal(*pair) for pair in zip(left, right, strict=True))


def trained(folder: Path, *callbacks: Any, **options: Any) -> list[Any]:
    trainer = trainer_of(folder, *callbacks, **options)
    trainer.train()
    return outcome(trainer)


@cache
def of_no_callback() -> list[Any]:
    """Return what a training without a callback ends with, which is the same each time."""
    with TemporaryDirectory() as folder:
        return trained(Path(folder))


def test_what_is_counted(tmp_path: Path, made: list[CostTracker]) -> None:
    callback = TransformersCostCallback(hardware=["l4"])
    assert isinstance(callback, transformers.TrainerCallback)
    data = Items()
    trainer_of(tmp_path, callback, data=data).train()
    (tracker,) = made
    assert {name: tuple(value.shape) for name, value in tracker.kwargs.items()} == dict.fromkeys(
        ["input_ids", "labels", "attention_mask"], (2, 5)
    )
    assert data.looked_at[0] == 0
    assert len(data.looked_at) == 1 + 16
    assert len(tracker.shapes) == 8
    assert tracker.steps == [1, 2, 3, 4]
    calls = [call for call in tracker.calls if call != "state_dict"]
    assert calls == [
        *("init", "micro_batch", "micro_batch", "step", "micro_batch", "micro_batch", "step"),
        *("pause", "resume"),  # evaluation and a checkpoint
        *("micro_batch", "micro_batch", "step", "micro_batch", "micro_batch", "step", "pause", "close"),
    ]
    assert callback.tracker is None


def test_training_is_as_without_it(tmp_path: Path) -> None:
    plain = trained(tmp_path / "plain")
    assert same(plain, trained(tmp_path / "tracked", TransformersCostCallback()))
    assert same(plain, trained(tmp_path / "watched", TransformersCostCallback(watch_forward=True)))


def test_batches_of_different_lengths(tmp_path: Path, made: list[CostTracker]) -> None:
    trainer = trainer_of(tmp_path, TransformersCostCallback(watch_forward=True))
    trainer.train()
    lengths = [dict(shapes)["input_ids"] for shapes in made[0].shapes]
    assert len(lengths) == 8
    assert all(rows == 2 and 5 <= length <= 12 for rows, length in lengths)
    assert len(set(lengths)) > 1
    assert made[0].steps == [1, 2, 3, 4]
    assert not trainer.model._forward_pre_hooks


def test_the_figures_join_the_next_log(tmp_path: Path) -> None:
    trainer = trainer_of(tmp_path, TransformersCostCallback(), Logger())
    trainer.train()
    logger = trainer.callback_handler.callbacks[-2]
    both = [(step, logs["training/items"]) for step, logs in logger.told if "training/items" in logs]
    assert both == [(2, 4), (4, 8)]
    history = [
        (entry["step"], entry["training/items"]) for entry in trainer.state.log_history if "training/items" in entry
    ]
    assert history[:2] == [(2, 4), (4, 8)]
    assert all("loss" in entry for entry in trainer.state.log_history if "training/items" in entry)


def test_added_to_a_trainer_every_record_goes_to_its_loggers(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    logger = Logger()  # before the callback, as the Trainer's own are
    trainer = trainer_of(tmp_path, logger)
    callback = TransformersCostCallback().add_to(trainer)
    assert callback in trainer.callback_handler.callbacks
    trainer.train()
    figures = [(step, logs) for step, logs in logger.told if "training/items" in logs]
    assert [(step, logs["training/items"]) for step, logs in figures] == [(1, 2), (2, 4), (3, 6), (4, 8)]
    assert all(logs.keys() == {"cost/l4/latency_s", "training/items", "epoch"} for _, logs in figures)
    assert [step for step, logs in logger.told if "loss" in logs] == [2, 4]  # none is lost
    history = [entry["step"] for entry in trainer.state.log_history if "training/items" in entry]
    assert history == [1, 2, 3, 4]
    assert "training/items" not in capsys.readouterr().out  # what is printed between progress bars
    quiet = trainer_of(tmp_path / "quiet", logger := Logger())
    TransformersCostCallback(log=False).add_to(quiet)
    quiet.train()
    assert not [logs for _, logs in logger.told if "training/items" in logs]


@pytest.mark.parametrize("what", ["init", "micro_batch", "step", "pause", "resume", "state_dict", "close"])
def test_a_failure_is_told_once(tmp_path: Path, what: str) -> None:
    plain = of_no_callback()
    with stopped_once("TransformersCostCallback", f"{what} does not work"):
        assert same(plain, trained(tmp_path / "tracked", TransformersCostCallback(fails_in=what)))
    if what == "micro_batch":
        with stopped_once(f"{what} does not work"):
            assert same(
                plain, trained(tmp_path / "watched", TransformersCostCallback(fails_in=what, watch_forward=True))
            )


def test_a_logger_that_raises(tmp_path: Path, made: list[CostTracker]) -> None:
    class Broken(Logger):
        def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
            if "training/items" in logs:
                raise OSError("no space left")

    trainer = trainer_of(tmp_path, Broken())
    TransformersCostCallback().add_to(trainer)
    with stopped_once("no space left"):
        trainer.train()
    assert trainer.state.global_step == 4
    assert made[0].steps == [1]
    assert made[0].closed


def test_budgets_pass(tmp_path: Path) -> None:
    with pytest.raises(OverBudgetError, match="enough is spent"):
        trained(tmp_path, TransformersCostCallback(budget_at=2))


def test_where_inputs_come_from(tmp_path: Path, made: list[CostTracker]) -> None:
    stream = {"data": Stream(), "max_steps": 2, "eval_strategy": "no"}
    trained(tmp_path / "given", TransformersCostCallback({"input_ids": torch.zeros(3, 4, dtype=torch.long)}), **stream)
    trained(tmp_path / "dummy", TransformersCostCallback(), **stream)
    trained(tmp_path / "asked", TransformersCostCallback(lambda batch: batch["input_ids"][:1]))
    assert made[0].shapes == [(("input_ids", (3, 4)),)] * 4
    assert dict(made[1].shapes[0])["input_ids"] == tuple(
        transformers.GPT2LMHeadModel.dummy_inputs.fget(None)["input_ids"].shape
    )
    assert made[2].shapes == [((1, 5),)] * 8


def test_data_that_cannot_be_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transformers.GPT2LMHeadModel, "dummy_inputs", None)
    with stopped_once("the training data has no items", "pass inputs="):
        trained(tmp_path, TransformersCostCallback(), data=Stream(), max_steps=2, eval_strategy="no")


@pytest.mark.parametrize("restores", [False, True])
def test_its_state_goes_with_the_checkpoint(tmp_path: Path, made: list[CostTracker], restores: bool) -> None:
    trained(tmp_path, TransformersCostCallback(every=3))
    folder = tmp_path / "checkpoint-2"
    stored = json.loads((folder / "trainer_state.json").read_text(encoding="utf-8"))["stateful_callbacks"]
    assert stored["TransformersCostCallback"] == {"args": {}, "attributes": {"cost_state": {"count": 2, "batches": 4}}}
    options = {"restore_callback_states_from_checkpoint": restores}
    trainer = trainer_of(tmp_path, logger := Logger(), **options)
    TransformersCostCallback(every=3).add_to(trainer)
    trainer.train(resume_from_checkpoint=str(folder))
    tracker = made[-1]
    assert tracker.loaded == {"count": 2, "batches": 4}
    assert tracker.every == 3  # settings are no JSON, and are still those of the callback
    assert tracker.steps == [3, 4]
    assert [step for step, logs in logger.told if "training/items" in logs] == [3]
    stored = json.loads((tmp_path / "checkpoint-4" / "trainer_state.json").read_text(encoding="utf-8"))
    assert stored["stateful_callbacks"]["TransformersCostCallback"]["attributes"]["cost_state"]["count"] == 4


def test_a_checkpoint_from_before_the_callback(tmp_path: Path, made: list[CostTracker]) -> None:
    trained(tmp_path)
    trainer = trainer_of(tmp_path, TransformersCostCallback())
    trainer.train(resume_from_checkpoint=str(tmp_path / "checkpoint-2"))
    assert made[0].loaded is None
    assert made[0].steps == [3, 4]


def test_a_missing_library_and_a_wrong_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(TypeError, match="unexpected keyword argument 'hardwear'"):
        TransformersCostCallback(hardwear=["l4"])
    monkeypatch.setitem(sys.modules, "transformers.trainer_callback", None)
    with pytest.raises(ImportError, match=r"pip install 'pyinfercost\[training\]'"):
        TransformersCostCallback()
