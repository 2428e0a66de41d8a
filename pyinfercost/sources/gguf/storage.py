"""How a GGUF file stores the weights of a model of `transformers`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ...formats.checkpoints import Checkpoint
from ...formats.ggml import GGML_TYPES
from ...formats.stored_weights import Metadata
from ..loaded_model import SpecError
from ..notices import warn

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import nn

    from ... import _core
    from ...formats.table import Format

_BUILT_IN = re.compile(
    r"rope_freqs\.weight|rope_factors_(long|short)\.weight|blk\.\d+\.(rope_freqs|attn_rot_embd)\.weight"
)
"""Tensors that models of `transformers` compute when they are built: tables of rotations."""
_NAMED = 3
"""Tensors that a message names."""
_MATRIX = 2  # dimensions
_BITS = {"int2": 2, "int4": 4, "int8": 8, "float4_e2m1fn_x2": 8, "uint8": 8}


class StoredGguf:
    """The weights of a GGUF file.

    Args:
        model: The file.
        dtype: Dtype of activations.
    """

    def __init__(self, model: _core.GgufModel, dtype: str) -> None:
        self._model, self._dtype = model, dtype

    @property
    def dtype(self) -> str:
        """Dtype of activations."""
        return self._dtype

    def checkpoint(self, model: nn.Module) -> Checkpoint:
        """Return the storage of the weights of a model.

        Tensors that belong to no part of the model are a `CheckpointSizeWarning`.

        Args:
            model: The model, on the meta device.

        Raises:
            SpecError: The file lacks a weight of the model, or has one of another size.
        """
        formats: dict[str, Format] = {}
        metadata: dict[str, tuple[Metadata, ...]] = {}
        dtypes: dict[str, str] = {}
        read: set[str] = set()
        missing: list[str] = []
        for name, parameter in [*model.named_parameters(), *model.named_buffers()]:
            stored = self._model.stored(name)
            if stored is None:
                if isinstance(parameter, _parameter_class()):
                    missing.append(name)
                continue
            tensors, number, is_mixed = stored
            read.update(tensor.name for tensor in tensors)
            self._check_size(name, tuple(parameter.shape), tensors)
            form = GGML_TYPES[number].form
            if form is None:
                dtypes[name] = GGML_TYPES[number].dtype
                continue
            formats[name] = form
            if is_mixed:
                elements = parameter.numel() * _element_bits(form) // 8
                total = sum(tensor.nbytes for tensor in tensors)
                metadata[name] = (Metadata("block", "uint8", total - int(elements)),)
        if missing:
            raise SpecError(
                f"{self._model.spec} has no tensors for {len(missing):,} weights of a {type(model).__name__}, such as "
                f"{', '.join(missing[:_NAMED])}; expected a complete {self._model.architecture}"
            )
        self._warn_of_others(read)
        return Checkpoint("GGUF", formats, metadata, dtypes)

    def _check_size(self, name: str, shape: tuple[int, ...], tensors: Sequence[_core.GgufTensor]) -> None:
        elements = 1
        for length in shape:
            elements *= length
        stored = sum(tensor.elements for tensor in tensors)
        listed = ", ".join(f"{tensor.name} {list(tensor.shape)}" for tensor in tensors[:_NAMED])
        if stored != elements:
            raise SpecError(
                f"{self._model.spec}: {listed} has {stored:,} elements, and {name} of its settings has {elements:,} "
                f"({list(shape)}); expected settings that describe the tensors"
            )
        if len(shape) < _MATRIX and any(tensor.type.format for tensor in tensors):
            raise SpecError(f"{self._model.spec}: {listed} is a vector in blocks; expected F32, F16 or BF16")

    def _warn_of_others(self, read: set[str]) -> None:
        tensors = self._model.tensors
        others = [t for t in tensors if t.name not in read and not _BUILT_IN.fullmatch(t.name)]
        if others:
            named = ", ".join(tensor.name for tensor in others[:_NAMED]) + (", ..." if len(others) > _NAMED else "")
            text = (
                f"{self._model.spec}: {len(others):,} of {len(tensors):,} tensors with "
                f"{sum(tensor.nbytes for tensor in others):,} bytes belong to no part of the model: {named}"
            )
            warn(text)


def _element_bits(form: Format) -> float:
    """Return the bits that a weight takes of an element of a format, without metadata."""
    return _BITS[form.dtype] / form.values


def _parameter_class() -> type:
    from torch import nn

    return nn.Parameter
