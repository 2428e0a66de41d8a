"""Backward operators that are products, compared with gradients that count their own operations."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from support import reference_backward as backward
from support.reference import Tally, convolution, numbers, transposed_convolution
from support.single_node import T, work_of

from pyinfercost import _core

MASKS = [mask for mask in itertools.product((True, False), repeat=3) if any(mask)]

CONVOLUTIONS = [
    ((2, 4, 7), (6, 4, 3), 1, {"stride": [2], "padding": [1], "dilation": [1]}),
    ((2, 4, 6), (6, 2, 2), 2, {"stride": [1], "padding": [0], "dilation": [2]}),
    ((1, 4, 5, 5), (4, 1, 3, 3), 4, {"stride": [1, 2], "padding": [1, 1], "dilation": [1, 1]}),
    ((1, 2, 3, 4, 3), (3, 2, 2, 2, 2), 1, {"stride": [1, 1, 1], "padding": [0, 1, 0], "dilation": [1, 1, 1]}),
]


@pytest.mark.parametrize("mask", MASKS, ids=str)
@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize(("shape", "weight", "groups", "options"), CONVOLUTIONS)
def test_convolution(
    shape: Any, weight: Any, groups: int, options: dict[str, Any], transposed: bool, mask: Sequence[bool]
) -> None:
    """Every multiply-accumulate of the forward occurs once in the gradient of the input, and once in the weight's."""
    tally = Tally("contraction")
    x = numbers(tally, shape)
    if transposed:
        weight = (shape[1], weight[0] // groups, *weight[2:])
        result = transposed_convolution(
            x, numbers(tally, weight), groups=groups, output_padding=[0] * (len(shape) - 2), **options
        )
    else:
        result = convolution(x, numbers(tally, weight), groups=groups, **options)
    arguments = {"grad_output": T(result.shape), "input": T(shape), "weight": T(weight), "groups": groups}
    arguments |= {"transposed": transposed, "output_mask": list(mask), **options}
    work = work_of("aten.convolution_backward", arguments, T(shape), T(weight), T((weight[0],)))
    assert work.contraction_flops == 2 * tally.multiplications * (mask[0] + mask[1])
    assert work.pointwise_flops == (result.size if mask[2] else 0)  # the sums of the bias
    written = np.prod(shape) + np.prod(weight) + weight[0]
    assert work.bytes_written == 4 * written
    assert work.bytes_read == 4 * (result.size + mask[0] * np.prod(weight) + mask[1] * np.prod(shape))


@pytest.mark.parametrize("mask", MASKS, ids=str)
def test_linear(mask: Sequence[bool]) -> None:
    tally = Tally("contraction")
    g, x, weight = (numbers(tally, shape) for shape in ((5, 4), (5, 3), (4, 3)))
    if mask[0]:
        np.matmul(g, weight)
    if mask[1]:
        np.matmul(g.T, x)
    arguments = {"self": T(x.shape), "grad_output": T(g.shape), "weight": T(weight.shape), "output_mask": list(mask)}
    work = work_of("aten.linear_backward", arguments, T(x.shape), T(weight.shape), T((4,)))
    assert work.contraction_flops == 2 * tally.multiplications
    assert work.pointwise_flops == (g.size if mask[2] else 0)


ATTENTION = {
    "aten._scaled_dot_product_flash_attention_backward": "",
    "aten._scaled_dot_product_flash_attention_for_cpu_backward": "attn_mask",
    "aten._scaled_dot_product_efficient_attention_backward": "attn_bias",
    "aten._scaled_dot_product_cudnn_attention_backward": "attn_bias",
    "aten._scaled_dot_product_fused_attention_overrideable_backward": "attn_bias",
}


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("op", ATTENTION)
def test_attention(op: str, masked: bool) -> None:
    if masked and not ATTENTION[op]:
        pytest.skip("takes no mask")
    tally = Tally("contraction")
    query, key = numbers(tally, (2, 3, 4)), numbers(tally, (2, 5, 4))
    value, g = numbers(tally, (2, 5, 6)), numbers(tally, (2, 3, 6))
    backward.attention_backward(g, query, key, value, g, masked=masked)
    q, k, v, out = (T((1, *array.shape)) for array in (query, key, value, g))
    arguments: dict[str, Any] = {"grad_out": out, "query": q, "key": k, "value": v, "out": out}
    arguments |= {"logsumexp": T((1, 2, 3)), "is_causal": True} | ({ATTENTION[op]: T((3, 5))} if masked else {})
    work = work_of(op, arguments, q, k, v)
    assert work.contraction_flops == 2 * tally.multiplications
    assert work.pointwise_flops == tally.pointwise
    seen = 1 + 2 + 3  # of the 15 scores of a head
    assert work.causal_flops == work.contraction_flops * seen // 15


@pytest.mark.parametrize("mask", [False, True])
def test_deformable_convolution(mask: bool) -> None:
    """One sampled element at a time: again for the weight, then its gradient to input, coordinates and mask."""
    outputs, channels, window, positions, groups = 6, 4, 9, 16, 2
    tally = Tally("contraction")
    numbers_ = iter(numbers(tally, (32,)).flat)
    g, neighbors, shares = next(numbers_), [next(numbers_) for _ in range(4)], [next(numbers_) for _ in range(4)]
    place = next(numbers_)
    sampled = positions * channels * window
    for _ in range(outputs // groups):
        g * place  # gradient of the column
        g * place  # gradient of the weight
    products = tally.multiplications * sampled
    with tally.part("pointwise"):
        value = np.dot(np.array(neighbors), np.array(shares))
        if mask:
            value = value * place
        for share in shares:
            g * share + place
        for _ in range(2):
            np.dot(np.array(neighbors), np.array(shares)) * g + place
        if mask:  # the gradients of what it scales, and its own: a product and an addition
            place * g
            value * g + place
    arguments: dict[str, Any] = {"grad": T((1, outputs, 4, 4)), "input": T((1, channels, 4, 4))}
    arguments |= {"weight": T((outputs, channels // groups, 3, 3)), "groups": groups, "use_mask": mask}
    work = work_of("torchvision._deform_conv2d_backward", arguments, T((1, channels, 4, 4)))
    assert work.contraction_flops == 2 * products
    assert work.pointwise_flops == sampled * tally.pointwise + outputs * positions  # and the bias


def test_every_row_has_a_definition() -> None:
    tested = {"aten.convolution_backward", "aten.linear_backward", "torchvision._deform_conv2d_backward", *ATTENTION}
    missing = {rule.op for rule in _core.rules() if rule.family == "backward_contraction"} - tested
    assert not missing, f"give these rows a definition: {sorted(missing)}"
