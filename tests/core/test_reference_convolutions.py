"""All convolution operators compared with their definition: 2 FLOPs per multiplication."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pytest
from support.reference import Array, Tally, convolution, numbers, transposed_convolution
from support.single_node import T, work_of

from pyinfercost import _core

# How libraries call them; their first operand is `self`.
DIRECT = (
    *("mkldnn_convolution", "cudnn_convolution", "miopen_convolution", "miopen_depthwise_convolution", "thnn_conv2d"),
    *("_slow_conv2d_forward", "slow_conv3d", "slow_conv3d_forward", "slow_conv_dilated2d", "slow_conv_dilated3d"),
)
TRANSPOSED = (
    *("slow_conv_transpose2d", "slow_conv_transpose3d", "cudnn_convolution_transpose", "miopen_convolution_transpose"),
)
RECTIFIED = tuple(f"{name}_convolution_{kind}relu" for name in ("cudnn", "miopen") for kind in ("", "add_"))
DEPTHWISE = ("_conv_depthwise2d", "conv_depthwise3d")


class Convolution(NamedTuple):
    """Channels and a window; the input is two images of 5 elements a side."""

    inputs: int
    outputs: int
    window: tuple[int, ...]
    stride: int = 1
    padding: int = 0
    dilation: int = 1
    groups: int = 1

    def lists(self) -> dict[str, tuple[int, ...]]:
        axes = len(self.window)
        return {"stride": (self.stride,) * axes, "padding": (self.padding,) * axes, "dilation": (self.dilation,) * axes}


CONVOLUTIONS = [
    Convolution(3, 4, (3,)),
    Convolution(3, 4, (3,), stride=2, padding=1),
    Convolution(3, 4, (3, 3), padding=1),
    Convolution(3, 4, (1, 1)),
    Convolution(3, 4, (3, 2), stride=2),
    Convolution(3, 4, (2, 2), dilation=3),
    Convolution(4, 6, (3, 3), padding=1, groups=2),
    Convolution(4, 4, (3, 3), stride=2, padding=1, groups=4),  # depthwise
    Convolution(2, 6, (3, 3), groups=2),  # depthwise with three results per channel
    Convolution(2, 3, (2, 2, 2)),
    Convolution(2, 2, (2, 3, 2), stride=2, padding=1, groups=2),
]


def attributes(c: Convolution) -> dict[str, Any]:
    return {name: list(value) for name, value in c.lists().items()} | {"groups": c.groups}


def checked(
    op: str, tally: Tally, x: Array, weight: Array, result: Array, given: dict[str, Any], name: str = "input"
) -> None:
    shape = result.shape
    shapes = {name: T(x.shape), "weight": T(weight.shape, role="parameter")}
    work = work_of(op, shapes | given, T(shape))
    assert work.contraction_flops == 2 * tally.multiplications > 0
    assert work.pointwise_flops == 0
    d = work.dimensions
    assert 2 * d["batch"] * d["m"] * d["n"] * d["k"] == work.contraction_flops
    with_bias = work_of(op, shapes | {"bias": T((shape[1],), role="parameter")} | given, T(shape))
    assert with_bias.pointwise_flops == result.size  # one addition per result
    assert with_bias.contraction_flops == work.contraction_flops


@pytest.mark.parametrize("c", CONVOLUTIONS, ids=str)
def test_convolutions(c: Convolution) -> None:
    tally = Tally("contraction")
    axes = len(c.window)
    x = numbers(tally, (2, c.inputs, *(5,) * axes))
    weight = numbers(tally, (c.outputs, c.inputs // c.groups, *c.window))
    result = convolution(x, weight, **c.lists(), groups=c.groups)
    checked(f"aten.conv{axes}d", tally, x, weight, result, attributes(c))
    for op in ("aten.convolution", "aten._convolution"):
        checked(op, tally, x, weight, result, attributes(c) | {"transposed": False})
    checked("aten._convolution_mode", tally, x, weight, result, attributes(c) | {"padding": "same"})
    checked("aten.convolution_overrideable", tally, x, weight, result, attributes(c) | {"transposed": False})
    for op in DIRECT:
        checked(f"aten.{op}", tally, x, weight, result, attributes(c), "self")
    if c.groups == c.inputs:
        for op in DEPTHWISE:
            checked(f"aten.{op}", tally, x, weight, result, attributes(c) | {"groups": 1}, "self")
    for op in RECTIFIED:
        given: dict[str, Any] = {"self": T(x.shape), "weight": T(weight.shape), "groups": c.groups}
        given |= {"z": T(result.shape)} if "add" in op else {}
        work = work_of(f"aten.{op}", given, T(result.shape))
        assert work.contraction_flops == 2 * tally.multiplications
        assert work.pointwise_flops == result.size * (2 if "add" in op else 1)  # what is added, and max
        assert work.bytes_read == 4 * (x.size + weight.size + (result.size if "add" in op else 0))


def test_convolution_with_time_first() -> None:
    """[time, batch, channels]: each result is a sum over the window and the input's channels."""
    tally = Tally("contraction")
    x, weight = numbers(tally, (5, 2, 3)), numbers(tally, (2, 3, 4))
    result = np.stack([np.matmul(x[t], weight[0]) for t in range(4)])
    for t in range(4):
        np.matmul(x[t + 1], weight[1])
    given = {"self": T(x.shape), "weight": T(weight.shape), "bias": T((4,)), "pad": 0}
    work = work_of("aten.conv_tbc", given, T(result.shape))
    assert (work.contraction_flops, work.pointwise_flops) == (2 * tally.multiplications, result.size)


@pytest.mark.parametrize("output_padding", [0, 1])
@pytest.mark.parametrize("c", [c for c in CONVOLUTIONS if c.stride > 1 or c.groups > 1 or c.dilation > 1], ids=str)
def test_transposed_convolutions(c: Convolution, output_padding: int) -> None:
    tally = Tally("contraction")
    axes = len(c.window)
    x = numbers(tally, (2, c.inputs, *(3,) * axes))
    weight = numbers(tally, (c.inputs, c.outputs // c.groups, *c.window))
    extra = (output_padding,) * axes
    result = transposed_convolution(x, weight, **c.lists(), output_padding=extra, groups=c.groups)
    checked(f"aten.conv_transpose{axes}d", tally, x, weight, result, attributes(c))
    for op in TRANSPOSED:
        checked(f"aten.{op}", tally, x, weight, result, attributes(c), "self")
    checked("aten.convolution", tally, x, weight, result, attributes(c) | {"transposed": True})


def test_every_row_is_among_the_cases() -> None:
    convolutions = {f"aten.conv{kind}{n}d" for kind in ("", "_transpose") for n in (1, 2, 3)}
    convolutions |= {f"aten.{name}" for name in ("convolution", "_convolution", "_convolution_mode")}
    convolutions |= {f"aten.{name}" for name in (*DIRECT, *TRANSPOSED, *RECTIFIED, *DEPTHWISE, "conv_tbc")}
    convolutions.add("aten.convolution_overrideable")
    convolutions.add("torchvision.deform_conv2d")  # in test_reference_products.py
    assert {rule.op for rule in _core.rules() if rule.family == "convolution"} == convolutions
