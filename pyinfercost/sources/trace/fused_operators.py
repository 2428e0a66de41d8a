"""Operators with fused kernels on accelerators, kept whole while a training step is captured.

In grad mode, torch decomposes them on meta tensors before a dispatch mode sees them. Kernels registered here prevent
that until the last capture ends.
"""

from __future__ import annotations

import contextlib
from typing import Any

import torch

from ..torch_state import SharedChange


def _attention(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attn_mask: torch.Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    *,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Any:
    cuda: Any = torch.backends.cuda
    if not (cuda.flash_sdp_enabled() or cuda.mem_efficient_sdp_enabled() or cuda.cudnn_sdp_enabled()):
        return torch.ops.aten.scaled_dot_product_attention.default._op_dk(
            _COMPOSITE, query, key, value, attn_mask, dropout_p, is_causal, scale=scale, enable_gqa=enable_gqa
        )
    return torch.ops.aten._scaled_dot_product_fused_attention_overrideable.default(
        query, key, value, attn_mask, dropout_p, is_causal, False, scale=scale
    )[0]


def _dropout(input: torch.Tensor, p: float, train: bool) -> Any:
    if not train or p == 0:
        return input  # torch's Python decompositions would copy it
    if p < 1:
        return torch.ops.aten.native_dropout.default(input, p, train)[0]
    return torch.ops.aten.dropout.default._op_dk(_COMPOSITE, input, p, train)


class _RmsNorm(torch.autograd.Function):
    """The fused kernel with its gradient, which torch lacks on meta tensors."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, shape: Any, weight: torch.Tensor | None, eps: float | None) -> Any:
        ctx.shape = shape
        result, rstd = torch.ops.aten._fused_rms_norm.default(x, shape, weight, eps)
        ctx.save_for_backward(x, rstd, weight)
        return result

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> Any:
        x, rstd, weight = ctx.saved_tensors
        mask = [ctx.needs_input_grad[0], ctx.needs_input_grad[2]]
        of_x, of_weight = torch.ops.aten._fused_rms_norm_backward.default(grad, x, ctx.shape, rstd, weight, mask)
        return of_x, None, of_weight, None


def _rms_norm(
    input: torch.Tensor, normalized_shape: Any, weight: torch.Tensor | None = None, eps: float | None = None
) -> Any:
    if weight is not None and weight.dtype != input.dtype:
        return torch.ops.aten.rms_norm.default._op_dk(_COMPOSITE, input, normalized_shape, weight, eps)
    return _RmsNorm.apply(input, normalized_shape, weight, eps)  # type: ignore[no-untyped-call]


def _first_derivative(op: Any) -> Any:
    """Return a backward kernel that torch decomposes if the gradient of a gradient may be needed."""

    def kernel(grad_output: torch.Tensor, self: torch.Tensor) -> Any:
        if torch.is_grad_enabled():
            return op._op_dk(_COMPOSITE, grad_output, self)
        with torch._C._AutoDispatchBelowAutograd():
            return op(grad_output, self)

    return kernel


def _lstm(
    input: torch.Tensor,
    hx: list[torch.Tensor],
    params: list[torch.Tensor],
    has_biases: bool,
    num_layers: int,
    dropout: float,
    train: bool,
    bidirectional: bool,
    batch_first: bool,
) -> Any:
    """Run the layers of an LSTM as oneDNN does, each direction as one kernel. It has none with a projection."""
    hidden, cells = hx
    plain = hidden.shape[-1] == cells.shape[-1] and input.dtype is torch.float32
    if not (plain and torch._C._get_mkldnn_enabled()):
        return torch.ops.aten.lstm.input._op_dk(
            _COMPOSITE, input, hx, params, has_biases, num_layers, dropout, train, bidirectional, batch_first
        )
    x = (input.transpose(0, 1) if batch_first else input).contiguous()
    directions, each = 2 if bidirectional else 1, 4 if has_biases else 2
    states: list[tuple[torch.Tensor, torch.Tensor]] = []
    for layer in range(num_layers):
        results = []
        for direction in range(directions):
            at = layer * directions + direction
            weights = list(params[at * each : (at + 1) * each])
            weights += [weights[0].new_zeros(weights[0].shape[0]) for _ in range(4 - each)]
            result, *state, _ = torch.ops.aten.mkldnn_rnn_layer.default(
                x, *weights, hidden[at], cells[at], direction > 0, [], _LSTM_MODE, hidden.shape[-1], num_layers,
                has_biases, bidirectional, batch_first, train,
            )  # fmt: skip
            results.append(result)
            states.append((state[0], state[1]))
        x = results[0] if directions == 1 else torch.cat(results, -1)
        if dropout and train and layer < num_layers - 1:
            x = torch.dropout(x, dropout, train)
    last = [torch.stack([state[i].reshape(hidden.shape[1:]) for state in states]) for i in range(2)]
    return (x.transpose(0, 1) if batch_first else x), last[0], last[1]


_LSTM_MODE = 2
_COMPOSITE = torch._C.DispatchKey.CompositeImplicitAutograd  # torch's own decomposition of an operator
_FUSED = {
    "scaled_dot_product_attention": _attention,
    "dropout": _dropout,
    "rms_norm": _rms_norm,
    "lstm.input": _lstm,
    "silu_backward": _first_derivative(torch.ops.aten.silu_backward.default),
    "mish_backward": _first_derivative(torch.ops.aten.mish_backward.default),
}
_library: list[Any] = []


def fused_operators() -> contextlib.AbstractContextManager[None]:
    """Keep fused operators whole on meta tensors while any capture of a training step runs."""
    return _WHOLE.needed()


def _register() -> None:
    _library.append(torch.library.Library("aten", "IMPL"))  # type: ignore[no-untyped-call]
    for name, kernel in _FUSED.items():
        _library[0].impl(name, kernel, "AutogradMeta")
    _look_up_anew()


def _forget() -> None:
    _library.pop()._destroy()
    _look_up_anew()


def _look_up_anew() -> None:
    """Clear the kernel cache of torch's Python dispatcher, which may hold kernels from before the registration."""
    for name in _FUSED:
        op, _, overload = name.partition(".")
        getattr(getattr(torch.ops.aten, op), overload or "default")._dispatch_cache.clear()


_WHOLE = SharedChange(_register, _forget)
