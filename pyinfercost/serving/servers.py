"""Deployments as the core's closed form takes them."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf, isfinite, nan
from typing import TYPE_CHECKING

from .. import _core
from ..errors import InputError
from .scheduler import Scheduler

if TYPE_CHECKING:
    from .step_tables import StepCosts

_HOUR_S = 3600.0


class LoadError(InputError):
    """A load, or servers, whose numbers are out of range or contradict each other."""


class Servers:
    """Deployments for several calls of `closed_form`: their tables are prepared once.

    Args:
        costs: The deployments.
        schedulers: How each forms its steps; by default with the engine's own settings.

    Raises:
        LoadError: There are no deployments, or the number of schedulers differs.
    """

    def __init__(self, costs: Sequence[StepCosts], schedulers: Sequence[Scheduler] | None = None) -> None:
        if not costs:
            raise LoadError("there are no deployments; pass at least one StepCosts")
        ways = [Scheduler.of(each) for each in costs] if schedulers is None else list(schedulers)
        if len(ways) != len(costs):
            raise LoadError(f"there are {len(costs)} deployments and {len(ways)} schedulers; pass one for each")
        self.costs = tuple(costs)
        self.core = [_steady_server(each, way) for each, way in zip(costs, ways, strict=True)]

    def __len__(self) -> int:
        return len(self.core)


def _steady_server(costs: StepCosts, way: Scheduler) -> _core.SteadyServer:
    return _core.SteadyServer(
        costs=costs.core,
        tokens_each=costs.draft_tokens + 1,
        yield_tokens=costs.tokens_per_step,
        most_sequences=min(costs.most_sequences, way.max_num_seqs or costs.most_sequences),
        pool_tokens=_pool(costs, way),
        block_tokens=costs.block_tokens,
        copies=costs.copies,
        devices=costs.devices,
        usd_per_s=nan if costs.rent is None else costs.rent.usd_per_h() / _HOUR_S,
        fill=costs.prefill_fill,
        mixes=way.mixes,
        chunks=way.enable_chunked_prefill,
        budget=way.budget,
        reserves=way.reserves,
        lockstep=costs.copies if costs.lockstep else 1,
        knows_energy=isfinite(costs.idle_w),
    )


def _pool(costs: StepCosts, scheduler: Scheduler) -> float:
    """Return the tokens that fit the cache of a copy."""
    if scheduler.num_gpu_blocks is not None:
        return float(scheduler.num_gpu_blocks * costs.block_tokens)
    return inf if costs.pool_tokens is None else float(costs.pool_tokens)
