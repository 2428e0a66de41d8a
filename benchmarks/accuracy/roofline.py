"""The plain roofline of the same cases, as a baseline.

Every kernel of an eager run takes max(FLOPs / dense peak of its dtype, bytes / memory bandwidth) by the data sheet,
with its exact FLOPs and bytes. There is no fusion, no cache and no launch time. Masked halves of causal attention are
not computed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from .predict import KEPT, Plans

if TYPE_CHECKING:
    from pyinfercost import Expr, Hardware

    from .cases import Case

_CONTRACTIONS = ("gemm", "convolution", "attention")
# Engines for products of dtypes that a device does not support, narrow to wide.
_INSTEAD = {
    "float8_e4m3fn": ("float8_e5m2", "bfloat16", "float16"),
    "float8_e5m2": ("float8_e4m3fn", "bfloat16", "float16"),
    "int8": ("bfloat16", "float16"),
    "bfloat16": ("float16",),
    "float16": ("bfloat16",),
    "tf32": (),
}


def roofline_s(cases: Sequence[Case], machines: Mapping[str, Hardware], *, plans: Plans = KEPT) -> NDArray[np.float64]:
    """Return seconds of all rows, case by case; NaN if a case has no plan. `plans` is the storage of plans."""
    found = []
    for case in cases:
        try:
            found.append(case.runs * _of_case(case, machines[case.hardware], plans))
        except (ValueError, RuntimeError, OverflowError):
            found.append(np.full(len(case), np.nan))
    return np.concatenate(found) if found else np.empty(0)


def peak_flop_per_s(machine: Hardware, dtype: str) -> float:
    """Return the data sheet's dense peak for products of a dtype; that of the vector unit without a matrix unit."""
    for name in (dtype, *_INSTEAD.get(dtype, ())):
        if name in machine.matrix_flop_per_s and name != "float32":
            return machine.matrix_flop_per_s[name]
    known = machine.vector_flop_per_s
    rates = [known[name] for name in (dtype, "float32") if name in known] or list(machine.matrix_flop_per_s.values())
    return rates[0]


def _of_case(case: Case, machine: Hardware, plans: Plans) -> NDArray[np.float64]:
    def column(quantity: Expr | int) -> NDArray[np.float64] | float:
        if isinstance(quantity, int):
            return float(quantity)
        return quantity.evaluate_columns(sizes).astype(np.float64)

    total_s = np.zeros(len(case))
    bandwidth = machine.bandwidth_byte_per_s
    vector = peak_flop_per_s(machine, "float32")
    # Rows with a size of 1 have their own plans, as everywhere.
    ones = np.stack([values == 1 for values in case.sizes.values()]) if case.sizes else np.zeros((0, len(case)), bool)
    family = plans.of(replace(case, execution="eager"))
    for pattern in np.unique(ones, axis=1).T:
        some = np.flatnonzero((ones == pattern[:, None]).all(axis=0))
        sizes = {name: np.ascontiguousarray(values[some]) for name, values in case.sizes.items()}
        plan = family.plan_for({name: int(values[0]) for name, values in sizes.items()})
        for kernel in plan.kernels():
            work = kernel["work"]
            if work.kind in _CONTRACTIONS:
                compute_s = column(work.causal_flops) / peak_flop_per_s(machine, work.dtype)
            else:
                compute_s = column(work.pointwise_flops) / vector
            moved_s = (column(work.bytes_read) + column(work.bytes_written)) / bandwidth
            total_s[some] += len(kernel["launches"]) * np.maximum(compute_s, moved_s)
    return total_s
