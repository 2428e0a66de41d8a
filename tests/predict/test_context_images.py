"""Context parallelism of diffusers: tokens of images and texts that all attend to each other."""

from __future__ import annotations

import json
import re
from collections import Counter
from functools import cache
from pathlib import Path
from typing import Any

import pytest

import pyinfercost as ic
from pyinfercost.deployment import LayoutError

pytestmark = pytest.mark.torch
pytest.importorskip("diffusers", reason="needs diffusers: pip install 'pyinfercost[models]'")

H100 = "h100-sxm-80gb"
HEADS, HEAD = 4, 16
WIDTH = HEADS * HEAD
_WIDE: dict[str, Any] = {"num_attention_heads": HEADS, "attention_head_dim": HEAD}
_IMAGE: dict[str, Any] = {"sample_size": 16, "patch_size": 2, "in_channels": 4, "out_channels": 8}
CONFIGS: dict[str, dict[str, Any]] = {
    "DiTTransformer2DModel": {**_WIDE, **_IMAGE, "num_layers": 2},
    "PixArtTransformer2DModel": {
        **_WIDE, **_IMAGE, "num_layers": 2, "cross_attention_dim": WIDTH, "caption_channels": 32,
    },
    "FluxTransformer2DModel": {
        **_WIDE, "num_layers": 1, "num_single_layers": 1, "axes_dims_rope": [4, 6, 6], "joint_attention_dim": 32,
        "pooled_projection_dim": 8, "in_channels": 4, "guidance_embeds": True,
    },
    "QwenImageTransformer2DModel": {
        **_WIDE, "num_layers": 2, "axes_dims_rope": [4, 6, 6], "joint_attention_dim": 32, "in_channels": 4,
        "out_channels": 4,
    },
    "WanTransformer3DModel": {
        **_WIDE, "num_layers": 2, "ffn_dim": 128, "text_dim": 32, "in_channels": 4, "out_channels": 4,
    },
    "UNet2DConditionModel": {
        "sample_size": 16, "block_out_channels": [32, 64], "down_block_types": ["CrossAttnDownBlock2D", "DownBlock2D"],
        "up_block_types": ["UpBlock2D", "CrossAttnUpBlock2D"], "cross_attention_dim": 24, "attention_head_dim": 8,
        "layers_per_block": 1,
    },
}  # fmt: skip
TEXT = 80
TOKENS = {
    "DiTTransformer2DModel": (8 * 8, 0),
    "PixArtTransformer2DModel": (8 * 8, 0),
    "FluxTransformer2DModel": (64 * 64, TEXT),
    "QwenImageTransformer2DModel": (64 * 64, TEXT),
    "WanTransformer3DModel": (9 * 32 * 32, 0),
}
"""Tokens of the image, and those of the text that attend with them."""

LAYERS = 2
ALL = list(TOKENS)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("configs")


@cache
def captured(folder: Path, name: str) -> ic.Graph:
    path = folder / name
    path.mkdir(exist_ok=True)
    (path / "config.json").write_text(json.dumps({"_class_name": name, **CONFIGS[name]}), encoding="utf-8")
    sizes = {"sequence": TEXT} if TOKENS.get(name, (0, 0))[1] else {}
    return ic.capture(f"diffusers:{path}", **sizes)


def contractions(graph: ic.Graph) -> Counter[str]:
    found: Counter[str] = Counter()
    for row in ic.count(graph).layers:
        found[row.module] += row.work.contraction_flops
    return +found


def gathered(rank: ic.Graph) -> list[tuple[int, Any, Any]]:
    return [
        (node.argument("devices"), node.argument("nodes"), node.inputs[0].shape)
        for node in rank.nodes
        if node.op == "collective.all_gather"
    ]


