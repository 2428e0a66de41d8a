"""Graphs: validation errors, JSON round trips, and attributes."""

from __future__ import annotations

import copy
import json
import pickle
from collections.abc import Callable
from typing import Any

import pytest
from support.toy_graphs import BLOCKS, WIDTH, blocks

import pyinfercost as ic


@pytest.fixture(scope="module")
def graph() -> ic.Graph:
    return blocks()


def everything() -> ic.Graph:
    """One argument of every kind, sizes in all places, a guard, each role."""
    builder = ic.GraphBuilder("everything")
    batch = builder.size("batch", default=4, minimum=2, maximum=64)
    sequence = builder.size("sequence", default=8)
    builder.guard(batch * sequence, ">=", 4)
    builder.guard(ic.Expr("max(batch, sequence)"), "!=", 7)
    x = builder.tensor("float16", (batch, sequence + 1), role="input", name="x")
    cache = builder.tensor(
        "bfloat16", (batch, 2 * sequence // 3), strides=(sequence, 1), role="kv_cache", name="past_key_value"
    )
    weight = builder.tensor("float8_e4m3fn", (3, 4), role="parameter", name="a.b.weight")
    mean = builder.tensor("int64", (), role="buffer", name="a.count")
    table = builder.tensor("bool", (0, 3), role="constant")
    y, z = builder.tensor("float32", (batch,)), builder.tensor("int4", (batch - 1,))
    arguments = {
        "tensor": x,
        "none": None,
        "integer": -3,
        "size": batch + 2 * sequence,
        "yes": True,
        "no": False,
        "real": 0.1,
        "whole_real": 2.0,
        "infinite": float("-inf"),
        "text": 'a "quoted" täxt',
        "tensors": [weight, None, mean],
        "integers": [1, -1, 2**62],
        "sizes": [-1, batch, 5],
        "reals": [0.5, 1e-300],
        "empty": [],
    }
    builder.node("mylib.mix.overload", arguments, [y, z], module="a.b", source="net.py:12")
    builder.node("aten.cat.default", {"tensors": [cache, table]}, [builder.tensor("float32", (1,))])
    return builder.build([x, cache], [y, x])


# ---- reading what is there -------------------------------------------------------------------------------------------


def test_a_graph_describes_itself(graph: ic.Graph) -> None:
    assert graph.model == "toy"
    assert len(graph) == graph.node_count == 3 * BLOCKS + 2
    assert graph.op_counts() == {"aten.linear": BLOCKS + 1, "aten.relu": BLOCKS, "aten.add": BLOCKS, "aten.view": 1}
    assert graph.sizes == {"batch": {"default": 1, "minimum": 1, "maximum": 4096, "role": "batch"}}
    assert [t.name for t in graph.inputs] == ["x"]
    assert graph.inputs[0].shape == (ic.Expr.size("batch"), WIDTH)
    assert graph.inputs[0].strides == (WIDTH, 1)


def test_a_node_describes_itself() -> None:
    graph = everything()
    node = graph.node(0)
    assert (node.index, node.op, node.overload, node.module, node.source) == (
        0,
        "mylib.mix",
        "overload",
        "a.b",
        "net.py:12",
    )
    assert [t.index for t in node.inputs] == [0, 2, 3]
    assert [t.dtype for t in node.outputs] == ["float32", "int4"]
    arguments = node.args
    assert arguments["none"] is None
    assert arguments["yes"] is True
    assert arguments["no"] is False
    assert arguments["size"] == ic.Expr("batch + 2*sequence")
    assert arguments["integers"] == [1, -1, 2**62]
    assert arguments["sizes"] == [-1, ic.Expr.size("batch"), 5]
    assert arguments["infinite"] == float("-inf")
    assert type(arguments["whole_real"]) is float
    assert arguments["text"] == 'a "quoted" täxt'
    assert [t and t.role for t in arguments["tensors"]] == ["parameter", None, "buffer"]
    assert graph.guards == ["batch*sequence >= 4", "max(batch, sequence) != 7"]


@pytest.mark.parametrize("index", [-1, 99])
def test_indices_out_of_range(graph: ic.Graph, index: int) -> None:
    with pytest.raises(IndexError, match=f"node {index} of a graph that has {graph.node_count}"):
        graph.node(index)
    with pytest.raises(IndexError, match=f"tensor {index} of a graph that has {graph.tensor_count}"):
        graph.tensor(index)


# ---- there and back --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "make", [blocks, everything, lambda: blocks(custom_op=True), lambda: ic.GraphBuilder("").build([], [])]
)
def test_json_and_pickle_keep_everything(make: Callable[[], ic.Graph]) -> None:
    graph = make()
    for again in (
        ic.Graph.from_json(graph.to_json()),
        ic.Graph.from_dict(graph.to_dict()),
        ic.Graph.from_dict(json.loads(graph.to_json())),
        pickle.loads(pickle.dumps(graph)),
        copy.deepcopy(graph),
    ):
        assert again == graph
        assert hash(again) == hash(graph)
        assert again.to_json() == graph.to_json()
        assert again.guards == graph.guards
        assert again.sizes == graph.sizes
        assert ic.count(again).total.to_dict() == ic.count(graph).total.to_dict()


