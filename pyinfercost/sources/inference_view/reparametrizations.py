"""Reparametrized weights, which a hook or a property computes before each forward: masks, norms, parametrizations."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import torch
from torch import nn
from torch.nn.utils import parametrize

from ..torch_state import as_it_was
from ..trace.inputs import stand_in
from .wrappers import Notes, drop_hook, loaded, on_meta

_PARAMETRIZED = re.compile(r"(^|\.)parametrizations\.([^.]+)\.original\d*$")

# Parametrizations of torch whose result has the shape and dtype of their last original.
_KEEP_SHAPES = tuple(
    f"torch.nn.utils.parametrizations.{kind}" for kind in ("_WeightNorm", "_SpectralNorm", "_Orthogonal")
)


class _Kind:
    """A class of hooks that compute a weight.

    Args:
        hook: Qualified name of the class.
        attribute: Attribute of the hook with the weight's name.
        kept: Suffix of the parameter with the weight's shape.
        others: Suffixes of the other parameters.
        words: Description for notes.
    """

    def __init__(self, hook: str, attribute: str, kept: str, others: tuple[str, ...], words: str) -> None:
        self.classes, self.attribute = loaded(hook), attribute
        self.kept, self.others, self.words = kept, others, words


def _kinds() -> list[_Kind]:
    """Return the known kinds, masks first, because parameters of the others can be masked."""
    return [
        _Kind("torch.nn.utils.prune.BasePruningMethod", "_tensor_name", "_orig", ("_mask",), "a pruning mask"),
        _Kind("torch.nn.utils.weight_norm.WeightNorm", "name", "_v", ("_g",), "weight_norm"),
        _Kind("torch.nn.utils.spectral_norm.SpectralNorm", "name", "_orig", ("_u", "_v"), "spectral_norm"),
    ]


def is_parametrized_class(kind: type) -> bool:
    """Return whether `register_parametrization` made this class."""
    made = vars(kind).get("__getstate__")
    return getattr(made, "__module__", "") == parametrize.__name__


def plain_parameter(owner: nn.Module, name: str) -> str:
    """Return the name of the weight that a parameter belongs to; its own name for a plain parameter."""
    for kind in _kinds():
        for _, hook in _hooks_of(owner, kind):
            weight = getattr(hook, kind.attribute)
            if name in {weight + added for added in (kind.kept, *kind.others)}:
                name = weight
    return name


def without_parametrization(name: str) -> str:
    """Return `fc.weight` for `fc.parametrizations.weight.original0`."""
    return _PARAMETRIZED.sub(r"\1\2", name)


class Reparametrizations:
    """Replaces reparametrized weights by plain ones."""

    def __init__(self, notes: Notes) -> None:
        self._notes = notes
        self._kinds = _kinds()
        self._keep_shapes = loaded(*_KEEP_SHAPES)
        self._hooks = tuple(kind for each in self._kinds for kind in each.classes)

    def applies(self, module: nn.Module) -> bool:
        """Return whether a module has reparametrized weights."""
        return parametrize.is_parametrized(module) or any(
            isinstance(hook, self._hooks) for hook in module._forward_pre_hooks.values()
        )

    @staticmethod
    def parts(module: nn.Module) -> Iterator[nn.Module]:
        """Yield the modules that compute the weights of a module."""
        if parametrize.is_parametrized(module):
            yield from module._modules["parametrizations"].modules()  # type: ignore[union-attr]  # present if so

    def strip(self, copy: nn.Module) -> None:
        """Give a structural copy its weights as plain parameters.

        They have the shapes of the weights but not their values: each is replaced by its original of the same shape.
        """
        for kind in self._kinds:
            for number, hook in _hooks_of(copy, kind):
                self._remove_hook(copy, number, kind, getattr(hook, kind.attribute))
        if "parametrizations" in copy._modules:
            made: Any = copy._modules.pop("parametrizations")
            for name, parts in made._modules.items():
                tensor = self._served(parts, name)
                held = copy._parameters if isinstance(tensor, nn.Parameter) else copy._buffers
                held[name] = tensor  # type: ignore[assignment]  # matches the kind of the dictionary
                self._notes.removed("a parametrization")

    def _remove_hook(self, copy: nn.Module, number: int, kind: _Kind, name: str) -> None:
        kept = name + kind.kept
        if kept not in copy._parameters:
            self._notes.add(f"kept: {kind.words} of a {type(copy).__name__} that has no parameter {kept!r}")
            return
        drop_hook(copy, number)
        vars(copy).pop(name, None)  # the result of the last forward
        parameters = dict(copy._parameters)
        copy._parameters.clear()
        gone = {name + added for added in kind.others}
        for each, tensor in parameters.items():
            if each not in gone:
                copy._parameters[name if each == kept else each] = tensor
        for each in gone:
            copy._buffers.pop(each, None)
            copy._non_persistent_buffers_set.discard(each)
        self._notes.removed(kind.words)

    def _served(self, parts: Any, name: str) -> torch.Tensor:
        """Return a tensor of the parametrized shape, an original if one has it."""
        count = 1 if parts.is_tensor else parts.ntensors
        names = ["original"] if parts.is_tensor else [f"original{i}" for i in range(count)]
        held = [getattr(parts, each) for each in names]
        originals: list[torch.Tensor] = [each for each in held if isinstance(each, torch.Tensor)]
        if all(isinstance(part, self._keep_shapes) for part in parts._modules.values()):
            return originals[-1]  # the first original of weight_norm has magnitudes
        try:
            shape, dtype = _shape_and_dtype(parts)
        except Exception as error:
            self._notes.add(
                f"the shape of the parametrized {name!r} is unknown; its first original is used instead: "
                f"{type(error).__name__}: {error}"
            )
            return originals[0]
        like = next((each for each in originals if each.shape == shape and each.dtype is dtype), None)
        return on_meta(originals[0], shape, dtype) if like is None else like


def _hooks_of(module: nn.Module, kind: _Kind) -> list[tuple[int, Any]]:
    hooks = module._forward_pre_hooks.items()
    return [(number, hook) for number, hook in hooks if isinstance(hook, kind.classes)]


def _shape_and_dtype(parts: nn.Module) -> tuple[torch.Size, torch.dtype]:
    """Run a parametrization on meta tensors, or on copies of the real ones if it needs values.

    It runs in evaluation mode, as in a scan of weights, because some parametrizations update state or draw random
    numbers in training mode. The structural copy runs, not the module.
    """
    devices = {tensor.device for tensor in parts.parameters() if tensor.device.type == "cuda"}
    with torch.no_grad(), torch.random.fork_rng(devices=list(devices)), as_it_was(parts):
        for part in parts.modules():
            part.training = False
        twins, _ = stand_in(parts)
        try:
            made = torch.func.functional_call(parts, twins, (), tie_weights=False)
        except Exception:
            if any(tensor.is_meta for tensor in parts.parameters()):
                raise
            copies = {name: buffer.clone() for name, buffer in parts.named_buffers()}
            made = torch.func.functional_call(parts, copies, ())
        return made.shape, made.dtype
