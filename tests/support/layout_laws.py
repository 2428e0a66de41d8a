"""What the ranks of any layout have together: the weights, contraction FLOPs and cache of the whole model.

`legal_layouts` lists layouts of a number of devices, and `broken` the figures of a rank that are not its part.
Replicated weights are listed: norms, biases of sums, routers, down-projections of latent attention, tables of
positions, and heads of keys beyond their number.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from fractions import Fraction
from itertools import product
from pathlib import Path
from typing import Any

import pyinfercost as ic
from pyinfercost import Layout
from pyinfercost.deployment import LayoutError
from pyinfercost.predict.plans import boundary_of, value_of
from pyinfercost.sources.captured import graph_over

HEADS, KEYS, EXPERTS = 16, 4, 16
SIZES = {"prefill": {"batch": 16, "sequence": 64}, "decode": {"batch": 32, "context": 64}}
_BASE: dict[str, Any] = {"num_hidden_layers": 2, "hidden_size": 128, "vocab_size": 1024, "pad_token_id": 0}
_HEADS = {"num_attention_heads": HEADS, "num_key_value_heads": KEYS}
_WIDE = {**_HEADS, "intermediate_size": 192, **_BASE}
_ROUTED = {"moe_intermediate_size": 96, "num_experts_per_tok": 2}
CONFIGS: Mapping[str, dict[str, Any]] = {
    "llama": _WIDE,
    "qwen3": {**_WIDE, "head_dim": 16},
    "gemma2": {**_WIDE, "head_dim": 16},
    "phi3": _WIDE,
    "gpt2": {"n_layer": 2, "n_embd": 128, "n_head": HEADS, "vocab_size": 1024},
    "gpt_neox": {**_BASE, "num_attention_heads": HEADS, "intermediate_size": 192},
    "falcon": {**_BASE, "num_attention_heads": HEADS, "new_decoder_architecture": True, "num_kv_heads": KEYS},
    "bloom": {"n_layer": 2, "hidden_size": 128, "n_head": HEADS, "vocab_size": 1024},
    "mixtral": {**_WIDE, "num_local_experts": EXPERTS},
    "qwen3_moe": {**_WIDE, "head_dim": 16, "num_experts": EXPERTS, **_ROUTED},
    "gpt_oss": {**_WIDE, "head_dim": 16, "num_local_experts": EXPERTS},
    "deepseek_v3": {
        **_WIDE, "num_key_value_heads": HEADS, "n_routed_experts": EXPERTS, "topk_group": 1, "n_group": 2,
        "first_k_dense_replace": 1, "q_lora_rank": 32, "kv_lora_rank": 32, "qk_rope_head_dim": 8,
        "qk_nope_head_dim": 16, "v_head_dim": 16, **_ROUTED,
    },
}  # fmt: skip
"""Twelve architectures, with lengths that 16 devices divide."""

OF_CACHE = {"gpt2": HEADS, "gpt_neox": HEADS, "bloom": HEADS, "falcon": HEADS, "deepseek_v3": 1}
"""Heads of the cache; of others `KEYS`. Falcon repeats keys before they are kept; a latent cache is on every rank."""

UNGROUPED = ("gpt2", "gpt_neox", "bloom")
"""Models with as many heads of keys as of queries."""

PARALLEL_BLOCKS = ("gpt_neox", "falcon")
"""Models whose attention and feed-forward part have one sum."""

LAYERS = 2
_HEAD = ("lm_head", "embed_out")  # logits of the last token alone
_MERGED = ("qkv_proj", "query_key_value")  # queries, keys and values in one product
_OF_KEYS = ("k_proj", "v_proj", "k_norm")
_WHOLE = (
    "norm", "ln_", "bias", "gate.weight", "router.weight", "wpe.weight", "q_a_proj.weight", "kv_a_proj_with_mqa.weight",
)  # fmt: skip


def captured(folder: Path, name: str, phase: str) -> ic.Graph:
    """Return a model with open sizes."""
    path = folder / f"{name}.json"
    path.write_text(json.dumps({"model_type": name, **CONFIGS[name]}), encoding="utf-8")
    return graph_over(f"hf:{path}#{phase}", {size: [value, 2 * value] for size, value in SIZES[phase].items()}).graph


def legal_layouts(devices: int) -> Iterator[Layout]:
    """Yield the layouts of a number of devices that engines have, in all fields but those of machines and training."""
    powers = [2**i for i in range(devices.bit_length()) if 2**i <= devices]
    for tensor, pipeline, context in product(powers, powers[:LAYERS], powers):
        data = devices // (tensor * pipeline * context)
        if data == 0:
            continue
        yield from (
            Layout(
                tensor=tensor, pipeline=pipeline, expert=expert, data=data, sequence=sequence, context=context,
                attention_data=attention,
            )
            for expert, attention, sequence in product(powers, powers, (False, True))
            if (tensor % expert == 0 or expert == tensor * data)
            and tensor % attention == 0
            and not (sequence and (attention > 1 or tensor == 1))
        )  # fmt: skip


def contractions(graph: ic.Graph, sizes: Mapping[str, int]) -> Counter[str]:
    """Contraction FLOPs by module."""
    found: Counter[str] = Counter()
    for row in ic.count(graph, sizes=sizes).layers:
        found[row.module] += row.work.contraction_flops
    return found


def refusal(whole: ic.Graph, layout: Layout) -> str:
    """Return why a model cannot lie in a layout; empty if it can."""
    try:
        ic.devices.rank_graph(whole, layout)
    except LayoutError as error:
        return str(error)
    return ""


def broken(name: str, phase: str, whole: ic.Graph, layout: Layout) -> list[str]:
    """Return the figures of a rank that are not its part of the whole."""
    rank = ic.devices.rank_graph(whole, layout)
    stages = [ic.devices.rank_graph(whole, layout, stage=stage) for stage in range(layout.pipeline)]
    return [
        *broken_weights(name, whole, rank, layout),
        *broken_work(name, phase, whole, rank, layout),
        *broken_sums(name, ic.devices.rank_graph(whole, layout.replace(pipeline=1, context=1)), layout),
        *(broken_stages(phase, whole, rank, stages, layout) if layout.pipeline > 1 else []),
    ]


def _allowed(name: str, text: str, layout: Layout) -> set[Fraction]:
    """Return how many copies of a weight, or of its products, the ranks of `tensor` may have."""
    tensor, attention = layout.tensor, layout.tensor // layout.attention_data
    # Copies of keys and values beyond their heads, alone and beside the queries.
    again = Fraction(max(1, attention // (HEADS if name in UNGROUPED else KEYS)))
    merged = (HEADS + 2 * KEYS * again) / (HEADS + 2 * KEYS)
    copies = {Fraction(1), Fraction(layout.attention_data)}
    if any(part in text for part in _MERGED):
        copies = {each * merged for each in copies}
    elif any(part in text for part in _OF_KEYS):
        copies = {each * again for each in copies}
    if "down_proj_bias" in text:  # of sums of experts: a device has those of its experts
        copies.add(Fraction(tensor, layout.expert))
    if any(part in text for part in _WHOLE):
        copies |= {Fraction(tensor), Fraction(attention)}
    return copies


def broken_weights(name: str, whole: ic.Graph, rank: ic.Graph, layout: Layout) -> list[str]:
    """Return the weights of which the ranks of `tensor` have neither all elements once nor listed copies."""
    tensor, sent = layout.tensor, layout.expert > layout.tensor
    wrong = []
    shapes = {made.name: len(made.shape) for made in whole.tensors if made.role == "parameter"}
    for share in ic.devices.weight_shares(rank):
        if share.name not in shapes:  # a buffer
            continue
        if sent and "experts" in share.name and "shared" not in share.name:
            fits = layout.expert * share.elements == share.of
        else:
            fits = Fraction(tensor * share.elements, share.of) in _allowed(name, share.name, layout)
        fits = fits or (tensor > 1 and share.elements == share.of and share.why != "" and "norm" in share.why)
        if not fits:
            wrong.append(f"{share.name}: {share.elements} of {share.of}")

    return wrong


def sizes_of_rank(phase: str, layout: Layout) -> dict[str, int]:
    """Return the sizes of a rank: its part of the batch of one copy, and the tokens of all ranks."""
    return {**SIZES[phase], "batch": SIZES[phase]["batch"] // layout.attention_data}


def broken_work(name: str, phase: str, whole: ic.Graph, rank: ic.Graph, layout: Layout) -> list[str]:
    """Return the modules whose contraction FLOPs are not a part of the whole, and a cache that is not."""
    of_rank = sizes_of_rank(phase, layout)
    one, all_of_it = contractions(rank, of_rank), contractions(whole, SIZES[phase])
    wrong = []
    for module, flops in all_of_it.items():
        if not flops:
            continue
        copies = _allowed(name, f"{module}.weight", layout)
        if phase == "prefill":
            copies = {each if module.endswith(_HEAD) else each / layout.context for each in copies}
        elif layout.context > 1 and (attended := attention_flops(whole, module)):
            # Of a decode step the positions of the caches are shared, and the new one is on each rank.
            rest = flops - attended
            length = SIZES[phase]["context"]
            own = Fraction(length // layout.context + 1, length + 1)
            copies = {each * (rest + attended * own) / flops for each in copies}
        if Fraction(layout.tensor * one[module], flops) not in copies:
            wrong.append(f"{module}: {one[module]} of {flops} FLOPs")

    total, own_bytes = (boundary_of(graph, "native").kv_cache_bytes for graph in (whole, rank))
    if total is not None:
        expected = Fraction(
            value_of(total, SIZES[phase]) * max(1, layout.tensor // layout.attention_data // _keys(name))
        )
        if phase == "prefill":
            expected /= layout.context
        elif layout.context > 1:
            length = SIZES[phase]["context"]
            expected *= Fraction(length // layout.context + 1, length + 1)
        if layout.tensor * value_of(own_bytes or 0, of_rank) != expected:
            wrong.append(f"cache: {layout.tensor * value_of(own_bytes or 0, of_rank)} bytes and not {expected}")
    return wrong


def _keys(name: str) -> int:
    return OF_CACHE.get(name, KEYS)


def attention_flops(whole: ic.Graph, module: str) -> int:
    """Contraction FLOPs of a module in a decode step that are of cached positions: of attention, and of latents."""
    counted = ic.count(whole, sizes=SIZES["decode"])
    return sum(
        row.work.contraction_flops
        for row in counted.layers
        if row.module == module and ("scaled_dot_product" in row.op or module.endswith("kv_b_proj"))
    )


def broken_sums(name: str, rank: ic.Graph, layout: Layout) -> list[str]:
    """Return a number of sums other than one after each attention, each feed-forward part and the embedding.

    Inside `tensor` each is an all-reduce, or a reduce-scatter where tokens are shared. Results of experts that are on
    the ranks of all copies are combined. The rank has the layers of all stages, and the tokens of all of `context`.
    """
    attention = layout.tensor // layout.attention_data
    of_layers = LAYERS * (attention > 1) + LAYERS * (layout.tensor > 1)
    if name in PARALLEL_BLOCKS and attention == layout.tensor:
        of_layers = LAYERS * (layout.tensor > 1)
    expected = Counter({"sum": of_layers + (attention > 1)})
    if layout.expert > layout.tensor:
        routed = LAYERS - (name == "deepseek_v3")
        shared = name == "deepseek_v3" and layout.tensor > 1
        expected = Counter(
            {"sum": of_layers + (attention > 1) - routed * (layout.tensor > 1) + shared, "combine": routed}
        )
    found: Counter[str] = Counter()
    for node in rank.nodes:
        kind = node.op.removeprefix("collective.")
        if kind in ("all_reduce", "reduce_scatter"):
            found["sum"] += 1
        elif kind == "combine":
            found["combine"] += 1
    return [] if +found == +expected else [f"sums: {dict(found)} and not {dict(expected)}"]


def broken_stages(phase: str, whole: ic.Graph, rank: ic.Graph, stages: list[ic.Graph], layout: Layout) -> list[str]:
    """Return what the stages of a pipeline do not have together."""
    of_rank = sizes_of_rank(phase, layout)
    wrong = []
    together: Counter[str] = Counter()
    for stage in stages:
        together.update(contractions(stage, of_rank))
    if +together != +contractions(rank, of_rank):
        wrong.append("stages have other FLOPs than all layers")
    held = [{share.name: share.elements for share in ic.devices.weight_shares(stage)} for stage in stages]
    for share in ic.devices.weight_shares(rank):
        places = [names[share.name] for names in held if share.name in names]
        parameter = not share.name.endswith(("inv_freq", "embed_scale"))
        tied = len(places) == len(stages) and any(part in share.name for part in ("embed", "wte", "rotary"))
        if set(places) != {share.elements} or (len(places) > 1 and parameter and not tied):
            wrong.append(f"{share.name} is in {len(places)} stages")
    caches = [boundary_of(graph, "native").kv_cache_bytes for graph in (*stages, rank)]
    counted = [value_of(each, of_rank) for each in caches if each is not None]
    if counted and sum(counted[:-1]) != counted[-1]:
        wrong.append("stages have other caches than all layers")
    return wrong
