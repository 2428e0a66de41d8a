"""Shapes of results of quantized operators, which torch runs on real data only, without meta kernels.

A quantized tensor in a capture is a `QuantizedMeta`, because the meta device cannot create one with strides. Operators
that also exist for floats give quantized results the same shape and layout, so they run on float twins. Operators that
exist for quantized tensors only have a rule here, after the kernels in `aten/src/ATen/native/quantized/cpu`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

from ...errors import UnsupportedError
from ..tensors.packed_weights import PackedWeight


class QuantizedMeta(torch.Tensor):
    """A quantized tensor without data: quantized dtype, shape, strides."""

    @staticmethod
    def __new__(cls, shape: Sequence[Any], strides: Sequence[Any], dtype: torch.dtype) -> QuantizedMeta:
        make: Any = torch.Tensor._make_wrapper_subclass
        made: QuantizedMeta = make(cls, shape, strides=strides, dtype=dtype, device="meta")
        return made

    @property
    def data(self) -> QuantizedMeta:  # type: ignore[override]
        """Another tensor with the same metadata."""
        return QuantizedMeta(self.shape, self.stride(), self.dtype)

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:  # type: ignore[override]
        raise UnsupportedError(f"{func} on a quantized tensor outside of a capture")


def run(kernel: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Run a kernel on float twins of the quantized operands; float results become quantized like the first operand."""
    first: list[QuantizedMeta] = []

    def twin(value: Any) -> Any:
        if isinstance(value, QuantizedMeta):
            first.append(value)
            return _float_twin(value)
        return type(value)(twin(v) for v in value) if isinstance(value, list | tuple) else value

    def quantized(value: Any) -> Any:
        if isinstance(value, torch.Tensor):
            return _like(value, first[0].dtype) if value.dtype is torch.float32 else value
        return type(value)(quantized(v) for v in value) if isinstance(value, list | tuple) else value

    return quantized(kernel(*[twin(a) for a in args], **{name: twin(v) for name, v in kwargs.items()}))


def _float_twin(x: torch.Tensor) -> torch.Tensor:
    return torch.empty_strided(x.shape, x.stride(), dtype=torch.float32, device="meta")


def _like(x: torch.Tensor, dtype: torch.dtype) -> QuantizedMeta:
    return QuantizedMeta(x.shape, x.stride(), dtype)


