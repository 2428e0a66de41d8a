"""Metadata of tensors as small numbers, and keys of calls whose results follow from metadata."""

from __future__ import annotations

from typing import Any

import torch

from ..tensors.packed_weights import PackedWeight
from . import quantized_kernels

PLAIN = frozenset({int, str, type(None), torch.dtype, torch.device, torch.layout, torch.memory_format, PackedWeight})
"""Types of arguments that are equal where they are `==`."""
TENSORS = frozenset({torch.Tensor, torch.nn.Parameter, quantized_kernels.QuantizedMeta})
"""Types of tensors whose metadata describes them."""


class Signatures:
    """Signatures of the tensors of one capture, all of which the capture keeps alive.

    Attributes:
        earlier: Id of a tensor that changed shape in place -> its earlier signatures, in order.
    """

    def __init__(self) -> None:
        self.earlier: dict[int, list[int]] = {}
        self._numbers: dict[tuple[Any, ...], int] = {}  # metadata -> index in `_metadata`
        self._metadata: list[tuple[Any, ...]] = []
        self._of_tensor: dict[int, int] = {}  # by id
        self._kept: list[torch.Tensor] = []

    def of(self, tensor: torch.Tensor) -> int:
        """Return a small number, equal for equal metadata. Raises TypeError for a tensor with more than that."""
        known = self._of_tensor.get(id(tensor))
        if known is not None:
            return known
        if type(tensor) not in TENSORS or tensor.layout is not torch.strided:
            raise TypeError
        if tensor.dtype.is_complex:  # metadata does not include the conjugate bit
            raise TypeError
        number = self._number(tensor)
        self._of_tensor[id(tensor)] = number
        self._kept.append(tensor)
        return number

    def _number(self, tensor: torch.Tensor) -> int:
        metadata = (
            tensor.dtype,
            (tensor.device.type, tensor.is_inference()),  # torch keeps view versions for other tensors
            tuple([_size_key(s) for s in tensor.shape]),
            tuple([_size_key(s) for s in tensor.stride()]),
        )
        number = self._numbers.setdefault(metadata, len(self._metadata))
        if number == len(self._metadata):
            self._metadata.append(metadata)
        return number

    def reshape(self, tensor: torch.Tensor) -> None:
        """Note that the metadata of a tensor is about to change in place: later calls see another one."""
        self.earlier.setdefault(id(tensor), []).append(self._number(tensor))
        self._of_tensor.pop(id(tensor), None)

    def metadata(self, signature: int) -> tuple[Any, ...]:
        """Return the metadata of a signature: dtype, device, lengths, strides."""
        return self._metadata[signature]

    def key(self, values: Any) -> Any:
        """Return a key of arguments, equal for those with equal results. Raises TypeError if there is none."""
        parts: list[Any] = []
        for value in values:
            kind = type(value)
            if kind in PLAIN:
                parts.append(value)
            elif kind is bool or kind is float:  # True == 1 == 1.0, but they are different arguments
                parts.append((kind, value))
            elif kind is list or kind is tuple:
                parts.append(self.key(value))
            elif kind is torch.SymInt:
                parts.append(value.node.expr)
            elif isinstance(value, torch.Tensor):
                parts.append(("tensor", self._of_tensor.get(id(value)) or self.of(value)))
            else:
                raise TypeError
        return tuple(parts)

    def sign(self, result: Any) -> Any:
        """Return the signatures of a result; None if it cannot be copied."""
        try:
            if isinstance(result, torch.Tensor):
                return None if result.device.type != "meta" else self.of(result)
            if isinstance(result, list | tuple) and all(isinstance(r, torch.Tensor) for r in result):
                return [self.sign(r) for r in result] if all(r.device.type == "meta" for r in result) else None
        except TypeError:
            return None
        return None

    def copy(self, result: Any, signatures: Any) -> Any:
        """Return a copy of a result's metadata, with the signatures that `sign` returned for the result."""
        if type(result) is list or type(result) is tuple:
            return type(result)(self.copy(r, s) for r, s in zip(result, signatures, strict=True))
        copy = result.data
        self._of_tensor[id(copy)] = signatures
        return copy


def _size_key(size: Any) -> Any:
    return size if type(size) is int else size.node.expr
