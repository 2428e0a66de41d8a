"""Models of GGUF files: the FLOPs of the config that they were converted from, and the bytes of the file."""

from __future__ import annotations

import warnings
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

import pyinfercost as ic
from pyinfercost.errors import CheckpointSizeWarning
from pyinfercost.sources.loaded_model import SpecError

gguf = pytest.importorskip("gguf")
from support.gguf_files import MODELS, TYPES, Type, q4_k_m, q4_k_m_of, save_config, write_gguf  # noqa: E402 - needs gguf

pytestmark = pytest.mark.torch

PHASES = ("prefill", "decode")
OF_CONFIGS = [
    pytest.param(name, phase, marks=[pytest.mark.slow] if (place + number) % 2 else [])
    for place, name in enumerate(name for name in MODELS if name != "llama-8b")
    for number, phase in enumerate(PHASES)
]
"""All models in both phases; of each model one phase is of the slow suite."""


def captured(spec: str) -> ic.Graph:
    with warnings.catch_warnings():
        warnings.simplefilter("error", CheckpointSizeWarning)
        return ic.capture(spec)


@pytest.mark.parametrize(("name", "phase"), OF_CONFIGS)
@pytest.mark.sample(2)
def test_a_file_is_the_model_of_its_config(tmp_path: Path, name: str, phase: str) -> None:
    """FLOPs of contractions and parameters equal those of the config, and bytes those of the file."""
    path = tmp_path / "model.gguf"
    stored = write_gguf(path, name, q4_k_m)
    of_config = ic.count(captured(f"{save_config(name, tmp_path)}#{phase}")).total
    counts = ic.count(captured(f"{path}#{phase}"))
    assert counts.unmodelled == {}
    assert counts.total.contraction_flops == of_config.contraction_flops
    assert counts.total.parameters == of_config.parameters
    # Corrections of routers' scores are buffers of the model, of float32.
    layers = 1 if name in ("deepseek-v3", "glm4moe") else 0
    assert counts.total.parameter_bytes + layers * 4 * 4 == stored


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize(
    "name", ["llama", *(pytest.param(each, marks=pytest.mark.slow) for each in ("qwen2", "gemma2", "mixtral"))]
)
@pytest.mark.sample(5)
def test_bytes_of_every_type(tmp_path: Path, name: str, kind: Type) -> None:
    """Only the bytes of weights, and what widens them, depend on their type."""
    path = tmp_path / "model.gguf"
    stored = write_gguf(path, name, kind)
    total = ic.count(captured(f"{path}#decode")).total
    assert total.parameter_bytes == stored
    assert (total.contraction_flops, total.parameters) == of_plain_floats(name)


