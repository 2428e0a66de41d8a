"""Recurrent layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..op import CONTRIB, Op, Result, handles
from ..stored import OnnxError
from ..values import Value

_NAMES = {"LSTM": ("lstm", 4), "GRU": ("gru", 3), "RNN": ("rnn_tanh", 1)}
_RANK = 3


@handles(*_NAMES)
def recurrent(op: Op) -> Sequence[Result]:
    return layer(op, op.type)


def layer(op: Op, kind: str) -> Sequence[Result]:
    """Emit one layer, with one node of weights [directions, gates * hidden, inputs]."""
    x, weight, state = op[0], op[1], op[2]
    name, gates = _NAMES[kind]
    if x.rank != _RANK or weight.rank != _RANK or state.rank != _RANK:
        raise OnnxError("has operands of other than 3 dimensions")
    directions = weight.shape[0]
    if not isinstance(directions, int) or directions not in (1, 2):
        raise OnnxError(f"has weights for {directions} directions; expected 1 or 2")
    hidden = op.integer("hidden_size") or state.shape[-1]
    batch_first = bool(op.integer("layout"))
    steps, batch = (x.shape[1], x.shape[0]) if batch_first else x.shape[:2]
    if kind == "RNN" and (op.texts("activations") or ["Tanh"])[0] == "Relu":
        name = "rnn_relu"
    # The core counts a pair of matrices for each direction: both are views of the stored ones.
    params: list[Any] = []
    bias = op.get(3)
    for direction in range(directions):
        parts = [(weight, [gates * hidden, x.shape[-1]]), (state, [gates * hidden, hidden])]
        if bias is not None:
            parts.append((bias, [2 * gates * hidden]))
        for stored, shape in parts:
            if stored.is_weight:
                op.walker.emitter.tensor(stored, role="parameter")
            if directions == 1 and stored.rank == len(shape):
                params.append(stored)
                continue
            select = {"self": stored, "dim": 0, "index": direction}
            params.append(op.emit("aten.select.int", select, Value(stored.dtype, shape)))
    last = [batch, directions, hidden] if batch_first else [directions, batch, hidden]
    first: list[Any] = []
    for place in (5, 6) if kind == "LSTM" else (5,):
        state_before = op.get(place)
        if state_before is None:
            state_before = op.inner("aten.zeros.default", {"size": last}, x.dtype, last)
        first.append(state_before)
    arguments: dict[str, Any] = {
        "input": x,
        "params": params,
        "hx": first if kind == "LSTM" else first[0],
        "num_layers": 1,
        "bidirectional": directions == 2,
        "batch_first": batch_first,
    }
    y = [batch, steps, directions, hidden] if batch_first else [steps, directions, batch, hidden]
    results = [op.result(x.dtype, y), op.result(x.dtype, last, place=1)]
    if kind == "LSTM":
        results.append(op.result(x.dtype, last, place=2))
    op.emit(f"aten.{name}.input", arguments, *results)
    return list(results[: max(1, len(op.output_names))])


@handles("DynamicQuantizeLSTM", domain=CONTRIB)
def quantized_lstm(op: Op) -> Sequence[Result]:
    x, weight, state = op[0], op[1], op[2]
    directions, hidden = weight.shape[0], op.integer("hidden_size") or 1
    if not isinstance(directions, int) or directions not in (1, 2):
        raise OnnxError(f"has weights for {directions} directions; expected 1 or 2")
    params: list[Any] = []
    for direction in range(directions):
        for stored, width in ((weight, x.shape[-1]), (state, hidden)):
            emitter = op.walker.emitter
            tensor = emitter.tensor(stored, role="parameter") if stored.is_weight else emitter.tensor(stored)
            part = Value(stored.dtype, [4 * hidden, width])
            op.emit("aten.select.int", {"self": tensor, "dim": 0, "index": direction}, part)
            params.append(part)
    arguments = {"input": x, "params": params, "num_layers": 1, "bidirectional": directions == 2}
    results = [op.result(x.dtype, [x.shape[0], directions, x.shape[1], hidden])]
    results += [op.result(x.dtype, [directions, x.shape[1], hidden], place=place) for place in (1, 2)]
    op.emit("aten.quantized_lstm.input", arguments, *results)
    return list(results[: max(1, len(op.output_names))])
