"""A large decoder with symbolic batch and sequence: our capture, torch's export, and a plain forward."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from .parameters import SEQUENCE

if TYPE_CHECKING:
    from torch.export import ExportedProgram

    import pyinfercost as ic

SIZES = {"batch": 3, "sequence": 640}
"""Sizes that no capture has as its example: counts at them verify that the sizes are symbolic."""


class LargeModel:
    """The prefill of a model on the meta device."""

    def __init__(self, config: str) -> None:
        from pyinfercost.sources.models import load_model

        loaded = load_model(f"hf:{config}#prefill", {"sequence": SEQUENCE})
        self.module, self.args, self.kwargs, self._dynamic = loaded.module, loaded.args, loaded.kwargs, loaded.dynamic
        # Lazily imported modules are imported before anything is timed, as in a running process.
        import pyinfercost.sources.trace.trace  # noqa: F401

    def capture(self) -> ic.Graph:
        """Capture with both sizes symbolic."""
        from pyinfercost.sources.trace.trace import trace_graph

        return trace_graph(self.module, self.args, self.kwargs, self._dynamic)

    def forward(self) -> Any:
        """Run one plain forward with fixed sizes."""
        import torch

        with torch.no_grad():
            return self.module(*self.args, **self.kwargs)

    def export(self) -> ExportedProgram:
        """Run torch.export with both sizes symbolic."""
        import torch

        module, options = self.module, {name: value for name, value in self.kwargs.items() if name != "input_ids"}

        class LogitsAlone(torch.nn.Module):
            """Module without the cache object in its result, which an exported program cannot return."""

            def __init__(self) -> None:
                super().__init__()
                self.inner = module

            def forward(self, input_ids: torch.Tensor) -> Any:
                return self.inner(input_ids, **options).logits

        sizes = {0: torch.export.Dim("batch"), 1: torch.export.Dim("sequence", max=8192)}
        # An example of length 1 would become a fixed size.
        ids = torch.zeros(2, SEQUENCE, dtype=torch.int64, device="meta")
        with torch.no_grad():
            return torch.export.export(LogitsAlone(), (ids,), dynamic_shapes=(sizes,), strict=False)

    @staticmethod
    def flops(graph: ic.Graph, sizes: Mapping[str, int]) -> int:
        """Return the contraction FLOPs of a captured graph."""
        import pyinfercost as ic

        return int(ic.count(graph, sizes=sizes).total.contraction_flops)
