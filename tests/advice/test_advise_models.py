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
from pyinfercost.advice.combinations import TOLERANCE
from pyinfercost.advice.siblings import siblings
from pyinfercost.tradeoffs.candidates import cast
from pyinfercost.transform.variants import varied

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

RECOMMENDER = """
import torch


class Recommender(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.bag = torch.nn.EmbeddingBag(10_000, 64)
        self.top = torch.nn.Sequential(
            torch.nn.Linear(64 + 13, 512), torch.nn.ReLU(), torch.nn.Linear(512, 256), torch.nn.ReLU(),
            torch.nn.Linear(256, 1),
        )

    def forward(self, ids, dense):
        return self.top(torch.cat([self.bag(ids), dense], dim=1))


def make(batch=128):
    return Recommender(), (torch.zeros(batch, 26, dtype=torch.long), torch.zeros(batch, 13))
"""

SPECS: dict[str, tuple[str, dict[str, Any]]] = {
    "resnet18": ("torchvision:resnet18", {"hardware": "l4", "price": 0.8, "limits": {"latency_s": 0.02}}),
    "resnet50": ("torchvision:resnet50", {"hardware": "l4", "price": 0.8, "risk": "retrain"}),
    "mobilenet": ("torchvision:mobilenet_v3_large", {"hardware": "t4", "batch": 4, "risk": "retrain"}),
    "efficientnet": ("torchvision:efficientnet_v2_s", {"hardware": "a10g", "price": "g5.xlarge"}),
    "vit": ("torchvision:vit_b_32", {"hardware": "a100-sxm-40gb", "batch": 8, "risk": "small"}),
    "swin": ("torchvision:swin_t", {"hardware": "l40s", "objective": "energy_per_item_j"}),
    "convnext on a CPU": ("torchvision:convnext_small", {"hardware": "xeon-8480+", "risk": "retrain"}),
    "detector": ("torchvision:fasterrcnn_mobilenet_v3_large_fpn", {"hardware": "l4"}),
    "bert": ("bert", {"hardware": "t4", "sequence": 64, "risk": "small"}),
    "decode": ("llama#decode", {"hardware": "h100-sxm-80gb", "batch": 4, "context": 512, "risk": "small"}),
    "prefill": ("llama#prefill", {"hardware": "l40s", "sequence": 256, "risk": "retrain"}),
    "unet": ("unet", {"hardware": "rtx-3090", "risk": "small"}),
    "recommender": ("advised_recommender:make", {"hardware": "xeon-8380", "batch": 64, "risk": "small"}),
}
FAST = {"resnet18"}


def spec_in(folder: Path, name: str) -> str:
    """The spec of a model, whose config or code is written into a folder."""
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
    if name.startswith("advised_recommender"):
        (folder / "advised_recommender.py").write_text(RECOMMENDER)
    return name


