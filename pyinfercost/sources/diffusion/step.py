"""The sizes of one step of a diffusion model, and tensors of the shapes that follow from them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch

# Where a configuration keeps the width of the text states that a model is given, the most telling key first.
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
# How many samples of a recording become one latent: the product of what these hold.
_AUDIO_RATES = ("encoder_rates", "downsampling_ratios", "dec_strides")
_PICTURES = ("Autoencoder", "VAE", "Vae", "VQModel", "T2IAdapter")
_LARGEST_SIDE = 128


class Step:
    """The sizes of one forward, and the configuration of the model that makes it.

    Args:
        module: The model; its configuration has all defaults filled in.
        sizes: `batch`, `sample_size` (height and width of what the model is given: latents, or pixels for an
            autoencoder), `frames` of it, `sequence` (text tokens), `length` (samples or steps of audio). What is not
            given has a default: the model's own `sample_size` up to 128, or 64 for latents and 256 for pictures, 9
            latent or 17 real frames, 77 tokens, 1024 latents or about 65536 samples of audio.
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
        """How many images, clips or recordings."""
        return self._size("batch", 1)

    @property
    def side(self) -> int:
        """Height and width of what the model is given."""
        own = self.config.get("sample_size")
        if self._pictures:
            return self._size("sample_size", 256)
        return self._size("sample_size", own if isinstance(own, int) and own <= _LARGEST_SIDE else 64)

    @property
    def frames(self) -> int:
        """Frames of what the model is given."""
        return self._size("frames", 17 if self._pictures else 9)

    @property
    def text(self) -> int:
        """Text tokens."""
        return self._size("sequence", 77)

    @property
    def length(self) -> int:
        """Samples of a recording, or latents in time."""
        own = self.config.get("sample_size")
        if not self._pictures:
            return self._size("length", own if self._rank == 1 and isinstance(own, int) else 1024)
        hop = math.prod(self.first(*_AUDIO_RATES, default=[2048]))
        return self._size("length", hop * -(-65536 // hop))

    def first(self, *names: str, default: Any = None) -> Any:
        """The first of these keys that the configuration has a value for."""
        return next((self.config[name] for name in names if self.config.get(name) is not None), default)

    @property
    def channels(self) -> int:
        """Channels of what the model is given."""
        return int(self.first(*_CHANNELS, default=3))

    @property
    def text_width(self) -> int:
        """Width of the text states."""
        found = self.first(*_TEXT_WIDTH, default=768)
        return int(found[0] if isinstance(found, list | tuple) else found)

    @property
    def axes(self) -> int:
        """Coordinates of a token that go into rotary embeddings."""
        return len(self.first("axes_dims_rope", "axes_dim", "axes_dims", default=(0, 0, 0)))

    @property
    def tokens(self) -> int:
        """Tokens of a packed image or frame: one per latent pixel."""
        return self.side**2

    @property
    def patches(self) -> int:
        """Tokens of an image or frame that the model cuts into patches itself."""
        patch = self.first("patch_size", default=1)
        return int(self.side // (patch[-1] if isinstance(patch, list | tuple) else patch)) ** 2

    # ---- tensors --------------------------------------------------------------------------------------------------

    def empty(self, *shape: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
        """For every item of the batch, a tensor of which only the shape matters."""
        return torch.empty((self.batch, *shape), dtype=dtype, device="meta")

    def ids(self, *shape: int) -> torch.Tensor:
        """For every item of the batch, indices of which only the shape matters."""
        return self.empty(*shape, dtype=torch.int64)

    def ones(self, *shape: int) -> torch.Tensor:
        """For every item of the batch, a mask without padding, with real values: some forwards ask for them."""
        return torch.ones((self.batch, *shape), dtype=torch.int64)

    def image(self, channels: int | None = None) -> torch.Tensor:
        """A latent image, or a picture."""
        return self.empty(channels or self.channels, self.side, self.side)

    def clip(self, channels: int | None = None) -> torch.Tensor:
        """A latent video, or a clip."""
        return self.empty(channels or self.channels, self.frames, self.side, self.side)

    def clip_of_frames(self) -> torch.Tensor:
        """A latent video with frames before channels."""
        return self.empty(self.frames, self.channels, self.side, self.side)

    def clip_of_pixels(self, channels: int | None = None) -> torch.Tensor:
        """A latent video with channels last."""
        return self.empty(self.frames, self.side, self.side, channels or self.channels)

    def packed(self, channels: int | None = None) -> torch.Tensor:
        """A latent image as a row of tokens."""
        return self.empty(self.tokens, channels or self.channels)

    def packed_clip(self) -> torch.Tensor:
        """A latent video as a row of tokens."""
        return self.empty(self.frames * self.tokens, self.channels)

    def audio(self, channels: int | None = None) -> torch.Tensor:
        """A recording, or its latents."""
        return self.empty(channels or self.channels, self.length)

    def states(self, width: int | None = None, tokens: int | None = None) -> torch.Tensor:
        """Text states."""
        return self.empty(tokens or self.text, width or self.text_width)

    def sample(self) -> torch.Tensor:
        """What goes into the model's first convolution."""
        return {1: self.audio, 2: self.image, 3: self.clip}[self._rank]()


Rule = Callable[[Step], Any]


def _convolution_rank(module: torch.nn.Module) -> int:
    """Dimensions that the first convolution of a model goes over; 2 where it has none."""
    for part in module.modules():
        for kind, rank in ((torch.nn.Conv1d, 1), (torch.nn.Conv2d, 2), (torch.nn.Conv3d, 3)):
            if isinstance(part, kind):
                return rank
    return 2
