"""Figures of a simulated server: latencies, rates, memory, cost, and what limits it."""

from __future__ import annotations

from collections.abc import Mapping
from math import ceil, isfinite
from typing import TYPE_CHECKING, Any

from .. import _core
from ..results.declared import declarations_of
from ..results.latency import Latency
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
_MOST_KEPT = 2**20  # values of a latency, beyond which those of equally spaced ranks stand for all


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
    unfinished = _unfinished(figures["outcomes"], run, len(found.outcome))
    if not figures["finished"] and not found.interrupted:
        reasons = "; ".join(f"{count:,} {reason}" for reason, count in unfinished.items())
        raise _core.InputError(f"none of {figures['requests']:,} requests can be served: {reasons}")
    latencies = {name: _latency(times) for name, times in figures["latencies"].items()}
    missed = tuple(
        f"{each.name} is {each.value_of(latencies[each.latency]):.4g} s, and the limit {each.limit_s:g} s"
        for each in objective
        if not each.value_of(latencies[each.latency]) < each.limit_s
    )
    rent = costs.rent
    known = {each.name: figures[each.name] for each in declarations_of(ServingResult) if each.name in figures}
    capacity = _capacity(run)
    words = _Words(run, figures, capacity, interrupted=found.interrupted)
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
        unfinished=unfinished,
        interrupted=found.interrupted,
        latencies=latencies,
        tokens_per_s_per_device=figures["tokens_per_s"] / (costs.devices * run.replicas),
        capacity_per_s=capacity,
        slo=",".join(map(str, objective)),
        slo_missed=missed,
        slo_share=figures["within"] / figures["requests"] if objective else None,
        goodput_per_s=figures["goodput_per_s"] if objective else None,
        usd_per_h=None if rent is None else rent.usd_per_h(run.replicas),
        instances=None if rent is None or rent.instance_devices == 1 else rent.instances(run.replicas),
        paid_devices=None if rent is None else rent.paid_devices(run.replicas),
        bottleneck=words.bottleneck(),
        notes=(*words.notes(), *_slo_notes(run, objective, figures["within"], latencies)),
        timeline=ServingTimeline(**figures["timeline"]),
        rates=_rates(run, capacity),
    )
    return ServingResult(**known | made)


def _latency(times: Mapping[str, Any]) -> Latency:
    """Return the distribution of a latency without bands; of many values, those of equally spaced ranks are kept."""
    import numpy as np

    known = times["sorted_s"]
    if known.size > _MOST_KEPT:
        known = known[np.linspace(0, known.size - 1, _MOST_KEPT + 1).astype(np.int64)]
    return Latency(**{**times, "sorted_s": known}, low={}, high={})


# ---- requests --------------------------------------------------------------------------------------------------------


def _unfinished(outcomes: Mapping[str, int], run: Run, sent: int) -> dict[str, int]:
    """Return the reasons of requests without an answer, and their numbers."""
    words = {
        "unfinished": "not finished when the run was stopped",
        "too_long": f"refused: the prompt leaves no token of the longest sequence, {run.scheduler.max_model_len:,}",
        "too_large": f"refused: longer than the cache of {run.blocks * run.costs.block_tokens:,} tokens",
        "too_many_tokens": f"refused: the prompt is longer than a step of {run.scheduler.max_num_batched_tokens:,} "
        "tokens, and enable_chunked_prefill is off",
        "timed_out": "given up by the client",
    }
    made = {text: outcomes[outcome] for outcome, text in words.items()}
    made[words["unfinished"]] += run.facts.requests - sent
    return {text: count for text, count in made.items() if count}


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


class _Words:
    """What limits a server, and what else to know, in words."""

    def __init__(self, run: Run, figures: Mapping[str, Any], capacity: float | None, *, interrupted: bool) -> None:
        self._run, self._figures, self._capacity, self._interrupted = run, figures, capacity, interrupted

    @property
    def _overloaded(self) -> bool:
        rate = self._run.facts.rate_per_s
        return self._capacity is not None and isfinite(rate) and rate > self._capacity

    def bottleneck(self) -> str:
        """Return what limits the server."""
        run, figures = self._run, self._figures
        preempted, waiting = figures["preemptions"], max(figures["timeline"]["waiting"], default=0)
        most = max(figures["timeline"]["running"], default=0)
        if figures["kv_use_peak"] >= _FULL and (preempted or waiting):
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

        run, figures, costs = self._run, self._figures, self._run.costs
        steps, busy_s = float(figures["steps"]), figures["busy_s"]
        if not steps or not busy_s:
            return "no steps were run"
        running = np.asarray(figures["timeline"]["running"], dtype=np.float64) / run.servers
        inside = running[running > 0]
        sequences = max(1.0, float(inside.mean()) if inside.size else 1.0)
        context = run.facts.prompt + run.facts.output_square / (2 * max(_LEAST_LENGTH, run.facts.output))
        width = costs.draft_tokens + 1
        decoding = steps - (0.0 if run.scheduler.mixes else float(figures["prefill_steps"]))
        host_s = costs.host_step_s + costs.host_sequence_s * sequences
        parts = {
            "weights and products of decode steps": costs.core.products(ceil(sequences * width))[0]
            + costs.core.outputs(sequences * width)[0],
            "attention of decode steps": costs.core.decode_attention(sequences, context)[0],
            "drafts": costs.core.drafts(sequences)[0],
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
        run, outcomes = self._run, self._figures["outcomes"]
        made = []
        if self._overloaded and self._capacity is not None:
            needed = ceil(run.facts.rate_per_s / (self._capacity / run.replicas))
            made.append(
                f"The rate of {run.facts.rate_per_s:.4g} requests/s is above the capacity of {self._capacity:.4g}: the "
                f"queue grows as long as requests come, and so do latencies; {needed} replicas sustain it."
            )
        if outcomes["truncated"]:
            made.append(
                f"{outcomes['truncated']:,} answers were cut at the longest sequence, "
                f"{run.scheduler.max_model_len:,} tokens."
            )
        if self._interrupted:
            made.append("The run was stopped: figures are those of the requests that were answered, without bands.")
        elif self._figures["finished"] < _ENOUGH:
            made.append("Fewer than ten requests are beyond the 99th percentile; simulate more requests.")
        process = run.workload.process
        if isinstance(process, ClosedLoop) and process.exponential:
            made.append("Pauses of clients are simulated as equal, at their mean.")
        return tuple(made)


def _slo_notes(
    run: Run, objective: tuple[Condition, ...], within: int, latencies: dict[str, Latency]
) -> tuple[str, ...]:
    """Return what an idle server takes, if no request is within the objective."""
    if not objective or within:
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
