"""Hugging Face models with audio input or output: the form for each forward, and decode steps."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

import pyinfercost as ic

pytest.importorskip("transformers")

from zoo.transformers_models import config_file

from pyinfercost.sources.captured import graph_over
from pyinfercost.sources.models import LoadedModel, load_model

pytestmark = pytest.mark.torch


def load(kind: str, phase: str = "", **sizes: int) -> LoadedModel:
    return load_model(f"hf:{config_file(kind)}" + (f"#{phase}" if phase else ""), sizes)


def output(loaded: LoadedModel) -> Any:
    return ic.capture(loaded.module, loaded.inputs).outputs[0].shape


@pytest.mark.parametrize(
    ("kind", "frames", "width"),
    [
        ("granite_speech5_ctc", 50, 320),  # 100 frames a second, 2 of 80 bins and their deltas side by side
        ("fun_asr_nano_encoder", 16, 560),  # 7 of 80 bins side by side, each sixth of 100
        ("musicgen_melody", 7, 12),  # a hop of 4096 samples at 32 kHz
    ],
)
def test_frames_are_those_of_a_processor_that_is_not_installed(kind: str, frames: int, width: int) -> None:
    assert load(kind, batch=2, seconds=1).kwargs["input_features"].shape == (2, frames, width)


def test_frames_fill_whole_steps_of_an_encoder_that_reads_several() -> None:
    kwargs = load("nemotron3_5_transcribe_audio", seconds=1).kwargs
    assert kwargs["input_features"].shape[1] == 104  # 101 in steps of 8
    assert kwargs["input_features_mask"].shape == (1, 104)
    assert not kwargs["input_features_mask"][:, 101:].any()
    # A convolution takes any number.
    assert load("parakeet_ctc", seconds=1).kwargs["input_features"].shape[1] == 101


def test_an_encoder_may_hear_all_samples_in_one_row() -> None:
    kwargs = load("qwen2_5_omni_audio_encoder", batch=3, seconds=1).kwargs
    assert kwargs["feature_lens"].tolist() == [100, 100, 100]
    assert kwargs["input_features"].shape == (128, 300)


def test_channels_follow_from_how_the_config_hears() -> None:
    assert load("clap_audio_model", batch=2).kwargs["input_features"].shape[:2] == (2, 1)


def test_latents_are_as_wide_as_the_convolution_that_reads_them() -> None:
    loaded = load("mimi_decoder", batch=2, sequence=3)
    assert loaded.kwargs["latents"].shape == (2, loaded.module.config.hidden_size, 3)
    assert load("vibevoice_acoustic_tokenizer_encoder", batch=2, seconds=1).kwargs["hidden_states"].shape[:2] == (2, 1)


def test_a_language_model_that_hears_generates() -> None:
    loaded = load("audioflamingo3", "decode", batch=2, context=8)
    assert type(loaded.module).__name__ == "AudioFlamingo3ForConditionalGeneration"
    assert output(loaded)[:2] == (2, 1)


@pytest.mark.parametrize("kind", ["musicflamingo", "qwen2_audio"])
def test_sound_has_a_place_for_each_step_that_its_encoder_leaves(kind: str) -> None:
    loaded = load(kind, batch=2, sequence=8, seconds=1)
    # 100 frames, halved by a convolution and again by pooling
    token = next(getattr(loaded.module.config, name) for name in ("audio_token_id", "audio_token_index"))
    assert (loaded.kwargs["input_ids"] == token).sum(-1).tolist() == [25, 25]


def test_sound_may_be_added_to_tokens() -> None:
    loaded = load("voxtral_realtime", batch=2, seconds=1)
    # 100 frames are padded to whole tokens of 8
    assert loaded.kwargs["input_features"].shape == (2, 128, 104)
    assert loaded.kwargs["input_ids"].shape == (2, 13)
    assert output(loaded)[1] == 13


def test_ids_of_sound_stand_beside_those_of_text() -> None:
    loaded = load("kyutai_speech_to_text", "decode", batch=2, context=4)
    assert loaded.kwargs["input_ids"].shape == (2, 1, loaded.module.config.num_codebooks + 1)
    assert output(loaded)[:2] == (2, 1)


def test_text_for_an_encoder_has_one_stream_and_its_decoder_many() -> None:
    kwargs = load("dia", batch=2, sequence=5).kwargs
    assert kwargs["input_ids"].shape == (2, 5)
    assert kwargs["decoder_input_ids"].shape == (2, 5, 9)
    kwargs = load("musicgen", batch=2, sequence=5).kwargs
    assert kwargs["input_ids"].shape == (2, 5)
    assert kwargs["decoder_input_ids"].shape == (8, 5)


@pytest.mark.parametrize(
    ("kind", "field"),
    [("moonshine", "last_hidden_state"), ("pp_formulanet", "pooler_output")],
)
def test_a_decode_step_takes_what_the_encoder_returned(kind: str, field: str) -> None:
    loaded = load(kind, "decode", batch=2, context=4)
    assert f"encoder_{field}" in loaded.kwargs
    taken: list[Any] = []
    loaded.module.model.register_forward_pre_hook(
        lambda _, __, kwargs: taken.append(kwargs["encoder_outputs"]), with_kwargs=True
    )
    assert output(loaded)[:2] == (2, 1)
    assert isinstance(getattr(taken[0], field), torch.Tensor)
    # It is an object of the encoder's own class: decoders read fields that others have not got.
    assert type(taken[0]).__name__ != "dict"
    assert hasattr(taken[0], "attention_mask" if kind == "moonshine" else "pooler_output")


def test_a_cache_may_be_handed_on_by_a_forward_that_does_not_name_it() -> None:
    loaded = load("vibevoice", "decode", batch=2, context=4)
    assert loaded.kwargs["past_key_values_0_keys"].shape[-2] == 4
    assert output(loaded)[:2] == (2, 1)


WHISPER = {
    "model_type": "whisper", "d_model": 32, "encoder_layers": 1, "decoder_layers": 1, "encoder_attention_heads": 2,
    "decoder_attention_heads": 2, "encoder_ffn_dim": 64, "decoder_ffn_dim": 64, "max_source_positions": 60,
    "max_target_positions": 32, "vocab_size": 50, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2,
    "decoder_start_token_id": 1, "suppress_tokens": [], "begin_suppress_tokens": [],
}  # fmt: skip


@pytest.mark.parametrize("phase", ["", "#prefill", "#decode"])
@pytest.mark.sample(1)
def test_an_open_batch_is_that_of_the_audio_too(tmp_path: Path, phase: str) -> None:
    (tmp_path / "config.json").write_text(json.dumps(WHISPER), encoding="utf-8")
    spec = f"hf:{tmp_path}{phase}"
    sizes = {"context": 8} if phase == "#decode" else {}
    graph = graph_over(spec, {"batch": [1, 4], **{name: [value] for name, value in sizes.items()}}).graph
    for batch in (1, 3, 4):
        known = ic.profile(spec, sizes={"batch": batch, **sizes}).counts.total
        assert ic.count(graph, sizes={"batch": batch}).total.contraction_flops == known.contraction_flops


@pytest.mark.filterwarnings("ignore:divide by zero:RuntimeWarning")  # its processor divides by the spread of silence
def test_a_batch_of_audio_that_is_closed_closes_that_of_the_tokens() -> None:
    loaded = load("speech_to_text", seconds=1)
    assert "decoder_input_ids" in loaded.kwargs
    assert not any("batch" in dims.values() for dims in loaded.dynamic.values())
