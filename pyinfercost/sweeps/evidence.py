"""Evidence of bands and emulation of precisions at the points of a sweep, from their kernels."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from math import prod
from typing import TYPE_CHECKING, Any

from .. import _core
from .._lazy import cached_property
from ..errors import CountOverflowError, InputError
from ..hardware.dtypes import CORE_DTYPES, short_dtype
from ..hardware.evidence import EVIDENCE
from ..predict.plans import EngineOverrides, PlanKey, plan_key_of
from ..sources.sizes import batch_name
from .spec import Grid, Lookup, copies_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from .._core import Graph, Hardware, KernelEstimate

WORDS = ("", *EVIDENCE.values())
"""Kinds of evidence, after the empty text of machines without any."""


EMULATORS = ("", *CORE_DTYPES)
"""Dtypes that emulate a precision, after the empty text of machines with an engine for it."""


@dataclass(frozen=True)
class SweepEvidence:
    """Evidence of the bands of a sweep, computed on access.

    The kernels that take most of the latency decide it.

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

    def __getstate__(self) -> dict[str, Any]:
        """Another process computes for its own points."""
        return {each.name: getattr(self, each.name) for each in fields(self)}

    @property
    def words(self) -> tuple[str, ...]:
        """All texts."""
        return WORDS

    def stated(self, machine: Hardware) -> Hashable:
        """Return the facts of a machine, besides its kind, that the text depends on."""
        return tuple(sorted(machine.evidence.items()))

    def text_of(self, machine: Hardware, kernels: Sequence[KernelEstimate]) -> str:
        """Return the text of the kernels of a forward."""
        shares = _core.evidence_shares(kernels, machine)
        return max(shares, key=lambda word: shares[word]) if shares else ""

    def column(self, position: Callable[[str], NDArray[np.int64]]) -> NDArray[np.int64]:
        """Return the position in `words` at some points, of the machines and plan keys of these points.

        Kernels are those at the sizes of the last point of the grid, which are usually the greatest. Machines that
        state the same are evaluated once.

        Args:
            position: Gives the positions of the points on the axis of a name.
        """
        import numpy as np

        shape = (len(self.machines), *(len(values) for values, _ in self._plan_keys.values()))
        plan_keys = (numbers[position(name)] for name, (_, numbers) in self._plan_keys.items())
        places = np.broadcast_arrays(np.atleast_1d(self.machine_number.column(position)), *plan_keys)
        flat = np.ravel_multi_index(places, shape)
        asked = np.zeros(prod(shape), dtype=np.bool_)
        asked[flat] = True
        codes = np.zeros(len(asked), dtype=np.int64)
        for place in np.flatnonzero(asked).tolist():
            number, *steps = map(int, np.unravel_index(place, shape))
            named = {
                name: values[step] for (name, (values, _)), step in zip(self._plan_keys.items(), steps, strict=True)
            }
            machine, plan_key = self.machines[number], plan_key_of(named)
            key = self.stated(machine), machine.kind, plan_key
            if key not in self._found:
                self._found[key] = self._at(machine, plan_key, self._share)
            codes[place] = self._found[key]
        return codes[flat]

    @cached_property
    def _found(self) -> dict[Any, int]:
        return {}

    @cached_property
    def _plan_keys(self) -> dict[str, tuple[list[str], NDArray[np.int64]]]:
        """Distinct values of each field of plan keys in the grid, and the number of each value among them."""
        return {name: _numbered(self.grid.values(name)) for name in PlanKey._fields if name in self.grid.names}

    @cached_property
    def _share(self) -> dict[str, int]:
        """Sizes of the last point, on one device."""
        last = len(self.grid) - 1
        share = {name: int(self.grid.at(name, last)) for name in self.open_sizes}
        batch = batch_name(self.graph)
        if batch in share:
            shared_by = {name: self.grid.at(name, last) for name in self.grid.names if name in ("devices", "layout")}
            share[batch] = -(-share[batch] // copies_of(shared_by))
        return share

    def _at(self, machine: Hardware, plan_key: PlanKey, share: Mapping[str, int]) -> int:
        try:
            plan = plan_key.family(self.graph, self.overrides).plan_for(share)
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
