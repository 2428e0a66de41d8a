"""The tracker in loops of frameworks: 200 steps with bitwise equal results, and figures by hand."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from support.identical_training import STEPS, Picture, Text, seed
from torch import nn

from pyinfercost.predict.peaks import Peak
from pyinfercost.training import throughput

pytestmark = [
    pytest.mark.torch,
    pytest.mark.filterwarnings(r"ignore:The '\w+_dataloader' does not have many workers"),
    pytest.mark.filterwarnings(r"ignore:`isinstance\(treespec, LeafSpec\)` is deprecated:FutureWarning"),
]
SETTINGS: dict[str, Any] = {"hardware": ["l4", "xeon-8380"], "training_hardware": "xeon-8380", "every": 10}


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Threads of such small products only wait for each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def bits(model: nn.Module, optimizer: Any) -> list[torch.Tensor]:
    """Weights, the optimizer's state and the generator, in an order."""
    states = optimizer.state_dict()["state"]
    kept = [torch.as_tensor(value) for index in sorted(states) for _, value in sorted(states[index].items())]
    return [value.detach().clone() for value in model.state_dict().values()] + kept + [torch.get_rng_state()]


def assert_same(one: list[torch.Tensor], other: list[torch.Tensor]) -> None:
    assert len(one) == len(other)
    assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


def test_lightning(tmp_path: Path) -> None:
    pl = pytest.importorskip("lightning.pytorch", reason="needs Lightning: pip install 'pyinfercost[lightning]'")
    from pyinfercost.training import LightningCostCallback

    class Module(pl.LightningModule):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.net = Picture()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.net(x)  # type: ignore[no-any-return]

        def training_step(self, batch: Any, batch_idx: int) -> torch.Tensor:
            return nn.functional.cross_entropy(self(batch[0]), batch[1])

        def configure_optimizers(self) -> Any:
            return torch.optim.AdamW(self.parameters(), lr=1e-2)

    def run(*callbacks: Any) -> list[torch.Tensor]:
        seed()
        module = Module()
        data = [(torch.randn(3, 8, 8), index % 4) for index in range(64)]
        trainer = pl.Trainer(
            max_steps=STEPS,
            accumulate_grad_batches=2,
            callbacks=list(callbacks),
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            default_root_dir=tmp_path,
            accelerator="cpu",
        )
        trainer.fit(module, torch.utils.data.DataLoader(data, batch_size=4, shuffle=True))  # type: ignore[arg-type]
        return bits(module, trainer.optimizers[0])

    records: list[Any] = []
    plain = run()
    callback = LightningCostCallback(sinks=lambda step, metrics: records.append((step, metrics)), **SETTINGS)
    assert_same(plain, run(callback))
    assert [step for step, _ in records] == list(range(10, STEPS + 1, 10))
    # An epoch of 16 batches makes 8 steps of 2 batches of 4.
    assert records[-1][1]["training/total_items"] == STEPS * 8
    assert records[-1][1]["cost/l4/latency_s"] > 0


