"""Memory of a language model on one device: weights, caches, activations, and the sequences that an engine can hold."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from math import isfinite
from typing import TYPE_CHECKING, Any

from .. import _core
from .._records import dataclass
from ..results.memory_use import MemoryUse
from .kv_cache import kv_cache_of
from .plans import boundary_of, caches_of, value_of
from .stages import pipeline_on

if TYPE_CHECKING:
    from .._core import Graph, Hardware, Quantity
    from ..deployment import Deployment
    from .derived_costs import Numbers


@dataclass(frozen=True)
class Prompt:
    """A prefill, as far as memory is concerned.

    Attributes:
        activation_bytes: Activations and workspaces at its peak, without the caches that it fills.
        sequences: Number of its prompts.
        tokens: Number of their tokens.
    """

    activation_bytes: Numbers
    sequences: Numbers
    tokens: Numbers


@dataclass(frozen=True)
class Demand:
    """What an engine's share of the memory for caches depends on: numbers of one point, or columns of a sweep.

    Attributes:
        memory_bytes: Memory of the machine.
        is_a100: Whether it is an A100, for which vLLM has smaller steps; 1 or 0.
        weight_bytes: Weights and buffers.
        sequence_bytes: Cache of a sequence.
        step_bytes: Activations of a decode step, per sequence.
        prompt: The largest prefill; None if it is unknown.
        vocabulary: Number of logits of a token.
    """

    memory_bytes: Numbers
    is_a100: Numbers
    weight_bytes: Numbers
    sequence_bytes: Numbers
    step_bytes: Numbers
    prompt: Prompt | None
    vocabulary: Numbers


def _least(one: Any, other: Any) -> Numbers:
    if isinstance(one, (int, float)) and isinstance(other, (int, float)):
        return min(one, other)
    import numpy as np

    least: Numbers = np.minimum(one, other)
    return least


def _most(one: Any, other: Any) -> Numbers:
    return -_least(-one, -other)


def pool_of(engine: str, demand: Demand, *, gpu: bool) -> Numbers:
    """Return the bytes that an engine has for caches: its share of the memory, less what it keeps for other things."""
    prompt = demand.prompt or Prompt(0.0, 0.0, 0.0)
    numbers: Any = (
        demand.memory_bytes,
        demand.is_a100,
        demand.weight_bytes,
        demand.sequence_bytes,
        demand.step_bytes,
        prompt.activation_bytes,
        prompt.sequences,
        prompt.tokens,
        demand.vocabulary,
    )
    if all(isinstance(each, (int, float)) for each in numbers):
        return _core.cache_pool_bytes(engine, gpu, *numbers)
    pools: Numbers = _core.cache_pool_columns(engine, gpu, *numbers)
    return pools


def block_tokens(engine: str, *, gpu: bool) -> int:
    """Return the tokens that a page of an engine's cache holds; a sequence takes whole pages."""
    return _core.cache_block_tokens(engine, gpu)


def engine_sequences(engine: str, machine: Hardware) -> int:
    """Return the sequences that an engine runs at most with its own settings."""
    return _core.engine_sequences(engine, machine.memory_bytes, is_a100(machine))


def engine_tokens(engine: str, machine: Hardware) -> int | None:
    """Return the tokens of prompts in a step that an engine sets by the memory; None if the memory plays no part."""
    return _core.engine_step_tokens(engine, machine.memory_bytes, is_a100(machine))


def is_a100(machine: Hardware) -> bool:
    """Return whether engines take a machine for an A100."""
    return "a100" in machine.id


def paged_bytes(graph: Graph, precision: str, block: int, value: Callable[[Quantity], Any]) -> Any:
    """Return the bytes of a sequence in whole pages.

    Args:
        graph: The graph.
        precision: Dtype to run in.
        block: Tokens that a page holds.
        value: Returns the value of a quantity: a number, or a column of a sweep.
    """
    total = 0
    for cache in caches_of(graph, precision):
        total = total + value(cache.sequence_bytes)
        if cache.grows and block > 1:
            total = total + (-value(cache.positions) % block) * value(cache.token_bytes)
    return total


@dataclass(frozen=True)
class _Held:
    """What a forward holds on one device, in bytes, and what an engine needs for each sequence."""

    weights: Numbers
    caches: Numbers
    activations: Numbers
    demand: Demand


