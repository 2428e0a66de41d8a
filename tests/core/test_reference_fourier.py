"""Fourier transforms by the convention of FFT libraries: 5 n log2 n for n complex points, half where a side is real."""

from __future__ import annotations

import math
from typing import Any

import pytest
from support.single_node import T, work_of

import pyinfercost as ic
from pyinfercost import _core


def flops(points: int) -> int:
    return 5 * round(points * math.log2(points))


# op, arguments, operand, result, and what its transforms cost
CASES: list[tuple[str, dict[str, Any], T, T, int]] = [
    ("_fft_c2c", {"dim": [1]}, T((3, 8), "complex64"), T((3, 8), "complex64"), 3 * 5 * 8 * 3),
    ("_fft_c2c", {"dim": [0, 1]}, T((4, 8), "complex64"), T((4, 8), "complex64"), 5 * 32 * 5),
    ("_fft_c2c", {"dim": [1]}, T((3, 10), "complex64"), T((3, 10), "complex64"), 3 * flops(10)),
    ("_fft_r2c", {"dim": [1], "onesided": True}, T((3, 16)), T((3, 9), "complex64"), 3 * 5 * 16 * 4 // 2),
    ("_fft_c2r", {"dim": [1], "last_dim_size": 16}, T((3, 9), "complex64"), T((3, 16)), 3 * 5 * 16 * 4 // 2),
    ("_fft_r2c", {"dim": [0, 1], "onesided": True}, T((4, 8)), T((4, 5), "complex64"), 5 * 32 * 5 // 2),
    ("fft_fft", {}, T((3, 8), "complex64"), T((3, 8), "complex64"), 3 * 5 * 8 * 3),
    ("fft_fft", {}, T((3, 8)), T((3, 8), "complex64"), 3 * 5 * 8 * 3 // 2),
    ("fft_ifft", {"dim": 0}, T((8, 3), "complex64"), T((8, 3), "complex64"), 3 * 5 * 8 * 3),
    ("fft_rfft", {}, T((3, 16)), T((3, 9), "complex64"), 3 * 5 * 16 * 4 // 2),
    ("fft_rfft", {"n": 16}, T((3, 12)), T((3, 9), "complex64"), 3 * 5 * 16 * 4 // 2),  # filled up with zeros
    ("fft_irfft", {"n": 16}, T((3, 9), "complex64"), T((3, 16)), 3 * 5 * 16 * 4 // 2),
    ("fft_hfft", {}, T((3, 9), "complex64"), T((3, 16)), 3 * 5 * 16 * 4 // 2),
    ("fft_ihfft", {}, T((3, 16)), T((3, 9), "complex64"), 3 * 5 * 16 * 4 // 2),
    ("fft_fft2", {}, T((3, 4, 8), "complex64"), T((3, 4, 8), "complex64"), 3 * 5 * 32 * 5),
    ("fft_ifft2", {"dim": [-2, -1]}, T((3, 4, 8), "complex64"), T((3, 4, 8), "complex64"), 3 * 5 * 32 * 5),
    ("fft_rfft2", {}, T((3, 4, 8)), T((3, 4, 5), "complex64"), 3 * 5 * 32 * 5 // 2),
    ("fft_rfft2", {"s": [4, 8]}, T((3, 4, 6)), T((3, 4, 5), "complex64"), 3 * 5 * 32 * 5 // 2),
    ("fft_irfft2", {}, T((3, 4, 5), "complex64"), T((3, 4, 8)), 3 * 5 * 32 * 5 // 2),
    ("fft_fftn", {}, T((2, 4, 8), "complex64"), T((2, 4, 8), "complex64"), 5 * 64 * 6),
    ("fft_fftn", {"s": [4, 8]}, T((2, 4, 8), "complex64"), T((2, 4, 8), "complex64"), 2 * 5 * 32 * 5),
    ("fft_ifftn", {}, T((2, 4, 8), "complex64"), T((2, 4, 8), "complex64"), 5 * 64 * 6),
    ("fft_rfftn", {}, T((2, 4, 8)), T((2, 4, 5), "complex64"), 5 * 64 * 6 // 2),
    ("fft_irfftn", {}, T((2, 4, 5), "complex64"), T((2, 4, 8)), 5 * 64 * 6 // 2),
]


@pytest.mark.parametrize("case", CASES, ids=lambda c: f"{c[0]}-{c[1]}")
def test_transforms(case: tuple[str, dict[str, Any], T, T, int]) -> None:
    op, given, operand, result, expected = case
    work = work_of(f"aten.{op}", {"self": operand} | given, result)
    assert (work.pointwise_flops, work.contraction_flops, work.kind) == (expected, 0, "library")


@pytest.mark.parametrize("op", ["fft_fftshift", "fft_ifftshift", "fft_fftfreq", "fft_rfftfreq"])
def test_what_only_moves(op: str) -> None:
    assert work_of(f"aten.{op}", {"self": T((8,))}, T((8,))).pointwise_flops == 0


@pytest.mark.parametrize("window", [True, False])
@pytest.mark.parametrize("as_parts", [True, False])
def test_short_time_transform(window: bool, as_parts: bool) -> None:
    """Two signals, five frames of 16 samples each."""
    result = T((2, 9, 5, 2)) if as_parts else T((2, 9, 5), "complex64")
    given = {"self": T((2, 80)), "n_fft": 16} | ({"window": T((16,))} if window else {})
    work = work_of("aten.stft", given, result)
    frames, samples = 2 * 5, 2 * 5 * 16
    assert work.pointwise_flops == frames * 5 * 16 * 4 // 2 + (samples if window else 0)
    # With a window the frames are written and read once more.
    assert work.bytes_read == 4 * 160 + (4 * 16 + 4 * samples if window else 0)
    assert work.bytes_written == 8 * 2 * 9 * 5 + (4 * samples if window else 0)


def test_open_lengths() -> None:
    builder = ic.GraphBuilder()
    n, batch = builder.size("n", default=8), builder.size("batch", default=2)
    x = builder.tensor("complex64", (batch, n), role="input")
    y = builder.tensor("complex64", (batch, n))
    builder.node("aten._fft_c2c.default", {"self": x, "dim": [1]}, [y])
    graph = builder.build([x], [y])
    total = ic.count(graph).total.pointwise_flops
    assert total == 5 * ic.Expr("batch") * ic.Expr("n_log2_n(n)")
    assert ic.Expr(str(total)) == total
    for length in (1, 2, 10, 1000, 1024):
        assert ic.count(graph, n=length, batch=3).total.pointwise_flops == 3 * (flops(length) if length > 1 else 0)
    seconds = ic.sweep(graph, hardware="a100-sxm-80gb", n=[256, 1 << 20], batch=64)["latency_s"]
    assert seconds[1] > seconds[0] > 0


def test_every_row_is_among_the_cases() -> None:
    moving = {f"aten.{op}" for op in ("fft_fftshift", "fft_ifftshift", "fft_fftfreq", "fft_rfftfreq", "stft")}
    assert {r.op for r in _core.rules() if r.family == "fourier"} == {f"aten.{c[0]}" for c in CASES} | moving
