"""Profiles of language models in both phases: sizes, figures, memory, forms."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest
from support.language_configs import LLAMA, T5, spec_of
from support.paths import CONFIGS

import pyinfercost as ic

pytestmark = pytest.mark.torch

H100 = "h100-sxm-80gb"
PER_TOKEN = 2 * 2 * 2 * 16 * 2  # keys and values, layers, heads, elements, bytes


@pytest.fixture(scope="module")
def llama() -> ic.results.LanguageProfile:
    """Llama-3-8B, 4 prompts of 200 tokens, and a step after 500 tokens."""
    spec = f"hf:{CONFIGS / 'llama-3-8b.json'}"
    return ic.profile(spec, batch=4, prompt=200, context=500, hardware=H100, price=2.5)


def test_each_phase_is_the_profile_of_its_spec(tmp_path: Path) -> None:
    spec = spec_of(tmp_path, LLAMA)
    both = ic.profile(spec, batch=3, prompt=24, context=40, hardware="l4")
    assert both.prefill.to_dict() == ic.profile(f"{spec}#prefill", batch=3, sequence=24, hardware="l4").to_dict()
    assert both.decode.to_dict() == ic.profile(f"{spec}#decode", batch=3, context=40, hardware="l4").to_dict()
    assert (both.model, dict(both.sizes)) == (spec, {"batch": 3, "prompt": 24, "context": 40})


@pytest.mark.parametrize(
    ("given", "prompt", "context"),
    [({"prompt": 24}, 24, 24), ({"context": 40}, 40, 40), ({"sizes": {"prompt": 24, "context": 8}}, 24, 8)],
)
def test_the_prompt_and_the_context_are_defaults_of_each_other(
    tmp_path: Path, given: dict[str, int], prompt: int, context: int
) -> None:
    both = ic.profile(spec_of(tmp_path, LLAMA), **given)
    assert dict(both.sizes) == {"batch": 1, "prompt": prompt, "context": context}
    assert both.prefill.kv_cache.tokens == prompt
    assert both.decode.kv_cache.tokens == context + 1


def test_figures_of_both_phases(llama: ic.results.LanguageProfile) -> None:
    reads, generates = llama.prefill.estimate, llama.decode.estimate
    assert (llama.ttft_s, llama.tpot_s) == (reads.latency_s, generates.latency_s)
    assert (reads.ttft_s, reads.tpot_s) == (reads.latency_s, None)
    assert (generates.ttft_s, generates.tpot_s) == (None, generates.latency_s)
    assert llama.prefill_tokens_per_s == pytest.approx(4 * 200 / reads.latency_s)
    assert llama.tokens_per_s == pytest.approx(4 / generates.latency_s)
    assert llama.tokens_per_s_per_sequence == pytest.approx(1 / generates.latency_s)
    assert llama.energy_per_input_token_j == pytest.approx(reads.energy_j / 800)
    assert llama.energy_per_output_token_j == pytest.approx(generates.energy_j / 4)
    assert llama.usd_per_million_input_tokens == pytest.approx(2.5 / 3600 * reads.latency_s / 800 * 1e6)
    assert llama.usd_per_million_output_tokens == pytest.approx(2.5 / 3600 * generates.latency_s / 4 * 1e6)


def test_memory_of_both_phases(llama: ic.results.LanguageProfile) -> None:
    per_token = 131_072
    assert llama.kv_cache_bytes_per_token == per_token
    assert llama.kv_cache_bytes == 4 * 501 * per_token
    use, reading = llama.memory, llama.prefill.estimate.memory
    assert use.weight_bytes == pytest.approx(16.06e9, rel=0.001)
    # Beside the caches of all sequences: one prompt at a time, and the activations of a decode step.
    free = use.machine_memory_bytes - use.weight_bytes - reading.activation_bytes / 4
    assert llama.max_sequences == pytest.approx(free / (501 * per_token + use.activation_bytes / 4), rel=1e-3)
    assert llama.memory_left_bytes == use.left_bytes == llama.decode.estimate.memory.left_bytes


def test_text_has_what_users_ask_for(llama: ic.results.LanguageProfile) -> None:
    text = llama.to_text()
    for line in (
        "sizes      batch 4, prompt 200, context 500",
        "hardware   h100-sxm-80gb",
        "time to first token",
        "time per output token",
        "model.layers.*.self_attn",
    ):
        assert line in text
    assert max(map(len, text.splitlines())) <= 100
    assert "TTFT" in repr(llama)
    # Layers of a stack are one line.
    (mlp,) = [line for line in llama.to_text(depth=4).splitlines() if line.startswith("model.layers.*.mlp ")]
    assert mlp.split()[1] == "32"


def test_modules_add_up_to_the_latency(llama: ic.results.LanguageProfile) -> None:
    lines = [line.split() for line in llama.to_text(depth=2).splitlines()]
    (total,) = [line for line in lines if line[:1] == ["total"] and len(line) == 5]
    assert float(total[1]) == pytest.approx(1e3 * llama.ttft_s, rel=1e-3)
    assert float(total[3]) == pytest.approx(1e3 * llama.tpot_s, rel=1e-3)


def test_documents(llama: ic.results.LanguageProfile) -> None:
    document = json.loads(llama.to_json())
    assert document["sizes"] == {"batch": 4, "prompt": 200, "context": 500}
    assert document["figures"]["tpot_s"] == llama.tpot_s
    assert document["kv_cache"]["layers"][0]["kind"] == "full"
    assert document["memory"] == llama.memory.to_dict()
    assert document["decode"] == llama.decode.to_dict()
    rows = list(csv.DictReader(io.StringIO(llama.to_csv())))
    assert [row["phase"] for row in rows] == ["prefill", "decode"]
    assert [float(row["latency_s"]) for row in rows] == [llama.ttft_s, llama.tpot_s]
    assert [int(row["tokens"]) for row in rows] == [800, 4]
    assert "| time to first token |" in llama.to_markdown()
    assert "time per output token" in llama.to_html()
    assert "time per output token" in llama._repr_html_()


def test_without_a_machine_there_are_counts(tmp_path: Path) -> None:
    both = ic.profile(spec_of(tmp_path, LLAMA), batch=2, prompt=24)
    assert (both.ttft_s, both.tpot_s, both.memory, both.max_sequences) == (None, None, None, None)
    assert both.kv_cache_bytes == 2 * 25 * PER_TOKEN
    assert both.kv_cache_bytes_per_sequence == 25 * PER_TOKEN
    assert "time to first token" not in both.to_text()
    assert "FLOPs" in both.to_text()


def test_another_machine(tmp_path: Path) -> None:
    both = ic.profile(spec_of(tmp_path, LLAMA), prompt=24, hardware="l4", precision="fp16")
    other = ic.profile(both, hardware="t4")
    assert other.tpot_s == ic.profile(both.decode, hardware="t4").estimate.latency_s
    assert (other.precision, other.decode.estimate.hardware) == ("fp16", "t4")
    with pytest.raises(ic.Error, match="'batch': both phases are captured at their sizes"):
        ic.profile(both, batch=2)


def test_an_encoder_reads_the_prompt(tmp_path: Path) -> None:
    both = ic.profile(spec_of(tmp_path, T5), prompt=12, context=5)
    assert {each.kind: each.positions for each in both.kv_cache.layers} == {"full": 6, "cross": 12}


def test_a_phase_takes_the_prompt_as_its_sequence(tmp_path: Path) -> None:
    spec = spec_of(tmp_path, LLAMA, "prefill")
    one = ic.profile(spec, sizes={"prompt": 24})
    assert isinstance(one, ic.results.Profile)
    assert dict(one.sizes) == {"batch": 1, "sequence": 24}
    with pytest.raises(ic.Error, match="is given prompt and sequence, which are one size"):
        ic.profile(spec, sizes={"prompt": 24, "sequence": 24})


def test_a_header_has_sizes_that_were_not_given(tmp_path: Path) -> None:
    assert "sizes      batch=1 context=16" in ic.profile(spec_of(tmp_path, LLAMA, "decode"), context=16).to_text()
    assert "sizes      batch=1 sequence=128" in ic.profile(spec_of(tmp_path, LLAMA)).to_text()


def test_calls_that_have_no_two_phases(tmp_path: Path) -> None:
    spec = spec_of(tmp_path, LLAMA)
    with pytest.raises(ic.Error, match="the prompt is the sequence"):
        ic.profile(spec, prompt=8, sequence=8)
    with pytest.raises(ic.Error, match="go with one forward"):
        ic.profile(spec, prompt=8, optimizer="adamw")
    bert = {"architectures": ["BertModel"], "model_type": "bert", "hidden_size": 32, "intermediate_size": 48}
    bert |= {"num_hidden_layers": 1, "num_attention_heads": 4, "vocab_size": 64}
    with pytest.raises(ic.Error, match="does not generate"):
        ic.profile(spec_of(tmp_path, bert), prompt=8)


def test_devices_share_the_batch_of_both_phases(tmp_path: Path) -> None:
    spec = spec_of(tmp_path, LLAMA)
    both = ic.profile(spec, batch=5, prompt=24, context=40, hardware="l4", devices=2)
    one = ic.profile(spec, batch=3, prompt=24, context=40, hardware="l4")  # the largest share
    assert both.tpot_s == one.tpot_s
    assert both.tokens_per_s == pytest.approx(5 / one.tpot_s)
    assert both.memory.kv_cache_bytes == one.memory.kv_cache_bytes == 3 * 41 * PER_TOKEN
    assert both.max_sequences == pytest.approx(one.max_sequences, rel=0.01)
