"""Shapes and layouts of results of fused kernels, forward and backward."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from .meta_kernels import attention

_MATRIX = 2


def _attention_in_training(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, *_: Any, **__: Any
) -> tuple[Any, ...]:
    # The operator has no flag for shared heads of keys.
    result = attention(query, key, value, enable_gqa=query.dim() > _MATRIX)
    # Backward needs one number per row of scores. The remaining results are for sequences of different lengths and
    # for dropout.
    row = query.new_empty(query.shape[:-1], dtype=torch.float32)
    nothing = [query.new_empty([0], dtype=torch.int64) for _ in range(4)]
    rows, columns = query.shape[-2], key.shape[-2]
    return (result, row, nothing[0], nothing[1], rows, columns, nothing[2], nothing[3], query.new_empty([0]))


def _attention_backward(
    grad: torch.Tensor,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    bias: torch.Tensor | None,
    wanted: Sequence[bool],
    *_: Any,
    **__: Any,
) -> tuple[Any, ...]:
    del grad
    gradients = [torch.empty_like(t) if want else None for t, want in zip((query, key, value), wanted, strict=False)]
    return (*gradients, torch.empty_like(bias) if bias is not None and wanted[3] else None)


def _rms_norm_backward(
    grad: torch.Tensor,
    x: torch.Tensor,
    shape: Sequence[int],
    rstd: torch.Tensor,
    weight: torch.Tensor | None,
    wanted: Sequence[bool],
) -> tuple[Any, Any]:
    del grad, shape, rstd
    of_weight = torch.empty_like(weight) if weight is not None and wanted[1] else None
    return torch.empty_like(x) if wanted[0] else None, of_weight


KERNELS: dict[str, Any] = {
    "aten._fused_rms_norm_backward.default": _rms_norm_backward,
    "aten._scaled_dot_product_fused_attention_overrideable.default": _attention_in_training,
    "aten._scaled_dot_product_fused_attention_overrideable_backward.default": _attention_backward,
}
