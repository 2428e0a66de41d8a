"""Models of diffusers pipelines from `config.json`: class, inputs, sizes, and errors."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from support.diffusion_configs import UNET
from torch.utils.flop_counter import FlopCounterMode

import pyinfercost as ic
from pyinfercost.sources.loaded_model import SpecError
from pyinfercost.sources.models import load_model

pytestmark = pytest.mark.torch

diffusers = pytest.importorskip("diffusers")

FLUX = {
    "_class_name": "FluxTransformer2DModel",
    "num_layers": 1,
    "num_single_layers": 1,
    "num_attention_heads": 2,
    "attention_head_dim": 16,
    "axes_dims_rope": [4, 6, 6],
    "joint_attention_dim": 32,
    "pooled_projection_dim": 8,
    "in_channels": 4,
    "guidance_embeds": True,
}


def spec_of(folder: Path, config: dict[str, Any]) -> str:
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    return f"diffusers:{folder}"


@pytest.mark.parametrize("config", [UNET, FLUX], ids=["unet", "flux"])
@pytest.mark.slow
def test_products_are_those_that_torch_counts(tmp_path: Path, config: dict[str, Any]) -> None:
    spec = spec_of(tmp_path, config)
    counts = ic.count(ic.capture(spec))
    loaded = load_model(spec, {})
    real = loaded.module.to_empty(device="cpu")
    with torch.no_grad():
        for tensor in (*real.parameters(), *real.buffers()):
            tensor.zero_()
    inputs = torch.utils._pytree.tree_map_only(torch.Tensor, lambda t: torch.zeros_like(t, device="cpu"), loaded.kwargs)
    # With gradients attention is taken apart into products that the counter knows.
    with (
        torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH),
        FlopCounterMode(display=False) as counter,
    ):
        real(**inputs)
    assert not counts.unmodelled
    assert counter.get_total_flops() > 0
    assert int(counts.total.contraction_flops) == counter.get_total_flops()


def test_inputs_follow_from_the_configuration(tmp_path: Path) -> None:
    loaded = load_model(spec_of(tmp_path, UNET) + "/config.json", {"batch": 2, "sequence": 5})
    assert {name: tuple(value.shape) for name, value in loaded.kwargs.items()} == {
        "sample": (2, 4, 16, 16),
        "timestep": (2,),
        "encoder_hidden_states": (2, 5, 24),
    }
    assert loaded.dynamic == {name: {0: "batch"} for name in loaded.kwargs}
    assert load_model(spec_of(tmp_path, UNET), {"sample_size": 8}).kwargs["sample"].shape == (1, 4, 8, 8)
    flux = load_model(spec_of(tmp_path, FLUX), {"sample_size": 4}).kwargs
    assert flux["hidden_states"].shape == (1, 16, 4)
    assert flux["img_ids"].shape == (16, 3)
    assert flux["guidance"].shape == (1,)
    assert "guidance" not in load_model(spec_of(tmp_path, FLUX | {"guidance_embeds": False}), {}).kwargs


@pytest.mark.slow
def test_one_capture_serves_every_batch(tmp_path: Path) -> None:
    spec = spec_of(tmp_path, UNET)
    loaded = load_model(spec, {"batch": 2})
    graph = ic.capture(loaded.module, loaded.inputs, dynamic=loaded.dynamic)
    assert list(graph.sizes) == ["batch"]
    for batch in (2, 5):
        counts, fresh = ic.count(graph, batch=batch), ic.count(ic.capture(spec, batch=batch))
        assert counts.total.to_dict() == fresh.total.to_dict()


def test_what_cannot_be_had_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"config\.json: no such file"):
        load_model(f"diffusers:{tmp_path}", {})
    with pytest.raises(SpecError, match="_class_name 'StableDiffusionPipeline', which is not a model of diffusers"):
        load_model(spec_of(tmp_path, {"_class_name": "StableDiffusionPipeline"}), {})
    with pytest.raises(SpecError, match="_class_name None"):
        load_model(spec_of(tmp_path, {}), {})
    spec = spec_of(tmp_path, UNET)
    with pytest.raises(SpecError, match=r"has no size 'frames'; expected batch or sample_size or sequence"):
        load_model(spec, {"frames": 3})
    with pytest.raises(
        SpecError, match=r"size batch of diffusers:.* is 0; expected a whole number from 1 to 9007199254740992"
    ):
        load_model(spec, {"batch": 0})
    (tmp_path / "config.json").write_text("no JSON", encoding="utf-8")
    with pytest.raises(SpecError, match="is no JSON"):
        load_model(f"diffusers:{tmp_path}/config.json", {})
