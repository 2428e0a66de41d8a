"""Graphs as JSON: read, counted, estimated and profiled at untrusted sizes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from random import Random
from typing import Any

from support.toy_graphs import blocks, transformer

import pyinfercost as ic
from pyinfercost import _core

from ..door import Corpus, Door, Figure, require
from ..mutate import broken_json, integer, mutate, text
from ..values import Value
from .expressions import expression_text
from .figures import EXECUTIONS, MACHINES, PRECISIONS, of_counts, of_document, of_estimate

_DTYPES = [dtype.name for dtype in _core.dtypes()]
_ROLES = ("input", "parameter", "buffer", "constant", "activation", "kv_cache")
_OPS = [rule.op for rule in _core.rules()]
_NAMES = ("batch", "sequence", "n", "experts.count", "w")


class GraphJson(Door):
    """`Graph.from_json` and `from_dict`, then `count`, `estimate` and `profile`."""

    share = 100_000

    def seeds(self) -> list[Value]:
        """Return the documents of small graphs."""
        graphs = [blocks(), blocks(custom_op=True, fixed_batch=3), transformer(layers=1), _all_parts()]
        return [graph.to_dict() for graph in graphs]

    def draw(self, random: Random) -> Value:
        """Return a changed document, as a tree or as text, and the arguments of the calls."""
        if not isinstance(self.corpus, Corpus):
            self.corpus = Corpus(self.corpus)
        tree = self.corpus.draw(random)
        if random.random() < 0.6:
            _change_graph(random, tree)
        if random.random() < 0.6:
            tree = mutate(random, tree)
        value = {
            "graph": tree,
            "sizes": _sizes(random, tree),
            "machine": random.choice(MACHINES),
            "precision": random.choice(PRECISIONS),
            "execution": random.choice(EXECUTIONS),
            "through": random.choice(("json", "json", "json", "dict")),
            "profile": random.random() < 0.1,
        }
        if random.random() < 0.1:
            value["graph"] = None
            value["text"] = broken_json(random, tree)
        return value

    def run(self, value: Value) -> Iterator[Figure]:
        """Read the graph, count it, estimate it and, for some inputs, profile it."""
        graph = graph_of(value)
        sizes = value["sizes"]
        yield from of_counts(ic.count(graph, sizes=sizes))
        how: dict[str, Any] = {name: value[name] for name in ("precision", "execution")}
        yield from of_estimate(ic.estimate(graph, hardware=value["machine"], sizes=sizes, **how))
        if value["profile"]:
            profile = ic.profile(graph, hardware=value["machine"], sizes=sizes, **how)
            yield from of_document(json.loads(profile.to_json()))
            profile.to_text()
            require(ic.Graph.from_json(graph.to_json()) == graph, "JSON gives the same graph")


def _sizes(random: Random, tree: Value) -> dict[str, int]:
    """Draw sizes, most of them sizes of the graph and in range."""
    sizes = tree.get("sizes") if isinstance(tree, dict) else None
    names = list(sizes if isinstance(sizes, dict) else ()) if random.random() < 0.95 else [*_NAMES, text(random)]
    likely = random.random() < 0.7
    return {name: random.randrange(1, 65) if likely else integer(random) for name in names if random.random() < 0.4}


def graph_of(value: Value) -> ic.Graph:
    """Read the graph of an input of this door."""
    if value["graph"] is None:
        return ic.Graph.from_json(value["text"])
    if value["through"] == "dict":
        return ic.Graph.from_dict(value["graph"])
    return ic.Graph.from_json(json.dumps(value["graph"]))


def _change_graph(random: Random, tree: Value) -> None:
    """Change one part of the document of a graph as its format allows."""
    drawn = random.random()
    if drawn < 0.5:
        tensor = random.choice(tree["tensors"])
        lengths = random.choice([tensor["shape"], tensor.setdefault("strides", list(tensor["shape"]))])
        change = random.random()
        if change < 0.2 and lengths:
            lengths.pop(random.randrange(len(lengths)))
        elif change < 0.4:
            lengths.insert(random.randrange(len(lengths) + 1), integer(random))
        elif change < 0.5:
            tensor["dtype"] = random.choice(_DTYPES)
        elif change < 0.6:
            tensor["role"] = random.choice(_ROLES)
        elif lengths:
            lengths[random.randrange(len(lengths))] = (
                integer(random) if change < 0.8 else expression_text(random, _NAMES)
            )
    elif drawn < 0.8:
        node = random.choice(tree["nodes"])
        change = random.random()
        tensors = len(tree["tensors"])
        if change < 0.3:
            node["op"] = random.choice(_OPS)
        elif change < 0.5 and node["args"]:
            name = random.choice(list(node["args"]))
            node["args"][name] = argument(random, tensors)
        elif change < 0.7:
            node["args"][random.choice(("self", "input", "weight", "dim", "size", text(random)))] = argument(
                random, tensors
            )
        elif node["outputs"]:
            node["outputs"][-1] = random.choice((None, random.randrange(tensors), integer(random)))
    elif drawn < 0.9:
        nodes = tree["nodes"]
        nodes.insert(random.randrange(len(nodes)), nodes.pop(random.randrange(len(nodes))))
    else:
        size = {"default": integer(random), "minimum": integer(random), "maximum": integer(random)}
        tree["sizes"][random.choice(_NAMES)] = {key: item for key, item in size.items() if random.random() < 0.7}


def argument(random: Random, tensors: int) -> Value:
    """Draw an argument of a node as graphs in JSON have it.

    Args:
        random: The source of numbers.
        tensors: Number of tensors of the graph.
    """

    def tensor() -> int | None:
        return random.choice((None, random.randrange(tensors), random.randrange(tensors), integer(random)))

    kinds: dict[str, Value] = {
        "tensor": tensor,
        "tensors": lambda: [tensor() for _ in range(random.randrange(4))],
        "int": lambda: integer(random),
        "ints": lambda: [integer(random) for _ in range(random.randrange(5))],
        "bool": lambda: random.random() < 0.5,
        "float": lambda: random.choice(("nan", "inf", "-inf", "0.5", 1.5, -1e308, 1e-320)),
        "floats": lambda: [random.choice(("nan", "0.5", 1e308)) for _ in range(random.randrange(4))],
        "str": lambda: text(random),
    }
    kind = random.choice(list(kinds))
    return None if random.random() < 0.1 else [kind, kinds[kind]()]


def _all_parts() -> ic.Graph:
    """Return a graph that has every part of the format."""
    builder = ic.GraphBuilder("parts")
    batch = builder.size("batch", default=2, minimum=1, maximum=64)
    n = builder.size("n", default=8, maximum=1024)
    chosen = builder.size("experts.count", default=n // 2, minimum=0, maximum=n, origin="aten.nonzero", role="data")
    builder.guard(n, ">=", 2)
    x = builder.tensor("float16", (batch, n, 16), role="input", name="x")
    ids = builder.tensor("int64", (batch, n), role="input", name="ids")
    table = builder.tensor("float16", (100, 16), role="parameter", name="table", logical_numel=1600)
    cache = builder.tensor("float16", (batch, 4, n, 4), role="kv_cache", name="keys")
    looked_up = builder.tensor("float16", (batch, n, 16), strides=(16 * n, 16, 1))
    builder.node("aten.embedding.default", {"weight": table, "indices": ids}, [looked_up], module="a", source="a.py:1")
    mixed = builder.tensor("float16", (batch, 4, n, 4))
    builder.node(
        "aten.scaled_dot_product_attention.default",
        {"query": cache, "key": cache, "value": cache, "attn_mask": None, "is_causal": True, "scale": 0.5},
        [mixed],
        module="a.b",
    )
    some = builder.tensor("float16", (chosen, 16), storage_elements=4096)
    builder.node("aten.cat.default", {"tensors": [x, looked_up], "dim": 1}, [some], module="a")
    kernel = builder.tensor("float16", (16, 16, 1, 1), role="parameter", name="kernel")
    image = builder.tensor("float16", (batch, 16, n, 1))
    builder.node(
        "aten.conv2d.default",
        {"input": image_of(builder, batch, n), "weight": kernel, "stride": [1, 1], "padding": "same", "groups": 1},
        [image],
        module="c",
    )
    back = builder.tensor("float16", (batch, 16, n, 1))
    builder.node("aten.gelu.default", {"self": image, "approximate": "none"}, [back], phase="backward")
    return builder.build([x, ids, cache], [some, mixed, back], held_until=[4] * 7 + [None] * 4)


def image_of(builder: ic.GraphBuilder, batch: ic.Expr, n: ic.Expr) -> _core.TensorId:
    """Declare an image of 16 channels."""
    return builder.tensor("float16", (batch, 16, n, 1), role="constant")
