"""Spread of measurements around predictions, by class of kernels.

A family's spread is that of its own rows. A kind's spread is that of all rows when every family is predicted with
shared values, as is a machine of a family without rows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from .solve import Block, Problem

_SHARE = 0.8  # share of rows within a band
_LEAST = 0.05  # day-to-day variation of the same device and software


@dataclass(frozen=True)
class _Rows:
    """Rows of a table, of one precision if given, and of some parts if given."""

    table: str
    precision: str | None = None
    parts: tuple[str, ...] = ()

    def has(self, block: Block) -> bool:
        group = block.cases[0].group
        return (
            group.table == self.table
            and self.precision in (None, group.precision)
            and (not self.parts or group.part in self.parts)
        )


_TOKENS = ("attn_rope", "mlp_act", "input_layernorm", "post_attention_layernorm")
# Classes with a common spread, by their key: classes of kernels, and kernels with a table of their own.
_CLASSES: Mapping[str, tuple[_Rows, ...]] = {
    "kernel.gemm": (_Rows("gemm", "bfloat16"), _Rows("gemm_power"), _Rows("fp32_linear"), _Rows("fp32_bmm")),
    "tiles_matrix": (_Rows("gemm", "bfloat16"), _Rows("gemm_power")),
    "tiles_vector": (_Rows("fp32_linear"), _Rows("fp32_bmm")),
    "tiles_convolution": (_Rows("fp32_conv2d"),),
    "tiles_fp8": (_Rows("gemm", "fp8"), _Rows("gemm", "fp8_static")),
    "tiles_fp4": (_Rows("gemm", "nvfp4"), _Rows("gemm", "mxfp4_static")),
    "tiles_int8": (_Rows("gemm", "sq"),),
    "tiles_weight8": (_Rows("gemm", "int8_wo"),),
    "tiles_weight4": (_Rows("gemm", "int4_wo"),),
    "tiles_grouped": (_Rows("moe", "bfloat16"),),
    "tiles_grouped8": (_Rows("moe", "fp8"),),
    "token_rows": (_Rows("llm_layers", parts=_TOKENS),),
    "kernel.gather": (_Rows("llm_layers", parts=("emb",)),),
    "kernel.attention": (_Rows("attention"),),
    "kernel.softmax": (_Rows("fp32_softmax"),),
    "kernel.normalization": (_Rows("fp32_layernorm"),),
    "kernel.pointwise": (_Rows("fp32_elementwise"), _Rows("llm_layers", parts=("add",))),
    "kernel.convolution": (_Rows("models_vision"),),
}
SPREADS = ("band.spread", *(f"{name}.spread" for name in _CLASSES))
"""Keys of spreads; values of an earlier fit are invalid once the rows of a family are gone."""
_WHOLE = (_Rows("models_vision"), _Rows("models_language_fp32"))


def spreads(problem: Problem, x: NDArray[np.float64]) -> dict[str | None, dict[str, tuple[float, int]]]:
    """Return spreads by family (None: the kind) and dotted key, each with its number of rows."""
    shared = np.where([unknown.family is not None for unknown in problem.unknowns], 0.0, x)
    found: dict[str | None, dict[str, tuple[float, int]]] = {None: _of(problem, shared, lambda _: True)}
    for family in sorted({machine.family for machine in problem.machines.values()}):
        found[family] = _of(problem, x, lambda block, f=family: problem.machines[block.hardware].family == f)
    return found


def _of(problem: Problem, x: NDArray[np.float64], chosen: object) -> dict[str, tuple[float, int]]:
    out = np.zeros(problem.total_rows)
    blocks = [b for b, block in enumerate(problem.blocks) if chosen(block)]  # type: ignore[operator]
    problem.fill(x, out, blocks)

    def of_rows(some: tuple[_Rows, ...]) -> tuple[float, int] | None:
        ratios = [_ratios(problem, b, out) for b in blocks if any(rows.has(problem.blocks[b]) for rows in some)]
        if not ratios:
            return None
        # Blocks have equal weight, regardless of their number of rows.
        levels = [float(np.exp(np.quantile(np.abs(ratio), _SHARE)) - 1) for ratio in ratios]
        return max(_LEAST, float(np.mean(levels))), sum(len(ratio) for ratio in ratios)

    found = {}
    whole = of_rows(_WHOLE) or of_rows(tuple(_Rows(table) for table in {block.table for block in problem.blocks}))
    if whole:
        found["band.spread"] = whole
    for name, some in _CLASSES.items():
        of_class = of_rows(some)
        if of_class:
            found[f"{name}.spread"] = of_class
    return found


def _ratios(problem: Problem, b: int, out: NDArray[np.float64]) -> NDArray[np.float64]:
    block: Block = problem.blocks[b]
    return out[problem.places[b]] / block.weight
