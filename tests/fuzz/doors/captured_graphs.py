"""Graphs as JSON, changed from those that `capture` makes of small modules of torch."""

from __future__ import annotations

from ..values import Value
from .graph_json import GraphJson


class CapturedGraphs(GraphJson):
    """As `GraphJson`; these documents have lifetimes, strides, sources and sizes that depend on data."""

    share = 80_000
    libraries = ("torch",)

    def seeds(self) -> list[Value]:
        """Return the documents of captured modules."""
        import torch

        import pyinfercost as ic

        from .modules import modules

        graphs = [ic.capture(module, inputs, dynamic=dynamic) for module, inputs, dynamic in modules()]
        layer = torch.nn.Sequential(torch.nn.Linear(8, 8), torch.nn.ReLU())
        graphs.append(ic.capture(layer, (torch.empty(2, 8),), training=True))
        return [graph.to_dict() for graph in graphs]
