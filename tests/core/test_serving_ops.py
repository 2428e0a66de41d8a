"""Fused kernels of vLLM: what they move and compute, counted by hand."""

from __future__ import annotations

import pytest
from support.single_node import T, single_node

import pyinfercost as ic
from pyinfercost import _core

TOKENS, WIDTH, HEADS, HEAD = 96, 4096, 8, 128
HALF = 2  # bytes of an element


@pytest.mark.parametrize(
    ("op", "flops_of_an_element", "read"),
    [
        ("silu_and_mul", 5, 2 * WIDTH),
        ("gelu_and_mul", 6, 2 * WIDTH),
        ("gelu_tanh_and_mul", 10, 2 * WIDTH),
        ("gelu_new", 9, WIDTH),
        ("gelu_fast", 9, WIDTH),
    ],
)
def test_activations(op: str, flops_of_an_element: int, read: int) -> None:
    graph = single_node(f"_C.{op}", {"input": T((TOKENS, read), "float16")}, T((TOKENS, WIDTH), "float16"))
    counts = ic.count(graph)
    assert counts.total.flops == flops_of_an_element * TOKENS * WIDTH
    assert counts.total.bytes_read == TOKENS * read * HALF
    assert counts.total.bytes_written == TOKENS * WIDTH * HALF


@pytest.mark.parametrize("residual", [False, True])
def test_norms(residual: bool) -> None:
    tokens = T((TOKENS, WIDTH), "float16")
    arguments = {"input": tokens, "weight": T((WIDTH,), "float16", role="parameter")}
    if residual:
        arguments["residual"] = tokens
    counts = ic.count(single_node(f"_C.{'fused_add_' if residual else ''}rms_norm", arguments, tokens))
    assert counts.total.flops == (5 if residual else 4) * TOKENS * WIDTH
    assert counts.total.bytes_written == (2 if residual else 1) * TOKENS * WIDTH * HALF


def test_rotary_embeddings() -> None:
    turned = T((TOKENS, HEADS, HEAD), "float16")
    arguments = {
        "positions": T((TOKENS,), "int64"),
        "query": turned,
        "cos_sin_cache": T((1024, HEAD), "float16"),
    }
    counts = ic.count(single_node("_C.rotary_embedding", arguments, turned))
    assert counts.total.flops == 3 * TOKENS * HEADS * HEAD
    assert counts.total.bytes_written == TOKENS * HEADS * HEAD * HALF
    # Of the table of angles, a row for each token.
    assert counts.total.bytes_read == TOKENS * (8 + HEADS * HEAD * HALF + HEAD * HALF)


def test_a_kernel_takes_as_long_as_a_block_goes_along_a_token() -> None:
    """One token keeps one core busy, and as long as ten keep ten."""
    hardware = ic.hardware.load("a100-sxm-80gb")
    seconds = []
    for tokens in (1, 10, 100_000):
        node = single_node("_C.rms_norm", {"input": T((tokens, WIDTH), "float16")}, T((tokens, WIDTH), "float16"))
        (kernel,) = _core.evaluate_kernels(_core.plan(node, {}, execution="cuda_graph"), {}, hardware)
        seconds.append(kernel.compute_s)
    assert seconds[0] == seconds[1] < seconds[2]
    assert seconds[0] == pytest.approx(4 * WIDTH * hardware.constants["token_rows.element_s"])
