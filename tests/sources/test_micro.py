"""Small modules with known multiply-accumulates, each in the many forms that torch offers."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from support.function_module import Wrapped
from support.micro_cases import CASES, HEADS, Case, t
from torch import nn

import pyinfercost as ic

pytestmark = pytest.mark.torch

PUBLISHED = {
    "linear, 2 dimensions": 16384,
    "linear, 3 dimensions": 65536,
    "MultiheadAttention": 81920,
    "TransformerEncoderLayer": 147456,
    "conv2d": 294912,
    "conv2d, depthwise": 9216,
    "conv2d, padding in words": 524288,
    "ConvTranspose2d 16 to 32": 131072,
    "ConvTranspose2d, grouped": 32768,
    "attention, grouped queries": 32768,
    "LSTM": 61440,
    "GRU": 46080,
    "Bilinear": 512,
    "DeformConv2d": 36864,
    "one linear called twice": 65536,
    "attention": 16384,
    "attention, causal": 16384,
    "mv": 2048,
    "einsum": 8192,
    "embedding": 0,
    "int8 product": 65536,
    "grouped product of two experts": 32768,
}


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths")
@pytest.mark.parametrize("case", CASES, ids=[c.name for c in CASES])
@pytest.mark.parametrize("training", [False, True], ids=["evaluation", "training"])
def test_macs(case: Case, training: bool) -> None:
    module = case.module if isinstance(case.module, nn.Module) else Wrapped(lambda _, *inputs: case.module(*inputs))
    counts = ic.count(ic.capture(module.to("meta").train(training), case.inputs))
    assert counts.total.macs == case.macs
    assert counts.unmodelled == {}


def test_the_figures_are_the_published_ones() -> None:
    assert {case.name: case.macs for case in CASES if case.name in PUBLISHED} == PUBLISHED


def test_causal_attention_has_a_second_figure() -> None:
    row = ic.count(
        ic.capture(Wrapped(lambda _, q, k, v: F.scaled_dot_product_attention(q, k, v, is_causal=True)), tuple(HEADS))
    ).total
    assert row.contraction_flops == 2 * 16384
    assert row.causal_flops == 2 * 2 * 4 * 8 * sum(range(1, 17))


@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU, nn.RNN])
def test_recurrent_layers_are_one_call_and_as_torch_lays_them_out(kind: Any, batch_first: bool) -> None:
    layer = kind(3, 5, 2, bidirectional=True, batch_first=batch_first)
    graph = ic.capture(layer, (t(4, 2, 3),))
    (row,) = [row for row in ic.count(graph).layers if row.work.contraction_flops]
    output, state = layer(torch.ones(4, 2, 3))
    states = state if isinstance(state, tuple) else (state,)
    assert row.work.bytes_written == 4 * (2 * output.numel() + sum(s.numel() for s in states))  # and between layers
