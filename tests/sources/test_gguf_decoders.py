"""Decoders of GGUF files that the core builds, and the page that reads a dropped file."""

from __future__ import annotations

import json
import random
import shutil
import struct
import subprocess
import warnings
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from support.gguf_bytes import KINDS, array, content, setting, text

import pyinfercost as ic
from pyinfercost.errors import CheckpointSizeWarning, InputError
from pyinfercost.sources.captured import graph_over
from pyinfercost.sources.gguf.files import read_model

pytest.importorskip("gguf")
from support.gguf_files import TYPES, Type, q4_k_m, write_gguf

ASSETS = Path(str(files("pyinfercost") / "report" / "html" / "assets"))
RUNNER = Path(__file__).parents[1] / "support" / "read_gguf.mjs"
COVERED = (
    "llama",
    "llama-biased",
    "llama-tied",
    "mixtral",
    "qwen2",
    "qwen2moe",
    "qwen3",
    "qwen3moe",
    "gemma",
    "gemma2",
)
PHASES = ("decode", "prefill")
LONGEST_S = 2.0


def captured(path: Path, phase: str) -> ic.Graph:
    """Return the graph of the package, with the sizes of a phase as names."""
    size = {"decode": "context", "prefill": "sequence"}[phase]
    with warnings.catch_warnings():
        warnings.simplefilter("error", CheckpointSizeWarning)
        return graph_over(f"{path}#{phase}", {"batch": [2, 3], size: [200, 300]}).graph


def decoder(path: Path, phase: str = "decode") -> ic.Graph:
    return read_model(path, path.name).graph(phase)


def stored_bytes(path: Path) -> int:
    return ic.count(decoder(path), batch=1, context=100).total.parameter_bytes


@pytest.mark.torch
@pytest.mark.parametrize("name", COVERED)
@pytest.mark.sample(1)
def test_decoders_of_files_are_those_of_captures(tmp_path: Path, name: str) -> None:
    """FLOPs, parameters, bytes, and times on an engine."""
    path = tmp_path / "model.gguf"
    stored = write_gguf(path, name, q4_k_m)
    for phase in PHASES:
        graph, known = decoder(path, phase), captured(path, phase)
        sizes = {"batch": 4, "context" if phase == "decode" else "sequence": 200}
        own, of_known = ic.count(graph, **sizes).total, ic.count(known, **sizes).total
        assert own.parameter_bytes == of_known.parameter_bytes == stored
        assert (own.contraction_flops, own.parameters) == (of_known.contraction_flops, of_known.parameters)
        engine: dict[str, Any] = {"hardware": "h100-sxm-80gb", "engine": "llamacpp", **sizes}
        assert ic.estimate(graph, **engine).latency_s == pytest.approx(ic.estimate(known, **engine).latency_s)


@pytest.mark.parametrize("name", ["llama", "mixtral"])
@pytest.mark.sample(1)
def test_bytes_of_every_type(tmp_path: Path, name: str) -> None:
    for kind in TYPES:
        path = tmp_path / f"{kind.name}.gguf"
        assert write_gguf(path, name, kind) == stored_bytes(path), path.name


def test_types_of_gate_and_up_may_differ(tmp_path: Path) -> None:
    path, single = tmp_path / "model.gguf", tmp_path / "single.gguf"
    assert write_gguf(path, "mixtral", lambda name: Type.Q6_K if "ffn_gate" in name else Type.Q3_K) == stored_bytes(
        path
    )
    assert write_gguf(single, "mixtral", Type.Q4_K, one_by_one=True) == stored_bytes(single)


def test_another_order_of_bytes_and_other_tensors(tmp_path: Path) -> None:
    big, rotated = tmp_path / "big.gguf", tmp_path / "rotated.gguf"
    assert write_gguf(big, "qwen3", q4_k_m, big_endian=True) == stored_bytes(big)
    of_rotated = write_gguf(rotated, "llama", q4_k_m, extra={"rope_freqs.weight": ((32,), Type.F32)})
    assert of_rotated - 128 == stored_bytes(rotated)


@pytest.mark.parametrize("name", ["phi3", "deepseek-v3", "gpt-oss", "gemma3"])
def test_other_families_are_refused_in_a_sentence(tmp_path: Path, name: str) -> None:
    path = tmp_path / "model.gguf"
    write_gguf(path, name)
    with pytest.raises(InputError, match=r"model\.gguf: .* a family without a graph here; convert it where Python is"):
        decoder(path)


# The page


def read_in_page(paths: Sequence[Path]) -> list[dict[str, Any]]:
    """Return the phases of each file in a page, or why it is refused, and the bytes that the page read."""
    result = subprocess.run(
        ["node", str(RUNNER), str(ASSETS)],
        check=False,
        input=json.dumps([str(path) for path in paths]),
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert result.returncode == 0, result.stderr
    return [json.loads(line) for line in result.stdout.splitlines()]


@pytest.mark.skipif(shutil.which("node") is None, reason="there is no node to run the script")
def test_a_page_reads_headers_in_slices(tmp_path: Path) -> None:
    """The header of a large file is read, and no more than the start of one that is no model."""
    good = tmp_path / "good.gguf"
    write_gguf(good, "llama", q4_k_m)
    vocabulary = setting("tokenizer.ggml.tokens", KINDS["array"], array(KINDS["text"], ["token"] * 400_000))
    named = setting("general.architecture", KINDS["text"], text("whale"))
    (tmp_path / "long.gguf").write_bytes(content([vocabulary, named], []))
    (tmp_path / "empty.gguf").write_bytes(b"")
    (tmp_path / "split.gguf").write_bytes(content([named, setting("split.count", KINDS["u16"], 3)], []))
    for name, raw in (("garbage", random.Random(1).randbytes(1 << 20)), ("zeros", b"GGUF" + struct.pack("<I", 3))):
        with (tmp_path / f"{name}.gguf").open("wb") as file:
            file.write(raw)
            file.truncate(500 * 2**20)
    names = ("good", "long", "empty", "split", "garbage", "zeros")
    found = dict(zip(names, read_in_page([tmp_path / f"{name}.gguf" for name in names]), strict=True))
    assert [phase["name"] for phase in found["good"]["phases"]] == ["prefill", "decode"]
    assert {size["name"] for size in found["good"]["phases"][1]["sizes"]} == {"batch", "context"}
    assert found["good"]["read"] <= good.stat().st_size
    assert "the architecture 'whale', which is not known" in found["long"]["refused"]
    assert 400_000 * 13 < found["long"]["read"] < 3 * 400_000 * 13
    assert found["empty"]["refused"].startswith("empty.gguf is empty")
    assert "is one of 3 files" in found["split"]["refused"]
    for name in ("garbage", "zeros"):
        assert "refused" in found[name]
        assert found[name]["read"] <= 2**21
    assert all(each["ms"] < 1000 * LONGEST_S for each in found.values())
