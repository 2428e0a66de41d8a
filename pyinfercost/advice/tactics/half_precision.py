"""Half precision: all floating-point tensors in fp16 or bf16."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...hardware.dtypes import CORE_DTYPES
from ..facts import weight_dtype
from ..tactic import Option, Options, Refusal, Tactic

if TYPE_CHECKING:
    from ..case import Case
    from ..setups import Setup

_NAMES = ("fp16", "bf16")


class HalfPrecision(Tactic):
    """fp16 or bf16 for all floating-point tensors, weights included."""

    name = "half_precision"
    title = "half precision"
    group = "precision"
    risk = "rounding"

    def options(self, setup: Setup, case: Case) -> Options:
        """Offer the 16-bit floats that the machine computes with."""
        machine, precision = setup.placed.machine, setup.on.precision
        stored = weight_dtype(case.graphs.open(setup.variant))
        if precision in (*_NAMES, "int8", "fp8") or (precision == "native" and stored in _NAMES):
            has = precision if precision != "native" else stored
            return Options((), [Refusal(text="fp16 or bf16", why=f"the model runs in {has} already")])
        found, refused = [], []
        for name in _NAMES:
            dtype = CORE_DTYPES[name]
            if dtype not in machine.matrix_flop_per_s and dtype not in machine.vector_flop_per_s:
                refused.append(Refusal(text=name, why=f"{machine.id} has no engine for {name}"))
                continue
            code = f"model = model.to(torch.{dtype})\ninputs = inputs.to(torch.{dtype})"
            found.append(Option(text=name, phrase=f"in {name}", change={"precision": name}, published=name, apply=code))
        return Options(found, refused)