@pytest.mark.slow
def test_transformers(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers", reason="needs transformers")
    pytest.importorskip("accelerate", reason="the Trainer needs accelerate: pip install 'pyinfercost[training]'")
    from pyinfercost.training import TransformersCostCallback

    config = transformers.GPT2Config(
        vocab_size=32, n_positions=16, n_embd=16, n_layer=1, n_head=2, bos_token_id=0, eos_token_id=0
    )

    def run(*callbacks: Any) -> list[torch.Tensor]:
        seed()
        model = transformers.GPT2LMHeadModel(config)
        ids = [torch.randint(32, (16,)) for _ in range(64)]
        trainer = transformers.Trainer(
            model,
            transformers.TrainingArguments(
                str(tmp_path),
                max_steps=STEPS,
                per_device_train_batch_size=4,
                gradient_accumulation_steps=2,
                logging_steps=50,
                save_strategy="no",
                report_to=[],
                use_cpu=True,
                disable_tqdm=True,
            ),
            train_dataset=[{"input_ids": row, "labels": row} for row in ids],
            callbacks=list(callbacks),
        )
        trainer.train()
        return bits(model, trainer.optimizer)

    records: list[Any] = []
    plain = run()
    assert_same(
        plain, run(TransformersCostCallback(sinks=lambda step, metrics: records.append((step, metrics)), **SETTINGS))
    )
    assert [step for step, _ in records] == list(range(10, STEPS + 1, 10))
    last = records[-1][1]
    # Products of the layer for each token, forward and twice backward; of attention two and five; and the output.
    of_token = 3 * 2 * (12 * 16 * 16 + 16 * 32)
    of_sequence = 16 * of_token + 7 * 2 * 16 * 16 * 16
    assert last["training/total_contraction_flops"] == (STEPS - 1) * 8 * of_sequence
    assert last["training/total_tokens"] == (STEPS - 1) * 8 * 16


def test_accelerate_and_ignite() -> None:
    accelerate = pytest.importorskip("accelerate", reason="needs accelerate: pip install 'pyinfercost[accelerate]'")
    engine = pytest.importorskip("ignite.engine", reason="needs ignite: pip install 'pyinfercost[ignite]'")
    from pyinfercost.training import IgniteCostHandler

    def run(tracked: bool) -> tuple[list[torch.Tensor], Any]:
        seed()
        accelerator = accelerate.Accelerator(cpu=True)
        model = Text()
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
        data = torch.utils.data.DataLoader([torch.randint(32, (8,)) for _ in range(40)], batch_size=4)  # type: ignore[arg-type]
        prepared, optimizer, data = accelerator.prepare(model, optimizer, data)

        def step(_: Any, batch: torch.Tensor) -> float:
            optimizer.zero_grad()
            loss = prepared(batch).logsumexp(-1).mean()
            accelerator.backward(loss)
            optimizer.step()
            return float(loss.detach())

        loop = engine.Engine(step)
        if tracked:
            IgniteCostHandler(model=prepared, **SETTINGS).attach(loop, "cost")
        state = loop.run(data, max_epochs=STEPS // 10)
        return bits(model, optimizer), state.metrics

    plain, _ = run(False)
    same, metrics = run(True)
    assert_same(plain, same)
    assert any("latency_s" in name for name in metrics)


def test_mfu_beside_that_of_lightning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nothing but training happens, and FLOPs and peak are the same, the two agree in what they average over."""
    pl = pytest.importorskip("lightning.pytorch", reason="needs Lightning: pip install 'pyinfercost[lightning]'")
    from lightning.fabric.utilities.throughput import measure_flops
    from lightning.pytorch.callbacks import throughput_monitor

    from pyinfercost.training import LightningCostCallback

    peak = 1e12
    monkeypatch.setattr(throughput_monitor, "get_available_flops", lambda *_: peak)
    monkeypatch.setattr(throughput, "peak_of", lambda *_: Peak("it", peak, None))

    class Module(pl.LightningModule):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.net = nn.Sequential(nn.Linear(256, 512), nn.ReLU(), nn.Linear(512, 16))
            with torch.device("meta"):
                twin = nn.Sequential(nn.Linear(256, 512), nn.ReLU(), nn.Linear(512, 16))
            self.flops_per_batch = measure_flops(twin, lambda: twin(torch.randn(64, 256, device="meta")), torch.sum)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.net(x)  # type: ignore[no-any-return]

        def training_step(self, batch: Any, batch_idx: int) -> torch.Tensor:
            return self(batch).square().mean()

        def configure_optimizers(self) -> Any:
            return torch.optim.SGD(self.parameters(), lr=1e-3)

    module = Module()
    # The same FLOPs: two products forward, two gradients of weights and one of what lies between.
    assert module.flops_per_batch == 2 * 64 * (2 * 256 * 512 + 3 * 512 * 16)
    ours: list[float] = []
    theirs: list[float] = []

    class Logger(pl.loggers.CSVLogger):  # type: ignore[misc]
        def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
            theirs.extend(value for name, value in metrics.items() if name.endswith("/mfu"))

    trainer = pl.Trainer(
        max_steps=120,
        log_every_n_steps=20,
        callbacks=[
            throughput_monitor.ThroughputMonitor(batch_size_fn=len, window_size=20),
            LightningCostCallback(
                sinks=lambda step, metrics: ours.append(metrics["training/mfu"]), **{**SETTINGS, "every": 20}, log=False
            ),
        ],
        logger=Logger(tmp_path),
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        accelerator="cpu",
    )
    trainer.fit(module, torch.utils.data.DataLoader(torch.randn(64 * 120, 256), batch_size=64))  # type: ignore[arg-type]
    assert len(ours) == len(theirs) == 6
    # Windows differ by a step, and the machine may be busy in it.
    assert sorted(a / b for a, b in zip(ours, theirs, strict=True))[3] == pytest.approx(1, abs=0.4)