@pytest.mark.parametrize(
    "name", [name if name in FAST else pytest.param(name, marks=pytest.mark.slow) for name in SPECS]
)
def test_rows_and_plans_are_what_they_print(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    model, asked = SPECS[name]
    advice = ic.advise(spec_in(tmp_path, model), **asked)
    assert advice.rows
    check_plans(advice)
    setups = {setup.command: setup for setup in setups_of(advice)}
    for command, setup in setups.items():
        assert figures_of_command(command) == dict(setup.figures), command
    by_code = {setup.code: setup for setup in setups.values() if setup.code}
    assert by_code
    for code, setup in list(by_code.items()) if name in FAST else list(by_code.items())[:4]:
        assert figures_of_code(code) == dict(setup.figures), code


def check_plans(advice: ic.results.Advice) -> None:
    """Check that plans are no worse than their rows, and say what they add."""
    allowed = [row.saving_share for row in advice.rows if row.in_plan and row.within_limits]
    assert (advice.best is None) == (not allowed)
    for plan in filter(None, (advice.best, advice.here)):
        assert sum(step.adds_share for step in plan.steps) == pytest.approx(plan.saving_share)
        assert plan.steps[-1].setup == plan.setup
        old, new = (setup.figures[advice.objective] for setup in (advice.baseline, plan.setup))
        assert plan.saving_share == 1 - new / old
    if advice.best is not None:
        assert advice.best.saving_share >= max(allowed) - TOLERANCE


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
@pytest.mark.slow
def test_a_module_is_opened_at_its_batch(model: nn.Module, inputs: Any, hardware: str) -> None:
    advice = ic.advise(model.eval(), inputs, hardware=hardware, risk="small")
    assert "a batch of" in " ".join(row.option for row in advice.rows)
    for setup in {setup.code: setup for setup in setups_of(advice)}.values():
        assert figures_of_code(setup.code, model=model, inputs=inputs) == dict(setup.figures), setup.code


class Exits(nn.Module):
    """Convolutions with a classifier after the first ones, and one at the end."""

    def __init__(self) -> None:
        super().__init__()
        self.parts = nn.ModuleList(
            nn.Sequential(*(nn.Sequential(nn.Conv2d(32, 32, 3, padding=1), nn.ReLU()) for _ in range(4)))
            for _ in range(2)
        )
        self.stem = nn.Conv2d(3, 32, 3, padding=1)
        self.heads = nn.ModuleList(nn.Linear(32, 10) for _ in range(2))

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        x = self.stem(x)
        found = []
        for part, head in zip(self.parts, self.heads, strict=True):
            x = part(x)
            found.append(head(x.mean((2, 3))))
        return found


def test_shapes_and_formats_of_a_module_are_rows_with_code() -> None:
    model, x = Exits().eval(), torch.zeros(8, 3, 64, 64)
    among = ["channels_last", "layers", "width", "early_exit", "half_precision"]
    advice = ic.advise(model, x, hardware="l4", price=0.8, risk="retrain", among=among)
    assert {row.tactic for row in advice.rows} == set(among)
    for row in advice.rows:
        assert figures_of_code(row.setup.code, model=model, inputs=x) == dict(row.setup.figures), row.setup.code
    left = advice.row("early_exit")
    assert left is not None
    assert not left.in_plan
    assert left.option == "early exit 1 of 1"
    assert model.stem.weight.is_contiguous()


def test_the_training_of_a_row_is_paid_back() -> None:
    model, x = Exits().eval(), torch.zeros(8, 3, 64, 64)
    advice = ic.advise(model, x, hardware="l4", price=0.8, among=["layers", "half_precision"])
    row, other = advice.row("layers"), advice.row("half_precision")
    assert row is not None
    assert other is not None
    assert other.training is None
    note = row.training
    assert note is not None
    graph = ic.capture(model, x, dynamic={0: {0: "batch"}})
    at = {"hardware": "l4", "price": 0.8, "sustained": True, "batch": note.batch}
    student, teacher = (ic.estimate(varied(graph, layers=share), **at) for share in (row.setup.settings["layers"], 1.0))
    assert note.seconds == pytest.approx(note.steps * (3 * student.latency_s + teacher.latency_s))
    cost = note.steps * note.batch * (3 * student.cost_usd + teacher.cost_usd)
    assert note.cost_usd == pytest.approx(cost)
    saved = advice.baseline.figures["cost_usd"] - row.setup.figures["cost_usd"]
    assert note.inferences == pytest.approx(cost / saved)
    assert "paid back by" in note.text
    assert "10,000 steps of 32 images" in note.text


def test_a_batch_at_which_the_forward_is_another_one_is_left_out() -> None:
    builder = ic.GraphBuilder("guarded")
    batch = builder.size("batch", default=1, maximum=4096)
    builder.guard(batch, "<", 64)
    x, y = builder.tensor("float32", (batch, 64), role="input"), builder.tensor("float32", (batch, 64))
    builder.node("aten.relu.default", {"self": x}, [y])
    advice = ic.advise(builder.build([x], [y]), hardware="l4", price=0.8)
    assert advice.best is not None
    assert advice.best.setup.settings["batch"] < 64


def test_a_format_that_fits_no_weight_is_left_out() -> None:
    model = nn.Sequential(nn.Linear(525, 512), nn.ReLU(), nn.Linear(512, 1)).eval()
    advice = ic.advise(model, torch.zeros(64, 525), hardware="l4", price=0.8, risk="retrain", among=["two_four"])
    (left_out,) = advice.unhelpful
    assert left_out.tactic == "two_four"
    assert "rows of 525" in left_out.why


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


@pytest.mark.slow
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
