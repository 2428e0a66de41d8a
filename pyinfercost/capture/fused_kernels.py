"""Shapes of what fused kernels return, forward and backward, in the layout that they give it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch


def _grouped_mm(
    left: torch.Tensor, right: torch.Tensor, offs: Any = None, bias: Any = None, out_dtype: Any = None
) -> Any:
    # torch's own meta kernel takes bfloat16 alone; shapes follow the same rule for every dtype.
    del bias
    dtype = out_dtype or left.dtype
    if left.dim() == 2 and right.dim() == 2:  # noqa: PLR2004 - ranks
        shape = [offs.shape[0], left.shape[0], right.shape[1]]
    elif left.dim() == 3 and right.dim() == 2:  # noqa: PLR2004
        shape = [left.shape[1], right.shape[1]]
    else:
        shape = [*left.shape[:-1], right.shape[-1]]
    return torch.empty(shape, dtype=dtype, device=left.device)


def _attention(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, *_: Any, **__: Any) -> torch.Tensor:
    # Fused kernels give the result the layout of the query; torch's meta kernel is the unfused one, which does not.
    del key
    if query.shape[-1] == value.shape[-1] and query.stride(-1) == 1:
        return torch.empty_like(query)
    return query.new_empty([*query.shape[:-1], value.shape[-1]])


def _attention_in_training(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, *_: Any, **__: Any
) -> tuple[Any, ...]:
    result = _attention(query, key, value)
    # One number per row of scores is what backward needs of them. The rest is for sequences of many lengths and for
    # dropout.
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
    "aten._grouped_mm.default": _grouped_mm,
    "aten.scaled_dot_product_attention.default": _attention,
    "aten._fused_rms_norm_backward.default": _rms_norm_backward,
    "aten._scaled_dot_product_fused_attention_overrideable.default": _attention_in_training,
    "aten._scaled_dot_product_fused_attention_overrideable_backward.default": _attention_backward,
}
