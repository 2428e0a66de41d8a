"""Bytes of keys and values: Hugging Face models, caches written in place, and models without a cache."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from support.function_module import Wrapped
from torch import nn

import pyinfercost as ic

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


def cache_of(profile: ic.Profile) -> list[Any]:
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
    assert grid.to_vega(x="kv_cache_bytes", along=None)["layer"]
    narrow = ic.profile(ic.whatif(graph, kv_cache="fp8"), hardware="l4")
    (broken,) = ic.compare(narrow, profile, limits=["kv_cache_bytes:+10%", "kv_cache_bytes_per_token:+100%"]).failed
    assert broken.reason == "kv_cache_bytes grew by 100 % from 1,088 to 2,176; it may grow by 10 %"
