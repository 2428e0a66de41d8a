"""Shapes of results of recurrent layers. On meta tensors, torch's own kernels would decompose every time step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch


def _sequence(x: torch.Tensor, state: torch.Tensor, bidirectional: bool, batch_first: bool) -> torch.Tensor:
    width = state.shape[-1] * (2 if bidirectional else 1)
    if not batch_first:
        return x.new_empty([*x.shape[:-1], width])
    # Kernels compute with time first; the result is a view of that.
    return x.new_empty([x.shape[1], x.shape[0], width]).transpose(0, 1)


def _lstm(
    x: torch.Tensor,
    hx: list[torch.Tensor],
    params: Any,
    biases: bool,
    layers: int,
    dropout: float,
    *flags: bool,
    **_: Any,
) -> Any:
    del params, biases, layers, dropout
    return (_sequence(x, hx[0], flags[1], flags[2]), hx[0].new_empty(hx[0].shape), hx[1].new_empty(hx[1].shape))


def _one_state(
    x: torch.Tensor, hx: torch.Tensor, params: Any, biases: bool, layers: int, dropout: float, *flags: bool
) -> Any:
    del params, biases, layers, dropout
    return _sequence(x, hx, flags[1], flags[2]), hx.new_empty(hx.shape)


_LINE, _ALIASED = 16, 256


def _padded_row(length: Any) -> Any:
    """Return the length of a row in oneDNN's buffers: whole cache lines, one more where rows would share cache sets."""
    lines = -(-length // _LINE) * _LINE
    return lines + _LINE if type(lines) is int and lines % _ALIASED == 0 else lines


def _library_layer(
    x: torch.Tensor, w: torch.Tensor, state_w: torch.Tensor, b: Any, c: Any, hx: torch.Tensor, cx: Any, *flags: Any
) -> Any:
    """One direction of an LSTM layer in oneDNN, with the tensors saved for backward.

    Found from records of torch's allocator: per step the gates and eleven rows of the state (with its cells and their
    gradients), and ten more rows at the ends.
    """
    del b, c, cx
    steps, batch, width = x.shape
    units = state_w.shape[1]
    row = _padded_row(units) if type(width) is int and width <= units else _padded_row(width)
    elements = batch * ((11 * steps + 10) * row + steps * _padded_row(w.shape[0]))
    train = flags[-1]
    saved = x.new_empty([elements * x.element_size() if train else 0], dtype=torch.uint8)
    return x.new_empty([steps, batch, units]), torch.empty_like(hx), torch.empty_like(hx), saved


def _library_layer_backward(
    x: torch.Tensor, w: torch.Tensor, state_w: torch.Tensor, b: torch.Tensor, c: torch.Tensor, hx: torch.Tensor, *_: Any
) -> Any:
    return tuple(torch.empty_like(t) for t in (x, w, state_w, b, b, hx, hx))


def _of_packed(kernel: Callable[..., Any]) -> Callable[..., Any]:
    """Return the kernel for packed sequences, whose data has one row per sequence and time step."""

    def run(data: torch.Tensor, batch_sizes: torch.Tensor, *args: Any) -> Any:
        del batch_sizes
        return kernel(data, *args, False)  # packed data has no batch dimension

    return run


def _lstm_cell(x: torch.Tensor, hx: list[torch.Tensor], *_: Any) -> Any:
    return hx[0].new_empty(hx[0].shape), hx[1].new_empty(hx[1].shape)


def _cell(x: torch.Tensor, hx: torch.Tensor, *_: Any) -> Any:
    return hx.new_empty(hx.shape)

    # The flags are: train, bidirectional, batch_first.


KERNELS: dict[str, Any] = {
    "aten.lstm.input": _lstm,
    "aten.mkldnn_rnn_layer.default": _library_layer,
    "aten.mkldnn_rnn_layer_backward.default": _library_layer_backward,
    "aten.lstm.data": _of_packed(_lstm),
    "aten.gru.data": _of_packed(_one_state),
    "aten.rnn_tanh.data": _of_packed(_one_state),
    "aten.rnn_relu.data": _of_packed(_one_state),
    "aten.gru.input": _one_state,
    "aten.rnn_tanh.input": _one_state,
    "aten.rnn_relu.input": _one_state,
    "aten.quantized_lstm.input": _lstm,
    "aten.quantized_gru.input": _one_state,
    "quantized.quantized_lstm_cell_dynamic.default": _lstm_cell,
    "quantized.quantized_gru_cell_dynamic.default": _cell,
    "quantized.quantized_rnn_tanh_cell_dynamic.default": _cell,
    "quantized.quantized_rnn_relu_cell_dynamic.default": _cell,
}
