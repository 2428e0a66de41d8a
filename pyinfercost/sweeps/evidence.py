"""What the error bands of a sweep rest on, by machine, precision and execution."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import TYPE_CHECKING, Any

from .. import _core
from .._lazy import cached_property
from ..errors import CountOverflowError, InputError
from ..hardware.schema import EVIDENCE
from ..predict.estimate import evidence_shares
from ..predict.plans import family_of
from ..sources.sizes import batch_name
from .spec import Grid, Lookup

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from .._core import Graph, Hardware, Work

WORDS = ("", *EVIDENCE.values())
"""What a band may rest on, after the empty text of machines that state nothing."""


@dataclass(frozen=True)
class SweepEvidence:
    """What the bands of a sweep rest on, computed when it is asked for.

    Attributes:
        graph: The model.
        overrides: Work by node, of the caller's rules.
        grid: The points.
        open_sizes: Names of the grid that are sizes of the graph.
        machines: The machines.
        machine_number: The position in `machines` at each point.
    """

    graph: Graph = field(repr=False)
    overrides: Mapping[int, Work] | None
    grid: Grid
    open_sizes: tuple[str, ...]
    machines: tuple[Hardware, ...]
    machine_number: Lookup

    @cached_property
    def codes(self) -> Lookup:
        """Positions in `WORDS`, by machine, precision and execution.

        The evidence is that of the kernels that take most of the latency at the sizes of the last point, which are
        usually the greatest. Machines with equal evidence are evaluated once.
        """
        import numpy as np

        last = len(self.grid) - 1
        share = {name: int(self.grid.at(name, last)) for name in self.open_sizes}
        batch = batch_name(self.graph)
        if batch in share and "devices" in self.grid.names:
            share[batch] = -(-share[batch] // int(self.grid.at("devices", last)))
        ways = [_numbered(self.grid.values(name)) for name in ("precision", "execution")]
        found: dict[Any, int] = {}
        codes = np.zeros((len(self.machines), *(len(known) for known, _ in ways)), dtype=np.int64)
        for number, machine in enumerate(self.machines):
            stated = tuple(sorted(machine.evidence.items()))
            for (p, precision), (e, execution) in product(*(enumerate(known) for known, _ in ways)):
                key = stated, machine.kind, precision, execution
                if key not in found:
                    found[key] = self._at(machine, precision, execution, share)
                codes[number, p, e] = found[key]
        axes = tuple((name, numbers) for name, (_, numbers) in zip(("precision", "execution"), ways, strict=True))
        return Lookup((*self.machine_number.axes, *axes), codes[self.machine_number.values])

    def _at(self, machine: Hardware, precision: str, execution: str, share: Mapping[str, int]) -> int:
        try:
            plan = family_of(self.graph, precision, execution, self.overrides).plan_for(share)
            shares = evidence_shares(machine, _core.evaluate_kernels(plan, share, machine))
        except (InputError, CountOverflowError):
            return 0  # the point is refused when the sweep reaches it
        return WORDS.index(max(shares, key=lambda word: shares[word])) if shares else 0


def _numbered(values: Sequence[str]) -> tuple[list[str], NDArray[np.int64]]:
    """Return distinct values, and the number of each value among them."""
    import numpy as np

    number_of: dict[str, int] = {}
    numbers = [number_of.setdefault(value, len(number_of)) for value in values]
    return list(number_of), np.asarray(numbers, dtype=np.int64)
