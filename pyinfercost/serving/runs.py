"""Runs of the simulator: a workload streamed into servers of one deployment, and the same at the ends of the bands."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from .. import _core
from .arrivals import BurstArrivals, ClosedLoop, GammaArrivals
from .requests import WorkloadError

if TYPE_CHECKING:
    from .scheduler import Scheduler
    from .step_tables import StepCosts, Table
    from .workload import Workload

_PIECE = 1024  # requests that are handed over together
_SAMPLES = 256  # of the timeline, or up to twice as many
_IDS_TOKENS = 16  # tokens with one id at least: SGLang has pages of one token, whose prefixes come in such parts
_MOST_AT_ONCE = 1_000_000  # requests of simulations that run side by side, for the sake of memory

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Facts:
    """What one reading of a workload says.

    Attributes:
        requests: Number of requests.
        prompt: Mean tokens of prompts.
        output: Mean tokens of answers.
        prompt_square: Mean square of the tokens of prompts.
        output_square: Mean square of the tokens of answers.
        shortest_prompt: Least tokens of a prompt.
        longest: Most tokens of a prompt with its answer.
        rate_per_s: Mean rate of arrivals; not a number without one.
        shares: Whether prompts may share tokens.
    """

    requests: int
    prompt: float
    output: float
    prompt_square: float
    output_square: float
    shortest_prompt: int
    longest: int
    rate_per_s: float
    shares: bool


def facts_of(workload: Workload) -> Facts:
    """Read a workload once.

    Raises:
        WorkloadError: It has no requests, or these have no tokens.
        TraceError: The trace is wrong.
    """
    import numpy as np

    count, first, last, shares = 0, 0.0, 0.0, False
    sums = np.zeros(4)
    shortest, longest = 2**31, 0
    for chunk in workload.chunks():
        prompts, outputs = chunk.prompt_tokens.astype(np.float64), chunk.output_tokens.astype(np.float64)
        sums += [prompts.sum(), outputs.sum(), prompts @ prompts, outputs @ outputs]
        first = float(chunk.arrival_s[0]) if count == 0 else first
        last = float(chunk.arrival_s[-1])
        count += len(chunk)
        shortest = min(shortest, int(prompts.min()))
        longest = max(longest, int((prompts + outputs).max()))
        shares = shares or chunk.shares
    if count == 0:
        raise WorkloadError("the workload has no requests; pass a longer duration_s, a higher rate, or another trace")
    if shortest < 1:
        raise WorkloadError("requests have no tokens; pass prompt and output, such as prompt=1024 and output=256")
    means = sums / count
    rate = (count - 1) / (last - first) if last > first else float("nan")
    constant = isinstance(workload.process, (GammaArrivals, BurstArrivals)) and not workload.changed
    if constant and workload.trace is None and workload.turns is None:
        rate = workload.process.rate_per_s
    prompt, output, prompt_square, output_square = map(float, means)
    return Facts(count, prompt, output, prompt_square, output_square, shortest, longest, rate, shares)


@dataclass(frozen=True)
class Run:
    """A simulation.

    Attributes:
        costs: Steps of one replica.
        scheduler: Settings of its scheduler.
        workload: The requests.
        facts: What one reading of them said.
        replicas: Replicas behind the router.
        routing: Rule of the router.
        blocks: Blocks of the cache of one copy of the model.
    """

    costs: StepCosts
    scheduler: Scheduler
    workload: Workload
    facts: Facts
    replicas: int
    routing: str
    blocks: int

    def figures(self, found: _core.Simulation, limits: Sequence[tuple[str, float]] = ()) -> dict[str, Any]:
        """Return the figures of a simulation, of which the core has the list (`csrc/deploy/server_figures.hpp`).

        Args:
            found: What the simulator found.
            limits: Times of requests, such as `"ttft_s"`, and the seconds that they are below within the objective.
        """
        costs = self.costs
        return found.figures(
            client_s=costs.client_s,
            usd_per_h=None if costs.rent is None else costs.rent.usd_per_h(self.replicas),
            idle_w=costs.idle_w if costs.knows_energy else None,
            blocks=self.blocks,
            limits=limits,
        )

    @property
    def servers(self) -> int:
        """Simulated servers: copies of the model in all replicas."""
        return self.replicas * self.costs.copies

    @property
    def sequences(self) -> int:
        """Sequences that a server runs at most."""
        return self.scheduler.max_num_seqs or self.costs.most_sequences


def simulated(run: Run, progress: Progress | None = None) -> _core.Simulation:
    """Simulate a run."""
    return _core.simulate([(_cluster(run, run.costs), _stream(run, progress))])[0]


def at_ends_of_bands(run: Run) -> Iterator[_core.Simulation]:
    """Simulate a run at the low and the high end of the bands of its steps: together, or one by one if it is large."""
    ends = (False, True)
    for together in (ends,) if run.facts.requests <= _MOST_AT_ONCE else ((end,) for end in ends):
        jobs = [(_cluster(run, stretched(run.costs, high=high)), _stream(run, None)) for high in together]
        yield from _core.simulate(jobs, threads=len(jobs))


def _stream(run: Run, progress: Progress | None) -> _core.RequestStream:
    """Return the requests of a workload for a simulation, which takes them piece by piece."""
    block = run.costs.block_tokens
    ids_tokens = block if block % _IDS_TOKENS == 0 else block * _IDS_TOKENS
    pieces = (
        chunk.part(slice(first, first + _PIECE))
        for chunk in run.workload.chunks()
        for first in range(0, len(chunk), _PIECE)
    )
    sent = 0

    def next_piece() -> _core.SimulatedRequests | None:
        nonlocal sent
        piece = next(pieces, None)
        if piece is None:
            return None
        sent += len(piece)
        if progress is not None:
            progress(sent, run.facts.requests)
        prefixes: dict[str, Any] = {}
        if piece.shares and run.scheduler.enable_prefix_caching:
            offsets, hashes = piece.block_hashes(ids_tokens)
            prefixes = {"prefix_from": offsets, "prefix_ids": hashes, "prefix_tokens": ids_tokens}
        return _core.SimulatedRequests(piece.arrival_s, piece.prompt_tokens, piece.output_tokens, **prefixes)

    return _core.RequestStream(run.facts.requests, next_piece)


def simulated_server(run: Run, costs: StepCosts | None = None) -> _core.SimulatedServer:
    """Return a server of a run for the simulator; by default with its own costs of steps."""
    scheduler, costs = run.scheduler, run.costs if costs is None else costs
    sglang = costs.engine == "sglang"
    return _core.SimulatedServer(
        costs=costs.core,
        engine=costs.engine,
        blocks=run.blocks,
        block_tokens=costs.block_tokens,
        max_sequences=run.sequences,
        max_tokens=scheduler.max_num_batched_tokens,
        chunk_tokens=scheduler.chunked_prefill_size if sglang else 0,
        chunked_prefill=scheduler.enable_chunked_prefill,
        max_model_tokens=scheduler.max_model_len,
        prefix_cache=scheduler.enable_prefix_caching and run.facts.shares,
        evicts=scheduler.evicts,
        drafts=costs.draft_tokens,
        acceptance=[_core.draft_acceptance(costs.draft_tokens, costs.tokens_per_step)] * costs.draft_tokens,
        stream_interval=scheduler.stream_interval,
        prefill_fill=costs.prefill_fill,
    )


def _cluster(run: Run, costs: StepCosts) -> _core.SimulatedCluster:
    process = run.workload.process
    return _core.SimulatedCluster(
        [simulated_server(run, costs)] * run.servers,
        routing=run.routing,
        lockstep=costs.copies if costs.lockstep else 1,
        max_concurrency=process.clients,
        think_s=process.think_s + costs.client_s if isinstance(process, ClosedLoop) else 0.0,
        seed=run.workload.seed,
        samples=_SAMPLES,
    )


def stretched(costs: StepCosts, *, high: bool) -> StepCosts:
    """Return the tables at one end of the error band of a step: all its parts and its host are longer, or shorter.

    Parts of decode steps have the band of decode steps; products and attention of steps with prompts have theirs.
    """

    def factor(spread: float) -> float:
        return 1 + spread if high else 1 / (1 + spread)

    def longer(table: Table, spread: float) -> Table:
        return replace(table, seconds=table.seconds * factor(spread))

    decode, prefill = costs.spread, costs.prefill_spread
    return replace(
        costs,
        tokens=longer(costs.tokens, prefill),
        prefill=longer(costs.prefill, prefill),
        recorded=longer(costs.recorded, decode),
        outputs=longer(costs.outputs, decode),
        decode=longer(costs.decode, decode),
        drafts=None if costs.drafts is None else longer(costs.drafts, decode),
        host_step_s=costs.host_step_s * factor(decode),
        host_sequence_s=costs.host_sequence_s * factor(decode),
        host_prefill_s=costs.host_prefill_s * factor(prefill),
    )
