"""Training wrappers and sharded parameters: compilers, data parallelism, FSDP, tensor parallelism, averaged models."""

from __future__ import annotations

import sys
import types
from collections import Counter
from collections.abc import Iterator
from typing import Any

import torch
from torch import nn

# Wrapper class -> attribute with the wrapped module.
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
"""Components of a parameter's name that only wrappers produce."""

# Marks that FSDP leaves on modules; libraries that find them run every layer on every device.
_MARKS = ("_is_fsdp_managed_module", "_fsdp_use_orig_params")

# Name under which FSDP 1 registers its flat parameter with the innermost wrapped module.
_FLAT = "_flat_param"

# Modules that define hooks which gather, scatter, cast or recompute around a forward.
_TRAINING_HOOKS = ("torch.distributed.", "transformers.integrations.tensor_parallel")

HOOKS = (
    "_forward_hooks",
    "_forward_hooks_with_kwargs",
    "_forward_hooks_always_called",
    "_forward_pre_hooks",
    "_forward_pre_hooks_with_kwargs",
)
"""Attributes of a module that hold its forward hooks."""

_COMPILED_FROM = "_torchdynamo_orig_callable"

Placed = dict[int, dict[str, torch.Tensor]]


class Notes:
    """Messages about removed parts and parts that could not be removed, each once with its count."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()

    def removed(self, what: str) -> None:
        """Record a part that inference does not run."""
        self._counts[f"removed for inference: {what}"] += 1

    def add(self, text: str) -> None:
        """Record any other message."""
        self._counts[text] += 1

    def all(self) -> tuple[str, ...]:
        """Return all messages; repeated ones end with their count."""
        return tuple(text if count == 1 else f"{text} ({count} times)" for text, count in self._counts.items())


def loaded(*names: str) -> tuple[type[Any], ...]:
    """Return the classes of these qualified names whose modules are already imported.

    No object can be an instance of any other. Importing them here would cost a second, and fail without the library.
    """
    found = (getattr(sys.modules.get(name.rpartition(".")[0]), name.rpartition(".")[2], None) for name in names)
    return tuple(each for each in found if isinstance(each, type))


def defined_in(function: Any) -> str:
    """Return the module that defines a hook, through partials and bound methods; for an object, its class's module."""
    function = getattr(function, "func", function)
    function = getattr(function, "__func__", function)
    return str(getattr(function, "__module__", None) or "")


def compiled_from(function: Any) -> Any:
    """Return the function wrapped by `torch.compile`; None for a function that is not compiled."""
    if not isinstance(function, types.FunctionType) or "_torchdynamo_disable" in vars(function):
        return None
    return vars(function).get(_COMPILED_FROM)


class OneDeviceBatchNorm(nn.modules.batchnorm._BatchNorm):
    """`SyncBatchNorm` on one device, for inputs of any rank."""

    def _check_input_dim(self, input: torch.Tensor) -> None:
        pass


