"""Small calls of every family through a capture, with arithmetic for each and an empty ledger."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
import torchvision
from support.function_module import Wrapped
from support.micro_calls import Case, check, counted, indices, t
from torch import nn
from torch.library import Library

import pyinfercost as ic

pytestmark = pytest.mark.torch

COMPLEX = torch.complex64
FRAMES = 80 // 4 + 1  # of a signal of 80 samples that is padded to whole frames, 4 apart

CASES = [
    # Vision
    Case(
        "grid_sample", lambda x, g: F.grid_sample(x, g, align_corners=False), (t(2, 3, 8, 8), t(2, 5, 5, 2)), 0, 150 * 7
    ),
    Case(
        "grid_sample of volumes",
        lambda x, g: F.grid_sample(x, g, align_corners=False),
        (t(2, 3, 8, 8, 8), t(2, 5, 5, 5, 3)),
        0,
        750 * 7,
    ),
    Case("affine_grid", lambda a: F.affine_grid(a, [2, 3, 5, 5], align_corners=False), (t(2, 2, 3),), 2 * 25 * 3 * 2),
    Case("trilinear", lambda x: F.interpolate(x, size=(6, 6, 6), mode="trilinear"), (t(1, 3, 4, 4, 4),), 0, 648 * 15),
    Case("area", lambda x: F.interpolate(x, size=(6, 6), mode="area"), (t(1, 3, 4, 4),), 0, 3 * (4 + 6 - 2) ** 2),
    Case("nms", lambda b, s: torchvision.ops.nms(b, s, 0.5), (t(6, 4), t(6)), 0, 15 * 13),
    Case(
        "roi_align",
        lambda x, b: torchvision.ops.roi_align(x, b, (7, 7), sampling_ratio=2),
        (t(1, 3, 32, 32), t(5, 5)),
        0,
        5 * 3 * 49 * 4 * 8,
    ),
    Case("unfold", lambda x: F.unfold(x, 3), (t(1, 3, 8, 8),)),
    Case("fold", lambda x: F.fold(x, (8, 8), 3), (t(1, 27, 36),), 0, 27 * 36),
    Case("meshgrid", lambda x, y: torch.meshgrid(x, y, indexing="ij"), (t(4), t(5))),
    # Signals
    Case("fft2", torch.fft.fft2, (t(2, 8, 8, dtype=COMPLEX),), 0, 2 * 5 * 64 * 6),
    Case("rfft and back", lambda x: torch.fft.irfft(torch.fft.rfft(x)), (t(2, 8),), 0, 2 * 2 * 5 * 8 * 3 // 2),
    Case(
        "stft",
        lambda x, w: torch.stft(x, 16, 4, window=w, return_complex=True),
        (t(2, 80), t(16)),
        0,
        2 * FRAMES * (5 * 16 * 4 // 2 + 16),
    ),
    Case(
        "rotary by complex numbers",
        lambda x, f: torch.view_as_real(torch.view_as_complex(x) * f),
        (t(2, 4, 2), t(2, 4, dtype=COMPLEX)),
        0,
        8 * 6,
    ),
    Case("polar", torch.polar, (t(4), t(4)), 0, 16),
    # Tables
    Case("EmbeddingBag, mean", nn.EmbeddingBag(10, 4, mode="mean"), (indices(3, 5),), 0, 15 * 4 + 3 * 4),
    Case("EmbeddingBag with offsets", nn.EmbeddingBag(10, 4, mode="sum"), (indices(15), indices(3)), 0, 15 * 4),
    # Linear algebra
    Case(
        "solve_triangular", lambda a, b: torch.linalg.solve_triangular(a, b, upper=False), (t(5, 5), t(5, 2)), 0, 2 * 25
    ),
    Case("cholesky", torch.linalg.cholesky, (t(5, 5),), 0, 5 * 6 * 11 // 6),
    Case("lstsq", torch.linalg.lstsq, (t(6, 4), t(6, 2)), 0, 192 - 42 + 2 * (4 * 24 - 16)),
    Case("matrix_exp", torch.linalg.matrix_exp, (t(5, 5),), 5 * 125),
    Case("cdist of few rows", torch.cdist, (t(4, 6), t(5, 6)), 0, 4 * 5 * 6 * 3),
    # Losses, sorts, scans
    Case("cross_entropy", F.cross_entropy, (t(4, 9), indices(4)), 0, 4 * 9 * 5 + 4 * 2),
    Case("mse_loss", F.mse_loss, (t(4, 9), t(4, 9)), 0, 36 * 3),
    Case(
        "ctc", lambda x, y: F.ctc_loss(x, y, (5, 5), (3, 3), reduction="none"), (t(5, 2, 9), indices(2, 3)), 0, 70 * 13
    ),
    Case("scans", lambda x: (x.cumsum(0), x.cumprod(0), x.cummax(0)[0]), (t(4, 5),), 0, 60),
    Case("sorts", lambda x: (x.msort(), x.kthvalue(2)[0], x.median(), x.argsort()), (t(4, 5),), 0, 80),
    Case(
        "fake quantization", lambda x: torch.fake_quantize_per_tensor_affine(x, 0.1, 0, 0, 255), (t(4, 4),), 0, 7 * 16
    ),
    Case("lists", lambda x, y: torch._foreach_add([x, y], 1.0), (t(4), t(5)), 0, 9),
    Case("lists in place", lambda x, y: torch._foreach_mul_([x, y], 2.0), (t(4), t(5)), 0, 9),
    # Whole layers
    Case(
        "the fused attention layer",
        lambda q, w, b, v, c: torch._native_multi_head_attention(q, q, q, 8, 2, w, b, v, c, need_weights=False)[0],
        (t(2, 4, 8), t(24, 8), t(24), t(8, 8), t(8)),
        2 * 4 * 8 * 8 * 4 + 2 * 4 * 4 * 8 * 2,
        2 * 4 * 8 * 4 + 2 * 2 * 16 * 6,
    ),
]


@pytest.mark.parametrize("case", CASES, ids=[c.name for c in CASES])
def test_small_calls(case: Case) -> None:
    check(case)


def test_index_put_writes_every_place_of_a_broadcast_value() -> None:
    counts = counted(lambda x, i, v: x.index_put_((i,), v), t(9, 3), indices(4), t(3))
    assert counts.total.bytes_written == 4 * 4 * 3


def test_an_operator_of_the_callers_own_in_a_trace() -> None:
    library = Library("microtest", "FRAGMENT")
    library.define("mix(Tensor x) -> Tensor")
    library.impl("mix", torch.empty_like, "Meta")

    mix: Any = torch.ops.microtest.mix
    graph = ic.capture(Wrapped(lambda _, x: mix(x)), (t(3, 4),))
    assert ic.count(graph).unmodelled == {"microtest.mix": 1}
    counts = ic.count(graph, rules={"microtest::mix": lambda node: 2 * 12})
    assert (counts.total.macs, counts.unmodelled) == (12, {})
    assert counts.total.bytes_read == 4 * 12
