"""Evaluation of setups with a workload: as many replicas as it needs, each simulated step by step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import ceil, inf, isfinite, isnan
from threading import Lock
from typing import TYPE_CHECKING, Any, TypeVar

from ..errors import InputError
from ..predict.workers import on_workers
from ..results.bill import MONTH_S
from ..results.figures import OF_TOKENS
from ..serving.runs import Facts, Run, facts_of, simulated, stretched
from ..serving.scheduler import Scheduler, simulated_scheduler
from ..serving.serve import Phases, blocks_of, check_lengths, check_settings, serve, tables_of
from ..serving.servers import Servers
from ..serving.serving_figures import result_of
from ..serving.steady_state import OfferedLoad, closed_form
from .case import Outcome
from .traffic_setups import REPLICAS, SCHEDULER, TrafficSetup

if TYPE_CHECKING:
    from ..deployment import Deployment
    from ..results.estimate import Estimate
    from ..results.serving_result import ServingResult
    from ..serving.objectives import Condition
    from ..serving.step_tables import StepCosts
    from ..serving.workload import Workload
    from .setups import Setup, Variant

ENDS = ("", "low", "high")
"""Ends of the error bands of steps: as predicted, all of them short, all of them long."""

_SURE = 0.9  # share of the capacity in closed form that a replica has at least
_MOST_REPLICAS = 1024
_STEPS = 4  # replicas that are added one by one, before their number is doubled
_ROUNDING = 1e-9
_REFUSED = ("too_long", "too_large", "too_many_tokens")  # reasons of a scheduler that takes no request so long


AnySetup = TypeVar("AnySetup", bound="Setup")


class NotServed(InputError):
    """A setup that cannot serve the workload within its objective; the message has the reason."""


@dataclass(frozen=True)
class _Replica:
    costs: StepCosts
    scheduler: Scheduler
    blocks: int
    capacity_per_s: float
    end: str = ""


@dataclass
class _Replicas:
    """Replicas of setups with their tables, each made once."""

    phases: Phases
    facts: Facts
    _variants: dict[Variant, Phases] = field(default_factory=dict)
    _replicas: dict[Any, _Replica | str] = field(default_factory=dict)
    _costs: dict[Any, StepCosts] = field(default_factory=dict)
    _lock: Lock = field(default_factory=Lock)

    def variant(self, variant: Variant) -> Phases:
        """Return the model in a variant."""
        with self._lock:
            if variant not in self._variants:
                self._variants[variant] = self.phases.varied(
                    quantize=variant.quantize, prune=variant.prune, kv_cache=variant.kv_cache, width=variant.width
                )
            return self._variants[variant]

    def of(self, setup: Setup) -> _Replica | str:
        """Return a replica of a setup, or why there is none."""
        one = with_replicas(setup, 1)
        settings = {n: value for n, value in setup.terms.items() if n in SCHEDULER and value is not None}
        key = (one.placed, setup.variant, tuple(sorted(settings.items())))
        if key not in self._replicas:
            self._replicas[key] = self._made(one.on, setup.variant, settings)
        return self._replicas[key]

    def _made(self, on: Deployment, variant: Variant, settings: Mapping[str, Any]) -> _Replica | str:
        try:
            check_settings(on)
            phases = self.variant(variant)
            costs = self._tables(phases, on, variant, settings)
            scheduler = simulated_scheduler(costs, settings, context=phases.context)
            blocks = blocks_of(costs, scheduler, self.facts)
            check_lengths(self.facts, scheduler)
            return _Replica(costs, scheduler, blocks, _capacity_per_s(self.facts, costs, scheduler))
        except InputError as error:
            return str(error)

    def _tables(self, phases: Phases, on: Deployment, variant: Variant, settings: Mapping[str, Any]) -> StepCosts:
        """Return the tables of a deployment, whose memory depends on limits of the scheduler."""
        reach = tuple(settings.get(name) or 0 for name in ("max_num_seqs", "max_num_batched_tokens"))
        key = (on, variant, reach)
        if key not in self._costs:
            self._costs[key] = tables_of(phases, on, self.facts, settings)
        return self._costs[key]


@dataclass
class ServedEvaluator:
    """Predicts the figures of servers under one workload.

    Attributes:
        phases: The model as it was given.
        workload: The requests.
        objective: Limits of latencies.
        facts: Statistics of one pass over the workload.
        spare: Replicas of the baseline over those that it needs, at least 1.
        most_usd_per_h: Price beyond which more replicas are not tried.
        refused: Requests that are too long for the baseline; no setup may refuse more.
        evaluated: Setups that were evaluated.
        simulations: Simulations of all of them.
    """

    phases: Phases
    workload: Workload
    objective: tuple[Condition, ...]
    facts: Facts = field(init=False)
    spare: float = 1.0
    most_usd_per_h: float = inf
    refused: int = 0
    evaluated: int = 0
    simulations: int = 0
    _results: dict[Any, ServingResult] = field(default_factory=dict, repr=False)
    _plain: dict[Any, ServingResult] = field(default_factory=dict, repr=False)
    _fewest: dict[Any, int | str] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        self.facts = facts_of(self.workload)
        self.replicas = _Replicas(self.phases, self.facts)

    # ---- outcomes ----

    def outcomes(self, setups: Sequence[Setup]) -> list[Outcome]:
        """Return the outcome of each setup, without bands of its latencies."""
        self.evaluated += len(setups)
        return list(on_workers(self._outcome, setups))

    def _outcome(self, setup: Setup) -> Outcome:
        replica = self.replicas.of(setup)
        if isinstance(replica, str):
            return Outcome(error=replica)
        try:
            result = self._simulated(setup, replica, replicas_of(setup))
        except InputError as error:
            return Outcome(error=str(error))
        return self._of(setup, result, replica)

    def exact(self, setup: Setup) -> tuple[Outcome, Estimate | None]:
        """Return the outcome of a setup as `serve` predicts it, with bands.

        Raises:
            InputError: It cannot serve the workload.
        """
        replica = self.replicas.of(setup)
        if isinstance(replica, str):
            raise NotServed(replica)
        return self._of(setup, self.result(setup), replica), None

    def _of(self, setup: Setup, result: ServingResult, replica: _Replica) -> Outcome:
        figures = {**figures_of(result, self.facts), "replicas": replicas_of(setup)}
        return Outcome(figures=figures, evidence=evidence_of(setup.on), spread=replica.costs.spread)

    def result(self, setup: Setup) -> ServingResult:
        """Return the simulation of a setup with its bands, on the path of its command.

        Raises:
            InputError: It cannot serve the workload.
        """
        key = setup.key
        if key not in self._results:
            terms = {name: value for name, value in setup.terms.items() if value is not None}
            self._results[key] = serve(
                self.replicas.variant(setup.variant),
                on=setup.on,
                workload=self.workload,
                slo={each.name: each.limit_s for each in self.objective},
                replicas=terms.pop(REPLICAS, 1),
                **terms,
            )
            self.simulations += len(ENDS)
        return self._results[key]

    def capacity_per_s(self, setup: Setup) -> float | None:
        """Return the requests per second that a replica sustains, in closed form; None if that is unknown."""
        replica = self.replicas.of(setup)
        known = not isinstance(replica, str) and isfinite(replica.capacity_per_s)
        return replica.capacity_per_s if known and not isinstance(replica, str) else None

    def weight_bytes(self, setup: Setup) -> float:
        """Return the bytes of all weights of a replica; 0 if it cannot run."""
        replica = self.replicas.of(setup)
        layout = setup.on.rank_layout
        return 0.0 if isinstance(replica, str) else float(replica.costs.weight_bytes * layout.tensor * layout.pipeline)

    # ---- replicas ----

    def sized(self, setup: TrafficSetup, *, spare: bool) -> TrafficSetup:
        """Return a setup with the fewest replicas that meet the objective; with `spare`, times the spare of the
        baseline.

        Raises:
            NotServed: No number of replicas up to the highest price meets the objective.
            InputError: The setup cannot run.
        """
        fewest = self.fewest(setup)
        return with_replicas(setup, ceil((self.spare if spare else 1.0) * fewest - _ROUNDING))

    def fewest(self, setup: Setup, *, end: str = "") -> int:
        """Return the fewest replicas that hold the objective.

        Args:
            setup: The setup.
            end: One of `ENDS`, at which all steps are.

        Raises:
            NotServed: No number of replicas up to the highest price meets the objective.
        """
        key = (with_replicas(setup, 1).key, end)
        if key not in self._fewest:
            try:
                self._fewest[key] = self._found(setup, end)
            except InputError as error:
                self._fewest[key] = str(error)
        found = self._fewest[key]
        if isinstance(found, str):
            raise NotServed(found)
        return found

    def _found(self, setup: Setup, end: str) -> int:
        replica = self.replicas.of(setup)
        if isinstance(replica, str):
            raise NotServed(replica)
        costs = stretched(replica.costs, high=end == "high") if end else replica.costs
        replica = replace(
            replica, costs=costs, capacity_per_s=_capacity_per_s(self.facts, costs, replica.scheduler), end=end
        )
        first = self._least(replica)
        most = _MOST_REPLICAS
        if costs.rent is not None and costs.rent.usd_per_device_h:  # full instances are paid at least
            least_usd_per_h = costs.rent.usd_per_device_h * costs.devices
            most = int(min(_MOST_REPLICAS, self.most_usd_per_h / least_usd_per_h))
        if first > max(1, most):
            least = "" if costs.rent is None else f", {costs.rent.usd_per_h(first):.4g} USD per hour"
            raise NotServed(f"it needs {first:,} replicas at least{least}")
        count, missed = first, None
        low = first - 1  # does not hold, or is not possible
        while True:
            missed = self._why_not(setup, replica, count)
            if not missed:
                break
            low = count
            count = count + 1 if count < first + _STEPS else 2 * count
            if count > max(1, most):
                raise NotServed(f"with {low:,} replica{'s' * (low != 1)}, {missed}")
        while count - low > 1:
            middle = (low + count) // 2
            low, count = (middle, count) if self._why_not(setup, replica, middle) else (low, middle)
        return count

    def _least(self, replica: _Replica) -> int:
        """Return the replicas below which the queue surely grows."""
        rate, capacity = self.facts.rate_per_s, replica.capacity_per_s
        known = isfinite(rate) and isfinite(capacity) and capacity > 0
        return max(1, ceil(_SURE * rate / capacity)) if known else 1

    def refused_by(self, setup: Setup) -> tuple[int, str]:
        """Return how many requests a setup refuses because they are too long, and why.

        Raises:
            NotServed: The setup cannot run, or it refuses all requests.
        """
        replica = self.replicas.of(setup)
        if isinstance(replica, str):
            raise NotServed(replica)
        result = self._simulated(setup, replica, self._least(replica))
        found = _refused(result)
        count, why = sum(found.values()), "; ".join(f"{many:,} {each}" for each, many in found.items())
        if count and not result.finished:
            raise NotServed(why)
        return count, why

    def _why_not(self, setup: Setup, replica: _Replica, count: int) -> str:
        """Return the limits that some replicas break; empty if they meet the objective and the queue does not grow.

        Raises:
            NotServed: A replica refuses requests, so that more of them do not help.
        """
        result = self._simulated(setup, replica, count)
        refused = _refused(result)
        if sum(refused.values()) > self.refused:
            raise NotServed("; ".join(f"{many:,} {why}" for why, many in refused.items()))
        rate, capacity = self.facts.rate_per_s, result.capacity_per_s
        left = {why: many for why, many in result.unfinished.items() if why not in refused}
        reasons = [*result.slo_missed, *(f"{many:,} {why}" for why, many in left.items())]
        if capacity is not None and isfinite(rate) and rate > capacity:
            reasons.append(f"{rate:.4g} requests/s are above the capacity of {capacity:.4g}")
        return "; ".join(reasons)

    def _simulated(self, setup: Setup, replica: _Replica, count: int) -> ServingResult:
        """Return the simulation of some replicas, without bands."""
        placed = with_replicas(setup, count)
        key = (placed.key, replica.end)
        if key in self._plain:
            return self._plain[key]
        routing = str(setup.terms.get("routing") or "least_loaded")
        run = Run(replica.costs, replica.scheduler, self.workload, self.facts, count, routing, replica.blocks)
        self.simulations += 1
        found = result_of(self.replicas.variant(setup.variant).name, run, simulated(run), self.objective)
        self._plain[key] = found
        return found


def _capacity_per_s(facts: Facts, costs: StepCosts, scheduler: Scheduler) -> float:
    """Return the requests per second that a replica sustains in closed form; not a number if they share prompts."""
    if facts.shares:
        return float("nan")
    load = OfferedLoad(
        prompt=max(1.0, facts.prompt),
        output=max(1.0, facts.output),
        prompt_square=facts.prompt_square,
        output_square=facts.output_square,
        rate_per_s=1.0,
    )
    return 1.0 / float(closed_form(Servers([costs], [scheduler]), load)["utilization"][0, 0])


def with_replicas(setup: AnySetup, count: int) -> AnySetup:
    """Return a setup with some replicas; the copies of its layout are among them."""
    on = setup.on
    if _copies(on) > 1:
        on = on.replace(layout=on.rank_layout.replace(data=1, nodes=1), devices=1)
    return replace(setup, on=on, terms={**setup.terms, REPLICAS: count})


def replicas_of(setup: Setup) -> int:
    """Return the number of replicas of a setup: copies of its layout, times the number that `with_replicas` sets."""
    return _copies(setup.on) * int(setup.terms.get(REPLICAS) or 1)


def _copies(on: Deployment) -> int:
    """Return the copies of a layout that exchange nothing."""
    layout = on.rank_layout
    return 1 if layout.expert > layout.tensor or layout.attention_data > 1 else layout.data


def _refused(result: ServingResult) -> dict[str, int]:
    """Return how many requests a server refuses because they are too long, by reason."""
    return {str(each): each.values["requests"] for each in result.lost if each.code in _REFUSED}


def evidence_of(on: Deployment) -> str:
    """Return the evidence of the bands of products of a machine, which take most of the time of a step."""
    evidence = on.machine.evidence
    return evidence.get("kernel.gemm", evidence.get("other", ""))


def figures_of(result: ServingResult, facts: Facts) -> dict[str, Any]:
    """Return the figures of a server by the names of `results.advice` and of the JSON of `serve`."""
    usd_per_h = result.usd_per_h
    joules = result.joules_per_token
    found: dict[str, Any] = {
        **{name: getattr(result, name) for name in (OF_TOKENS["cost_usd"], "usd_per_h")},
        "usd_per_month": None if usd_per_h is None else usd_per_h / 3600 * MONTH_S,
        "latency_s": result["e2e_s"].mean,
        "latency_low_s": result["e2e_s"].low.get("mean"),
        "latency_high_s": result["e2e_s"].high.get("mean"),
        "throughput_per_s": result.requests_per_s,
        "energy_per_item_j": None if joules is None else joules * facts.output,
        "joules_per_token": joules,
        "tokens_per_s": result.tokens_per_s,
        "capacity_per_s": result.capacity_per_s,
        "utilization": result.utilization,
        "kv_use_peak": result.kv_use_peak,
        "devices": result.devices,
        "unfinished": sum(result.unfinished.values()),
        "slo_met": result.slo_met,
        "slo_share": result.slo_share,
    }
    for name in ("ttft", "tpot", "e2e"):
        for each in ("p50", "p99"):
            found[f"{name}_{each}_s"] = getattr(result[f"{name}_s"], each)
    return known_figures(found)


def known_figures(figures: Mapping[str, Any]) -> dict[str, Any]:
    """Return figures with None for those that are no numbers: percentiles of nothing, JSON has none for them."""
    return {name: None if isinstance(each, float) and isnan(each) else each for name, each in figures.items()}
