"""ONNX models: `capture` of a file, `count` and `estimate` of its graph, and `sparsity` of the file."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from random import Random
from typing import Any

import pyinfercost as ic

from .. import onnx_graphs
from ..door import Door, Figure
from ..mutate import integer, mutated_bytes, real, text
from ..values import Value
from .figures import MACHINES, of_counts, of_estimate, of_sparsity


class OnnxModels(Door):
    """Models of a few nodes with changed fields or bytes, and graphs with structure."""

    share = 20_000
    libraries = ("onnx",)
    _numbers = count()

    def seeds(self) -> Value:
        """Return the models of `onnx_texts`, as files, and the names of operators that are read."""
        from support.onnx_texts import TEXTS, model_of

        from pyinfercost.sources.onnx.operators import HANDLERS

        operators = sorted({name for _, name in HANDLERS})
        return {"models": [model_of(name).SerializeToString() for name in TEXTS], "operators": operators}

    def draw(self, random: Random) -> Value:
        """Return the bytes of a model: one of those of `seeds` with changes, or a graph that is drawn."""
        if random.random() < 0.4:
            content = onnx_graphs.model(random, self.corpus["operators"])
        else:
            content = random.choice(self.corpus["models"])
            content = mutated_bytes(random, content) if random.random() < 0.15 else _changed(random, content)
        return {
            "content": content,
            "machine": random.choice(MACHINES),
            "sizes": {name: integer(random) for name in ("batch", "sequence") if random.random() < 0.2},
        }

    def run(self, value: Value) -> Iterator[Figure]:
        """Write the file, capture, count and estimate it, and scan its weights."""
        path = self.folder / f"{next(self._numbers)}.onnx"
        try:
            path.write_bytes(value["content"])
            graph = ic.capture(str(path))
            yield from of_counts(ic.count(graph))
            yield from of_estimate(ic.estimate(graph, hardware=value["machine"], sizes=value["sizes"]))
            yield from of_sparsity(ic.sparsity(str(path), threads=1))
        finally:
            path.unlink(missing_ok=True)


def _changed(random: Random, content: bytes) -> bytes:
    from onnx import ModelProto

    model = ModelProto.FromString(content)
    for _ in range(random.choice((1, 1, 2, 5))):
        _change(random, model)
    return bytes(model.SerializeToString())


_OPERATORS = (
    *("MatMul", "Gemm", "Conv", "Reshape", "Transpose", "Slice", "Concat", "Split", "Gather", "Expand", "Loop", "If"),
    *("Resize", "Pad", "Range", "LSTM", "Einsum", "TopK", "Attention", "Where", "Cast", "ConstantOfShape", "Softmax"),
)


def _change(random: Random, model: Any) -> None:
    """Change one field of a model."""
    graph = model.graph
    node = random.choice(graph.node) if graph.node else None
    drawn = random.random()
    if drawn < 0.15 and graph.initializer:
        tensor = random.choice(graph.initializer)
        _change_list(random, tensor.dims)
        if random.random() < 0.2:
            tensor.data_type = _int32(integer(random))
        if random.random() < 0.1:
            tensor.data_location = 1
            tensor.external_data.add(key="location", value=_plain(text(random)))
            tensor.external_data.add(key="offset", value=_plain(text(random)))
    elif drawn < 0.3 and graph.input:
        dims = random.choice(graph.input).type.tensor_type.shape.dim
        if dims:
            dim = random.choice(dims)
            if random.random() < 0.5:
                dim.dim_value = _int64(integer(random))
            else:
                dim.dim_param = _plain(random.choice((text(random), "2*batch", "batch + 1", "batch", "1/0")))
    elif drawn < 0.55 and node is not None and node.attribute:
        attribute = random.choice(node.attribute)
        attribute.i = _int64(integer(random))
        attribute.f = max(-3e38, min(3e38, real(random)))
        _change_list(random, attribute.ints)
        if attribute.HasField("t"):
            _change_list(random, attribute.t.dims)
            _change_list(random, attribute.t.int64_data)
        if random.random() < 0.1:
            attribute.name = _plain(text(random))
    elif drawn < 0.75 and node is not None:
        names = [name for other in graph.node for name in (*other.input, *other.output)]
        if node.input and random.random() < 0.7:
            node.input[random.randrange(len(node.input))] = random.choice([*names, "", _plain(text(random))])
        elif names:
            node.input.append(random.choice(names))
    elif drawn < 0.88 and node is not None:
        node.op_type = random.choice((*_OPERATORS, _plain(text(random))))
    elif drawn < 0.93 and model.opset_import:
        random.choice(model.opset_import).version = _int64(integer(random))
    elif graph.node:
        place = random.randrange(len(graph.node))
        if random.random() < 0.5:
            del graph.node[place]
        else:
            graph.node.append(graph.node[place])


def _change_list(random: Random, numbers: Any) -> None:
    if numbers and random.random() < 0.7:
        numbers[random.randrange(len(numbers))] = _int64(integer(random))
    elif numbers and random.random() < 0.5:
        numbers.pop()
    else:
        numbers.append(_int64(integer(random)))


def _int64(number: int) -> int:
    return max(-(2**63), min(2**63 - 1, number))


def _int32(number: int) -> int:
    return max(-(2**31), min(2**31 - 1, number))


def _plain(value: str) -> str:
    return value.encode("utf-8", "replace").decode()
