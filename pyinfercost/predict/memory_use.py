"""Memory of a language model on one device: weights, caches, activations, and the sequences that an engine can hold."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from .. import _core
from ..results.memory_use import MemoryUse
from .plans import boundary_of, caches_of
from .quantities import length_of
from .stages import deployed_on

if TYPE_CHECKING:
    from .._core import Boundary, Graph, Hardware, Quantity
    from ..deployment import Deployment, EngineSettings
    from .derived_costs import Numbers


class Prompt(NamedTuple):
    """A prefill, as far as memory is concerned.

    Attributes:
        activation_bytes: Activations and workspaces at its peak, without the caches that it fills.
        sequences: Number of its prompts.
    """

    activation_bytes: float
    sequences: float


class MemoryLimits(NamedTuple):
    """Settings by which an engine divides the memory; 0 for the engine's own.

    Attributes:
        share: Share of the memory that it takes.
        step_tokens: Tokens of its largest step.
        sequences: Sequences that it runs at most.
    """

    share: float = 0.0
    step_tokens: int = 0
    sequences: int = 0

    @classmethod
    def of(cls, settings: EngineSettings, *, step_tokens: int = 0, sequences: int = 0) -> MemoryLimits:
        """Return the limits of a deployment and its scheduler."""
        return cls(settings.gpu_memory_utilization, step_tokens or settings.chunk_tokens, sequences)


def block_tokens(engine: str, *, gpu: bool) -> int:
    """Return the tokens in a page of an engine's cache; a sequence takes whole pages."""
    return _core.cache_block_tokens(engine, gpu)


def engine_sequences(engine: str, machine: Hardware) -> int:
    """Return the sequences that an engine runs at most with its own settings."""
    return _core.engine_sequences(engine, machine.memory_bytes, _core.is_a100(machine))


def sequences_that_fit(
    graph: Graph,
    precision: str,
    engine: str,
    machine: tuple[Numbers, Numbers, Numbers],
    peak_bytes: Numbers,
    value: Callable[..., Any],
    parts: int,
    limits: MemoryLimits,
) -> Numbers:
    """Return how many sequences fit in the memory at the rows of a sweep; not a number where the memory is unknown.

    Args:
        graph: The graph that the engine launches, with a KV cache.
        precision: Dtype to run in.
        engine: The engine.
        machine: Its memory, whether it is a GPU, and whether it is an A100.
        peak_bytes: Peak memory of the forward.
        value: Returns the column of a quantity, for the largest share of the batch on one device; with `given`, at
            other sizes.
        parts: Ranks that share the vocabulary.
        limits: Settings by which the engine divides the memory.
    """
    caches = caches_of(graph, precision)
    boundary = boundary_of(graph, precision)

    def paged(*, gpu: bool) -> Any:
        block = block_tokens(engine, gpu=gpu)
        return sum(-value(each.positions) % block * value(each.token_bytes) for each in caches if each.grows)

    memory_bytes, gpu, a100 = machine
    sequence = sum(value(each.sequence_bytes) for each in caches)
    found: Numbers = _core.sequences_with_room(
        engine,
        gpu,
        memory_bytes,
        a100,
        value(boundary.weight_bytes),
        sum(value(each.bytes) for each in caches),
        sequence,
        sequence + paged(gpu=True),
        sequence + paged(gpu=False),
        _step_bytes(graph, boundary, engine, machine, value, limits),
        boundary.vocabulary * parts,
        boundary.reads_cache,
        peak_bytes,
        limits.share,
        limits.step_tokens,
    )
    return found


def sequences_of(graph: Graph, precision: str, value: Callable[[Quantity], Any]) -> Any:
    """Return the sequences whose caches are in memory during a forward."""
    import numpy as np

    caches = caches_of(graph, precision)
    one = sum(value(each.sequence_bytes) for each in caches)
    return np.maximum(1, np.floor_divide(sum(value(each.bytes) for each in caches), np.maximum(1, one)))


def _step_bytes(
    graph: Graph,
    boundary: Boundary,
    engine: str,
    machine: tuple[Numbers, Numbers, Numbers],
    value: Callable[..., Any],
    limits: MemoryLimits,
) -> Any:
    """Return the activations of the largest step of an engine, as `step_bytes` of csrc/serving/device_memory.cpp."""
    import numpy as np

    memory_bytes, gpu, a100 = map(np.asarray, machine)
    found = np.zeros(memory_bytes.shape)
    if not _core.divides_memory(engine, True):
        return found
    for size, on_a100 in set(zip(memory_bytes.tolist(), a100.tolist(), strict=True)):
        rows = (memory_bytes == size) & (a100 == on_a100) & (gpu > 0)
        tokens = _core.most_step_tokens(engine, size, bool(on_a100), limits)
        given = {
            graph.size_of_role("batch"): tokens if boundary.reads_cache else 1,
            length_of(graph): 1 if boundary.reads_cache else tokens,
        }
        read = tokens if boundary.tokens is None else value(boundary.tokens, given=given)
        found[rows] = (value(boundary.step_bytes, given=given) * tokens / np.maximum(1, read))[rows]
    return found


def memory_on(
    on: Deployment, graph: Graph, sizes: Mapping[str, int], peak_bytes: float, *, prompt: Prompt | None = None
) -> MemoryUse | None:
    """Return the memory of a forward on one device; of a pipeline, on a device of the fullest stage.

    A pipeline has room for as many sequences as its fullest stage.

    Args:
        on: Where and how the model runs.
        graph: The launched graph.
        sizes: Values of all sizes of the graph, for the largest share of the batch on one device.
        peak_bytes: Peak memory of the forward.
        prompt: The prefill before this decode step; a prefill is its own.

    Returns:
        The memory; None for a model without a KV cache.
    """
    deployed = deployed_on(on, graph)
    found = deployed.memory(dict(sizes), on.machine, peak_bytes, limits=MemoryLimits.of(on.settings), prompt=prompt)
    return None if found is None else MemoryUse(**found)


def held_bytes(graph: Graph, precision: str, value: Callable[[Quantity], Any]) -> Any:
    """Return the weights and caches of a graph: at one point, or at the rows of a sweep."""
    boundary = boundary_of(graph, precision)
    cache = boundary.kv_cache_bytes
    return value(boundary.weight_bytes) + (0 if cache is None else value(cache))