def test_graphs_that_differ_are_not_equal(graph: ic.Graph) -> None:
    assert graph != blocks(model="other")
    assert graph != blocks(custom_op=True)
    assert graph != "graph"


# ---- what is refused while building ----------------------------------------------------------------------------------


def build_with(
    *, inputs: bool = True, role: str = "input", defined_twice: bool = False, use_first: bool = False
) -> ic.Graph:
    builder = ic.GraphBuilder()
    x = builder.tensor("float32", (2,), role=role)
    y = builder.tensor("float32", (2,))
    if use_first:
        builder.node("aten.relu", {"self": y}, [builder.tensor("float32", (2,))])
    builder.node("aten.relu.default", {"self": x}, [y])
    if defined_twice:
        builder.node("aten.silu.default", {"self": x}, [y])
    return builder.build([x] if inputs else [], [y])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: build_with(role="activation"), "input tensor 0 has role activation; expected input or kv_cache"),
        (
            lambda: build_with(role="activation", inputs=False),
            r"node 0 \(aten.relu.default\) uses tensor 0 before any node produces it",
        ),
        (lambda: build_with(use_first=True), r"node 0 \(aten.relu\) uses tensor 1 before any node"),
        (
            lambda: build_with(defined_twice=True),
            r"node 1 \(aten.silu.default\) produces tensor 1, which already exists",
        ),
    ],
)
def test_graphs_that_cannot_be(make: Callable[[], ic.Graph], message: str) -> None:
    with pytest.raises(ValueError, match=f"invalid graph: {message}"):
        make()


def test_a_result_must_have_been_produced() -> None:
    builder = ic.GraphBuilder()
    never = builder.tensor("float32", (2,))
    with pytest.raises(ValueError, match="the graph's outputs uses tensor 0 before any node produces it"):
        builder.build([], [never])


def test_an_undeclared_size_is_named() -> None:
    builder = ic.GraphBuilder()
    x = builder.tensor("float32", (ic.Expr.size("bitch") + 1,), role="input")
    with pytest.raises(ValueError, match="'bitch \\+ 1' uses size 'bitch', which is not declared"):
        builder.build([x], [])


def test_a_builder_builds_once() -> None:
    builder = ic.GraphBuilder()
    builder.build([], [])
    for use in (
        lambda: builder.build([], []),
        lambda: builder.tensor("float32", ()),
        lambda: builder.size("a", default=1),
    ):
        with pytest.raises(RuntimeError, match="has already built its graph"):
            use()


