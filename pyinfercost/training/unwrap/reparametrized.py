"""Weights that are made of others before each forward: masks of pruning, norms of weights, parametrizations."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import torch
from torch import nn
from torch.nn.utils import parametrize

from ...sources.trace.inputs import stand_in
from ...sources.torch_state import as_it_was
from .libraries import Notes, loaded
from .wrappers import drop_hook, on_meta

_PARAMETRIZED = re.compile(r"(^|\.)parametrizations\.([^.]+)\.original\d*$")


# Torch's own: the tensor that comes out has the shape and the dtype of the last that goes in.
_KEEP_SHAPES = tuple(
    f"torch.nn.utils.parametrizations.{kind}" for kind in ("_WeightNorm", "_SpectralNorm", "_Orthogonal")
)


class _Kind:
    """A class of hooks that make a weight.

    Args:
        hook: Its full name.
        attribute: Where a hook keeps the weight's name.
        kept: What is added to that for the parameter that has the weight's shape.
        beside: What is added for all others.
        words: What it is.
    """

    def __init__(self, hook: str, attribute: str, kept: str, beside: tuple[str, ...], words: str) -> None:
        self.classes, self.attribute = loaded(hook), attribute
        self.kept, self.beside, self.words = kept, beside, words


def _kinds() -> list[_Kind]:
    """Masks first: the parameters that the others are made of can have some."""
    return [
        _Kind("torch.nn.utils.prune.BasePruningMethod", "_tensor_name", "_orig", ("_mask",), "a mask of pruning"),
        _Kind("torch.nn.utils.weight_norm.WeightNorm", "name", "_v", ("_g",), "weight_norm"),
        _Kind("torch.nn.utils.spectral_norm.SpectralNorm", "name", "_orig", ("_u", "_v"), "spectral_norm"),
    ]


def is_parametrized_class(kind: type) -> bool:
    """Whether `register_parametrization` has made a class."""
    made = vars(kind).get("__getstate__")
    return getattr(made, "__module__", "") == parametrize.__name__


def plain_parameter(owner: nn.Module, name: str) -> str:
    """The name of the weight that a parameter of a module belongs to; its own where it is one."""
    for kind in _kinds():
        for _, hook in _hooks_of(owner, kind):
            weight = getattr(hook, kind.attribute)
            if name in {weight + added for added in (kind.kept, *kind.beside)}:
                name = weight
    return name


def without_parametrization(name: str) -> str:
    """`fc.weight` for `fc.parametrizations.weight.original0`."""
    return _PARAMETRIZED.sub(r"\1\2", name)


class Reparametrizations:
    """Puts weights back into the place of what they are made of."""

    def __init__(self, notes: Notes) -> None:
        self._notes = notes
        self._kinds = _kinds()
        self._keep_shapes = loaded(*_KEEP_SHAPES)
        self._hooks = tuple(kind for each in self._kinds for kind in each.classes)

    def applies(self, module: nn.Module) -> bool:
        """Whether a module has such weights."""
        return parametrize.is_parametrized(module) or any(
            isinstance(hook, self._hooks) for hook in module._forward_pre_hooks.values()
        )

    @staticmethod
    def parts(module: nn.Module) -> Iterator[nn.Module]:
        """The modules that make the weights of another."""
        if parametrize.is_parametrized(module):
            yield from module._modules["parametrizations"].modules()  # type: ignore[union-attr]  # it has them

    def take_off(self, twin: nn.Module) -> None:
        """Gives a twin its weights as plain parameters.

        They have the shapes of the weights, and not their values: a parameter that a weight is made of and that has
        its shape stands for it.
        """
        for kind in self._kinds:
            for number, hook in _hooks_of(twin, kind):
                self._unmake(twin, number, kind, getattr(hook, kind.attribute))
        if "parametrizations" in twin._modules:
            made: Any = twin._modules.pop("parametrizations")
            for name, parts in made._modules.items():
                tensor = self._served(parts, name)
                held = twin._parameters if isinstance(tensor, nn.Parameter) else twin._buffers
                held[name] = tensor  # type: ignore[assignment]  # of the kind that it holds
                self._notes.taken_off("a parametrization")

    def _unmake(self, twin: nn.Module, number: int, kind: _Kind, name: str) -> None:
        kept = name + kind.kept
        if kept not in twin._parameters:
            self._notes.add(f"left as it is: {kind.words} of a {type(twin).__name__} that has no parameter {kept!r}")
            return
        drop_hook(twin, number)
        vars(twin).pop(name, None)  # as it was in the last forward
        parameters = dict(twin._parameters)
        twin._parameters.clear()
        gone = {name + added for added in kind.beside}
        for each, tensor in parameters.items():
            if each not in gone:
                twin._parameters[name if each == kept else each] = tensor
        for each in gone:
            twin._buffers.pop(each, None)
            twin._non_persistent_buffers_set.discard(each)
        self._notes.taken_off(kind.words)

    def _served(self, parts: Any, name: str) -> torch.Tensor:
        """What stands for a parametrized tensor: one that it is made of, where that has its shape."""
        count = 1 if parts.is_tensor else parts.ntensors
        names = ["original"] if parts.is_tensor else [f"original{i}" for i in range(count)]
        held = [getattr(parts, each) for each in names]
        originals: list[torch.Tensor] = [each for each in held if isinstance(each, torch.Tensor)]
        if all(isinstance(part, self._keep_shapes) for part in parts._modules.values()):
            return originals[-1]  # of weight_norm, magnitudes come first
        try:
            shape, dtype = _shape_and_dtype(parts)
        except Exception as error:
            self._notes.add(
                f"not known: the shape of the parametrized {name!r}, of which the first tensor that it is made of "
                f"stands for it: {type(error).__name__}: {error}"
            )
            return originals[0]
        like = next((each for each in originals if each.shape == shape and each.dtype is dtype), None)
        return on_meta(originals[0], shape, dtype) if like is None else like


def _hooks_of(module: nn.Module, kind: _Kind) -> list[tuple[int, Any]]:
    hooks = module._forward_pre_hooks.items()
    return [(number, hook) for number, hook in hooks if isinstance(hook, kind.classes)]


def _shape_and_dtype(parts: nn.Module) -> tuple[torch.Size, torch.dtype]:
    """Runs what makes a tensor on meta tensors; where that does not work, on copies of the real ones.

    As for a scan of weights: some step on while they train, and some draw numbers. It is a twin that runs.
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
