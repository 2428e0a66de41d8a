"""Attention on jagged nested tensors, sequence by sequence."""

from __future__ import annotations

import warnings
from typing import Any

import torch


def jagged_attention(query: Any, key: Any, value: Any, mask: Any = None, *settings: Any, **named: Any) -> Any:
    """Return attention on jagged nested tensors `[batch, heads, lengths, width]`, as one attention per sequence.

    Torch chooses between kernels by the device of the tensors, and has none for the meta device.
    """
    from torch.nested._internal import nested_tensor, sdpa

    if query._ragged_idx == 1:  # batches of many lengths, whose sequences are equally long: dense attention
        of_torch: Any = sdpa.jagged_scaled_dot_product_attention
        return of_torch(query, key, value, mask, *settings, **named)
    warnings.warn(
        f"attention on a nested tensor of {query.size(0)} sequences is counted as one kernel per sequence; GPUs have "
        "one kernel for all of them, with less overhead of launches",
        UserWarning,
        stacklevel=2,
    )
    attention: Any = torch.nn.functional.scaled_dot_product_attention
    sequences = zip(*(_sequences(tensor) for tensor in (query, key, value)), strict=True)
    rows = torch.cat([attention(*operands, mask, *settings, **named).transpose(0, 1) for operands in sequences])
    nested: Any = nested_tensor.nested_view_from_values_offsets_lengths
    return nested(rows, query.offsets(), query.lengths()).transpose(1, 2)


def _sequences(tensor: Any) -> list[torch.Tensor]:
    """Return the sequences of a nested tensor, `[heads, length, width]` each, as views of its values."""
    starts, lengths = tensor.offsets()[:-1].tolist(), tensor.lengths()
    lengths = tensor.offsets().diff().tolist() if lengths is None else lengths.tolist()
    along = tensor._ragged_idx - 1
    return [tensor.values().narrow(along, *part) for part in zip(starts, lengths, strict=True)]
