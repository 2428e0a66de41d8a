"""A captured training step: its gradients, with their modules and phases."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from click.testing import CliRunner
from support.function_module import Wrapped
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.checkpoint import checkpoint

import pyinfercost as ic
from pyinfercost.cli import main
from pyinfercost.sources.trace.trace import CaptureError

pytestmark = pytest.mark.torch

ROWS, IN, HIDDEN, OUT = 6, 16, 32, 8
FIRST, SECOND = ROWS * IN * HIDDEN, ROWS * HIDDEN * OUT  # multiply-accumulates of the two layers


def layers() -> nn.Sequential:
    return nn.Sequential(nn.Linear(IN, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, OUT))


def step(module: nn.Module, *args: Any, **options: Any) -> ic.Graph:
    return ic.capture(module.train(), args, training=True, **options)


def macs(graph: ic.Graph, phase: str) -> Any:
    return ic.count(graph).by_phase()[phase].macs


def ops(graph: ic.Graph, phase: str = "backward") -> list[str]:
    nodes = [graph.node(i) for i in range(len(graph))]
    return [node.op for node in nodes if node.phase == phase]


def rows(*, requires_grad: bool = False) -> torch.Tensor:
    return torch.randn(ROWS, IN, requires_grad=requires_grad)


# ---- which gradients -------------------------------------------------------------------------------------------------


def test_the_first_layer_needs_no_gradient_of_its_input() -> None:
    assert macs(step(layers(), rows()), "forward") == FIRST + SECOND
    assert macs(step(layers(), rows()), "backward") == FIRST + 2 * SECOND
    assert macs(step(layers(), rows(requires_grad=True)), "backward") == 2 * FIRST + 2 * SECOND


def test_frozen_weights_get_no_gradient() -> None:
    module = layers()
    module[2].requires_grad_(False)
    assert macs(step(module, rows()), "backward") == FIRST + SECOND  # through the frozen layer to the one before
    module[0].requires_grad_(False)
    assert macs(step(module, rows(requires_grad=True)), "backward") == FIRST + SECOND
    module = layers()
    module[0].requires_grad_(False)
    assert macs(step(module, rows()), "backward") == SECOND


def test_gradients_are_results_of_the_graph_and_take_no_copy() -> None:
    module = layers()
    module[0].bias.requires_grad_(False)
    graph = step(module, rows())
    shapes = [tuple(t.shape) for t in graph.outputs]
    assert shapes == [(ROWS, OUT), (), (HIDDEN, IN), (OUT, HIDDEN), (OUT,)]
    assert not {"aten.clone", "aten.copy_", "aten.new_empty_strided"} & set(ops(graph))


def test_a_gradient_in_another_layout_than_its_weight_is_copied() -> None:
    module = Wrapped(lambda self, x: x.t() @ self.w, w=nn.Parameter(torch.randn(OUT, ROWS).t()))
    assert "aten.copy_" not in ops(step(module, rows()))
    module = Wrapped(lambda self, x: (x * self.w.t()).sum(), w=nn.Parameter(torch.randn(IN, ROWS)))
    assert "aten.copy_" in ops(step(module, rows()))


def test_tied_weights_have_one_gradient() -> None:
    module = Wrapped(lambda self, x: F.linear(self.a(x), self.a.weight.t()), a=nn.Linear(IN, HIDDEN, bias=False))
    graph = step(module, rows())
    assert len(graph.outputs) == 3  # result, loss, one gradient
    assert ops(graph).count("aten.add") == 1  # the sum of its two parts


@pytest.mark.parametrize("grads", [True, False])
def test_what_the_caller_says_about_gradients_does_not_matter(grads: bool) -> None:
    graph = step(layers(), rows())
    with torch.set_grad_enabled(grads):
        assert [graph.node(i).op for i in range(len(graph))] == ops(step(layers(), rows()), "forward") + ops(graph)
    with torch.inference_mode():
        assert len(step(layers(), torch.zeros(ROWS, IN))) == len(graph)


# ---- the loss --------------------------------------------------------------------------------------------------------


def test_the_loss_of_the_module_or_of_the_caller() -> None:
    target = torch.zeros(ROWS, dtype=torch.long)
    graph = step(layers(), rows(), loss=lambda logits: F.cross_entropy(logits, target))
    assert "aten._log_softmax_backward_data" in ops(graph)
    module = Wrapped(lambda self, x: {"logits": self.net(x), "loss": F.mse_loss(self.net(x), x[:, :OUT])}, net=layers())
    assert "aten.mse_loss_backward" in ops(step(module, rows()))
    module = Wrapped(lambda self, x: (self.net(x), {"aux": self.net(x).mean(), "n": 3}), net=layers())
    assert ops(step(module, rows()), "forward").count("aten.sum") == 1


@pytest.mark.parametrize(
    ("module", "loss", "message"),
    [
        (layers(), lambda y: y, r"loss has shape \(6, 8\); expected one element"),
        (layers(), lambda _: 3.0, "loss is of type float"),
        (layers(), lambda y: y.detach().sum(), "loss has no gradient"),
        (layers().requires_grad_(False), None, "no tensor with a gradient; expected"),
        (
            Wrapped(lambda self, x: self.net(x).argmax(-1), net=layers()),
            None,
            "has no tensor with a gradient; expected",
        ),
    ],
)
def test_what_cannot_be_trained(module: nn.Module, loss: Any, message: str) -> None:
    with pytest.raises(CaptureError, match=message):
        step(module, rows(), loss=loss)


def test_arguments_that_do_not_go_together() -> None:
    with pytest.raises(TypeError, match="loss is given without training"):
        ic.capture(layers(), rows(), loss=torch.sum)
    with pytest.raises(TypeError, match="Graph of a forward"):
        ic.capture(ic.capture(layers(), rows()), training=True)
    with pytest.raises(TypeError, match="exported program"):
        ic.capture(torch.export.export(layers(), (rows(),)), training=True)
    graph = step(layers(), rows())
    assert ic.capture(graph, training=True) is graph


def test_a_module_in_evaluation_mode_stays_in_it_and_is_told_of() -> None:
    module = nn.Sequential(nn.BatchNorm1d(IN), nn.Dropout(0.5), nn.Linear(IN, OUT)).eval()
    with pytest.warns(UserWarning, match="evaluation mode"):
        graph = ic.capture(module, rows(), training=True)
    assert "aten.native_dropout" not in ops(graph, "forward")
    assert not module.training
    assert {"aten.native_dropout_backward", "aten.native_batch_norm_backward"} <= set(ops(step(module, rows())))


def test_an_error_names_the_module_that_it_stopped() -> None:
    def wrong(self: Any, x: torch.Tensor) -> Any:
        return self.a(x) @ x

    module = Wrapped(lambda self, x: self.inner(x), inner=Wrapped(wrong, a=nn.Linear(IN, HIDDEN)))
    with pytest.raises(CaptureError, match="in module 'inner'"):
        step(module, rows())


# ---- modules and phases ----------------------------------------------------------------------------------------------


def test_backward_belongs_to_the_module_whose_forward_made_it() -> None:
    module = Wrapped(lambda self, x: self.b(torch.tanh(self.a(x))) * 2, a=layers(), b=nn.Linear(OUT, OUT))
    graph = step(module, rows())
    counts = ic.count(graph)
    third = ROWS * OUT * OUT
    by_module = {path: row.macs for path, row in counts.by_module().items()}
    assert by_module["a.0"] == 2 * FIRST
    assert by_module["a.2"] == 3 * SECOND
    assert by_module["a"] == 2 * FIRST + 3 * SECOND
    assert by_module["b"] == 3 * third
    assert by_module[""] == counts.total.macs
    where = {(n.op, n.module) for n in map(graph.node, range(len(graph))) if n.phase == "backward"}
    assert {("aten.tanh_backward", ""), ("aten.threshold_backward", "a.1"), ("aten.mul", "")} <= where
    lines = {graph.node(i).source for i in range(len(graph)) if graph.node(i).op == "aten.tanh_backward"}
    assert lines == {graph.node(i).source for i in range(len(graph)) if graph.node(i).op == "aten.tanh"}


def test_phases_add_up_and_survive_json() -> None:
    graph = step(layers(), rows())
    rows_ = ic.count(graph).by_phase()
    total = ic.count(graph).total
    for name in ("nodes", "contraction_flops", "pointwise_flops", "bytes_read", "bytes_written"):
        assert sum(getattr(row, name) for row in rows_.values()) == getattr(total, name)
    assert rows_["forward"].parameters == total.parameters
    again = ic.Graph.from_json(graph.to_json())
    assert again == graph
    assert [again.node(i).phase for i in range(len(again))] == [graph.node(i).phase for i in range(len(graph))]
    inference = ic.capture(layers(), rows())
    assert set(ic.count(inference).by_phase()) == {"forward"}
    assert "phase" not in inference.to_json()


class Product(torch.autograd.Function):
    """A product whose backward is written by hand, with one product too many."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(x, weight)
        return x @ weight

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> Any:
        x, weight = ctx.saved_tensors
        (x @ weight).relu()
        return grad @ weight.t(), x.t() @ grad


