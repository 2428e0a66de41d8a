"""Removal of channels from a module, in place: its weights and its work become smaller."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from torch import nn
from torch.nn.utils import parametrize

from ..errors import InputError

if TYPE_CHECKING:
    from ..transform.channels import ChannelGroup, ChannelGroups

Module = TypeVar("Module", bound=nn.Module)
Kept = Mapping[str, "Sequence[int] | torch.Tensor"]

_MASKED = ("_orig", "_mask")  # suffixes of torch.nn.utils.prune


class ShrinkError(InputError):
    """Channels cannot be removed from this module; the message has the value and the expected one."""


def shrink(module: Module, groups: ChannelGroups, keep: Kept) -> Module:
    """Remove channels from a module, in place, without masks.

    Parameters and buffers keep the elements of the kept units, in their order. Each parameter is a new `nn.Parameter`
    with the same `requires_grad` and no gradient, so the optimizer must be created again. Shared parameters stay
    shared. Width attributes of torch's layers (`in_channels`, `out_features`, `groups`, `num_features`,
    `normalized_shape`, ...) are updated. Constants in a forward (attention heads, sizes of a `split`) are not: such a
    forward fails when it runs, unless the caller sets them.

    Args:
        module: The captured module, not shrunk since.
        groups: The result of `ic.channel_groups` for its graph.
        keep: Name of a group, or path of a layer that produces its channels -> units to keep, as numbers from 0 to
            width - 1 in any order, or as a boolean tensor of shape (width,). Other groups keep all units.

    Returns:
        The same module.

    Raises:
        ShrinkError: (a `ValueError`) A group is unknown or given twice; units are missing, repeated or out of range;
            the module's weights differ from the capture, or are masked or parametrized; or widths are inside
            `nn.MultiheadAttention`, whose forward ties them to its attributes. Nothing is changed then.
    """
    kept = _units_to_keep(groups, keep)
    slots = _slots(module)
    full = _shapes(groups, groups.widths)
    positions: dict[str, dict[int, torch.Tensor]] = {}
    for group in groups.groups:
        if group.name not in kept:
            continue
        gone = sorted(set(range(group.width)) - set(kept[group.name]))
        for member in group.members:
            _check(module, slots, member.tensor, full)
            own = positions.setdefault(member.tensor, {})
            if member.dim not in own:
                own[member.dim] = torch.ones(full[member.tensor][member.dim], dtype=torch.bool)
            own[member.dim][torch.from_numpy(member.indices[gone].reshape(-1).copy())] = False
    widths = {**groups.widths, **{name: len(units) for name, units in kept.items()}}
    settings = _settings(module, groups, widths)
    for name, dims in positions.items():
        _replace(slots, name, dims)
    for owner, attribute, value in settings:
        setattr(owner, attribute, value)
    return module


def _units_to_keep(groups: ChannelGroups, keep: Kept) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for key, given in keep.items():
        try:
            group = groups[key]
        except KeyError as error:
            raise ShrinkError(error.args[0]) from None
        if group.name in found:
            raise ShrinkError(f"group {group.name!r} is given twice; expected each group once")
        found[group.name] = _units(group, given)
    return found


def _units(group: ChannelGroup, given: Sequence[int] | torch.Tensor) -> list[int]:
    if isinstance(given, torch.Tensor) and given.dtype == torch.bool:
        if tuple(given.shape) != (group.width,):
            raise ShrinkError(f"{group.name}: got booleans of shape {tuple(given.shape)}, expected ({group.width},)")
        units: list[Any] = given.nonzero().flatten().tolist()
    else:
        units = given.tolist() if isinstance(given, torch.Tensor) else list(given)
    expected = f"expected units from 0 to {group.width - 1}, each at most once"
    if any(isinstance(unit, bool) or not hasattr(unit, "__index__") for unit in units):
        raise ShrinkError(f"{group.name}: got {units!r:.80}, expected whole numbers or a tensor of booleans")
    units = [unit.__index__() for unit in units]
    if not units:
        raise ShrinkError(f"{group.name}: got no unit to keep, expected at least one of its {group.width}")
    wrong = [unit for unit in units if not 0 <= unit < group.width]
    if wrong:
        raise ShrinkError(f"{group.name}: got unit {wrong[0]}, {expected}")
    repeated = [unit for unit in set(units) if units.count(unit) > 1] if len(set(units)) < len(units) else []
    if repeated:
        raise ShrinkError(f"{group.name}: got unit {min(repeated)} several times, {expected}")
    return units


Slot = tuple[nn.Module, str]


def _slots(module: nn.Module) -> dict[str, list[Slot]]:
    """Return name of a parameter or buffer -> all modules and attributes that hold the tensor."""
    places: dict[int, list[Slot]] = {}
    names: dict[str, int] = {}
    for path, owner in module.named_modules(remove_duplicate=False):
        for attribute, tensor in (*owner._parameters.items(), *owner._buffers.items()):
            if tensor is None:
                continue
            names[f"{path}.{attribute}" if path else attribute] = id(tensor)
            here = places.setdefault(id(tensor), [])
            if not any(other is owner and name == attribute for other, name in here):
                here.append((owner, attribute))
    return {name: places[number] for name, number in names.items()}


def _shapes(groups: ChannelGroups, widths: Mapping[str, int]) -> dict[str, tuple[int, ...]]:
    """Return the shapes of parameters and buffers at these widths."""
    shapes: dict[str, tuple[int, ...]] = {}
    for t in range(groups.graph.tensor_count):
        info = groups.graph.tensor(t)
        if info.role in ("parameter", "buffer"):
            shapes[info.name] = tuple(n if isinstance(n, int) else n.evaluate(widths) for n in info.shape)
    return shapes


def _check(module: nn.Module, slots: Mapping[str, list[Slot]], name: str, full: Mapping[str, tuple[int, ...]]) -> None:
    """Raise for a tensor that cannot be made smaller."""
    path, _, attribute = name.rpartition(".")
    if (name not in slots and f"{name}{_MASKED[0]}" in slots) or name.endswith(_MASKED):
        raise ShrinkError(
            f"{name} is masked by torch.nn.utils.prune; expected a plain weight. Call "
            f"torch.nn.utils.prune.remove(layer, {attribute.removesuffix('_orig').removesuffix('_mask')!r}) first"
        )
    parts = path.split(".")
    if "parametrizations" in parts or any(parametrize.is_parametrized(owner) for owner in _owners(module, path)):
        raise ShrinkError(
            f"{name} is parametrized; expected a plain weight. Call "
            "torch.nn.utils.parametrize.remove_parametrizations(layer, name) first"
        )
    if name not in slots:
        raise ShrinkError(f"the module has no parameter or buffer {name!r}; expected the module that was captured")
    owner, attribute = slots[name][0]
    tensor = getattr(owner, attribute)
    if tuple(tensor.shape) != full[name]:
        raise ShrinkError(
            f"{name} has shape {tuple(tensor.shape)}; expected {full[name]} as captured. Capture a module again after "
            "it was shrunk"
        )
    for holder in _owners(module, path):
        if isinstance(holder, nn.MultiheadAttention):
            raise ShrinkError(
                f"{name} belongs to nn.MultiheadAttention, whose forward takes its widths from embed_dim; its channels "
                "cannot be removed, expected another group"
            )


def _owners(module: nn.Module, path: str) -> list[nn.Module]:
    """Return the module of a path and its parent, if they exist."""
    found: list[nn.Module] = []
    for each in {path, path.rpartition(".")[0]}:
        try:
            found.append(module.get_submodule(each))
        except AttributeError:
            continue
    return found


def _replace(slots: Mapping[str, list[Slot]], name: str, dims: Mapping[int, torch.Tensor]) -> None:
    """Replace a tensor by its kept elements in all modules that hold it."""
    owner, attribute = slots[name][0]
    old = getattr(owner, attribute)
    new = old.detach()
    for dim, is_kept in dims.items():
        new = new.index_select(dim, is_kept.nonzero().flatten().to(old.device))
    if old.dim() == 4 and not old.is_contiguous() and old.is_contiguous(memory_format=torch.channels_last):  # noqa: PLR2004
        new = new.contiguous(memory_format=torch.channels_last)
    if isinstance(old, nn.Parameter):
        new = nn.Parameter(new, requires_grad=old.requires_grad)
    for place, other in slots[name]:
        setattr(place, other, new)


def _settings(module: nn.Module, groups: ChannelGroups, widths: Mapping[str, int]) -> list[tuple[nn.Module, str, Any]]:
    """Return the width attributes of layers that change, with their new values."""
    layers = dict(module.named_modules(remove_duplicate=False))
    graph = groups.graph
    found: list[tuple[nn.Module, str, Any]] = []
    for index in range(graph.node_count):
        node = graph.node(index)
        layer = layers.get(node.module)
        if layer is None:
            continue
        before, after = _widths_of(node, groups.widths), _widths_of(node, widths)
        for attribute, value in after.items():
            old = getattr(layer, attribute, None)
            if before[attribute] != value and old is not None and old == before[attribute]:
                found.append((layer, attribute, value))
    return found


def _widths_of(node: Any, widths: Mapping[str, int]) -> dict[str, Any]:
    """Return the width attributes of a node's layer at these widths."""

    def number(length: Any) -> int:
        return int(length) if isinstance(length, int) else int(length.substitute(widths))

    args = node.args
    op = node.op.removeprefix("aten.")
    weight = args.get("weight")
    shape: Sequence[Any] = () if weight is None else weight.shape
    if op.startswith("conv"):
        groups = number(args.get("groups") or 1)
        ends = ("in_channels", "out_channels") if "transpose" in op else ("out_channels", "in_channels")
        return {ends[0]: number(shape[0]), ends[1]: number(shape[1]) * groups, "groups": groups}
    if op == "linear":
        return {"out_features": number(shape[0]), "in_features": number(shape[1])}
    if op in ("addmm", "mm"):
        turned = args["mat2"].shape
        return {"nx": number(turned[0]), "nf": number(turned[1])}
    if op in ("layer_norm", "rms_norm"):
        return {"normalized_shape": tuple(number(n) for n in args["normalized_shape"])}
    if op in ("batch_norm", "instance_norm"):
        return {"num_features": number(args["input"].shape[1])}
    if op == "group_norm":
        return {"num_channels": number(args["input"].shape[1]), "num_groups": number(args["num_groups"])}
    if op == "embedding":
        return {"embedding_dim": number(shape[1])}
    return {"num_parameters": number(shape[0])} if op == "prelu" else {}
