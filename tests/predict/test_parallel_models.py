"""The ranks of a layout together have the weights, contractions and caches of the whole model."""

from __future__ import annotations

import json
from collections import Counter
from functools import cache
from pathlib import Path
from typing import Any

import pytest

import pyinfercost as ic
from pyinfercost import Layout
from pyinfercost.predict.plans import as_captured, boundary_of, caches_of, value_of

pytestmark = pytest.mark.torch
pytest.importorskip("transformers", reason="needs transformers: pip install 'pyinfercost[models]'")

_BASE: dict[str, Any] = {"num_hidden_layers": 2, "hidden_size": 64, "vocab_size": 512, "pad_token_id": 0}
_HEADS = {"num_attention_heads": 8, "num_key_value_heads": 4}
_EXPERTS = {"moe_intermediate_size": 48, "num_experts_per_tok": 2}
CONFIGS: dict[str, dict[str, Any]] = {
    "llama": {**_HEADS, "intermediate_size": 160, **_BASE},
    "qwen3": {**_HEADS, "head_dim": 16, "intermediate_size": 160, **_BASE},
    "gemma2": {**_HEADS, "head_dim": 16, "intermediate_size": 160, **_BASE},
    "phi3": {**_HEADS, "intermediate_size": 160, **_BASE},
    "olmo2": {**_HEADS, "intermediate_size": 160, **_BASE},
    "gpt2": {"n_layer": 2, "n_embd": 64, "n_head": 8, "vocab_size": 512},
    "gpt_neox": {"num_attention_heads": 8, "intermediate_size": 160, **_BASE},
    "falcon": {"num_attention_heads": 8, "new_decoder_architecture": True, "num_kv_heads": 4, **_BASE},
    "bloom": {"n_layer": 2, "hidden_size": 64, "n_head": 8, "vocab_size": 512},
    "mixtral": {**_HEADS, "intermediate_size": 96, "num_local_experts": 8, **_BASE},
    "qwen3_moe": {**_HEADS, "head_dim": 16, "intermediate_size": 96, "num_experts": 8, **_EXPERTS, **_BASE},
    "gpt_oss": {**_HEADS, "head_dim": 16, "intermediate_size": 96, "num_local_experts": 8, **_BASE},
    "deepseek_v3": {
        "num_attention_heads": 8, "num_key_value_heads": 8, "intermediate_size": 96, "n_routed_experts": 8,
        "topk_group": 1, "n_group": 2, "first_k_dense_replace": 1, "q_lora_rank": 32, "kv_lora_rank": 32,
        "qk_rope_head_dim": 8,
        "qk_nope_head_dim": 16, "v_head_dim": 16, **_EXPERTS, **_BASE,
    },
    "bert": {"num_attention_heads": 8, "intermediate_size": 160, **_BASE},
    "vit": {"num_hidden_layers": 2, "hidden_size": 64, "num_attention_heads": 8, "intermediate_size": 160},
}  # fmt: skip
ENCODERS = ("bert", "vit")
MIXTURES = ("mixtral", "qwen3_moe", "gpt_oss", "deepseek_v3")
CASES = [(name, phase) for name in CONFIGS for phase in (("",) if name in ENCODERS else ("prefill", "decode"))]
MERGED = ("qkv_proj", "query_key_value")  # products of queries, keys and values
# Weights that are on every rank, by the last parts of their names.
WHOLE = (
    "norm", "ln_", "layernorm", "LayerNorm", "layer_norm", "bias", "gate.weight", "router.weight", "wpe.weight",
    "q_a_proj.weight", "kv_a_proj_with_mqa.weight", "position_embeddings", "pooler",
    "token_type_embeddings", "cls_token",
    "patch_embeddings", "classifier", "predictions.transform", "seq_relationship",
)  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("configs")


@cache
def captured(folder: Path, name: str, phase: str) -> ic.Graph:
    path = folder / f"{name}.json"
    path.write_text(json.dumps({"model_type": name, **CONFIGS[name]}), encoding="utf-8")
    return ic.capture(f"hf:{path}#{phase}" if phase else f"hf:{path}")


def contractions(graph: ic.Graph) -> Counter[str]:
    """Contraction FLOPs by module."""
    found: Counter[str] = Counter()
    for row in ic.count(graph).layers:
        found[row.module] += row.work.contraction_flops
    return found


@pytest.mark.parametrize("ranks", [2, 4, 8])
@pytest.mark.parametrize(("name", "phase"), CASES)
@pytest.mark.sample(5)
def test_ranks_together_are_the_whole_model(folder: Path, name: str, phase: str, ranks: int) -> None:
    whole = captured(folder, name, phase)
    rank = ic.devices.rank_graph(whole, Layout(tensor=ranks))
    one, all_of_it = ic.count(rank).total, ic.count(whole).total

    shares = ic.devices.weight_shares(rank)
    buffers = {made.name for made in whole.tensors if made.role == "buffer"}
    again = sum(ranks * share.elements - share.of for share in shares if share.name not in buffers)
    assert ranks * one.parameters == all_of_it.parameters + again
    for share in shares:
        copies = ranks * share.elements / share.of
        # Four heads of keys and values, alone or in one product with eight of queries.
        of_keys = ranks == 8 and any(part in share.name for part in ("k_proj", "v_proj", "k_norm", *MERGED))
        whole_again = share.elements == share.of and any(part in share.name for part in WHOLE)
        assert copies == 1 or (of_keys and copies in (1.5, 2)) or whole_again or share.name in buffers, share

    before, after = contractions(whole), contractions(rank)
    for module, flops in before.items():
        copies = ranks * after[module] / flops if flops else 1
        of_keys = ranks == 8 and any(part in module for part in ("k_proj", "v_proj", *MERGED))
        whole_again = copies == ranks and any(part in f"{module}.weight" for part in WHOLE)
        assert copies == 1 or (of_keys and copies in (1.5, 2)) or whole_again, module

    total, own = (boundary_of(graph, "native").kv_cache_bytes for graph in (whole, rank))
    if total is not None:
        heads = {"gpt2": 8, "gpt_neox": 8, "bloom": 8, "falcon": 8, "deepseek_v3": 1}.get(
            name, 4
        )  # latents are on every rank
        assert value_of(own or 0, {}) * min(ranks, heads) == value_of(total, {})


