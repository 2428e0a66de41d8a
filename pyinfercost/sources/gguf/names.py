"""The tensors of a GGUF file that a parameter of a model of `transformers` is stored in.

Names of tensors are from llama.cpp (gguf-py/gguf/tensor_mapping.py). A parameter may be several tensors: the library
stacks experts, and joins their gates with their up projections.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from types import MappingProxyType

from .files import GgufModel
from .reading import Tensor

WHOLE: Mapping[str, str] = MappingProxyType(
    {"model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output"}
)
_SHARED = {
    f"mlp.{experts}.{part}_proj": (f"ffn_{part}_shexp",)
    for experts in ("shared_expert", "shared_experts")
    for part in ("gate", "up", "down")
}
LAYER: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        # Module of a layer -> alternatives of the tensors that hold its weight, joined by "+".
        "input_layernorm": ("attn_norm",),
        "post_attention_layernorm": ("ffn_norm",),
        "self_attn.q_proj": ("attn_q",),
        "self_attn.k_proj": ("attn_k",),
        "self_attn.v_proj": ("attn_v",),
        "self_attn.qkv_proj": ("attn_qkv", "attn_q+attn_k+attn_v"),
        "self_attn.o_proj": ("attn_output",),
        "self_attn.q_norm": ("attn_q_norm",),
        "self_attn.k_norm": ("attn_k_norm",),
        "self_attn.q_a_proj": ("attn_q_a",),
        "self_attn.q_a_layernorm": ("attn_q_a_norm",),
        "self_attn.q_b_proj": ("attn_q_b",),
        "self_attn.kv_a_proj_with_mqa": ("attn_kv_a_mqa",),
        "self_attn.kv_a_layernorm": ("attn_kv_a_norm",),
        "self_attn.kv_b_proj": ("attn_k_b+attn_v_b", "attn_kv_b"),
        "mlp.gate_proj": ("ffn_gate",),
        "mlp.up_proj": ("ffn_up",),
        "mlp.down_proj": ("ffn_down",),
        "mlp.gate_up_proj": ("ffn_gate+ffn_up",),
        "mlp.c_fc": ("ffn_up",),
        "mlp.c_proj": ("ffn_down",),
        "mlp.gate": ("ffn_gate_inp",),
        "mlp.router": ("ffn_gate_inp",),
        "block_sparse_moe.router": ("ffn_gate_inp",),
        "mlp.shared_expert_gate": ("ffn_gate_inp_shexp",),
        **_SHARED,
    }
)
EXPERTS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        # Parameter of a module of experts -> the tensors.
        "gate_up_proj": ("ffn_gate_exps.weight+ffn_up_exps.weight", "ffn_gate_up_exps.weight"),
        "down_proj": ("ffn_down_exps.weight",),
        "gate_up_proj_bias": ("ffn_gate_exps.bias+ffn_up_exps.bias",),
        "down_proj_bias": ("ffn_down_exps.bias",),
    }
)
_ONE_BY_ONE: Mapping[str, str] = MappingProxyType({"gate_up_proj": "gate|up", "down_proj": "down"})
"""Projections of experts that files of 2023 store one by one: `blk.0.ffn_gate.3.weight`."""
_OTHER: Mapping[str, str] = MappingProxyType(
    {"self_attn.sinks": "attn_sinks.weight", "mlp.gate.e_score_correction_bias": "exp_probs_b.bias"}
)
_OF_LAYER = re.compile(r"model\.layers\.(\d+)\.(.+)")
BUILT_IN = r"rope_freqs\.weight|rope_factors_(long|short)\.weight|blk\.\d+\.(rope_freqs|attn_rot_embd)\.weight"
"""Tensors that models of `transformers` compute when they are built."""


def is_built_in(name: str) -> bool:
    """Return whether the model computes a tensor of a file itself: tables of rotations."""
    return re.fullmatch(BUILT_IN, name) is not None


def tensors_of(parameter: str, model: GgufModel, own_names: Mapping[str, str]) -> list[Tensor]:
    """Return the tensors that a parameter is stored in; none if the file lacks one of them.

    Args:
        parameter: Name of the parameter or buffer.
        model: The file.
        own_names: Modules of a layer -> tensors, of this architecture.
    """
    for alternative in _alternatives(parameter, model, own_names):
        if alternative and all(name in model.tensors for name in alternative):
            return [model.tensors[name] for name in alternative]
    return []


def _alternatives(parameter: str, model: GgufModel, own_names: Mapping[str, str]) -> Iterator[list[str]]:
    module, _, kind = parameter.rpartition(".")
    if module in WHOLE:
        yield [f"{WHOLE[module]}.{kind}"]
        return
    layer = _OF_LAYER.fullmatch(parameter)
    if layer is None:
        return
    block, path = f"blk.{layer[1]}", layer[2]
    if path in _OTHER:
        yield [f"{block}.{_OTHER[path]}"]
        return
    part, _, kind = path.rpartition(".")
    if part.endswith("experts") and kind in EXPERTS:
        for names in EXPERTS[kind]:
            yield [f"{block}.{name}" for name in names.split("+")]
        if kind in _ONE_BY_ONE:
            single = re.compile(rf"{re.escape(block)}\.ffn_({_ONE_BY_ONE[kind]})\.\d+\.weight")
            yield [name for name in model.tensors if single.fullmatch(name)]
        return
    own = own_names.get(part)
    for names in (own,) if own is not None else LAYER.get(part, ()):
        yield [f"{block}.{name}.{kind}" for name in names.split("+")]
