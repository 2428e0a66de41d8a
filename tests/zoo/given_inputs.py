"""Inputs of model types whose configs do not determine them, created as their users do.

Users run such a type through `package.module:callable` too. Each function takes the config of the small model and
returns the named inputs of one forward, as meta tensors unless the forward reads values.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from zoo.given_vision import GIVEN_VISION

Maker = Callable[[Any], dict[str, Any]]

BATCH, SEQUENCE = 2, 16


def _floats(*shape: int) -> torch.Tensor:
    return torch.empty(shape, device="meta")


def _wav2vec2_bert(config: Any) -> dict[str, Any]:
    """Pairs of mel frames, as stacked by the model's feature extractor."""
    return {"input_features": _floats(BATCH, 50, config.feature_projection_input_dim)}


def _jev(config: Any) -> dict[str, Any]:
    """A prompt with two questions: the position after each, its number of options, and its type."""
    del config
    return {
        "input_ids": torch.full((1, SEQUENCE), 7),
        "marks": torch.tensor([[SEQUENCE // 2, SEQUENCE - 1]]),
        "num_options": torch.tensor([[2, 2]]),
        "question_type_ids": torch.tensor([[0, 0]]),
    }


def _pi0(config: Any) -> dict[str, Any]:
    """Camera images of a robot with their placeholder tokens, its state, and noise instead of actions."""
    cameras, vlm = 2, config.vlm_config
    side, patch = vlm.vision_config.image_size, vlm.vision_config.patch_size
    seen = [vlm.image_token_id] * (cameras * (side // patch) ** 2)
    return {
        "state": _floats(BATCH, config.max_state_dim),
        "noise": _floats(BATCH, config.chunk_size, config.max_action_dim),
        "timestep": _floats(BATCH),
        "input_ids": torch.tensor([seen + [7] * SEQUENCE] * BATCH),
        "pixel_values": _floats(BATCH, cameras, 3, side, side),
        "pixel_attention_mask": torch.ones((BATCH, cameras), dtype=torch.bool),
        "attention_mask": torch.ones((BATCH, len(seen) + SEQUENCE), dtype=torch.int64),
    }


def _esmfold2(config: Any) -> dict[str, Any]:
    """Features of one protein chain, computed from its sequence by the library's own function."""
    from transformers.models.esmfold2.modeling_esmfold2 import EsmFold2AtomInputs
    from transformers.models.esmfold2.protein_utils import prepare_protein_features

    del config
    features = prepare_protein_features("MKTAYIAKQR")
    atoms = {name: features.pop(name) for name in EsmFold2AtomInputs.__dataclass_fields__}
    features.pop("distogram_atom_idx")  # of the heads behind the trunk, as sampling is
    return {**features, "atom_inputs": EsmFold2AtomInputs(**atoms)}


def _moshi_depth(config: Any) -> dict[str, Any]:
    """One step of speech: a text token and those of all codebooks except the last, after a state of the main model."""
    ids = torch.full((BATCH, config.num_codebooks), 3)
    return {"input_ids": ids, "last_hidden_state": _floats(BATCH, 1, config.input_size)}


def _talker(config: Any) -> dict[str, Any]:
    """Inputs embedded by the enclosing model: states of its thinker and its own codes, each from its own table."""
    return {"inputs_embeds": _floats(BATCH, SEQUENCE, config.hidden_size)}


def _voxtral_realtime_text(config: Any) -> dict[str, Any]:
    """Words, and the delay of the text behind the audio, as embedded by the enclosing model."""
    ids = torch.full((BATCH, SEQUENCE), 3)
    return {"input_ids": ids, "t_cond": _floats(1, 1, config.hidden_size)}


def _speech_codec(margin: int) -> Maker:
    """One second of audio, padded to whole frames, and pairs of its mel frames for the semantic encoder.

    Args:
        margin: Additional samples for the mel frames.
    """

    def make(config: Any) -> dict[str, Any]:
        frame = 320
        samples = (16000 // frame + 1) * frame
        # 400 samples make a mel frame, and the next begins 160 later
        pairs = ((samples + margin - 400) // 160 + 1) // 2
        width = config.semantic_model_config.feature_projection_input_dim
        return {"input_values": _floats(BATCH, 1, samples), "input_features": _floats(BATCH, pairs, width)}

    return make


def _phi4_multimodal_audio(config: Any) -> dict[str, Any]:
    """Mel frames of one second, without padding."""
    frames = 98
    mask = torch.ones((BATCH, frames), dtype=torch.bool)
    return {"hidden_states": _floats(BATCH, frames, config.input_size), "mask": mask}


def _qwen2_5_omni_bigvgan(config: Any) -> dict[str, Any]:
    return {"mel_spectrogram": _floats(BATCH, config.mel_dim, 2 * SEQUENCE)}


def _qwen2_5_omni_dit(config: Any) -> dict[str, Any]:
    """One step of the sampler: noise, voice conditioning, and speech codes, each for several mel frames."""
    frames = SEQUENCE * config.repeats
    return {
        "hidden_states": _floats(BATCH, frames, config.mel_dim),
        "condition_vector": _floats(BATCH, 3 * SEQUENCE, config.mel_dim),
        "speaker_embedding": _floats(BATCH, frames, config.enc_emb_dim),
        "quantized_code": torch.full((BATCH, SEQUENCE), 3),
        "time_step": torch.tensor(0.5),
    }


def _qwen2_5_omni_token2wav(config: Any) -> dict[str, Any]:
    """Codes of one sentence, and a voice: its embedding, and mel frames spoken by it."""
    dit = config.dit_config
    return {
        "code": torch.full((1, SEQUENCE), 3),
        "conditioning": _floats(1, dit.enc_emb_dim),
        "reference_mel": _floats(1, 3 * SEQUENCE, dit.mel_dim),
    }


def _blt_local_encoder(_: Any) -> dict[str, Any]:
    """Bytes, and the patch of each among eight."""
    return {
        "input_ids": torch.empty((BATCH, SEQUENCE), dtype=torch.int64, device="meta"),
        "num_patches": SEQUENCE // 2,
        "patch_ids": torch.empty((BATCH, SEQUENCE), dtype=torch.int64, device="meta"),
    }


def _blt_local_decoder(config: Any) -> dict[str, Any]:
    """States of bytes from the local encoder, and of patches from the global transformer."""
    return {
        "inputs_embeds": _floats(BATCH, SEQUENCE, config.hidden_size),
        "patch_embeds": _floats(BATCH, SEQUENCE // 2, config.hidden_size_global),
    }


GIVEN: dict[str, Maker] = {
    **GIVEN_VISION,
    "esmfold2": _esmfold2,
    "jev": _jev,
    "pi0": _pi0,
    "moshi_depth": _moshi_depth,
    "neucodec": _speech_codec(0),
    "phi4_multimodal_audio": _phi4_multimodal_audio,
    "qwen2_5_omni_bigvgan": _qwen2_5_omni_bigvgan,
    "qwen2_5_omni_dit": _qwen2_5_omni_dit,
    "qwen2_5_omni_token2wav": _qwen2_5_omni_token2wav,
    "qwen3_omni_moe_talker_code_predictor": _talker,
    "qwen3_omni_moe_talker_text": _talker,
    "voxtral_realtime_text": _voxtral_realtime_text,
    "blt_local_decoder": _blt_local_decoder,
    "blt_local_encoder": _blt_local_encoder,
    "wav2vec2-bert": _wav2vec2_bert,
    "xcodec2": _speech_codec(320),
}

# Sizes that depend on data and that nothing bounds: how long speech is, which the model predicts for each token. Here
# each of the tokens takes four frames.
_FRAMES = 4 * SEQUENCE
_SPOKEN = {"*.item": BATCH * _FRAMES, "*.item_2": _FRAMES, "*.repeat_interleave*": _FRAMES}
GIVEN_SIZES: dict[str, dict[str, int]] = {
    "fastspeech2_conformer": _SPOKEN,
    "fastspeech2_conformer_with_hifigan": _SPOKEN,
    "vits": {"forward.item": _FRAMES},
}