@pytest.mark.parametrize("ranks", [2, 4])
@pytest.mark.parametrize("name", ALL)
@pytest.mark.sample(1)
def test_ranks_share_the_tokens_of_an_image(folder: Path, name: str, ranks: int) -> None:
    whole = captured(folder, name)
    rank = ic.devices.rank_graph(whole, f"context={ranks}")
    *attended, result = gathered(rank)
    # Keys and values of the rank's tokens, in one message for each attention, and the result of the model.
    assert attended == [(ranks, 1, (2 * sum(TOKENS[name]) // ranks * WIDTH,))] * LAYERS
    assert result[0] == ranks
    assert [node.op for node in rank.nodes if node.op.startswith("collective.")] == ["collective.all_gather"] * 3

    one, all_of_it = contractions(rank), contractions(whole)
    divided = {module for module, flops in all_of_it.items() if ranks * one[module] == flops}
    repeated = {module for module, flops in all_of_it.items() if one[module] == flops}
    assert divided | repeated == set(all_of_it)
    # On every rank are the products of conditions and, of cross-attention, of texts.
    assert all(
        re.search(r"norm|embed|time|text|guidance|adaln|attn2.to_[kv]|add_[kv]_proj|caption|_mod|proj_out_1", each)
        for each in repeated
    ), repeated
    assert {
        module for module in all_of_it if re.search(r"attn1?$|attn1?\.to_q|ff\.net|img_mlp|ffn\.net", module)
    } <= divided
    assert ic.count(rank).total.parameters == ic.count(whole).total.parameters


@pytest.mark.parametrize("name", ALL)
@pytest.mark.sample(2)
def test_ranks_exchange_tokens_of_an_image_for_heads(folder: Path, name: str) -> None:
    whole = captured(folder, name)
    rank, gathering = (ic.devices.rank_graph(whole, layout) for layout in ("context=4,ulysses=1", "context=4"))
    exchanged = [node for node in rank.nodes if node.op == "collective.all_to_all"]
    # Query, key, value and result of each attention of the image: tokens of a rank with all heads.
    assert len(exchanged) == 4 * LAYERS
    assert {node.inputs[0].nbytes for node in exchanged} == {sum(TOKENS[name]) // 4 * WIDTH * 4}
    assert contractions(rank) == contractions(gathering)


def test_heads_that_cannot_be_divided_are_refused(folder: Path) -> None:
    message = "context=8 with ulysses=1 does not divide the 4 heads of query of 'transformer_blocks.0.attn1'"
    with pytest.raises(LayoutError, match=re.escape(message)):
        ic.devices.rank_graph(captured(folder, "DiTTransformer2DModel"), "context=8,ulysses=1")


def test_texts_are_padded_and_images_are_not(folder: Path) -> None:
    rank = ic.devices.rank_graph(captured(folder, "FluxTransformer2DModel"), "context=3")
    assert gathered(rank)[0][2] == (2 * (-(-64 * 64 // 3) + -(-TEXT // 3)) * WIDTH,)
    message = (
        "context=3 does not divide the 64 tokens of 'transformer_blocks.0.attn1'; expected context to be one of 1, 2"
    )
    with pytest.raises(LayoutError, match=re.escape(message)):
        ic.devices.rank_graph(captured(folder, "DiTTransformer2DModel"), "context=3")


def test_with_tensor_and_several_machines(folder: Path) -> None:
    whole = captured(folder, "FluxTransformer2DModel")
    rank = ic.devices.rank_graph(whole, "tensor=2,context=4,nodes=2")
    attended = [each for each in gathered(rank) if each[0] == 4]
    assert attended[0] == (4, 2, (2 * sum(TOKENS["FluxTransformer2DModel"]) // 4 * WIDTH // 2,))
    summed = {(node.argument("devices"), node.argument("nodes")) for node in rank.nodes if "all_reduce" in node.op}
    assert summed == {(2, 1)}


def test_shares_are_faster(folder: Path) -> None:
    whole = captured(folder, "WanTransformer3DModel")
    one, four = (
        ic.estimate(whole, hardware=H100, layout=layout, execution="cuda_graph") for layout in ("tensor=1", "context=4")
    )
    assert four.devices == 4
    assert four.latency_s < one.latency_s
    assert [(each.op, each.devices) for each in four.exchanges] == [("all_gather", 4)]


def test_neighbors_are_refused(folder: Path) -> None:
    message = (
        "context=2 cannot divide this model: of the 256 tokens of "
        "'down_blocks.0.attentions.0.transformer_blocks.0.attn1', a convolution goes along them; expected context=1"
    )
    with pytest.raises(LayoutError, match=re.escape(message)):
        ic.devices.rank_graph(captured(folder, "UNet2DConditionModel"), "context=2")
