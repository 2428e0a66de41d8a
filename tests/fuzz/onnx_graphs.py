"""ONNX models with structure, drawn node by node: subgraphs in each other, and functions that call each other."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from random import Random
from typing import Any

from .mutate import integer, text

_DIMS = (0, 1, 2, 3, 4, 8, 64, 2**31, 2**40, -1, "batch", "n", "2*n", "n - 1", "n//0", "max(n, 3)", "n**99", "(" * 99)
_SHAPES = ((), (1,), (4,), (8,), (8, 8), (8, 3, 3, 3), (0,), (8, 2**40), (1,) * 70)
_INPUTS = (("batch", 8), ("batch", 8), ("batch", "n", 8), ("batch", 8, "n", "n"), ("batch", 8, 16, 16))
_WORDS = (
    *("", "NOTSET", "SAME_UPPER", "VALID", "linear", "nearest", "cubic", "reflect", "edge", "sum", "forward", "DCR"),
    *("ij,jk->ik", "bij,bjk->bik", "...i->...", "ab->" + "ab" * 30, "a,b->ab" * 30, "align_corners", "bidirectional"),
)
_SAFE = ("Relu", "Identity", "Sigmoid", "Neg")
_PAIRS = ("Add", "Mul", "MatMul", "Concat")
_BODIES = {"If": ("then_branch", "else_branch"), "Loop": ("body",), "Scan": ("body",), "SequenceMap": ("body",)}
_FLOAT, _INT64, _BOOL = 1, 7, 9


def model(random: Random, operators: Sequence[str]) -> bytes:
    """Draw the bytes of a model: any operators, conditions or functions in each other, or sizes that grow."""
    from onnx import helper

    kind = random.choice((_any, _any, _any, _nested, _functions, _grown))
    graph, functions = kind(random, operators)
    version = random.choice((9, 11, 13, 17, 18, 18, 21, 22, 24, 0, 2**40))
    versions = [
        helper.make_opsetid(domain, number) for domain, number in (("", version), ("own", 1), ("com.microsoft", 1))
    ]
    content = bytes(helper.make_model(graph, functions=functions, opset_imports=versions).SerializeToString())
    return content + _field(7, _field(1, _deep(random))) if kind == _nested else content  # fields are merged


def _any(random: Random, operators: Sequence[str]) -> tuple[Any, list[Any]]:
    functions = []
    for name in ("f", "g", "f")[: random.choice((0, 0, 1, 2, 3))]:
        body = _graph(random, operators, ["a", "b"], 2)
        functions.append(_function(name, ["a", "b"], [value.name for value in body.output], body.node))
    return _graph(random, operators, [], 0), functions


def _graph(random: Random, operators: Sequence[str], outer: list[str], depth: int) -> Any:
    """Draw a graph; at depth 0, it has inputs, and elsewhere it takes values of the graphs around it."""
    from onnx import GraphProto, helper

    graph, known = GraphProto(name=random.choice(("g", "", text(random).encode("utf-8", "replace").decode()))), [*outer]
    for number in range(random.randrange(1, 4) if depth == 0 else random.randrange(3)):
        name = f"{depth}.x{number}"
        shape = random.choice(_INPUTS) if random.random() < 0.8 else random.choices(_DIMS, k=random.randrange(5))
        graph.input.append(helper.make_tensor_value_info(name, random.choice((1, 1, 1, 7, 9, 10)), shape))
        known.append(name)
    for number in range(random.randrange(4)):
        tensor = _tensor(random)
        tensor.name = f"{depth}.w{number}"
        graph.initializer.append(tensor)
        known.append(tensor.name)
    for number in range(random.choice((1, 2, 4, 8))):
        made = f"{depth}.{number}"
        graph.node.append(_node(random, operators, known, made, depth))
        known += graph.node[-1].output
    for name in random.sample(known, min(len(known), random.randrange(1, 4))) if known else ():
        graph.output.append(helper.make_tensor_value_info(name, random.choice((_FLOAT, _INT64)), None))
    return graph


def _node(random: Random, operators: Sequence[str], known: Sequence[str], made: str, depth: int) -> Any:
    from onnx import NodeProto, defs, helper

    drawn = random.random()
    operator = random.choice(_SAFE if drawn < 0.25 else _PAIRS if drawn < 0.4 else operators)
    if drawn > 0.9:
        operator = random.choice((*_BODIES, "f", "g"))
    node = NodeProto(op_type=operator, output=[made])
    schema = defs.get_schema(operator) if defs.has(operator) else None
    if schema is None:
        node.domain = "own" if operator in "fg" else "com.microsoft"
        count = random.randrange(4)
    else:
        count = random.randint(min(schema.min_input, 3), min(schema.max_input, schema.min_input + 3))
        node.output.extend(f"{made}.{number}" for number in range(1, random.randint(1, min(schema.max_output, 4))))
        for name, attribute in schema.attributes.items():
            value = _attribute(random, attribute) if attribute.required or random.random() < 0.3 else None
            if value is not None:
                node.attribute.append(helper.make_attribute(name, value))
    node.input.extend(random.choice(known) if random.random() < 0.95 else "" for _ in range(count) if known)
    for name in _BODIES.get(operator, ()) if depth < 3 else ():
        node.attribute.append(helper.make_attribute(name, _graph(random, operators, list(known), depth + 1)))
    if random.random() < 0.1:
        node.name = random.choice(("/a/b/" + operator, "a" * 5000, "/".join("a" * 3000), "\x1b[31m", "/../../x"))
    return node


def _attribute(random: Random, attribute: Any) -> Any:
    """Draw a value for an attribute of a schema; None for a graph and other kinds."""
    kinds = type(attribute.type)
    whole = [
        _int64(random) if random.random() < 0.2 else random.randrange(-1, 5) for _ in range(random.choice((1, 2, 4)))
    ]
    values = {
        kinds.INT: whole[0],
        kinds.INTS: whole,
        kinds.FLOAT: random.choice((0.0, 1.0, -1.0, 0.5, 1e38, float("inf"), float("nan"))),
        kinds.FLOATS: [random.choice((1.0, 2.0, -1.0, float("nan"), 1e30)) for _ in whole],
        kinds.STRING: random.choice(_WORDS),
        kinds.STRINGS: [random.choice(_WORDS) for _ in whole],
        kinds.TENSOR: _tensor(random) if attribute.type == kinds.TENSOR else None,
    }
    return values.get(attribute.type)


def _tensor(random: Random) -> Any:
    """Draw a tensor of floats or whole numbers, mostly with as much data as its shape needs."""
    from onnx import TensorProto

    tensor = TensorProto(dims=random.choice(_SHAPES), data_type=random.choice((1, 1, 1, 7, 7, 9, 10, 16, 2, 22, 8, 99)))
    count = prod(tensor.dims) if random.random() < 0.95 else 3
    if count > 1000:
        tensor.data_location = 1
        for key, value in (("location", random.choice(("w.bin", "../w.bin", "/dev/zero", ""))), ("offset", "0")):
            tensor.external_data.add(key=key, value=value)
    elif tensor.data_type == _INT64:
        tensor.int64_data.extend(_int64(random) if random.random() < 0.2 else random.randrange(9) for _ in range(count))
    elif tensor.data_type == _FLOAT:
        tensor.float_data.extend(random.choice((0.0, 1.0, 0.5, float("inf"))) for _ in range(count))
    else:
        tensor.int32_data.extend(random.randrange(3) for _ in range(count))
    return tensor


def _nested(random: Random, operators: Sequence[str]) -> tuple[Any, list[Any]]:
    """Return a graph to which `_deep` adds conditions in each other."""
    return _whole([], "o"), []


def _deep(random: Random) -> bytes:
    """Draw conditions in each other, as bytes of a node: deeper than the library of protobuf writes them."""
    from onnx import AttributeProto, GraphProto, helper

    made = helper.make_tensor_value_info("o", _FLOAT, None)
    around = bytes(GraphProto(name="g", output=[made]).SerializeToString())
    then, other = (
        bytes(AttributeProto(name=name, type=AttributeProto.GRAPH).SerializeToString()) for name in _BODIES["If"]
    )
    outer = bytes(helper.make_node("If", ["f"], ["o"]).SerializeToString())
    node = leaf = bytes(helper.make_node("Relu", ["x"], ["o"]).SerializeToString())
    both = random.random() < 0.3
    for _ in range(random.choice((1, 4, 9)) if both else random.choice((1, 8, 20, 30, 60, 1000))):
        graph = around + _field(1, node)
        beside = graph if both else around + _field(1, leaf)
        node = outer + _field(5, then + _field(6, graph)) + _field(5, other + _field(6, beside))
    return node


def _field(number: int, content: bytes) -> bytes:
    """Return a field of protobuf that holds bytes or a message."""
    length, left = bytearray(), len(content)
    while left > 127:
        length.append(left % 128 + 128)
        left //= 128
    return bytes([8 * number + 2, *length, left]) + content


def _functions(random: Random, operators: Sequence[str]) -> tuple[Any, list[Any]]:
    """Draw functions that call those below them several times, or themselves."""
    from onnx import helper

    levels, width = random.choice(((2, 3), (4, 10), (10, 2), (22, 2), (40, 2), (120, 1)))
    leaf = helper.make_node(random.choice((*_SAFE, random.choice(operators))), ["a"], ["b"])
    functions = [_function("f0", ["a"], ["b"], [leaf])]
    for level in range(1, levels):
        called = f"f{level if random.random() < 0.005 else level - 1}"
        names = ["a", *(f"t{number}" for number in range(1, width)), "b"]
        calls = [helper.make_node(called, [names[n]], [names[n + 1]], domain="own") for n in range(width)]
        functions.append(_function(f"f{level}", ["a"], ["b"], calls))
    return _whole([helper.make_node(f"f{levels - 1}", ["x"], ["o"], domain="own")], "o"), functions


def _grown(random: Random, operators: Sequence[str]) -> tuple[Any, list[Any]]:
    """Draw a chain whose sizes double or square, or a node with thousands of values."""
    from onnx import helper

    make, long = helper.make_node, random.choice((10, 62, 80, 2000))
    kind = random.choice(("double", "square", "chain", "split", "concat", "loop"))
    if kind == "split":
        names = [f"o{number}" for number in range(long)]
        return _whole([make("Split", ["x"], names, axis=1, num_outputs=long)], "o0"), []
    if kind == "concat":
        return _whole([make("Concat", ["x"] * long, ["o"], axis=0)], "o"), []
    if kind == "loop":
        values = [("i", _INT64), ("c", _BOOL), ("s", _FLOAT)]
        inputs = [helper.make_tensor_value_info(name, of, None) for name, of in values]
        outputs = [helper.make_tensor_value_info(name, of, None) for name, of in (("d", _BOOL), ("t", _FLOAT))]
        body = helper.make_graph([make("Identity", ["c"], ["d"]), make("Relu", ["s"], ["t"])], "b", inputs, outputs)
        graph = _whole([make("Loop", ["trips", "f", "x"], ["o"], body=body)], "o")
        trips = random.choice((1, 10, 5000, 10**5, 10**9, 2**62, -5))
        graph.initializer.append(helper.make_tensor("trips", _INT64, [], [trips]))
        return graph, []
    operator = {"double": "Concat", "square": "Mul", "chain": "Relu"}[kind]
    nodes, last = [make("Shape", ["x"], ["v"])] if kind == "square" else [], "v" if kind == "square" else "x"
    for number in range(min(long, 80) if kind != "chain" else long):
        both = {"axis": 0} if kind == "double" else {}
        nodes.append(make(operator, [last] * (1 if kind == "chain" else 2), [f"v{number}"], **both))
        last = f"v{number}"
    if kind == "square":
        nodes.append(make("ConstantOfShape", [last], ["o"]))
        last = "o"
    return _whole(nodes, last), []


def _whole(nodes: list[Any], output: str) -> Any:
    """Return a graph with the input x and the condition f."""
    from onnx import helper

    inputs = [helper.make_tensor_value_info("x", _FLOAT, ("batch", 8)), helper.make_tensor_value_info("f", _BOOL, ())]
    return helper.make_graph(nodes, "g", inputs, [helper.make_tensor_value_info(output, _FLOAT, None)])


def _function(name: str, inputs: list[str], outputs: list[str], nodes: Any) -> Any:
    from onnx import FunctionProto, helper

    function = FunctionProto(name=name, domain="own", input=inputs, output=outputs, node=nodes)
    function.opset_import.extend([helper.make_opsetid("", 18), helper.make_opsetid("own", 1)])
    return function


def _int64(random: Random) -> int:
    return max(-(2**63), min(2**63 - 1, integer(random)))
