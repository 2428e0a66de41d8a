"""TF32: products of fp32 on matrix units, with ten bits of mantissa."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...results.units import percent
from ..facts import has_convolutions, weight_dtype
from ..reasons import matrix_share
from ..tactic import Option, Options, Refusal, Tactic

if TYPE_CHECKING:
    from ..case import Case
    from ..setups import Setup
    from ..tactic import Tried


class TF32(Tactic):
    """TF32 for all products of a model of fp32; by default, torch allows it in convolutions only."""

    name = "tf32"
    title = "TF32"
    group = "precision"
    risk = "rounding"
    published = "tf32"

    def options(self, setup: Setup, case: Case) -> Options:
        """Offer it on machines with TF32, for models of fp32."""
        on, machine = setup.on, setup.placed.machine
        stored = weight_dtype(case.graphs.open(setup.variant))
        if on.precision not in ("native", "fp32") or (on.precision == "native" and stored != "fp32"):
            return Options()
        if "tf32" not in machine.matrix_flop_per_s:
            return Options((), [Refusal(text="TF32", why=f"{machine.id} has no TF32 units")])
        code = 'torch.set_float32_matmul_precision("high")\ntorch.backends.cudnn.allow_tf32 = True'
        return Options([Option(text="TF32", phrase="in TF32", change={"precision": "tf32"}, apply=code)])

    def why_not(self, tried: Tried, case: Case) -> str:
        """Return the operators that are in TF32 by default."""
        if case.estimate is None or case.baseline.on.precision != "native" or not has_convolutions(case.graph):
            return ""
        share = percent(matrix_share(case.estimate))
        return f"torch computes convolutions in TF32 already, and other products take {share} % of the time"