class Wrappers:
    """Recognize and remove the wrappers of all imported libraries."""

    def __init__(self, notes: Notes) -> None:
        self._notes = notes
        self._kinds = [(kind, inner) for name, inner in _INNER.items() for kind in loaded(name)]
        self._inner_by_type: dict[type, str | None] = {}
        self._sharded = loaded("torch.distributed.fsdp._fully_shard._fully_shard.FSDPModule")
        self._flattened = loaded("torch.distributed.fsdp.fully_sharded_data_parallel.FullyShardedDataParallel")
        self._distributed = loaded("torch.distributed.tensor.DTensor")

    def inner_name(self, module: nn.Module) -> str | None:
        """Return the attribute of a wrapper with the wrapped module; None for any other module."""
        kind = type(module)
        if kind not in self._inner_by_type:
            self._inner_by_type[kind] = next((inner for known, inner in self._kinds if issubclass(kind, known)), None)
        return self._inner_by_type[kind]

    def inner(self, module: nn.Module) -> nn.Module | None:
        """Return the module inside a wrapper; None for any other module."""
        name = self.inner_name(module)
        return None if name is None else module._modules.get(name)

    def plain_class(self, kind: type) -> type:
        """Return the class before `fully_shard`, or a one-device norm for `SyncBatchNorm`; else the class itself."""
        if issubclass(kind, nn.SyncBatchNorm):
            return OneDeviceBatchNorm
        bases = kind.__bases__
        made = len(bases) > 1 and defined_in(bases[0]).startswith("torch.distributed")
        return bases[1] if made and issubclass(kind, self._sharded) else kind

    def applies(self, module: nn.Module) -> bool:
        """Return whether the module itself, not its wrapper, carries training state that must be removed."""
        held = vars(module)
        return (
            held.get("_compiled_call_impl") is not None
            or "_original_forward" in held
            or compiled_from(type(module).forward) is not None
            or isinstance(module, (*self._sharded, nn.SyncBatchNorm))
            or any(mark in held for mark in _MARKS)
            or _FLAT in module._parameters
            or any(_is_training_hook(hook) for hook in (*_hooks(module), *_pre_hooks(module)))
            or any(self._is_distributed(tensor) for tensor in _tensors(module))
        )

    def placed(self, module: nn.Module) -> Iterator[tuple[nn.Module, str, torch.Tensor]]:
        """Yield the parameters that a module shards, as (owner, name, full-shape meta parameter)."""
        if isinstance(module, self._flattened):
            yield from _flattened(module)
        elif isinstance(module, self._sharded):
            yield from _sharded(module)

    def strip(self, original: nn.Module, copy: nn.Module, whole: dict[int, torch.Tensor]) -> None:
        """Remove from a structural copy the training state of its module.

        Args:
            original: The module.
            copy: Its structural copy, which owns its attributes.
            whole: Id of a distributed tensor -> its full-shape replacement, so that ties are kept.
        """
        held = vars(copy)
        if held.get("_compiled_call_impl") is not None:
            held["_compiled_call_impl"] = None
            self._notes.removed("torch.compile")
        if (function := compiled_from(type(copy).forward)) is not None and "forward" not in held:
            held["forward"] = function.__get__(copy)
            self._notes.removed("torch.compile")
        if "_original_forward" in held:
            original_forward = held.pop("_original_forward")
            if "forward" in held:  # a compiled model has both set, but on different objects: wrapper and inner module
                held["forward"] = original_forward
            self._notes.removed("autocast that accelerate puts around a forward; estimates take a precision")
        for mark in _MARKS:
            held.pop(mark, None)
        copy._parameters.pop(_FLAT, None)
        if isinstance(original, self._sharded):
            self._notes.removed("fully_shard")
        if isinstance(original, nn.SyncBatchNorm):
            self._notes.removed("batch statistics over all devices")
        drop_training_hooks(copy)
        held_tensors: tuple[dict[str, Any], ...] = (copy._parameters, copy._buffers)
        for tensors in held_tensors:
            for name, tensor in tensors.items():
                if tensor is not None and self._is_distributed(tensor):
                    if id(tensor) not in whole:
                        whole[id(tensor)] = on_meta(tensor, tensor.shape, tensor.dtype)
                        self._notes.removed("sharding of a DTensor")
                    tensors[name] = whole[id(tensor)]

    def _is_distributed(self, tensor: torch.Tensor | None) -> bool:
        # A parameter made of a distributed tensor is an instance of that class, not of Parameter.
        return bool(self._distributed) and isinstance(tensor, self._distributed)


def on_meta(like: torch.Tensor, shape: Any, dtype: torch.dtype, strides: Any = None) -> torch.Tensor:
    """Return a meta tensor; a Parameter if `like` is one."""
    made = torch.empty(tuple(shape), dtype=dtype, device="meta")
    if strides is not None:
        made = torch.empty_strided(tuple(shape), tuple(strides), dtype=dtype, device="meta")
    if not isinstance(like, nn.Parameter):
        return made
    return nn.Parameter(made, requires_grad=like.requires_grad and dtype.is_floating_point)


def own_hooks(module: nn.Module) -> bool:
    """Return whether a wrapper has hooks of users, which then run around the wrapped module."""
    return any(not _is_training_hook(hook) for hook in (*_hooks(module), *_pre_hooks(module)))


def _flattened(wrapper: Any) -> Iterator[tuple[nn.Module, str, torch.Tensor]]:
    """Yield the original parameters of FSDP 1, which stores several in one flat parameter."""
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
    """Yield the parameters of `fully_shard`, which alternates shards and full parameters, also in other dtypes."""
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


def _is_training_hook(hook: Any) -> bool:
    return defined_in(hook).startswith(_TRAINING_HOOKS)


def drop_hook(module: nn.Module, number: int) -> None:
    """Remove a forward hook from a structural copy."""
    for name in HOOKS:
        getattr(module, name).pop(number, None)


def drop_training_hooks(copy: nn.Module) -> None:
    """Remove the forward hooks of training libraries from a structural copy."""
    for hooks in (copy._forward_hooks, copy._forward_pre_hooks):
        for number in [number for number, hook in hooks.items() if _is_training_hook(hook)]:
            drop_hook(copy, number)
