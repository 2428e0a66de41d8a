"""The same model traced, exported, and saved and read back has the same work."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from torch import nn
from torch.export import Dim, export

import pyinfercost as ic
from pyinfercost.sources.exported.archive import graph_from_archive
from pyinfercost.sources.exported.export import graph_from_exported
from pyinfercost.sources.trace.trace import trace_graph

pytestmark = [
    pytest.mark.torch,
    pytest.mark.filterwarnings(
        "ignore::FutureWarning:torch", "ignore::FutureWarning:copyreg", "ignore::UserWarning:torch"
    ),
]

BATCH = 2


class Case(NamedTuple):
    """A small model with inputs, and the inputs whose first dimension is the batch."""

    module: nn.Module
    args: tuple[Any, ...]
    kwargs: dict[str, Any]


def resnet18() -> Case:
    models = pytest.importorskip("torchvision.models")
    return Case(models.resnet18(weights=None), (torch.zeros(BATCH, 3, 64, 64),), {})


def small_vit() -> Case:
    pytest.importorskip("torchvision")
    from torchvision.models.vision_transformer import VisionTransformer

    module = VisionTransformer(
        image_size=32, patch_size=8, num_layers=2, num_heads=2, hidden_dim=32, mlp_dim=64, num_classes=10
    )
    return Case(module, (torch.zeros(BATCH, 3, 32, 32),), {})


def swin_t() -> Case:
    models = pytest.importorskip("torchvision.models")
    return Case(models.swin_t(weights=None), (torch.zeros(BATCH, 3, 64, 64),), {})


def tiny_llama() -> Case:
    transformers = pytest.importorskip("transformers")
    config = transformers.LlamaConfig(
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        vocab_size=256,
        tie_word_embeddings=True,
    )
    # With a mask of its own, the model builds none: it does so for export alone, which would be a different forward.
    mask = torch.ones(BATCH, 1, 16, 16, dtype=torch.bool).tril()
    tokens = torch.zeros(BATCH, 16, dtype=torch.int64)
    return Case(
        transformers.LlamaForCausalLM(config),
        (),
        {"input_ids": tokens, "attention_mask": mask, "use_cache": False},
    )


CASES: list[Callable[[], Case]] = [resnet18, small_vit, swin_t, tiny_llama]


def totals(graph: ic.Graph, **sizes: int) -> dict[str, Any]:
    counts = ic.count(graph, **sizes)
    found = {**counts.total.to_dict(), "unmodelled": dict(counts.unmodelled)}
    # Export keeps each Python number that is written into a tensor (`mask[...] = 3`) as a constant of no dimensions.
    tensors = [graph.tensor(i) for i in range(graph.tensor_count)]
    numbers = sum(1 for t in tensors if t.role == "constant" and not t.shape)
    found["peak_memory_bytes"] -= 4 * numbers
    return found


@pytest.mark.parametrize(
    "make",
    [pytest.param(make, marks=[pytest.mark.slow] if make is swin_t else []) for make in CASES],
    ids=lambda make: make.__name__,
)
@pytest.mark.sample(1)
def test_fixed_sizes(make: Callable[[], Case], tmp_path: Path) -> None:
    module, args, kwargs = make()
    module.eval()
    traced = trace_graph(module, args, kwargs)
    program = export(module, args, kwargs, strict=False)
    exported = graph_from_exported(program)
    torch.export.save(program, tmp_path / "model.pt2")
    archived = graph_from_archive(tmp_path / "model.pt2")
    expected = totals(exported)
    assert expected["contraction_flops"] > 0
    assert totals(archived) == expected
    assert totals(traced.without_lifetimes()) == expected
    # A trace has seen how long the model's own frames hold what a planner may free after its last use.
    assert totals(traced)["peak_activation_bytes"] >= expected["peak_activation_bytes"]


@pytest.mark.slow
@pytest.mark.parametrize("make", CASES, ids=lambda make: make.__name__)
def test_an_open_batch(make: Callable[[], Case], tmp_path: Path) -> None:
    module, args, kwargs = make()
    module.eval()
    dynamic: dict[int | str, dict[int, str]] = {i: {0: "batch"} for i in range(len(args))}
    dynamic |= {name: {0: "batch"} for name, value in kwargs.items() if isinstance(value, torch.Tensor)}
    batch = Dim("batch", min=1, max=4096)
    shapes = ([{0: batch}] * len(args),) if args else ({k: {0: batch} if k in dynamic else None for k in kwargs},)
    program = export(module, args, kwargs, dynamic_shapes=shapes[0], strict=False)
    torch.export.save(program, tmp_path / "model.pt2")
    graphs = [
        trace_graph(module, args, kwargs, dynamic).without_lifetimes(),
        graph_from_exported(program),
        graph_from_archive(tmp_path / "model.pt2"),
    ]
    for size in (BATCH, 7):
        first, *others = [totals(graph, batch=size) for graph in graphs]
        assert others == [first, first]
    # What a batch of the traced example asks for is what the same model asks for at fixed sizes.
    assert totals(graphs[0], batch=BATCH) == totals(trace_graph(module, args, kwargs).without_lifetimes())


@pytest.mark.parametrize("make", CASES, ids=lambda make: make.__name__)
@pytest.mark.sample(1)
def test_modules_agree(make: Callable[[], Case]) -> None:
    module, args, kwargs = make()
    module.eval()
    traced = ic.count(trace_graph(module, args, kwargs)).by_module()
    exported = ic.count(graph_from_exported(export(module, args, kwargs, strict=False))).by_module()
    contraction = [{name: row.contraction_flops for name, row in rows.items()} for rows in (traced, exported)]
    assert contraction[0] == contraction[1]
    assert len(contraction[0]) > 10


@torch.library.custom_op("pyinfercost_tests::scaled", mutates_args=())
def scaled(x: torch.Tensor, times: int) -> torch.Tensor:
    return x * times


@scaled.register_fake
def _(x: torch.Tensor, times: int) -> torch.Tensor:
    return torch.empty_like(x)


def test_a_rule_for_a_custom_op_serves_through_every_door(tmp_path: Path) -> None:
    class Scales(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return scaled(x, 3).relu()

    args = (torch.zeros(BATCH, 8),)
    program = export(Scales(), args)
    torch.export.save(program, tmp_path / "scales.pt2")

    def rule(node: Any) -> ic.Work:
        rows, columns = node.inputs[0].shape
        return ic.Work(contraction_flops=2 * rows * columns * node.args["times"])

    doors = trace_graph(Scales(), args), graph_from_exported(program), graph_from_archive(tmp_path / "scales.pt2")
    for graph in doors:
        assert ic.count(graph).unmodelled == {"pyinfercost_tests.scaled": 1}
        counts = ic.count(graph, rules={"pyinfercost_tests::scaled": rule})
        assert counts.unmodelled == {}
        assert counts.total.contraction_flops == 2 * BATCH * 8 * 3
