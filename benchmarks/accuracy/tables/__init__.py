"""From rows of a table to cases: a module for each family of tables; its docstring says what it takes for granted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from . import attention, fp32_ops, gemm, llm_layers, moe

if TYPE_CHECKING:
    from ..cases import Case
    from ..measured import Table


@dataclass(frozen=True)
class Kind:
    """How a table is read.

    Attributes:
        cases: makes its cases.
        sample_by: columns whose values go into a sample or stay out of it together; without them rows are sampled.
        groups: columns of which each combination is sampled.
    """

    cases: Callable[[Table], list[Case]]
    sample_by: tuple[str, ...] = ()
    groups: tuple[str, ...] = ("device", "software", "dtype", "op", "phase", "kv_dtype", "routing")


OPS = {
    "gemm": Kind(gemm.cases),
    "gemm_power": Kind(gemm.cases),
    "attention": Kind(attention.cases),
    "moe": Kind(moe.cases),
    "llm_layers": Kind(llm_layers.cases),
    **dict.fromkeys(
        ("fp32_linear", "fp32_bmm", "fp32_conv2d", "fp32_elementwise", "fp32_layernorm", "fp32_softmax"),
        Kind(fp32_ops.cases),
    ),
}
"""Tables of which each row is a few operators."""
