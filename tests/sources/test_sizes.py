"""A graph with symbolic sizes has the same counts at any size as a capture at that size."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from torch import nn

import pyinfercost as ic
from pyinfercost.sources.models import LoadedModel, load_model
from pyinfercost.sources.trace.trace import trace_graph

pytestmark = pytest.mark.torch

TOTALS = (
    "nodes",
    "contraction_flops",
    "causal_flops",
    "pointwise_flops",
    "macs",
    "parameters",
    "parameter_bytes",
    "buffer_bytes",
    "bytes_read",
    "bytes_written",
    "bytes_by_role",
    "peak_activation_bytes",
    "peak_memory_bytes",
)
BATCHES = [{"batch": n} for n in (1, 2, 3, 4, 17, 256)]
TOKENS = [{"batch": b, "sequence": s} for b, s in ((1, 1), (1, 7), (3, 1), (2, 16), (4, 128), (8, 33))]
CAPTURED_AT = {"batch": 2, "sequence": 16}
TINY = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64, "vocab_size": 100}
CONFIGS = {
    "bert": {"model_type": "bert", "architectures": ["BertModel"], **TINY},
    "llama": {"model_type": "llama", "architectures": ["LlamaForCausalLM"], "num_key_value_heads": 2, **TINY},
}


class Family(NamedTuple):
    """A model as a function of sizes."""

    name: str
    sizes: list[dict[str, int]]


FAMILIES = [
    Family("torchvision:resnet18", BATCHES),
    Family("vit", BATCHES),
    Family("torchvision:swin_t", BATCHES),
    Family("bert", TOKENS),
    Family("llama", TOKENS),
]


def small_vit(batch: int) -> LoadedModel:
    from torchvision.models import VisionTransformer

    with torch.device("meta"):
        module = VisionTransformer(
            image_size=32, patch_size=8, num_layers=2, num_heads=4, hidden_dim=32, mlp_dim=64
        ).eval()
        return LoadedModel(module, (torch.empty(batch, 3, 32, 32),), {}, {0: {0: "batch"}})


def load(name: str, sizes: dict[str, int], folder: Path) -> LoadedModel:
    if name == "vit":
        return small_vit(**sizes)
    if name in CONFIGS:
        config = folder / f"{name}.json"
        config.write_text(json.dumps(CONFIGS[name]), encoding="utf-8")
        return load_model(f"hf:{config}", sizes)
    return load_model(name, sizes)


def totals(counts: ic.results.Counts) -> dict[str, Any]:
    return {name: getattr(counts.total, name) for name in TOTALS} | {"input_bytes": counts.memory.input_bytes}


@pytest.fixture(scope="module", params=FAMILIES, ids=lambda family: family.name)
def captured(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Family, Path, ic.Graph]:
    family, folder = request.param, tmp_path_factory.mktemp("configs")
    sizes = {name: CAPTURED_AT[name] for name in family.sizes[0]}
    model = load(family.name, sizes, folder)
    return family, folder, trace_graph(model.module, model.args, model.kwargs, model.dynamic)


def without_free_nodes(values: dict[str, Any]) -> dict[str, Any]:
    # torch leaves out a view or a `contiguous` that has nothing to do; with a length of 1 more of them have nothing.
    return {name: value for name, value in values.items() if name != "nodes"}


@pytest.mark.sample(2)
def test_any_size_equals_a_capture_at_that_size(captured: tuple[Family, Path, ic.Graph]) -> None:
    family, folder, graph = captured
    assert set(graph.sizes) == set(family.sizes[0])
    for sizes in family.sizes:
        model = load(family.name, sizes, folder)
        fresh = ic.count(trace_graph(model.module, model.args, model.kwargs))
        counts = ic.count(graph, **sizes)
        assert without_free_nodes(totals(counts)) == without_free_nodes(totals(fresh)), sizes
        assert counts.unmodelled == fresh.unmodelled == {}
        running = [[x.op for x in c.layers if x.work.kind != "free"] for c in (counts, fresh)]
        assert running[0] == running[1]


@pytest.mark.sample(2)
def test_open_sizes_can_be_bound_after_counting(captured: tuple[Family, Path, ic.Graph]) -> None:
    family, _, graph = captured
    symbolic = totals(ic.count(graph))
    for sizes in family.sizes:
        if sizes.get("sequence") == 1:
            continue  # the expressions are those of lengths from 2 on; see the test below
        bound = totals(ic.count(graph, **sizes))
        for name, value in symbolic.items():
            values = value if isinstance(value, dict) else {"": value}
            expected = bound[name] if isinstance(value, dict) else {"": bound[name]}
            assert {k: v.evaluate(sizes) if isinstance(v, ic.Expr) else v for k, v in values.items()} == expected, name


@pytest.mark.sample(2)
def test_every_point_of_a_sweep_is_its_estimate(captured: tuple[Family, Path, ic.Graph]) -> None:
    family, _, graph = captured
    axes = {name: sorted({sizes[name] for sizes in family.sizes}) for name in family.sizes[0]}
    options: dict[str, Any] = {"hardware": "l4", "precision": "fp16", "execution": "compiled"}
    grid = ic.sweep(graph, **options, **axes)
    for point in range(len(grid)):
        sizes = {name: int(grid[name][point]) for name in axes}
        estimate = ic.estimate(graph, **options, **sizes)
        assert grid["latency_s"][point] == estimate.latency_s, sizes


@pytest.mark.sample(2)
def test_an_expression_at_length_one_bounds_the_count_from_above(captured: tuple[Family, Path, ic.Graph]) -> None:
    """Bound to 1, a swap of dimensions is a view; as an expression it is the copy that it is at every other length."""
    family, _, graph = captured
    symbolic = ic.count(graph).total
    for sizes in ({**family.sizes[0], name: 1} for name in family.sizes[0]):
        bound = ic.count(graph, **sizes).total
        for name in ("contraction_flops", "pointwise_flops"):
            assert getattr(symbolic, name).evaluate(sizes) == getattr(bound, name)
        for name in ("bytes_read", "bytes_written", "peak_activation_bytes"):
            assert getattr(symbolic, name).evaluate(sizes) >= getattr(bound, name)


@pytest.mark.sample(2)
def test_an_example_of_one_opens_sizes_like_any_other(captured: tuple[Family, Path, ic.Graph]) -> None:
    family, folder, graph = captured
    ones = dict.fromkeys(family.sizes[0], 1)
    model = load(family.name, ones, folder)
    from_one = trace_graph(model.module, model.args, model.kwargs, model.dynamic)
    for sizes in family.sizes:
        assert totals(ic.count(from_one, **sizes)) == totals(ic.count(graph, **sizes)), sizes
    assert {name: size["default"] for name, size in from_one.sizes.items()} == ones


def test_a_size_that_the_forward_limits_is_refused() -> None:
    class Positions(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table = nn.Parameter(torch.zeros(512, 8))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            if x.shape[1] > 512:
                raise ValueError("too long")
            return x + self.table[: x.shape[1]]

    graph = ic.capture(Positions(), (torch.zeros(2, 16, 8),), dynamic={0: {0: "batch", 1: "sequence"}})
    assert ic.count(graph, batch=3, sequence=512).total.pointwise_flops == 3 * 512 * 8
    with pytest.raises(ValueError, match=r"this graph holds only where .*512.*, got .*sequence=513"):
        ic.count(graph, batch=3, sequence=513)


def test_sizes_computed_from_sizes_stay_exact() -> None:
    """Rounded-up and rounded-down lengths: strides, pooling in ceil mode, a chunk."""

    class Odd(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 8, 3, stride=2, padding=1)
            self.pool = nn.MaxPool2d(3, stride=2, ceil_mode=True)
            self.average = nn.AvgPool2d(2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y = self.average(self.pool(self.conv(x)))
            return y[..., : y.shape[-1] // 2].flatten(2).transpose(1, 2).contiguous()

    module = Odd()
    dims = {0: {0: "batch", 2: "height", 3: "width"}}
    graph = ic.capture(module, (torch.zeros(2, 3, 64, 80),), dynamic=dims)
    for batch, height, width in ((2, 64, 80), (1, 37, 53), (3, 100, 41), (5, 31, 64)):
        fresh = ic.count(ic.capture(module, (torch.zeros(batch, 3, height, width),)))
        counts = ic.count(graph, batch=batch, height=height, width=width)
        assert totals(counts) == totals(fresh), (height, width)
