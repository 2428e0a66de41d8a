"""What training puts around a module and what it does to its parameters: compilers, data parallelism, sharding."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from typing import Any

import torch
from torch import nn

from .libraries import Notes, defined_in, loaded
from .references import References, compiled_from

# The class of a wrapper -> the attribute that has the module in it.
_INNER = {
    "torch._dynamo.eval_frame.OptimizedModule": "_orig_mod",
    "torch.nn.parallel.distributed.DistributedDataParallel": "module",
    "torch.nn.parallel.data_parallel.DataParallel": "module",
    "torch.distributed.fsdp.fully_sharded_data_parallel.FullyShardedDataParallel": "_fsdp_wrapped_module",
    "torch.distributed.algorithms._checkpoint.checkpoint_wrapper.ActivationWrapper": "_checkpoint_wrapped_module",
    "torch.optim.swa_utils.AveragedModel": "module",
    "lightning.fabric.wrappers._FabricModule": "_forward_module",
    "lightning_fabric.wrappers._FabricModule": "_forward_module",
}
UNIQUE_NAMES = frozenset(_INNER.values()) - {"module"}
"""Parts of a parameter's name that only wrappers have."""

# Marks that FSDP leaves on modules; libraries ask for them and then run every layer on every device.
_MARKS = ("_is_fsdp_managed_module", "_fsdp_use_orig_params")

# The parameter that FSDP's first form keeps all others in; it registers that with the innermost module that it wraps.
_FLAT = "_flat_param"

# Hooks that gather, scatter and cast around a forward; and those that recompute it.
_OF_TRAINING = ("torch.distributed.", "transformers.integrations.tensor_parallel")

_HOOKS = (
    "_forward_hooks",
    "_forward_hooks_with_kwargs",
    "_forward_hooks_always_called",
    "_forward_pre_hooks",
    "_forward_pre_hooks_with_kwargs",
)

Placed = dict[int, dict[str, torch.Tensor]]


class OneDeviceBatchNorm(nn.modules.batchnorm._BatchNorm):
    """What a `SyncBatchNorm` is where there is one device: for inputs of any number of dimensions."""

    def _check_input_dim(self, input: torch.Tensor) -> None:
        pass


class Wrappers:
    """What is known of wrappers, of the libraries that are loaded."""

    def __init__(self, notes: Notes) -> None:
        self._notes = notes
        self._kinds = [(kind, inner) for name, inner in _INNER.items() for kind in loaded(name)]
        self._inner_by_type: dict[type, str | None] = {}
        self._sharded = loaded("torch.distributed.fsdp._fully_shard._fully_shard.FSDPModule")
        self._flattened = loaded("torch.distributed.fsdp.fully_sharded_data_parallel.FullyShardedDataParallel")
        self._distributed = loaded("torch.distributed.tensor.DTensor")

    def inner_name(self, module: nn.Module) -> str | None:
        """The attribute of a wrapper that has the module in it; None for what is no wrapper."""
        kind = type(module)
        if kind not in self._inner_by_type:
            self._inner_by_type[kind] = next((inner for known, inner in self._kinds if issubclass(kind, known)), None)
        return self._inner_by_type[kind]

    def inner(self, module: nn.Module) -> nn.Module | None:
        """The module that a wrapper wraps; None for what is no wrapper."""
        name = self.inner_name(module)
        return None if name is None else module._modules.get(name)

    def plain_class(self, kind: type) -> type:
        """The class that `fully_shard` was called on, or a norm of one device; a class of another kind as it is."""
        if issubclass(kind, nn.SyncBatchNorm):
            return OneDeviceBatchNorm
        bases = kind.__bases__
        made = len(bases) > 1 and defined_in(bases[0]).startswith("torch.distributed")
        return bases[1] if made and issubclass(kind, self._sharded) else kind

    def applies(self, module: nn.Module) -> bool:
        """Whether a module itself carries something of training, apart from what its wrapper says of it."""
        held = vars(module)
        return (
            held.get("_compiled_call_impl") is not None
            or "_original_forward" in held
            or compiled_from(type(module).forward) is not None
            or isinstance(module, (*self._sharded, nn.SyncBatchNorm))
            or any(mark in held for mark in _MARKS)
            or _FLAT in module._parameters
            or any(_is_of_training(hook) for hook in (*_hooks(module), *_pre_hooks(module)))
            or any(self._is_distributed(tensor) for tensor in _tensors(module))
        )

    def placed(self, module: nn.Module) -> Iterator[tuple[nn.Module, str, torch.Tensor]]:
        """The parameters of which a module keeps shards, as (owner, name, parameter of full shape, on meta)."""
        if isinstance(module, self._flattened):
            yield from _flattened(module)
        elif isinstance(module, self._sharded):
            yield from _sharded(module)

    def take_off(self, original: nn.Module, twin: nn.Module, whole: dict[int, torch.Tensor]) -> None:
        """Takes off a twin what its module carries of training.

        Args:
            original: The module.
            twin: Its twin, whose attributes are its own.
            whole: id of a distributed tensor -> what stands for all of it, so that ties stay.
        """
        held = vars(twin)
        if held.get("_compiled_call_impl") is not None:
            held["_compiled_call_impl"] = None
            self._notes.taken_off("torch.compile")
        if (function := compiled_from(type(twin).forward)) is not None and "forward" not in held:
            held["forward"] = function.__get__(twin)
            self._notes.taken_off("torch.compile")
        if "_original_forward" in held:
            original_forward = held.pop("_original_forward")
            if "forward" in held:  # of a compiled module both are set, but on the wrapper and on what is in it
                held["forward"] = original_forward
            self._notes.taken_off("autocast that accelerate puts around a forward; estimates take a precision")
        for mark in _MARKS:
            held.pop(mark, None)
        twin._parameters.pop(_FLAT, None)
        if isinstance(original, self._sharded):
            self._notes.taken_off("fully_shard")
        if isinstance(original, nn.SyncBatchNorm):
            self._notes.taken_off("statistics over all devices")
        _drop_hooks(twin)
        held_tensors: tuple[dict[str, Any], ...] = (twin._parameters, twin._buffers)
        for tensors in held_tensors:
            for name, tensor in tensors.items():
                if tensor is not None and self._is_distributed(tensor):
                    if id(tensor) not in whole:
                        whole[id(tensor)] = on_meta(tensor, tensor.shape, tensor.dtype)
                        self._notes.taken_off("sharding of a DTensor")
                    tensors[name] = whole[id(tensor)]

    def _is_distributed(self, tensor: torch.Tensor | None) -> bool:
        # A parameter that is made of a distributed tensor is of that class, and not of class Parameter.
        return bool(self._distributed) and isinstance(tensor, self._distributed)