def _held(
    graph: Graph,
    precision: str,
    block: int,
    machine: tuple[Numbers, Numbers],
    peak_bytes: Numbers,
    value: Callable[[Quantity], Any],
    prompt: Prompt | None,
    parts: int,
) -> _Held:
    """Return what a forward holds: at one point, or at the rows of a sweep.

    Args:
        graph: The model, with a KV cache.
        precision: Dtype to run in.
        block: Tokens that a page of the cache holds.
        machine: Its memory, and whether it is an A100.
        peak_bytes: Peak memory of the forward.
        value: Returns the value of a quantity, for the largest share of the batch on one device.
        prompt: The prefill before this decode step; a prefill is its own.
        parts: Ranks that share the vocabulary: each looks up its part of the words, and samples from all.
    """
    boundary = boundary_of(graph, precision)
    caches = sum(value(cache.bytes) for cache in caches_of(graph, precision))
    weights = value(boundary.weight_bytes)
    activations = _most(0, peak_bytes // 1 - weights - caches)
    of_sequence = paged_bytes(graph, precision, 1, value)
    sequences = _most(1, caches // _most(1, of_sequence))
    step: Numbers = activations / sequences
    if prompt is None and not boundary.reads_cache:
        tokens = 0 if boundary.tokens is None else value(boundary.tokens)
        prompt, step = Prompt(activations, sequences, tokens), 0.0
    taken = paged_bytes(graph, precision, block, value)
    demand = Demand(*machine, weights, taken, step, prompt, boundary.vocabulary * parts)
    return _Held(weights, caches, activations, demand)


def sequences_that_fit(
    graph: Graph,
    precision: str,
    engine: str,
    machine: tuple[Numbers, Numbers, Numbers],
    peak_bytes: Numbers,
    value: Callable[[Quantity], Any],
    parts: int,
) -> Numbers:
    """Return how many sequences fit in the memory at the rows of a sweep; not a number where the memory is unknown.

    Args:
        graph: The graph that the engine launches, with a KV cache.
        precision: Dtype to run in.
        engine: The engine.
        machine: Its memory, whether it is a GPU, and whether it is an A100.
        peak_bytes: Peak memory of the forward.
        value: Returns the column of a quantity, for the largest share of the batch on one device.
        parts: Ranks that share the vocabulary.
    """
    import numpy as np

    memory_bytes, gpu, a100 = (np.asarray(each, dtype=np.float64) for each in machine)
    known = np.isfinite(memory_bytes)
    size = np.floor(np.where(known, memory_bytes, 0.0))
    fitting = []
    for on_gpu in (True, False):
        block = block_tokens(engine, gpu=on_gpu)
        demand = _held(graph, precision, block, (_most(1, size), a100), peak_bytes, value, None, parts).demand
        fitting.append(_most(0, pool_of(engine, demand, gpu=on_gpu) // 1) // _most(1, demand.sequence_bytes))
    found: Numbers = np.where(known, np.where(gpu > 0, *fitting), np.nan)
    return found


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
    known = isfinite(on.machine.memory_bytes)
    memory = int(on.machine.memory_bytes) if known else None
    gpu = on.machine.kind == "gpu"
    machine = (memory or 0, int(is_a100(on.machine)))
    held = _held(
        graph,
        on.precision,
        block_tokens(on.engine, gpu=gpu),
        machine,
        peak_bytes,
        lambda quantity: value_of(quantity, sizes),
        prompt,
        on.rank_layout.attention_tensor,
    )
    weights, activations = int(held.weights), int(held.activations)
    pool = most = None
    if memory is not None:
        taken = int(held.demand.sequence_bytes)
        pool = max(0, int(pool_of(on.engine, held.demand, gpu=gpu)))
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


def memory_on(
    on: Deployment, graph: Graph, sizes: Mapping[str, int], peak_bytes: float, *, prompt: Prompt | None = None
) -> MemoryUse | None:
    """Return the memory of a forward on one device; of a pipeline, on a device of the fullest stage.

    Its arguments are those of `memory_use_of`. A pipeline holds as many sequences as the stage with the least room.
    """
    pipeline = pipeline_on(on, graph)
    if pipeline is None:
        return memory_use_of(on, graph, sizes, peak_bytes, prompt=prompt)
    graphs = [stage.graph for stage in pipeline.stages]
    held = [held_bytes(each, on.precision, lambda quantity: value_of(quantity, sizes)) for each in graphs]
    beside = peak_bytes - max(held)
    uses = [
        use
        for each, of_stage in zip(graphs, held, strict=True)
        if (use := memory_use_of(on, each, sizes, of_stage + beside, prompt=prompt)) is not None
    ]
    if not uses:
        return None
    fullest = max(uses, key=lambda use: use.weight_bytes + use.kv_cache_bytes)
    fitting = [use.max_sequences for use in uses if use.max_sequences is not None]
    return replace(fullest, max_sequences=min(fitting, default=None))


def held_bytes(graph: Graph, precision: str, value: Callable[[Quantity], Any]) -> Any:
    """Return the weights and caches of a graph: at one point, or at the rows of a sweep."""
    boundary = boundary_of(graph, precision)
    cache = boundary.kv_cache_bytes
    return value(boundary.weight_bytes) + (0 if cache is None else value(cache))
