"""How far measurements lie from predictions, as the spread of a class of kernels.

A family's spread is that of its own rows. A kind's is that of all rows when every family is predicted with what it
shares with the others, which is how a machine of a family without rows is predicted.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from .solve import Block, Problem

_SHARE = 0.8  # of rows that a band should hold
_LEAST = 0.05  # what the same device and software differ by from one day to another

_CLASSES: Mapping[str, tuple[str, ...]] = {
    "gemm": ("gemm", "gemm_power", "fp32_linear", "fp32_bmm"),
    "attention": ("attention",),
    "softmax": ("fp32_softmax",),
    "normalization": ("fp32_layernorm",),
    "pointwise": ("fp32_elementwise",),
    "convolution": ("fp32_conv2d", "models_vision"),
    "depthwise": ("models_vision",),
}
_WHOLE = ("models_vision", "models_language_fp32")


def spreads(problem: Problem, x: NDArray[np.float64]) -> dict[str | None, dict[str, tuple[float, int]]]:
    """Spreads by family (None: the kind) and dotted key, each with the rows it is from."""
    shared = np.where([unknown.family is not None for unknown in problem.unknowns], 0.0, x)
    found: dict[str | None, dict[str, tuple[float, int]]] = {None: _of(problem, shared, lambda _: True)}
    for family in sorted({machine.family for machine in problem.machines.values()}):
        found[family] = _of(problem, x, lambda block, f=family: problem.machines[block.hardware].family == f)
    return found


def _of(problem: Problem, x: NDArray[np.float64], chosen: object) -> dict[str, tuple[float, int]]:
    out = np.zeros(problem.total_rows)
    blocks = [b for b, block in enumerate(problem.blocks) if chosen(block)]  # type: ignore[operator]
    problem.fill(x, out, blocks)

    def of_tables(tables: tuple[str, ...]) -> tuple[float, int] | None:
        ratios = [_ratios(problem, b, out) for b in blocks if problem.blocks[b].table in tables]
        if not ratios:
            return None
        # Blocks weigh the same, however many rows they have.
        levels = [float(np.exp(np.quantile(np.abs(some), _SHARE)) - 1) for some in ratios]
        return max(_LEAST, float(np.mean(levels))), sum(len(some) for some in ratios)

    found = {}
    whole = of_tables(_WHOLE) or of_tables(tuple({block.table for block in problem.blocks}))
    if whole:
        found["band.spread"] = whole
    for name, tables in _CLASSES.items():
        of_class = of_tables(tables)
        if of_class:
            found[f"kernel.{name}.spread"] = of_class
    return found


def _ratios(problem: Problem, b: int, out: NDArray[np.float64]) -> NDArray[np.float64]:
    block: Block = problem.blocks[b]
    return out[problem.places[b]] / block.weight