def _suggested(x: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """Return a float tensor in the memory format suggested by the operand, without its other strides."""
    memory_format = torch.contiguous_format
    for rank, candidate in ((4, torch.channels_last), (5, torch.channels_last_3d)):
        if x.dim() == rank and x.is_contiguous(memory_format=candidate) and not x.is_contiguous():
            memory_format = candidate
    return torch.empty(x.shape, dtype=dtype, device="meta", memory_format=memory_format)


# ---- to and from floats ----------------------------------------------------------------------------------------------


def _quantize_per_tensor(x: Any, scale: Any, zero_point: Any, dtype: torch.dtype) -> Any:
    del scale, zero_point
    if isinstance(x, list | tuple):
        return [_like(_suggested(item, torch.float32), dtype) for item in x]
    return _like(_suggested(x, torch.float32), dtype)


def _quantize_per_channel(x: torch.Tensor, scales: Any, zero_points: Any, axis: int, dtype: torch.dtype) -> Any:
    del scales, zero_points, axis
    return _like(_suggested(x, torch.float32), dtype)


def _quantize_dynamic(x: torch.Tensor, dtype: torch.dtype, reduce_range: bool) -> Any:
    del reduce_range
    return _like(_suggested(x, torch.float32), dtype)


def _dequantize(x: Any) -> Any:
    if isinstance(x, list | tuple):
        return [_dequantize(item) for item in x]
    return _suggested(x, torch.float32) if x.is_quantized else x.to(torch.float32)


_UNDERLYING = {
    torch.quint8: torch.uint8,
    torch.qint8: torch.int8,
    torch.qint32: torch.int32,
    torch.quint4x2: torch.uint8,
    torch.quint2x4: torch.uint8,
}


def _int_repr(x: torch.Tensor) -> Any:
    return _suggested(x, _UNDERLYING[x.dtype])


# ---- products --------------------------------------------------------------------------------------------------------


def _linear(x: torch.Tensor, packed: PackedWeight, *_: Any, **__: Any) -> Any:
    shape = [*x.shape[:-1], packed.weight.shape[0]]
    result = torch.empty(shape, dtype=torch.float32, device="meta")
    return _like(result, x.dtype) if x.is_quantized else result


def _linear_to_float(x: torch.Tensor, scale: float, zero_point: int, packed: PackedWeight) -> Any:
    del scale, zero_point
    return _linear(x, packed)


def _convolution(x: torch.Tensor, packed: PackedWeight, *_: Any, **__: Any) -> Any:
    settings = packed.settings
    spatial = x.dim() - 2
    # One-dimensional convolutions run as two-dimensional ones of height 1.
    one = spatial == 1
    image = _float_twin(x).unsqueeze(2) if one else _float_twin(x)
    channels_last = torch.channels_last_3d if image.dim() == 5 else torch.channels_last  # noqa: PLR2004
    weight = torch.empty(packed.weight.shape, device="meta")
    if one and weight.dim() == 3:  # noqa: PLR2004
        weight = weight.unsqueeze(2)

    def axes(name: str, unit: int) -> list[int]:
        values: list[int] = settings[name]
        return values if len(values) == image.dim() - 2 else [unit, *values]

    result = torch.ops.aten.convolution(
        image.contiguous(memory_format=channels_last),
        weight.contiguous(memory_format=channels_last),
        None,
        axes("stride", 1),
        axes("padding", 0),
        axes("dilation", 1),
        settings["transposed"],
        axes("output_padding", 0),
        settings["groups"],
    ).contiguous(memory_format=channels_last)
    result = result.squeeze(2) if one else result
    return _like(result, x.dtype) if x.is_quantized else result


def _convolution_add(x: torch.Tensor, accumulated: torch.Tensor, packed: PackedWeight, *_: Any, **__: Any) -> Any:
    del accumulated
    return _convolution(x, packed)


def _matmul(a: torch.Tensor, b: torch.Tensor, scale: float, zero_point: int) -> Any:
    del scale, zero_point
    return _like(torch.matmul(_float_twin(a), _float_twin(b)), a.dtype)


def _int4_packed(x: torch.Tensor, weight: torch.Tensor, *_: Any) -> Any:
    # A weight packed for tensor cores has tiles of 8 rows, otherwise rows. torch has a kernel for fake tensors only.
    return x.new_empty([x.shape[0], weight.shape[0] * (8 if weight.dim() == 4 else 1)])  # noqa: PLR2004


# ---- elementwise -----------------------------------------------------------------------------------------------------


def _same(x: torch.Tensor, *_: Any, **__: Any) -> Any:
    return _like(_suggested(x, torch.float32), x.dtype)


def _broadcast(a: Any, b: Any, *_: Any) -> Any:
    first = a if isinstance(a, QuantizedMeta) else b
    twins = [_float_twin(v) if isinstance(v, torch.Tensor) else v for v in (a, b)]
    return _like(twins[0] + twins[1], first.dtype)


def _cat(tensors: list[torch.Tensor], dim: int, *_: Any) -> Any:
    return _like(torch.cat([_float_twin(t) for t in tensors], dim), tensors[0].dtype)


def _pool(axes: int) -> Callable[..., Any]:
    pool = {1: torch.nn.functional.max_pool1d, 2: torch.nn.functional.max_pool2d}[axes]

    def kernel(x: torch.Tensor, size: Any, stride: Any, padding: Any, dilation: Any, ceil_mode: bool) -> Any:
        return _like(pool(_float_twin(x), size, stride or size, padding, dilation, ceil_mode), x.dtype)

    return kernel


# ---- table lookups ---------------------------------------------------------------------------------------------------


def _embedding(packed: PackedWeight, indices: torch.Tensor, *_: Any, **__: Any) -> Any:
    return torch.empty([*indices.shape, packed.weight.shape[1]], device="meta")


def _embedding_bag(
    packed: PackedWeight,
    indices: torch.Tensor,
    offsets: torch.Tensor | None = None,
    scale_grad_by_freq: bool = False,
    mode: int = 0,
    pruned_weights: bool = False,
    per_sample_weights: torch.Tensor | None = None,
    compressed_indices_mapping: torch.Tensor | None = None,
    include_last_offset: bool = False,
) -> Any:
    del scale_grad_by_freq, mode, pruned_weights, per_sample_weights, compressed_indices_mapping
    bags = indices.shape[0] if offsets is None else offsets.shape[0] - (1 if include_last_offset else 0)
    return torch.empty([bags, packed.weight.shape[1]], device="meta")


# torchao's operators have rows for exported programs; in eager execution they are decomposed into their calls.
TAKEN_APART = frozenset(
    f"torchao.{name}.default" for name in ("quantize_affine", "choose_qparams_affine", "dequantize_affine")
)

KERNELS: dict[str, Any] = {
    "aten.quantize_per_tensor.default": _quantize_per_tensor,
    "aten.quantize_per_tensor.tensor_qparams": _quantize_per_tensor,
    "aten.quantize_per_tensor.tensors": _quantize_per_tensor,
    "aten.quantize_per_channel.default": _quantize_per_channel,
    "aten.quantize_per_tensor_dynamic.default": _quantize_dynamic,
    "aten.dequantize.self": _dequantize,
    "aten.dequantize.tensors": _dequantize,
    "aten.int_repr.default": _int_repr,
    "quantized.linear_with_input_q_dq_qweight_dq_output_fp32.default": _linear_to_float,
    "quantized.linear_with_input_q_dq_qweight_dq_relu_output_fp32.default": _linear_to_float,
    "aten._weight_int4pack_mm.default": _int4_packed,
    "quantized.matmul.default": _matmul,
    "quantized.conv2d_add.default": _convolution_add,
    "quantized.conv2d_add_relu.default": _convolution_add,
    "quantized.cat.default": _cat,
    "quantized.cat_relu.default": _cat,
    "quantized.max_pool1d.default": _pool(1),
    "quantized.max_pool2d.default": _pool(2),
    "quantized.embedding_byte.default": _embedding,
    "quantized.embedding_4bit.default": _embedding,
    "quantized.embedding_bag_byte.default": _embedding_bag,
    "quantized.embedding_bag_4bit.default": _embedding_bag,
    **{
        f"quantized.linear{name}.default": _linear
        for name in (
            "",
            "_relu",
            "_leaky_relu",
            "_tanh",
            "_dynamic",
            "_relu_dynamic",
            "_dynamic_fp16",
            "_relu_dynamic_fp16",
        )
    },
    **{
        f"quantized.{kind}{axes}d{then}.{overload}": _convolution
        for kind, then in (
            ("conv", ""),
            ("conv", "_relu"),
            ("conv", "_dynamic"),
            ("conv_transpose", ""),
            ("conv_transpose", "_dynamic"),
        )
        for axes in (1, 2, 3)
        for overload in ("default", "new")
    },
    **{
        f"quantized.{name}.{overload}": _broadcast
        for name in ("add", "add_relu", "mul", "mul_relu")
        for overload in ("default", "Scalar", "Scalar2")
    },
    **{
        f"quantized.{name}.{overload}": _same
        for name in ("add_scalar", "add_scalar_relu", "mul_scalar", "mul_scalar_relu")
        for overload in ("default", "Tensor")
    },
    **{
        f"quantized.{name}.default": _same
        for name in (
            "batch_norm",
            "batch_norm1d",
            "batch_norm1d_relu",
            "batch_norm2d",
            "batch_norm2d_relu",
            "batch_norm3d",
            "batch_norm3d_relu",
            "batch_norm_relu",
            "celu",
            "dropout",
            "elu",
            "group_norm",
            "hardswish",
            "instance_norm",
            "layer_norm",
            "leaky_relu",
            "prelu",
            "relu6",
            "sigmoid",
            "softmax",
            "threshold",
        )
    },
}
