"""Configurations of diffusers models: published ones, and ones for classes whose defaults do not build.

Published ones are the `config.json` files of the models' repositories, without values equal to the class's defaults.
"""

from __future__ import annotations

from typing import Any

Config = dict[str, Any]

_SDXL_TIME: Config = {
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 256,
    "projection_class_embeddings_input_dim": 2816,
}
_SDXL: Config = _SDXL_TIME | {
    "sample_size": 128,
    "block_out_channels": (320, 640, 1280),
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
    "transformer_layers_per_block": (1, 2, 10),
    "attention_head_dim": (5, 10, 20),
    "cross_attention_dim": 2048,
    "use_linear_projection": True,
}
_VAE: Config = {
    "block_out_channels": (128, 256, 512, 512),
    "down_block_types": ("DownEncoderBlock2D",) * 4,
    "up_block_types": ("UpDecoderBlock2D",) * 4,
    "layers_per_block": 2,
    "sample_size": 512,
}

# name: (class, configuration). What is in front of a `-` in the name is only a name.
PUBLISHED: dict[str, tuple[str, Config]] = {
    "stable-diffusion-v1-5/unet": ("UNet2DConditionModel", {"sample_size": 64, "cross_attention_dim": 768}),
    "stable-diffusion-2-1/unet": (
        "UNet2DConditionModel",
        {
            "sample_size": 96,
            "cross_attention_dim": 1024,
            "attention_head_dim": (5, 10, 20, 20),
            "use_linear_projection": True,
        },
    ),
    "stable-diffusion-xl-base-1.0/unet": ("UNet2DConditionModel", _SDXL),
    "stable-diffusion-v1-5/vae": ("AutoencoderKL", _VAE),
    "stable-diffusion-3-medium/transformer": (
        "SD3Transformer2DModel",
        {
            "num_layers": 24,
            "num_attention_heads": 24,
            "attention_head_dim": 64,
            "caption_projection_dim": 1536,
            "pos_embed_max_size": 192,
        },
    ),
    "FLUX.1-dev/transformer": ("FluxTransformer2DModel", {"guidance_embeds": True}),
    "FLUX.1-schnell/transformer": ("FluxTransformer2DModel", {"guidance_embeds": False}),
    "FLUX.1-dev/vae": (
        "AutoencoderKL",
        _VAE | {"latent_channels": 16, "use_quant_conv": False, "use_post_quant_conv": False, "sample_size": 1024},
    ),
    "DiT-XL-2-256/transformer": ("DiTTransformer2DModel", {"out_channels": 8}),
    "PixArt-XL-2-1024-MS/transformer": ("PixArtTransformer2DModel", {"caption_channels": 4096}),
    "Wan2.1-T2V-1.3B/transformer": (
        "WanTransformer3DModel",
        {"num_attention_heads": 12, "num_layers": 30, "ffn_dim": 8960},
    ),
    "Wan2.1-T2V-14B/transformer": ("WanTransformer3DModel", {}),
    "stable-video-diffusion-img2vid/unet": ("UNetSpatioTemporalConditionModel", {"sample_size": 96}),
    "animatediff/unet": ("UNetMotionModel", {"cross_attention_dim": 768, "sample_size": 64}),
}

# What `sum(p.numel() for p in model.parameters())` is of the published weights, as their files say.
PARAMETERS = {
    "stable-diffusion-v1-5/unet": 859_520_964,
    "stable-diffusion-2-1/unet": 865_910_724,
    "stable-diffusion-xl-base-1.0/unet": 2_567_463_684,
    "stable-diffusion-v1-5/vae": 83_653_863,
    "FLUX.1-dev/transformer": 11_901_408_320,
    "FLUX.1-schnell/transformer": 11_891_178_560,
    "stable-video-diffusion-img2vid/unet": 1_524_623_082,
    "Wan2.1-T2V-1.3B/transformer": 1_418_996_800,
}

# Multiply-accumulates of one step in papers, and how far they go.
MACS = {
    "stable-diffusion-v1-5/unet": (
        339 * 10**9,
        "the 339 GMAC of one step in the literature (such as BK-SDM, Kim et al. 2023) leave out what attention "
        "multiplies without weights: 2*4096^2*320*5 + 2*1024^2*640*5 + 2*256^2*1280*5 + 2*64^2*1280 of self-attention "
        "and 2*77*(4096*320*5 + 1024*640*5 + 256*1280*5 + 64*1280) of cross-attention, 63.0 GMAC",
    ),
    "DiT-XL-2-256/transformer": (
        118_640 * 10**6,
        "Peebles and Xie 2023 print 118.64; diffusers embeds the time step in each of the 28 blocks and not once, "
        "28*(256*1152 + 1152*1152) = 0.045 GMAC, and one more time for the last layer",
    ),
}

