"""Autocast: products in 16 bits, norms and softmax in fp32."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...deployment.engines import TORCH
from ...hardware.dtypes import CORE_DTYPES
from ..facts import weight_dtype
from ..tactic import Option, Options, Refusal, Tactic

if TYPE_CHECKING:
    from ..case import Case
    from ..setups import Setup


class Autocast(Tactic):
    """torch's autocast for a model of fp32."""

    name = "autocast"
    title = "autocast"
    group = "precision"
    risk = "rounding"
    effort = "code"

    def options(self, setup: Setup, case: Case) -> Options:
        """Offer autocast to the 16-bit floats that the machine computes with, for models of fp32 in torch."""
        on, machine = setup.on, setup.placed.machine
        if on.engine != TORCH:
            return Options((), [Refusal(text="autocast", why=f"it is torch's, and the engine is {on.engine}")])
        stored = weight_dtype(case.graphs.open(setup.variant))
        if on.precision not in ("native", "fp32", "tf32") or (on.precision == "native" and stored != "fp32"):
            return Options()
        device = "cpu" if machine.kind == "cpu" else "cuda"
        found, refused = [], []
        for name in ("fp16", "bf16"):
            dtype = CORE_DTYPES[name]
            if dtype not in machine.matrix_flop_per_s and dtype not in machine.vector_flop_per_s:
                refused.append(Refusal(text=f"autocast to {name}", why=f"{machine.id} has no engine for {name}"))
                continue
            code = f'with torch.autocast("{device}", dtype=torch.{dtype}): result = model(inputs)'
            text = f"autocast to {name}"
            found.append(Option(text=text, change={"precision": f"amp_{name}"}, published=name, apply=code))
        return Options(found, refused)
