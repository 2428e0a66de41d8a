"""What the error bands of a sweep rest on, by machine, precision and execution."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product
from typing import TYPE_CHECKING, Any

from .. import _core
from ..errors import CountOverflowError, InputError
from ..hardware.schema import EVIDENCE
from ..predict.estimate import evidence_shares
from ..sources.sizes import batch_name
from .spec import Lookup

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from .._core import Hardware
    from .spec import SweepSpec

WORDS = ("", *EVIDENCE.values())
"""What a band may rest on, after the empty text of machines that state nothing."""


def evidence_of(spec: SweepSpec) -> Lookup:
    """Return what the bands of a sweep rest on, by machine, precision and execution.

    It is that of the kernels that take most of the latency at the sizes of the last point, which are usually the
    greatest. Machines with equal evidence are evaluated once.

    Returns:
        Positions in `WORDS`.
    """
    import numpy as np

    last = len(spec.grid) - 1
    share = {name: int(spec.grid.at(name, last)) for name in spec.open_sizes}
    batch = batch_name(spec.graph)
    if batch in share and "devices" in spec.grid.names:
        share[batch] = -(-share[batch] // int(spec.grid.at("devices", last)))
    ways = [_numbered(spec.grid.values(name)) for name in ("precision", "execution")]
    found: dict[Any, int] = {}
    codes = np.zeros((len(spec.machines), *(len(known) for known, _ in ways)), dtype=np.int64)
    for number, machine in enumerate(spec.machines):
        stated = tuple(sorted(machine.evidence.items()))
        for (p, precision), (e, execution) in product(*(enumerate(known) for known, _ in ways)):
            key = stated, machine.kind, precision, execution
            if key not in found:
                found[key] = _evidence_at(spec, machine, precision, execution, share)
            codes[number, p, e] = found[key]
    axes = tuple((name, numbers) for name, (_, numbers) in zip(("precision", "execution"), ways, strict=True))
    return Lookup((*spec.machine_number.axes, *axes), codes[spec.machine_number.values])


def _numbered(values: Sequence[str]) -> tuple[list[str], NDArray[np.int64]]:
    """Return distinct values, and the number of each value among them."""
    import numpy as np

    number_of: dict[str, int] = {}
    numbers = [number_of.setdefault(value, len(number_of)) for value in values]
    return list(number_of), np.asarray(numbers, dtype=np.int64)


def _evidence_at(spec: SweepSpec, machine: Hardware, precision: str, execution: str, share: Mapping[str, int]) -> int:
    try:
        plan = spec.family(precision, execution).plan_for(share)
        shares = evidence_shares(machine, _core.evaluate_kernels(plan, share, machine))
    except (InputError, CountOverflowError):
        return 0  # the point is refused when the sweep reaches it
    return WORDS.index(max(shares, key=lambda word: shares[word])) if shares else 0
