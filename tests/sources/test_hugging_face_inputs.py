"""Hugging Face models with images and audio: the class that is built, and consistent inputs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

import pyinfercost as ic

pytest.importorskip("transformers")

from zoo.transformers_models import config_file

from pyinfercost.sources.models import LoadedModel, SpecError, load_model

pytestmark = pytest.mark.torch

TEXT = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4, "vocab_size": 64}
CLIP = {**TEXT, "vocab_size": None, "image_size": 32, "patch_size": 8, "model_type": "clip_vision_model"}
LLAVA = {
    "model_type": "llava",
    "image_token_index": 60,
    "text_config": {**TEXT, "model_type": "llama"},
    "vision_config": {key: value for key, value in CLIP.items() if value is not None},
}
PAIR = {"d_model": 32, "encoder_layers": 1, "decoder_layers": 1, "encoder_attention_heads": 4, "vocab_size": 64}
PAIR |= {"decoder_attention_heads": 4, "encoder_ffn_dim": 48, "decoder_ffn_dim": 48, "pad_token_id": 0}
WHISPER = {**PAIR, "model_type": "whisper", "num_mel_bins": 8, "max_source_positions": 20}


def load(folder: Path, config: dict[str, Any], phase: str = "", **sizes: int) -> LoadedModel:
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    return load_model(f"hf:{folder}" + (f"#{phase}" if phase else ""), sizes)


def test_speech_is_paired_without_architectures(tmp_path: Path) -> None:
    loaded = load(tmp_path, WHISPER, batch=2)
    assert type(loaded.module).__name__ == "WhisperForConditionalGeneration"
    assert loaded.kwargs["input_features"].shape == (2, 8, 40)
    assert "input_ids" not in loaded.kwargs


def test_an_image_has_a_place_for_each_of_its_patches(tmp_path: Path) -> None:
    loaded = load(tmp_path, LLAVA, batch=3, sequence=10)
    assert type(loaded.module).__name__ == "LlavaForConditionalGeneration"
    ids = loaded.kwargs["input_ids"]
    places = (32 // 8) ** 2
    assert ((ids == 60).sum(-1) == places).all()
    # one token before the image, and the rest of the ten behind it
    assert ids.shape == (3, places + 10)
    graph = ic.capture(loaded.module, loaded.inputs)
    assert graph.outputs[0].shape == (3, places + 10, 64)


def test_a_larger_image_takes_more_places(tmp_path: Path) -> None:
    grid = load_model(f"hf:{config_file('qwen2_vl')}", {"image_size": 112}).kwargs
    # patches of 14, merged 2 by 2
    assert grid["image_grid_thw"].tolist() == [[1, 8, 8]]
    assert grid["pixel_values"].shape[0] == 8 * 8
    assert int(grid["mm_token_type_ids"].sum()) == 8 * 8 // 4


def test_a_model_of_timm_that_takes_one_size_alone_gets_it() -> None:
    kwargs = load_model(f"hf:{config_file('pe_video_encoder')}", {"frames": 2}).kwargs
    assert kwargs["pixel_values_videos"].shape == (1, 2, 3, 336, 336)  # as the name of its architecture ends


def test_a_decode_step_sees_tokens_alone(tmp_path: Path) -> None:
    loaded = load(tmp_path, LLAVA, "decode", context=20)
    assert "pixel_values" not in loaded.kwargs
    assert loaded.kwargs["input_ids"].shape == (1, 1)
    assert loaded.kwargs["past_key_values_0_keys"].shape == (1, 4, 20, 8)


def test_a_folder_brings_its_own_processor(tmp_path: Path) -> None:
    processor = {"image_processor_type": "CLIPImageProcessor", "size": {"shortest_edge": 32}}
    processor["crop_size"] = {"height": 32, "width": 32}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(processor), encoding="utf-8")
    assert load(tmp_path, LLAVA).kwargs["pixel_values"].shape == (1, 3, 32, 32)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"model_type": "hunyuan_v1_dense"}, "transformers cannot build its HunYuanDenseV1ForCausalLM: .* a complete"),
        ({"model_type": "bark"}, "BarkModel, which has no forward"),
        ({"model_type": "sam2_mask_decoder"}, "for which transformers has no model class"),
        ({**TEXT, "model_type": "llama", "num_attention_heads": 5}, "transformers does not support its config"),
        ({"model_type": "jev"}, "takes 'marks', which its config does not determine; give your own inputs"),
    ],
)
def test_refused(config: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=message):
        load(tmp_path, config)


def test_sizes_are_those_of_the_inputs(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="no size 'seconds'; expected batch or image_size or sequence"):
        load(tmp_path, LLAVA, seconds=3)
    sound = load_model(f"hf:{config_file('wav2vec2')}", {"seconds": 2}).kwargs["input_values"]
    assert sound.shape == (1, 2 * 16000)
    assert sound.dtype == torch.float32


def test_text_beside_a_decoder_of_several_streams_is_of_one() -> None:
    kwargs = load_model(f"hf:{config_file('musicgen')}", {"batch": 2, "sequence": 16}).kwargs
    assert kwargs["input_ids"].shape == (2, 16)
    assert kwargs["decoder_input_ids"].shape == (2 * 4, 16)  # one row for each codebook


def test_states_that_a_cache_keeps_beside_its_layers_are_inputs_too() -> None:
    loaded = load_model(f"hf:{config_file('minimax')}#decode", {"batch": 2, "context": 16})
    states = {name: tensor.shape for name, tensor in loaded.kwargs.items() if "linear_cache" in name}
    assert list(states.values()) == [(2, 4, 16, 16)]
    first, second = (ic.capture(loaded.module, loaded.kwargs) for _ in range(2))
    assert first.to_json() == second.to_json()
    roles = {tensor.name: tensor.role for tensor in first.inputs}
    assert all(roles[name] == "kv_cache" for name in states)


def zoo_model(kind: str, phase: str = "", **sizes: int) -> LoadedModel:
    return load_model(f"hf:{config_file(kind)}" + (f"#{phase}" if phase else ""), sizes)


@pytest.mark.parametrize(
    ("kind", "grid", "width"),
    [
        ("cosmos3_edge_vision", "grid_thw", 3 * 16 * 16),
        ("dots3_note_vision_encoder", "grid_thw", 3 * 14 * 14),  # of one frame: its config has no word for more
        ("qwen2_vl", "image_grid_thw", 3 * 2 * 14 * 14),
    ],
)
@pytest.mark.sample(1)
def test_patches_are_those_of_their_grid(kind: str, grid: str, width: int) -> None:
    inputs = zoo_model(kind).kwargs
    assert inputs["pixel_values"].shape == (int(inputs[grid].prod()), width)


def test_a_part_sees_plain_pictures_where_it_takes_nothing_else_of_them() -> None:
    assert zoo_model("idefics2_vision").kwargs["pixel_values"].shape == (1, 3, 224, 224)


def test_a_processor_of_clips_alone_makes_clips() -> None:
    inputs = zoo_model("instructblipvideo", frames=4).kwargs
    assert inputs["pixel_values"].shape == (1, 4, 3, 224, 224)
    assert inputs["qformer_input_ids"].shape[0] == 1


@pytest.mark.parametrize(("kind", "side"), [("depth_pro", 96 * 4), ("janus_vqgan", 8 * 16)])
def test_a_side_may_follow_from_other_numbers(kind: str, side: int) -> None:
    assert zoo_model(kind).kwargs["pixel_values"].shape == (1, 3, side, side)


def test_tiles_of_a_picture_keep_their_size() -> None:
    inputs = zoo_model("inkling2").kwargs
    # each token stands for 40 x 40 pixels of the 224 x 224
    assert inputs["pixel_values"].shape[:3] == (6 * 6, 40, 40)


def test_each_token_attends_to_the_images_of_its_sample() -> None:
    inputs = zoo_model("idefics", sequence=12).kwargs
    assert inputs["pixel_values"].shape[:2] == (1, 1)
    assert inputs["image_attention_mask"].shape == (1, 12, 1)


def test_places_of_a_fixed_number() -> None:
    model = zoo_model("gemma3n")
    config = model.module.config
    assert int((model.kwargs["input_ids"] == config.audio_token_id).sum()) == config.audio_soft_tokens_per_image


@pytest.mark.parametrize("kind", ["blip-2", "instructblip", "kosmos-2"])
@pytest.mark.sample(1)
def test_generate_hands_over_to_a_language_model(kind: str) -> None:
    whole, step = zoo_model(kind, "prefill").module, zoo_model(kind, "decode", context=20)
    assert type(step.module) in {type(part) for part in whole.children()}
    assert step.kwargs["past_key_values_0_keys"].shape[2] == 20


def test_a_cache_for_a_model_that_makes_none_for_itself() -> None:
    inputs = zoo_model("granite4_vision", "decode", context=20).kwargs
    assert inputs["past_key_values_1_keys"].shape[2] == 20


@pytest.mark.slow
def test_tokens_beside_pictures_that_a_forward_requires() -> None:
    inputs = zoo_model("grounding-dino", sequence=12).kwargs
    assert inputs["input_ids"].shape == (1, 12)
