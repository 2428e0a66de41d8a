"""Arguments of audio models of diffusers whose meaning differs from the general rule for their name."""

from __future__ import annotations

import torch

from .step import Rule, Step

_NOTES, _CONTEXT = 2048, 256  # tokens of the two conditions of a T5 FiLM decoder


def _over_time(width: str) -> Rule:
    """Return the rule for latents in time, of a width given by the configuration."""
    return lambda step: step.empty(step.length, step.first(width))


RECORDINGS: dict[str, dict[str, Rule]] = {
    "AceStepTransformer1DModel": {
        "hidden_states": _over_time("audio_acoustic_hidden_dim"),
        "context_latents": lambda step: step.empty(
            step.length, step.channels - step.first("audio_acoustic_hidden_dim")
        ),
        "encoder_hidden_states": lambda step: step.states(step.first("encoder_hidden_size", "hidden_size")),
    },
    "AceStepConditionEncoder": {
        "text_hidden_states": lambda step: step.states(step.first("text_hidden_dim")),
        "text_attention_mask": lambda step: step.ones(step.text),
        "lyric_hidden_states": lambda step: step.states(step.first("text_hidden_dim")),
        "lyric_attention_mask": lambda step: step.ones(step.text),
        "refer_audio_acoustic_hidden_states_packed": lambda step: step.empty(
            step.length, step.first("timbre_hidden_dim")
        ),
        "refer_audio_order_mask": lambda step: torch.arange(step.batch),
    },
    "AceStepAudioTokenDetokenizer": {"hidden_states": _over_time("hidden_size")},
    "AudioLDM2ProjectionModel": {
        "hidden_states": lambda step: step.states(step.first("text_encoder_dim"), 1),
        "hidden_states_1": lambda step: step.states(step.first("text_encoder_1_dim")),
        "attention_mask": lambda step: step.ones(1),
        "attention_mask_1": lambda step: step.ones(step.text),
    },
    "LongCatAudioDiTTransformer": {"hidden_states": _over_time("latent_dim")},
    "MiniMaxMusic3ConditionEncoder": {
        "hidden_states": lambda step: step.empty(
            step.length, step.first("num_condition_layers") * step.first("condition_hidden_dim")
        )
    },
    "MiniMaxMusic3RVQDepthDecoder": {
        "inputs_embeds": lambda step: step.empty(step.first("num_codebooks"), step.first("hidden_size"))
    },
    "MiniMaxMusic3Vocoder": {"latents": lambda step: step.audio(step.first("latent_channels"))},
    "MiniMaxMusic3Transformer1DModel": {"encoder_hidden_states": _over_time("condition_dim")},
    "MMAudioVocoder": {"mel": lambda step: step.audio(step.first("num_mels"))},
    "MMAudioVAE": {"sample": lambda step: step.empty(step.length)},
    "AutoencoderKLMiniMaxH3Audio": {"sample": lambda step: step.audio(1)},
    "Cosmos3AVAEAudioTokenizer": {"sample": lambda step: step.audio(step.first("dec_out_channels"))},
    "StableAudioProjectionModel": {
        "text_hidden_states": lambda step: step.states(step.first("text_encoder_dim")),
        "start_seconds": Step.empty,
        "end_seconds": Step.empty,
    },
    "StableAudio3DiTModel": {"global_hidden_states": lambda step: step.empty(step.first("global_cond_dim"))},
    "StableAudio3DurationEmbedder": {"seconds": Step.empty},
    "T5FilmDecoder": {
        "encodings_and_masks": lambda step: [
            (step.states(step.first("d_model"), tokens), step.empty(tokens)) for tokens in (_NOTES, _CONTEXT)
        ],
        "decoder_input_tokens": lambda step: step.empty(step.first("targets_length"), step.first("input_dims")),
        "decoder_noise_time": Step.empty,
    },
}