def test_a_backward_of_the_callers_own_is_recorded_as_it_runs() -> None:
    inner = Wrapped(lambda self, x: Product.apply(x, self.w), w=nn.Parameter(torch.randn(OUT, OUT)))  # type: ignore[no-untyped-call]
    module = Wrapped(lambda self, x: self.inner(self.net(x)), net=layers(), inner=inner)
    counts = ic.count(step(module, rows()))
    assert counts.by_module()["inner"].macs == 4 * ROWS * OUT * OUT


@pytest.mark.parametrize("reentrant", [False, True])
def test_a_checkpoint_runs_its_part_of_the_forward_again(reentrant: bool) -> None:
    def forward(self: Any, x: torch.Tensor) -> Any:
        hidden = self.first(x)
        return checkpoint(lambda h: torch.sigmoid(self.second(F.gelu(h))), hidden, use_reentrant=reentrant)

    module = Wrapped(forward, first=nn.Linear(IN, HIDDEN), second=nn.Linear(HIDDEN, OUT))
    graph = step(module, rows())
    counts = ic.count(graph)
    assert counts.by_phase()["forward"].macs == FIRST + SECOND
    assert counts.by_phase()["backward"].macs == FIRST + 2 * SECOND + SECOND
    assert counts.by_module()["second"].macs == 4 * SECOND
    assert ops(graph).count("aten.gelu") == 1
    assert counts.memory.saved_for_backward_bytes == 4 * ROWS * HIDDEN  # what goes into the checkpoint


