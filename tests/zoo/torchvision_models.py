"""Every model that torchvision lists (quantized ones have a file of their own), once per set of published weights.

The figures are those of `weights.meta`: `_ops` is in 10^9 multiply-accumulates, and was counted by torchvision on noise
of 512x512 pixels that went through the weights' own transforms; video clips had 16 frames, and detection models resize
the image themselves.

Two-stage detectors work on as many boxes as they find, so their figures hold for what the published weights found in
noise. Each follows from its own arithmetic, with the heads' work per box:

- `fasterrcnn_resnet50_fpn` and its kin keep 1000 proposals: the default, all boxes survive the first stage.
- `fasterrcnn_mobilenet_v3_large_fpn` drops proposals with a score below 0.05, and has 4.494: none was left. With the
  1000 that it keeps at most it is 18.853, which is 1000 * (7*7*256*1024 + 1024*1024 + 1024*91*5) = 14_359_552_000 more.
  The model for 320 pixels keeps 150 and has 0.719: again none, of 2.873.
- `maskrcnn_resnet50_fpn` has the figure of `fasterrcnn_resnet50_fpn`, 134.380: no box was found, so the mask head ran
  on none. `maskrcnn_resnet50_fpn_v2` has 333.577, which is 53.206 more than `fasterrcnn_resnet50_fpn_v2` with 280.371.
  Its mask head takes 4*14*14*256*256*9 + 4*14*14*256*256 + 28*28*256*91 = 532_066_304 per box: 100 boxes, the most
  that it keeps, and the default.
- `keypointrcnn_resnet50_fpn` has 137.420 with one set of weights and 133.924 with the other. Its keypoint head takes
  14*14*512*(256*9 + 7*512*9 + 17*16) = 3_495_460_864 per box: one box was found, and none.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from torchvision import models
from zoo.case import Built, Case

from pyinfercost.sources.models import load_model

NOISE_SIDE = 512
GIGA = 10**9

# How many boxes the published weights found in noise, where that is not the default.
BOXES_FOUND: dict[str, Mapping[str, int]] = {
    "fasterrcnn_mobilenet_v3_large_fpn:COCO_V1": {"rpn.nonzero_2": 0},
    "fasterrcnn_mobilenet_v3_large_320_fpn:COCO_V1": {"rpn.nonzero_2": 0},
    "maskrcnn_resnet50_fpn:COCO_V1": {"roi_heads.nms": 0},
    "keypointrcnn_resnet50_fpn:COCO_LEGACY": {"roi_heads.nms": 0},
    "keypointrcnn_resnet50_fpn:COCO_V1": {"roi_heads.nms": 1},
}


def cases() -> list[Case]:
    """Return one case per name and set of weights, and one per model with a figure for other settings."""
    listed = []
    for name in models.list_models():
        family = models.get_model_builder(name).__module__.split(".")[2]
        if family == "quantization":
            continue
        group = family if family in {"detection", "segmentation", "video", "optical_flow"} else "classification"
        for weights in models.get_model_weights(name):
            case = f"{name}:{weights.name}"
            found = BOXES_FOUND.get(case, {})
            listed.append(
                Case(
                    "torchvision",
                    case,
                    group,
                    partial(_build, name, _side(weights, group)),
                    partial(_flops, weights),
                    partial(_parameters, weights),
                    sizes=found,
                )
            )
        if any(key.partition(":")[0] == name for key in BOXES_FOUND):
            listed.append(Case("torchvision", name, group, partial(_build, name, NOISE_SIDE)))
    return listed


def _build(name: str, side: int) -> Built:
    loaded = load_model(f"torchvision:{name}", {"image_size": side})
    return loaded.module, loaded.args, loaded.kwargs


def _side(weights: Any, group: str) -> int:
    """Return the side of the square image that the weights' transforms make of a square one."""
    if group in {"detection", "optical_flow"}:
        return NOISE_SIDE
    options = weights.transforms.keywords
    side = options.get("crop_size", options.get("resize_size"))
    return side if isinstance(side, int) else int(side[0])


def _flops(weights: Any) -> int:
    return 2 * round(weights.meta["_ops"] * GIGA)


def _parameters(weights: Any) -> int:
    return int(weights.meta["num_params"])
