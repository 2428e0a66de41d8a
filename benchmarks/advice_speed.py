"""Time of an advice without traffic: 12 models, all tactics, all machines with a price.

`python -m benchmarks.advice_speed [--risk retrain] [--only NAME]` prints a table. Seconds are of this process: elapsed,
and of its cores, capture of the model included. The target is 30 s on two cores.
"""

from __future__ import annotations

import json
import tempfile
import time
from pathlib import Path
from typing import Any

import click

import pyinfercost as ic

TARGET_S = 30.0

BERT = {
    "architectures": ["BertForSequenceClassification"], "model_type": "bert", "hidden_size": 768,
    "num_hidden_layers": 12, "num_attention_heads": 12, "intermediate_size": 3072, "vocab_size": 30522,
}  # fmt: skip
LLAMA = {
    "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 4096, "intermediate_size": 14336,
    "num_hidden_layers": 32, "num_attention_heads": 32, "num_key_value_heads": 8, "vocab_size": 128256,
    "max_position_embeddings": 131072, "dtype": "bfloat16",
}  # fmt: skip
UNET = {
    "_class_name": "UNet2DConditionModel", "sample_size": 64, "in_channels": 4, "out_channels": 4,
    "block_out_channels": [320, 640, 1280, 1280], "cross_attention_dim": 768, "layers_per_block": 2,
    "attention_head_dim": 8,
}  # fmt: skip
RECOMMENDER = """
import torch


class Recommender(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.bags = torch.nn.ModuleList(torch.nn.EmbeddingBag(100_000, 64) for _ in range(8))
        self.top = torch.nn.Sequential(
            torch.nn.Linear(8 * 64 + 13, 1024), torch.nn.ReLU(), torch.nn.Linear(1024, 512), torch.nn.ReLU(),
            torch.nn.Linear(512, 1),
        )

    def forward(self, ids, dense):
        return self.top(torch.cat([*(bag(ids[:, place]) for place, bag in enumerate(self.bags)), dense], dim=1))


def make(batch=128):
    with torch.device("meta"):
        return Recommender(), (torch.zeros(batch, 8, 16, dtype=torch.long), torch.zeros(batch, 13))
"""

MODELS: dict[str, dict[str, Any]] = {
    "torchvision:resnet50": {"hardware": "l4"},
    "torchvision:mobilenet_v3_large": {"hardware": "t4"},
    "torchvision:efficientnet_v2_s": {"hardware": "a10g"},
    "torchvision:convnext_tiny": {"hardware": "l40s"},
    "torchvision:vit_b_16": {"hardware": "a100-sxm-40gb"},
    "torchvision:swin_t": {"hardware": "l4", "batch": 8},
    "torchvision:resnet18": {"hardware": "xeon-8480+", "price": 2.0},
    "bert": {"hardware": "t4", "sequence": 128},
    "llama#decode": {"hardware": "h100-sxm-80gb", "batch": 8, "context": 4096},
    "llama#prefill": {"hardware": "h100-sxm-80gb", "sequence": 1024},
    "unet": {"hardware": "a10g"},
    "recommender": {"hardware": "l4"},
}


def spec_of(folder: Path, name: str) -> str:
    """Return the spec of a model, whose config is written into a folder."""
    base, _, phase = name.partition("#")
    configs = {"bert": BERT, "llama": LLAMA, "unet": UNET}
    if base in configs:
        path = folder / base / "config.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(configs[base]))
        return f"diffusers:{path}" if base == "unet" else f"hf:{path}{'#' if phase else ''}{phase}"
    if base == "recommender":
        (folder / "advised_recommender.py").write_text(RECOMMENDER)
        return "advised_recommender:make"
    return name


@click.command()
@click.option("--risk", default="rounding", help="Greatest risk of a plan; more formats are searched with more of it.")
@click.option("--only", default="", help="Only models whose name has this in it.")
def main(risk: str, only: str) -> None:
    """Print the seconds of an advice on each model."""
    import os
    import sys

    print("| model | on | setups | saves, % | elapsed, s | of the cores, s |\n|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        sys.path.insert(0, folder)
        for name, asked in MODELS.items():
            if only not in name:
                continue
            spec = spec_of(Path(folder), name)
            before = time.perf_counter(), time.process_time()
            advice = ic.advise(spec, risk=risk, **asked)
            took = time.perf_counter() - before[0], time.process_time() - before[1]
            saves = "" if advice.best is None else f"{100 * advice.best.saving_share:.0f}"
            shown = name.removeprefix("torchvision:")
            print(
                f"| {shown} | {asked['hardware']} | {advice.setups:,} | {saves} | {took[0]:.1f} | {took[1]:.1f} |",
                flush=True,
            )
        os.chdir("/")


if __name__ == "__main__":
    main()