def test_views_that_are_written_to() -> None:
    def forward(self: Any, x: torch.Tensor) -> Any:
        y = self.net(x)
        y[1:3].mul_(2)
        y[:, 0] = 1
        y[..., :2].add_(1)
        return y.relu_()

    counts = ic.count(step(Wrapped(forward, net=layers()), rows()))
    assert not counts.unmodelled
    assert counts.by_phase()["backward"].macs == FIRST + 2 * SECOND


# ---- attention -------------------------------------------------------------------------------------------------------


def attention(**options: Any) -> Callable[..., Any]:
    return lambda self, q, k, v: F.scaled_dot_product_attention(self.q(q), k, v, **options)


QUERY, KEY = (2, 8, 6, 16), (2, 8, 10, 16)
SCORES = 2 * 8 * 6 * 10


def heads(shape: tuple[int, ...]) -> torch.Tensor:
    return torch.randn(shape, requires_grad=True)


@pytest.mark.parametrize("options", [{}, {"is_causal": True}, {"attn_mask": torch.ones(6, 10, dtype=torch.bool)}])
def test_fused_attention_is_one_call_each_way(options: dict[str, Any]) -> None:
    module = Wrapped(attention(**options), q=nn.Identity())
    graph = step(module, heads(QUERY), heads(KEY), heads(KEY))
    assert [op for op in ops(graph) if "attention" in op] == [
        "aten._scaled_dot_product_fused_attention_overrideable_backward"
    ]
    assert macs(graph, "forward") == 2 * SCORES * 16
    assert macs(graph, "backward") == 5 * SCORES * 16
    # Of the scores one number per row is kept; the inputs are not made by the step.
    result, statistics = 2 * 8 * 6 * 16, 2 * 8 * 6
    assert ic.count(graph).memory.saved_for_backward_bytes == 4 * (result + statistics)


