"""Operators whose kernels allocate workspaces, and their bytes by kind of processor.

Run as `python -m support.workspace_cases`, it prints as JSON the peak of each operator on the processor selected by the
environment.
"""

from __future__ import annotations

import functools
import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from .allocations import measure
from .paths import TESTS

THREADS = 2
"""Workspaces are counted for two threads; with several threads, oneDNN runs pointwise convolutions."""

PROCESSORS: Mapping[str, Mapping[str, str]] = {
    "AVX2": {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2"},
    "AVX-512": {"ATEN_CPU_CAPABILITY": "avx512", "ONEDNN_MAX_CPU_ISA": "AVX512_CORE_BF16"},
    "AMX": {},
}
"""Processors, with the environment that restricts torch and oneDNN to their instructions."""


def channels_last(*shape: int) -> torch.Tensor:
    return torch.randn(*shape).to(memory_format=torch.channels_last)


def transposed(*shape: int) -> torch.Tensor:
    return torch.randn(*shape[:-2], shape[-1], shape[-2]).transpose(-1, -2)


def split_heads(*shape: int) -> torch.Tensor:
    batch, heads, length, width = shape
    return torch.randn(batch, length, heads, width).transpose(1, 2)


attend = F.scaled_dot_product_attention
OPS: dict[str, tuple[Callable[..., Any], tuple[Any, ...]]] = {
    "conv2d": (F.conv2d, (torch.randn(2, 32, 28, 28), torch.randn(64, 32, 3, 3))),
    "conv2d, few channels": (F.conv2d, (torch.randn(2, 3, 64, 64), torch.randn(32, 3, 3, 3))),
    "conv2d, small": (F.conv2d, (torch.randn(1, 16, 16, 16), torch.randn(16, 16, 3, 3))),
    "conv2d, odd channels": (F.conv2d, (torch.randn(2, 32, 28, 28), torch.randn(48, 32, 1, 1))),
    "conv2d, part of a block": (F.conv2d, (torch.randn(2, 24, 28, 28), torch.randn(40, 24, 3, 3))),
    "conv2d, transposed input": (F.conv2d, (transposed(2, 32, 28, 28), torch.randn(32, 32, 3, 3))),
    "conv1d": (F.conv1d, (torch.randn(2, 32, 400), torch.randn(32, 32, 3))),
    "conv3d": (F.conv3d, (torch.randn(1, 16, 4, 14, 14), torch.randn(16, 16, 3, 3, 3))),
    "conv_transpose2d": (F.conv_transpose2d, (torch.randn(2, 32, 14, 14), torch.randn(32, 32, 2, 2), None, 2)),
    "linear, transposed": (F.linear, (transposed(2, 100, 64), nn.Parameter(torch.randn(32, 64)))),
    "linear, rows of a wider matrix": (F.linear, (torch.randn(2, 100, 128)[..., :64], torch.randn(32, 64))),
    "matmul": (torch.matmul, (torch.randn(2, 4, 50, 32), torch.randn(2, 4, 32, 50))),
    "matmul, heads": (torch.matmul, (split_heads(2, 4, 50, 32), split_heads(2, 4, 50, 32).transpose(2, 3))),
    "matmul, one matrix": (torch.matmul, (transposed(2, 100, 64), torch.randn(64, 32))),
    "matmul, one matrix for heads": (torch.matmul, (split_heads(2, 4, 50, 32), torch.randn(32, 50))),
    "matmul, broadcast": (torch.matmul, (torch.randn(2, 4, 50, 32), torch.randn(2, 1, 32, 50))),
    "einsum, as they lie": (torch.einsum, ("bij,bjk->bik", torch.randn(4, 50, 60), torch.randn(4, 60, 70))),
    "einsum, heads": (torch.einsum, ("bhqd,bhkd->bhqk", split_heads(2, 4, 50, 32), split_heads(2, 4, 60, 32))),
    "einsum, middle letters": (torch.einsum, ("bqhd,bkhd->bhqk", torch.randn(2, 50, 4, 32), torch.randn(2, 60, 4, 32))),
    "einsum, a view that overlaps": (
        torch.einsum,
        (
            "bcxd,bcyd->bcxy",
            torch.randn(2, 120, 32).as_strided((2, 5, 40, 32), (3840, 640, 32, 1)),
            torch.randn(2, 5, 40, 32),
        ),
    ),
    "einsum, a letter alone": (torch.einsum, ("bijx,bjk->bik", torch.randn(4, 50, 60, 8), torch.randn(4, 60, 70))),
    "einsum, an ellipsis": (torch.einsum, ("...ij,...jk->...ik", transposed(2, 4, 50, 60), torch.randn(2, 4, 60, 70))),
    "einsum, lengths of one": (torch.einsum, ("blij,bijk->blik", torch.randn(4, 1, 50, 1), torch.randn(4, 50, 1, 70))),
    "einsum, three": (torch.einsum, ("ij,jk,kl->il", torch.randn(50, 60), torch.randn(60, 200), torch.randn(200, 30))),
    "einsum, elements": (torch.einsum, ("bi,bj->bij", torch.randn(4, 50), torch.randn(4, 60))),
    "layer_norm": (F.layer_norm, (torch.randn(2, 100, 64), (64,))),
    "layer_norm, transposed": (F.layer_norm, (transposed(2, 100, 64), (64,))),
    "group_norm": (F.group_norm, (torch.randn(2, 32, 14, 14), 8)),
    "softmax, transposed": (torch.softmax, (transposed(2, 4, 50, 50), -1)),
    "max_pool2d": (F.max_pool2d, (torch.randn(2, 32, 28, 28), 2)),
    "interpolate, small": (F.interpolate, (torch.randn(2, 8, 14, 14), (28, 28), None, "bilinear")),
    "interpolate, large": (F.interpolate, (torch.randn(2, 8, 14, 14), (100, 100), None, "bilinear")),
    "interpolate, channels last": (F.interpolate, (channels_last(2, 8, 14, 14), (28, 28), None, "bilinear")),
    "attention": (attend, (split_heads(2, 4, 100, 32),) * 3),
    "attention, long": (attend, (split_heads(1, 2, 800, 32),) * 3),
    "attention, mask": (attend, (*(split_heads(2, 4, 100, 32),) * 3, torch.ones(100, 100, dtype=torch.bool))),
    "attention, one query for all": (attend, (torch.randn(1, 4, 3, 32), *(torch.randn(7, 4, 100, 32),) * 2)),
    "attention, unfused": (
        attend,
        (split_heads(2, 4, 100, 32), split_heads(2, 4, 100, 32), split_heads(2, 4, 100, 16)),
    ),
    "attention, half": (attend, (split_heads(2, 4, 100, 32).bfloat16(),) * 3),
    "attention, half, short": (attend, (split_heads(2, 4, 63, 32).bfloat16(),) * 3),
    "unfold": (F.unfold, (torch.randn(2, 8, 28, 28), 3)),
    "roll": (torch.roll, (torch.randn(2, 8, 28, 28), (1, 2), (2, 3))),
    "logsumexp": (torch.logsumexp, (torch.randn(8, 500), -1)),
}


def has(processor: str) -> bool:
    """Return whether this machine has the instructions of a processor."""
    supported: Callable[[], bool] = {
        "AVX2": torch.cpu._is_avx2_supported,
        "AVX-512": torch.cpu._is_avx512_supported,
        "AMX": torch.cpu._is_amx_tile_supported,
    }[processor]
    return supported()


@functools.cache
def peaks_on(processor: str) -> dict[str, int]:
    """Return the peak bytes of each operator, in a separate process that emulates the processor."""
    environment = {key: value for key, value in os.environ.items() if key not in PROCESSORS["AVX2"]}
    command = [sys.executable, "-m", "support.workspace_cases"]
    result = subprocess.run(
        command, check=True, capture_output=True, cwd=TESTS, env={**environment, **PROCESSORS[processor]}
    )
    found: dict[str, int] = json.loads(result.stdout)
    return found


def _main() -> None:
    torch.set_num_threads(THREADS)
    peaks = {}
    for name, (function, args) in OPS.items():
        forward = functools.partial(function, *args)
        peaks[name] = measure(lambda forward=forward: forward).peak_bytes
    sys.stdout.write(json.dumps(peaks) + "\n")


if __name__ == "__main__":
    _main()
