"""Operators that exporters write as several in older operator sets: attention and GELU are one in the graph."""

from __future__ import annotations

import io
import logging
import math
import warnings
from typing import Any

import pytest
from support.onnx_texts import filled

import pyinfercost as ic

onnx = pytest.importorskip("onnx", reason="needs onnx: pip install 'pyinfercost[onnx]'")
from onnx import parser  # noqa: E402

BATCH, HEADS, LENGTH, WIDTH = 3, 4, 32, 16

# The keys as both exporters of torch transpose them.
TURNED = """turned = Transpose <perm = [0, 1, 3, 2]> (k)"""
TURNED_FLAT = """
    three = Constant <value_ints = [-1, 32, 16]> ()
    flat = Reshape(k, three)
    exchanged = Transpose <perm = [0, 2, 1]> (flat)
    four = Constant <value_ints = [-1, 4, 16, 32]> ()
    turned = Reshape(exchanged, four)
"""
ROOT = """
    scale = Constant <value_float = 0.25> ()
    root = Sqrt(scale)
    like = CastLike(root, q)
    qs = Mul(q, like)
    ks = Mul(turned, like)
    scores = MatMul(qs, ks)
"""
PLAIN = "shares = Softmax <axis = -1> (scores)\n y = MatMul(shares, v)"
MASKED = """
    shown = Constant <value_float = 0.0> ()
    hidden = Constant <value = float {-inf}> ()
    mask = Where(allowed, shown, hidden)
    masked = Add(scores, mask)
    every = Softmax <axis = -1> (masked)
    none = IsNaN(every)
    shares = Where(none, shown, every)
    y = MatMul(shares, v)
"""
CAUSAL = """
    lengths = Constant <value_ints = [32, 32]> ()
    one = Constant <value_float = 1.0> ()
    zero = Constant <value_float = 0.0> ()
    hidden = Constant <value_float = -10000.0> ()
    ones = Expand(one, lengths)
    triangle = Trilu <upper = 0> (ones)
    later = Equal(triangle, zero)
    mask = Where(later, hidden, zero)
    masked = Add(scores, mask)
    shares = Softmax <axis = -1> (masked)
    y = MatMul(shares, v)
"""


def attention(*parts: str, results: str = "float[batch, 4, 32, 16] y") -> ic.Graph:
    text = """
        <ir_version: 10, opset_import: ["" : 18]>
        attention (float[batch, 4, 32, 16] q, float[batch, 4, 32, 16] k, float[batch, 4, 32, 16] v,
                   bool[batch, 1, 32, 32] allowed) => (RESULTS)
        { PARTS }
    """
    text = text.replace("RESULTS", results).replace("PARTS", "\n".join(parts))
    return ic.capture(filled(parser.parse_model(text.replace("float {-inf}", "float {-1e30}"))))


def the_attention(graph: ic.Graph) -> Any:
    found = [node for node in graph.nodes if node.op == "aten.scaled_dot_product_attention"]
    assert len(found) == 1, graph.op_counts()
    return found[0]


@pytest.mark.parametrize("turned", [TURNED, TURNED_FLAT])
def test_products_and_a_softmax_are_attention(turned: str) -> None:
    graph = attention(turned, ROOT, PLAIN)
    node = the_attention(graph)
    assert graph.node_count == 1  # the transpose of the keys went, too
    assert [tensor.name for tensor in node.inputs] == ["q", "k", "v"]
    counts = ic.count(graph, batch=BATCH).total
    assert counts.contraction_flops == 2 * 2 * BATCH * HEADS * LENGTH * LENGTH * WIDTH
    # Queries, keys and values are read once, and the result is written: no scores.
    assert counts.bytes_read + counts.bytes_written == 4 * 4 * BATCH * HEADS * LENGTH * WIDTH


def test_keys_that_come_as_tokens_are_read_through_one_view() -> None:
    turned = """
        tokens = Constant <value_ints = [-1, 32, 4, 16]> ()
        apart = Reshape(k, tokens)
        turned = Transpose <perm = [0, 2, 3, 1]> (apart)
    """
    graph = attention(turned, ROOT, PLAIN)
    keys = graph.tensor(the_attention(graph).operand("key"))
    assert keys.shape[1:] == (HEADS, LENGTH, WIDTH)
    assert keys.strides[1:] == (WIDTH, HEADS * WIDTH, 1)
    assert graph.op_counts() == {"aten.reshape": 1, "aten.permute": 1, "aten.scaled_dot_product_attention": 1}


def test_a_mask_of_truth_values_is_the_mask() -> None:
    graph = attention(TURNED, ROOT, MASKED)
    node = the_attention(graph)
    mask = graph.tensor(node.operand("attn_mask"))
    assert (mask.name, mask.dtype) == ("allowed", "bool")
    assert graph.node_count == 1


