"""Advice on models of libraries: figures are those of the commands to the last digit, in plans as in rows."""

from __future__ import annotations

import copy
import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from support.advised import figures_of_code, figures_of_command, setups_of
from support.language_configs import LLAMA, spec_of
from torch import nn

import pyinfercost as ic
from pyinfercost.advice.siblings import siblings
from pyinfercost.tradeoffs.candidates import cast

pytestmark = pytest.mark.torch

BERT = {
    "architectures": ["BertForSequenceClassification"], "model_type": "bert", "hidden_size": 256,
    "num_hidden_layers": 4, "num_attention_heads": 4, "intermediate_size": 1024, "vocab_size": 30522,
}  # fmt: skip
UNET = {
    "_class_name": "UNet2DConditionModel", "sample_size": 32, "in_channels": 4, "out_channels": 4,
    "block_out_channels": [64, 128], "down_block_types": ["CrossAttnDownBlock2D", "DownBlock2D"],
    "up_block_types": ["UpBlock2D", "CrossAttnUpBlock2D"], "cross_attention_dim": 128, "layers_per_block": 1,
    "attention_head_dim": 8,
}  # fmt: skip

SPECS: dict[str, tuple[str, dict[str, Any]]] = {
    "resnet50": ("torchvision:resnet50", {"hardware": "l4", "price": 0.8, "limits": {"latency_s": 0.02}}),
    "mobilenet": ("torchvision:mobilenet_v3_large", {"hardware": "t4", "batch": 4, "risk": "retrain"}),
    "efficientnet": ("torchvision:efficientnet_v2_s", {"hardware": "a10g", "price": "g5.xlarge"}),
    "vit": ("torchvision:vit_b_32", {"hardware": "a100-sxm-40gb", "batch": 8, "risk": "small"}),
    "swin": ("torchvision:swin_t", {"hardware": "l40s", "objective": "energy_per_item_j"}),
    "convnext on a CPU": ("torchvision:convnext_small", {"hardware": "xeon-8480+", "risk": "retrain"}),
    "detector": ("torchvision:fasterrcnn_mobilenet_v3_large_fpn", {"hardware": "l4"}),
    "bert": ("bert", {"hardware": "t4", "sequence": 64, "risk": "small"}),
    "decode": ("llama#decode", {"hardware": "h100-sxm-80gb", "batch": 4, "context": 512, "risk": "small"}),
    "prefill": ("llama#prefill", {"hardware": "l40s", "sequence": 256, "risk": "small"}),
    "unet": ("unet", {"hardware": "rtx-3090", "risk": "small"}),
}
SLOW = {"efficientnet", "swin", "convnext on a CPU", "detector", "vit", "decode", "prefill", "mobilenet"}


def spec_in(folder: Path, name: str) -> str:
    """The spec of a model, whose config is written into a folder."""
    pytest.importorskip("torchvision")
    if name.startswith("llama"):
        pytest.importorskip("transformers")
        return spec_of(folder, LLAMA) + name.removeprefix("llama")
    if name == "bert":
        pytest.importorskip("transformers")
        return spec_of(folder, BERT)
    if name == "unet":
        pytest.importorskip("diffusers")
        (folder / "config.json").write_text(json.dumps(UNET))
        return f"diffusers:{folder / 'config.json'}"
    return name


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow) if name in SLOW else name for name in SPECS]
)
def test_rows_and_plans_are_what_their_commands_predict(name: str, tmp_path: Path) -> None:
    model, asked = SPECS[name]
    advice = ic.advise(spec_in(tmp_path, model), **asked)
    assert advice.rows
    setups = {setup.command: setup for setup in setups_of(advice)}
    for command, setup in setups.items():
        assert figures_of_command(command) == dict(setup.figures), command


class Recommender(nn.Module):
    """A bag of embeddings beside dense features, and layers above them."""

    def __init__(self) -> None:
        super().__init__()
        self.bag = nn.EmbeddingBag(10_000, 64)
        self.top = nn.Sequential(nn.Linear(64 + 13, 512), nn.ReLU(), nn.Linear(512, 256), nn.ReLU(), nn.Linear(256, 1))

    def forward(self, ids: torch.Tensor, dense: torch.Tensor) -> torch.Tensor:
        return self.top(torch.cat([self.bag(ids), dense], dim=1))


