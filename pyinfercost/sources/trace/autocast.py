"""Switching autocast off for the device of a tensor, which torch refuses for meta tensors."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any


@contextlib.contextmanager
def autocast_of_meta_tensors() -> Iterator[None]:
    """Lets `with torch.autocast(x.device.type, enabled=False)` run where `x` is on meta.

    Rotary embeddings are written so, and torch has no autocast of that device to switch off. A region that switches
    it on stays refused: its casts would not be recorded. One for float32 is switched off by torch itself.
    """
    import torch

    original = torch.autocast.__init__

    def for_meta(
        self: Any, device_type: str, dtype: Any = None, enabled: bool = True, cache_enabled: Any = None
    ) -> None:
        if device_type == "meta" and (not enabled or dtype is torch.float32):
            device_type, enabled = "cpu", False
        original(self, device_type, dtype, enabled, cache_enabled)

    torch.autocast.__init__ = for_meta  # type: ignore[method-assign]
    try:
        yield
    finally:
        torch.autocast.__init__ = original  # type: ignore[method-assign]
