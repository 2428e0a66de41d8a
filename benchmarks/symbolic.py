"""A large decoder with batch and sequence left open: our capture, torch's export, and a plain forward of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from parameters import SEQUENCE

if TYPE_CHECKING:
    from torch.export import ExportedProgram

    import pyinfercost as ic

SIZES = {"batch": 3, "sequence": 640}
"""Sizes that no capture has as its example: a figure for them shows that the sizes are really open."""


class LargeModel:
    """The prefill of a model on the meta device, ready to be called."""

    def __init__(self, config: str) -> None:
        from pyinfercost.sources.models import load_model

        self.module, self.args, self.kwargs, self._dynamic = load_model(f"hf:{config}#prefill", {"sequence": SEQUENCE})
        # Whatever is imported on first use is imported before anything is timed, as in a process that works.
        import pyinfercost.sources.trace.trace  # noqa: F401

    def capture(self) -> ic.Graph:
        """Ours, both sizes open."""
        from pyinfercost.sources.trace.trace import trace_graph

        return trace_graph(self.module, self.args, self.kwargs, self._dynamic)

    def forward(self) -> Any:
        """One plain forward, sizes fixed."""
        import torch

        with torch.no_grad():
            return self.module(*self.args, **self.kwargs)

    def export(self) -> ExportedProgram:
        """torch.export, both sizes open."""
        import torch

        module, options = self.module, {name: value for name, value in self.kwargs.items() if name != "input_ids"}

        class LogitsAlone(torch.nn.Module):
            """Its cache object is no type that an exported program can return."""

            def __init__(self) -> None:
                super().__init__()
                self.inner = module

            def forward(self, input_ids: torch.Tensor) -> Any:
                return self.inner(input_ids, **options).logits

        sizes = {0: torch.export.Dim("batch"), 1: torch.export.Dim("sequence", max=8192)}
        # An example of 1 would be taken for a fixed size.
        ids = torch.zeros(2, SEQUENCE, dtype=torch.int64, device="meta")
        with torch.no_grad():
            return torch.export.export(LogitsAlone(), (ids,), dynamic_shapes=(sizes,), strict=False)

    @staticmethod
    def flops(graph: ic.Graph, sizes: Mapping[str, int]) -> int:
        """Contraction FLOPs of a captured graph."""
        import pyinfercost as ic

        return int(ic.count(graph, **sizes).total.contraction_flops)
