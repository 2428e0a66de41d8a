"""Meta twins of a module's inputs and weights."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch.nn.parameter import is_lazy

from ...errors import InputError, InputTypeError
from ..inputs import CappedSize
from ..tensors.tensor_parts import meta_twin, parts_of

if TYPE_CHECKING:
    from ..symbols import SizeSpace


class MetaInputs(NamedTuple):
    """Inputs of the module on meta.

    Attributes:
        args: Positional inputs.
        kwargs: Named inputs.
        tensors: Their meta tensors with names.
        given: Id of a meta tensor -> the real tensor that it represents.
        storage_elements: Id of a meta tensor of a KV cache -> number of elements of its storage, if it alone keeps a
            larger storage alive, as a window into the result of a prefill does.
    """

    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    tensors: list[tuple[str, torch.Tensor]]
    given: dict[int, torch.Tensor]
    storage_elements: dict[int, int]


def is_cache(name: str) -> bool:
    """Return whether an input of this name is a KV cache."""
    return name.startswith("past_key_value")


def meta_inputs(
    args: tuple[Any, ...], kwargs: dict[str, Any], dynamic: Mapping[Any, Any], sizes: SizeSpace
) -> MetaInputs:
    """Replace every tensor of the inputs by a meta tensor, with symbolic sizes for dimensions in `dynamic`.

    An integer among the inputs that `dynamic` names becomes that size.

    Raises:
        ValueError: `dynamic` names an input or a dimension that does not exist.
    """
    if not isinstance(args, tuple):
        raise InputTypeError(f"args is of type {type(args).__name__}; expected a tuple of inputs, such as (x,)")
    known = [*range(len(args)), *kwargs]
    for key in dynamic:
        if key not in known:
            listed = ", ".join(repr(k) for k in known)
            raise InputError(f"dynamic names input {key!r}; expected one of {listed}")
    tensors: list[tuple[str, torch.Tensor]] = []
    originals: list[tuple[str, torch.Tensor]] = []
    seen: dict[int, torch.Tensor] = {}
    given: dict[int, torch.Tensor] = {}

    def convert(value: Any, name: str, dims: Mapping[int, str]) -> Any:
        if isinstance(value, torch.Tensor):
            if id(value) not in seen:
                meta = seen[id(value)] = _meta_tensor(value, name, dims, sizes)
                tensors.append((name, meta))
                originals.append((name, value))
                if not dims:  # with symbolic sizes, the values of one example do not hold for others
                    # A sparse tensor is one part, whose values are not read.
                    twins = zip(parts_of(name, meta), parts_of(name, value), strict=False)
                    given.update({id(twin.tensor): part.tensor for twin, part in twins if _has_values(part.tensor)})
            return seen[id(value)]
        if type(value) is int and dims:
            return sizes.open(next(iter(dims.values())), value)
        if type(value) not in torch.utils._pytree.SUPPORTED_NODES:
            return value
        return torch.utils._pytree.tree_map_only(torch.Tensor, lambda tensor: convert(tensor, name, dims), value)

    new_args = tuple(convert(a, f"arg{i}", dynamic.get(i, {})) for i, a in enumerate(args))
    new_kwargs = {k: convert(v, k, dynamic.get(k, {})) for k, v in kwargs.items()}
    windows = _larger_storages([(name, tensor, seen[id(tensor)]) for name, tensor in originals])
    return MetaInputs(new_args, new_kwargs, tensors, given, windows)


def _has_values(tensor: torch.Tensor) -> bool:
    return tensor.device.type == "cpu" and tensor.layout is torch.strided


def _larger_storages(inputs: list[tuple[str, torch.Tensor, torch.Tensor]]) -> dict[int, int]:
    strided = [
        (name, t.untyped_storage(), t.element_size(), meta)
        for name, t, meta in inputs
        if type(t) is torch.Tensor and t.layout is torch.strided and not meta._has_symbolic_sizes_strides
    ]
    holders = Counter(storage._cdata for _, storage, _, _ in strided)
    return {
        id(meta): storage.nbytes() // width
        for name, storage, width, meta in strided
        if is_cache(name) and holders[storage._cdata] == 1 and storage.nbytes() > meta.numel() * width
    }


def _meta_tensor(tensor: torch.Tensor, name: str, dims: Mapping[int, str], sizes: SizeSpace) -> torch.Tensor:
    meta = _empty(tensor, name, dims, sizes)
    return meta.requires_grad_() if tensor.requires_grad and not torch.is_inference_mode_enabled() else meta


def _empty(tensor: torch.Tensor, name: str, dims: Mapping[int, str], sizes: SizeSpace) -> torch.Tensor:
    if tensor.layout is not torch.strided:
        if dims:
            raise InputError(f"dynamic names a dimension of input {name!r}, which is sparse; sparse sizes are fixed")
        return meta_twin(tensor, {})
    if not dims:
        return torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype, device="meta")
    shape: list[Any] = list(tensor.shape)
    for dim, size in dims.items():
        if not -len(shape) <= dim < len(shape):
            raise InputError(f"dynamic names dimension {dim} of input {name!r}, which has {len(shape)} dimensions")
        shape[dim] = _length(size, shape[dim], sizes)
    strides: list[Any] = list(tensor.stride())
    step: Any = 1
    for dim in reversed(_order_in_memory(tensor)):
        strides[dim] = step
        step = step * shape[dim]
    return torch.empty_strided(shape, strides, dtype=tensor.dtype, device="meta")


def _length(size: str, example: int, sizes: SizeSpace) -> Any:
    if isinstance(size, CappedSize):
        return torch.sym_min(sizes.open(str(size), size.value), size.most)  # type: ignore[no-untyped-call]
    return sizes.open(size, example)


def _order_in_memory(tensor: torch.Tensor) -> list[int]:
    """Return dimensions from slowest to fastest for a dense tensor, such as `channels_last`; else in given order."""
    given = list(range(tensor.dim()))
    strides = tensor.stride()
    order = sorted(given, key=lambda dim: -strides[dim])  # stable for equal strides
    step = 1
    for dim in reversed(order):
        if tensor.shape[dim] != 1 and strides[dim] != step:
            return given
        step *= tensor.shape[dim]
    return given if tensor.is_contiguous() else order


def stand_in(
    module: torch.nn.Module, *, with_numbers: bool = False
) -> tuple[dict[str, torch.Tensor], dict[int, torch.Tensor]]:
    """Return meta twins of a module's parameters and buffers: one name per place in a module, one twin per tensor.

    Tensors on meta have twins too, since a forward may write to a buffer or replace it. Outside of inference mode, a
    twin requires a gradient if its tensor does.

    Args:
        module: The module.
        with_numbers: Whether buffers that hold a single number have a real copy as their twin. Torch converts the
            scales and zero points of quantized modules to numbers before a dispatch mode sees the call.

    Returns:
        The twins by name; and id of a twin -> buffer that it represents, for buffers with values outside of the state
        dict, which no checkpoint replaces.
    """
    twins: dict[int, torch.Tensor] = {}
    named: dict[str, torch.Tensor] = {}
    certain: dict[int, torch.Tensor] = {}
    for path, owner in module.named_modules():  # a module registered under two names occurs once
        for name, tensor in (*owner._parameters.items(), *owner._buffers.items()):
            if tensor is None:
                continue
            if id(tensor) not in twins:
                wanted = tensor.requires_grad and not torch.is_inference_mode_enabled()
                if is_lazy(tensor):  # the forward gives it a shape
                    uninitialized: Any = type(tensor)
                    twins[id(tensor)] = uninitialized(wanted, device="meta", dtype=tensor.dtype)
                    named[f"{path}.{name}" if path else name] = twins[id(tensor)]
                    continue
                if with_numbers and tensor.numel() == 1 and not isinstance(tensor, torch.nn.Parameter):
                    twins[id(tensor)] = tensor.clone()
                twin = meta_twin(tensor, twins)
                if isinstance(tensor, torch.nn.Parameter):
                    twins[id(tensor)] = torch.nn.Parameter(twin, requires_grad=wanted)
                elif wanted:
                    twin.requires_grad_()
            named[f"{path}.{name}" if path else name] = twins[id(tensor)]
            if name in owner._non_persistent_buffers_set and tensor.device.type == "cpu":
                certain[id(twins[id(tensor)])] = tensor
    return named, certain
