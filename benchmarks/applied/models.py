"""Models whose advice is applied: specs, sizes, and files of the configurations that some specs name."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from torch import nn

CONFIGS: dict[str, dict[str, Any]] = {
    "vit": {"model_type": "vit"},
    "bert": {"model_type": "bert"},
    "distilbert": {"model_type": "distilbert"},
    "decoder": {"model_type": "llama", "hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12,
                "num_key_value_heads": 12, "intermediate_size": 2048, "vocab_size": 32000},
    "unet": {"_class_name": "UNet2DModel", "sample_size": 32, "block_out_channels": [128, 256, 256],
             "down_block_types": ["DownBlock2D", "AttnDownBlock2D", "DownBlock2D"],
             "up_block_types": ["UpBlock2D", "AttnUpBlock2D", "UpBlock2D"]},
}  # fmt: skip


@dataclass(frozen=True)
class Model:
    """A model at the sizes at which it runs now.

    Attributes:
        scheme: Scheme of its spec: `torchvision`, `hf`, `diffusers` or a Python module.
        name: Its name there; for `hf` and `diffusers` one of `CONFIGS`, with the phase.
        sizes: Sizes of the forward.
    """

    scheme: str
    name: str
    sizes: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))

    @property
    def spec(self) -> str:
        """The spec; the configuration it names is written to a file first."""
        config, mark, phase = self.name.partition("#")
        if config not in CONFIGS:
            return f"{self.scheme}:{self.name}"
        path = Path(tempfile.gettempdir()) / "applied-configs" / f"{config}.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(CONFIGS[config]))
        return f"{self.scheme}:{path}{mark}{phase}"


MODELS: dict[str, Model] = {
    "resnet50": Model("torchvision", "resnet50", {"batch": 2}),
    "mobilenet_v3_large": Model("torchvision", "mobilenet_v3_large", {"batch": 4}),
    "efficientnet_b0": Model("torchvision", "efficientnet_b0", {"batch": 4}),
    "vit-b-16": Model("hf", "vit", {"batch": 1}),
    "bert-base": Model("hf", "bert", {"batch": 1, "sequence": 128}),
    "decoder-decode": Model("hf", "decoder#decode", {"batch": 4, "context": 512}),
    "decoder-prefill": Model("hf", "decoder#prefill", {"batch": 1, "sequence": 256}),
    "unet": Model("diffusers", "unet", {"batch": 1}),
    "recommender": Model("benchmarks.applied.models", "recommender", {"batch": 256}),
}
"""Names in tables and files -> models that take 10 to 500 ms on one core."""

UNSEEN: dict[str, Model] = {
    "convnext_tiny": Model("torchvision", "convnext_tiny", {"batch": 2}),
    "densenet121": Model("torchvision", "densenet121", {"batch": 2}),
    "regnet_y_800mf": Model("torchvision", "regnet_y_800mf", {"batch": 4}),
    "distilbert": Model("hf", "distilbert", {"batch": 2, "sequence": 96}),
}
"""Models that were measured once the mechanisms of the others had been found, to see whether these hold."""

FEATURES, DENSE, WIDTH, ROWS, HOT = 26, 13, 64, 40_000, 10


class Recommender(nn.Module):
    """Tables of embeddings, pairwise products of features, and two stacks of linear layers, as in DLRM."""

    def __init__(self) -> None:
        super().__init__()
        self.places: torch.Tensor
        self.tables = nn.ModuleList(nn.EmbeddingBag(ROWS, WIDTH, mode="sum") for _ in range(FEATURES))
        self.bottom = nn.Sequential(
            nn.Linear(DENSE, 512), nn.ReLU(), nn.Linear(512, 256), nn.ReLU(), nn.Linear(256, WIDTH), nn.ReLU()
        )
        pairs = (FEATURES + 1) * FEATURES // 2
        self.top = nn.Sequential(
            nn.Linear(WIDTH + pairs, 1024), nn.ReLU(), nn.Linear(1024, 1024), nn.ReLU(), nn.Linear(1024, 512),
            nn.ReLU(), nn.Linear(512, 1),
        )  # fmt: skip
        lower = torch.tril_indices(FEATURES + 1, FEATURES + 1, offset=-1)
        self.register_buffer("places", lower[0] * (FEATURES + 1) + lower[1])

    def forward(self, dense: torch.Tensor, sparse: torch.Tensor) -> torch.Tensor:
        """Return a score per row.

        Args:
            dense: Numbers, [batch, DENSE].
            sparse: Ids, [FEATURES, batch, HOT].
        """
        below = self.bottom(dense)
        found = [table(ids) for table, ids in zip(self.tables, sparse.unbind(0), strict=True)]
        features = torch.stack([below, *found], dim=1)
        products = torch.bmm(features, features.transpose(1, 2)).flatten(1)
        crossed = products.index_select(1, self.places)
        return torch.sigmoid(self.top(torch.cat([below, crossed], dim=1)))


def recommender(batch: int = 256) -> tuple[nn.Module, tuple[torch.Tensor, ...]]:
    """Return the recommender with inputs."""
    generator = torch.Generator().manual_seed(0)
    sparse = torch.randint(ROWS, (FEATURES, batch, HOT), generator=generator)
    return Recommender(), (torch.randn(batch, DENSE, generator=generator), sparse)
