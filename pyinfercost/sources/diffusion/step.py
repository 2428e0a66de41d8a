"""Sizes of one denoising step of a diffusion model, and tensors of the resulting shapes."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch

# Configuration keys of the width of the text states, the most specific first.
_TEXT_WIDTH = (
    "joint_attention_dim",
    "caption_channels",
    "text_embed_dim",
    "text_emb_dim",
    "text_dim",
    "text_in_dim",
    "text_hidden_dim",
    "cap_feat_dim",
    "in_text_dim",
    "context_in_dim",
    "dit_text_dim",
    "cond_token_dim",
    "cross_attention_input_dim",
    "encoder_hid_dim",
    "encoder_hidden_size",
    "cross_attention_dim",
)
_CHANNELS = (
    "in_channels",
    "in_visual_dim",
    "input_channels",
    "io_channels",
    "audio_channels",
    "num_channels",
    "latent_dim",
)
# Configuration keys whose product is the number of audio samples per latent.
_AUDIO_RATES = ("encoder_rates", "downsampling_ratios", "dec_strides")
_PICTURES = ("Autoencoder", "VAE", "Vae", "VQModel", "T2IAdapter")
_LARGEST_SIDE = 128
MOST_VALUES = 2**24
"""Maximum number of elements of an input with values."""


class Step:
    """Sizes of one forward, and the configuration of its model.

    Args:
        module: The model; its configuration includes all defaults.
        sizes: `batch`, `sample_size` (height and width of the model's input: latents, or pixels for an autoencoder),
            `frames`, `sequence` (text tokens), `length` (samples or steps of audio). Defaults: the model's own
            `sample_size` up to 128, else 64 for latents and 256 for images; 9 latent or 17 real frames; 77 tokens;
            1024 latents or about 65536 samples of audio.
    """

    def __init__(self, module: torch.nn.Module, sizes: Mapping[str, int]) -> None:
        self.config: Mapping[str, Any] = module.config  # type: ignore[assignment]  # diffusers gives every model one
        self.given = dict(sizes)
        self.used: set[str] = set()
        self._rank = _convolution_rank(module)
        self._pictures = any(part in type(module).__name__ for part in _PICTURES)

    def _size(self, name: str, default: int) -> int:
        self.used.add(name)
        return self.given.get(name, default)

    @property
    def batch(self) -> int:
        """Number of images, clips or recordings."""
        return self._size("batch", 1)

    @property
    def side(self) -> int:
        """Height and width of the model's input."""
        own = self.config.get("sample_size")
        if self._pictures:
            return self._size("sample_size", 256)
        return self._size("sample_size", own if isinstance(own, int) and own <= _LARGEST_SIDE else 64)

    @property
    def frames(self) -> int:
        """Number of frames of the model's input."""
        return self._size("frames", 17 if self._pictures else 9)

    @property
    def text(self) -> int:
        """Number of text tokens."""
        return self._size("sequence", 77)

    @property
    def length(self) -> int:
        """Number of samples of a recording, or of latents in time."""
        own = self.config.get("sample_size")
        if not self._pictures:
            return self._size("length", own if self._rank == 1 and isinstance(own, int) else 1024)
        hop = math.prod(self.first(*_AUDIO_RATES, default=[2048]))
        return self._size("length", hop * -(-65536 // hop))

    def first(self, *names: str, default: Any = None) -> Any:
        """Return the first of these configuration keys that has a value."""
        return next((self.config[name] for name in names if self.config.get(name) is not None), default)

    @property
    def channels(self) -> int:
        """Number of channels of the model's input."""
        return int(self.first(*_CHANNELS, default=3))

    @property
    def text_width(self) -> int:
        """Width of the text states."""
        found = self.first(*_TEXT_WIDTH, default=768)
        return int(found[0] if isinstance(found, list | tuple) else found)

    @property
    def axes(self) -> int:
        """Number of coordinates of a token for rotary embeddings."""
        return len(self.first("axes_dims_rope", "axes_dim", "axes_dims", default=(0, 0, 0)))

    @property
    def tokens(self) -> int:
        """Number of tokens of a packed image or frame: one per latent pixel."""
        return self.side**2

    @property
    def patches(self) -> int:
        """Number of tokens of an image or frame that the model itself splits into patches."""
        patch = self.first("patch_size", default=1)
        return int(self.side // (patch[-1] if isinstance(patch, list | tuple) else patch)) ** 2

    # ---- tensors --------------------------------------------------------------------------------------------------

    def empty(self, *shape: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
        """Return a tensor with the batch as first dimension, without values."""
        return torch.empty((self.batch, *shape), dtype=dtype, device="meta")

    def ids(self, *shape: int) -> torch.Tensor:
        """Return indices with the batch as first dimension, without values."""
        return self.empty(*shape, dtype=torch.int64)

    def ones(self, *shape: int) -> torch.Tensor:
        """Return a mask without padding, with the batch first and with real values, which some forwards read.

        A mask of millions of elements has a shape only.
        """
        full = (self.batch, *shape)
        return torch.ones(full, dtype=torch.int64, device="meta" if math.prod(full) > MOST_VALUES else "cpu")

    def image(self, channels: int | None = None) -> torch.Tensor:
        """Return a latent image, or an image."""
        return self.empty(channels or self.channels, self.side, self.side)

    def clip(self, channels: int | None = None) -> torch.Tensor:
        """Return a latent video, or a clip."""
        return self.empty(channels or self.channels, self.frames, self.side, self.side)

    def clip_of_frames(self) -> torch.Tensor:
        """Return a latent video with frames before channels."""
        return self.empty(self.frames, self.channels, self.side, self.side)

    def clip_of_pixels(self, channels: int | None = None) -> torch.Tensor:
        """Return a latent video with channels last."""
        return self.empty(self.frames, self.side, self.side, channels or self.channels)

    def packed(self, channels: int | None = None) -> torch.Tensor:
        """Return a latent image as a sequence of tokens."""
        return self.empty(self.tokens, channels or self.channels)

    def packed_clip(self) -> torch.Tensor:
        """Return a latent video as a sequence of tokens."""
        return self.empty(self.frames * self.tokens, self.channels)

    def audio(self, channels: int | None = None) -> torch.Tensor:
        """Return a recording, or its latents."""
        return self.empty(channels or self.channels, self.length)

    def states(self, width: int | None = None, tokens: int | None = None) -> torch.Tensor:
        """Return text states."""
        return self.empty(tokens or self.text, width or self.text_width)

    def sample(self) -> torch.Tensor:
        """Return the input of the model's first convolution."""
        return {1: self.audio, 2: self.image, 3: self.clip}[self._rank]()


Rule = Callable[[Step], Any]


def _convolution_rank(module: torch.nn.Module) -> int:
    """Return the number of spatial dimensions of a model's first convolution; 2 if it has none."""
    for part in module.modules():
        for kind, rank in ((torch.nn.Conv1d, 1), (torch.nn.Conv2d, 2), (torch.nn.Conv3d, 3)):
            if isinstance(part, kind):
                return rank
    return 2
