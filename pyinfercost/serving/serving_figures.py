"""Figures of a simulated server: latencies, rates, memory, cost, and what limits it."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil, isfinite
from typing import TYPE_CHECKING, Any

from .. import _core
from ..results.latency import Latency
from ..results.serving_result import LATENCIES, ServingRates, ServingResult, ServingTimeline
from .arrivals import ClosedLoop
from .latencies import answered, distribution, times_of
from .servers import Servers
from .steady_state import closed_form

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from .objectives import Condition
    from .runs import Found, Run

    Numbers = NDArray[np.float64]

_HOUR_S, _MILLION = 3600.0, 1e6
_FULL = 0.97  # share of the blocks, or of the sequences, from which on they are all in use
_ENOUGH = 1000  # requests, of which ten are beyond the 99th percentile
_LEAST_LENGTH = 1.0


def result_of(
    name: str,
    run: Run,
    found: Found,
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
    costs, facts, totals = run.costs, run.facts, found.servers
    done = answered(found)
    unfinished = _unfinished(found, run)
    if not done.any() and not found.interrupted:
        reasons = "; ".join(f"{count:,} {reason}" for reason, count in unfinished.items())
        raise _core.InputError(f"none of {len(done):,} requests can be served: {reasons}")
    latencies: dict[str, Latency] = {}
    within = done.copy()
    for each in LATENCIES:
        times = times_of(found, run, each)
        latencies[each] = distribution(times[done])
        _mark_late(within, times, [one.limit_s for one in objective if one.latency == each])
    duration_s = found.end_s
    tokens = float(totals["generated_tokens"].sum())
    busy = float(totals["busy_s"].sum()) / (duration_s * run.servers) if duration_s > 0 else 0.0
    missed = tuple(
        f"{each.name} is {each.value_of(latencies[each.latency]):.4g} s, and the limit {each.limit_s:g} s"
        for each in objective
        if not each.value_of(latencies[each.latency]) < each.limit_s
    )
    timeline = _timeline(found, run)
    usd = None
    rent = costs.rent
    usd_per_h = None if rent is None else rent.usd_per_h(run.replicas)
    if usd_per_h is not None and tokens:
        usd = usd_per_h * duration_s / _HOUR_S / tokens * _MILLION
    capacity = _capacity(run)
    prompts = float(totals["prompt_tokens"].sum())
    cached = float(totals["cached_tokens"].sum())
    peak = float(totals["most_blocks"].max()) / run.blocks
    words = _Words(run, found, capacity, peak, timeline)
    return ServingResult(
        model=name,
        hardware=costs.hardware,
        engine=costs.engine,
        layout=costs.layout,
        precision=costs.precision,
        replicas=run.replicas,
        devices=costs.devices * run.replicas,
        scheduler=_settings(run),
        requests=facts.requests,
        finished=int(done.sum()),
        unfinished=unfinished,
        interrupted=found.interrupted,
        duration_s=duration_s,
        latencies=latencies,
        requests_per_s=_per(done.sum(), duration_s),
        tokens_per_s=_per(tokens, duration_s),
        tokens_per_s_per_device=_per(tokens, duration_s * costs.devices * run.replicas),
        prompt_tokens_per_s=_per(prompts, duration_s),
        utilization=busy,
        capacity_per_s=capacity,
        kv_use_mean=_mean(timeline.kv_use),
        kv_use_peak=peak,
        running_mean=_mean(timeline.running),
        waiting_mean=_mean(timeline.waiting),
        preemptions=int(totals["preemptions"].sum()),
        cached_token_share=cached / (cached + prompts) if cached else 0.0,
        slo=",".join(map(str, objective)),
        slo_missed=missed,
        slo_share=float(within.sum()) / len(within) if objective else None,
        goodput_per_s=_per(within.sum(), duration_s) if objective else None,
        usd_per_h=usd_per_h,
        instances=None if rent is None or rent.instance_devices == 1 else rent.instances(run.replicas),
        paid_devices=None if rent is None else rent.paid_devices(run.replicas),
        usd_per_million_tokens=usd,
        usd_per_million_tokens_used=None if usd is None else usd * busy,
        joules_per_token=_joules(run, found, tokens),
        bottleneck=words.bottleneck(),
        notes=(*words.notes(), *_slo_notes(run, objective, within, latencies)),
        timeline=timeline,
        rates=_rates(run, capacity),
    )


def _per(amount: Any, seconds: float) -> float:
    return float(amount) / seconds if seconds > 0 else 0.0


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0


# ---- requests --------------------------------------------------------------------------------------------------------


def _unfinished(found: Found, run: Run) -> dict[str, int]:
    """Return the reasons of requests without an answer, and their numbers."""
    import numpy as np

    words = {
        "unfinished": "not finished when the run was stopped",
        "too_long": f"refused: the prompt leaves no token of the longest sequence, {run.scheduler.max_model_len:,}",
        "too_large": f"refused: longer than the cache of {run.blocks * run.costs.block_tokens:,} tokens",
        "too_many_tokens": f"refused: the prompt is longer than a step of {run.scheduler.max_num_batched_tokens:,} "
        "tokens, and enable_chunked_prefill is off",
        "timed_out": "given up by the client",
    }
    counts = np.bincount(found.arrays["outcome"], minlength=len(_core.SIMULATED_OUTCOMES))
    made = {text: int(counts[_core.SIMULATED_OUTCOMES.index(outcome)]) for outcome, text in words.items()}
    not_sent = run.facts.requests - len(found.arrays["outcome"])
    made[words["unfinished"]] += not_sent
    return {text: count for text, count in made.items() if count}


def _mark_late(within: NDArray[np.bool_], times: Numbers, limits: Sequence[float]) -> None:
    """Take requests beyond a limit out of `within`; one without further tokens has no time per token to exceed."""
    import numpy as np

    for limit_s in limits:
        within &= np.nan_to_num(times, nan=0.0) < limit_s


# ---- servers ---------------------------------------------------------------------------------------------------------


def _timeline(found: Found, run: Run) -> ServingTimeline:
    import numpy as np

    known = {name: np.asarray(found.timeline[name]) for name in ("running", "waiting", "blocks")}
    return ServingTimeline(
        interval_s=float(found.timeline["interval_s"]),
        running=known["running"].sum(axis=1).tolist(),
        waiting=known["waiting"].sum(axis=1).tolist(),
        kv_use=(known["blocks"].mean(axis=1) / run.blocks).tolist(),
    )


def _joules(run: Run, found: Found, tokens: float) -> float | None:
    import numpy as np

    costs = run.costs
    if not tokens or not isfinite(costs.idle_w) or not np.isfinite(costs.decode.joules).all():
        return None
    idle_s = run.servers * found.end_s - float(found.servers["busy_s"].sum())
    return (float(found.servers["energy_j"].sum()) + max(0.0, idle_s) * costs.idle_w) / tokens


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

    def known(name: str) -> list[float] | None:
        return found[name][0].tolist() if np.isfinite(found[name]).all() else None

    return ServingRates(
        rate_per_s=rates.tolist(),
        ttft_s=found["ttft_s"][0].tolist(),
        tpot_s=found["tpot_s"][0].tolist(),
        usd_per_million_tokens=known("usd_per_million_tokens"),
        joules_per_token=known("joules_per_token"),
    )


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


class _Words:
    """What limits a server, and what else to know, in words."""

    def __init__(self, run: Run, found: Found, capacity: float | None, peak: float, timeline: ServingTimeline) -> None:
        self._run, self._found, self._capacity, self._peak, self._timeline = run, found, capacity, peak, timeline

    @property
    def _overloaded(self) -> bool:
        rate = self._run.facts.rate_per_s
        return self._capacity is not None and isfinite(rate) and rate > self._capacity

    def bottleneck(self) -> str:
        """Return what limits the server."""
        run, totals = self._run, self._found.servers
        preempted, waiting = int(totals["preemptions"].sum()), max(self._timeline.waiting, default=0)
        most = max(self._timeline.running, default=0)
        if self._peak >= _FULL and (preempted or waiting):
            lost = f", and {preempted:,} sequences lost theirs" if preempted else ""
            limit = f"memory for caches: requests wait for blocks{lost}"
        elif waiting and most >= _FULL * run.sequences * run.servers:
            limit = f"sequences: {run.sequences:,} run at most in a server, and requests wait for a place"
        else:
            limit = ""
        steps = self._steps()
        if self._overloaded:
            limit = f"the rate is above the capacity; {limit}" if limit else "the rate is above the capacity"
        return f"{limit or 'no limit was reached'}; {steps}"

    def _steps(self) -> str:
        """Return what the time of steps consists of."""
        import numpy as np

        run, totals, costs = self._run, self._found.servers, self._run.costs
        steps, busy_s = float(totals["steps"].sum()), float(totals["busy_s"].sum())
        if not steps or not busy_s:
            return "no steps were run"
        running = np.asarray(self._timeline.running, dtype=np.float64) / run.servers
        inside = running[running > 0]
        sequences = max(1.0, float(inside.mean()) if inside.size else 1.0)
        context = run.facts.prompt + run.facts.output_square / (2 * max(_LEAST_LENGTH, run.facts.output))
        width = costs.draft_tokens + 1
        decoding = steps - (0.0 if run.scheduler.mixes else float(totals["prefill_steps"].sum()))
        host_s = costs.host_step_s + costs.host_sequence_s * sequences
        parts = {
            "weights and products of decode steps": float(costs.recorded.next(sequences * width)[0])
            + float(costs.outputs.at(sequences * width)[0]),
            "attention of decode steps": float(costs.decode.at(sequences, context)[0]),
            "drafts": 0.0 if costs.drafts is None else float(costs.drafts.at(sequences)[0]),
            "the host between steps": 0.0 if costs.overlaps_host else host_s,
        }
        shares = {name: min(1.0, seconds * decoding / busy_s) for name, seconds in parts.items()}
        shares["prompts"] = max(0.0, 1 - sum(shares.values()))
        total = sum(shares.values())
        name, share = max(shares.items(), key=lambda each: each[1])
        verb = "takes" if name == "attention of decode steps" or name.startswith("the host") else "take"
        return f"{name} {verb} about {100 * share / total:.0f} % of the time of steps"

    def notes(self) -> tuple[str, ...]:
        """Return what else to know about the run."""
        run, found = self._run, self._found
        made = []
        if self._overloaded and self._capacity is not None:
            needed = ceil(run.facts.rate_per_s / (self._capacity / run.replicas))
            made.append(
                f"The rate of {run.facts.rate_per_s:.4g} requests/s is above the capacity of {self._capacity:.4g}: the "
                f"queue grows as long as requests come, and so do latencies; {needed} replicas sustain it."
            )
        truncated = int((found.arrays["outcome"] == _core.SIMULATED_OUTCOMES.index("truncated")).sum())
        if truncated:
            made.append(
                f"{truncated:,} answers were cut at the longest sequence, {run.scheduler.max_model_len:,} tokens."
            )
        if found.interrupted:
            made.append("The run was stopped: figures are those of the requests that were answered, without bands.")
        elif int(answered(found).sum()) < _ENOUGH:
            made.append("Fewer than ten requests are beyond the 99th percentile; simulate more requests.")
        process = run.workload.process
        if isinstance(process, ClosedLoop) and process.exponential:
            made.append("Pauses of clients are simulated as equal, at their mean.")
        return tuple(made)


def _slo_notes(
    run: Run, objective: tuple[Condition, ...], within: NDArray[np.bool_], latencies: dict[str, Latency]
) -> tuple[str, ...]:
    """Return what an idle server takes, if no request is within the objective."""
    if not objective or within.any():
        return ()
    idle = {name: float(values[0, 0]) for name, values in _steady(run, clients=1.0).items()}
    known = {"ttft_s": idle["ttft_s"], "tpot_s": idle["tpot_s"], "e2e_s": idle["e2e_s"]}
    above = [each for each in objective if known.get(each.latency, 0.0) >= each.limit_s]
    if above:
        cases = "; ".join(f"{each.latency.removesuffix('_s')} {known[each.latency]:.4g} s" for each in above)
        return (f"No request is within the objective, and none can be: an idle server of this kind takes {cases}.",)
    least = "; ".join(
        f"{each.latency.removesuffix('_s')} {latencies[each.latency].percentile(0):.4g} s at least"
        for each in objective
    )
    return (f"No request is within the objective under this load ({least}); an idle server would be.",)