@pytest.mark.parametrize("phase", ["prefill", "decode"])
@pytest.mark.parametrize("name", [name for name in CONFIGS if name not in ENCODERS])
@pytest.mark.sample(4)
def test_engines_run_the_part_of_a_rank(folder: Path, name: str, phase: str) -> None:
    whole = captured(folder, name, phase)
    rank = ic.devices.rank_graph(whole, Layout(tensor=2))
    launched = ic.engine_graph(rank, "vllm")
    kinds = Counter(node.op for node in launched.nodes)
    of_rank = Counter(node.op for node in rank.nodes)
    assert kinds["collective.all_reduce"] == of_rank["collective.all_reduce"] > 0
    assert kinds["engine.sample"] == Counter(node.op for node in ic.engine_graph(whole, "vllm").nodes)["engine.sample"]
    assert [launched.node(node).op for node in as_captured(launched)] == []
    assert ic.devices.rank_graph(ic.engine_graph(whole, "vllm"), "tensor=2") is launched


@pytest.mark.parametrize("phase", ["prefill", "decode"])
@pytest.mark.parametrize("name", MIXTURES)
@pytest.mark.sample(3)
def test_experts_are_divided(folder: Path, name: str, phase: str) -> None:
    whole = captured(folder, name, phase)
    inside = ic.devices.rank_graph(whole, Layout(tensor=4, expert=4))
    stacks = [made.shape for made in inside.tensors if made.role == "parameter" and len(made.shape) == 3]
    assert stacks
    assert {shape[0] for shape in stacks} == {2}  # of 8
    sent = ic.devices.rank_graph(whole, Layout(expert=8, data=8))
    kinds = Counter(node.op for node in sent.nodes)
    layers = 1 if name == "deepseek_v3" else 2
    assert (kinds["collective.dispatch"], kinds["collective.combine"]) == (layers, layers)
    assert kinds["collective.all_reduce"] == 0
    stacks = [made.shape for made in sent.tensors if made.role == "parameter" and len(made.shape) == 3]
    assert {shape[0] for shape in stacks} == {1}


STAGED = [("", "pipeline=2"), ("tensor=2", "tensor=2,pipeline=2"), ("tensor=8", "tensor=8,pipeline=2")]


@pytest.mark.parametrize("engine", ["torch", "vllm"])
@pytest.mark.parametrize(("rank_layout", "layout"), STAGED)
@pytest.mark.parametrize(("name", "phase"), CASES)
@pytest.mark.sample(8)
def test_stages_together_are_the_rank(
    folder: Path, name: str, phase: str, rank_layout: str, layout: str, engine: str
) -> None:
    rank = ic.engine_graph(ic.devices.rank_graph(captured(folder, name, phase), rank_layout or Layout()), engine)
    whole = ic.devices.rank_graph(rank, layout)
    stages = [ic.devices.rank_graph(rank, layout, stage=number) for number in range(2)]
    assert contractions(whole) == contractions(rank)
    assert sum((contractions(stage) for stage in stages), Counter()) == +contractions(rank)
    weights = [{made.name: made.nbytes for made in stage.tensors if made.role == "parameter"} for stage in stages]
    of_rank = {made.name: made.nbytes for made in rank.tensors if made.role == "parameter"}
    assert weights[0] | weights[1] == of_rank
    both = weights[0].keys() & weights[1].keys()
    assert all("embed" in weight or "wte" in weight for weight in both)  # tied to the logits
    caches = [value_of(boundary_of(stage, "native").kv_cache_bytes or 0, {}) for stage in stages]
    assert sum(caches) == sum(value_of(cache.bytes, {}) for cache in caches_of(rank, "native"))
    assert phase == "" or min(caches) > 0
    kinds = Counter(node.op for stage in stages for node in stage.nodes if node.op.startswith("collective."))
    of_rank_kinds = Counter(node.op for node in rank.nodes if node.op.startswith("collective."))
    assert 1 <= kinds.pop("collective.send") <= 3  # addends of one kernel
    sliced = engine == "vllm" and "tensor" in layout
    assert sliced or kinds == of_rank_kinds


@pytest.mark.parametrize("phase", ["prefill", "decode"])
def test_times_of_stages_add_up(folder: Path, phase: str) -> None:
    graph = captured(folder, "llama", phase)
    on = ic.Deployment(hardware="h100-sxm-80gb", engine="vllm", layout="tensor=2,pipeline=2")
    known = ic.estimate(graph, on=on)
    assert known.latency_s == pytest.approx(sum(stage.latency_s for stage in known.stages), rel=1e-9)
    assert sum(layer.latency_s for layer in known.layers) == pytest.approx(known.latency_s, rel=1e-6)
    assert known.memory is not None
    fullest = max(known.stages, key=lambda stage: stage.weight_bytes + (stage.kv_cache_bytes or 0))
    assert known.memory.weight_bytes == fullest.weight_bytes
    assert known.memory.kv_cache_bytes == fullest.kv_cache_bytes
