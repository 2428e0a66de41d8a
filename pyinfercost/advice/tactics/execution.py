"""Execution: fused kernels, and kernels that a recorded graph launches."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...deployment.engines import TORCH
from ..tactic import Option, Options, Refusal, Tactic

if TYPE_CHECKING:
    from ..case import Case
    from ..setups import Setup

_RECORDED = ("cuda_graph", "reduce-overhead")
_FREEZING = "torch._inductor.config.freezing = True  # weights in the layout of the kernels; run in inference_mode\n"
"""On a CPU, whose kernels need narrow weights in a layout of their own."""
_WAYS = {
    "compiled": ("compile", "compiled", "model = torch.compile(model)"),
    "reduce-overhead": (
        "compile, CUDA graphs",
        "compiled with CUDA graphs",
        'model = torch.compile(model, mode="reduce-overhead")',
    ),
    "cuda_graph": (
        "CUDA graphs",
        "with CUDA graphs",
        "graph = torch.cuda.CUDAGraph()\nwith torch.cuda.graph(graph):\n    result = model(inputs)\n"
        "graph.replay()  # after inputs.copy_(new)",
    ),
}


class Execution(Tactic):
    """torch.compile and CUDA graphs."""

    name = "execution"
    title = "compilation and CUDA graphs"
    effort = "code"

    def options(self, setup: Setup, case: Case) -> Options:
        """Offer the other executions of torch; graphs are recorded on GPUs of NVIDIA and AMD only."""
        on = setup.placed
        if on.engine != TORCH:
            return Options((), [Refusal(text="torch.compile", why=f"engine {on.engine} fuses its kernels itself")])
        found, refused = [], []
        for name, (text, phrase, code) in _WAYS.items():
            if name == on.execution:
                continue
            if name in _RECORDED and not on.machine.family.startswith(("nvidia", "amd")):
                refused.append(
                    Refusal(text=text, why=f"they are recorded on GPUs with CUDA or ROCm, not on {on.machine.id}")
                )
                continue
            if name == "compiled" and on.execution == "reduce-overhead":
                continue  # a step back
            lines = _FREEZING + code if on.machine.kind == "cpu" else code
            found.append(Option(text=text, phrase=phrase, change={"execution": name}, apply=lines))
        return Options(found, refused)
