"""Transforms of untrusted graphs: formats of a what-if, groups of channels, and the rewriter."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import Any

import pyinfercost as ic
from pyinfercost._core import GraphRewriter

from ..door import Figure
from ..mutate import integer, mutated_text, text
from ..values import Value
from .figures import of_counts
from .graph_json import GraphJson, graph_of

_FORMATS = ("int8_wo", "fp8_wo", "int4_wo", "int4_wo:64", "nf4_wo", "nvfp4_wo", "int8_dynamic", "fp8_static", "fp16")
_PATTERNS = ("*", "blocks.*", "head", "*.fc", "[", "a" * 50, "**", "?")


class Transforms(GraphJson):
    """`whatif`, `channel_groups` and `GraphRewriter` of a changed graph; then `count`."""

    share = 18_000

    def draw(self, random: Random) -> Value:
        """Return a changed graph and the arguments of one transform."""
        value: dict[str, Value] = super().draw(random)
        if random.random() < 0.5:
            value |= {"graph": self.corpus.draw(random), "sizes": {}, "through": "json"}
        arguments: dict[str, Value] = {}
        transform = random.choice(("whatif", "whatif", "channels", "rewriter"))
        if transform == "whatif":
            form = random.choice(_FORMATS)
            form = mutated_text(random, form) if random.random() < 0.3 else form
            if random.random() < 0.7:
                arguments["quantize"] = form if random.random() < 0.6 else {random.choice(_PATTERNS): form}
            if random.random() < 0.3:
                arguments["prune"] = random.choice(("2:4", "4:8", "0:0", text(random)))
            if random.random() < 0.3:
                arguments["kv_cache"] = random.choice(("int8", "fp8", "fp16", text(random)))
            if random.random() < 0.2:
                arguments["kernels"] = random.choice(("engine", "torchao", text(random)))
        elif transform == "rewriter":
            arguments = {
                "size": integer(random),
                "tensor": integer(random),
                "node": integer(random),
                "dtype": random.choice(("int8", "float16", text(random))),
                "shape": [integer(random) for _ in range(random.randrange(4))],
            }
        return {**value, "transform": transform, "arguments": arguments}

    def run(self, value: Value) -> Iterator[Figure]:
        """Read the graph, change it and count the result."""
        graph = graph_of(value)
        arguments: dict[str, Any] = value["arguments"]
        if value["transform"] == "channels":
            groups = ic.channel_groups(graph)
            str(groups)
            graph = groups.graph
        elif value["transform"] == "whatif":
            graph = ic.whatif(graph, **arguments)
        else:
            rewriter = GraphRewriter(graph)
            rewriter.bind(dict.fromkeys(graph.sizes, arguments["size"]))
            rewriter.set_dtype(arguments["tensor"], arguments["dtype"])
            rewriter.set_shape(arguments["tensor"], arguments["shape"])
            rewriter.remove(arguments["node"])
            graph = rewriter.build()
        sizes = {name: size for name, size in value["sizes"].items() if name in graph.sizes}
        yield from of_counts(ic.count(graph, sizes=sizes))
