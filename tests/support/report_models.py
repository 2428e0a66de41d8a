"""Profiles of real models with 175 to 3,000 kernels, for reports."""

from __future__ import annotations

from collections.abc import Callable

import torch
from support.paths import CONFIGS

import pyinfercost as ic

LLAMA = f"hf:{CONFIGS / 'llama-3-8b.json'}#decode"


def many_kernels() -> ic.results.Profile:
    with torch.device("meta"):
        block = [
            layer for _ in range(1000) for layer in (torch.nn.Linear(64, 64), torch.nn.ReLU(), torch.nn.LayerNorm(64))
        ]
        model = torch.nn.Sequential(*(torch.nn.Sequential(*block[at : at + 3]) for at in range(0, 3000, 3)))
        return ic.profile(model, torch.zeros(8, 64), hardware="l4", precision="fp16")


PROFILES: dict[str, Callable[[], ic.results.Profile]] = {
    "resnet50": lambda: ic.profile("torchvision:resnet50", hardware="l4", precision="fp16", price="on-demand"),
    "vit_b_16": lambda: ic.profile("torchvision:vit_b_16", hardware="a100-sxm-80gb", precision="fp16"),
    "llama": lambda: ic.profile(LLAMA, hardware="h100-sxm-80gb", precision="bf16", execution="compiled"),
    "kernels": many_kernels,
}
