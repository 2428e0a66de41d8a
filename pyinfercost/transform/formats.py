"""Formats of weights and activations, as data: how wide they are and what lies beside them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from ..hardware.dtypes import CORE_DTYPES


class WhatIfError(ValueError):
    """A question that cannot be asked of this graph; the message says what was got and what was expected."""


@dataclass(frozen=True)
class Format:
    """How a product's weight, and its activation where that is narrow too, lie in memory.

    Attributes:
        name: what it is called.
        dtype: of the weight's elements.
        values: how many weights one element of that dtype holds.
        group: weights of a row that share a scale; None for the whole row.
        scale: the dtype of scales; None where there are none (a plain cast).
        zero: the dtype of zero points; None for a symmetric format.
        semi_structured: whether two of four weights along a row are zero and not stored; dtypes stay as they are.
        activation: None where activations stay as they are, `"dynamic"` where a kernel finds their scales row by row
            before each product, `"static"` where these are known and it only quantises.
    """

    name: str
    dtype: str
    values: int = 1
    group: int | None = None
    scale: str | None = "float32"
    zero: str | None = None
    activation: str | None = None
    semi_structured: bool = False

    @property
    def is_cast(self) -> bool:
        """Whether weights and activations are only cast to a narrower float."""
        return self.scale is None and not self.semi_structured


def _table(*formats: Format) -> Mapping[str, Format]:
    return MappingProxyType({each.name: each for each in formats})


# Scales and zero points as torchao stores them for int8 and fp8 (a row of the weight has one of each), as the tinygemm
# kernels take them for int4, as QLoRA's paper has them for nf4 (without its second quantisation), and as NVIDIA and the
# OCP define nvfp4 and mxfp4.
FORMATS = _table(
    Format("fp16", "float16", scale=None),
    Format("bf16", "bfloat16", scale=None),
    Format("int8_wo", "int8", zero="int8"),
    Format("int8_dynamic", "int8", zero="int8", activation="dynamic"),
    Format("int8_static", "int8", zero="int8", activation="static"),
    Format("fp8_wo", "float8_e4m3fn"),
    Format("fp8_dynamic", "float8_e4m3fn", activation="dynamic"),
    Format("fp8_static", "float8_e4m3fn", activation="static"),
    Format("int4_wo", "int4", group=128, scale="bfloat16", zero="bfloat16"),
    Format("nf4_wo", "int4", group=64),
    Format("nvfp4_wo", "float4_e2m1fn_x2", values=2, group=16, scale="float8_e4m3fn"),
    Format("nvfp4_dynamic", "float4_e2m1fn_x2", values=2, group=16, scale="float8_e4m3fn", activation="dynamic"),
    Format("mxfp4_wo", "float4_e2m1fn_x2", values=2, group=32, scale="uint8"),
)
"""The formats by name."""

PRUNED = _table(Format("2:4", "", scale=None, semi_structured=True))
"""What pruning may leave so that kernels make something of it; zeros without structure are multiplied like numbers."""

CACHE_DTYPES = MappingProxyType({short: CORE_DTYPES[short] for short in ("int8", "fp8", "fp16", "bf16")})
"""What keys and values of attention may be kept in."""


def format_of(name: str | Format) -> Format:
    """A format by name; `"int4_wo:64"` has groups of 64.

    Args:
        name: of `FORMATS`, or a format.

    Raises:
        WhatIfError: no such format is known, or it has no groups.
    """
    if isinstance(name, Format):
        return name
    base, colon, group = name.partition(":")
    if base not in FORMATS:
        raise WhatIfError(
            f"unknown format {name!r}; expected one of {', '.join(FORMATS)}, with a group as in int4_wo:64"
        )
    found = FORMATS[base]
    if not colon:
        return found
    if found.group is None or not group.isdigit() or int(group) < 1:
        raise WhatIfError(f"{name!r} has no group of {group!r}: {base} has a scale for each {found.group or 'row'}")
    return replace(found, group=int(group))


def pruned_format(name: str | Format) -> Format:
    """What pruning leaves, by name.

    Raises:
        WhatIfError: kernels make nothing of it.
    """
    if isinstance(name, Format):
        return name
    if name not in PRUNED:
        raise WhatIfError(
            f"prune is {name!r}; expected {', '.join(PRUNED)}: dense kernels multiply all other zeros, so "
            "that the graph would be the same (1.0x); `ic.sparsity_speedup` says what the zeros of a model are worth"
        )
    return PRUNED[name]
