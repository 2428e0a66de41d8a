"""The table of formats of weights and activations: dtypes, groups, scales and zero points."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from .._checks import shown
from ..errors import InputError
from ..hardware.dtypes import CORE_DTYPES


class FormatError(InputError):
    """A format is unknown, or does not apply to a graph; the message states what was given and what is expected."""


_DIGITS = 9  # of a group; Python refuses to read far longer numbers


@dataclass(frozen=True)
class Format:
    """Storage of a product's weight, and of its activation if that is narrow too.

    Attributes:
        name: Name for users.
        dtype: Dtype of the weight's elements.
        values: Number of weights packed into one element of that dtype.
        group: Number of consecutive elements of a row that share a scale; None for the whole row.
        rows: Number of rows that share a scale, for blocks; None for all rows of the matrix.
        scale: Dtype of scales; None for a plain cast.
        zero: Dtype of zero points; None for a symmetric format.
        outer: Number of scales that share a float32 scale of their own; None if scales are not quantized.
        index: Dtype of the group of each input, for groups in another order than the inputs; None for consecutive ones.
        block: Bytes of metadata of each group: scales, minima, and bits of the weights that do not fit elements of this
            dtype; 0 without any.
        bits: Bits of a weight, with those in the block; 0 for the bits of an element.
        semi_structured: Whether two of four weights along a row are zero and not stored; dtypes are unchanged.
        activation: None for unchanged activations, `"dynamic"` if a kernel computes a scale per row before the product,
            `"static"` if scales are known and the kernel only quantizes.
    """

    name: str
    dtype: str
    values: int = 1
    group: int | None = None
    rows: int | None = 1
    scale: str | None = "float32"
    zero: str | None = None
    outer: int | None = None
    index: str | None = None
    block: int = 0
    bits: int = 0
    activation: str | None = None
    semi_structured: bool = False

    @property
    def is_cast(self) -> bool:
        """Whether weights and activations are cast to a narrower float, without scales."""
        return self.scale is None and not self.block and not self.semi_structured


def _table(*formats: Format) -> Mapping[str, Format]:
    return MappingProxyType({each.name: each for each in formats})


# Scales and zero points as stored by torchao for int8 and fp8 (one of each per row of the weight), as taken by the
# tinygemm kernels for int4, by GPTQ (with the group of each input) and AWQ, as in the QLoRA paper for nf4 (without its
# second quantization), as stored by ggml for q8_0 and q4_0 (8.5 and 4.5 bits a weight), in blocks of 128 x 128 as by
# DeepSeek-V3, and as defined by NVIDIA and the OCP for nvfp4, mxfp4 and mxfp8.
FORMATS = _table(
    Format("fp16", "float16", scale=None),
    Format("bf16", "bfloat16", scale=None),
    Format("int8_wo", "int8", zero="int8"),
    Format("int8_dynamic", "int8", zero="int8", activation="dynamic"),
    Format("int8_static", "int8", zero="int8", activation="static"),
    Format("fp8_wo", "float8_e4m3fn"),
    Format("fp8_dynamic", "float8_e4m3fn", activation="dynamic"),
    Format("fp8_static", "float8_e4m3fn", activation="static"),
    Format("fp8_block", "float8_e4m3fn", group=128, rows=128, activation="dynamic"),
    Format("mxfp8_dynamic", "float8_e4m3fn", group=32, scale="uint8", activation="dynamic"),
    Format("int4_wo", "int4", group=128, scale="bfloat16", zero="bfloat16"),
    Format("int4_gptq", "int4", group=128, scale="float16", zero="int4", index="int32"),
    Format("int4_awq", "int4", group=128, scale="float16", zero="int4"),
    Format("nf4_wo", "int4", group=64),
    Format("q8_0", "int8", group=32, scale="float16"),
    Format("q4_0", "int4", group=32, scale="float16"),
    Format("nvfp4_wo", "float4_e2m1fn_x2", values=2, group=16, scale="float8_e4m3fn"),
    Format("nvfp4_dynamic", "float4_e2m1fn_x2", values=2, group=16, scale="float8_e4m3fn", activation="dynamic"),
    Format("mxfp4_wo", "float4_e2m1fn_x2", values=2, group=32, scale="uint8"),
)
"""Formats by name."""

PRUNED = _table(Format("2:4", "", scale=None, semi_structured=True))
"""Structures of pruned weights that kernels skip; unstructured zeros are multiplied like any number."""

CACHE_DTYPES = MappingProxyType({short: CORE_DTYPES[short] for short in ("int8", "fp8", "fp16", "bf16")})
"""Dtypes for keys and values of attention."""


def format_of(name: str | Format) -> Format:
    """Return a format by name; `"int4_wo:64"` has groups of 64.

    Args:
        name: A name in `FORMATS`, or a format.

    Returns:
        The format.

    Raises:
        FormatError: The format is unknown, or has no groups.
    """
    if isinstance(name, Format):
        return name
    base, colon, group = name.partition(":")
    if base not in FORMATS:
        raise FormatError(
            f"unknown format {name!r}; expected one of {', '.join(FORMATS)}, with a group such as int4_wo:64"
        )
    found = FORMATS[base]
    if not colon:
        return found
    if found.group is None or not group.isdecimal() or len(group) > _DIGITS or int(group) < 1:
        raise FormatError(
            f"{shown(name)} has no group of {shown(group)}; {base} has one scale per {found.group or 'row'}"
        )
    return replace(found, group=int(group))


def pruned_format(name: str | Format) -> Format:
    """Return the structure of pruned weights, by name.

    Raises:
        FormatError: No kernel skips zeros of this structure.
    """
    if isinstance(name, Format):
        return name
    if name not in PRUNED:
        raise FormatError(
            f"prune is {name!r}; expected {', '.join(PRUNED)}. Dense kernels multiply all other zeros, so the graph "
            "would be unchanged (1.0x); `ic.sparsity_speedup` predicts the speedup from a model's zeros"
        )
    return PRUNED[name]
