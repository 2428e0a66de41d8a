"""Models whose memory is measured: a small one of each family, with random weights.

Vocabularies are small, so that the peak is in the layers instead of the logits.

The list was written before any errors were known; no model is excluded from the figures.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Built = tuple[Any, tuple[Any, ...], dict[str, Any]]


def _words(text: str) -> list[str]:
    return text.split()


VISION: dict[str, list[str]] = {
    "torchvision": _words(
        "alexnet vgg11 vgg16_bn resnet18 resnet50 resnext50_32x4d wide_resnet50_2 squeezenet1_1 densenet121 "
        "inception_v3 googlenet shufflenet_v2_x1_0 mobilenet_v2 mobilenet_v3_large mnasnet1_0 efficientnet_b0 "
        "efficientnet_v2_s regnet_y_400mf convnext_tiny vit_b_16 swin_t swin_v2_t maxvit_t"
    ),
    "segmentation": _words("fcn_resnet50 deeplabv3_mobilenet_v3_large lraspp_mobilenet_v3_large"),
    "video": _words("r3d_18 mc3_18 r2plus1d_18 s3d mvit_v2_s swin3d_t"),
    "flow": ["raft_small"],
    "timm": _words(
        "vit_tiny_patch16_224 deit_tiny_distilled_patch16_224 beit_base_patch16_224 eva02_tiny_patch14_224 "
        "cait_xxs24_224 mixer_s32_224 resmlp_12_224 gmlp_ti16_224 convmixer_768_32 pit_ti_224 coat_lite_tiny "
        "levit_128s xcit_nano_12_p16_224 poolformer_s12 mobilevit_xxs efficientformer_l1 edgenext_xx_small "
        "hrnet_w18_small res2net50_26w_4s dla34 ghostnet_100 dm_nfnet_f0 fastvit_t8 hiera_tiny_224 davit_tiny "
        "tiny_vit_5m_224 rexnet_100 volo_d1_224 twins_svt_small crossvit_tiny_240 focalnet_tiny_srf sequencer2d_s "
        "mambaout_femto skresnet18 visformer_tiny regnety_002 cspresnet50 tf_efficientnet_lite0 "
        "maxvit_rmlp_pico_rw_256 convnextv2_atto"
    ),
}

TEXT = _words("bert roberta distilbert albert electra deberta-v2 mpnet longformer fnet")
DECODERS = _words(
    "gpt2 opt bloom gpt_neox gptj llama mistral qwen2 qwen3 gemma2 phi3 falcon mixtral qwen2_moe olmoe "
    "deepseek_v3 mamba mamba2 falcon_mamba jamba"
)
PAIRED = _words("t5 bart marian pegasus")
OTHER = _words("vit dinov2 segformer clip detr wav2vec2 hubert whisper")


def names() -> list[str]:
    """Return all cases in order."""
    vision = [f"{family}:{name}" for family, list_ in VISION.items() for name in list_]
    text = [f"transformers:{name}" for name in TEXT]
    decoders = [f"transformers:{name}#{way}" for name in DECODERS for way in ("plain", "prefill", "decode")]
    paired = [f"transformers:{name}#{way}" for name in PAIRED for way in ("plain", "decode")]
    return vision + text + decoders + paired + [f"transformers:{name}" for name in OTHER]


def build(name: str) -> Built:
    """Return the module in eval mode with weights, and the inputs of one call."""
    family, _, rest = name.partition(":")
    model, _, way = rest.partition("#")
    return _BUILDERS[family](model, way)


def capture(module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Return the graph of a call; a cache among its inputs becomes flat tensors, as in a decode step of a spec."""
    import copy

    import pyinfercost as ic
    from pyinfercost.sources.huggingface.cache import DecodeStep

    argument = next((name for name in CACHE_ARGUMENTS if name in kwargs), None)
    if argument is None:
        return ic.capture(module, ic.Inputs(args, kwargs))
    flat = {name: value for name, value in kwargs.items() if name != argument}
    step = DecodeStep(argument, copy.deepcopy(kwargs[argument]))
    hook = module.register_forward_pre_hook(step, with_kwargs=True)
    try:
        return ic.capture(module, ic.Inputs(args, flat | step.tensors))
    finally:
        hook.remove()


