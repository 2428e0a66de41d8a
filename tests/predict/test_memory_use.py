"""Memory of language models: weights, caches, activations, what is left, and the sequences that engines can hold."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.language_configs import DEEPSEEK, GPT_OSS, LLAMA, QWEN_NEXT, spec_of

import pyinfercost as ic
from pyinfercost import _core
from pyinfercost.predict.memory_use import MemoryLimits
from pyinfercost.predict.plans import boundary_of, launched_graph, value_of
from pyinfercost.sources.captured import graph_over

pytestmark = pytest.mark.torch

OWN = MemoryLimits()
GIB = 2**30
MIB = 2**20
PER_TOKEN = 2 * 2 * 2 * 16 * 2  # keys and values, layers, heads, elements, bytes


def pool_of(
    engine: str, memory_bytes: float, *, a100: bool = False, limits: MemoryLimits = OWN, **fields: Any
) -> float:
    known = {"weight_bytes": 16e9, "sequence_bytes": 1e9, "step_bytes": 0.0, "vocabulary": 100_000} | fields
    known = {"prompt_bytes": 0.0, "chunk_bytes": 0.0, **known}
    return _core.cache_pool_bytes(engine, True, memory_bytes, float(a100), **known, limits=limits)


def step_of(graph: ic.Graph, tokens: int, on: ic.Deployment) -> int:
    """Activations of a step of an engine that decodes so many sequences."""
    launched = launched_graph(graph, on.engine, on.rank_layout)
    sizes = launched.size_values({"batch": tokens, "context": 1})
    return value_of(boundary_of(launched, "native").step_bytes, sizes)


# ---- the memory of a forward -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("phase", "sizes"), [("prefill", {"sequence": 32}), ("decode", {"context": 31})])
def test_the_parts_add_up_to_the_peak(tmp_path: Path, phase: str, sizes: dict[str, int]) -> None:
    profile = ic.profile(spec_of(tmp_path, LLAMA, phase), batch=4, hardware="l4", **sizes)
    use, total = profile.estimate.memory, profile.counts.total
    assert use.weight_bytes == total.parameter_bytes + total.buffer_bytes
    assert (use.kv_cache_bytes, use.tokens) == (4 * 32 * PER_TOKEN, 32)
    estimate = profile.estimate
    peak = use.weight_bytes + use.kv_cache_bytes + use.activation_bytes
    assert use.left_bytes == use.machine_memory_bytes - peak
    assert use.machine_memory_bytes == estimate.machine_memory_bytes
    assert estimate.fits_in_memory
    assert (estimate.max_sequences, estimate.memory_left_bytes) == (use.max_sequences, use.left_bytes)
    assert use.pool_bytes + use.reserved_bytes + use.weight_bytes == use.machine_memory_bytes
    assert f"{use.max_sequences:,} of 32 tokens fit" in profile.to_text()
    assert profile.to_dict()["estimate"]["memory"] == use.to_dict()


def test_torch_holds_caches_and_the_activations_of_a_step(tmp_path: Path) -> None:
    profile = ic.profile(spec_of(tmp_path, LLAMA, "decode"), batch=4, context=31, hardware="l4")
    use = profile.estimate.memory
    each = 32 * PER_TOKEN + use.activation_bytes / 4
    assert use.max_sequences == pytest.approx((use.machine_memory_bytes - use.weight_bytes) / each, rel=1e-5)


def test_a_prefill_holds_the_activations_of_one_prompt(tmp_path: Path) -> None:
    profile = ic.profile(spec_of(tmp_path, LLAMA, "prefill"), batch=4, sequence=32, hardware="l4")
    use = profile.estimate.memory
    free = use.machine_memory_bytes - use.weight_bytes - use.activation_bytes / 4
    assert use.max_sequences == int(free / (32 * PER_TOKEN))


def test_a_machine_of_unknown_memory_says_so(tmp_path: Path) -> None:
    profile = ic.profile(spec_of(tmp_path, LLAMA, "decode"), batch=1, context=31, hardware="xeon-8480+")
    use = profile.estimate.memory
    assert (use.machine_memory_bytes, use.left_bytes, use.pool_bytes, use.max_sequences) == (None, None, None, None)
    assert "the machine's memory size is configurable" in profile.to_text(width=200)


def test_what_does_not_fit_is_named(tmp_path: Path) -> None:
    profile = ic.profile(spec_of(tmp_path, LLAMA, "decode"), batch=10**6, context=63, hardware="t4")
    use = profile.estimate.memory
    assert use.left_bytes < 0
    assert not profile.estimate.fits_in_memory
    assert "DOES NOT FIT: " in profile.to_text()
    assert " too much" in profile.to_text()


def test_other_models_have_none() -> None:
    import torch

    estimate = ic.profile(torch.nn.Linear(4, 4), (torch.zeros(2, 4),), hardware="l4").estimate
    assert (estimate.memory, estimate.max_sequences, estimate.memory_left_bytes) == (None, None, None)


def test_an_engine_holds_whole_pages_in_its_pool(tmp_path: Path) -> None:
    graph = graph_over(spec_of(tmp_path, LLAMA, "decode"), {"batch": [4, 8], "context": [40, 80]}).graph
    use = ic.estimate(graph, batch=4, context=40, hardware="l4", engine="vllm").memory
    assert (use.kv_cache_bytes, use.tokens) == (4 * 41 * PER_TOKEN, 41)
    logits = 256 * 128 * 18  # sequences, vocabulary, bytes
    step = step_of(graph, 2048, ic.Deployment(hardware="l4", engine="vllm"))
    assert step > logits
    pool = 0.9 * use.machine_memory_bytes - use.weight_bytes - step - 0.65e9
    assert use.pool_bytes == pytest.approx(pool, rel=1e-6)
    assert use.max_sequences == use.pool_bytes // (48 * PER_TOKEN)  # three pages of 16 tokens


@pytest.mark.parametrize("layout", ["tensor=2", "tensor=2,attention_data=2"])
def test_ranks_that_share_a_batch_sample_each_from_its_own_logits(tmp_path: Path, layout: str) -> None:
    graph = graph_over(spec_of(tmp_path, LLAMA, "decode"), {"batch": [4, 8], "context": [40, 80]}).graph
    deployment = ic.Deployment(hardware="l4", engine="vllm", layout=layout)
    use = ic.estimate(graph, on=deployment, batch=4, context=40).memory
    assert use is not None
    trial = max(256 * 128 * 18, step_of(graph, 2048, deployment))  # the sampler, or the largest step
    pool = 0.9 * use.machine_memory_bytes - use.weight_bytes - trial - 0.65e9
    assert use.pool_bytes == pytest.approx(pool, rel=1e-6)
    swept = ic.sweep(graph, on=deployment, layout=[layout], batch=[4], context=[40])
    assert swept["max_sequences"][0] == use.max_sequences


@pytest.mark.parametrize(("phase", "sizes"), [("prefill", {"sequence": 40}), ("decode", {"context": 40})])
@pytest.mark.parametrize("config", [GPT_OSS, QWEN_NEXT, DEEPSEEK | {"num_hidden_layers": 2}])
def test_an_engine_keeps_what_the_model_keeps(
    tmp_path: Path, config: dict[str, Any], phase: str, sizes: dict[str, int]
) -> None:
    graph = ic.capture(spec_of(tmp_path, config, phase), batch=2, **sizes)
    assert ic.profile(graph, hardware="l4", engine="vllm").kv_cache == ic.profile(graph).kv_cache
    narrow = ic.whatif(graph, kv_cache="fp8")
    cache = ic.profile(narrow, hardware="l4", engine="vllm").kv_cache
    assert cache == ic.profile(narrow).kv_cache
    assert cache.bytes_per_token == ic.profile(graph).kv_cache.bytes_per_token // 2


# ---- pools of engines ------------------------------------------------------------------------------------------------


def test_the_rule_of_vllm_gives_the_pool_that_its_constants_were_set_to() -> None:
    # A server with its defaults, Llama-3.1-8B on an RTX 4090, reports 41,408 tokens on a card of 25,250,627,584 bytes.
    known = {"weight_bytes": 16_060_522_496, "vocabulary": 128_256, "sequence_bytes": 131_072}
    pool = pool_of("vllm", 25_250_627_584, **known)
    assert pool == pytest.approx(0.9 * 25_250_627_584 - 16_060_522_496 - 256 * 128_256 * 18 - 0.65e9)
    assert pool / 131_072 == pytest.approx(41_408, rel=0.002)


def test_vllm_plans_larger_steps_on_larger_cards() -> None:
    of_256, of_1024 = 256 * 100_000 * 18, 1024 * 100_000 * 18
    context = 0.65e9
    assert pool_of("vllm", 69 * GIB) == pytest.approx(0.9 * 69 * GIB - 16e9 - of_256 - context)
    assert pool_of("vllm", 80 * GIB) == pytest.approx(0.9 * 80 * GIB - 16e9 - of_1024 - context)
    assert pool_of("vllm", 80 * GIB, a100=True) == pytest.approx(0.9 * 80 * GIB - 16e9 - of_256 - context)


def test_vllm_reads_a_prompt_in_chunks() -> None:
    # The largest step takes 1 GB, more than the sampler.
    assert pool_of("vllm", 24 * GIB, chunk_bytes=1e9) == pytest.approx(0.9 * 24 * GIB - 16e9 - 1e9 - 0.65e9)


def test_settings_take_the_place_of_the_engines_own() -> None:
    few = MemoryLimits(share=0.95, step_tokens=512, sequences=64)
    assert pool_of("vllm", 24 * GIB, limits=few) == pytest.approx(0.95 * 24 * GIB - 16e9 - 64 * 100_000 * 18 - 0.65e9)
    narrow = MemoryLimits(step_tokens=32)  # a step has no more sequences than tokens
    assert pool_of("vllm", 24 * GIB, limits=narrow) == pytest.approx(0.9 * 24 * GIB - 16e9 - 32 * 100_000 * 18 - 0.65e9)
    assert pool_of("sglang", 80 * GIB, limits=MemoryLimits(share=0.8)) == pytest.approx(0.8 * 80 * GIB - 16e9)
    assert pool_of("trtllm", 80 * GIB, limits=MemoryLimits(share=0.5)) == pytest.approx(
        0.5 * (80 * GIB - 16e9 - 0.65e9)
    )
    assert _core.most_step_tokens("vllm", 80 * GIB, False, MemoryLimits()) == 8192
    assert _core.most_step_tokens("vllm", 80 * GIB, False, few) == 512


@pytest.mark.parametrize("config", [LLAMA, GPT_OSS, QWEN_NEXT], ids=["llama", "gpt_oss", "qwen_next"])
@pytest.mark.sample(1)
def test_a_step_takes_the_same_from_either_phase(tmp_path: Path, config: dict[str, Any]) -> None:
    on = ic.Deployment(hardware="l4", engine="vllm")
    found = []
    for phase, axes, sizes in (
        ("decode", {"batch": [2, 3], "context": [40, 80]}, {"batch": 512, "context": 1}),
        ("prefill", {"batch": [1, 2], "sequence": [40, 80]}, {"batch": 1, "sequence": 512}),
    ):
        captured = graph_over(spec_of(tmp_path, config, phase), axes, across_windows=True).graph
        launched = launched_graph(captured, on.engine, on.rank_layout)
        found.append(value_of(boundary_of(launched, "native").step_bytes, launched.size_values(sizes)))
    assert found[0] > 0
    assert found[1] == pytest.approx(found[0], rel=0.1)


def test_a_prefill_beyond_a_step_is_read_in_steps(tmp_path: Path) -> None:
    graph = graph_over(spec_of(tmp_path, LLAMA, "prefill"), {"batch": [1, 2], "sequence": [40, 80]}).graph
    use = ic.estimate(graph, batch=64, sequence=4096, hardware="l4", engine="vllm").memory
    once = ic.estimate(graph, batch=1, sequence=2048, hardware="l4", engine="vllm").memory
    assert use.activation_bytes <= 1.2 * once.activation_bytes
    assert (
        use.activation_bytes < ic.estimate(graph, batch=64, sequence=4096, hardware="l4").memory.activation_bytes / 50
    )


def test_attention_of_an_engine_stores_no_scores(tmp_path: Path) -> None:
    graph = graph_over(
        spec_of(tmp_path, GPT_OSS, "prefill"), {"batch": [1, 2], "sequence": [40, 80]}, across_windows=True
    ).graph
    launched = ic.engine_graph(graph, "vllm")
    at = [ic.count(launched, batch=1, sequence=tokens).memory.workspace for tokens in (1024, 2048)]
    nodes = [i for i in range(launched.node_count) if launched.node(i).op == "aten.scaled_dot_product_attention"]
    assert nodes
    for node in nodes:
        assert at[1][node] == 2 * at[0][node]  # a number for each query of a head


def test_sglang_keeps_a_reserve_by_the_size_of_the_memory() -> None:
    # 80 GiB: chunks of 8,192 tokens and graphs of up to 256 sequences.
    reserve = (512 + 1.5 * 8192 + 2 * 256 + 128) * MIB
    share = round(1 - reserve / (80 * GIB), 3)
    assert share == 0.836
    assert pool_of("sglang", 80 * GIB) == pytest.approx(0.836 * 80 * GIB - 16e9)


def test_tensorrt_llm_takes_a_share_of_what_is_free() -> None:
    assert pool_of("trtllm", 80 * GIB, chunk_bytes=1e9) == pytest.approx(0.9 * (80 * GIB - 16e9 - 1e9 - 0.65e9))


@pytest.mark.parametrize("engine", _core.engines())
def test_columns_are_the_numbers_of_their_rows(engine: str) -> None:
    memory = np.asarray([8.0 * GIB, 24.0 * GIB, 80.0 * GIB, 192.0 * GIB, np.inf])
    numbers = (2e9, 3e8, 1e8, 1.1e8, 1.2e8, 1e8, 128_000.0, True, 2.6e9, 0.0, 0)
    for gpu in (1.0, 0.0):
        rows = [float(_core.sequences_with_room(engine, gpu, each, 0.0, *numbers)) for each in memory]
        columns = _core.sequences_with_room(engine, gpu, memory, 0.0, *numbers)
        np.testing.assert_array_equal(columns, rows)
        assert np.isnan(rows[-1])
        assert rows[0] < rows[3]
