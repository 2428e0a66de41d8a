"""Evaluation of setups with traffic: a fleet of replicas for each, simulated as `fleet` does."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from threading import Lock
from typing import TYPE_CHECKING, Any

from .. import _core
from ..errors import InputError
from ..fleets.replicas import ENGINES, Modeled, Replica, batched_graph
from ..fleets.simulate import FleetCase, PoolCase, Rules, case_of, result_of_case, run_cases, work_of
from ..fleets.terms import Terms
from ..inputs.autoscalers import parse_autoscaler
from ..predict.count import count
from ..predict.workers import on_workers
from ..results.bill import MONTH_S
from ..results.figures import OF_TOKENS
from ..results.units import quantity
from ..serving.serve import Phases, phases_of
from ..sweeps.sweep import sweep
from ..transform.variants import varied
from .case import Outcome
from .serving_outcomes import NotServed, evidence_of, known_figures
from .traffic_setups import BILL, SCHEDULER

if TYPE_CHECKING:
    from ..deployment import Deployment
    from ..fleets.loads import PoolLoad
    from ..fleets.traffic import Traffic
    from ..results.estimate import Estimate
    from ..results.fleet_result import FleetResult
    from ..serving.runs import Facts
    from .setups import Setup, Variant

AUTOSCALER = "autoscaler"
"""Term with the text of an autoscaler."""

BATCHING = ("max_batch_size", "max_queue_delay_s")
"""Terms of models without tokens."""

DEFAULT_BATCH = 8
"""Most items of a batch that no term states."""

MOST_REQUESTS = {True: 4_000_000, False: 10_000_000}
"""Whether replicas form steps -> requests of a simulation, which then takes a second or two."""

_MANY = 0.05  # of the most requests, from which on fewer fleets are simulated: one takes a fifth of a second


@dataclass
class FleetEvaluator:
    """Predicts the figures of fleets of one pool under the same traffic.

    Attributes:
        model: The spec of the model, its graphs, or its graph.
        traffic: The requests.
        facts: Statistics of one pass over them.
        rules: Settings that all fleets have in common.
        cold_start_s: Seconds until a replica is ready; None for the sum of its parts.
        evaluated: Setups that were evaluated.
        simulations: Fleets that were simulated.
    """

    model: str | Phases | _core.Graph
    traffic: Traffic
    facts: Facts
    rules: Rules
    cold_start_s: float | None = None
    evaluated: int = 0
    simulations: int = 0
    _models: dict[Any, Phases | _core.Graph] = field(default_factory=dict, repr=False)
    _replicas: dict[Any, Replica | str] = field(default_factory=dict, repr=False)
    _loads: dict[Any, dict[str, PoolLoad]] = field(default_factory=dict, repr=False)
    _results: dict[Any, FleetResult | str] = field(default_factory=dict, repr=False)
    _emulated: dict[Any, str] = field(default_factory=dict, repr=False)
    _seconds: dict[Any, tuple[float, ...]] = field(default_factory=dict, repr=False)
    _lock: Lock = field(default_factory=Lock, repr=False)

    @property
    def is_slow(self) -> bool:
        """Whether a simulation takes so long that a search should try fewer fleets."""
        return self.traffic.requests > _MANY * MOST_REQUESTS[isinstance(self.model, Phases)]

    # ---- outcomes ----

    def outcomes(self, setups: Sequence[Setup]) -> list[Outcome]:
        """Return the outcome of each setup; fleets are simulated side by side."""
        self.evaluated += len(setups)
        self.simulate(setups)
        return [self._outcome(setup) for setup in setups]

    def _outcome(self, setup: Setup) -> Outcome:
        result = self._results[setup.key, ""]
        if isinstance(result, str):
            return Outcome(error=result)
        emulated = self._emulated.get(self._replica_key(setup, ""), "")
        return Outcome(figures=figures_of(result), evidence=evidence_of(setup.on), emulated_by=emulated)

    def exact(self, setup: Setup) -> tuple[Outcome, Estimate | None]:
        """Return the outcome of a setup: simulations of its command and of the search are the same."""
        return self.outcomes([setup])[0], None

    def simulate(self, setups: Sequence[Setup], end: str = "") -> None:
        """Simulate the fleets of some setups that were not yet.

        Args:
            setups: The setups.
            end: `"low"` or `"high"` for replicas at that end of their error bands.
        """
        left = {each.key: each for each in setups if (each.key, end) not in self._results}
        cases: list[tuple[Any, FleetCase]] = []
        on_workers(lambda each: self.replica(each, end), list(left.values()))
        for key, each in left.items():
            made = self._case(each, end)
            if isinstance(made, str):
                self._results[key, end] = made
            else:
                cases.append((key, made))
        threads = os.cpu_count() or 1
        raws = run_cases([case for _, case in cases], threads=threads) if cases else []
        self.simulations += len(cases)
        for (key, case), raw in zip(cases, raws, strict=True):
            self._results[key, end] = result_of_case(case, raw)
            self._seconds[key] = tuple(float(each) for each in raw["pools"][-1]["seconds_with"])

    def result(self, setup: Setup, end: str = "") -> FleetResult:
        """Return the simulation of a setup.

        Raises:
            InputError: It cannot serve the model.
        """
        self.simulate([setup], end)
        found = self._results[setup.key, end]
        if isinstance(found, str):
            raise InputError(found)
        return found

    def seconds_with(self, setup: Setup) -> tuple[float, ...]:
        """Return the time with 0, 1, 2 ... replicas.

        Raises:
            InputError: The setup cannot serve the model.
        """
        self.result(setup)
        return self._seconds[setup.key]

    def weight_bytes(self, setup: Setup) -> float:
        """Return the bytes of the weights of a model."""
        found = self.variant(setup.variant, setup.on, int(setup.terms.get("max_batch_size") or DEFAULT_BATCH))
        graph = found.decode if isinstance(found, Phases) else found
        return float(str(count(graph, sizes=dict.fromkeys(graph.sizes, 1)).total.parameter_bytes))

    def usd_at_full_use(self, setup: Setup) -> float:
        """Return USD per month if all places of all replicas were in use; infinite if the setup cannot run.

        The cost of fleets is proportional to it where the autoscaler and the traffic are the same, up to whole
        replicas.
        """
        replica = self.replica(setup)
        if isinstance(replica, str):
            return float("inf")
        hours = work_of(replica, self.traffic) / replica.concurrency / 3600
        return hours * (replica.usd_per_h or 0.0) * replica.full_share / self.traffic.last_s * MONTH_S

    def longer(self, setup: Setup, end: str) -> float | None:
        """Return the work of replicas at an end of their error bands over that as predicted; None if it is unknown."""
        found = [self.replica(setup, each) for each in ("", end)]
        hours = [work_of(each, self.traffic) / each.concurrency for each in found if not isinstance(each, str)]
        return hours[1] / hours[0] if len(hours) == len(found) and hours[0] else None

    def load(self, setup: Setup) -> tuple[Replica, PoolLoad]:
        """Return the replica of a setup, and the load of the traffic if no request waited.

        Raises:
            InputError: It cannot serve the model.
        """
        replica = self.replica(setup)
        if isinstance(replica, str):
            raise InputError(replica)
        loads = self._loads.setdefault(self._replica_key(setup, ""), {})
        if replica.name not in loads:
            loads[replica.name] = self.traffic.load(replica)
        return replica, loads[replica.name]

    # ---- parts ----

    def _case(self, setup: Setup, end: str) -> FleetCase | str:
        replica = self.replica(setup, end)
        if isinstance(replica, str):
            return replica
        try:
            policy = parse_autoscaler(str(setup.terms.get(AUTOSCALER, "static")))
            terms = Terms(**{name: setup.terms[name] for name in BILL if setup.terms.get(name) is not None})
            loads = self._loads.setdefault(self._replica_key(setup, end), {})
            return case_of([PoolCase(replica, policy, terms)], self.traffic, self.rules, loads)
        except InputError as error:
            return str(error)

    def replica(self, setup: Setup, end: str = "") -> Replica | str:
        """Return the replica of a setup, or why there is none."""
        key = self._replica_key(setup, end)
        if key not in self._replicas:
            try:
                self._check(setup, key)
                self._replicas[key] = self._modeled(setup, end).replica(setup.on)
            except InputError as error:
                self._replicas[key] = str(error)
        return self._replicas[key]

    def _check(self, setup: Setup, key: Any) -> None:
        """Reject a model without tokens that does not fit the memory; note a dtype that emulates its products."""
        if setup.on.engine in ENGINES:
            return
        batch = int(setup.terms.get("max_batch_size") or DEFAULT_BATCH)
        graph = self.variant(setup.variant, setup.on, batch)
        if isinstance(graph, Phases):
            return
        point = sweep(graph, on=setup.on, batch=[batch])
        if not bool(point["fits_in_memory"][0]):
            held = quantity(float(point["peak_memory_bytes"][0]), "B")
            has = quantity(setup.on.machine.memory_bytes, "B")
            raise NotServed(f"a batch of {batch} needs {held}, and {setup.on.machine.id} has {has}")
        self._emulated[key] = str(point["emulated_by"][0])

    def _replica_key(self, setup: Setup, end: str) -> Any:
        used = {name: value for name, value in setup.terms.items() if name in (*SCHEDULER, *BATCHING, "serverless")}
        return setup.on, setup.variant, tuple(sorted(used.items())), end

    def _modeled(self, setup: Setup, end: str) -> Modeled:
        batching: Mapping[str, Any] = {name: setup.terms[name] for name in BATCHING if name in setup.terms}
        settings = {name: setup.terms[name] for name in SCHEDULER if setup.terms.get(name) is not None}
        modeled = Modeled(
            self.variant(setup.variant, setup.on, int(batching.get("max_batch_size") or DEFAULT_BATCH)),
            self.traffic.workload,
            self.facts,
            self.rules.objective,
            self.rules.detail,
            settings=settings,
            cold_start_s=self.cold_start_s,
            serverless=bool(setup.terms.get("serverless")),
            **batching,
        )
        return replace(modeled.prepared([setup.on]), end=end)

    def variant(self, variant: Variant, on: Deployment, max_batch_size: int) -> Phases | _core.Graph:
        """Return the model in a variant: both phases for engines that form steps, else one graph of batches."""
        steps = on.engine in ENGINES
        given = variant.model or self.model
        made = (variant.model, steps, 0 if steps else max_batch_size)
        with self._lock:
            if made not in self._models:
                if steps:
                    self._models[made] = phases_of(given)  # type: ignore[arg-type]  # checked there
                else:
                    self._models[made] = batched_graph(given, max_batch_size)  # type: ignore[arg-type]
            key = (*made, variant)
            if key not in self._models:
                found = self._models[made]
                formats: dict[str, Any] = {
                    name: getattr(variant, name) for name in ("quantize", "prune", "kv_cache", "width")
                }
                changed = found.varied(**formats) if isinstance(found, Phases) else varied(found, **formats)
                self._models[key] = changed
            return self._models[key]


def figures_of(result: FleetResult) -> dict[str, Any]:
    """Return the figures of a fleet by the names of `results.advice` and of the JSON of `fleet`."""
    bill = result.bill
    finished = max(1, result.finished)
    found: dict[str, Any] = {
        "usd_per_month": result.usd_per_month,
        "cost_usd": None if bill is None else bill.usd / finished,
        **{name: getattr(bill, name, None) for name in ("usd_per_h", OF_TOKENS["cost_usd"])},
        "latency_s": result["e2e_s"].mean,
        "throughput_per_s": result.finished / result.duration_s if result.duration_s else None,
        "energy_per_item_j": None if result.energy_j is None else result.energy_j / finished,
        "carbon_g": None if result.carbon_g is None else result.carbon_g / finished,
        "carbon_g_per_month": result.carbon_g_per_month,
        "late_share": result.late_share,
        "slo_met": result.slo_met,
        "replicas": result.mean_replicas,
        "peak_replicas": result.peak_replicas,
        "starts": result.starts,
        "idle_share": result.idle_share,
    }
    found |= {f"{name}_s": value for name, value in result.slo_values.items()}
    for name in ("wait", "ttft", "tpot", "e2e"):
        for each in ("p50", "p99"):
            found.setdefault(f"{name}_{each}_s", getattr(result[f"{name}_s"], each))
    return known_figures(found)
