"""From rows of a table to cases: a module for each family of tables; its docstring says what it takes for granted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from . import attention, fp32_ops, gemm, language, llm_layers, moe, vision

if TYPE_CHECKING:
    from ..captures import Capturing
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

    cases: Callable[[Table, Capturing], list[Case]]
    sample_by: tuple[str, ...] = ()
    groups: tuple[str, ...] = ("device", "software", "dtype", "op", "phase", "kv_dtype", "routing")


def _of_operators(cases: Callable[[Table], list[Case]]) -> Kind:
    return Kind(lambda table, _: cases(table))


KINDS = {
    "gemm": _of_operators(gemm.cases),
    "gemm_power": _of_operators(gemm.cases),
    "attention": _of_operators(attention.cases),
    "moe": _of_operators(moe.cases),
    "llm_layers": _of_operators(llm_layers.cases),
    **dict.fromkeys(
        ("fp32_linear", "fp32_bmm", "fp32_conv2d", "fp32_elementwise", "fp32_layernorm", "fp32_softmax"),
        _of_operators(fp32_ops.cases),
    ),
    "models_language_fp32": Kind(language.cases, sample_by=("model",)),
    "models_vision": Kind(vision.cases, sample_by=("model",)),
}
"""How each table becomes cases, cheap ones first."""
