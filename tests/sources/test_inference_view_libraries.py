"""Inference views of modules wrapped by training libraries."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from support.inference_view_checks import IMAGES, compiled, left_alone, network, serves_as, trains_on
from torch import nn

import pyinfercost as ic
from pyinfercost.sources.inference_view.view import inference_view, plain_name

pytestmark = [pytest.mark.torch, pytest.mark.filterwarnings("ignore")]  # theirs


@pytest.mark.parametrize("precision", ["no", "bf16"])
@pytest.mark.parametrize("first", [None, compiled])
def test_accelerate(precision: str, first: Any) -> None:
    """It replaces the forward of a module, in another precision, by one that it binds."""
    accelerate = pytest.importorskip("accelerate", reason="needs accelerate: pip install accelerate")
    accelerate.state.AcceleratorState._reset_state(reset_partial_state=True)
    accelerator = accelerate.Accelerator(mixed_precision=precision, cpu=True)
    module = network() if first is None else first(network())
    prepared = accelerator.prepare_model(module)
    found = serves_as(prepared, network(), IMAGES)
    assert any("autocast" in note for note in found.notes) == (precision == "bf16")
    # Where something else is taken off as well.
    module = network()
    module[4].compile(backend="eager")
    serves_as(accelerator.prepare_model(module), network(), IMAGES)


def test_fabric() -> None:
    fabric = pytest.importorskip("lightning.fabric", reason="needs lightning: pip install lightning")
    lent = fabric.Fabric(accelerator="cpu", devices=1, precision="bf16-mixed")
    wrapped = lent.setup(network())
    serves_as(wrapped, network(), IMAGES)
    expected = [name for name, _ in network().named_parameters()]
    assert [plain_name(name, wrapped) for name, _ in wrapped.named_parameters()] == expected


def test_lightning_modules_are_themselves() -> None:
    lightning = pytest.importorskip("lightning", reason="needs lightning: pip install lightning")

    class Module(lightning.LightningModule):  # type: ignore[name-defined,misc]
        """A module with a network, a loss and a trainer."""

        def __init__(self) -> None:
            super().__init__()
            self.network = network()
            self.looked_at: list[Any] = []

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.network(x)

        def training_step(self, batch: Any, _: int) -> torch.Tensor:
            found = inference_view(self)
            self.looked_at.append((found.module is self, len(ic.capture(found.module, (IMAGES,)))))
            return self(batch[0] + 1).square().mean()

        def configure_optimizers(self) -> Any:
            return torch.optim.SGD(self.parameters(), lr=0.1)

    module = Module()
    data = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(IMAGES), batch_size=2)
    trainer = lightning.Trainer(
        accelerator="cpu",
        max_epochs=1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(module, data)
    assert module.looked_at == [(True, len(ic.capture(network(), (IMAGES,))))]
    # With something to take off, its twin runs as well.
    module.network[4].compile(backend="eager")
    found = inference_view(module).module
    assert found is not module
    assert type(found) is Module
    assert len(ic.capture(found, (IMAGES,))) == module.looked_at[0][1]


def small_llama() -> nn.Module:
    transformers = pytest.importorskip("transformers", reason="needs transformers: pip install transformers")
    config = transformers.LlamaConfig(
        hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4, vocab_size=100
    )
    return transformers.LlamaForCausalLM(config)


def test_models_of_transformers_are_themselves() -> None:
    model = small_llama().train()
    model.gradient_checkpointing_enable()
    with left_alone(model):
        found = inference_view(model)
    assert found.module is model
    assert not found.notes


def test_models_of_transformers_in_wrappers() -> None:
    model, plain, tokens = small_llama(), small_llama(), torch.zeros(1, 7, dtype=torch.int64)
    model.tie_weights()
    torch.nn.utils.prune.l1_unstructured(model.model.layers[0].mlp.up_proj, "weight", 0.5)
    found = serves_as(nn.DataParallel(compiled(model)), plain, tokens)
    assert type(found.module) is type(plain)
    assert found.module.config is model.config
    torch.nn.utils.prune.l1_unstructured(plain.model.layers[0].mlp.up_proj, "weight", 0.5)
    plain.load_state_dict(model.state_dict())
    trains_on(model, plain, lambda each: each(tokens, labels=tokens).loss)
