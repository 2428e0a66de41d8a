"""Classes of kernels with an error band of their own, and the rows of tables that determine it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pyinfercost.hardware.evidence import OTHER
from pyinfercost.hardware.schema import BAND_CLASSES

from .cases import Group


@dataclass(frozen=True)
class _Rows:
    """Rows of a table, of some precisions if given, and of some parts if given."""

    table: str
    precisions: tuple[str, ...] = ()
    parts: tuple[str, ...] = ()

    def has(self, group: Group) -> bool:
        return (
            group.table == self.table
            and (not self.precisions or group.precision in self.precisions)
            and (not self.parts or group.part in self.parts)
        )


_TOKENS = ("attn_rope", "mlp_act", "input_layernorm", "post_attention_layernorm")
_PRODUCTS = ("attn_pre_proj", "attn_post_proj", "mlp_up_proj", "mlp_down_proj")
_NARROW_FP8 = ("fp8", "fp8_static")
_NARROW_FP4 = ("nvfp4", "mxfp4_static")
_WHOLE = ("models_vision", "models_language_fp32", "published_models", "tpu_layers")

CLASSES: Mapping[str, tuple[_Rows, ...]] = {
    OTHER: tuple(_Rows(table) for table in _WHOLE),
    "kernel.gemm": (
        *(_Rows(table, ("bfloat16",)) for table in ("gemm", "gemm_power")),
        *(_Rows(table) for table in ("fp32_linear", "fp32_bmm")),
        _Rows("llm_layers", parts=_PRODUCTS),
        _Rows("apple_ops", parts=("MatMul", "Linear")),
    ),
    "tiles_matrix": (
        *(_Rows(table, ("bfloat16",)) for table in ("gemm", "gemm_power")),
        _Rows("llm_layers", parts=_PRODUCTS),
    ),
    "tiles_vector": (_Rows("fp32_linear"), _Rows("fp32_bmm")),
    "tiles_convolution": (_Rows("fp32_conv2d"),),
    "tiles_fp8": (_Rows("gemm", _NARROW_FP8),),
    "tiles_fp4": (_Rows("gemm", _NARROW_FP4), _Rows("gemm_power", _NARROW_FP4)),
    "tiles_int8": (_Rows("gemm", ("sq",)),),
    "tiles_weight8": (_Rows("gemm", ("int8_wo",)),),
    "tiles_weight4": (_Rows("gemm", ("int4_wo",)),),
    "tiles_grouped": (_Rows("moe", ("bfloat16",)),),
    "tiles_grouped8": (_Rows("moe", ("fp8",)),),
    "tiles_grouped_blocks": (_Rows("moe", ("bfloat16",)),),  # whose constants these products have
    "token_rows": (_Rows("llm_layers", parts=_TOKENS),),
    "kernel.gather": (_Rows("llm_layers", parts=("emb",)), _Rows("apple_ops", parts=("Gather",))),
    "kernel.attention": (_Rows("attention"), _Rows("apple_ops", parts=("ScaledDotProductAttention",))),
    "kernel.softmax": (_Rows("fp32_softmax"), _Rows("apple_ops", parts=("Softmax",))),
    "kernel.normalization": (_Rows("fp32_layernorm"), _Rows("apple_ops", parts=("LayerNorm",))),
    "kernel.pointwise": (
        _Rows("fp32_elementwise"),
        _Rows("llm_layers", parts=("add",)),
        _Rows("apple_ops", parts=("ReLU", "LeakyReLU", "PReLU", "SeLU", "Sigmoid", "Softplus")),
    ),
    "kernel.convolution": (_Rows("models_vision"), _Rows("apple_ops", parts=("Conv1d", "Conv2d"))),
}
"""Rows of each class of kernels with a band of its own. Whole models give the band of all others."""


def classes_of(group: Group) -> list[str]:
    """Return the classes whose bands the rows of a group determine, the most specific one last."""
    return [name for name, some in CLASSES.items() if name in BAND_CLASSES and any(rows.has(group) for rows in some)]
