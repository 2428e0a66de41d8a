"""Formats of single layers, applied to modules as the graph of `whatif` has them."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from support.tiny_tradeoffs import X, tiny
from torch import nn

import pyinfercost as ic
from pyinfercost.formats.table import FORMATS, PRUNED
from pyinfercost.tradeoffs import NotApplicableError
from pyinfercost.tradeoffs.candidates import cast, int8_dynamic, int8_weight_only
from pyinfercost.tradeoffs.layer_formats import apply_format, largest_inputs, method_of, weights_of
from pyinfercost.tradeoffs.layers import layers_in
from pyinfercost.tradeoffs.rounding import kept_2_4, rounded_rows, rounded_tensor, rounded_weight

pytestmark = pytest.mark.torch


def changed(model: nn.Module, inputs: Any, layer: str, form: str, **options: Any) -> nn.Module:
    """The model, with a format in one layer."""
    graph = ic.capture(model, inputs)
    found = {each.name: each for each in layers_in(graph, None)}[layer]
    apply_format(model, weights_of(model, found.products), {**FORMATS, **PRUNED}[form], **options)
    return model.eval()


def test_only_the_layer_changes() -> None:
    for form in ("int8_dynamic", "fp8_wo", "bf16", "2:4"):
        model = changed(tiny(), X, "3", form)
        same = tiny()
        assert torch.equal(model[0].weight, same[0].weight)
        assert torch.equal(model[5].weight, same[5].weight)
        assert not torch.equal(model(X), same(X))


def test_int8_of_linear_layers_and_casts_are_the_candidates() -> None:
    for form, candidate in (("int8_wo", int8_weight_only()), ("int8_dynamic", int8_dynamic()), ("bf16", cast("bf16"))):
        assert torch.equal(changed(tiny(), X, "3", form)(X), candidate(tiny(), "3").eval()(X))


def test_rounded_weights_and_inputs_compute_what_the_kernel_does() -> None:
    form = FORMATS["fp8_dynamic"]
    model = changed(tiny(), X, "3", "fp8_dynamic")
    whole = tiny()
    before = whole[:3](X)
    weight = rounded_weight(whole[3].weight.detach(), form)
    wanted = whole[4:](nn.functional.linear(rounded_rows(before, form), weight, whole[3].bias))
    assert torch.equal(model(X), wanted)


def test_convolutions_have_a_scale_per_output_channel_and_one_of_their_input() -> None:
    form = FORMATS["int8_dynamic"]
    model = changed(tiny(), X, "0", "int8_dynamic")
    whole = tiny()
    weight = rounded_weight(whole[0].weight.detach().reshape(4, 9), form).reshape(4, 1, 3, 3)
    wanted = whole[1:](nn.functional.conv2d(rounded_tensor(X, form), weight, whole[0].bias, padding=1))
    assert torch.equal(model(X), wanted)


def test_static_formats_saturate_beyond_the_range_of_the_inputs() -> None:
    seen = largest_inputs(tiny(), X, ["0", "3"])
    assert seen == {"0": float(X.abs().max()), "3": float(tiny()[:3](X).detach().abs().max())}
    model = changed(tiny(), X, "0", "int8_static", largest=seen)
    whole = tiny()
    weight = rounded_weight(whole[0].weight.detach().reshape(4, 9), FORMATS["int8_static"]).reshape(4, 1, 3, 3)
    wide = rounded_tensor(3 * X, FORMATS["int8_static"], seen["0"])
    assert float(wide.abs().max()) == seen["0"]
    assert torch.equal(model[0](3 * X), nn.functional.conv2d(wide, weight, whole[0].bias, padding=1))
    with pytest.raises(NotApplicableError, match="int8_static needs the range of the inputs of 0; pass inputs"):
        changed(tiny(), X, "0", "int8_static")


def test_a_changed_model_can_be_copied_and_run_again() -> None:
    from pyinfercost.tradeoffs.modules import copy_of

    for form in ("fp8_dynamic", "int8_dynamic", "fp16"):
        model = changed(tiny(), X, "3", form)
        assert torch.equal(copy_of(model)(X), model(X))


def test_a_tied_weight_changes_in_the_product_alone() -> None:
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embedding = nn.Embedding(50, 32)
            self.head = nn.Linear(32, 50, bias=False)
            self.head.weight = self.embedding.weight

        def forward(self, tokens: torch.Tensor) -> torch.Tensor:
            return self.head(self.embedding(tokens))

    tokens = torch.arange(8).reshape(1, 8)
    for form in ("int8_wo", "nf4_wo"):
        model = Tied()
        before = model.embedding.weight.detach().clone()
        changed(model, tokens, "head", form)
        assert torch.equal(model.embedding.weight, before)
        weight = model.head.weight
        narrow = weight.dequantize() if form == "int8_wo" else weight
        assert not torch.equal(narrow, before)


def test_weights_of_one_module_that_computes_several_products() -> None:
    model = nn.MultiheadAttention(32, 4, batch_first=True)
    x = torch.randn(2, 5, 32)
    graph = ic.capture(model, (x, x, x))
    (layer,) = layers_in(graph, None)
    weights = weights_of(model, layer.products)
    assert {(each.owner, each.name) for each in weights} == {("", "in_proj_weight"), ("out_proj", "weight")}
    assert method_of(model, weights, FORMATS["int8_wo"]) == "rounded"
    apply_format(model, weights, FORMATS["int8_wo"])
    assert len(model.in_proj_weight[0].unique()) <= 255
    with pytest.raises(NotApplicableError, match="computes more than one product"):
        apply_format(model, weights, FORMATS["int8_dynamic"])


def test_stacks_of_experts_are_rounded_matrix_by_matrix() -> None:
    class Experts(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.up = nn.Parameter(torch.randn(4, 32, 64))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.bmm(x, self.up)

    model, x = Experts(), torch.randn(4, 8, 32)
    before = model.up.detach().clone()
    graph = ic.capture(model, x)
    assert [each.name for each in layers_in(graph, None)] == ["up"]
    changed(model, x, "up", "int8_wo")
    for old, new in zip(before, model.up.detach(), strict=True):
        assert torch.equal(new, rounded_weight(old.T, FORMATS["int8_wo"]).T)  # stored as [inputs, outputs]


def test_zeros_go_along_the_inputs() -> None:
    model = nn.Linear(64, 8)
    before = model.weight.detach().clone()
    changed(model, torch.randn(2, 64), "", "2:4")
    assert torch.equal(model.weight, kept_2_4(before))


def test_a_graph_of_another_model() -> None:
    products = layers_in(ic.capture(tiny(), X), None)[1].products
    with pytest.raises(NotApplicableError, match=r"has no parameter '3\.weight'"):
        weights_of(nn.Linear(4, 4), products)
