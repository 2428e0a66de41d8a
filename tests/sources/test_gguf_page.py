"""GGUF files that are dropped into a page: what its script reads is what the package reads."""

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
from support.gguf_bytes import KINDS, array, content, setting, tensor, text

import pyinfercost as ic
from pyinfercost import _core
from pyinfercost.errors import CheckpointSizeWarning
from pyinfercost.sources.captured import graph_over
from pyinfercost.sources.gguf.files import read_model
from pyinfercost.sources.gguf.reading import read_header
from pyinfercost.sources.gguf.tables import gguf_tables

pytest.importorskip("gguf")
from support.gguf_files import TYPES, Type, q4_k_m, write_gguf

pytestmark = pytest.mark.skipif(shutil.which("node") is None, reason="there is no node to run the script")

SCRIPT = Path(str(files("pyinfercost") / "report" / "html" / "assets" / "gguf_header.js"))
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


def read_in_page(paths: Sequence[Path]) -> list[dict[str, Any]]:
    """Return what the script reads of each file."""
    result = subprocess.run(
        ["node", str(RUNNER), str(SCRIPT)],
        check=False,
        input=json.dumps({"tables": gguf_tables(), "files": [str(path) for path in paths]}),
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert result.returncode == 0, result.stderr
    return [json.loads(line) for line in result.stdout.splitlines()]


def captured(path: Path, phase: str) -> ic.Graph:
    """Return the graph of the package, with the sizes of a phase as names."""
    size = {"decode": "context", "prefill": "sequence"}[phase]
    with warnings.catch_warnings():
        warnings.simplefilter("error", CheckpointSizeWarning)
        return graph_over(f"{path}#{phase}", {"batch": [2, 3], size: [200, 300]}).graph


def assert_same_header(found: dict[str, Any], path: Path) -> None:
    known = read_model(path, str(path))
    assert found["architecture"] == known.architecture
    assert found["bytes"] == known.nbytes
    assert [tuple(map(str, each)) for each in found["tensors"]] == [
        (each.name, str(list(each.shape)), each.type.name, str(each.nbytes)) for each in known.tensors.values()
    ]


@pytest.mark.torch
@pytest.mark.parametrize("name", COVERED)
@pytest.mark.sample(1)
def test_decoders_of_files_are_those_of_the_package(tmp_path: Path, name: str) -> None:
    """Headers, and of the graphs: FLOPs, parameters, bytes, and times on an engine."""
    path = tmp_path / "model.gguf"
    stored = write_gguf(path, name, q4_k_m)
    (found,) = read_in_page([path])
    assert_same_header(found, path)
    for phase in PHASES:
        graph = _core.decoder_graph(json.dumps(found[phase]))
        known = captured(path, phase)
        sizes = {"batch": 4, "context" if phase == "decode" else "sequence": 200}
        own, of_known = ic.count(graph, **sizes).total, ic.count(known, **sizes).total
        assert own.parameter_bytes == of_known.parameter_bytes == stored
        assert (own.contraction_flops, own.parameters) == (of_known.contraction_flops, of_known.parameters)
        engine: dict[str, Any] = {"hardware": "h100-sxm-80gb", "engine": "llamacpp", **sizes}
        assert ic.estimate(graph, **engine).latency_s == pytest.approx(ic.estimate(known, **engine).latency_s)


@pytest.mark.torch
@pytest.mark.parametrize("name", ["llama", "mixtral"])
@pytest.mark.sample(1)
def test_bytes_of_every_type(tmp_path: Path, name: str) -> None:
    paths = []
    stored = []
    for kind in TYPES:
        paths.append(tmp_path / f"{kind.name}.gguf")
        stored.append(write_gguf(paths[-1], name, kind))
    for path, nbytes, found in zip(paths, stored, read_in_page(paths), strict=True):
        assert_same_header(found, path)
        graph = _core.decoder_graph(json.dumps(found["decode"]))
        assert ic.count(graph, batch=1, context=100).total.parameter_bytes == nbytes, path.name


@pytest.mark.torch
def test_types_of_gate_and_up_may_differ(tmp_path: Path) -> None:
    path, single = tmp_path / "model.gguf", tmp_path / "single.gguf"
    stored = write_gguf(path, "mixtral", lambda name: Type.Q6_K if "ffn_gate" in name else Type.Q3_K)
    also = write_gguf(single, "mixtral", Type.Q4_K, one_by_one=True)
    for found, nbytes in zip(read_in_page([path, single]), (stored, also), strict=True):
        graph = _core.decoder_graph(json.dumps(found["decode"]))
        assert ic.count(graph, batch=1, context=100).total.parameter_bytes == nbytes


@pytest.mark.torch
def test_another_order_of_bytes_and_other_tensors(tmp_path: Path) -> None:
    big, rotated = tmp_path / "big.gguf", tmp_path / "rotated.gguf"
    stored = write_gguf(big, "qwen3", q4_k_m, big_endian=True)
    of_rotated = write_gguf(rotated, "llama", q4_k_m, extra={"rope_freqs.weight": ((32,), Type.F32)})
    for found, nbytes in zip(read_in_page([big, rotated]), (stored, of_rotated - 128), strict=True):
        graph = _core.decoder_graph(json.dumps(found["decode"]))
        assert ic.count(graph, batch=1, context=100).total.parameter_bytes == nbytes


@pytest.mark.torch
@pytest.mark.parametrize("name", ["phi3", "deepseek-v3", "gpt-oss", "gemma3"])
def test_other_architectures_are_refused_in_a_sentence(tmp_path: Path, name: str) -> None:
    path = tmp_path / "model.gguf"
    write_gguf(path, name)
    (found,) = read_in_page([path])
    assert_same_header(found, path)
    assert found["refused"].startswith(f"model.gguf has the architecture {found['architecture']}, ")
    assert "pyinfercost explore model.gguf" in found["refused"]


def test_files_that_are_no_models(tmp_path: Path) -> None:
    """Sentences, and only the start of a large file is read."""
    wrong: dict[str, tuple[bytes, str]] = {
        "empty": (b"", "is empty"),
        "short": (b"GGUF", "ends within its header"),
        "other": (b"PK\x03\x04" + bytes(100), "does not start with GGUF"),
        "old": (content([], [], version=1), "has version 1 of GGUF"),
        "tensors": (b"GGUF" + struct.pack("<IQQ", 3, 2**60, 0), "tensors, which its 24 bytes do not hold"),
        "settings": (b"GGUF" + struct.pack("<IQQ", 3, 0, 2**60), "settings, which its 24 bytes do not hold"),
        "key": (content([struct.pack("<Q", 2**60)], []), "has a key of more than 65,535 bytes"),
        "text": (content([setting("a", 8, struct.pack("<Q", 2**60))], []), "ends within its header"),
        "numbers": (content([setting("a", 9, struct.pack("<IQ", 12, 2**60))], []), "ends within its header"),
        "texts": (content([setting("a", 9, struct.pack("<IQ", 8, 2**60))], []), "which it does not hold"),
        "nested": (content([setting("a", 9, struct.pack("<IQ", 9, 1) * 200)], []), "more than 4 deep"),
        "kind": (content([setting("a", 13, b"")], []), "has type 13 for the setting a"),
        "twice": (content([setting("a", 0, 1)] * 2, []), "has the setting a twice"),
        "rank": (content([], [text("a") + struct.pack("<I", 2**31)]), "has 2147483648 dimensions"),
        "wide": (content([], [tensor("a", (2**40, 2**40), 0, 0)]), "above 2^48 elements"),
        "type": (content([], [tensor("a", (32,), 77, 0)]), "the unknown type 77"),
        "block": (content([], [tensor("a", (33,), 2, 0)]), "Q4_0 has blocks of 32 weights"),
        "cut": (content([], [tensor("a", (32,), 0, 0)], 127), "is truncated: download it again"),
        "same": (content([], [tensor("a", (8,), 0, 0), tensor("a", (8,), 0, 32)], 64), "has the tensor a twice"),
        "unknown": (content([], [tensor("a", (8,), 0, 0)], 32), "has no general.architecture"),
    }
    paths = []
    for name, (raw, _) in wrong.items():
        paths.append(tmp_path / f"{name}.gguf")
        paths[-1].write_bytes(raw)
    for name, raw in (("garbage", random.Random(1).randbytes(1 << 20)), ("zeros", b"GGUF" + struct.pack("<I", 3))):
        paths.append(tmp_path / f"{name}.gguf")
        with paths[-1].open("wb") as file:
            file.write(raw)
            file.truncate(500 * 2**20)
    found = read_in_page(paths)
    for path, (_, message), each in zip(paths, wrong.values(), found, strict=False):
        assert message in each["error"], path.name
        assert each["error"].startswith(path.name)
    assert all("error" in each and each["ms"] < 1000 * LONGEST_S and each["read"] <= 2**21 for each in found)


def test_mutated_headers_end_in_a_sentence(tmp_path: Path) -> None:
    """A file that the package reads is read alike; all others are refused by both, and none takes long."""
    rng = random.Random(20_261)
    settings = [
        setting("general.architecture", KINDS["text"], text("llama")),
        setting("llama.block_count", KINDS["u32"], 2),
        setting("llama.list", KINDS["array"], array(KINDS["i32"], [5, -6])),
        setting("tokenizer.ggml.tokens", KINDS["array"], array(KINDS["text"], ["a", "bc", ""] * 20)),
    ]
    good = content(settings, [tensor("a", (32, 2), 2, 0), tensor("b", (3,), 0, 64)], 64 + 12)
    paths = []
    for number in range(400):
        raw = bytearray(good)
        for _ in range(rng.choice([1, 1, 2, 5])):
            at = rng.randrange(len(raw))
            raw[at] = rng.choice([0, 1, 0xFF, raw[at] ^ (1 << rng.randrange(8)), rng.randrange(256)])
        if rng.random() < 0.2:
            del raw[rng.randrange(len(raw)) :]
        paths.append(tmp_path / f"{number}.gguf")
        paths[-1].write_bytes(raw)
    read = 0
    for path, found in zip(paths, read_in_page(paths), strict=True):
        assert found["ms"] < 1000 * LONGEST_S
        try:
            known = read_header(path)
        except ic.errors.Error:
            assert "error" in found, path.name
            continue
        if "error" in found:
            assert "general.architecture" not in known.settings or "split.count" in known.settings, found["error"]
            continue
        read += 1
        assert found["bytes"] == sum(each.nbytes for each in known.tensors)
    assert read > 50
