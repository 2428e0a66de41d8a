"""Execution: fused kernels, and kernels that a recorded graph launches."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...deployment.deployment import TORCH
from ..tactic import Option, Options, Refusal, Tactic, Tried

if TYPE_CHECKING:
    from ..case import Case
    from ..setups import Setup

_CODE = {
    "eager": "",
    "compiled": "model = torch.compile(model)",
    "reduce-overhead": 'model = torch.compile(model, mode="reduce-overhead")',
    "cuda_graph": "with torch.cuda.graph(g := torch.cuda.CUDAGraph()): result = model(inputs)  # then g.replay()",
}
_TEXTS = {"cuda_graph": "CUDA graphs", "reduce-overhead": "compiled, with CUDA graphs"}


class Execution(Tactic):
    """torch.compile and CUDA graphs."""

    name = "execution"
    title = "compilation and CUDA graphs"
    group = "execution"
    effort = "code"

    def options(self, setup: Setup, case: Case) -> Options:
        """Offer the other executions of torch; graphs are recorded on GPUs only."""
        on = setup.placed
        if on.engine != TORCH:
            return Options((), [Refusal(text="torch.compile", why=f"engine {on.engine} fuses its kernels itself")])
        found, refused = [], []
        for name, code in _CODE.items():
            if name == on.execution or not code:
                continue
            if name in ("cuda_graph", "reduce-overhead") and on.machine.kind != "gpu":
                refused.append(
                    Refusal(text=_TEXTS[name], why=f"graphs are recorded on GPUs, and {on.hardware} is none")
                )
                continue
            found.append(Option(text=_TEXTS.get(name, name), change={"execution": name}, apply=code))
        return Options(found, refused)

    def why_not(self, tried: Tried | None, case: Case) -> str:
        """Name what launches take."""
        return ""
