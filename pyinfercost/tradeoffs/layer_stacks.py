"""Stacks of equal layers in a model, each of which reads the result of the one before."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from typing import Any, NamedTuple

import torch
from torch import nn

from ..sources.inputs import Inputs
from .batches import first_tensor


class LayerStack(NamedTuple):
    """Consecutive layers of equal structure in one container.

    Attributes:
        path: Path of the container.
        first: Position of the first layer in it.
        layers: Number of layers.
    """

    path: str
    first: int
    layers: int

    def names(self, model: nn.Module) -> list[str]:
        """Return the paths of the layers."""
        children = list(model.get_submodule(self.path)._modules)
        prefix = f"{self.path}." if self.path else ""
        return [f"{prefix}{children[self.first + place]}" for place in range(self.layers)]


def layer_stacks(model: nn.Module, inputs: Inputs) -> list[LayerStack]:
    """Find the outermost stacks of two or more layers, by one forward.

    Layers of a `nn.Sequential` or `nn.ModuleList` are a stack if they are of one class with weights of equal shapes,
    each reads the very tensor that the one before returned, and returns one of the same shape. Experts and branches,
    which read one tensor side by side, are none.

    Args:
        model: The model, which runs in eval mode without gradients.
        inputs: Inputs of a forward.

    Returns:
        The stacks, in the order of the model.
    """
    flows = _flows(model, inputs)
    found: list[LayerStack] = []
    for path, container in model.named_modules():
        if not isinstance(container, nn.Sequential | nn.ModuleList) or _is_inside(path, found, model):
            continue
        children = list(container.children())
        first = 0
        while first < len(children):
            end = first + 1
            while end < len(children) and _follows(children[end - 1], children[end], flows):
                end += 1
            if end - first > 1:
                found.append(LayerStack(path, first, end - first))
            first = end
    return found


class _Flow(NamedTuple):
    """The first tensors that a layer reads and returns."""

    read: torch.Tensor | None
    returned: torch.Tensor | None


def _flows(model: nn.Module, inputs: Inputs) -> dict[int, _Flow]:
    """Return the inputs and results of the children of containers in one forward; except layers that run twice."""
    found: dict[int, _Flow] = {}
    repeated: set[int] = set()

    def keep(module: nn.Module, args: Any, kwargs: Mapping[str, Any], output: Any) -> None:
        if id(module) in found:
            repeated.add(id(module))
        found[id(module)] = _Flow(first_tensor((*args, *kwargs.values())), first_tensor(output))

    training = [(part, part.training) for part in model.modules()]
    with ExitStack() as undo, torch.no_grad(), torch.random.fork_rng(devices=[]):
        for container in model.modules():
            if isinstance(container, nn.Sequential | nn.ModuleList):
                for child in container.children():
                    undo.callback(child.register_forward_hook(keep, with_kwargs=True).remove)
        model.eval()
        try:
            model(*inputs.args, **inputs.kwargs)
        finally:
            for part, was in training:
                part.training = was
    return {key: flow for key, flow in found.items() if key not in repeated}


def _follows(before: nn.Module, after: nn.Module, flows: Mapping[int, _Flow]) -> bool:
    one, two = flows.get(id(before)), flows.get(id(after))
    if one is None or two is None or one.returned is None or two.read is not one.returned:
        return False
    if any(flow.read is None or flow.returned is None or flow.read.shape != flow.returned.shape for flow in (one, two)):
        return False
    return type(before) is type(after) and _shapes(before) == _shapes(after) != {}


def _shapes(layer: nn.Module) -> dict[str, tuple[int, ...]]:
    return {name: tuple(weight.shape) for name, weight in layer.named_parameters()}


def _is_inside(path: str, stacks: list[LayerStack], model: nn.Module) -> bool:
    return any(f"{path}.".startswith(f"{name}.") for stack in stacks for name in stack.names(model))
