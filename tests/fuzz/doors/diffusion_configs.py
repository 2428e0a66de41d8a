"""Configs of diffusers models: `capture("diffusers:FOLDER")` builds them on the meta device."""

from __future__ import annotations

from support.tiny_configs import DIT

from ..values import Value
from .model_configs import ModelConfigs


class DiffusionConfigs(ModelConfigs):
    """As `ModelConfigs`, for models of diffusers."""

    share = 1_000
    libraries = (
        "torch",
        "diffusers.models.unets.unet_2d_condition",
        "diffusers.models.autoencoders.autoencoder_kl",
        "diffusers.models.transformers.dit_transformer_2d",
        "pyinfercost.sources.diffusion.loading",
        "pyinfercost.sources.trace.trace",
    )
    scheme = "diffusers"

    def seeds(self) -> list[Value]:
        """Return configs of small models."""
        return [
            {
                "_class_name": "UNet2DConditionModel",
                "sample_size": 8,
                "block_out_channels": [32, 64],
                "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D"],
                "up_block_types": ["CrossAttnUpBlock2D", "UpBlock2D"],
                "cross_attention_dim": 32,
                "layers_per_block": 1,
                "attention_head_dim": 8,
            },
            {
                "_class_name": "AutoencoderKL",
                "sample_size": 16,
                "block_out_channels": [32, 32],
                "down_block_types": ["DownEncoderBlock2D", "DownEncoderBlock2D"],
                "up_block_types": ["UpDecoderBlock2D", "UpDecoderBlock2D"],
                "latent_channels": 4,
                "norm_num_groups": 8,
            },
            DIT,
        ]
