"""What the ranks of any layout have together: the weights, contraction FLOPs and cache of the whole model.

`legal_layouts` lists layouts of a number of devices, and `broken` the figures of a rank that are not its part.
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
    """Yield the layouts of a number of devices that engines have: tensor, data, expert, attention, sequence."""
    powers = [2**i for i in range(devices.bit_length()) if 2**i <= devices]
    for tensor in powers:
        data = devices // tensor
        yield from (
            Layout(tensor=tensor, data=data, expert=expert, attention_data=attention, sequence=sequence)
            for expert, attention, sequence in product(sorted({*powers}), powers, (False, True))
            if (tensor % expert == 0 or expert == devices)
            and tensor % attention == 0
            and not (sequence and (attention > 1 or tensor == 1 or expert > tensor))
            and not (expert > tensor and attention > 1)
        )


def contractions(graph: ic.Graph, sizes: Mapping[str, int]) -> Counter[str]:
    """Contraction FLOPs by module."""
    found: Counter[str] = Counter()
    for row in ic.count(graph, sizes=sizes).layers:
        found[row.module] += row.work.contraction_flops
    return found


def refusal(whole: ic.Graph, layout: Layout) -> str:
    """Return why a model cannot lie in a layout; empty if it can."""
    try:
        ic.parallel(whole, layout)
    except LayoutError as error:
        return str(error)
    return ""


def broken(name: str, phase: str, whole: ic.Graph, layout: Layout) -> list[str]:
    """Return the figures of a rank that are not its part of the whole."""
    rank = ic.parallel(whole, layout)
    tensor, attention = layout.tensor, layout.tensor // layout.attention_data
    sent = layout.expert > layout.tensor
    keys = OF_CACHE.get(name, KEYS)
    # Copies of keys and values beyond their heads, alone and beside the queries.
    again = Fraction(max(1, attention // (HEADS if name in UNGROUPED else KEYS)))
    merged = (HEADS + 2 * KEYS * again) / (HEADS + 2 * KEYS)

    def allowed(text: str) -> set[Fraction]:
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

    wrong = []
    shapes = {made.name: len(made.shape) for made in whole.tensors if made.role == "parameter"}
    for share in ic.weight_shares(rank):
        if share.name not in shapes:  # a buffer
            continue
        if sent and "experts" in share.name and "shared" not in share.name:
            fits = layout.expert * share.elements == share.of
        else:
            fits = Fraction(tensor * share.elements, share.of) in allowed(share.name)
        fits = fits or (tensor > 1 and share.elements == share.of and share.why != "" and "norm" in share.why)
        if not fits:
            wrong.append(f"{share.name}: {share.elements} of {share.of}")

    of_rank = {**SIZES[phase], "batch": SIZES[phase]["batch"] // layout.attention_data}
    one, all_of_it = contractions(rank, of_rank), contractions(whole, SIZES[phase])
    for module, flops in all_of_it.items():
        if flops and Fraction(tensor * one[module], flops) not in allowed(f"{module}.weight"):
            wrong.append(f"{module}: {one[module]} of {flops} FLOPs")

    total, own = (boundary_of(graph, "native").kv_cache_bytes for graph in (whole, rank))
    if total is not None:
        held = Fraction(tensor * value_of(own or 0, of_rank), value_of(total, SIZES[phase]))
        if held != max(1, attention // keys):
            wrong.append(f"cache: {held} copies")
    return wrong
