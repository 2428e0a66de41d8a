"""Attention operands that differ in batch or heads: counted if torch runs them, rejected otherwise."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from support.function_module import Wrapped

import pyinfercost as ic
from pyinfercost.sources.trace.trace import CaptureError

pytestmark = pytest.mark.torch

# Shapes of queries, keys and values, and whether heads of keys are shared.
RUNS = {
    "equal": ((2, 4, 3, 8), (2, 4, 5, 8), (2, 4, 5, 8), False),
    "wider values": ((2, 4, 3, 8), (2, 4, 5, 8), (2, 4, 5, 6), False),
    "heads shared": ((2, 4, 3, 8), (2, 2, 5, 8), (2, 2, 5, 8), True),
    "one query, many keys": ((1, 4, 3, 8), (2, 4, 5, 8), (2, 4, 5, 8), False),
    "one head of keys": ((2, 4, 3, 8), (2, 1, 5, 8), (2, 1, 5, 8), False),
    "no heads": ((3, 8), (5, 8), (5, 8), False),
}
REFUSED = {
    "another batch": ((8, 4, 3, 8), (2, 4, 5, 8), (2, 4, 5, 8), False),
    "fewer heads": ((2, 4, 3, 8), (2, 16, 5, 8), (2, 16, 5, 8), False),
    "heads that do not divide": ((2, 4, 3, 8), (2, 3, 5, 8), (2, 3, 5, 8), True),
    "other widths": ((2, 4, 3, 8), (2, 4, 5, 6), (2, 4, 5, 6), False),
}


def _attend(
    case: tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...], bool],
) -> tuple[Wrapped, tuple[torch.Tensor, ...]]:
    *shapes, shared = case
    return Wrapped(lambda _, q, k, v: F.scaled_dot_product_attention(q, k, v, enable_gqa=shared)), tuple(
        torch.ones(shape) for shape in shapes
    )


@pytest.mark.parametrize("name", RUNS)
def test_as_torch_runs_it(name: str) -> None:
    module, operands = _attend(RUNS[name])
    graph = ic.capture(module, operands)
    result = module(*operands)
    assert graph.outputs[0].shape == tuple(result.shape)
    # Every row of the result meets every key, once over the width of keys and once over that of values.
    rows = result.numel() // result.shape[-1]
    widths = operands[1].shape[-1] + operands[2].shape[-1]
    assert ic.count(graph).total.contraction_flops == 2 * rows * operands[1].shape[-2] * widths


@pytest.mark.parametrize("name", REFUSED)
def test_as_torch_refuses_it(name: str) -> None:
    module, operands = _attend(REFUSED[name])
    with pytest.raises(RuntimeError):
        module(*operands)
    with pytest.raises(CaptureError):
        ic.capture(module, operands)


@pytest.mark.parametrize("shape", [(3, 5), (2, 1, 1, 5), (1, 4, 3, 1), (2, 4, 3, 5)], ids=str)
def test_a_mask_as_torch_broadcasts_it(shape: tuple[int, ...]) -> None:
    module = Wrapped(lambda _, q, k, v, mask: F.scaled_dot_product_attention(q, k, v, mask))
    operands = (*(torch.ones(s) for s in RUNS["equal"][:3]), torch.ones(shape, dtype=torch.bool))
    assert ic.capture(module, operands).outputs[0].shape == tuple(module(*operands).shape)


@pytest.mark.parametrize("shape", [(3, 4), (2, 1, 5, 5), (3, 1, 1, 5)], ids=str)
def test_a_mask_that_torch_refuses(shape: tuple[int, ...]) -> None:
    module = Wrapped(lambda _, q, k, v, mask: F.scaled_dot_product_attention(q, k, v, mask))
    operands = (*(torch.ones(s) for s in RUNS["equal"][:3]), torch.ones(shape, dtype=torch.bool))
    with pytest.raises(RuntimeError):
        module(*operands)
    with pytest.raises(CaptureError, match="does not broadcast to scores"):
        ic.capture(module, operands)


def test_fewer_values_than_keys_are_refused() -> None:
    """Torch's fused kernel would read past their end."""
    module, operands = _attend(((2, 4, 3, 8), (2, 4, 5, 8), (2, 4, 4, 8), False))
    with pytest.raises(CaptureError, match="as many keys"):
        ic.capture(module, operands)
