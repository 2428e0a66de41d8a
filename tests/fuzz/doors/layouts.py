"""Graphs as JSON, divided among the ranks of layouts; changed from captured language models."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

import pyinfercost as ic
from pyinfercost.deployment import Layout
from pyinfercost.sources.captured import graph_over

from ..door import Corpus, Figure, require
from ..values import Value
from .engines import ENGINES, captured
from .figures import MACHINES, of_counts, of_estimate
from .graph_json import GraphJson, graph_of

_SIZES = {"decode": {"batch": [4, 8], "context": [16, 32]}, "prefill": {"batch": [4, 8], "sequence": [16, 32]}}
_FIELDS = ("tensor", "tensor", "pipeline", "expert", "data", "context", "attention_data", "nodes", "micro_batches")
_USUAL = (1, 2, 2, 4)
_NUMBERS = (1, 2, 3, 8, 0, -1, 2**40)
_LOADS = ("balanced", "random", "power:1", "power:-1", "1:2:3:4", "", "loads")


def _with_open_sizes(spec: str, kind: str) -> ic.Graph:
    phase, _, model = kind.partition(" ")
    sizes = _SIZES[phase]
    return graph_over(spec, {"batch": sizes["batch"]} if model == "mamba" else sizes).graph  # it has no context


class Layouts(GraphJson):
    """`parallel`, `engine_graph` of the rank, then `count` and `estimate`."""

    share = 30_000
    libraries = ("torch", "transformers")

    def seeds(self) -> list[Value]:
        """Return the documents of prefills and decode steps of small language models, with open sizes."""
        return captured(_with_open_sizes)

    def draw(self, random: Random) -> Value:
        """Return a changed document, a layout and an engine."""
        value = super().draw(random)
        if random.random() < 0.6 and value["graph"] is not None and isinstance(self.corpus, Corpus):
            value["graph"] = self.corpus.draw(random)  # most layouts of changed graphs are refused
            value["sizes"] = {}
        numbers = _NUMBERS if random.random() < 0.2 else _USUAL
        chosen = random.sample(_FIELDS, random.randint(1, 3))
        layout: dict[str, Value] = {name: random.choice(numbers) for name in chosen}
        if random.random() < 0.2:
            layout["sequence"] = random.choice((True, False, 2))
        if random.random() < 0.2:
            layout["expert_load"] = random.choice(_LOADS)
        return {**value, "engine": random.choice(("torch", *ENGINES)), "layout": layout}

    def run(self, value: Value) -> Iterator[Figure]:
        """Read the graph, divide it, rewrite the part of a rank, count it and estimate the whole."""
        graph, sizes, engine = graph_of(value), value["sizes"], value["engine"]
        layout = ic.Layout(**value["layout"])
        require(Layout.parse(str(layout)) == layout, "the text of a layout means the same", layout)
        rank = ic.devices.rank_graph(graph, layout)
        yield from of_counts(ic.count(rank, sizes=sizes))
        launched = ic.engine_graph(rank, engine)
        require(ic.Graph.from_json(launched.to_json()) == launched, "JSON gives the same graph")
        machine = value["machine"] if value["machine"] in MACHINES else MACHINES[0]
        yield from of_estimate(ic.estimate(graph, hardware=machine, engine=engine, layout=layout, sizes=sizes))
