"""Tensors made of other tensors, such as quantized weights: the tensors in memory, and their meta twins.

Such a tensor is a subclass with `__tensor_flatten__`, which names its inner tensors, and `__tensor_unflatten__`, which
creates one from them. A twin is the same subclass around meta twins of the inner tensors, so that a forward passes
through the subclass's own dispatch and reaches the operators on the tensors in memory.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch.utils._python_dispatch import is_traceable_wrapper_subclass

from ...errors import UnsupportedError

if TYPE_CHECKING:
    from torch._ops import OpOverload

PLAIN = frozenset({torch.Tensor, torch.nn.Parameter})
"""Tensor types without inner tensors."""


class Part(NamedTuple):
    """One tensor in memory.

    Attributes:
        name: Name of the whole tensor, and the position in it: `fc.weight[qdata]`.
        tensor: The tensor.
        logical_numel: Number of elements of the whole tensor stored in it: more than its own for packed data, 0 for
            scales; None for the whole tensor itself.
    """

    name: str
    tensor: torch.Tensor
    logical_numel: int | None


def parts_of(name: str, tensor: torch.Tensor) -> list[Part]:
    """Return the tensors in memory of a tensor: itself, or the inner ones of a subclass.

    The largest one stores all elements; scales and zero points add bytes but no elements.
    """
    if not _is_made_of_parts(tensor):
        return [Part(name, tensor, None)]
    inner = list(_flattened(name, tensor))
    largest = max(range(len(inner)), key=lambda i: inner[i][1].nbytes)
    return [Part(*part, tensor.numel() if i == largest else 0) for i, part in enumerate(inner)]


def meta_twin(tensor: torch.Tensor, twins: dict[int, torch.Tensor]) -> torch.Tensor:
    """Return a tensor of the same type and metadata on the meta device.

    Args:
        tensor: Any tensor.
        twins: Id -> existing twin; new twins are added, so that shared tensors stay shared.

    Returns:
        The twin.
    """
    if id(tensor) not in twins:
        twins[id(tensor)] = _twin_of_parts(tensor, twins) if _is_made_of_parts(tensor) else _plain_twin(tensor)
    return twins[id(tensor)]


def call_on_parts(op: OpOverload, types: Iterable[type], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Run an operator on tensors made of others: their own dispatch calls operators on the tensors in memory.

    Raises:
        NotImplementedError: None of the types implements the operator.
    """
    refused = ""
    for kind in types:
        try:
            result = kind.__torch_dispatch__(op, types, args, kwargs)  # type: ignore[attr-defined]
        except NotImplementedError as error:
            refused = f": {error}" if str(error) else refused
            continue
        if result is not NotImplemented:
            return result
    # Outside of inference mode, torch decomposes such an operator before a subclass sees it.
    result = op.decompose(*args, **kwargs)
    if result is NotImplemented:
        names = ", ".join(kind.__name__ for kind in types)
        raise UnsupportedError(f"{op} is implemented by none of the tensor types {names}{refused}")
    return result


def _plain_twin(tensor: torch.Tensor) -> torch.Tensor:
    if tensor.layout is not torch.strided:
        from .sparse_tensors import sparse_twin

        return sparse_twin(tensor)
    return torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype, device="meta")


def _twin_of_parts(tensor: Any, twins: dict[int, torch.Tensor]) -> torch.Tensor:
    names, context = tensor.__tensor_flatten__()
    inner = {name: meta_twin(getattr(tensor, name), twins) for name in names}
    twin: torch.Tensor = type(tensor).__tensor_unflatten__(inner, context, tensor.shape, tensor.stride())
    return twin


def _is_made_of_parts(tensor: Any) -> bool:
    return type(tensor) not in PLAIN and is_traceable_wrapper_subclass(tensor)


def _flattened(name: str, tensor: Any) -> Iterator[tuple[str, torch.Tensor]]:
    if not _is_made_of_parts(tensor):
        yield name, tensor
        return
    for part in tensor.__tensor_flatten__()[0]:
        yield from _flattened(f"{name}[{part}]", getattr(tensor, part))
