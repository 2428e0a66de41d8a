"""Scans of weights given by a path or a spec."""

from __future__ import annotations

from math import prod
from pathlib import Path
from typing import TYPE_CHECKING

from .._checks import exists, is_folder
from ..errors import MissingFileError
from ..results.sparsity import Skipped, Sparsity, WeightSparsity
from ..sources.registry import CALLABLE, source_of
from ..sources.safetensors_headers import is_safetensors
from . import SparsityError
from .arrays import Layout, form_of_dtype, is_scanned, packed_bytes, scan_memory
from .safetensors import scan_safetensors
from .summary import sparsity_of
from .weights_file import WeightsFile

if TYPE_CHECKING:
    from ..sources.exported.archive_weights import Weight

_EXPECTED = (
    "a .safetensors file, a folder of them or their .index.json, a .pt2 or .onnx file, or package.module:callable "
    "that returns a module with weights"
)


def scan_path(path: str, threads: int) -> Sparsity:
    """Scan the weights of a path or a spec.

    Args:
        path: Path of a file or folder, or a spec.
        threads: Number of threads.

    Returns:
        The scan.

    Raises:
        SparsityError: There are no weights.
        MissingFileError: There is no such file.
    """
    source = source_of(path)
    if source is not None and source.scheme:
        folder = path.removeprefix(f"{source.scheme}:").partition("#")[0]
        there = (
            " (the folder has its weights: leave out hf:)"
            if source.name == "huggingface" and is_folder(Path(folder))
            else ""
        )
        raise SparsityError(f"{path} is built without weights{there}; expected {_EXPECTED}")
    place = Path(path)
    if not exists(place):
        if source is CALLABLE and not place.suffix:
            return _scan_spec(path, threads)
        raise MissingFileError(f"{path}: no such file; expected {_EXPECTED}")
    if is_safetensors(place):
        return scan_safetensors(place, threads)
    if source is not None and source.name == "archive":
        return _scan_archive(place, threads)
    if source is not None and source.name == "onnx":
        return _scan_onnx(place, threads)
    if place.suffix == ".json":
        return scan_safetensors(place, threads)  # an index with another name; raises for other JSON
    if place.suffix in {".pt", ".pth", ".bin", ".ckpt"}:
        raise SparsityError(
            f"{path} may be a pickle, which can run arbitrary code, and is not opened; load it with torch.load and "
            "pass the module, or save its tensors with safetensors.torch.save_file"
        )
    raise SparsityError(f"{path} is not a known file of weights; expected {_EXPECTED}")


def _scan_spec(spec: str, threads: int) -> Sparsity:
    from ..sources.loaded_model import building_on
    from ..sources.models import load_model
    from .modules import scan_module

    with building_on("cpu"):
        loaded = load_model(spec, {})
    return scan_module(loaded.module, threads, model=spec)


def _scan_archive(path: Path, threads: int) -> Sparsity:
    from ..sources.exported.archive_weights import Archive, weights

    found = weights(path)
    with Archive(path) as archive:
        first_names = archive.tied_names()
    aliases: dict[str, list[str]] = {}
    for name in found:
        if first_names[name] != name:
            aliases.setdefault(first_names[name], []).append(name)
    rows, skipped = [], []
    with WeightsFile(path) as file:
        for name, weight in found.items():
            if first_names[name] != name or not weight.is_parameter:
                continue
            if not is_scanned(weight.dtype):
                skipped.append(Skipped(name=name, reason=f"dtype {weight.dtype} is not scanned"))
                continue
            nbytes = packed_bytes(weight.dtype, prod(weight.shape))
            if nbytes > weight.stored_bytes:  # as of `expand`, whose size has no limit
                skipped.append(
                    Skipped(name=name, reason=f"its {nbytes:,} bytes overlap in {weight.stored_bytes:,} stored ones")
                )
                continue
            rows.append(_archived(file, name, weight, tuple(aliases.get(name, ())), threads))
    return sparsity_of(str(path), rows, skipped)


def _scan_onnx(path: Path, threads: int) -> Sparsity:
    import numpy as np

    from ..sources.onnx.graph_writer import role_of
    from ..sources.onnx.model_files import weights

    rows, skipped = [], []
    for stored in weights(path):
        if role_of(stored) != "parameter":
            continue
        layout = Layout(stored.dtype, stored.shape)
        if not is_scanned(stored.dtype):
            skipped.append(Skipped(name=stored.name, reason=f"dtype {stored.dtype} is not scanned"))
            continue
        if stored.is_external:
            place, offset = stored.place()
            with WeightsFile(place) as file:
                figures, magnitudes = file.scan(layout, offset, threads)
        else:
            raw = stored.raw()
            array = stored.array() if raw is None else np.frombuffer(raw, dtype=np.uint8)
            if array is None or array.nbytes != stored.stored_bytes:
                skipped.append(Skipped(name=stored.name, reason="its values are stored in a form that is not scanned"))
                continue
            figures, magnitudes = scan_memory(layout, array.ctypes.data, threads)
        form = form_of_dtype(stored.dtype)
        rows.append(
            WeightSparsity(
                name=stored.name,
                form=form,
                dtype=stored.dtype,
                shape=stored.shape,
                figures=figures,
                magnitudes=magnitudes,
            )
        )
    return sparsity_of(str(path), rows, skipped)


def _archived(file: WeightsFile, name: str, weight: Weight, aliases: tuple[str, ...], threads: int) -> WeightSparsity:
    import numpy as np

    width = packed_bytes(weight.dtype, 1)
    layout = Layout(weight.dtype, weight.shape, tuple(width * stride for stride in weight.strides))
    if not layout.inner() and layout.row_stride() in {None, width * layout.columns}:
        figures, magnitudes = file.scan(Layout(weight.dtype, weight.shape), weight.offset, threads)
    else:
        data = np.frombuffer(file.read(weight.offset, weight.offset + weight.stored_bytes), dtype=np.uint8)
        figures, magnitudes = scan_memory(layout, data.ctypes.data, threads)
    form = form_of_dtype(weight.dtype)
    return WeightSparsity(
        name=name,
        form=form,
        dtype=weight.dtype,
        shape=weight.shape,
        figures=figures,
        magnitudes=magnitudes,
        aliases=aliases,
    )
