"""Reference counts of a scan, computed naively from a mask of nonzero elements."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyinfercost.results.sparsity import Blocks, Figures, Groups

Used = NDArray[np.bool_]
KINDS = ((2, 4), (1, 4), (4, 8))
BLOCK_SIZES = (4, 8, 16, 32, 64)


def reference(used: Used, stored_bytes: int) -> Figures:
    """Return the figures of an array of any shape.

    Args:
        used: True for nonzero elements.
        stored_bytes: Copied to the result.
    """
    zeros = int(used.size - np.count_nonzero(used))
    if used.ndim < 2:
        row = used.reshape(1, -1)
        groups = tuple(_groups(row, n, m, "rows") for n, m in KINDS if used.size >= m)
        return Figures(elements=used.size, zeros=zeros, groups=groups, stored_bytes=stored_bytes)
    matrix = used.reshape(used.shape[0], int(np.prod(used.shape[1:])))
    channels = (
        used.reshape(*used.shape[:2], int(np.prod(used.shape[2:]))).any((0, 2)) if matrix.shape[1] else matrix[:0]
    )
    found = []
    for n, m in KINDS:
        if matrix.shape[1] >= m:
            found.append(_groups(matrix, n, m, "rows"))
        if matrix.shape[0] >= m:
            found.append(_groups(matrix.T, n, m, "columns"))
    return Figures(
        elements=used.size,
        zeros=zeros,
        rows=used.shape[0],
        zero_rows=int(np.count_nonzero(~matrix.any(1))),
        channels=len(channels),
        zero_channels=int(np.count_nonzero(~channels)),
        groups=tuple(found),
        blocks=tuple(_blocks(matrix, size) for size in BLOCK_SIZES),
        stored_bytes=stored_bytes,
    )


def _groups(matrix: Used, n: int, m: int, axis: str) -> Groups:
    padded = np.pad(matrix, ((0, 0), (0, -matrix.shape[1] % m)))
    kept = padded.reshape(matrix.shape[0], -1, m).sum(2) if padded.size else np.zeros((0,), dtype=int)
    return Groups(n=n, m=m, axis=axis, groups=kept.size, satisfied=int(np.count_nonzero(kept <= n)))


def _blocks(matrix: Used, size: int) -> Blocks:
    rows, columns = matrix.shape
    padded = np.pad(matrix, ((0, -rows % size), (0, -columns % size)))
    tiles = padded.reshape(padded.shape[0] // size, size, padded.shape[1] // size, size).any((1, 3))
    return Blocks(size=size, blocks=tiles.size, zero=int(np.count_nonzero(~tiles)))


def structured(rng: np.random.Generator, shape: tuple[int, ...], keep: float) -> Used:
    """Return a random mask of kept elements, occasionally without whole rows, columns and blocks."""
    used = rng.random(shape) < keep
    if used.ndim >= 2 and used.size:
        used[rng.random(shape[0]) < 0.3] = False
        used[:, rng.random(shape[1]) < 0.3] = False
        used[: shape[0] // 2, : shape[1] // 2] &= rng.random() < 0.5
    return used


def without_order(figures: Figures) -> dict[str, Any]:
    """Return the figures that do not depend on the order of elements."""
    return {"elements": figures.elements, "zeros": figures.zeros}
