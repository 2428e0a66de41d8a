"""What kernels say about the points of a sweep: what bands rest on, and what emulates a precision."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from .. import _core
from .._lazy import cached_property
from ..errors import CountOverflowError, InputError
from ..hardware.dtypes import CORE_DTYPES, short_dtype
from ..hardware.evidence import EVIDENCE
from ..predict.estimate import evidence_shares
from ..predict.plans import EngineOverrides, Way, way_of
from ..sources.sizes import batch_name
from .spec import Grid, Lookup, copies_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from .._core import Graph, Hardware, KernelEstimate

WORDS = ("", *EVIDENCE.values())
"""What a band may rest on, after the empty text of machines that state nothing."""


EMULATORS = ("", *CORE_DTYPES)
"""What may emulate a precision, after the empty text of machines with an engine for it."""


@dataclass(frozen=True)
class SweepEvidence:
    """What the bands of a sweep rest on, computed when it is asked for.

    The evidence is that of the kernels that take most of the latency.

    Attributes:
        graph: The model.
        overrides: Work by node of the caller's rules, for each engine's graph.
        grid: The points.
        open_sizes: Names of the grid that are sizes of the graph.
        machines: The machines.
        machine_number: The position in `machines` at each point.
    """

    graph: Graph = field(repr=False)
    overrides: EngineOverrides
    grid: Grid
    open_sizes: tuple[str, ...]
    machines: tuple[Hardware, ...]
    machine_number: Lookup

    @property
    def words(self) -> tuple[str, ...]:
        """All texts."""
        return WORDS

    def stated(self, machine: Hardware) -> Hashable:
        """Return the facts of a machine that the text depends on, beside its kind."""
        return tuple(sorted(machine.evidence.items()))

    def text_of(self, machine: Hardware, kernels: Sequence[KernelEstimate]) -> str:
        """Return the text of the kernels of a forward."""
        shares = evidence_shares(machine, kernels)
        return max(shares, key=lambda word: shares[word]) if shares else ""

    @cached_property
    def codes(self) -> Lookup:
        """Positions in `words`, by machine and way to run.

        Kernels are those at the sizes of the last point, which are usually the greatest. Machines that state the same
        are evaluated once.
        """
        import numpy as np

        last = len(self.grid) - 1
        share = {name: int(self.grid.at(name, last)) for name in self.open_sizes}
        batch = batch_name(self.graph)
        if batch in share:
            shared_by = {name: self.grid.at(name, last) for name in self.grid.names if name in ("devices", "layout")}
            share[batch] = -(-share[batch] // copies_of(shared_by))
        names = [name for name in Way._fields if name in self.grid.names]
        known = [_numbered(self.grid.values(name)) for name in names]
        found: dict[Any, int] = {}
        codes = np.zeros((len(self.machines), *(len(values) for values, _ in known)), dtype=np.int64)
        for number, machine in enumerate(self.machines):
            stated = self.stated(machine)
            for places in np.ndindex(*(len(values) for values, _ in known)):
                named = {name: values[place] for name, (values, _), place in zip(names, known, places, strict=True)}
                key = stated, machine.kind, way_of(named)
                if key not in found:
                    found[key] = self._at(machine, way_of(named), share)
                codes[number][places] = found[key]
        axes = tuple((name, numbers) for name, (_, numbers) in zip(names, known, strict=True))
        return Lookup((*self.machine_number.axes, *axes), codes[self.machine_number.values])

    def _at(self, machine: Hardware, way: Way, share: Mapping[str, int]) -> int:
        try:
            plan = way.family(self.graph, self.overrides).plan_for(share)
            kernels = _core.evaluate_kernels(plan, share, machine)
        except (InputError, CountOverflowError):
            return 0  # the point is refused when the sweep reaches it
        return self.words.index(self.text_of(machine, kernels))


class SweepEmulation(SweepEvidence):
    """The dtype that computes products for which a machine has no engine; of several, the one that takes longest."""

    @property
    def words(self) -> tuple[str, ...]:
        """All texts."""
        return EMULATORS

    def stated(self, machine: Hardware) -> Hashable:
        """Return the dtypes of the engines of a machine."""
        return tuple(machine.matrix_flop_per_s), tuple(machine.vector_flop_per_s)

    def text_of(self, machine: Hardware, kernels: Sequence[KernelEstimate]) -> str:
        """Return the short name of the dtype; empty if each product has an engine."""
        emulated = [kernel for kernel in kernels if kernel.note]
        if not emulated:
            return ""
        longest = max(emulated, key=lambda kernel: len(kernel.launches) * kernel.latency_s)
        return short_dtype(longest.unit_dtype)


def _numbered(values: Sequence[str]) -> tuple[list[str], NDArray[np.int64]]:
    """Return distinct values, and the number of each value among them."""
    import numpy as np

    number_of: dict[str, int] = {}
    numbers = [number_of.setdefault(value, len(number_of)) for value in values]
    return list(number_of), np.asarray(numbers, dtype=np.int64)