def test_what_is_saved_is_held_until_backward_and_gradients_to_the_end() -> None:
    counts = ic.count(step(layers(), rows(requires_grad=True)))
    memory, forward = counts.memory, counts.by_phase()["forward"].nodes
    result, loss = ROWS * OUT * 4, 4
    # Hidden units after ReLU, which needs its result alone; the result is still the caller's.
    assert memory.saved_for_backward_bytes == ROWS * HIDDEN * 4
    assert memory.timeline[forward - 1] == memory.saved_for_backward_bytes + result + loss
    gradients = counts.total.parameter_bytes + ROWS * IN * 4
    assert memory.timeline[-1] >= gradients + result + loss


def test_attention_with_fewer_key_heads() -> None:
    module = Wrapped(attention(enable_gqa=True), q=nn.Identity())
    graph = step(module, heads(QUERY), heads((2, 2, 10, 16)), heads((2, 2, 10, 16)))
    assert macs(graph, "backward") == 5 * SCORES * 16
    assert [tuple(t.shape) for t in graph.outputs][-2:] == [(2, 2, 10, 16)] * 2


def test_a_bias_of_attention_has_a_gradient() -> None:
    bias = nn.Parameter(torch.randn(8, 6, 10))
    module = Wrapped(lambda self, q, k: F.scaled_dot_product_attention(q, k, k, attn_mask=self.bias), bias=bias)
    graph = step(module, heads(QUERY), heads(KEY))
    assert (8, 6, 10) in [tuple(t.shape) for t in graph.outputs]


def test_unfused_attention_where_the_caller_asks_for_it() -> None:
    module = Wrapped(attention(), q=nn.Identity())
    with sdpa_kernel(SDPBackend.MATH):
        graph = step(module, heads(QUERY), heads(KEY), heads(KEY))
    assert macs(graph, "backward") == 4 * SCORES * 16  # two products each for scores and result
    assert "aten._softmax_backward_data" in ops(graph)


# ---- open sizes and estimates ----------------------------------------------------------------------------------------


def test_sizes_stay_open() -> None:
    module = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Flatten(), nn.Linear(8 * 36, 5))
    graph = ic.capture(module.train(), torch.zeros(4, 3, 8, 8), dynamic={0: {0: "batch"}}, training=True)
    for batch in (2, 7):
        fresh = ic.count(step(module, torch.zeros(batch, 3, 8, 8)))
        bound = ic.count(graph, batch=batch)
        assert bound.total.contraction_flops == fresh.total.contraction_flops
        assert bound.total.bytes_read == fresh.total.bytes_read
        assert bound.memory.saved_for_backward_bytes == fresh.memory.saved_for_backward_bytes
        assert bound.memory.peak_activation_bytes == fresh.memory.peak_activation_bytes


@pytest.mark.parametrize("hardware", ["a100-sxm-80gb", "xeon-8480+", "tpu-v4"])
@pytest.mark.parametrize("execution", ["eager", "compiled"])
def test_a_step_takes_longer_than_its_forward(hardware: str, execution: str) -> None:
    module = nn.Sequential(nn.Conv2d(64, 64, 3, groups=4), nn.BatchNorm2d(64), nn.ReLU(), nn.Flatten())
    module = module.append(nn.Linear(64 * 36, 1000)).train()
    x = torch.zeros(256, 64, 8, 8)
    whole = ic.estimate(step(module, x), hardware=hardware, execution=execution)
    forward = ic.estimate(ic.capture(module, x), hardware=hardware, execution=execution)
    assert 1.5 * forward.latency_s < whole.latency_s < 6 * forward.latency_s


# ---- models in words -------------------------------------------------------------------------------------------------


def test_a_model_in_words_is_captured_in_training_mode() -> None:
    pytest.importorskip("torchvision")
    graph = ic.capture("torchvision:squeezenet1_1", training=True, image_size=64)
    assert "aten.native_dropout_backward" in ops(graph)
    with pytest.raises(ValueError, match="is a captured graph"):
        ic.capture("step.json", training=True)


def test_a_training_step_on_the_command_line() -> None:
    pytest.importorskip("torchvision")
    arguments = ["profile", "torchvision:squeezenet1_1", "--training", "--set", "image_size=64", "--format", "json"]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0, result.output
    document = json.loads(result.stdout)
    assert {layer["phase"] for layer in document["layers"]} == {"forward", "backward"}
    assert not document["coverage"]["unmodelled"]
