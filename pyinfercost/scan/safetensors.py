"""Scan of `.safetensors` files, without their library."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from ..results.sparsity import Skipped, Sparsity, WeightSparsity
from ..sources.safetensors_headers import DTYPES, Entry, entries, files_of
from . import SparsityError
from .arrays import Layout, form_of_dtype, scan_windows, with_bytes
from .summary import sparsity_of
from .weights_file import WeightsFile

# Names of stored parts in torch.nn.utils.prune.
_KEPT, _MASK = "_orig", "_mask"


def scan_safetensors(path: Path, threads: int) -> Sparsity:
    """Scan one file, or the folder or index of several.

    Args:
        path: Path of the file, folder or index.
        threads: Number of threads.

    Returns:
        The scan.

    Raises:
        SparsityError: The file is of another format or damaged.
    """
    weights: dict[str, WeightSparsity] = {}
    skipped: list[Skipped] = []
    for file, expected in files_of(path, SparsityError).items():
        rows, left = _scan_file(file, threads, expected)
        for row in rows:
            if row.name in weights:
                raise SparsityError(f"{file}: tensor {row.name!r} is also in another file of {path}; expected it once")
            weights[row.name] = row
        skipped += left
    return sparsity_of(str(path), weights.values(), skipped)


def _scan_file(path: Path, threads: int, expected: frozenset[str] | None) -> tuple[list[WeightSparsity], list[Skipped]]:
    with WeightsFile(path) as file:
        found = {entry.name: entry for entry in entries(file, SparsityError)}
        if expected is not None and not expected <= found.keys():
            missing = sorted(expected - found.keys())[0]
            raise SparsityError(f"{path} has no tensor {missing!r}, which the index lists; download the file again")
        rows, skipped = [], []
        for name, entry in found.items():
            if name.endswith(_MASK) and f"{name.removesuffix(_MASK)}{_KEPT}" in found:
                continue  # applied with the weight that it masks
            if entry.dtype not in DTYPES:
                skipped.append(
                    Skipped(name=name, reason=f"dtype {entry.dtype} is unknown, expected one of {', '.join(DTYPES)}")
                )
                continue
            rows.append(_scan_entry(file, entry, found, threads))
        return rows, skipped


def _scan_entry(file: WeightsFile, entry: Entry, found: dict[str, Entry], threads: int) -> WeightSparsity:
    layout = Layout(DTYPES[entry.dtype], entry.shape)
    plain = entry.name.removesuffix(_KEPT)
    mask = found.get(f"{plain}{_MASK}") if plain != entry.name else None
    whole = all(part is not None and part.dtype in DTYPES and part.dtype != "F4" for part in (entry, mask))
    if mask is not None and mask.shape == entry.shape and whole and 0 not in entry.shape:
        figures, magnitudes = scan_windows(layout, lambda first, n: _masked(file, entry, mask, first, n), threads)
        stored = entry.stop - entry.start + mask.stop - mask.start
        name, form, figures = plain, "mask", with_bytes(figures, stored)
    else:
        figures, magnitudes = file.scan(layout, entry.start, threads)
        name, form = entry.name, form_of_dtype(layout.dtype)
    return WeightSparsity(
        name=name, form=form, dtype=layout.dtype, shape=entry.shape, figures=figures, magnitudes=magnitudes
    )


def _masked(file: WeightsFile, entry: Entry, mask: Entry, first: int, count: int) -> Any:
    """Return rows of a weight with its mask applied, as bytes."""
    import numpy as np

    def rows(part: Entry) -> Any:
        elements = math.prod(part.shape)
        width = (part.stop - part.start) // max(1, elements)
        per_row = elements // max(1, part.shape[0]) if len(part.shape) > 1 else elements
        start = part.start + first * per_row * width
        stop = start + count * per_row * width
        return np.frombuffer(file.read(start, stop), dtype=f"u{width}")

    floating = DTYPES[mask.dtype].startswith(("float", "bfloat"))
    bits = rows(mask)
    keep = bits << 1 if floating else bits  # negative zero also masks
    return np.where(keep != 0, rows(entry), 0).view(np.uint8)