@cache
def of_plain_floats(name: str) -> tuple[object, object]:
    """Return contraction FLOPs and parameters of the file in float16, once for all types."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "plain.gguf"
        write_gguf(path, name, Type.F16)
        total = ic.count(captured(f"{path}#decode")).total
    return total.contraction_flops, total.parameters


@pytest.mark.parametrize("phase", PHASES)
def test_plain_floats_are_the_config(tmp_path: Path, phase: str) -> None:
    """Without types in blocks, all figures but the bytes of vectors are those of the config."""
    path = tmp_path / "model.gguf"
    write_gguf(path, "llama", Type.F16)
    of_config = ic.count(captured(f"{save_config('llama', tmp_path)}#{phase}"))
    of_file = ic.count(captured(f"{path}#{phase}"))
    assert of_file.total.flops == of_config.total.flops
    vectors = 5 * 256  # norms in float32 instead of float16
    assert of_file.total.parameter_bytes == of_config.total.parameter_bytes + 2 * vectors


def test_the_dtype_is_that_of_most_wide_matrices(tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    for kind, dtype in ((Type.BF16, "bfloat16"), (Type.F16, "float16"), (Type.Q4_0, "float16"), (Type.F32, "float16")):
        write_gguf(path, "llama", kind)
        graph = captured(f"{path}#decode")
        assert {t.dtype for t in graph.tensors if t.role == "kv_cache"} == {dtype}


def test_tied_embeddings_are_read_by_rows_and_as_a_whole(tmp_path: Path) -> None:
    """`output.weight` is absent: the head multiplies with the embeddings, of which a step looks up one row."""
    path = tmp_path / "model.gguf"
    write_gguf(path, "llama-tied", Type.Q6_K)
    counts = ic.count(captured(f"{path}#decode"))
    embedding = next(layer for layer in counts.layers if layer.op == "aten.embedding")
    head = next(layer for layer in counts.layers if layer.module == "lm_head")
    row = 210  # bytes of 256 weights in Q6_K
    assert embedding.work.bytes_read == row + 8  # and the token's number
    assert head.work.bytes_read == 512 * row + 2 * 256
    assert embedding.work.bytes_written == 2 * 256


def test_types_of_gate_and_up_may_differ(tmp_path: Path) -> None:
    """A stack of experts joins both, and has the bytes of both."""
    path = tmp_path / "model.gguf"
    stored = write_gguf(path, "mixtral", lambda name: Type.Q6_K if "ffn_gate" in name else Type.Q3_K)
    assert ic.count(captured(f"{path}#decode")).total.parameter_bytes == stored
    assert ic.count(captured(f"{path}#prefill")).total.parameter_bytes == stored


def test_experts_one_by_one(tmp_path: Path) -> None:
    """Files of 2023 have a tensor for each expert."""
    path = tmp_path / "model.gguf"
    stored = write_gguf(path, "mixtral", Type.Q4_K, one_by_one=True)
    joined = tmp_path / "joined.gguf"
    write_gguf(joined, "mixtral", Type.Q4_K)
    total, of_joined = (ic.count(captured(f"{file}#decode")).total for file in (path, joined))
    assert total.parameter_bytes == of_joined.parameter_bytes == stored
    assert total.contraction_flops == of_joined.contraction_flops


def test_several_files_and_other_orders_of_bytes(tmp_path: Path) -> None:
    whole, parts, big = tmp_path / "whole.gguf", tmp_path / "parts.gguf", tmp_path / "big.gguf"
    write_gguf(whole, "qwen3", q4_k_m)
    write_gguf(parts, "qwen3", q4_k_m, split=10)
    write_gguf(big, "qwen3", q4_k_m, big_endian=True)
    first = next(tmp_path.glob("parts-00001-of-*.gguf"))
    graphs = [captured(f"{path}#decode") for path in (whole, first, big)]
    mixed = tmp_path / "mixed.gguf"
    mixed.write_bytes(b"GGUF" + (3).to_bytes(4, "little") + big.read_bytes()[8:])
    with pytest.raises(SpecError, match="has a little-endian version and a big-endian number of tensors"):
        captured(f"{mixed}#decode")
    assert len({ic.count(graph).total.parameter_bytes for graph in graphs}) == 1


def test_tables_of_rotations_are_no_weights(tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    stored = write_gguf(path, "llama", Type.Q4_K, extra={"rope_freqs.weight": ((32,), Type.F32)})
    assert ic.count(captured(f"{path}#decode")).total.parameter_bytes == stored - 4 * 32


def test_tensors_of_no_part_are_a_warning(tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    write_gguf(path, "llama", Type.Q4_K, extra={"blk.2.nextn.eh_proj.weight": ((256, 512), Type.Q8_0)})
    with pytest.warns(CheckpointSizeWarning, match=r"1 of \d+ tensors with 139,264 bytes .*nextn\.eh_proj\.weight"):
        ic.capture(f"{path}#decode")


def test_settings_that_do_not_describe_the_tensors(tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    write_gguf(path, "llama", Type.Q4_K)
    raw = path.read_bytes()
    for key, old, new, message in (
        (b"llama.feed_forward_length", 512, 768, r"ffn_gate\.weight \[512, 256\] has 131,072 elements"),
        (b"llama.block_count", 2, 3, r"has no tensors for 9 weights .* model\.layers\.2\."),
        (b"llama.block_count", 2, 0, r"llama\.block_count of .* is 0; expected"),
        (b"llama.embedding_length", 256, 2**20, "elements"),
        (b"llama.attention.head_count", 4, 2**31 - 1, "is not a multiple of the number of attention heads"),
    ):
        at = raw.index(key) + len(key) + 4
        assert int.from_bytes(raw[at : at + 4], "little") == old
        path.write_bytes(raw[:at] + new.to_bytes(4, "little") + raw[at + 4 :])
        with pytest.raises(ic.errors.Error, match=message):
            ic.capture(f"{path}#decode")


def test_the_suffix_may_be_in_any_case(tmp_path: Path) -> None:
    write_gguf(tmp_path / "MODEL.GGUF", "llama", Type.Q4_0)
    for phase in ("", "#prefill"):
        assert ic.capture(f"{tmp_path}/MODEL.GGUF{phase}").node_count > 0


def test_unknown_architectures_and_phases(tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    write_gguf(path, "llama", Type.Q4_K)
    with pytest.raises(SpecError, match=r"phase 'train' of .*model\.gguf is unknown; expected prefill or decode"):
        ic.capture(f"{path}#train")
    path.write_bytes(path.read_bytes().replace(b"llama", b"whale"))
    with pytest.raises(SpecError, match="the architecture 'whale', which is not known; expected llama, mistral3"):
        ic.capture(str(path))
    with pytest.raises(ic.errors.MissingFileError, match="no such file"):
        ic.capture(str(tmp_path / "absent.gguf"))


@pytest.mark.slow
def test_a_decode_step_on_llamacpp_is_the_default(tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    write_gguf(path, "llama", q4_k_m)
    profile = ic.profile(str(path), hardware="apple-m1-max")
    assert profile.estimate.engine.startswith("llamacpp")
    assert profile.sizes == {"batch": 1, "context": 2048}
    other = ic.profile(str(path), hardware="apple-m1-max", engine="torch", context=100)
    assert not other.prefill.estimate.engine.startswith("llamacpp")
    bits = 8 * profile.counts.total.parameter_bytes / profile.counts.total.parameters
    assert profile.figures["bits_per_parameter"] == bits
    assert f"({bits:.2f} bits per weight)" in profile.to_text()
    both = ic.profile(str(path), hardware="apple-m1-max", prompt=64)
    assert both.prefill.sizes["sequence"] == 64


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[ic.Graph, int]]:
    """Decode steps of Llama 3 8B in several types, and the bytes of their files."""
    folder, found = tmp_path_factory.mktemp("large"), {}
    for form in ("Q2_K", "Q4_K", "Q8_0", "F16", "Q4_K_M"):
        path = folder / f"{form}.gguf"
        stored = write_gguf(path, "llama-8b", q4_k_m_of(32) if form == "Q4_K_M" else Type[form])
        found[form] = ic.capture(f"{path}#decode", context=512), stored
    return found


@pytest.mark.parametrize("hardware", ["apple-m1-max", "epyc-9654", "a100-sxm-80gb"])
@pytest.mark.sample(1)
def test_decode_follows_the_bytes_of_weights(large: dict[str, tuple[ic.Graph, int]], hardware: str) -> None:
    """A step reads all weights: it takes at least that long, and longer for more bits; a batch shares them."""
    bandwidth = ic.Deployment(hardware=hardware).machine.bandwidth_byte_per_s
    latencies = {}
    for kind in (Type.Q2_K, Type.Q4_K, Type.Q8_0, Type.F16):
        graph, stored = large[kind.name]
        estimate = ic.estimate(graph, hardware=hardware, engine="llamacpp")
        assert estimate.latency_s > 0.9 * (stored - stored // 15) / bandwidth  # embeddings apart
        assert estimate.latency_s < 1.5 * stored / bandwidth + 7e-3
        latencies[kind] = estimate.latency_s
    assert sorted(latencies.values()) == list(latencies.values())
    assert latencies[Type.F16] > 1.6 * latencies[Type.Q4_K]  # launches of kernels take the same time in both


# Times of one token of llama.cpp, ms: XiongjieDai/GPU-Benchmarks-on-LLM-Inference (README.md), Llama 3 8B.
PUBLISHED = {
    ("apple-m1-max", "F16"): 53.33,
    ("rtx-4090", "F16"): 18.23,
    ("rtx-3090", "F16"): 21.10,
    ("rtx-4090", "Q4_K_M"): 7.66,
}


@pytest.mark.parametrize(("hardware", "form"), PUBLISHED)
def test_published_times_of_a_token_are_in_the_band(
    large: dict[str, tuple[ic.Graph, int]], hardware: str, form: str
) -> None:
    estimate = ic.estimate(large[form][0], hardware=hardware, engine="llamacpp")
    assert estimate.latency_low_s < PUBLISHED[hardware, form] / 1e3 < estimate.latency_high_s
