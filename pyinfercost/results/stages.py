"""Result type: one stage of a pipeline."""

from __future__ import annotations

import re
from dataclasses import asdict
from typing import Any

from .._records import dataclass

LAYER = re.compile(r"(?:[^.0-9][^.]*\.)*\d+(?=\.|$)|.*")
"""Path of a module up to its first number, or all of it: what stages are named by."""


@dataclass(frozen=True)
class StageEstimate:
    """One stage of a pipeline, on each of its devices.

    Attributes:
        modules: Layers and other modules of the stage, in order: paths up to their first number.
        latency_s: Seconds of one micro-batch, with what the stage sends.
        busy_s: Seconds of all micro-batches of the batch.
        weight_bytes: Weights and buffers.
        kv_cache_bytes: Keys, values and states of all micro-batches; None for a model without a KV cache.
        memory_bytes: Peak memory, with the caches of all micro-batches.
        sent_bytes: Bytes that a device sends to the next stage, of one micro-batch; 0 for the last one.
    """

    modules: tuple[str, ...]
    latency_s: float
    busy_s: float
    weight_bytes: int
    kv_cache_bytes: int | None
    memory_bytes: int
    sent_bytes: int

    def to_dict(self) -> dict[str, Any]:
        """Return the attributes as JSON values."""
        return {**asdict(self), "modules": list(self.modules)}