def test_a_triangle_of_ones_is_causal() -> None:
    graph = attention(TURNED, ROOT, CAUSAL)
    node = the_attention(graph)
    assert node.argument("is_causal") is True
    assert node.operand("attn_mask") is None
    assert graph.node_count == 1


@pytest.mark.parametrize(
    "parts",
    [
        (TURNED, ROOT.replace("ks = Mul(turned, like)", "ks = Identity(turned)"), PLAIN),
        (TURNED, ROOT, PLAIN.replace("axis = -1", "axis = 2")),
        (TURNED, ROOT, PLAIN.replace("(shares, v)", "(shares, shares)")),
        (
            TURNED,
            ROOT,
            "shares = Softmax <axis = -1> (scores)\n doubled = Add(shares, scores)\n y = MatMul(doubled, v)",
        ),
    ],
    ids=["scaled queries", "other axis", "no values", "scores read twice"],
)
def test_other_products_stay(parts: tuple[str, ...]) -> None:
    graph = attention(*parts)
    assert "aten.scaled_dot_product_attention" not in graph.op_counts()
    assert graph.op_counts()["aten.matmul"] == 2


def test_scores_that_are_returned_stay() -> None:
    results = "float[batch, 4, 32, 16] y, float[batch, 4, 32, 32] scores"
    graph = attention(TURNED, ROOT, PLAIN, results=results)
    assert graph.op_counts()["aten.matmul"] == 2


FORMS = {
    "newer exporter": "half = Constant <value_float = 0.5> ()\n halved = Mul(half, grown)\n y = Mul(x, halved)",
    "older exporter": "half = Constant <value_float = 0.5> ()\n grew = Mul(x, grown)\n y = Mul(grew, half)",
    "halved first": "half = Constant <value_float = 0.5> ()\n halved = Mul(x, half)\n y = Mul(halved, grown)",
}


def erf(end: str, root: float = math.sqrt(2.0)) -> ic.Graph:
    text = f"""
        <ir_version: 10, opset_import: ["" : 17]>
        gelu (float[batch, 8] x) => (float[batch, 8] y)
        {{
            root = Constant <value_float = {root}> ()
            one = Constant <value_float = 1.0> ()
            narrow = Div(x, root)
            error = Erf(narrow)
            grown = Add(error, one)
            {end}
        }}
    """
    return ic.capture(filled(parser.parse_model(text)))


@pytest.mark.parametrize("form", FORMS)
def test_an_error_function_is_gelu(form: str) -> None:
    assert erf(FORMS[form]).op_counts() == {"aten.gelu": 1}


def test_another_error_function_stays() -> None:
    assert erf(FORMS["newer exporter"], 2.0).op_counts()["aten.erf"] == 1
    assert erf("y = Mul(grown, grown)").op_counts()["aten.erf"] == 1


def test_a_number_on_the_left_is_one() -> None:
    text = """
        <ir_version: 10, opset_import: ["" : 18]>
        scaled (float[batch, 8] x) => (float[batch, 8] y)
        {
            two = Constant <value_float = 2.0> ()
            y = Mul(two, x)
        }
    """
    (node,) = ic.capture(filled(parser.parse_model(text))).nodes
    assert (node.op, node.overload, node.argument("other")) == ("aten.mul", "Scalar", 2.0)


@pytest.mark.torch
@pytest.mark.parametrize(("hardware", "engine"), [("l4", "onnxruntime"), ("h100-sxm-80gb", "tensorrt"), ("l4", None)])
def test_an_encoder_takes_the_time_of_its_module(hardware: str, engine: str | None) -> None:
    import torch

    class Block(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.q, self.k, self.v, self.wide, self.narrow = (
                torch.nn.Linear(a, b) for a, b in [(256, 256)] * 3 + [(256, 1024), (1024, 256)]
            )

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            apart = [p(x).view(8, 128, 4, 64).transpose(1, 2) for p in (self.q, self.k, self.v)]
            y = torch.nn.functional.scaled_dot_product_attention(*apart)
            x = x + y.transpose(1, 2).reshape(8, 128, 256)
            return x + self.narrow(torch.nn.functional.gelu(self.wide(x)))

    module, x = Block().eval(), torch.zeros(8, 128, 256)
    file = io.BytesIO()
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.onnx.export(module, (x,), file, dynamo=False, opset_version=17)
    finally:
        logging.disable(logging.NOTSET)
    graph = ic.capture(onnx.load_from_string(file.getvalue()))
    settings: dict[str, Any] = {"hardware": hardware, "precision": "fp16", "engine": engine}
    of_file, of_module = ic.estimate(graph, **settings), ic.estimate(ic.capture(module, (x,)), **settings)
    # The exporter of PyTorch stores the weights of layers turned, for which two of the kernels are a little faster.
    assert of_file.latency_s == pytest.approx(of_module.latency_s, rel=0.03 if engine is None else 1e-9)
