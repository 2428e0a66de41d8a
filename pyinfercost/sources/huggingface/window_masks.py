"""Masks of layers with a window, in captures with open lengths.

Transformers leaves out the mask of a window that is longer than all keys, in eager mode: its attention is then causal
without one. A capture at an open length is therefore valid on one side of the window. Programs that transformers
exports have the mask at all lengths, and so has a capture across windows.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from ..torch_state import SharedChange

_MODULE, _DECISION = "transformers.masking_utils", "_ignore_causal_mask_sdpa"

_at_all_lengths: ContextVar[bool] = ContextVar("masks_at_all_lengths", default=False)
_own: list[Any] = []


def _make() -> None:
    module = sys.modules[_MODULE]
    decide = getattr(module, _DECISION)
    _own.append(decide)

    def decided(
        padding_mask: Any,
        q_length: Any,
        kv_length: Any,
        q_offset: Any,
        kv_offset: Any,
        local_attention_size: Any = None,
    ) -> Any:
        if _at_all_lengths.get() and local_attention_size is not None and not isinstance(kv_length, int):
            return False
        return decide(padding_mask, q_length, kv_length, q_offset, kv_offset, local_attention_size)

    setattr(module, _DECISION, decided)


_DECIDING = SharedChange(_make, lambda: setattr(sys.modules[_MODULE], _DECISION, _own.pop()))


@contextmanager
def masks_at_all_lengths() -> Iterator[None]:
    """Make the masks of windows within the context, also where an open length may be shorter than the window."""
    if not hasattr(sys.modules.get(_MODULE), _DECISION):  # another version: the capture is valid on one side
        yield
        return
    token = _at_all_lengths.set(True)
    try:
        with _DECIDING.needed():
            yield
    finally:
        _at_all_lengths.reset(token)
