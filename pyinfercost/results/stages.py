"""Result type: one stage of a pipeline."""

from __future__ import annotations

import re

from .declared import Part, declared, fact

LAYER = re.compile(r"(?:[^.0-9][^.]*\.)*\d+(?=\.|$)|.*")
"""Path of a module up to its first number, or all of it: what stages are named by."""


@declared
class StageEstimate(Part):
    """One stage of a pipeline, on each of its devices."""

    modules: tuple[str, ...] = fact("Layers and other modules of the stage, in order: paths up to their first number.")
    latency_s: float = fact("Seconds of one micro-batch, with what the stage sends.")
    busy_s: float = fact("Seconds of all micro-batches of the batch.")
    weight_bytes: int = fact("Weights and buffers.")
    kv_cache_bytes: int | None = fact(
        "Keys, values and states of all micro-batches; None for a model without a KV cache."
    )
    memory_bytes: int = fact("Peak memory, with the caches of all micro-batches.")
    sent_bytes: int = fact("Bytes that a device sends to the next stage, of one micro-batch; 0 for the last one.")