# Configurations of classes whose defaults build nothing: as published where there is one, or one of that kind.
NEEDED: dict[str, Config] = {
    "AudioLDM2ProjectionModel": {"text_encoder_dim": 512, "text_encoder_1_dim": 1024, "langauge_model_dim": 768},
    "AutoencoderKLHunyuanImage": {
        "in_channels": 3,
        "out_channels": 3,
        "latent_channels": 64,
        "block_out_channels": (128, 256, 512, 512, 1024, 1024),
        "layers_per_block": 2,
        "spatial_compression_ratio": 32,
        "sample_size": 384,
    },
    "ControlNetUnionModel": _SDXL_TIME
    | {
        "block_out_channels": (320, 640, 1280),
        "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        "attention_head_dim": (5, 10, 20),
        "transformer_layers_per_block": (1, 2, 10),
        "cross_attention_dim": 2048,
        "use_linear_projection": True,
        "conditioning_embedding_out_channels": (16, 32, 96, 256),
    },
    "CosmosControlNetModel": {"num_attention_heads": 16},
    "DreamLiteTransformer2DModel": {"in_channels": 320, "num_attention_heads": 5, "attention_head_dim": 64},
    "EasyAnimateTransformer3DModel": {
        "num_attention_heads": 48,
        "attention_head_dim": 64,
        "in_channels": 16,
        "out_channels": 16,
        "patch_size": 2,
    },
    "HiDreamImageTransformer2DModel": {
        "patch_size": 2,
        "in_channels": 16,
        "num_layers": 16,
        "num_single_layers": 32,
        "attention_head_dim": 128,
        "num_attention_heads": 20,
        "caption_channels": (4096, 4096),
        "axes_dims_rope": (64, 32, 32),
        "llama_layers": (*range(32), *[31] * 16),
    },
    "HunyuanDiT2DModel": {
        "num_attention_heads": 16,
        "attention_head_dim": 88,
        "in_channels": 4,
        "patch_size": 2,
        "sample_size": 128,
        "hidden_size": 1408,
        "num_layers": 40,
        "mlp_ratio": 4.3637,
    },
    "HunyuanDiT2DControlNetModel": {
        "num_attention_heads": 16,
        "attention_head_dim": 88,
        "in_channels": 4,
        "patch_size": 2,
        "sample_size": 128,
        "hidden_size": 1408,
        "transformer_num_layers": 40,
        "mlp_ratio": 4.3637,
    },
    "HunyuanVideoFramepackTransformer3DModel": {"has_image_proj": True, "has_clean_x_embedder": True},
    "LatteTransformer3DModel": {
        "num_attention_heads": 16,
        "attention_head_dim": 72,
        "in_channels": 4,
        "out_channels": 8,
        "num_layers": 28,
        "cross_attention_dim": 1152,
        "attention_bias": True,
        "patch_size": 2,
        "caption_channels": 4096,
        "norm_type": "ada_norm_single",
        "norm_elementwise_affine": False,
        "activation_fn": "gelu-approximate",
    },
    "LuminaNextDiT2DModel": {
        "num_layers": 24,
        "num_attention_heads": 32,
        "num_kv_heads": 8,
        "ffn_dim_multiplier": 1.0,
        "learn_sigma": True,
        "qk_norm": True,
    },
    "OmniGenTransformer2DModel": {"rope_scaling": {"short_factor": [1.0] * 48, "long_factor": [1.0] * 48}},
    "StableAudioProjectionModel": {
        "text_encoder_dim": 768,
        "conditioning_dim": 768,
        "min_value": 0,
        "max_value": 512,
    },
    "Transformer2DModel": {"in_channels": 320, "num_attention_heads": 8, "attention_head_dim": 40},
    "TransformerTemporalModel": {"in_channels": 320, "num_attention_heads": 8, "attention_head_dim": 40},
    "UNet1DModel": {
        "extra_in_channels": 16,
        "time_embedding_dim": 16,
        "block_out_channels": (128, 128, 256, 256, 256, 256, *[512] * 7),
        "down_block_types": ("DownBlock1DNoSkip", *["DownBlock1D"] * 6, *["AttnDownBlock1D"] * 6),
        "up_block_types": (*["AttnUpBlock1D"] * 6, *["UpBlock1D"] * 6, "UpBlock1DNoSkip"),
    },
    "UniDiffuserModel": {
        "text_dim": 64,
        "clip_img_dim": 512,
        "num_text_tokens": 77,
        "num_attention_heads": 24,
        "attention_head_dim": 64,
        "in_channels": 4,
        "out_channels": 4,
        "num_layers": 30,
        "sample_size": 64,
        "patch_size": 2,
        "norm_type": "layer_norm",
        "activation_fn": "gelu",
        "use_data_type_embedding": True,
        "ff_final_dropout": True,
    },
    "UniDiffuserTextDecoder": {"prefix_length": 77, "prefix_inner_dim": 768, "prefix_hidden_dim": 64},
    "UNetMotionModel": {"cross_attention_dim": 768},
}

# Several models that are called as one.
ASSEMBLED = {
    "FluxMultiControlNetModel": "FluxControlNetModel",
    "HunyuanDiT2DMultiControlNetModel": "HunyuanDiT2DControlNetModel",
    "MultiAdapter": "T2IAdapter",
    "MultiControlNetModel": "ControlNetModel",
    "QwenImageMultiControlNetModel": "QwenImageControlNetModel",
    "SD3MultiControlNetModel": "SD3ControlNetModel",
}

_FEATURES = "its pipeline computes features of proteins for it that its configuration does not describe"

NOT_BUILT = {
    "AnyFlowFARTransformer3DModel": "its attention mask is made from the chunks that its pipeline cuts a video into",
    "ControlNetXSAdapter": "cannot be called alone; it runs as a part of UNetControlNetXSModel",
    "Cosmos3OmniTransformer": "is called on one sequence of several media and on the places of each in it",
    "MotionAdapter": "only holds weights; they run as a part of UNetMotionModel",
    "QwenImage21Transformer2DModel": "repeats text tokens by a mask that its pipeline makes from the prompt",
    "RFD4ProteinaAutoencoder": _FEATURES,
    "RFD4ProteinaTransformer": _FEATURES,
    "SanaWMLTX2RefinerTransformer3DModel": "takes rotary embeddings that its pipeline makes",
    "WanAnimate2Transformer3DModel": "takes a cache that its pipeline keeps between steps",
    "ZImageControlNetModel": "takes its embedders from a ZImageTransformer2DModel when it is loaded",
}