class Recurrent(nn.Module):
    """Two LSTM layers and a head."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.LSTM(64, 128, 2, batch_first=True)
        self.head = nn.Linear(128, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.layers(x)[0][:, -1])


@pytest.mark.parametrize(
    ("model", "inputs", "hardware"),
    [
        (Recommender(), (torch.zeros(128, 26, dtype=torch.long), torch.zeros(128, 13)), "xeon-8380"),
        (Recurrent(), torch.zeros(4, 50, 64), "t4"),
    ],
    ids=["recommender", "lstm"],
)
def test_a_module_is_opened_at_its_batch(model: nn.Module, inputs: Any, hardware: str) -> None:
    advice = ic.advise(model.eval(), inputs, hardware=hardware, risk="small")
    assert "a batch of" in " ".join(row.option for row in advice.rows)
    names = {0: {0: "batch"}, 1: {0: "batch"}} if isinstance(inputs, tuple) else {0: {0: "batch"}}
    graph = ic.capture(model, inputs, dynamic=names)
    for setup in setups_of(advice):
        assert figures_of_code(setup.code, graph=graph) == dict(setup.figures), setup.code


def test_accuracy_is_measured_where_options_can_be_applied() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(1024, 4096), nn.ReLU(), nn.Linear(4096, 10)).eval()
    x = torch.linspace(-1, 1, 32 * 1024).reshape(32, 1024).sin()
    wanted = model(x).detach()
    evaluated: list[nn.Module] = []

    def similarity(candidate: nn.Module) -> float:
        evaluated.append(candidate)
        with torch.no_grad():
            return 1 - float((candidate(x) - wanted).norm() / wanted.norm())

    advice = ic.advise(
        model, (x,), hardware="l4", price=0.8, evaluate=similarity, among=["half_precision", "batch", "engine"]
    )
    row = advice.row("half_precision")
    assert row is not None
    assert row.accuracy.measured
    expected = 1 - similarity(cast(row.option)(copy.deepcopy(model)))
    assert row.accuracy.lost_high == pytest.approx(expected, abs=1e-3)
    assert 0 < row.accuracy.lost_high < 0.05
    assert all(other is not model for other in evaluated[:-1])
    batch = advice.row("batch")
    assert batch is not None
    assert not batch.accuracy.measured
    with pytest.raises(ic.errors.InputError, match="evaluate is given without a module"):
        ic.advise(ic.capture(model, (x,)), hardware="l4", evaluate=similarity)


def test_siblings_are_the_nearest_smaller_models_on_the_front() -> None:
    own, smaller = siblings("torchvision:resnet50")
    assert own is not None
    assert own.top1 == 80.858
    assert [each.spec for each in smaller] == ["torchvision:resnet34", "torchvision:resnet18"]
    _, smaller = siblings("torchvision:efficientnet_b7")
    assert len(smaller) == 3
    assert all(one.top1 > other.top1 for one, other in pairwise(smaller))
    assert siblings("torchvision:resnet18")[1] == ()
    assert siblings("timm:resnet50") == (None, ())


def test_siblings_have_the_published_figures() -> None:
    models = pytest.importorskip("torchvision.models")
    for name in ("resnet18", "vit_b_16", "convnext_tiny", "efficientnet_b0"):
        own, _ = siblings(f"torchvision:{name}")
        assert own is not None
        meta = models.get_model_weights(name).DEFAULT.meta
        assert own.top1 == meta["_metrics"]["ImageNet-1K"]["acc@1"]
        assert own.gmac == meta["_ops"]


def test_a_sibling_is_a_row_with_its_published_accuracy() -> None:
    pytest.importorskip("torchvision")
    advice = ic.advise("torchvision:vgg13", hardware="l4", price=0.8, among=["sibling"], risk="retrain")
    assert advice.here is not None
    (step,) = advice.here.steps
    assert step.option in ("vgg11", "vgg11_bn")
    assert "torchvision:vgg11" in step.setup.command
    assert step.accuracy.source.startswith("torchvision 0.28")
    assert figures_of_command(step.setup.command) == dict(step.setup.figures)


def test_formats_by_layer_are_no_slower_than_one_format() -> None:
    pytest.importorskip("torchvision")
    asked: dict[str, Any] = {"hardware": "l4", "price": 0.8, "risk": "small", "batch": 16, "precision": "fp16"}
    names = ["weight_formats", "activation_formats", "formats_by_layer"]
    advice = ic.advise("torchvision:vit_b_16", **asked, among=names)
    by_layer = advice.row("formats_by_layer")
    uniform = [row.saving_share for row in advice.rows if row.tactic in names[:2]]
    if by_layer is not None:
        assert by_layer.saving_share >= max(uniform, default=0.0) - 0.02
    assert advice.here is None or len(advice.here.steps) == 1
