"""Resampling compared with counting weighted sums; boxes compared with arithmetic."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from support.reference import Tally, apply, numbers
from support.single_node import T, work_of

from pyinfercost import _core


def weighted_sum(tally: Tally, neighbors: int) -> None:
    if neighbors:
        np.dot(numbers(tally, (neighbors,)), np.full(neighbors, 0.25))


UPSAMPLED = {
    **{f"aten.upsample_nearest{axes}d": (axes, 0) for axes in (1, 2, 3)},
    **{f"aten._upsample_nearest_exact{axes}d": (axes, 0) for axes in (1, 2, 3)},
    "aten.upsample_linear1d": (1, 2),
    "aten.upsample_bilinear2d": (2, 4),
    "aten.upsample_trilinear3d": (3, 8),
    "aten.upsample_bicubic2d": (2, 16),
}


@pytest.mark.parametrize("op", UPSAMPLED)
def test_upsampling(op: str) -> None:
    """Each result is a weighted sum of its neighbors, with weights that whole rows and columns share."""
    axes, neighbors = UPSAMPLED[op]
    tally = Tally()
    for _ in range(3 * 6**axes):
        weighted_sum(tally, neighbors)
    work = work_of(op, {"self": T((1, 3, *(4,) * axes))}, T((1, 3, *(6,) * axes)))
    assert work.pointwise_flops == tally.pointwise


ANTIALIASED = {"bilinear": 2, "bicubic": 4, "lanczos": 6}  # elements in the window at full size


@pytest.mark.parametrize(("height", "width", "widened"), [(8, 8, 1), (4, 4, 1), (2, 2, 2)])
@pytest.mark.parametrize("kind", ANTIALIASED)
def test_antialiased(kind: str, height: int, width: int, widened: int) -> None:
    """Columns first, then rows; at half the size the window is twice as wide."""
    tally = Tally()
    for _ in range(3 * 4 * width):
        weighted_sum(tally, ANTIALIASED[kind] * widened)
    for _ in range(3 * height * width):
        weighted_sum(tally, ANTIALIASED[kind] * widened)
    work = work_of(f"aten._upsample_{kind}2d_aa", {"self": T((1, 3, 4, 4))}, T((1, 3, height, width)))
    assert work.pointwise_flops == tally.pointwise


GRIDS = {
    "aten.grid_sampler": (2, {0: 4, 1: 0, 2: 16}),
    "aten.grid_sampler_2d": (2, {0: 4, 1: 0, 2: 16}),
    "aten._grid_sampler_2d_cpu_fallback": (2, {0: 4, 1: 0, 2: 16}),
    "aten.cudnn_grid_sampler": (2, {0: 4}),
    "aten.grid_sampler_3d": (3, {0: 8, 1: 0}),
}


@pytest.mark.parametrize(
    ("op", "mode"), [(op, mode) for op, (_, neighbors) in GRIDS.items() for mode in neighbors], ids=str
)
def test_grids(op: str, mode: int) -> None:
    axes, neighbors = GRIDS[op]
    tally = Tally()
    for _ in range(2 * 3 * 5**axes):
        weighted_sum(tally, neighbors[mode])
    shapes = {"input": T((2, 3, *(4,) * axes)), "grid": T((2, *(5,) * axes, axes))}
    work = work_of(op, shapes | {"interpolation_mode": mode}, T((2, 3, *(5,) * axes)))
    assert work.pointwise_flops == tally.pointwise
    assert work.contraction_flops == 0


@pytest.mark.parametrize("axes", [2, 3])
@pytest.mark.parametrize("op", ["affine_grid_generator", "cudnn_affine_grid_generator"])
def test_affine_grids(op: str, axes: int) -> None:
    tally = Tally("contraction")
    for i in range(2):  # one matrix per image, and 1 beside the positions
        np.matmul(numbers(tally, (5**axes, axes + 1), i), numbers(tally, (axes, axes + 1), i).T)
    work = work_of(f"aten.{op}", {"theta": T((2, axes, axes + 1))}, T((2, *(5,) * axes, axes)))
    assert (work.contraction_flops, work.pointwise_flops) == (2 * tally.multiplications, 0)


@pytest.mark.parametrize("op", ["torchvision.roi_align", "torchvision.ps_roi_align"])
@pytest.mark.parametrize(("ratio", "samples"), [(2, 4), (3, 9), (-1, 4), (0, 4)])
@pytest.mark.sample(4)
def test_boxes_are_aligned(op: str, ratio: int, samples: int) -> None:
    """A result is the mean of its samples, each of which is a weighted sum of four."""
    tally = Tally()
    for _ in range(5 * 3 * 7 * 7):
        total = numbers(tally, (1,))[0]
        for _ in range(samples - 1):
            weighted_sum(tally, 4)
            total = total + 1.0
        weighted_sum(tally, 4)
        _ = total / samples
    given: dict[str, Any] = {"input": T((1, 3, 32, 32)), "rois": T((5, 5)), "sampling_ratio": ratio}
    work = work_of(op, given | {"pooled_height": 7, "pooled_width": 7}, T((5, 3, 7, 7)))
    assert work.pointwise_flops == tally.pointwise


@pytest.mark.parametrize("op", ["torchvision.roi_pool", "torchvision.ps_roi_pool"])
def test_boxes_are_pooled_by_convention(op: str) -> None:
    work = work_of(op, {"input": T((1, 3, 32, 32)), "rois": T((5, 5))}, T((5, 3, 7, 7)))
    assert work.pointwise_flops == 5 * 3 * 7 * 7


def test_suppression() -> None:
    """All pairs of six boxes; the area of each box is known by then."""
    tally = Tally()
    boxes = numbers(tally, (6, 4))
    for i in range(6):
        for j in range(i):
            a, b = boxes[i], boxes[j]
            width = apply("minimum", a[2], b[2]) - apply("maximum", a[0], b[0])
            height = apply("minimum", a[3], b[3]) - apply("maximum", a[1], b[1])
            shared = apply("maximum", width, 0.0) * apply("maximum", height, 0.0)
            _ = shared / (0.5 + (0.5 - shared)) > 0.5
    work = work_of("torchvision.nms", {"dets": T((6, 4)), "scores": T((6,))}, T((3,), "int64"))
    assert work.pointwise_flops == tally.pointwise


def test_every_row_is_among_the_cases() -> None:
    tested = {*UPSAMPLED, *GRIDS, *(f"aten._upsample_{kind}2d_aa" for kind in ANTIALIASED)}
    tested |= {f"aten.{op}" for op in ("affine_grid_generator", "cudnn_affine_grid_generator")}
    tested |= {f"torchvision.{op}" for op in ("roi_align", "ps_roi_align", "roi_pool", "ps_roi_pool", "nms")}
    assert {r.op for r in _core.rules() if r.family == "sampling"} == tested