def prepared(module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Callable[[], Callable[[], Any]]:
    """Return a forward with exclusive ownership of its cache: a step replaces the content and frees the old one."""
    import copy

    def prepare() -> Callable[[], Any]:
        own = {name: copy.deepcopy(v) if name in CACHE_ARGUMENTS else v for name, v in kwargs.items()}
        return lambda: module(*args, **own)

    return prepare


def _torchvision(name: str, way: str) -> Built:
    import torch
    import torchvision

    del way
    options: dict[str, Any] = {"init_weights": False} if name in {"inception_v3", "googlenet"} else {}
    side = 299 if name == "inception_v3" else 224
    module = getattr(torchvision.models, name)(**options).eval()
    return module, (torch.randn(2, 3, side, side),), {}


def _segmentation(name: str, way: str) -> Built:
    import torch
    import torchvision

    del way
    module = getattr(torchvision.models.segmentation, name)(weights=None, weights_backbone=None).eval()
    return module, (torch.randn(1, 3, 256, 256),), {}


def _video(name: str, way: str) -> Built:
    import torch
    import torchvision

    del way
    module = getattr(torchvision.models.video, name)().eval()
    frames, side = (16, 224) if name in {"mvit_v2_s", "s3d"} else (8, 112)
    return module, (torch.randn(1, 3, frames, side, side),), {}


def _flow(name: str, way: str) -> Built:
    import torch
    import torchvision

    del way
    module = getattr(torchvision.models.optical_flow, name)().eval()
    return module, (torch.randn(1, 3, 128, 160), torch.randn(1, 3, 128, 160)), {"num_flow_updates": 3}


def _timm(name: str, way: str) -> Built:
    import timm
    import torch

    del way
    module = timm.create_model(name).eval()
    channels, height, width = module.pretrained_cfg["input_size"]
    return module, (torch.randn(2, channels, height, width),), {}


_TEXT_SIZES = {
    "vocab_size": 1000,
    "hidden_size": 256,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "intermediate_size": 1024,
    "max_position_embeddings": 512,
}
# Changes to configs with other names or further requirements.
_CHANGES: dict[str, dict[str, Any]] = {
    "distilbert": {"dim": 256, "n_layers": 3, "n_heads": 4, "hidden_dim": 1024},
    "albert": {"embedding_size": 64},
    "electra": {"embedding_size": 128},
    "deberta-v2": {"relative_attention": True, "pos_att_type": ["p2c", "c2p"], "position_buckets": 64},
    "longformer": {"attention_window": 64},
    "gpt2": {"n_embd": 256, "n_layer": 3, "n_head": 4, "n_positions": 512},
    "opt": {"ffn_dim": 1024, "word_embed_proj_dim": 256},
    "bloom": {"n_layer": 3, "n_head": 4},
    "gptj": {"n_embd": 256, "n_layer": 3, "n_head": 4, "n_positions": 512, "rotary_dim": 16},
    "llama": {"num_key_value_heads": 2},
    "mistral": {"num_key_value_heads": 2, "sliding_window": 64},
    "qwen2": {"num_key_value_heads": 2},
    "qwen3": {"num_key_value_heads": 2, "head_dim": 64},
    "gemma2": {"num_key_value_heads": 2, "head_dim": 64, "sliding_window": 64, "num_hidden_layers": 4},
    "phi3": {"num_key_value_heads": 2, "pad_token_id": 0},
    "falcon": {"new_decoder_architecture": False},
    "mixtral": {"num_key_value_heads": 2, "num_local_experts": 4},
    "qwen2_moe": {
        "num_key_value_heads": 2,
        "num_experts": 8,
        "num_experts_per_tok": 2,
        "moe_intermediate_size": 256,
        "shared_expert_intermediate_size": 512,
    },
    "olmoe": {"num_key_value_heads": 2, "num_experts": 8, "num_experts_per_tok": 2, "pad_token_id": 0},
    "deepseek_v3": {
        "num_key_value_heads": 4,
        "q_lora_rank": 96,
        "kv_lora_rank": 64,
        "qk_rope_head_dim": 16,
        "qk_nope_head_dim": 32,
        "v_head_dim": 32,
        "n_routed_experts": 8,
        "n_group": 2,
        "topk_group": 1,
        "num_experts_per_tok": 2,
        "moe_intermediate_size": 256,
        "first_k_dense_replace": 1,
    },
    "mamba": {"state_size": 16},
    "mamba2": {"state_size": 32, "num_heads": 8, "head_dim": 64, "n_groups": 1, "chunk_size": 64},
    "falcon_mamba": {"state_size": 16},
    "jamba": {
        "num_key_value_heads": 2,
        "num_hidden_layers": 4,
        "attn_layer_period": 4,
        "attn_layer_offset": 2,
        "expert_layer_period": 2,
        "expert_layer_offset": 1,
        "num_experts": 4,
        "use_mamba_kernels": False,
        "mamba_dt_rank": 16,
        "pad_token_id": 0,
    },
    "t5": {"d_model": 256, "d_kv": 64, "d_ff": 1024, "num_layers": 3, "num_heads": 4},
}
_PAIRED_SIZES = {
    "vocab_size": 1000,
    "d_model": 256,
    "encoder_layers": 3,
    "decoder_layers": 3,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 4,
    "encoder_ffn_dim": 1024,
    "decoder_ffn_dim": 1024,
    "max_position_embeddings": 512,
    "pad_token_id": 0,
    "eos_token_id": 1,
    "decoder_start_token_id": 0,
}
_IMAGE_SIZES = {
    "hidden_size": 192,
    "num_hidden_layers": 4,
    "num_attention_heads": 3,
    "intermediate_size": 768,
    "image_size": 224,
}
TOKENS = 256
CACHE_ARGUMENTS = ("cache", "past_key_values", "cache_params")  # names in different versions of transformers


def _transformers(name: str, way: str) -> Built:
    import torch
    import transformers

    tokens = torch.randint(2, 1000, (2, TOKENS))
    if name in OTHER:
        return _other(name)
    paired = name in PAIRED
    sizes = _PAIRED_SIZES if paired and name != "t5" else _TEXT_SIZES
    config = transformers.AutoConfig.for_model(name, **(sizes | _CHANGES.get(name, {})))
    if paired:
        module = transformers.AutoModelForSeq2SeqLM.from_config(config).eval()
        if way == "plain":
            return module, (), {"input_ids": tokens, "decoder_input_ids": tokens, "use_cache": False}
        return module, (), _after_prefill(module, {"input_ids": tokens, "decoder_input_ids": tokens[:, :64]}, paired)
    if name in TEXT:
        return transformers.AutoModelForMaskedLM.from_config(config).eval(), (tokens,), {}
    module = transformers.AutoModelForCausalLM.from_config(config).eval()
    if way == "plain":
        return module, (tokens,), {"use_cache": False}
    if way == "prefill":
        return module, (tokens,), {"use_cache": True}
    return module, (), _after_prefill(module, {"input_ids": tokens}, paired)


def _after_prefill(module: Any, inputs: dict[str, Any], paired: bool) -> dict[str, Any]:
    """Return the inputs of a decode step, with a cache filled by a prefill."""
    import inspect

    import torch
    from transformers.modeling_outputs import BaseModelOutput

    with torch.inference_mode():
        filled = module(**inputs, use_cache=True)
    parameters = inspect.signature(module.forward).parameters
    argument = next(name for name in CACHE_ARGUMENTS if name in parameters)
    cache = next(getattr(filled, name) for name in CACHE_ARGUMENTS if getattr(filled, name, None) is not None)
    step: dict[str, Any] = {argument: cache, "use_cache": True}
    ids = torch.randint(2, 1000, (2, 1))
    if paired:
        hidden = filled.encoder_last_hidden_state
        return {"encoder_outputs": BaseModelOutput(last_hidden_state=hidden), "decoder_input_ids": ids, **step}
    return {"input_ids": ids, **step}


def _other(name: str) -> Built:
    import torch
    import transformers

    pixels = torch.randn(2, 3, 224, 224)
    if name in {"vit", "dinov2"}:
        config = transformers.AutoConfig.for_model(name, **_IMAGE_SIZES)
        return transformers.AutoModelForImageClassification.from_config(config).eval(), (pixels,), {}
    if name == "segformer":
        config = transformers.SegformerConfig(decoder_hidden_size=128)
        return transformers.SegformerForSemanticSegmentation(config).eval(), (pixels,), {}
    if name == "clip":
        text = {k: v for k, v in _TEXT_SIZES.items() if k != "max_position_embeddings"} | {"eos_token_id": 1}
        config = transformers.CLIPConfig(text_config=text, vision_config=_IMAGE_SIZES | {"patch_size": 16})
        tokens = torch.randint(2, 1000, (2, 64))
        return transformers.CLIPModel(config).eval(), (), {"input_ids": tokens, "pixel_values": pixels}
    if name == "detr":
        config = transformers.DetrConfig(
            use_timm_backbone=False,
            use_pretrained_backbone=False,
            backbone=None,
            backbone_config=transformers.ResNetConfig(out_features=["stage4"]),
            encoder_layers=2,
            decoder_layers=2,
        )
        mask = torch.ones(2, 224, 224, dtype=torch.int64)
        return transformers.DetrForObjectDetection(config).eval(), (), {"pixel_values": pixels, "pixel_mask": mask}
    if name in {"wav2vec2", "hubert"}:
        config = transformers.AutoConfig.for_model(
            name, hidden_size=192, num_hidden_layers=3, num_attention_heads=3, intermediate_size=768
        )
        return transformers.AutoModelForCTC.from_config(config).eval(), (torch.randn(2, 16000),), {}
    config = transformers.WhisperConfig(
        d_model=192, encoder_layers=2, decoder_layers=2, encoder_attention_heads=3, decoder_attention_heads=3
    )
    frames = torch.randn(1, 80, 3000)
    ids = torch.randint(2, 1000, (1, 16))
    return (
        transformers.WhisperForConditionalGeneration(config).eval(),
        (),
        {"input_features": frames, "decoder_input_ids": ids, "use_cache": False},
    )


_BUILDERS: dict[str, Callable[[str, str], Built]] = {
    "torchvision": _torchvision,
    "segmentation": _segmentation,
    "video": _video,
    "flow": _flow,
    "timm": _timm,
    "transformers": _transformers,
}