@pytest.mark.parametrize(
    ("use", "error", "message"),
    [
        (lambda b: b.tensor("float33", (1,)), ValueError, "unknown dtype 'float33'; expected a torch name such as"),
        (
            lambda b: b.tensor("float32", (1,), role="weight"),
            ValueError,
            "unknown tensor role 'weight'; expected input, parameter",
        ),
        (lambda b: b.tensor("float32", (-1,)), ValueError, "length or stride -1; expected zero or more"),
        (lambda b: b.tensor("float32", (1, 2), strides=(1,)), ValueError, "2 dimensions but 1 strides"),
        (
            lambda b: b.tensor("float32", (1.5,)),
            TypeError,
            "a length of a tensor must be an int or an Expr, got .*float",
        ),
        (lambda b: b.tensor("float32", (2**64,)), OverflowError, "a length of a tensor does not fit 64 bits"),
        (lambda b: b.size("a*b", default=1), ValueError, "called 'a\\*b'; expected letters, digits and underscores"),
        (lambda b: b.size("", default=1), ValueError, "called ''; expected letters"),
        (lambda b: b.size("2d", default=1), ValueError, "called '2d'; expected letters"),
        (lambda b: b.size("a", default=0), ValueError, "size 'a' has default 0, which is outside its own range"),
        (lambda b: b.size("a", default=9, maximum=8), ValueError, "size 'a' has default 9, which is outside"),
        (lambda b: b.size("a", default=1, minimum=0), ValueError, "minimum 0; named sizes are at least 1"),
        (lambda b: (b.size("a", default=1), b.size("a", default=2)), ValueError, "size 'a' is declared twice"),
        (lambda b: b.guard(1, "~", 2), ValueError, "unknown relation '~'; expected ==, !=, <, <=, > or >="),
        (lambda b: b.node("relu", {}, []), ValueError, "op 'relu' is not a qualified name; expected namespace.name"),
        (
            lambda b: b.node("aten.relu", {"self": object()}, []),
            TypeError,
            "argument 'self' has type .*object.*; expected TensorId",
        ),
        (
            lambda b: b.node("aten.relu", {}, [3]),
            TypeError,
            "a node's outputs must be TensorIds or TensorInfos, got .*int",
        ),
        (lambda b: b.build([3], []), TypeError, "graph inputs must be TensorIds or TensorInfos, got .*int"),
    ],
)
def test_what_a_builder_refuses(use: Callable[[ic.GraphBuilder], Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        use(ic.GraphBuilder())


def test_a_tensor_of_another_builder_is_not_taken_for_ones_own() -> None:
    other, builder = ic.GraphBuilder(), ic.GraphBuilder()
    foreign = other.tensor("float32", (1,))
    with pytest.raises(ValueError, match="node 0 names tensor 0; the graph has 0"):
        builder.node("aten.relu", {"self": foreign}, [])


# ---- what is refused while reading -----------------------------------------------------------------------------------


def put(*path: Any) -> Callable[[Any], None]:
    """Sets the entry under all but the last of `path` to the last."""
    *keys, last, value = path

    def change(document: Any) -> None:
        for key in keys:
            document = document[key]
        document[last] = value

    return change


def drop(*path: Any) -> Callable[[Any], None]:
    *keys, last = path

    def change(document: Any) -> None:
        for key in keys:
            document = document[key]
        del document[last]

    return change


ARGUMENT = ("nodes", 1, "args", "self")
BAD_DOCUMENTS = [
    (put("schema_version", 2), "schema_version is 2; this version reads 1"),
    (drop("schema_version"), "the document has no 'schema_version'"),
    (drop("nodes"), "the document has no 'nodes'"),
    (put("tensors", {}), "'tensors' is an object; expected a list"),
    (put("sizes", "batch", 3), "size 'batch' is 3; expected an object"),
    (put("sizes", "batch", "default", "b"), "size 'batch': the value of 'b' depends on sizes"),
    (put("sizes", "batch", "minimum", 0), "size 'batch': .*minimum 0; named sizes are at least 1"),
    (put("sizes", "max(a", {"default": 1}), r"size 'max\(a': a size is called 'max\(a'; expected letters"),
    (put("guards", [["batch", ">="]]), "guard 0 has 2 entries; expected"),
    (put("guards", [3]), "guard 0 is 3; expected a list"),
    (put("guards", [["batch", 3, "2"]]), "guard 0 relation is 3; expected a string"),
    (put("guards", [["batch", "=~", "2"]]), "guard 0: unknown relation '=~'; expected"),
    (put("tensors", 3, "tensor"), "tensor 3 is the string 'tensor'; expected an object"),
    (put("tensors", 3, "dtype", "float33"), "tensor 3: unknown dtype 'float33'; expected a torch name"),
    (put("tensors", 3, "dtype", None), "tensor 3 dtype is null; expected a string"),
    (drop("tensors", 3, "dtype"), "tensor 3 has no 'dtype'"),
    (put("tensors", 3, "role", "weight"), "tensor 3: unknown tensor role 'weight'; expected input"),
    (put("tensors", 3, "shape", "batch"), "tensor 3 shape is the string 'batch'; expected a list"),
    (put("tensors", 3, "shape", [1.5]), "tensor 3 shape is 1.5; expected an integer or a size expression"),
    (put("tensors", 3, "shape", [True]), "tensor 3 shape is true; expected an integer or a size expression"),
    (put("tensors", 3, "shape", ["batch +", 64]), r"tensor 3 shape: size expression 'batch \+': expected a number"),
    (put("tensors", 3, "strides", [1]), "tensor 3: a tensor has 2 dimensions but 1 strides"),
    (put("tensors", 3, "shape", [-1, 64]), "tensor 3: .*length or stride -1; expected zero or more"),
    (put("tensors", 3, "shape", ["bitch", 64]), "the document: invalid graph: 'bitch' uses size 'bitch'"),
    (put("nodes", 1, 7), "node 1 is 7; expected an object"),
    (drop("nodes", 1, "op"), "node 1 has no 'op'"),
    (put("nodes", 1, "op", "relu"), "node 1: op 'relu' is not a qualified name; expected"),
    (put("nodes", 1, "args", []), "node 1 args is a list; expected an object"),
    (put("nodes", 1, "modul", "head"), "node 1 has an unknown key 'modul'; expected keys among op, module"),
    (put(*ARGUMENT, ["tensor"]), r"node 1 argument 'self' has 1 entries; expected null or \[kind, value\]"),
    (put(*ARGUMENT, 3), r"node 1 argument 'self' is 3; expected null or \[kind, value\]"),
    (put(*ARGUMENT, ["tensr", 1]), "node 1 argument 'self' has kind 'tensr'; expected tensor, int"),
    (put(*ARGUMENT, ["tensor", 99]), "node 1: node 1 names tensor 99; the graph has 12"),
    (put(*ARGUMENT, ["tensor", -1]), "node 1 argument 'self' names tensor -1; expected zero or more"),
    (put(*ARGUMENT, ["tensor", "batch"]), "node 1 argument 'self': the value of 'batch' depends on"),
    (put(*ARGUMENT, ["bool", 1]), "node 1 argument 'self' is 1; expected true or false"),
    (put(*ARGUMENT, ["str", 1]), "node 1 argument 'self' is 1; expected a string"),
    (put(*ARGUMENT, ["float", "abc"]), "node 1 argument 'self' is the string 'abc'; expected a number"),
    (put(*ARGUMENT, ["float", None]), "node 1 argument 'self' is null; expected a number"),
    (put("nodes", 1, "outputs", [99]), "node 1: node 1 names tensor 99; the graph has 12"),
    (put("nodes", 1, "outputs", [2.0]), "node 1 outputs is 2.0; expected an integer"),
    (put("nodes", 2, "outputs", [2]), r"the document: invalid graph: node 2 \(aten.add.Tensor\) produces tensor 2"),
    (put("inputs", [99]), "the document: graph input or output 99 is not a tensor of it"),
    (put("outputs", ["a"]), "'outputs': the value of 'a' depends on"),
]


@pytest.mark.parametrize(("change", "message"), BAD_DOCUMENTS, ids=[message[:60] for _, message in BAD_DOCUMENTS])
def test_documents_that_cannot_be_read(graph: ic.Graph, change: Callable[[Any], None], message: str) -> None:
    document = json.loads(graph.to_json())
    change(document)
    with pytest.raises(ValueError, match=f"graph JSON: {message}"):
        ic.Graph.from_json(json.dumps(document))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "not valid JSON: parse error at line 1, column 1"),
        ("{", "not valid JSON"),
        ("[]", "the document is a list; expected an object"),
    ],
)
def test_text_that_is_no_graph(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=f"graph JSON: {message}"):
        ic.Graph.from_json(text)


