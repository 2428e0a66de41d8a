"""Bytes of keys, values and states: Hugging Face models, caches written in place, and models without a cache."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from support.function_module import Wrapped
from support.language_configs import DEEPSEEK, GPT_OSS, MAMBA, QWEN_NEXT, T5, spec_of
from support.paths import CONFIGS
from torch import nn

import pyinfercost as ic
from pyinfercost.report.plots.curves import sweep_curves

pytestmark = pytest.mark.torch

LAYERS, HEADS, KV_HEADS, WIDTH = 2, 4, 2, 8
LLAMA = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": HEADS * WIDTH,
    "intermediate_size": 48,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": HEADS,
    "num_key_value_heads": KV_HEADS,
    "vocab_size": 64,
    "dtype": "bfloat16",
}
BF16 = 2
# Keys and values of all layers: grouped heads are kept once for the queries that share them.
PER_TOKEN = 2 * LAYERS * KV_HEADS * WIDTH * BF16
KEYS = ("kv_cache_bytes", "kv_cache_bytes_per_token")


def spec(folder: Path, config: dict[str, Any], part: str) -> str:
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    return f"hf:{folder / 'config.json'}#{part}"


def cache_of(profile: ic.results.Profile) -> list[Any]:
    return [profile.figures[key] for key in KEYS]


@pytest.mark.parametrize(("batch", "context"), [(1, 16), (3, 40)])
def test_a_decode_step_holds_its_context_and_one_token_more(tmp_path: Path, batch: int, context: int) -> None:
    profile = ic.profile(spec(tmp_path, LLAMA, "decode"), batch=batch, context=context)
    assert cache_of(profile) == [batch * (context + 1) * PER_TOKEN, PER_TOKEN]
    assert PER_TOKEN == 128


def test_a_prefill_leaves_its_sequence(tmp_path: Path) -> None:
    profile = ic.profile(spec(tmp_path, LLAMA, "prefill"), batch=2, sequence=24)
    assert cache_of(profile) == [2 * 24 * PER_TOKEN, PER_TOKEN]


def test_it_has_the_width_of_the_precision_and_of_the_cache(tmp_path: Path) -> None:
    graph = ic.capture(spec(tmp_path, LLAMA, "decode"), batch=1, context=16)
    wide = ic.profile(graph, precision="fp32")
    assert cache_of(wide) == [2 * 17 * PER_TOKEN, 2 * PER_TOKEN]  # four bytes for two
    narrow = ic.profile(ic.whatif(graph, kv_cache="fp8"))
    assert cache_of(narrow) == [17 * PER_TOKEN // 2, PER_TOKEN // 2]


def test_a_full_window_holds_no_more(tmp_path: Path) -> None:
    config = {**LLAMA, "architectures": ["MistralForCausalLM"], "model_type": "mistral", "sliding_window": 8}
    profile = ic.profile(spec(tmp_path, config, "decode"), batch=1, context=32)
    # Transformers keeps the 7 positions before the next token: what the token adds, an older one leaves.
    assert cache_of(profile) == [7 * PER_TOKEN, 0]


def test_a_cache_that_is_written_in_place_stays_as_large_as_it_is() -> None:
    slots = 32
    cache = torch.zeros(1, KV_HEADS, slots, WIDTH)

    def forward(self: nn.Module, ids: torch.Tensor, past_key_values: torch.Tensor, at: torch.Tensor) -> torch.Tensor:
        x = self.embedding(ids).view(1, KV_HEADS, 1, WIDTH)
        past_key_values.index_copy_(2, at, x)
        return torch.matmul(x, past_key_values.transpose(2, 3))

    module = Wrapped(forward)
    module.embedding = nn.Embedding(64, KV_HEADS * WIDTH)
    given = {"past_key_values": cache, "at": torch.zeros(1, dtype=torch.int64)}
    profile = ic.profile(module, ic.Inputs((torch.zeros(1, 1, dtype=torch.int64),), given))
    # One position of fp32 is written; the whole of the cache is there before and after.
    assert cache_of(profile) == [4 * KV_HEADS * slots * WIDTH, 4 * KV_HEADS * WIDTH]


def test_a_model_without_attention_has_none() -> None:
    profile = ic.profile(nn.Linear(4, 4), (torch.zeros(2, 4),), hardware="l4")
    assert cache_of(profile) == [None, None]
    assert "KV cache" not in profile.to_text()
    assert profile.to_dict()["totals"]["kv_cache_bytes"] is None


def test_one_row_of_the_catalog_is_every_place_that_shows_it(tmp_path: Path) -> None:
    graph = ic.capture(spec(tmp_path, LLAMA, "decode"), batch=1, context=16)
    profile = ic.profile(graph, hardware="l4")
    held = 17 * PER_TOKEN
    assert profile.to_dict()["totals"]["kv_cache_bytes"] == held
    assert "KV cache             2.176 kB" in profile.to_text()
    assert '"kv_cache_bytes"' in profile.to_html()
    grid = ic.sweep(graph, hardware=["l4", "t4"])
    assert grid["kv_cache_bytes"].tolist() == [held, held]
    assert "KV cache" in grid.to_text()
    assert grid.best("kv_cache_bytes")["kv_cache_bytes"] == held
    assert sweep_curves(grid, x="kv_cache_bytes", along=None).x == "kv_cache_bytes"
    narrow = ic.profile(ic.whatif(graph, kv_cache="fp8"), hardware="l4")
    (broken,) = ic.compare(
        before=narrow, after=profile, limits=["kv_cache_bytes:+10%", "kv_cache_bytes_per_token:+100%"]
    ).failed
    assert broken.reason == "kv_cache_bytes grew by 100 % from 1,088 to 2,176; it may grow by 10 %"


# ---- kinds of layers -------------------------------------------------------------------------------------------------


def kinds_of(profile: ic.results.Profile) -> dict[str, tuple[Any, ...]]:
    assert profile.kv_cache is not None
    return {
        each.kind: (each.layers, each.positions, each.bytes_per_token, each.bytes_per_sequence, each.grows)
        for each in profile.kv_cache.layers
    }


def test_llama_3_8b_keeps_128_kib_per_token() -> None:
    profile = ic.profile(f"hf:{CONFIGS / 'llama-3-8b.json'}#decode", batch=2, context=100)
    per_token = 2 * 32 * 8 * 128 * BF16  # keys and values, layers, heads, elements
    assert per_token == 131_072
    assert kinds_of(profile) == {"full": (32, 101, per_token, 101 * per_token, True)}
    cache = profile.kv_cache
    assert (cache.bytes, cache.bytes_per_token, cache.bytes_per_sequence, cache.tokens) == (
        2 * 101 * per_token,
        per_token,
        101 * per_token,
        101,
    )
    assert profile.figures["kv_cache_bytes_per_sequence"] == 101 * per_token
    assert "cache layers         32 full with 101 tokens in 13.24 MB a sequence (bfloat16)" in profile.to_text()


@pytest.mark.parametrize(("phase", "size", "tokens"), [("decode", "context", 41), ("prefill", "sequence", 40)])
@pytest.mark.slow
def test_latent_attention_keeps_one_vector_per_token(tmp_path: Path, phase: str, size: str, tokens: int) -> None:
    profile = ic.profile(spec_of(tmp_path, DEEPSEEK, phase), batch=3, **{size: 40})
    per_token = 61 * (512 + 64) * BF16
    assert per_token == 70_272
    assert kinds_of(profile) == {"latent": (61, tokens, per_token, tokens * per_token, True)}
    assert cache_of(profile) == [3 * tokens * per_token, per_token]
    # Logits of the last token are all that leaves the device.
    estimate = ic.profile(profile, hardware="l4").estimate
    assert estimate.transfer.output_bytes == 3 * 128 * BF16


@pytest.mark.parametrize(("phase", "size", "tokens"), [("decode", "context", 41), ("prefill", "sequence", 40)])
def test_sliding_layers_stop_at_their_window(tmp_path: Path, phase: str, size: str, tokens: int) -> None:
    profile = ic.profile(spec_of(tmp_path, GPT_OSS, phase), batch=2, **{size: 40})
    of_layers = 2 * 2 * 2 * 16 * BF16  # two layers, keys and values, heads, elements
    # Of a window of 16 tokens, 15 are kept for the next one.
    assert kinds_of(profile) == {
        "full": (2, tokens, of_layers, tokens * of_layers, True),
        "sliding": (2, 15, of_layers, 15 * of_layers, False),
    }
    assert cache_of(profile) == [2 * (tokens + 15) * of_layers, of_layers]


def test_a_window_that_is_not_full_grows(tmp_path: Path) -> None:
    profile = ic.profile(spec_of(tmp_path, GPT_OSS, "decode"), batch=1, context=8)
    of_layers = 2 * 2 * 2 * 16 * BF16
    each = (2, 9, of_layers, 9 * of_layers, True)
    assert kinds_of(profile) == {"full": each, "sliding": each}
    assert cache_of(profile) == [2 * 9 * of_layers, 2 * of_layers]


@pytest.mark.parametrize(("phase", "size", "tokens"), [("decode", "context", 41), ("prefill", "sequence", 40)])
@pytest.mark.sample(1)
def test_states_are_per_sequence_and_not_per_token(tmp_path: Path, phase: str, size: str, tokens: int) -> None:
    profile = ic.profile(spec_of(tmp_path, QWEN_NEXT, phase), batch=2, **{size: 40})
    per_token = 2 * 2 * 16 * BF16
    # A window of 4 tokens of the channels of a convolution (queries and keys of 2 heads, values of 4), and in fp32 a
    # matrix of keys and values for each of 4 heads.
    state = 3 * ((2 * 2 * 16 + 4 * 16) * 4 * BF16 + 4 * 16 * 16 * 4)
    assert kinds_of(profile) == {
        "full": (1, tokens, per_token, tokens * per_token, True),
        "state": (3, None, 0, state, False),
    }
    assert cache_of(profile) == [2 * (tokens * per_token + state), per_token]
    assert profile.kv_cache.layers[1].dtype == "bfloat16, float32"


def test_a_model_without_attention_has_states_alone(tmp_path: Path) -> None:
    profile = ic.profile(spec_of(tmp_path, MAMBA, "decode"), batch=1, context=40, hardware="l4")
    # The convolution has the channels of 8 heads and of 2 groups of two states.
    state = 2 * ((8 * 16 + 2 * 2 * 16) * 4 * BF16 + 8 * 16 * 16 * 4)
    assert kinds_of(profile) == {"state": (2, None, 0, state, False)}
    assert cache_of(profile) == [state, 0]
    assert profile.kv_cache.tokens is None
    assert "2 with states of 19.46 kB a sequence (bfloat16, float32)" in profile.to_text()


def test_keys_of_an_encoder_are_read_and_stay(tmp_path: Path) -> None:
    profile = ic.profile(spec_of(tmp_path, T5, "decode"), batch=1, context=5, sequence=12)
    per_token = 2 * 2 * 4 * 8 * BF16  # two layers, keys and values, heads, elements
    assert kinds_of(profile) == {
        "full": (2, 6, per_token, 6 * per_token, True),
        "cross": (2, 12, per_token, 12 * per_token, False),
    }
    assert cache_of(profile) == [18 * per_token, per_token]


@pytest.mark.parametrize(("phase", "size", "tokens"), [("decode", "context", 41), ("prefill", "sequence", 40)])
def test_a_narrow_cache_leaves_states_as_they_are(tmp_path: Path, phase: str, size: str, tokens: int) -> None:
    graph = ic.capture(spec_of(tmp_path, QWEN_NEXT, phase), batch=1, **{size: 40})
    wide, narrow = ic.profile(graph), ic.profile(ic.whatif(graph, kv_cache="fp8"))
    per_token = 2 * 2 * 16
    assert kinds_of(narrow)["full"] == (1, tokens, per_token, tokens * per_token, True)
    assert kinds_of(narrow)["state"] == kinds_of(wide)["state"]
    assert [each.dtype for each in narrow.kv_cache.layers] == ["float8_e4m3fn", "bfloat16, float32"]


def test_a_narrow_cache_of_latent_vectors(tmp_path: Path) -> None:
    graph = ic.capture(spec_of(tmp_path, DEEPSEEK, "decode"), batch=1, context=40)
    narrow = ic.profile(ic.whatif(graph, kv_cache="fp8"))
    assert kinds_of(narrow) == {"latent": (61, 41, 61 * 576, 41 * 61 * 576, True)}


def test_a_prefill_frees_keys_that_it_has_quantized(tmp_path: Path) -> None:
    layers = 16
    graph = ic.capture(spec(tmp_path, LLAMA | {"num_hidden_layers": layers}, "prefill"), batch=1, sequence=64)
    wide, narrow = ic.profile(graph), ic.profile(ic.whatif(graph, kv_cache="fp8"))
    per_token = 2 * layers * KV_HEADS * WIDTH
    assert cache_of(narrow) == [64 * per_token, per_token]
    # All keys and values but those of the last layer are there at the peak, with half of their bytes.
    saved = wide.counts.total.peak_memory_bytes - narrow.counts.total.peak_memory_bytes
    assert saved == pytest.approx(64 * per_token * (layers - 1) / layers, rel=0.1)
    # It attends to its own keys: attention is the same.
    attention = [row.row.bytes_read for row in narrow.counts.layers if "attention" in row.op]
    assert attention == [row.row.bytes_read for row in wide.counts.layers if "attention" in row.op]
