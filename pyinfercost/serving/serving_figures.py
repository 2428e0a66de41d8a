"""Figures of a simulated server: latencies, rates, memory, cost, and what limits it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import ceil, isfinite
from typing import TYPE_CHECKING, Any

from .. import _core
from ..results.declared import declarations_of
from ..results.latency import Latency
from ..results.notices import Notice, notice
from ..results.serving_result import ServingRates, ServingResult, ServingTimeline
from .arrivals import ClosedLoop
from .servers import Servers
from .steady_state import closed_form

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from .objectives import Condition
    from .runs import Run

    Numbers = NDArray[np.float64]

_FULL = 0.97  # share of the blocks, or of the sequences, from which on they are all in use
_ENOUGH = 1000  # requests, of which ten are beyond the 99th percentile
_LEAST_LENGTH = 1.0
_MOST_KEPT = 2**20  # values of a latency, beyond which values of equally spaced ranks stand for all


def result_of(
    name: str,
    run: Run,
    found: _core.Simulation,
    objective: tuple[Condition, ...],
) -> ServingResult:
    """Return the result of a run, without bands.

    Args:
        name: Name of the model.
        run: What was simulated.
        found: What the simulator found.
        objective: Conditions on latencies.

    Raises:
        InputError: No request could be served.
    """
    costs = run.costs
    limits = [(each.latency, each.limit_s) for each in objective]
    figures = run.figures(found, limits)
    lost = _lost(figures["outcomes"], run, len(found.outcome))
    if not figures["finished"] and not found.interrupted:
        reasons = "; ".join(f"{each.values['requests']:,} {each}" for each in lost)
        raise _core.InputError(f"none of {figures['requests']:,} requests can be served: {reasons}")
    latencies = {name: _latency(times) for name, times in figures["latencies"].items()}
    values_s = [each.value_of(latencies[each.latency]) for each in objective]
    missed = tuple(
        notice("missed", condition=each.name, value_s=value_s, limit_s=each.limit_s)
        for each, value_s in zip(objective, values_s, strict=True)
        if not value_s < each.limit_s
    )
    rent = costs.rent
    known = {each.name: figures[each.name] for each in declarations_of(ServingResult) if each.name in figures}
    capacity = _capacity(run)
    above = capacity is not None and isfinite(run.facts.rate_per_s) and run.facts.rate_per_s > capacity
    made = dict(
        model=name,
        hardware=costs.hardware,
        engine=costs.engine,
        layout=costs.layout,
        precision=costs.precision,
        replicas=run.replicas,
        devices=costs.devices * run.replicas,
        scheduler=_settings(run),
        requests=run.facts.requests,
        lost=lost,
        interrupted=found.interrupted,
        latencies=latencies,
        tokens_per_s_per_device=figures["tokens_per_s"] / (costs.devices * run.replicas),
        capacity_per_s=capacity,
        slo=",".join(map(str, objective)),
        missed=missed,
        slo_share=figures["within"] / figures["requests"] if objective else None,
        goodput_per_s=figures["goodput_per_s"] if objective else None,
        usd_per_h=None if rent is None else rent.usd_per_h(run.replicas),
        instances=None if rent is None or rent.instance_devices == 1 else rent.instances(run.replicas),
        paid_devices=None if rent is None else rent.paid_devices(run.replicas),
        limits=tuple(_limits(run, figures, above=above)),
        notices=(
            *_notices(run, figures, capacity if above else None, interrupted=found.interrupted),
            *_slo_notices(run, objective, figures["within"], latencies),
        ),
        timeline=ServingTimeline(**figures["timeline"]),
        rates=_rates(run, capacity),
    )
    return ServingResult(**known | made)


def _latency(times: Mapping[str, Any]) -> Latency:
    """Return the distribution of a latency without bands; of many values, equally spaced ranks are kept."""
    import numpy as np

    known = times["sorted_s"]
    if known.size > _MOST_KEPT:
        known = known[np.linspace(0, known.size - 1, _MOST_KEPT + 1).astype(np.int64)]
    return Latency(**{**times, "sorted_s": known}, low={}, high={})


# ---- requests --------------------------------------------------------------------------------------------------------


def _lost(outcomes: Mapping[str, int], run: Run, sent: int) -> tuple[Notice, ...]:
    """Return the reasons of requests without an answer, with their numbers."""
    tokens = {
        "unfinished": None,
        "too_long": run.scheduler.max_model_len,
        "too_large": run.blocks * run.costs.block_tokens,
        "too_many_tokens": run.scheduler.max_num_batched_tokens,
        "timed_out": None,
    }
    counts = dict(outcomes) | {"unfinished": outcomes["unfinished"] + run.facts.requests - sent}
    return tuple(
        notice(code, requests=counts[code], **({} if most is None else {"tokens": most}))
        for code, most in tokens.items()
        if counts[code]
    )


# ---- servers ---------------------------------------------------------------------------------------------------------

_RATES = 32
_NEXT_TO = 0.98  # share of the capacity at which the curve over rates ends


def _capacity(run: Run) -> float | None:
    """Return the highest rate of requests that all replicas sustain; None if prompts share tokens."""
    facts = run.facts
    if facts.shares:
        return None
    utilization = float(_steady(run, rate_per_s=1.0)["utilization"][0, 0])
    return run.replicas / utilization if utilization > 0 else None


def _rates(run: Run, capacity: float | None) -> ServingRates | None:
    """Return the same servers at other rates."""
    if capacity is None or not isfinite(capacity):
        return None
    import numpy as np

    rates = capacity * _NEXT_TO * np.arange(1, _RATES + 1) / _RATES
    found = _steady(run, rate_per_s=rates / run.replicas)

    names = [each.name for each in declarations_of(ServingRates) if each.name in found]
    known: dict[str, Any] = {
        name: found[name][0].tolist() if np.isfinite(found[name]).all() else None for name in names
    }
    return ServingRates(**known | {"rate_per_s": rates.tolist()})


def _steady(run: Run, **load: Any) -> dict[str, Numbers]:
    """Return the closed form of one replica; a column has the shape (1, loads)."""
    facts = run.facts
    means = {
        "prompt": max(_LEAST_LENGTH, facts.prompt),
        "output": max(_LEAST_LENGTH, facts.output),
        "prompt_square": facts.prompt_square,
        "output_square": facts.output_square,
    }
    return closed_form(Servers([run.costs], [run.scheduler]), {**means, **load})


def _settings(run: Run) -> dict[str, int | bool]:
    """Return the settings of the scheduler that count for the engine, by its names."""
    scheduler, engine = run.scheduler, run.costs.engine
    names = {
        "vllm": ("max_num_seqs", "max_num_batched_tokens", "num_gpu_blocks"),
        "sglang": ("max_running_requests", "max_prefill_tokens", "max_total_tokens"),
        "trtllm": ("max_batch_size", "max_num_tokens", "kv_cache_blocks"),
    }[engine]
    found: dict[str, int | bool] = dict(
        zip(names, (run.sequences, scheduler.max_num_batched_tokens, run.blocks), strict=True)
    )
    if engine == "sglang":
        found["chunked_prefill_size"] = scheduler.chunked_prefill_size
    else:
        found["enable_chunked_prefill"] = scheduler.enable_chunked_prefill
    if scheduler.max_model_len:
        found["max_model_len"] = scheduler.max_model_len
    return found


def _limits(run: Run, figures: Mapping[str, Any], *, above: bool) -> Iterator[Notice]:
    """Yield the limits of the server."""
    preempted, waiting = figures["preemptions"], max(figures["timeline"]["waiting"], default=0)
    most = max(figures["timeline"]["running"], default=0)
    if above:
        yield notice("above_capacity")
    if figures["kv_use_peak"] >= _FULL and (preempted or waiting):
        yield notice("cache_limit", preempted=preempted)
    elif waiting and most >= _FULL * run.sequences * run.servers:
        yield notice("sequences_limit", sequences=run.sequences)
    elif not above:
        yield notice("no_limit")
    yield _steps(run, figures)


def _steps(run: Run, figures: Mapping[str, Any]) -> Notice:
    """Return the part that takes most of the time of steps."""
    import numpy as np

    costs = run.costs
    steps, busy_s = float(figures["steps"]), figures["busy_s"]
    if not steps or not busy_s:
        return notice("no_steps")
    running = np.asarray(figures["timeline"]["running"], dtype=np.float64) / run.servers
    inside = running[running > 0]
    sequences = max(1.0, float(inside.mean()) if inside.size else 1.0)
    context = run.facts.prompt + run.facts.output_square / (2 * max(_LEAST_LENGTH, run.facts.output))
    width = costs.draft_tokens + 1
    decoding = steps - (0.0 if run.scheduler.mixes else float(figures["prefill_steps"]))
    host_s = costs.host_step_s + costs.host_sequence_s * sequences
    parts = {
        "weights": costs.core.products(ceil(sequences * width))[0] + costs.core.outputs(sequences * width)[0],
        "attention": costs.core.decode_attention(sequences, context)[0],
        "drafts": costs.core.drafts(sequences)[0],
        "host": 0.0 if costs.overlaps_host else host_s,
    }
    shares = {name: min(1.0, seconds * decoding / busy_s) for name, seconds in parts.items()}
    shares["prompts"] = max(0.0, 1 - sum(shares.values()))
    part, share = max(shares.items(), key=lambda each: each[1])
    return notice("steps", part=part, share=share / sum(shares.values()))


def _notices(run: Run, figures: Mapping[str, Any], capacity: float | None, *, interrupted: bool) -> Iterator[Notice]:
    """Yield notices about the run; `capacity` is given if the rate is above it."""
    rate = run.facts.rate_per_s
    if capacity is not None:
        needed = ceil(rate / (capacity / run.replicas))
        yield notice("queue_grows", rate_per_s=rate, capacity_per_s=capacity, replicas=needed)
    if cut := figures["outcomes"]["truncated"]:
        yield notice("truncated", requests=cut, tokens=run.scheduler.max_model_len)
    if interrupted:
        yield notice("interrupted")
    elif figures["finished"] < _ENOUGH:
        yield notice("few_requests")
    process = run.workload.process
    if isinstance(process, ClosedLoop) and process.exponential:
        yield notice("equal_pauses")


def _slo_notices(
    run: Run, objective: tuple[Condition, ...], within: int, latencies: dict[str, Latency]
) -> Iterator[Notice]:
    """Yield the times of an idle server, if no request is within the objective."""
    if not objective or within:
        return
    idle = {name: float(values[0, 0]) for name, values in _steady(run, clients=1.0).items()}
    known = {name: idle[name] for name in ("ttft_s", "tpot_s", "e2e_s")}
    above = {each.latency for each in objective if known.get(each.latency, 0.0) >= each.limit_s}
    if above:
        times = [each.latency for each in objective if each.latency in above]
        yield notice("never_within", idle_s={name.removesuffix("_s"): known[name] for name in times})
    else:
        least = {each.latency.removesuffix("_s"): latencies[each.latency].percentile(0) for each in objective}
        yield notice("not_within", least_s=least)
