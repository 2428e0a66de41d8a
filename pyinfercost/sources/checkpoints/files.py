"""Safetensors files in the folder of a config: stored parts of each weight of a model, from their headers alone."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ..._checks import is_file, read_json
from ..._core import dtypes, element_bits
from ...formats.checkpoints import Checkpoint
from ...formats.stored_weights import Metadata
from ..loaded_model import SpecError
from ..safetensors_headers import DTYPES, Entry, files_of, read_header
from .names import Names

if TYPE_CHECKING:
    from torch import nn

    from ...formats.table import Format

INDEX = "model.safetensors.index.json"
_ONLY = "model.safetensors"
_WIDE = ("F64", "F32", "BF16", "F16")
# Endings of the parts of a fused weight, which have no dot before them: `experts.down_proj_blocks`.
_FUSED_PART = re.compile(r"(.+)_(blocks|scales|scale_inv|scale_2|scale|packed|zero_point|zp_bias)")
_VALUE_BITS = {row.name: row.value_bits for row in dtypes()}
_EXPERT = re.compile(r"experts\.\d+")


@dataclass(frozen=True)
class Files:
    """Tensors of the files of a checkpoint.

    Attributes:
        entries: The tensors; none if the files themselves are not there.
        names: Names of all tensors, also from an index without its files.
        size: Bytes of all tensors; None if an index without its files does not state them.
    """

    entries: tuple[Entry, ...]
    names: tuple[str, ...]
    size: int | None

    @property
    def wide_dtype(self) -> str | None:
        """Dtype of most bytes of floating-point tensors that are not quantized; None if there are none."""
        sizes: dict[str, int] = {}
        for entry in self.entries:
            if entry.dtype in _WIDE:
                sizes[entry.dtype] = sizes.get(entry.dtype, 0) + nbytes(entry)
        return DTYPES[max(sizes, key=lambda dtype: sizes[dtype])] if sizes else None


def nbytes(entry: Entry) -> int:
    """Return the bytes of a tensor."""
    return entry.stop - entry.start


def files_beside(folder: Path) -> Files | None:
    """Return the tensors of a folder's safetensors files; None if it has none. Only headers are read.

    Args:
        folder: The folder of a config.

    Raises:
        SpecError: A file or an index is damaged.
    """
    index = folder / INDEX
    if is_file(index):
        places = files_of(index, SpecError)
        missing = [path for path in places if not is_file(path)]
        if missing:
            return _of_index(index, [name for names in places.values() for name in names or ()])
    elif is_file(folder / _ONLY):
        places = files_of(folder / _ONLY, SpecError)
    elif any(folder.glob("*.safetensors")):
        places = files_of(folder, SpecError)
    else:
        return None
    entries = tuple(entry for path in places for entry in read_header(path, SpecError))
    return Files(entries, tuple(entry.name for entry in entries), sum(map(nbytes, entries)))


def _of_index(index: Path, names: Iterable[str]) -> Files:
    document: Any = read_json(index, SpecError)
    metadata = document.get("metadata")
    size = metadata.get("total_size") if isinstance(metadata, dict) else None
    return Files((), tuple(names), int(size) if isinstance(size, int | float) and size > 0 else None)


class Owners:
    """Finds the parameter of a model that a tensor of a checkpoint belongs to.

    Args:
        model: The model. Its library knows the names that its checkpoints use.
    """

    def __init__(self, model: nn.Module) -> None:
        self._parameters = {name for name, _ in model.named_parameters(remove_duplicate=False)}
        self._parameters |= {name for name, _ in model.named_buffers(remove_duplicate=False)}
        # Tensors of all experts belong to the same parameter if the model has stacks of experts.
        self._stacked = not any(_EXPERT.search(name) for name in self._parameters)
        self._found: dict[str, str | None] = {}
        self._prefix = getattr(model, "base_model_prefix", "") or ""
        self._names = Names(model)

    def owner(self, name: str) -> str | None:
        """Return the name of the parameter; None if the model has none."""
        if self._stacked:
            name = _EXPERT.sub("experts.0", name)
        if name not in self._found:
            self._found[name] = self._owner(name)
        return self._found[name]

    def _owner(self, name: str) -> str | None:
        if (found := self._known(name)) is not None:
            return found
        stem, _, last = name.rpartition(".")
        if ".weight." in name:  # bitsandbytes: `weight.absmax`
            stem = name.partition(".weight.")[0]
        if (found := self._known(f"{stem}.weight")) is not None:
            return found
        fused = _FUSED_PART.fullmatch(last)
        return None if fused is None else self._known(f"{stem}.{fused[1]}")

    def _known(self, name: str) -> str | None:
        name = self._names.of_model(name)
        for each in (name, f"{self._prefix}.{name}", name.removeprefix(f"{self._prefix}.")):
            if each in self._parameters:
                return each
        return None


class Part(NamedTuple):
    """Tensors of one kind that belong to a weight, such as the scales of all experts."""

    kind: str
    dtype: str
    nbytes: int


def as_in_files(checkpoint: Checkpoint, elements: Mapping[str, int], files: Files, owners: Owners) -> Checkpoint:
    """Return a checkpoint whose weights have the tensors that the files store.

    A weight that the files store in full precision has no format. Scales and the like replace those that a format
    defines. A weight of other bits than the config states keeps the config's format.

    Args:
        checkpoint: Storage by the config.
        elements: Name of a weight -> number of its elements.
        files: The files.
        owners: Owners of tensors.
    """
    parts: dict[str, dict[str, Part]] = {}
    for entry in files.entries:
        owner = owners.owner(entry.name)
        if owner is not None and owner in checkpoint.formats:
            kind = _kind(entry.name)
            known = parts.setdefault(owner, {}).get(kind)
            parts[owner][kind] = Part(kind, entry.dtype, nbytes(entry) + (known.nbytes if known else 0))
    formats, metadata = dict(checkpoint.formats), dict(checkpoint.metadata)
    for name, kinds in parts.items():
        largest = max(kinds.values(), key=lambda part: part.nbytes)
        bits = 8 * largest.nbytes / elements[name]
        if largest.dtype in _WIDE and bits == _bits(largest.dtype):
            del formats[name]
        elif bits == _VALUE_BITS[formats[name].dtype]:
            metadata[name] = tuple(_metadata(part) for part in kinds.values() if part is not largest)
    return Checkpoint(checkpoint.method, formats, metadata)


def _kind(name: str) -> str:
    last = name.rpartition(".")[2]
    fused = _FUSED_PART.fullmatch(last)
    return fused[2] if fused is not None and not last.startswith("weight") else last


def _metadata(part: Part) -> Metadata:
    dtype = DTYPES.get(part.dtype, "uint8")
    return Metadata(part.kind, dtype, part.nbytes * 8 // element_bits(dtype))


def _bits(dtype: str) -> int:
    return element_bits(DTYPES[dtype])


def described_bytes(model: nn.Module, checkpoint: Checkpoint | None) -> int:
    """Return the bytes of a model's weights and stored buffers as a config describes them.

    Args:
        model: The model.
        checkpoint: Storage by the config; None for weights in their dtype.
    """
    formats = {} if checkpoint is None else checkpoint.formats
    buffers = dict(model.named_buffers())
    stored = [*model.named_parameters(), *((name, buffers[name]) for name in model.state_dict() if name in buffers)]
    return sum(
        _stored_bytes(formats[name], tuple(tensor.shape)) if name in formats else tensor.numel() * tensor.element_size()
        for name, tensor in stored
    )


def _stored_bytes(form: Format, shape: tuple[int, ...]) -> int:
    *stack, rows, columns = shape
    elements = prod(shape)
    size = elements * _VALUE_BITS[form.dtype] / 8
    scales = prod(stack) * -(-rows // (form.rows or rows)) * -(-columns // (form.group or columns))
    for dtype in filter(None, (form.scale, form.zero)):
        size += scales * _VALUE_BITS[dtype] / 8
    if form.outer is not None:
        size += 4 * scales / form.outer
    if form.index is not None:
        size += prod(stack) * columns * _VALUE_BITS[form.index] / 8
    return int(size)
