"""The types of tensors in GGUF files, in blocks of 32, 64, 128 or 256 weights.

Sizes are from the structures of ggml (ggml/src/ggml-common.h). A format stores most bits of each weight as elements of
a dtype. The rest of a block is its metadata: scales, minima, and the bits that do not fit the dtype.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

from .table import FORMATS, Format, FormatError, format_of

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class GgmlType:
    """A type of tensors.

    Attributes:
        number: Its number in files.
        name: Its name in ggml.
        weights: Number of weights of a block.
        nbytes: Bytes of a block.
        dtype: Dtype of plain elements; empty for blocks.
        form: Format of weights in blocks; None for plain elements.
    """

    number: int
    name: str
    weights: int
    nbytes: int
    dtype: str = ""
    form: Format | None = None

    @property
    def bits_per_weight(self) -> float:
        """Bits of a weight, with its share of its block's scales."""
        return 8 * self.nbytes / self.weights


def _plain(number: int, name: str, nbytes: int, dtype: str) -> GgmlType:
    return GgmlType(number, name, 1, nbytes, dtype)


def _blocks(number: int, name: str, weights: int, nbytes: int, elements: str, bits: int) -> GgmlType:
    """Return a type whose blocks are stored as elements and metadata.

    Args:
        number: Number of the type.
        name: Its name.
        weights: Weights of a block.
        nbytes: Bytes of a block.
        elements: `int2`, `int4` or `int8` for one element per weight; `1 bit` for eight weights per byte.
        bits: Bits of a weight.
    """
    values, dtype = (8, "uint8") if elements == "1 bit" else (1, elements)
    stored = weights * {"1 bit": 1, "int2": 2, "int4": 4, "int8": 8}[elements] // 8
    form = Format(name.lower(), dtype, values, group=weights, scale=None, block=nbytes - stored, bits=bits)
    return GgmlType(number, name, weights, nbytes, form=form)


def _known(number: int, name: str, weights: int, nbytes: int, form: str) -> GgmlType:
    return GgmlType(number, name, weights, nbytes, form=FORMATS[form])


GGML_TYPES: Mapping[int, GgmlType] = MappingProxyType(
    {
        row.number: row
        for row in (
            _plain(0, "F32", 4, "float32"),
            _plain(1, "F16", 2, "float16"),
            _known(2, "Q4_0", 32, 18, "q4_0"),
            _blocks(3, "Q4_1", 32, 20, "int4", 4),
            _blocks(6, "Q5_0", 32, 22, "int4", 5),
            _blocks(7, "Q5_1", 32, 24, "int4", 5),
            _known(8, "Q8_0", 32, 34, "q8_0"),
            _blocks(9, "Q8_1", 32, 36, "int8", 8),
            _blocks(10, "Q2_K", 256, 84, "int2", 2),
            _blocks(11, "Q3_K", 256, 110, "int2", 3),
            _blocks(12, "Q4_K", 256, 144, "int4", 4),
            _blocks(13, "Q5_K", 256, 176, "int4", 5),
            _blocks(14, "Q6_K", 256, 210, "int4", 6),
            _blocks(15, "Q8_K", 256, 292, "int8", 8),
            _blocks(16, "IQ2_XXS", 256, 66, "int2", 2),
            _blocks(17, "IQ2_XS", 256, 74, "int2", 2),
            _blocks(18, "IQ3_XXS", 256, 98, "int2", 3),
            _blocks(19, "IQ1_S", 256, 50, "1 bit", 2),
            _blocks(20, "IQ4_NL", 32, 18, "int4", 4),
            _blocks(21, "IQ3_S", 256, 110, "int2", 3),
            _blocks(22, "IQ2_S", 256, 82, "int2", 2),
            _blocks(23, "IQ4_XS", 256, 136, "int4", 4),
            _plain(24, "I8", 1, "int8"),
            _plain(25, "I16", 2, "int16"),
            _plain(26, "I32", 4, "int32"),
            _plain(27, "I64", 8, "int64"),
            _plain(28, "F64", 8, "float64"),
            _blocks(29, "IQ1_M", 256, 56, "1 bit", 2),
            _plain(30, "BF16", 2, "bfloat16"),
            _blocks(34, "TQ1_0", 256, 54, "1 bit", 2),
            _blocks(35, "TQ2_0", 256, 66, "int2", 2),
            _known(39, "MXFP4", 32, 17, "mxfp4_wo"),
            _known(40, "NVFP4", 64, 36, "nvfp4_wo"),
            _blocks(41, "Q1_0", 128, 18, "1 bit", 1),
        )
    }
)
"""Types by number."""

GGML_FORMATS: Mapping[str, Format] = MappingProxyType(
    {row.form.name: row.form for row in GGML_TYPES.values() if row.form is not None and row.form.name not in FORMATS}
)
"""Formats of weights in blocks by name (`q4_k`, `iq2_xxs`); `table.FORMATS` has the other formats."""


def format_or_type_of(name: str | Format) -> Format:
    """Return a format by name, or the one of a type of GGUF files: `"q4_k"`.

    Raises:
        FormatError: There is neither.
    """
    if isinstance(name, str) and name in GGML_FORMATS:
        return GGML_FORMATS[name]
    try:
        return format_of(name)
    except FormatError as error:
        if ":" in str(name) and str(name).partition(":")[0] in FORMATS:
            raise
        raise FormatError(f"{error}; or a type of GGUF files: {', '.join(GGML_FORMATS)}") from None
