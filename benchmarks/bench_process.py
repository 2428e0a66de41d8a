"""Whole processes: time of a command from its first instruction to its last."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from .interleaved import NOTES, race
from .models import decoder_flops
from .parameters import (
    CONFIGS,
    CONTEXT,
    HARDWARE,
    LARGE_MODELS,
    MAX_RATIO,
    MAX_RESIDENT_BYTES,
    PHASES,
    PRECISION,
    PROCESS_ROUNDS,
    SEQUENCE,
)

BARE_FORWARD = Path(__file__).with_name("bare_forward.py")
RESNET50_FLOPS = 2 * 4_089_184_256  # 4.089 GMAC, torchvision's `_ops` for it
# Runs a command and prints its peak memory. The kernel charges a new process with the memory of its parent at its
# creation, so the parent must be small.
PEAK_OF = """
import os, subprocess, sys
process = subprocess.Popen(sys.argv[1:], stdout=subprocess.DEVNULL)
_, status, usage = os.wait4(process.pid, 0)
print(usage.ru_maxrss)
sys.exit(os.waitstatus_to_exitcode(status))
"""
MAKE_ARCHIVE = """
import sys, torch, torchvision
module = torchvision.models.resnet50().eval()
program = torch.export.export(module, (torch.randn(2, 3, 224, 224),), dynamic_shapes=({0: torch.export.Dim("batch")},))
torch.export.save(program, sys.argv[1])
"""


def run(*arguments: str, cwd: Path) -> str:
    """Return the stdout of a Python process."""
    return subprocess.run([sys.executable, *arguments], cwd=cwd, check=True, capture_output=True, text=True).stdout


def peak_bytes(*arguments: str, cwd: Path) -> int:
    """Return the peak resident memory of a Python process."""
    return 1024 * int(run("-c", PEAK_OF, sys.executable, *arguments, cwd=cwd))


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """ResNet-50 as saved by torch.export: 102 MB."""
    pytest.importorskip("torchvision", reason="needs torchvision: pip install 'pyinfercost[models]'")
    path = tmp_path_factory.mktemp("archive") / "resnet50.pt2"
    run("-W", "ignore", "-c", MAKE_ARCHIVE, str(path), cwd=path.parent)
    yield path
    path.unlink()


@pytest.mark.slow
def bench_profile_archive(benchmark: Any, archive: Path, tmp_path: Path) -> None:
    """A .pt2 file is profiled without torch, so it must be faster than importing torch."""
    answers = race(
        benchmark,
        "profile resnet50.pt2",
        lambda: run("-m", "pyinfercost", "profile", str(archive), "--batch", "1", "--format", "json", cwd=tmp_path),
        {"import torch": lambda: run("-c", "import torch", cwd=tmp_path)},
        rounds=PROCESS_ROUNDS,
        max_ratio={"import torch": MAX_RATIO["archive / import torch"]},
    )
    assert json.loads(answers["ours"])["totals"]["contraction_flops"] == RESNET50_FLOPS


def bench_import(benchmark: Any, tmp_path: Path) -> None:
    """`import pyinfercost` does not import numpy, torch or rich."""
    answers = race(
        benchmark,
        "import pyinfercost",
        lambda: run("-c", "import pyinfercost; print(pyinfercost.Graph.__name__)", cwd=tmp_path),
        {"import numpy": lambda: run("-c", "import numpy", cwd=tmp_path)},
        rounds=3 * PROCESS_ROUNDS,
        max_ratio={"import numpy": MAX_RATIO["import pyinfercost / import numpy"]},
    )
    assert answers["ours"].strip() == "Graph"


@pytest.mark.slow
@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("name", LARGE_MODELS)
def bench_profile_large_model(benchmark: Any, name: str, phase: str, tmp_path: Path) -> None:
    """A model larger than this machine's memory, from its config to a latency."""
    pytest.importorskip("transformers", reason="needs transformers: pip install 'pyinfercost[models]'")
    config = CONFIGS / f"{name}.json"
    size = "context" if phase == "decode" else "sequence"
    tokens = CONTEXT if phase == "decode" else SEQUENCE
    options = ("--hardware", HARDWARE, "--precision", PRECISION, "--set", f"{size}={tokens}", "--format", "json")
    command = ("-m", "pyinfercost", "profile", f"hf:{config}#{phase}", *options)
    answers = race(
        benchmark,
        f"profile {name}#{phase}",
        lambda: run(*command, cwd=tmp_path),
        {"bare script": lambda: run("-W", "ignore", str(BARE_FORWARD), str(config), phase, str(tokens), cwd=tmp_path)},
        rounds=PROCESS_ROUNDS,
        max_ratio={"bare script": MAX_RATIO["profile hf / bare script"]},
    )
    profile = json.loads(answers["ours"])
    new, cached = (1, CONTEXT) if phase == "decode" else (SEQUENCE, 0)
    assert profile["totals"]["contraction_flops"] == decoder_flops(name, tokens=new, cached=cached)
    assert not profile["coverage"]["unmodelled"]
    assert profile["estimate"]["latency_s"] > 0
    vocabulary = json.loads(config.read_text(encoding="utf-8"))["vocab_size"]
    assert answers["bare script"].strip() == f"(1, 1, {vocabulary})"
    if hasattr(os, "wait4"):
        held = peak_bytes(*command, cwd=tmp_path)
        benchmark.extra_info["peak_resident_bytes"] = held
        NOTES.append(f"profile {name}#{phase} held {held / 1e6:.0f} MB at its peak")
        # Memory does not depend on the machine's load, so this is a hard limit.
        assert held < MAX_RESIDENT_BYTES
