"""Interface to the core's scanner for weights in memory (address and strides), and scans of numpy arrays."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from .._checks import shown
from .._core import SparsityScan, element_bits
from ..errors import InputError
from ..results.sparsity import Blocks, Figures, Groups, Magnitudes, Sparsity, WeightSparsity
from . import SparsityError
from .summary import sparsity_of

if TYPE_CHECKING:
    import numpy as np

_MATRIX = 2
WINDOW_BYTES = 64 * 2**20
"""Bytes that are materialized at a time."""
BAND_ROWS = 64
"""Regions passed to the core start at multiples of this many rows and columns."""


LONGEST = 2**48
"""Limit of each dimension of a weight."""

MOST_COLUMNS = 2**60
"""Limit of the product of the dimensions after the first: the core counts them in 64 bits."""


@dataclass(frozen=True)
class Layout:
    """Memory layout of a weight.

    Attributes:
        dtype: Name of the dtype in the core.
        shape: Number of elements by dimension.
        strides: Bytes by dimension; None if the elements are contiguous.
        zero: Integer that represents zero.
    """

    dtype: str
    shape: tuple[int, ...]
    strides: tuple[int, ...] | None = None
    zero: int = 0

    @property
    def rows(self) -> int:
        """Rows of the weight as a matrix: its first dimension; 1 for fewer than two dimensions."""
        return self.shape[0] if len(self.shape) >= _MATRIX else 1

    @property
    def columns(self) -> int:
        """Columns of the weight as a matrix: the product of all other dimensions."""
        return math.prod(self.shape[1:] if len(self.shape) >= _MATRIX else self.shape)

    def new_scan(self, *, flat: bool, magnitudes: bool = True) -> SparsityScan:
        """Return an empty scan of the weight."""
        channel = math.prod(self.shape[_MATRIX:]) or 1
        # A weight without rows may have more columns than fit in memory.
        if any(length > LONGEST for length in self.shape) or max(self.columns, channel) > MOST_COLUMNS:
            raise SparsityError(
                f"a weight of shape {shown(list(self.shape))} is too large; expected lengths up to 2^48, with a "
                "product up to 2^60 after the first dimension"
            )
        return SparsityScan(
            self.dtype,
            self.rows,
            self.columns,
            channel_columns=channel,
            flat=flat and self.is_flat,
            zero=self.zero,
            magnitudes=magnitudes,
        )

    @property
    def is_flat(self) -> bool:
        """Whether it has fewer than two dimensions."""
        return len(self.shape) < _MATRIX

    def row_stride(self) -> int | None:
        """Bytes between rows; None for rows that are not contiguous, or if the whole weight is contiguous."""
        return self.strides[0] if self.strides and not self.is_flat else None

    def inner(self) -> list[tuple[int, int]]:
        """Sizes and strides after the first dimension; empty if each row is contiguous."""
        if self.strides is None:
            return []
        first = 0 if self.is_flat else 1
        dimensions = list(zip(self.shape[first:], self.strides[first:], strict=True))
        expected = packed_bytes(self.dtype, 1)
        for size, stride in reversed(dimensions):
            if size != 1 and stride != expected:
                return dimensions
            expected *= size
        return []


def packed_bytes(dtype: str, elements: int) -> int:
    """Return the bytes of contiguous elements."""
    return (elements * element_bits(dtype) + 7) // 8


def is_scanned(dtype: str) -> bool:
    """Return whether the core scans elements of a dtype."""
    try:
        element_bits(dtype)
    except InputError:
        return False
    return True


def scan_memory(layout: Layout, address: int, threads: int, *, magnitudes: bool = True) -> tuple[Figures, Magnitudes]:
    """Scan a weight at an address, which must stay valid; without `magnitudes` none are sampled."""
    inner = layout.inner()
    scan = layout.new_scan(flat=not inner, magnitudes=magnitudes)
    scan.add(address, row_stride=layout.row_stride(), inner=inner, threads=threads)
    return figures_of(layout, scan)


def scan_windows(layout: Layout, make: Callable[[int, int], np.ndarray[Any, Any]], threads: int) -> Any:
    """Scan a weight that is materialized piece by piece.

    Args:
        layout: Layout of the weight.
        make: Maps a first row and a number of rows to a contiguous byte array of these rows.
        threads: Number of threads.

    Returns:
        The counts and magnitudes.
    """
    scan = layout.new_scan(flat=True)
    row_bytes = max(1, packed_bytes(layout.dtype, layout.columns))
    step = max(1, WINDOW_BYTES // row_bytes // BAND_ROWS) * BAND_ROWS
    for first in range(0, layout.rows if layout.columns else 0, step):
        count = min(step, layout.rows - first)
        scan.add(make(first, count), first_row=first, rows=count, threads=threads)
    return figures_of(layout, scan)


def figures_of(layout: Layout, scan: SparsityScan) -> tuple[Figures, Magnitudes]:
    """Return the counts of a finished scan that apply to the weight."""
    found = scan.result()
    matrix = not layout.is_flat
    lengths = {"rows": layout.columns, "columns": layout.rows}
    groups = tuple(
        Groups(n=n, m=m, axis=axis, groups=count, satisfied=satisfied)
        for n, m, axis, count, satisfied in found["groups"]
        if lengths[axis] >= m and (matrix or axis == "rows")
    )
    figures = Figures(
        elements=found["elements"],
        zeros=found["zeros"],
        rows=found["rows"] if matrix else 0,
        zero_rows=found["zero_rows"] if matrix else 0,
        channels=found["channels"] if matrix else 0,
        zero_channels=found["zero_channels"] if matrix else 0,
        groups=groups,
        blocks=tuple(Blocks(size=size, blocks=count, zero=zero) for size, count, zero in found["blocks"] if matrix),
        stored_bytes=packed_bytes(layout.dtype, found["elements"]),
    )
    return figures, Magnitudes(**found["magnitudes"])


def scan_array(array: np.ndarray[Any, Any], threads: int) -> Sparsity:
    """Scan a numpy array, including dtypes of `ml_dtypes`.

    Args:
        array: The array.
        threads: Number of threads.

    Returns:
        The scan, with one row.

    Raises:
        SparsityError: The dtype is not supported.
    """
    if not array.dtype.isnative:
        array = array.astype(array.dtype.newbyteorder("="))
    dtype = array.dtype.name
    if dtype in {"int4", "uint4"}:  # ml_dtypes stores one element per byte
        dtype = dtype.replace("4", "8")
    try:
        layout = Layout(dtype, array.shape, array.strides)
        figures, magnitudes = scan_memory(layout, array.__array_interface__["data"][0], threads)
    except ValueError as error:
        raise SparsityError(f"an array of {array.dtype} cannot be scanned: {error}") from error
    form = form_of_dtype(dtype)
    row = WeightSparsity(
        name="", form=form, dtype=array.dtype.name, shape=array.shape, figures=figures, magnitudes=magnitudes
    )
    return sparsity_of("array", (row,))


def form_of_dtype(dtype: str) -> str:
    """Return the form of a plain array: integers count as quantized."""
    return "quantized" if dtype.startswith(("int", "uint")) else "dense"


def with_bytes(figures: Figures, stored_bytes: int) -> Figures:
    """Return the counts with the actual bytes of the weight."""
    return replace(figures, stored_bytes=stored_bytes)


def element_only(figures: Figures) -> Figures:
    """Return element counts only, for weights whose order of elements is unknown."""
    return Figures(elements=figures.elements, zeros=figures.zeros, stored_bytes=figures.stored_bytes)
