"""Small configs of `transformers`: fewer and narrower layers, with every kind of layer of the full config.

A config is a tree of numbers whose names have the same meaning everywhere in the library, so one table of names shrinks
all configs. Relations between numbers are preserved: fewer key heads than heads stay fewer, rope sections keep their
sum, token ids stay inside the vocabulary. Layers are removed by kind: one of each kind in a list of layer types stays.
"""

from __future__ import annotations

import re
from typing import Any

Tree = dict[str, Any]

WIDTH = 64
HEADS = 4
HEAD_DIM = WIDTH // HEADS
VOCABULARY = 512

# (pattern of a whole name, what it becomes when it is larger). The first that matches holds.
_KEPT = re.compile(
    r"num_feat_extract_layers|patch_embed_hidden_size|patch_embed_hidden_size|num_conv_.*|num_.*_conv_layers|num_feature_levels|num_channels|position_embedding_type|.*_ratio"
    r"|keypoint_decoder_dim"
)
_LARGEST: tuple[tuple[str, int], ...] = (
    (r"(.*_)?vocab_size(_.*)?|.*_vocab_size|n_tokens|codebook_size", VOCABULARY),
    (
        r"num_(hidden|encoder|decoder|attention|mamba)?_?(hidden_)?layers|n_layers?|num_layers?|.*_num_layers"
        r"|(.*_)?num_(.*_)?layers|(text|vision|encoder|decoder)_layers|(.*_)?n_layers?|depth|num_blocks"
        r"|(.*_)?num_(hidden_)?groups_of_layers",
        2,
    ),
    (r"(.*_)?num_key_value_heads|n_head_kv|num_kv_heads|(.*_)?n_kv_heads|multi_query_group_num", 2),
    (
        r"(.*_)?(num_)?(attention_)?heads|n_heads?|(.*_)?num_attention_heads|(.*_)?num_heads|.*attention_heads"
        r"|(.*_)?n_heads?|index_n_heads",
        HEADS,
    ),
    (r"qk_rope_head_dim|rotary_dim|(.*_)?rope_head_dim", HEAD_DIM // 2),
    (r"(.*_)?head_dim|d_kv|kv_channels|attention_head_size|(.*_)?d_head|(.*_)?head_size", HEAD_DIM),
    (r"(.*_)?lora_rank|(.*_)?low_rank_dim.*", 24),
    (
        r"(.*_)?(intermediate_size|ffn_dim|d_ff|ffn_hidden_size|n_inner|inner_dim|mlp_dim|ffn_embed_dim)(_.*)?"
        r"|(.*_)?feedforward(_.*)?_(dim|size)|dim_feedforward|d_inner|ff_dim",
        96,
    ),
    (r"(.*_)?(num_experts|num_local_experts|n_routed_experts|moe_num_experts|num_routed_experts)", 4),
    (
        r"(.*_)?(num_experts_per_tok|top_k_experts|moe_top_?k|moe_k|num_experts_per_token|num_selected_experts"
        r"|top_k|moe_topk|num_experts_per_topk|n_activated_experts)",
        2,
    ),
    (r"n_group|topk_group|num_expert_groups?", 1),
    (
        r"(.*_)?(hidden_size|hidden_dim|d_model|n_embd|embed_dim|embedding_size|projection_dim|model_dim|text_dim"
        r"|out_hidden_size|embedding_dim|projection_size|output_dim|dim|hidden_channels|width|encoder_hidden_size"
        r"|output_proj_dim|proj_dim|projector_dim|decoder_dim|cross_attention_hidden_size|lru_width|hidden_size_per_layer_input"
        r"|output_hidden_size|input_hidden_size|visual_dim|bottleneck_dim)",
        WIDTH,
    ),
    (r"(.*_)?(sliding_window|attention_window_size|local_attention|attention_chunk_size)(_size)?", 8),
    (r"(mamba_)?(state_size|d_state|ssm_state_size)", 16),
    (r"upsample_groups", WIDTH),
    (r"first_k_dense_replace|num_dense_layers|n_dense_layers|num_hash_layers", 1),
    (r"(decoder_|encoder_)?(sparse|moe_layer)_(step|interval|freq.*)|interleave_moe_layer_step|moe_every_n_layers", 2),
    (
        r"attn_layer_period|expert_layer_period|full_attention_interval|sliding_window_pattern|global_attn_every_n_layers",
        2,
    ),
    (r"attn_layer_offset|expert_layer_offset", 1),
)
_LAYERS = re.compile(next(pattern for pattern, largest in _LARGEST if largest == 2 and "num_layers" in pattern))
_PATTERNS = tuple((re.compile(pattern), largest) for pattern, largest in _LARGEST)
_TOKEN_ID = re.compile(r".*(_token_id|_token_index|_id|_token_ids|_idx|_token)$")
_LABELS = frozenset({"id2label", "label2id"})
_LAYER_COUNT = re.compile(r"num_hidden_layers|num_layers|n_layers?|num_hidden_blocks|(encoder|decoder)_layers")
_STAGE = re.compile(r"stage(\d+)")
_SMALLEST_LIST = 3


def shrunken(config: Tree, *, narrow: bool = True) -> Tree:
    """Return a small config with the same kinds of layers.

    Args:
        config: Result of `PreTrainedConfig.to_dict`.
        narrow: Whether to shrink widths too, instead of layers only.

    Returns:
        A new tree; the given one is not changed.
    """
    small = {
        name: shrunken(value, narrow=narrow)
        if isinstance(value, dict) and name != "per_layer_config" and _is_tree(value)
        else value
        for name, value in config.items()
        if name not in _LABELS
    }
    done = _cut_layers(small)
    if any(isinstance(config.get(name), list) for name in ("depths", "num_heads", "hidden_sizes", "num_blocks")):
        _cut_stages(small)  # widths of stages depend on each other, and are small
        return small
    for name, value in small.items():
        if name not in done and (narrow or _LAYERS.fullmatch(name)):
            small[name] = _smaller(name, value)
    if narrow:
        small["per_layer_config"] = {
            layer: {name: _smaller(name, value) for name, value in own.items()}
            for layer, own in (small.get("per_layer_config") or {}).items()
        }
        if not small["per_layer_config"]:
            del small["per_layer_config"]
        _keep_relations(config, small)
    return small


def _is_tree(value: Tree) -> bool:
    return all(isinstance(key, str) for key in value)


def _smaller(name: str, value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, int) or _KEPT.fullmatch(name):
        return value
    for pattern, largest in _PATTERNS:
        if pattern.fullmatch(name):
            return min(value, largest)
    return value


def _cut_stages(small: Tree) -> None:
    for name in ("depths", "depth", "num_blocks", "layers", "layer_depths", "stage_num_blocks"):
        value = small.get(name)
        if isinstance(value, list) and all(isinstance(v, int) for v in value):
            small[name] = [min(v, 2) for v in value]
    for name in ("encoder_layers", "decoder_layers", "num_hidden_layers"):
        value = small.get(name)
        if isinstance(value, int) and "depths" not in small:
            small[name] = min(value, 2)


def _cut_layers(small: Tree) -> set[str]:
    """Keep one layer of each kind by the lists of kinds, and at least two layers.

    Returns:
        Names of the determined counts.
    """
    settled: set[str] = set()
    for count_name in [name for name in small if _LAYER_COUNT.fullmatch(name)]:
        count = small[count_name]
        if not isinstance(count, int) or isinstance(count, bool) or count <= 0:
            continue
        stages = small.get("stage_names")
        if isinstance(stages, list) and len(stages) == count + 1:
            kept = max(2, len(small.get("out_features") or []))
            _cut_plain_stages(small, count, min(kept, count))
            small[count_name] = min(kept, count)
            settled.add(count_name)
            continue
        lists = [
            name
            for name, value in small.items()
            if isinstance(value, list) and len(value) == count and count >= _SMALLEST_LIST and name != "architectures"
        ]
        own: dict[int, Any] = {int(k): v for k, v in (small.get("per_layer_config") or {}).items()}
        if not lists and not own:
            continue
        kinds = list(
            zip(*[map(repr, small[name]) for name in lists], [repr(own.get(i)) for i in range(count)], strict=True)
        )
        shared = small.get("num_kv_shared_layers")
        kept_layers = sorted({kinds.index(kind) for kind in kinds})
        if isinstance(shared, int) and shared:  # the last layers use what earlier ones of their kind have computed
            kept_layers += [
                index
                for index in sorted({len(kinds) - 1 - kinds[::-1].index(kind) for kind in kinds})
                if index >= count - shared and index not in kept_layers
            ]
            small["num_kv_shared_layers"] = len([index for index in kept_layers if index >= count - shared])
        if len(kept_layers) == 1:
            kept_layers = [0, 1]
        for name in lists:
            small[name] = [small[name][index] for index in kept_layers]
        if own:
            small["per_layer_config"] = {str(new): own[index] for new, index in enumerate(kept_layers) if index in own}
        small[count_name] = len(kept_layers)
        settled.add(count_name)
    return settled


def _cut_plain_stages(small: Tree, count: int, kept: int) -> None:
    """Shrink a backbone whose stages are its layers: the same number of features, from the last remaining layers."""
    names = ["stem", *(f"stage{i}" for i in range(1, kept + 1))]
    features = len(small.get("out_features") or [1])
    small["stage_names"] = names
    small["out_features"] = names[-features:]
    small["out_indices"] = list(range(len(names) - features, len(names)))
    for name, value in small.items():
        if (
            isinstance(value, list)
            and len(value) == count
            and name not in {"stage_names", "out_features", "out_indices"}
        ):
            small[name] = value[:kept]


def _keep_relations(config: Tree, small: Tree) -> None:
    heads = next(
        (n for n in ("num_attention_heads", "n_head", "n_heads", "num_heads") if isinstance(config.get(n), int)), None
    )
    for name in ("num_key_value_heads", "num_kv_heads", "n_kv_heads", "n_head_kv"):
        if heads and isinstance(config.get(name), int) and config[name] >= config[heads]:
            small[name] = small[heads]
    for expand, mamba_heads in (
        ("mamba_expand", "mamba_n_heads"),
        ("expand", "num_heads"),
        ("expand", "mamba_num_heads"),
        ("mamba_expand", "n_mamba_heads"),
        ("mamba_expand", "mamba_num_heads"),
    ):
        if (
            isinstance(small.get(expand), int)
            and isinstance(small.get(mamba_heads), int)
            and config[mamba_heads] > HEADS
        ):
            small[mamba_heads] = small[expand] * WIDTH // HEAD_DIM
    nope, rope = small.get("qk_nope_head_dim"), small.get("qk_rope_head_dim")
    if isinstance(nope, int) and isinstance(rope, int) and rope:  # multi-head latent attention
        nope = small["qk_nope_head_dim"] = rope * max(1, config["qk_nope_head_dim"] // config["qk_rope_head_dim"])
        sums = {config["qk_rope_head_dim"]: rope, config["qk_nope_head_dim"] + config["qk_rope_head_dim"]: nope + rope}
        for name in ("head_dim", "qk_head_dim"):
            if config.get(name) in sums:
                small[name] = sums[config[name]]
    _scale_sections(small)
    vocabulary = small.get("vocab_size")
    text = small.get("text_config")
    if not isinstance(vocabulary, int) and isinstance(text, dict):
        vocabulary = text.get("vocab_size")
    if isinstance(vocabulary, int):
        _move_token_ids(config, small, vocabulary)


def _scale_sections(small: Tree) -> None:
    """Return the sections of a rotary embedding for time, height and width: together half of the rotated width."""
    rope = small.get("rope_parameters")
    if not isinstance(rope, dict) or not isinstance(rope.get("mrope_section"), list):
        return
    rotated = small.get("qk_rope_head_dim") or small.get("head_dim") or HEAD_DIM
    half = int(rotated * (rope.get("partial_rotary_factor") or 1)) // 2
    parts = rope["mrope_section"]
    scaled = [max(1, part * half // sum(parts)) for part in parts]
    scaled[0] += half - sum(scaled)
    small["rope_parameters"] = {**rope, "mrope_section": scaled}


def with_sections(small: Tree) -> None:
    """Set the sections of rotary embeddings if the config leaves them to the code, whose default is for wide heads."""
    rope = small.get("rope_parameters")
    flat = isinstance(rope, dict) and rope and not any(isinstance(value, dict) for value in rope.values())
    if "vocab_size" in small and flat and "mrope_section" not in rope:
        small["rope_parameters"] = {**rope, "mrope_section": [16, 24, 24]}
        _scale_sections(small)
    for value in small.values():
        if isinstance(value, dict):
            with_sections(value)


def _move_token_ids(config: Tree, small: Tree, vocabulary: int) -> None:
    """Map token ids beyond the vocabulary to distinct ids at its end."""
    moved: dict[int, int] = {}
    for name, value in config.items():
        if isinstance(value, bool) or not _TOKEN_ID.fullmatch(name):
            continue
        if isinstance(value, int) and value >= vocabulary:
            small[name] = moved.setdefault(value, vocabulary - 1 - len(moved))
        elif isinstance(value, list) and all(isinstance(v, int) for v in value) and any(v >= vocabulary for v in value):
            small[name] = [v if v < vocabulary else moved.setdefault(v, vocabulary - 1 - len(moved)) for v in value]


def merged(tree: Tree, changes: Tree) -> Tree:
    """Return a tree with some of its values replaced, at any depth."""
    result = dict(tree)
    for name, value in changes.items():
        below = result.get(name)
        result[name] = merged(below, value) if isinstance(value, dict) and isinstance(below, dict) else value
    return result
