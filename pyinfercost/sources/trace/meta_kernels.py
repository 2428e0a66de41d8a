"""Meta kernels with the result layouts of real kernels, and shapes of operators without a meta kernel in torch.

On the CPU or a GPU, convolutions and some other operators return channels-last results for channels-last operands;
torch's meta kernels return contiguous ones. Strides determine which later reshapes are copies.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

_IMAGE, _VOLUME = 4, 5  # ranks


def _is_channels_last(tensor: torch.Tensor) -> bool:
    """Return whether a tensor is channels-last by torch's rule: strides grow from channels over columns and rows.

    The stride of a dimension of length 1 is arbitrary, so tensors with one channel or one pixel are ambiguous; they
    count as channels-last only by their strides. For symbolic sizes, the dimension with stride 1 decides.
    """
    shape, strides = tensor.shape, tensor.stride()
    order = [1, *range(tensor.dim() - 1, 1, -1), 0]
    if any(type(n) is not int for n in (*shape, *strides)):
        return type(strides[1]) is int and strides[1] == 1 and not (type(strides[-1]) is int and strides[-1] == 1)
    if strides[1] == 0:
        return False
    least = 0
    for axis in order:
        if shape[axis] == 0 or strides[axis] < least or (axis == 0 and least == strides[1]):
            return False
        least = strides[axis] * max(shape[axis], 1)
    return True


def _format_of(*tensors: torch.Tensor) -> torch.memory_format | None:
    """Return the channels-last format of the first of these tensors that has one."""
    for tensor in tensors:
        if tensor.dim() in {_IMAGE, _VOLUME} and _is_channels_last(tensor):
            return torch.channels_last if tensor.dim() == _IMAGE else torch.channels_last_3d
    return None


def _laid_out(result: torch.Tensor, memory_format: torch.memory_format | None) -> torch.Tensor:
    return result if memory_format is None else torch.empty_like(result, memory_format=memory_format)


def _convolution(op: Any) -> Callable[..., torch.Tensor]:
    def kernel(x: torch.Tensor, weight: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
        result: torch.Tensor = op(x, weight, *args, **kwargs)
        if x.dim() == weight.dim():
            return _laid_out(result, _format_of(x, weight))
        return _laid_out(result.unsqueeze(0), _format_of(x.unsqueeze(0), weight)).squeeze(0)

    return kernel


def _as_operand(op: Any) -> Callable[..., torch.Tensor]:
    def kernel(x: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
        return _laid_out(op(x, *args, **kwargs), _format_of(x))

    return kernel


def _pad(x: torch.Tensor, pad: list[int], mode: str = "constant", value: float | None = None) -> torch.Tensor:
    result: torch.Tensor = torch.ops.aten.pad.default(x, pad, mode, value)
    return _laid_out(result, _format_of(x)) if mode in {"reflect", "replicate"} else result


def _lstsq(a: torch.Tensor, b: torch.Tensor, rcond: Any = None, *, driver: str | None = None) -> Any:
    del rcond
    batch, (rows, columns) = a.shape[:-2], a.shape[-2:]
    vector = b.dim() == a.dim() - 1
    solution = a.new_empty([*batch, columns] if vector else [*batch, columns, b.shape[-1]])
    rank = a.new_empty(batch if driver != "gels" else [0], dtype=torch.int64)
    singular = a.new_empty([*batch, min(rows, columns)] if driver in {"gelsd", "gelss"} else [0])
    return solution, a.new_empty([0]), rank, singular


def _like_first(x: torch.Tensor, *_: Any, **__: Any) -> torch.Tensor:
    return torch.empty_like(x)


def _like_second(_: torch.Tensor, x: torch.Tensor, *__: Any, **___: Any) -> torch.Tensor:
    """Gradient of the operand that follows the gradient of the result."""
    return torch.empty_like(x)


def _with_mask(x: torch.Tensor, *_: Any, **__: Any) -> Any:
    return torch.empty_like(x), torch.empty_like(x, dtype=torch.bool)


_CONVOLUTIONS = (
    *(f"conv{axes}d.{kind}" for axes in (2, 3) for kind in ("default", "padding")),
    *("conv_transpose2d.input", "conv_transpose3d.input"),
    *("convolution.default", "_convolution.default", "_convolution_mode.default"),
)
_AS_OPERAND = (
    *("group_norm.default", "roll.default", "reflection_pad2d.default", "replication_pad2d.default"),
    *("pixel_shuffle.default", "pixel_unshuffle.default", "channel_shuffle.default", "native_channel_shuffle.default"),
)


def _grouped_mm(
    left: torch.Tensor, right: torch.Tensor, offs: Any = None, bias: Any = None, out_dtype: Any = None
) -> Any:
    # torch's own meta kernel supports bfloat16 only; the rule is the same for every dtype.
    del bias
    dtype = out_dtype or left.dtype
    if left.dim() == 2 and right.dim() == 2:  # noqa: PLR2004 - ranks
        shape = [offs.shape[0], left.shape[0], right.shape[1]]
    elif left.dim() == 3 and right.dim() == 2:  # noqa: PLR2004
        shape = [left.shape[1], right.shape[1]]
    else:
        shape = [*left.shape[:-1], right.shape[-1]]
    return torch.empty(shape, dtype=dtype, device=left.device)


def _differ(length: Any, other: Any) -> bool:
    """Return whether two lengths are known to differ; symbolic ones are not compared, which would add a guard."""
    return type(length) is int and type(other) is int and length != other


def attention(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attn_mask: torch.Tensor | None = None,
    *_: Any,
    enable_gqa: bool = False,
    **__: Any,
) -> torch.Tensor:
    """Attention by a fused kernel: one row of values per row of queries.

    Raises:
        RuntimeError: Shapes of operands do not match, as in a real run.
    """
    if query.shape[-1] != key.shape[-1]:
        raise RuntimeError(f"attention needs queries {list(query.shape)} and keys {list(key.shape)} of equal width")
    others: list[Any] = [key.shape[:-2], value.shape[:-2]]
    if enable_gqa:  # several heads of queries share a head of keys
        others = [(*shape[:-1], query.shape[-3]) if query.shape[-3] % shape[-1] == 0 else shape for shape in others]
    batch = query.shape[:-2]
    if any(shape != batch for shape in others):
        batch = torch.broadcast_shapes(batch, *others)  # type: ignore[no-untyped-call]
    rows, columns = query.shape[-2], key.shape[-2]
    if _differ(columns, value.shape[-2]):
        raise RuntimeError(f"attention needs as many keys {list(key.shape)} as values {list(value.shape)}")
    if attn_mask is not None:
        scores = (*batch, rows, columns)
        masked = zip(reversed(attn_mask.shape), reversed(scores), strict=False)
        if attn_mask.dim() > len(scores) or any(m != 1 and _differ(m, n) for m, n in masked):
            raise RuntimeError(f"attention mask {list(attn_mask.shape)} does not broadcast to scores {list(scores)}")
    # Fused kernels return the layout of the query; torch's meta kernel is the unfused one, which does not.
    if batch == query.shape[:-2] and query.shape[-1] == value.shape[-1] and query.stride(-1) == 1:
        return torch.empty_like(query)
    return query.new_empty([*batch, query.shape[-2], value.shape[-1]])


_WITHOUT_META_KERNEL = (
    "_sample_dirichlet.default", "_dirichlet_grad.default", "_standard_gamma_grad.default", "binomial.default"
)  # fmt: skip
_GRADIENTS_WITHOUT_META_KERNEL = (
    *("_ctc_loss_backward.default", "_ctc_loss_backward.Tensor", "fractional_max_pool3d_backward.default"),
    *("multi_margin_loss_backward.default", "multilabel_margin_loss_backward.default"),
)


def _named(name: str) -> Any:
    base, overload = name.split(".")
    return getattr(getattr(torch.ops.aten, base), overload)


KERNELS: dict[str, Any] = {
    **{f"aten.{name}": _convolution(_named(name)) for name in _CONVOLUTIONS},
    **{f"aten.{name}": _as_operand(_named(name)) for name in _AS_OPERAND},
    "aten._grouped_mm.default": _grouped_mm,
    "aten.scaled_dot_product_attention.default": attention,
    "aten.pad.default": _pad,
    "aten.linalg_lstsq.default": _lstsq,
    **{f"aten.{name}": _like_first for name in _WITHOUT_META_KERNEL},
    **{f"aten.{name}": _like_second for name in _GRADIENTS_WITHOUT_META_KERNEL},
    "aten.fake_quantize_per_tensor_affine.default": _like_first,
    "aten.fake_quantize_per_tensor_affine.tensor_qparams": _like_first,
    "aten.fake_quantize_per_channel_affine.default": _like_first,
    "aten.fake_quantize_per_tensor_affine_cachemask.default": _with_mask,
    "aten._fake_quantize_per_tensor_affine_cachemask_tensor_qparams.default": _with_mask,
    "aten.fake_quantize_per_channel_affine_cachemask.default": _with_mask,
}
