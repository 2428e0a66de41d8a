"""Checks of an inference view: the graph of the plain module, and an unchanged original."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import nn

import pyinfercost as ic
from pyinfercost.sources.inference_view.view import InferenceView, inference_view


def network() -> nn.Sequential:
    """Return convolution, batch norm, dropout and two linear layers, in training mode."""
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, bias=False),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Flatten(),
        nn.Sequential(nn.Linear(8 * 36, 16), nn.Dropout(0.1), nn.Linear(16, 10)),
    )


IMAGES = torch.zeros(2, 3, 8, 8)


class Tied(nn.Module):
    """An embedding tied to the last layer, with a layer between them."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.layer, self.head = nn.Embedding(50, 16), nn.Linear(16, 16), nn.Linear(16, 50, bias=False)
        self.head.weight = self.embed.weight

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Map tokens to logits."""
        result: torch.Tensor = self.head(self.layer(self.embed(tokens)).relu())
        return result


TOKENS = torch.zeros(2, 5, dtype=torch.int64)


def compiled(module: nn.Module) -> nn.Module:
    """Compile with a backend that imports quickly."""
    return torch.compile(module, backend="eager")


def figures(graph: ic.Graph) -> dict[str, Any]:
    """Return all counts of a graph, in total and by module."""
    counts = ic.count(graph)
    return {"": counts.total.to_dict()} | {path: row.to_dict() for path, row in counts.by_module().items()}


def parameters_of(graph: ic.Graph) -> dict[str, tuple[Any, ...]]:
    """Return names of parameters with their shapes."""
    tensors = (graph.tensor(i) for i in range(graph.tensor_count))
    return {tensor.name: tuple(tensor.shape) for tensor in tensors if tensor.role == "parameter"}


def serves_as(wrapped: nn.Module, plain: nn.Module, *inputs: torch.Tensor) -> InferenceView:
    """Check that the view is captured like the plain module, in training and in evaluation mode."""
    found = None
    for training in (False, True):
        wrapped.train(training)
        plain.train(training)
        with left_alone(wrapped):
            found = inference_view(wrapped)
            graph = ic.capture(found.module, inputs)
        expected = ic.capture(plain, inputs)
        assert figures(graph) == figures(expected)
        assert parameters_of(graph) == parameters_of(expected)
        assert [graph.node(i).op for i in range(len(graph))] == [expected.node(i).op for i in range(len(expected))]
    assert found is not None
    return found


@contextmanager
def left_alone(module: nn.Module) -> Iterator[None]:
    """Check that a module, its submodules and random generators are unchanged afterwards."""
    before, values, drawn = _structure(module), _values(module), _random()
    yield
    assert _structure(module) == before
    after = _values(module)
    assert list(after) == list(values)
    for name, value in values.items():
        assert torch.equal(after[name], value), name
    assert _random() == drawn


def trains_on(module: nn.Module, alone: nn.Module, step: Callable[[nn.Module], torch.Tensor]) -> None:
    """Check that two modules with the same weights have equal losses, although one is captured between steps."""
    losses = []
    for each in (module, alone):
        optimizer = torch.optim.SGD(each.parameters(), lr=0.1)
        torch.manual_seed(0)
        losses.append([])
        for _ in range(3):
            optimizer.zero_grad()
            loss = step(each)
            loss.backward()
            optimizer.step()
            losses[-1].append(loss.item())
            if each is module:
                inference_view(module)
    assert losses[0] == losses[1]


def _structure(module: nn.Module) -> dict[str, Any]:
    def known(value: Any) -> Any:
        if isinstance(value, dict):
            return [(key, id(each)) for key, each in value.items()]
        return [id(each) for each in value] if isinstance(value, list | tuple) else ()

    return {
        path: (type(part), {name: (id(value), known(value)) for name, value in vars(part).items()})
        for path, part in module.named_modules(remove_duplicate=False)
    }


def _values(module: nn.Module) -> dict[str, torch.Tensor]:
    tensors = [*module.named_parameters(), *module.named_buffers()]
    local = ((name, getattr(tensor, "_local_tensor", tensor).detach()) for name, tensor in tensors)
    return {name: tensor.clone() for name, tensor in local if not tensor.is_meta}


def _random() -> tuple[Any, ...]:
    of_numpy = np.random.get_state()  # noqa: NPY002 - the one that modules draw from
    return torch.get_rng_state().tolist(), random.getstate(), of_numpy[1].tolist(), of_numpy[2]
