"""The callback in both packages of Lightning: its counts, and training equal to that without it."""

from __future__ import annotations

import copy
import pickle
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import torch
from support.tracker_stand_in import CostTracker, OverBudgetError, stand_ins, stopped_once
from torch import nn

from pyinfercost.training import LightningCostCallback

PACKAGES = ["lightning.pytorch", "pytorch_lightning"]
pytestmark = [
    pytest.mark.torch,
    # Lightning's own: what it advises about loaders, and what it still calls in torch.
    pytest.mark.filterwarnings(r"ignore:The '\w+_dataloader' does not have many workers"),
    pytest.mark.filterwarnings("ignore:Using ModelCheckpoint with manual optimization"),
    pytest.mark.filterwarnings("ignore:Checkpoint directory .* exists and is not empty"),
    pytest.mark.filterwarnings(r"ignore:`isinstance\(treespec, LeafSpec\)` is deprecated:FutureWarning"),
]


@pytest.fixture(params=PACKAGES)
def pl(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A package, as if the other one were not imported."""
    module = pytest.importorskip(request.param, reason="needs Lightning: pip install 'pyinfercost[lightning]'")
    for name in PACKAGES:
        if name != request.param:
            monkeypatch.delitem(sys.modules, name, raising=False)
    return module


made = pytest.fixture(autouse=True, name="made")(stand_ins)


class Recorder:
    """What a logger is told."""

    name, version, save_dir, log_dir, root_dir = "recorder", 0, None, None, None

    def __init__(self) -> None:
        self.told: list[tuple[int | None, dict[str, float]]] = []

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        self.told.append((step, dict(metrics)))

    def __getattr__(self, _: str) -> Any:
        return lambda *_, **__: None


def module_of(pl: Any, *, optimizers: int = 1, example: Any = None) -> Any:
    class Module(pl.LightningModule):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.net = nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.5), nn.Linear(8, 1))
            self.automatic_optimization = optimizers == 1
            self.example_input_array = example

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.net(x)  # type: ignore[no-any-return]

        def training_step(self, batch: Any, batch_idx: int) -> torch.Tensor:
            loss = (self(batch[0]) - batch[1]).square().mean()
            self.log("loss", loss)
            if optimizers > 1:
                self.manual_backward(loss)
                for one in self.optimizers():
                    one.step()
                    one.zero_grad()
            return loss

        def validation_step(self, batch: Any, batch_idx: int) -> None:
            self.log("val", self(batch[0]).mean())

        def configure_optimizers(self) -> Any:
            made = [torch.optim.Adam(self.parameters(), lr=0.01) for _ in range(optimizers)]
            return made if optimizers > 1 else made[0]

    return Module()


def loader(items: int, *, shuffle: bool = False) -> Any:
    """Batches of 2, of which the last one has fewer if the number is odd."""
    chance = torch.Generator().manual_seed(1)
    pairs = [(torch.randn(4, generator=chance), torch.randn(1, generator=chance)) for _ in range(items)]
    return torch.utils.data.DataLoader(pairs, batch_size=2, shuffle=shuffle)  # type: ignore[arg-type]


def fit(pl: Any, folder: Path, *callbacks: Any, module: Any = None, items: int = 14, **options: Any) -> Any:
    """One epoch of seven batches, with validation and checkpoints in it."""
    module = module_of(pl) if module is None else module
    settings = {
        "max_epochs": 1,
        "accumulate_grad_batches": 2 if module.automatic_optimization else 1,
        "val_check_interval": 4,
        "logger": Recorder(),
        "log_every_n_steps": 1,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "accelerator": "cpu",
        "default_root_dir": folder,
        **options,
    }
    ckpt_path = settings.pop("ckpt_path", None)
    keep = pl.callbacks.ModelCheckpoint(dirpath=folder, every_n_train_steps=2, save_top_k=-1, save_last=True)
    trainer = pl.Trainer(callbacks=[*callbacks, keep], **settings)
    torch.manual_seed(5)
    trainer.fit(module, loader(items, shuffle=True), loader(4), ckpt_path=ckpt_path)
    return trainer


def outcome(trainer: Any) -> list[torch.Tensor]:
    """Weights, states of optimizers, and the next random number."""
    states = [value for one in trainer.optimizers for state in one.state.values() for value in state.values()]
    return [*trainer.model.state_dict().values(), *states, torch.rand(1)]


def test_what_is_counted(pl: Any, tmp_path: Path, made: list[CostTracker]) -> None:
    callback = LightningCostCallback(hardware=["l4"])
    assert isinstance(callback, pl.Callback)
    trainer = fit(pl, tmp_path, callback, items=13)
    (tracker,) = made
    assert [tuple(value.shape) for value in tracker.args] == [(2, 4)]
    assert tracker.precision == "native"
    assert tracker.shapes == [((2, 4),)] * 6 + [((1, 4),)]
    assert tracker.steps == [1, 2, 3, 4]  # 7 batches, two a step, and one that is left
    calls = [call for call in tracker.calls if call != "state_dict"]
    assert calls == [
        *("init", "micro_batch", "micro_batch", "step", "micro_batch", "micro_batch", "step"),
        *("pause", "resume"),  # a checkpoint, or validation, which also saves one
        *("micro_batch", "micro_batch", "step", "micro_batch", "step"),
        *("pause", "close"),  # what is saved at the end
    ]
    assert tracker.closed
    assert callback.tracker is None
    told = [(step, metrics) for step, metrics in trainer.logger.told if "cost/l4/latency_s" in metrics]
    own = [step for step, metrics in trainer.logger.told if "loss" in metrics]
    assert [step for step, _ in told] == sorted(set(own)) == [0, 1, 2, 3]  # on Lightning's axis
    assert told[1][1] == {"cost/l4/latency_s": 0.25, "training/items": 4}


def test_training_is_as_without_it(pl: Any, tmp_path: Path) -> None:
    plain = outcome(fit(pl, tmp_path / "plain"))
    tracked = outcome(fit(pl, tmp_path / "tracked", LightningCostCallback()))
    assert len(plain) == len(tracked) > 8
    assert all(torch.equal(left, right) for left, right in zip(plain, tracked, strict=True))


@pytest.mark.parametrize("what", ["init", "micro_batch", "step", "pause", "resume", "state_dict", "close"])
@pytest.mark.sample(7)
def test_a_failure_is_told_once(pl: Any, tmp_path: Path, what: str) -> None:
    plain = outcome(fit(pl, tmp_path / "plain"))
    with stopped_once("LightningCostCallback", f"{what} does not work"):
        tracked = outcome(fit(pl, tmp_path / "tracked", LightningCostCallback(fails_in=what)))
    assert all(torch.equal(left, right) for left, right in zip(plain, tracked, strict=True))


def test_a_logger_that_raises(pl: Any, tmp_path: Path, made: list[CostTracker]) -> None:
    class Broken(Recorder):
        def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
            if "cost/l4/latency_s" in metrics:
                raise OSError("no space left")

    with stopped_once("no space left"):
        trainer = fit(pl, tmp_path, LightningCostCallback(), logger=Broken())
    assert trainer.global_step == 4
    assert made[0].steps == [1]
    assert made[0].closed


def test_a_batch_that_says_nothing(pl: Any, tmp_path: Path, made: list[CostTracker]) -> None:
    with stopped_once("inputs is a str; expected a tensor, a tuple or a dictionary of keywords"):
        trainer = fit(pl, tmp_path, LightningCostCallback(lambda batch: "what?"))
    assert trainer.global_step == 4
    assert not made


def test_budgets_pass(pl: Any, tmp_path: Path, made: list[CostTracker]) -> None:
    with pytest.raises(OverBudgetError, match="enough is spent"):
        fit(pl, tmp_path, LightningCostCallback(budget_at=2))
    assert made[0].closed


def test_wrong_settings_are_told_before_training(pl: Any, tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="unexpected keyword argument 'hardwear'"):
        LightningCostCallback(hardwear=["l4"])
    with pytest.raises(ValueError, match="no such hardware"):
        fit(pl, tmp_path, LightningCostCallback(hardware="nonsense"))


def test_its_state_goes_with_the_checkpoint(pl: Any, tmp_path: Path, made: list[CostTracker]) -> None:
    fit(pl, tmp_path, LightningCostCallback())
    stored = torch.load(tmp_path / "last.ckpt", weights_only=True)["callbacks"]["pyinfercost.LightningCostCallback"]
    assert stored == {"count": 4, "batches": 7}
    again = LightningCostCallback()
    trainer = fit(pl, tmp_path, again, max_epochs=2, ckpt_path=tmp_path / "last.ckpt")
    assert trainer.global_step >= 8  # 2.4 steps once more, for the batch that was left
    assert made[1].loaded == {"count": 4, "batches": 7}
    assert made[1].steps == list(range(5, trainer.global_step + 1))


def test_several_optimizers_make_one_step(pl: Any, tmp_path: Path, made: list[CostTracker]) -> None:
    trainer = fit(pl, tmp_path, LightningCostCallback(), module=module_of(pl, optimizers=2))
    assert trainer.global_step == 14
    assert made[0].steps == [1, 2, 3, 4, 5, 6, 7]
    assert len(made[0].shapes) == 7


def test_fast_dev_run_writes_nothing(pl: Any, tmp_path: Path, made: list[CostTracker]) -> None:
    fit(pl, tmp_path, LightningCostCallback(sinks=[tmp_path / "costs.csv"]), fast_dev_run=True)
    assert made[0].steps == [1]
    assert not (tmp_path / "costs.csv").exists()


@pytest.mark.parametrize(
    ("inputs", "example", "shapes"),
    [
        (None, torch.zeros(9, 4), (2, 4)),  # the batch is of the example's kind
        ((torch.zeros(9, 4),), None, (2, 4)),
        ((torch.zeros(9, 3, 4),), None, (9, 3, 4)),  # it is not
        (lambda batch: batch[0][:, :3], None, (2, 3)),
    ],
)
def test_where_inputs_come_from(
    tmp_path: Path, made: list[CostTracker], inputs: Any, example: Any, shapes: tuple[int, ...]
) -> None:
    pl = pytest.importorskip("lightning.pytorch", reason="needs Lightning: pip install 'pyinfercost[lightning]'")
    module = module_of(pl, example=example)
    fit(pl, tmp_path, LightningCostCallback(inputs), module=module)
    given = inputs[0] if isinstance(inputs, tuple) else example
    assert tuple(made[0].args[0].shape) == (shapes if given is None else tuple(given.shape))
    assert made[0].shapes == [(shapes,)] * 7


def test_mixed_precision_is_taken_over(tmp_path: Path, made: list[CostTracker]) -> None:
    pl = pytest.importorskip("lightning.pytorch", reason="needs Lightning: pip install 'pyinfercost[lightning]'")
    fit(pl, tmp_path, LightningCostCallback(), precision="bf16-mixed")
    fit(pl, tmp_path, LightningCostCallback(precision="native"), precision="bf16-mixed")
    assert [tracker.precision for tracker in made] == ["amp_bf16", "native"]


def test_both_packages_and_copies(monkeypatch: pytest.MonkeyPatch) -> None:
    both = [import_module(name).Callback for name in PACKAGES if pytest.importorskip(name)]
    callback = LightningCostCallback(hardware=["l4"], every=3)
    assert all(isinstance(callback, base) for base in both)
    assert type(callback).__qualname__ == "LightningCostCallback"
    for other in (copy.deepcopy(callback), pickle.loads(pickle.dumps(callback))):
        assert type(other) is type(callback)
        assert vars(other).keys() == vars(callback).keys()
    for name in PACKAGES:
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ImportError, match=r"pip install 'pyinfercost\[lightning\]'"):
        LightningCostCallback()
