"""The types of tensors in GGUF files, in blocks of 32, 64, 128 or 256 weights.

The core has their table (csrc/sources/gguf_types.hpp). A format stores most bits of each weight as elements of a
dtype. The rest of a block is its metadata: scales, minima, and the bits that do not fit the dtype.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

from .. import _core
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


def _of(row: _core.GgmlType) -> GgmlType:
    if not row.format:
        return GgmlType(row.number, row.name, row.weights, row.nbytes, row.dtype)
    own = Format(row.format, row.dtype, row.values, group=row.group, scale=None, block=row.block_bytes, bits=row.bits)
    return GgmlType(row.number, row.name, row.weights, row.nbytes, form=FORMATS.get(row.format, own))


GGML_TYPES: Mapping[int, GgmlType] = MappingProxyType({row.number: _of(row) for row in _core.ggml_types()})
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
