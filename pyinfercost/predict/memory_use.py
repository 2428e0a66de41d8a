"""Memory of a language model on one device: weights, caches, activations, and the sequences that an engine can hold."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import isfinite
from types import MappingProxyType
from typing import TYPE_CHECKING

from ..results.memory_use import MemoryUse
from .kv_cache import kv_cache_of
from .plans import boundary_of, value_of

if TYPE_CHECKING:
    from .._core import Graph, Hardware
    from ..deployment import Deployment
    from ..results.kv_cache import KVCache

_MIB = 2**20
_GIB = 2**30
_EVERYTHING = "torch"


@dataclass(frozen=True)
class Prompt:
    """A prefill, as far as memory is concerned.

    Attributes:
        activation_bytes: Activations and workspaces at its peak, without the caches that it fills.
        sequences: Number of its prompts.
        tokens: Number of their tokens.
    """

    activation_bytes: float
    sequences: int
    tokens: int


@dataclass(frozen=True)
class Demand:
    """What an engine's share of the memory for caches depends on.

    Attributes:
        machine: The machine.
        weight_bytes: Weights and buffers.
        sequence_bytes: Cache of a sequence.
        step_bytes: Activations of a decode step, per sequence.
        prompt: The largest prefill; None if it is unknown.
        vocabulary: Number of logits of a token.
    """

    machine: Hardware
    weight_bytes: int
    sequence_bytes: int
    step_bytes: float
    prompt: Prompt | None
    vocabulary: int

    def prompt_bytes(self, most_tokens: int) -> float:
        """Return the activations of a prefill that is computed in chunks."""
        if self.prompt is None or not self.prompt.tokens:
            return 0.0
        return self.prompt.activation_bytes * min(1.0, most_tokens / self.prompt.tokens)


def _plain_pool(demand: Demand) -> float:
    """Return the pool of a program that fills the memory with sequences.

    One prompt at a time is read; in a decode step the activations of all sequences are held beside their caches.
    """
    prompt = demand.prompt
    reading = prompt.activation_bytes / max(1, prompt.sequences) if prompt is not None else 0.0
    free = demand.machine.memory_bytes - demand.weight_bytes - reading
    held = demand.sequence_bytes + demand.step_bytes
    return free * demand.sequence_bytes / held if held else free


_VLLM_SHARE = 0.9  # gpu_memory_utilization
_VLLM_LARGE = 70 * _GIB  # from here on, and except on A100, servers have larger steps
# Logits in bfloat16 and float32, and their sorted values and places; CUDA context, libraries and communication. Both
# are set so that the rule gives the pool that one server reported: Llama-3.1-8B on an RTX 4090.
_VLLM_LOGIT_BYTES = 18
_CONTEXT_BYTES = 0.65e9


def _vllm_pool(demand: Demand) -> float:
    """Return the pool of vLLM (V1): its share of the memory, less weights, the peak of a trial run, and its context.

    The trial run reads as many tokens as a step may have, and samples for as many sequences as may run. CUDA graphs
    lie in the rest of the memory.
    """
    memory = demand.machine.memory_bytes
    large = memory >= _VLLM_LARGE and "a100" not in demand.machine.id
    tokens, sequences = (8192, 1024) if large else (2048, 256)
    trial = max(demand.prompt_bytes(tokens), sequences * demand.vocabulary * _VLLM_LOGIT_BYTES)
    return _VLLM_SHARE * memory - demand.weight_bytes - trial - _CONTEXT_BYTES


# Memory below which a machine is of a row, tokens of a chunk of a prefill, largest batch of a CUDA graph.
_SGLANG_STEPS = (
    (20 * _GIB, 2048, 8),
    (35 * _GIB, 2048, 24),
    (60 * _GIB, 4096, 32),
    (90 * _GIB, 8192, 256),
    (160 * _GIB, 8192, 256),
    (float("inf"), 16384, 512),
)


def _sglang_pool(demand: Demand) -> float:
    """Return the pool of SGLang 0.5: the memory less weights and a reserve that depends on the size of the memory.

    The reserve in MiB is 512, 1.5 for each token of a chunk, 2 for each sequence of the largest CUDA graph, and 128.
    """
    memory = demand.machine.memory_bytes
    _, tokens, graph = next(step for step in _SGLANG_STEPS if memory < step[0])
    reserve = (512 + 1.5 * tokens + 2 * graph + 128) * _MIB
    share = round(1 - reserve / memory, 3)  # mem_fraction_static
    return share * memory - demand.weight_bytes


_TRTLLM_SHARE = 0.9  # free_gpu_memory_fraction
_TRTLLM_TOKENS = 8192  # max_num_tokens


def _trtllm_pool(demand: Demand) -> float:
    """Return the pool of TensorRT-LLM 1.0: a share of what weights, activations and the context leave."""
    free = demand.machine.memory_bytes - demand.weight_bytes - demand.prompt_bytes(_TRTLLM_TOKENS) - _CONTEXT_BYTES
    return _TRTLLM_SHARE * free


@dataclass(frozen=True)
class EngineMemory:
    """How an engine divides the memory of a GPU.

    Attributes:
        pool: Returns the bytes for caches.
        block: Tokens that a page of the cache holds; a sequence takes whole pages.
    """

    pool: Callable[[Demand], float]
    block: int = 1


ENGINES: Mapping[str, EngineMemory] = MappingProxyType(
    {
        _EVERYTHING: EngineMemory(_plain_pool),
        "vllm": EngineMemory(_vllm_pool, block=16),
        "sglang": EngineMemory(_sglang_pool),
        "trtllm": EngineMemory(_trtllm_pool, block=32),
    }
)
"""Engine -> its division of the memory; other engines keep nothing back."""


def memory_use_of(
    on: Deployment, graph: Graph, sizes: Mapping[str, int], peak_bytes: float, *, prompt: Prompt | None = None
) -> MemoryUse | None:
    """Return the memory of a forward on one device.

    Args:
        on: Where and how the model runs.
        graph: The model.
        sizes: Values of all sizes of the graph, for the largest share of the batch on one device.
        peak_bytes: Peak memory of the forward.
        prompt: The prefill before this decode step; a prefill is its own.

    Returns:
        The memory; None for a model without a KV cache.
    """
    cache = kv_cache_of(graph, on.precision, sizes)
    if cache is None:
        return None
    boundary = boundary_of(graph, on.precision)
    weights = value_of(boundary.weight_bytes, sizes)
    activations = max(0, int(peak_bytes) - weights - cache.bytes)
    sequences = max(1, cache.bytes // max(1, cache.bytes_per_sequence))
    step = activations / sequences
    if prompt is None and not boundary.reads_cache:
        tokens = 0 if boundary.tokens is None else value_of(boundary.tokens, sizes)
        prompt, step = Prompt(activations, sequences, tokens), 0.0
    known = isfinite(on.machine.memory_bytes)
    memory = int(on.machine.memory_bytes) if known else None
    engine = _engine_memory(on)
    pool = most = None
    if memory is not None:
        taken = _paged(cache, engine.block)
        words = boundary.vocabulary * on.rank_layout.tensor  # of which a device looks up its share
        demand = Demand(on.machine, weights, taken, step, prompt, words)
        pool = max(0, int(engine.pool(demand)))
        most = pool // taken if taken else None
    return MemoryUse(
        weight_bytes=weights,
        kv_cache_bytes=cache.bytes,
        activation_bytes=activations,
        machine_memory_bytes=memory,
        left_bytes=None if memory is None else memory - weights - cache.bytes - activations,
        reserved_bytes=None if memory is None or pool is None else max(0, memory - weights - pool),
        pool_bytes=pool,
        max_sequences=most,
        tokens=cache.tokens,
    )


def _engine_memory(on: Deployment) -> EngineMemory:
    return ENGINES.get(on.engine, ENGINES[_EVERYTHING]) if on.machine.kind == "gpu" else ENGINES[_EVERYTHING]


def _paged(cache: KVCache, block: int) -> int:
    """Return the bytes of a sequence in whole pages."""
    added = sum(
        (-each.positions % block) * each.bytes_per_token for each in cache.layers if each.grows and each.positions
    )
    return cache.bytes_per_sequence + added
