"""Graphs of convolutional networks with a named image size are those of captures at each size."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from support.language_configs import spec_of

import pyinfercost as ic
from pyinfercost.predict.exploration import explore_on
from pyinfercost.sources.captured import graph_over
from pyinfercost.sources.open_images import with_open_image

pytestmark = pytest.mark.torch

OPEN = ("torchvision:resnet18", "torchvision:vgg11", "torchvision:mobilenet_v3_small", "timm:convnext_atto")
FIXED = ("torchvision:swin_t", "torchvision:vit_b_16", "timm:mixer_s16_224", "torchvision:r3d_18")
"""Models with windows, tables of positions, weights for each patch, and videos."""
FIGURES = ("contraction_flops", "pointwise_flops", "bytes_read", "bytes_written", "peak_memory_bytes")
WAYS: tuple[dict[str, Any], ...] = (
    {"hardware": "a100-sxm-80gb", "execution": "eager"},
    {"hardware": "a100-sxm-80gb", "execution": "compiled"},
    {"hardware": "epyc-9654", "execution": "eager"},
)


def at_one_size(spec: str, **image: int) -> Any:
    return graph_over(spec, {"batch": [1, 2], **{name: [side] for name, side in image.items()}})


@pytest.mark.parametrize("spec", OPEN)
@pytest.mark.sample(1)
def test_open_images_cost_what_captures_at_their_size_do(spec: str) -> None:
    if spec.startswith("timm:"):
        pytest.importorskip("timm")
    found = at_one_size(spec)
    opened = with_open_image(spec, found, {"batch": 1})
    assert opened.sizes["image_size"] == 224
    assert opened.graph.size_values({})["image_size"] == 224
    for side in (160, 224, 288) if spec == OPEN[0] else (160,):
        fixed = at_one_size(spec, image_size=side).graph
        totals = [ic.count(opened.graph, batch=4, image_size=side).total, ic.count(fixed, batch=4).total]
        assert [getattr(totals[0], name) for name in FIGURES] == [getattr(totals[1], name) for name in FIGURES]
        for way in WAYS:
            times = [
                ic.estimate(opened.graph, batch=4, image_size=side, **way).latency_s,
                ic.estimate(fixed, batch=4, **way).latency_s,
            ]
            assert times[0] == pytest.approx(times[1], rel=1e-9), (side, way)


RESNET = {
    "model_type": "resnet",
    "architectures": ["ResNetForImageClassification"],
    "embedding_size": 8,
    "hidden_sizes": [8, 16],
    "depths": [1, 1],
    "layer_type": "basic",
}
VIT = {"model_type": "vit", "architectures": ["ViTForImageClassification"], "hidden_size": 32, "num_hidden_layers": 1}


def test_configs_of_convolutional_networks_open_their_images(tmp_path: Path) -> None:
    spec = spec_of(tmp_path, RESNET)
    found = at_one_size(spec)
    opened = with_open_image(spec, found, {"batch": 1})
    assert opened.sizes["image_size"] == 224
    assert "image_size" not in opened.fixed
    for side in (160, 224):
        fixed = at_one_size(spec, image_size=side).graph
        totals = [ic.count(opened.graph, batch=4, image_size=side).total, ic.count(fixed, batch=4).total]
        assert [getattr(totals[0], name) for name in FIGURES] == [getattr(totals[1], name) for name in FIGURES]


def test_configs_with_attention_between_patches_keep_their_image_size(tmp_path: Path) -> None:
    spec = spec_of(tmp_path, VIT | {"num_attention_heads": 2, "intermediate_size": 64})
    found = at_one_size(spec)
    assert with_open_image(spec, found, {"batch": 1}) is found


@pytest.mark.parametrize("spec", FIXED)
@pytest.mark.slow
def test_other_models_keep_their_image_size(spec: str) -> None:
    if spec.startswith("timm:"):
        pytest.importorskip("timm")
    found = at_one_size(spec)
    assert with_open_image(spec, found, {"batch": 1}) is found


@pytest.mark.slow
def test_explorations_open_images() -> None:
    page = explore_on(ic.Deployment(hardware="l4"), "torchvision:resnet18", {"batch": 2, "image_size": 256})
    (phase,) = page.phases
    assert dict(phase.profile.sizes) == {"batch": 2, "image_size": 256}
    alone = ic.profile("torchvision:resnet18", hardware="l4", batch=2, image_size=256)
    assert phase.profile.estimate is not None
    assert alone.estimate is not None
    assert phase.profile.estimate.latency_s == pytest.approx(alone.estimate.latency_s, rel=1e-9)
