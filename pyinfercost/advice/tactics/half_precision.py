"""Half precision: all floating-point tensors in fp16 or bf16."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..tactic import Option, Options, Refusal, Tactic, Tried

if TYPE_CHECKING:
    from ..case import Case
    from ..setups import Setup

_TORCH = {"fp16": "float16", "bf16": "bfloat16"}


class HalfPrecision(Tactic):
    """fp16 or bf16 for all floating-point tensors, weights included."""

    name = "half_precision"
    title = "half precision"
    group = "precision"
    risk = "rounding"
    effort = "setting"
    published = "half_precision"

    def options(self, setup: Setup, case: Case) -> Options:
        """Offer what the machine has an engine for."""
        machine = setup.placed.machine
        found, refused = [], []
        for name, dtype in _TORCH.items():
            if setup.on.precision == name:
                continue
            if dtype not in machine.matrix_flop_per_s and dtype not in machine.vector_flop_per_s:
                refused.append(Refusal(text=name, why=f"{machine.id} has no engine for {name}"))
                continue
            code = f"model = model.to(torch.{dtype}); inputs = inputs.to(torch.{dtype})"
            found.append(Option(text=name, change={"precision": name}, apply=code))
        return Options(found, refused)

    def why_not(self, tried: Tried | None, case: Case) -> str:
        """Name what bounds the baseline."""
        return ""