# ---- sizes and guards ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"bach": 2}, "unknown size 'bach'; this graph has"),
        ({"batch": 0}, "size 'batch' must be from 1 to 4096 in this graph, got 0"),
        ({"batch": 4097}, "size 'batch' must be from 1 to 4096 in this graph, got 4097"),
        ({"batch": 1.5}, "size 'batch' must be a whole number, got 1.5"),
    ],
)
def test_sizes_are_checked(graph: ic.Graph, sizes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ic.count(graph, **sizes)


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"bach": 2}, "unknown size 'bach'; this graph has: batch"),
        ({"batch": 0}, "size 'batch' is 0; expected at least 1 and at most 4096"),
    ],
)
def test_the_core_checks_sizes_too(graph: ic.Graph, sizes: dict[str, int], message: str) -> None:
    for use in (ic._core.count, ic._core.plan):
        with pytest.raises(ValueError, match=message):
            use(graph, sizes)


def test_guards_refuse_what_the_forward_did_not_foresee() -> None:
    builder = ic.GraphBuilder()
    sequence = builder.size("sequence", default=8)
    builder.guard(sequence, "<=", 512)
    builder.guard(sequence, ">=", 2)
    builder.guard(3, ">=", 2)  # says nothing
    x = builder.tensor("float32", (sequence,), role="input")
    graph = builder.build([x], [])
    assert graph.guards == ["sequence <= 512", "sequence >= 2"]
    with pytest.raises(ValueError, match="this graph holds only where sequence <= 512, got sequence=513"):
        ic.count(graph, sequence=513)
    ic.count(graph, sequence=512)
    # A length of 1 is broadcasting in disguise: torch guards against it whether or not anything depends on it.
    ic.count(graph, sequence=1)
