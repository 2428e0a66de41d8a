"""Reader of `.safetensors` files without their library: eight bytes of length, a JSON header, and raw tensors."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any, NamedTuple

from ..errors import FileAccessError, InputError
from ..results.sparsity import Skipped, Sparsity, WeightSparsity
from . import SparsityError
from .arrays import LONGEST, Layout, form_of_dtype, packed_bytes, scan_windows, with_bytes
from .summary import sparsity_of
from .weights_file import WeightsFile

_DTYPES = {
    "F64": "float64",
    "F32": "float32",
    "F16": "float16",
    "BF16": "bfloat16",
    "F8_E4M3": "float8_e4m3fn",
    "F8_E5M2": "float8_e5m2",
    "F8_E4M3FNUZ": "float8_e4m3fnuz",
    "F8_E5M2FNUZ": "float8_e5m2fnuz",
    "F8_E8M0": "float8_e8m0fnu",
    "F4": "float4_e2m1fn_x2",
    "C64": "complex64",
    "I64": "int64",
    "I32": "int32",
    "I16": "int16",
    "I8": "int8",
    "U64": "uint64",
    "U32": "uint32",
    "U16": "uint16",
    "U8": "uint8",
    "BOOL": "bool",
}
_LENGTH_BYTES = 8
_LONGEST_HEADER = 100_000_000
"""Limit of the format's own library."""
_INDEX = ".index.json"
_SUFFIX = ".safetensors"
# Names of stored parts in torch.nn.utils.prune.
_KEPT, _MASK = "_orig", "_mask"


