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