def on_meta(like: torch.Tensor, shape: Any, dtype: torch.dtype, strides: Any = None) -> torch.Tensor:
    """A tensor without data, that is a parameter where `like` is one."""
    made = torch.empty(tuple(shape), dtype=dtype, device="meta")
    if strides is not None:
        made = torch.empty_strided(tuple(shape), tuple(strides), dtype=dtype, device="meta")
    if not isinstance(like, nn.Parameter):
        return made
    return nn.Parameter(made, requires_grad=like.requires_grad and dtype.is_floating_point)


def own_hooks(module: nn.Module) -> bool:
    """Whether users have put hooks on a wrapper, which then run around what it wraps."""
    return any(not _is_of_training(hook) for hook in (*_hooks(module), *_pre_hooks(module)))


def hand_on_hooks(wrapper: nn.Module, twin: nn.Module, references: References) -> None:
    """Gives the hooks of a wrapper to what it wraps, around those that this has."""
    for name in _HOOKS:
        given, own = references.copied(vars(wrapper)[name]), vars(twin)[name]
        vars(twin)[name] = OrderedDict({**given, **own} if "pre" in name else {**own, **given})
    _drop_hooks(twin)


def _flattened(wrapper: Any) -> Iterator[tuple[nn.Module, str, torch.Tensor]]:
    """FSDP's first form keeps one flat parameter for several, and notes what they were."""
    handle = vars(wrapper).get("_handle")
    if handle is None:
        return
    flat = handle.flat_param
    dtype = getattr(handle, "_orig_param_dtype", flat.dtype)
    parameters = getattr(flat, "_params", None) or [flat] * len(flat._param_infos)
    strides = getattr(flat, "_strides", None) or [None] * len(flat._param_infos)
    made: dict[tuple[int, str], torch.Tensor] = {}
    for info, shape, stride, parameter in zip(flat._param_infos, flat._shapes, strides, parameters, strict=True):
        tensor = made[id(info.module), info.param_name] = on_meta(parameter, shape, dtype, stride)
        yield info.module, info.param_name, tensor
    for info in flat._shared_param_infos:
        yield info.module, info.param_name, made[id(info.prim_module), info.prim_param_name]


def _sharded(module: Any) -> Iterator[tuple[nn.Module, str, torch.Tensor]]:
    """`fully_shard` puts shards or whole parameters into a module, by turns and in other dtypes, and notes which."""
    state = module._get_fsdp_state()
    groups = getattr(state, "_fsdp_param_groups", None) or [getattr(state, "_fsdp_param_group", None)]
    for parameter in (each for group in groups if group is not None for each in group.fsdp_params):
        kept, info = parameter.sharded_param, parameter._module_info
        tensor = on_meta(kept, kept.shape, kept.dtype)
        yield info.module, info.param_name, tensor
        for owner, name in zip(info.shared_modules, info.shared_param_names, strict=True):
            yield owner, name, tensor


def _hooks(module: nn.Module) -> tuple[Any, ...]:
    return tuple(module._forward_hooks.values())


def _pre_hooks(module: nn.Module) -> tuple[Any, ...]:
    return tuple(module._forward_pre_hooks.values())


def _tensors(module: nn.Module) -> Iterator[torch.Tensor | None]:
    yield from module._parameters.values()
    yield from module._buffers.values()


def _is_of_training(hook: Any) -> bool:
    return defined_in(hook).startswith(_OF_TRAINING)


def drop_hook(module: nn.Module, number: int) -> None:
    """Takes a hook of a forward off a module of one's own."""
    for name in _HOOKS:
        getattr(module, name).pop(number, None)


def _drop_hooks(twin: nn.Module) -> None:
    for hooks in (twin._forward_hooks, twin._forward_pre_hooks):
        for number in [number for number, hook in hooks.items() if _is_of_training(hook)]:
            drop_hook(twin, number)
