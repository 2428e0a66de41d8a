"""Meta twins of a module's inputs and weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import torch

if TYPE_CHECKING:
    from .symbols import SizeSpace


class MetaInputs(NamedTuple):
    """What to call the module on.

    Attributes:
        args: positional inputs.
        kwargs: named inputs.
        tensors: the meta tensors among them, with a name for each.
        given: id of a meta tensor -> the real tensor that it stands for.
    """

    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    tensors: list[tuple[str, torch.Tensor]]
    given: dict[int, torch.Tensor]


def meta_inputs(
    args: tuple[Any, ...], kwargs: dict[str, Any], dynamic: Mapping[Any, Any], sizes: SizeSpace
) -> MetaInputs:
    """Replaces every tensor of the inputs by a meta tensor, with open sizes where `dynamic` names them.

    Raises:
        ValueError: `dynamic` names an input or a dimension that is not there.
    """
    if not isinstance(args, tuple):
        raise TypeError(f"args is of type {type(args).__name__}; expected a tuple of inputs, such as (x,)")
    known = [*range(len(args)), *kwargs]
    for key in dynamic:
        if key not in known:
            listed = ", ".join(repr(k) for k in known)
            raise ValueError(f"dynamic names input {key!r}; expected one of {listed}")
    tensors: list[tuple[str, torch.Tensor]] = []
    seen: dict[int, torch.Tensor] = {}
    given: dict[int, torch.Tensor] = {}

    def convert(value: Any, name: str, dims: Mapping[int, str]) -> Any:
        if isinstance(value, torch.Tensor):
            if id(value) not in seen:
                meta = seen[id(value)] = _meta_tensor(value, name, dims, sizes)
                tensors.append((name, meta))
                # With an open size the values are those of one example, and prove nothing about others.
                if not dims and value.device.type == "cpu":
                    given[id(meta)] = value
            return seen[id(value)]
        if type(value) not in torch.utils._pytree.SUPPORTED_NODES:
            return value
        return torch.utils._pytree.tree_map_only(torch.Tensor, lambda tensor: convert(tensor, name, dims), value)

    new_args = tuple(convert(a, f"arg{i}", dynamic.get(i, {})) for i, a in enumerate(args))
    new_kwargs = {k: convert(v, k, dynamic.get(k, {})) for k, v in kwargs.items()}
    return MetaInputs(new_args, new_kwargs, tensors, given)


def _meta_tensor(tensor: torch.Tensor, name: str, dims: Mapping[int, str], sizes: SizeSpace) -> torch.Tensor:
    if not dims:
        if tensor.device.type == "meta" and type(tensor) is torch.Tensor:
            return tensor
        return torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype, device="meta")
    shape: list[Any] = list(tensor.shape)
    for dim, size in dims.items():
        if not -len(shape) <= dim < len(shape):
            raise ValueError(f"dynamic names dimension {dim} of input {name!r}, which has {len(shape)} dimensions")
        shape[dim] = sizes.open(size, shape[dim])
    return torch.empty(shape, dtype=tensor.dtype, device="meta")


def stand_in(module: torch.nn.Module) -> dict[str, torch.Tensor] | None:
    """Meta tensors for a module's parameters and buffers by name, or None when they are all on meta already."""
    named = [*module.named_parameters(remove_duplicate=False), *module.named_buffers(remove_duplicate=False)]
    if all(tensor.device.type == "meta" for _, tensor in named):
        return None
    twins: dict[int, torch.Tensor] = {}
    for _, tensor in named:
        if id(tensor) in twins:
            continue
        twin: torch.Tensor = torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype, device="meta")
        if isinstance(tensor, torch.nn.Parameter):
            twin = torch.nn.Parameter(twin, requires_grad=False)
        twins[id(tensor)] = twin
    return {name: twins[id(tensor)] for name, tensor in named}
