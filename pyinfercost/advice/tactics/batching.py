"""Batching of a model without tokens: larger batches, and a wait for them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...fleets.replicas import ENGINES
from ..fleet_outcomes import DEFAULT_BATCH
from ..tactic import Option, Options, Refusal
from ..traffic_case import OF_FUNCTION
from ..traffic_tactic import TrafficTactic

if TYPE_CHECKING:
    from ..case import Case
    from ..setups import Setup

_SIZES = (1, 2, 4, 8, 16, 32, 64)
_DELAYS_S = (0.0, 0.002, 0.005, 0.01, 0.02, 0.05)


class BatchSize(TrafficTactic):
    """Another largest batch."""

    name = "batch_size"
    title = "larger or smaller batches"
    group = "batch_size"
    effort = "setting"

    def offered(self, setup: Setup, case: Case) -> Options:
        """Offer other largest batches."""
        if setup.terms.get("serverless"):
            return Options((), [Refusal(text="batches", why=OF_FUNCTION)])
        if setup.on.engine in ENGINES:
            why = "an engine that schedules tokens has its own batches"
            return Options((), [Refusal(text="batches", why=why)])
        own = int(setup.terms.get("max_batch_size") or DEFAULT_BATCH)
        found = [
            Option(
                text=f"batches of up to {size}",
                change={"terms.max_batch_size": size},
                apply=f"Triton: max_batch_size: {size}",
            )
            for size in _SIZES
            if size != own
        ]
        return Options(found)


class BatchingDelay(TrafficTactic):
    """A time that requests wait for others of their batch."""

    name = "batching_delay"
    title = "batching delay"
    group = "batching_delay"
    effort = "setting"

    def offered(self, setup: Setup, case: Case) -> Options:
        """Offer other delays."""
        if setup.terms.get("serverless"):
            return Options((), [Refusal(text="delay", why=OF_FUNCTION)])
        if setup.on.engine in ENGINES:
            return Options((), [Refusal(text="delay", why="an engine that schedules tokens waits for nothing")])
        own = float(setup.terms.get("max_queue_delay_s") or 0.0)
        found = [
            Option(
                text=f"a batching delay of {delay * 1e3:g} ms" if delay else "no batching delay",
                change={"terms.max_queue_delay_s": delay},
                apply=f"Triton: dynamic_batching {{ max_queue_delay_microseconds: {delay * 1e6:.0f} }}",
            )
            for delay in _DELAYS_S
            if delay != own
        ]
        return Options(found)