class Entry(NamedTuple):
    """A tensor in a file: its dtype in the file's notation, its shape, and the range of its bytes."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    start: int
    stop: int


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
    for file, expected in files_of(path).items():
        rows, left = _scan_file(file, threads, expected)
        for row in rows:
            if row.name in weights:
                raise SparsityError(f"{file}: tensor {row.name!r} is also in another file of {path}; expected it once")
            weights[row.name] = row
        skipped += left
    return sparsity_of(str(path), weights.values(), skipped)


def files_of(path: Path) -> dict[Path, frozenset[str] | None]:
    """Return the files of a path, each with the tensors that an index lists for it, or None without an index."""
    if path.is_dir():
        indices = sorted(path.glob(f"*{_SUFFIX}{_INDEX}"))
        if len(indices) > 1:
            names = ", ".join(index.name for index in indices)
            raise SparsityError(f"{path} has {len(indices)} indices ({names}); pass the path of one of them")
        if indices:
            return _indexed(indices[0])
        files = sorted(path.glob(f"*{_SUFFIX}"))
        if not files:
            raise SparsityError(f"{path} has no {_SUFFIX} files; expected a folder with a model's weights")
        return dict.fromkeys(files)
    return _indexed(path) if path.name.endswith(".json") else {path: None}


def _indexed(index: Path) -> dict[Path, frozenset[str] | None]:
    try:
        document = json.loads(index.read_text(encoding="utf-8"))
    except OSError as error:
        raise FileAccessError(f"{index} cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise SparsityError(f"{index} is not JSON ({error}); expected the index of {_SUFFIX} files") from error
    places = document.get("weight_map") if isinstance(document, dict) else None
    if not isinstance(places, dict) or not all(isinstance(file, str) for file in places.values()):
        raise SparsityError(
            f"{index} has no weight_map of names to files; expected model{_SUFFIX}{_INDEX}. Graphs and configs have "
            f"no weights: pass the {_SUFFIX} file or the folder"
        )
    files: dict[Path, frozenset[str] | None] = {}
    for file in dict.fromkeys(places.values()):
        if Path(file).name != file:
            raise SparsityError(f"{index} names the file {file!r}; expected a file in the same folder")
        files[index.parent / file] = frozenset(name for name, place in places.items() if place == file)
    return files


def entries(file: WeightsFile) -> list[Entry]:
    """Return the tensors of a file in the order of their bytes.

    Args:
        file: The open file.

    Returns:
        The tensors.

    Raises:
        SparsityError: The header or one of its entries is invalid.
    """
    if file.size < _LENGTH_BYTES:
        raise _wrong(file, f"has {file.size} bytes, expected {_LENGTH_BYTES} of length and a header")
    length = int.from_bytes(file.read(0, _LENGTH_BYTES), "little")
    begin = _LENGTH_BYTES + length
    if length > _LONGEST_HEADER or begin > file.size:
        raise _wrong(
            file,
            f"states a header of {length} bytes, but the file has {file.size}; it is truncated or of another format",
        )
    try:
        header = json.loads(file.read(_LENGTH_BYTES, begin), object_pairs_hook=_without_repeats)
    except (ValueError, RecursionError) as error:
        raise _wrong(file, f"has a header that is not JSON ({error})") from error
    if not isinstance(header, dict):
        raise _wrong(file, f"has a {type(header).__name__} as header, expected a JSON object")
    found = [_entry(file, name, entry, begin) for name, entry in header.items() if name != "__metadata__"]
    found.sort(key=lambda entry: (entry.start, entry.stop))
    at = begin
    for entry in found:
        if entry.start != at:
            raise _wrong(
                file,
                f"has tensor {entry.name!r} at byte {entry.start}; expected it at byte {at}, where the tensor before "
                "it ends: the offsets overlap or leave a gap",
            )
        at = entry.stop
    if at != file.size:
        raise _wrong(file, f"has {file.size - at} bytes behind its last tensor")
    return found


def _entry(file: WeightsFile, name: str, entry: Any, begin: int) -> Entry:
    try:
        dtype, shape, (start, stop) = entry["dtype"], tuple(entry["shape"]), entry["data_offsets"]
        if not isinstance(dtype, str) or not all(type(n) is int and 0 <= n <= LONGEST for n in (*shape, start, stop)):
            raise InputError("a size or an offset is not an integer from 0 to 2^48")
    except (KeyError, TypeError, ValueError) as error:
        raise _wrong(
            file, f"has {str(entry)[:120]} for tensor {name!r}, expected its dtype, shape and data_offsets ({error})"
        ) from error
    if stop < start or begin + stop > file.size:
        raise _wrong(
            file,
            f"should hold tensor {name!r} in bytes {begin + start} to {begin + stop}, but has {file.size}; it is "
            "truncated: download it again",
        )
    if dtype in _DTYPES:
        needed = packed_bytes(_DTYPES[dtype], math.prod(shape))
        if stop - start != needed:
            raise _wrong(
                file,
                f"holds {stop - start} bytes for tensor {name!r}, expected {needed} for {dtype} of shape {list(shape)}",
            )
    return Entry(name, dtype, shape, begin + start, begin + stop)


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    document = dict(pairs)
    if len(document) != len(pairs):
        known: set[str] = set()
        for name, _ in pairs:
            if name in known:
                raise InputError(f"{name!r} occurs twice")
            known.add(name)
    return document


def _wrong(file: WeightsFile, what: str) -> SparsityError:
    return SparsityError(f"{file.path} {what}. Expected a file written by safetensors")


def _scan_file(path: Path, threads: int, expected: frozenset[str] | None) -> tuple[list[WeightSparsity], list[Skipped]]:
    with WeightsFile(path) as file:
        found = {entry.name: entry for entry in entries(file)}
        if expected is not None and not expected <= found.keys():
            missing = sorted(expected - found.keys())[0]
            raise SparsityError(f"{path} has no tensor {missing!r}, which the index lists; download the file again")
        rows, skipped = [], []
        for name, entry in found.items():
            if name.endswith(_MASK) and f"{name.removesuffix(_MASK)}{_KEPT}" in found:
                continue  # applied with the weight that it masks
            if entry.dtype not in _DTYPES:
                skipped.append(Skipped(name, f"dtype {entry.dtype} is unknown, expected one of {', '.join(_DTYPES)}"))
                continue
            rows.append(_scan_entry(file, entry, found, threads))
        return rows, skipped


def _scan_entry(file: WeightsFile, entry: Entry, found: dict[str, Entry], threads: int) -> WeightSparsity:
    layout = Layout(_DTYPES[entry.dtype], entry.shape)
    plain = entry.name.removesuffix(_KEPT)
    mask = found.get(f"{plain}{_MASK}") if plain != entry.name else None
    whole = all(part is not None and part.dtype in _DTYPES and part.dtype != "F4" for part in (entry, mask))
    if mask is not None and mask.shape == entry.shape and whole and 0 not in entry.shape:
        figures, magnitudes = scan_windows(layout, lambda first, n: _masked(file, entry, mask, first, n), threads)
        stored = entry.stop - entry.start + mask.stop - mask.start
        return WeightSparsity(plain, "mask", layout.dtype, entry.shape, with_bytes(figures, stored), magnitudes)
    figures, magnitudes = file.scan(layout, entry.start, threads)
    return WeightSparsity(entry.name, form_of_dtype(layout.dtype), layout.dtype, entry.shape, figures, magnitudes)


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

    floating = _DTYPES[mask.dtype].startswith(("float", "bfloat"))
    bits = rows(mask)
    keep = bits << 1 if floating else bits  # negative zero also masks
    return np.where(keep != 0, rows(entry), 0).view(np.uint8)


def is_safetensors(path: Path) -> bool:
    """Whether the name of a path denotes such files."""
    return path.is_dir() or path.name.endswith((_SUFFIX, _INDEX))
