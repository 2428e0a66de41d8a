"""How a GGUF file stores the weights of a model of `transformers`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...formats.checkpoints import Checkpoint
from ...formats.stored_weights import Metadata
from ..loaded_model import SpecError
from ..notices import warn
from .names import is_built_in, tensors_of

if TYPE_CHECKING:
    from torch import nn

    from ...formats.table import Format
    from .architectures import Architecture
    from .files import GgufModel
    from .reading import Tensor

_NAMED = 3
"""Tensors that a message names."""
_MATRIX = 2  # dimensions
_BITS = {"int2": 2, "int4": 4, "int8": 8, "float4_e2m1fn_x2": 8, "uint8": 8}


class StoredGguf:
    """The weights of a GGUF file.

    Args:
        model: The file.
        architecture: Its architecture.
    """

    def __init__(self, model: GgufModel, architecture: Architecture) -> None:
        self._model, self._architecture = model, architecture

    @property
    def dtype(self) -> str:
        """Dtype of activations: the 16-bit float dtype of most bytes of matrices, or float16 without any.

        llama.cpp computes between products in float32, on any device; its memory between kernels is not modeled apart
        from its cache.
        """
        sizes: dict[str, int] = {}
        for tensor in self._model.tensors.values():
            if len(tensor.shape) >= _MATRIX and tensor.type.dtype in ("float16", "bfloat16"):
                sizes[tensor.type.dtype] = sizes.get(tensor.type.dtype, 0) + tensor.nbytes
        return max(sizes, key=lambda dtype: sizes[dtype]) if sizes else "float16"

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
            tensors = tensors_of(name, self._model, self._architecture.own_names)
            if not tensors:
                if isinstance(parameter, _parameter_class()):
                    missing.append(name)
                continue
            read.update(tensor.name for tensor in tensors)
            self._check_size(name, tuple(parameter.shape), tensors)
            blocks = [tensor.type.form for tensor in tensors if tensor.type.form is not None]
            if not blocks:
                dtypes[name] = max(tensors, key=lambda tensor: tensor.type.nbytes).type.dtype
                continue
            form = min(blocks, key=_element_bits)
            formats[name] = form
            if len({tensor.type.number for tensor in tensors}) > 1:
                elements = parameter.numel() * _element_bits(form) // 8
                total = sum(tensor.nbytes for tensor in tensors)
                metadata[name] = (Metadata("block", "uint8", total - int(elements)),)
        if missing:
            raise SpecError(
                f"{self._model.spec} has no tensors for {len(missing):,} weights of a {type(model).__name__}, such as "
                f"{', '.join(missing[:_NAMED])}; expected a complete {self._architecture.name}"
            )
        self._warn_of_others(read)
        return Checkpoint("GGUF", formats, metadata, dtypes)

    def _check_size(self, name: str, shape: tuple[int, ...], tensors: list[Tensor]) -> None:
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
        if len(shape) < _MATRIX and any(tensor.type.form is not None for tensor in tensors):
            raise SpecError(f"{self._model.spec}: {listed} is a vector in blocks; expected F32, F16 or BF16")

    def _warn_of_others(self, read: set[str]) -> None:
        others = [t for name, t in self._model.tensors.items() if name not in read and not is_built_in(name)]
        if others:
            named = ", ".join(tensor.name for tensor in others[:_NAMED]) + (", ..." if len(others) > _NAMED else "")
            text = (
                f"{self._model.spec}: {len(others):,} of {len(self._model.tensors):,} tensors with "
                f"{sum(tensor.nbytes for tensor in others):,} bytes belong to no part of the model: {named}"
            )
            warn(text)


def _element_bits(form: Format) -> float:
    """Return the bits that a weight takes of an element of a format, without metadata."""
    return _BITS[form.dtype] / form.values


def _parameter_class() -> type:
    from torch import nn

    return nn.Parameter
