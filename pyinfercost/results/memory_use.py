"""What a language model takes of a machine's memory, and what is left of it."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from .._records import dataclass


@dataclass(frozen=True)
class MemoryUse:
    """Memory of one device at the peak of a forward, in bytes, and the sequences that it could hold.

    Attributes:
        weight_bytes: Weights and buffers.
        kv_cache_bytes: Keys, values and states after the forward.
        activation_bytes: All else at the peak: activations, workspaces and inputs.
        machine_memory_bytes: Memory of the machine; None, like the next five, if its owner chooses the size.
        fits: Whether the weights and the sequences of the forward fit: with a serving engine on a GPU, in its pool.
        left_bytes: What is left of it; below 0 if it does not suffice.
        reserved_bytes: What the engine keeps from caches beside weights: activations, its sampler, recorded graphs,
            and the share of the memory that it leaves free.
        pool_bytes: What remains for caches.
        max_sequences: Sequences of as many tokens whose caches fit in the pool.
        tokens: Tokens of each of these sequences; None if all layers have states.
        most_tokens: Tokens of the longest sequence that fits in the pool alone; None if caches do not grow.
    """

    weight_bytes: int
    kv_cache_bytes: int
    activation_bytes: int
    machine_memory_bytes: int | None
    fits: bool | None
    left_bytes: int | None
    reserved_bytes: int | None
    pool_bytes: int | None
    max_sequences: int | None
    tokens: int | None
    most_tokens: int | None

    def to_dict(self) -> dict[str, Any]:
        """Return the attributes as JSON values."""
        return asdict(self)
