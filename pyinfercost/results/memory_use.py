"""Memory that a language model takes on a machine, and the rest."""

from __future__ import annotations

from .declared import Part, declared, fact


@declared
class MemoryUse(Part):
    """Memory of one device at the peak of a forward, in bytes, and the sequences that it could hold."""

    weight_bytes: int = fact("Weights and buffers.")
    kv_cache_bytes: int = fact("Keys, values and states after the forward.")
    activation_bytes: int = fact("All else at the peak: activations, workspaces and inputs.")
    machine_memory_bytes: int | None = fact(
        "Memory of the machine; None, like the next five, if its owner chooses the size."
    )
    fits: bool | None = fact(
        "Whether the weights and the sequences of the forward fit: with a serving engine on a GPU, in its pool."
    )
    left_bytes: int | None = fact("Rest of the memory; below 0 if it does not suffice.")
    reserved_bytes: int | None = fact(
        "Reserve of the engine in addition to weights: activations, its sampler, recorded graphs, and the share "
        "of the memory that it leaves free."
    )
    pool_bytes: int | None = fact("What remains for caches.")
    max_sequences: int | None = fact("Sequences of as many tokens whose caches fit in the pool.")
    tokens: int | None = fact("Tokens of each of these sequences; None if all layers have states.")
    most_tokens: int | None = fact(
        "Tokens of the longest sequence that fits in the pool alone; None if caches do not grow."
    )
