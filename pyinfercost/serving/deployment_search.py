"""Search for a deployment that serves a workload within an objective.

Tables of steps are made for each deployment, and the closed form gives the capacity of a replica, from which the fewest
replicas and the least cost follow. Deployments are then simulated in that order, each with as many replicas as it
needs, until no other one can be better than the best that was found.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from math import ceil, inf, isfinite
from typing import TYPE_CHECKING, Any, SupportsIndex

from .._checks import Range, shown, whole
from ..deployment import Deployment
from ..errors import InputError, InputTypeError
from ..inputs.layout import Layout, LayoutLike
from ..predict.layouts import layouts_on_machines, numbers_of
from ..predict.workers import on_workers
from ..results.declared import shared_fields
from ..results.serving_result import ServedTokens
from ..results.serving_search import GOALS, ServingCandidate, ServingSearch
from .latencies import with_bands
from .objectives import SLOError, parse_slo
from .runs import Facts, Run, facts_of, simulated
from .scheduler import Scheduler, simulated_scheduler
from .serve import Phases, ServeError, blocks_of, check_lengths, check_settings, phases_of, started, tables_of
from .servers import Servers
from .serving_figures import result_of
from .steady_state import OfferedLoad, closed_form
from .step_tables import StepCosts
from .workload import Workload

if TYPE_CHECKING:
    from os import PathLike

    from .._core import Graph
    from ..results.serving_result import ServingResult
    from .objectives import Condition, SLOLike

_REPLICAS = Range(1, 4096)
_MOST_REPLICAS = 4096
_SURE = 0.9  # share of the capacity in closed form that a replica has at least
_ALONE = 8.0  # times the replicas that hold all requests if each serves one: more do not make one faster
_PRECISION = 0.01  # of the highest rate
_LEAST_RATE = 1e-3  # of the capacity

Progress = Callable[[int, int], None]


def find_serving(
    goal: str,
    model: str | PathLike[str] | Sequence[Graph] | Phases,
    *,
    on: Deployment | Sequence[Deployment],
    workload: Workload,
    slo: SLOLike,
    layouts: str | Sequence[LayoutLike] | None = None,
    devices: SupportsIndex = 8,
    replicas: int = 1,
    routing: str = "least_loaded",
    executor: Executor | None = None,
    progress: Progress | None = None,
    **settings: Any,
) -> ServingSearch:
    """Find deployments that serve a workload within an objective, the best one first.

    Args:
        goal: `"replicas"`: the fewest replicas of each deployment. `"rate"`: the highest rate that each sustains with
            `replicas`. `"layout"`: the fewest devices, over all layouts. `"cheapest"`: the least price of an hour, over
            all layouts.
        model: The spec of a language model's config without a phase, `"hf:config.json"`, or both its graphs, alone
            or as `Phases`.
        on: Deployments to choose from: machines, precisions, engines, prices.
        workload: The requests.
        slo: Limits of latencies: `"ttft_p99<0.5,tpot_p50<0.03"`.
        layouts: Layouts of a replica: several, or `"all"` that are legal on 1, 2, 4 ... `devices`; by default all for
            `"layout"` and `"cheapest"`, and the layouts of the deployments for the others.
        devices: Most devices of a replica.
        replicas: Replicas of the goal `"rate"`.
        routing: How requests are shared by replicas, as in `serve`.
        executor: Any `concurrent.futures.Executor` (of dask, `client.get_executor()`) to make tables of steps on;
            without one they are made on threads.
        progress: Called with the deployments that are done and their number, now and then.
        **settings: Settings of the scheduler, as in `serve`.

    Returns:
        Deployments that hold, with their replicas, devices and cost; those that are out, with the reason; and the
        simulation of the best one. After Ctrl-C, those that were found.

    Raises:
        ServeError: The goal is unknown, a deployment has no price where cost decides, or no request fits the model.
        SLOError: The objective is missing, or cannot be read.
        LayoutError: A layout cannot be read.

    Examples:
        >>> on = ic.Deployment(hardware="h100-sxm-80gb", precision="bf16", engine="vllm", price="2.50/h")
        >>> load = ic.Workload(rate_per_s=4, prompt=1024, output=128, requests=500)
        >>> found = ic.find_serving("replicas", "hf:llama-3-8b.json", on=on, workload=load, slo="ttft_p99<0.5")
        >>> found.best.replicas
        1
    """
    asked = _Asked.of(goal, on, workload, slo, layouts, replicas, settings)
    known = _known_executor(executor)
    facts = facts_of(workload)
    most = whole(devices, "devices", Range(1, 4096), ServeError)
    phases = phases_of(model)
    several, out = _deployments(asked, phases, most)
    candidates, refused = _candidates(phases, several, facts, settings, known, progress)
    return _Search(asked, workload, facts, phases, routing, settings, candidates, [*out, *refused]).run(progress)


@dataclass(frozen=True)
class _Asked:
    goal: str
    deployments: tuple[Deployment, ...]
    objective: tuple[Condition, ...]
    layouts: tuple[Layout, ...] | None  # None for all
    replicas: int

    @classmethod
    def of(
        cls,
        goal: str,
        on: Deployment | Sequence[Deployment],
        workload: Workload,
        slo: SLOLike,
        layouts: str | Sequence[LayoutLike] | None,
        replicas: int,
        settings: Mapping[str, Any],
    ) -> _Asked:
        """Check the arguments of a search."""
        if goal not in GOALS:
            raise ServeError(f"goal is {shown(goal)}; expected one of {', '.join(GOALS)}")
        given: object = on
        several = (on,) if isinstance(on, Deployment) else tuple(on) if isinstance(given, Sequence) else ()
        if not several or not all(isinstance(each, Deployment) for each in several):
            raise ServeError(f"on is {shown(on)}; expected a Deployment, or several")
        if not isinstance(workload, Workload):
            raise InputTypeError(f"workload is a {type(workload).__name__}; expected a Workload")
        objective = parse_slo(slo)
        if not objective:
            raise SLOError("slo is not given; a search needs limits, such as ttft_p99<0.5,tpot_p50<0.03")
        for name in settings:
            Scheduler.check_name(name)
        for each in several:
            check_settings(each)
            if goal == "cheapest" and each.device_price is None:
                raise ServeError(
                    f"the deployment on {each.machine.id} has no price, and the goal is the cheapest one; pass price=, "
                    "such as price='on-demand' or price=2.49"
                )
        if goal == "rate" and workload.process.clients:
            raise ServeError("the workload is a closed loop, which has no rate; pass rate_per_s, or another goal")
        chosen: tuple[Layout, ...] | None
        if layouts == "all" or (layouts is None and goal in ("layout", "cheapest")):
            chosen = None
        elif layouts is None:
            chosen = ()
        else:
            chosen = tuple(map(Layout.parse, [layouts] if isinstance(layouts, str) else layouts))
            if not chosen:
                raise ServeError("layouts has no values; pass layouts, or 'all'")
        return cls(goal, several, objective, chosen, whole(replicas, "replicas", _REPLICAS, ServeError))


def _known_executor(executor: object) -> Executor | None:
    if executor is None or isinstance(executor, Executor):
        return executor
    hint = "; pass client.get_executor() of a dask client" if hasattr(executor, "get_executor") else ""
    raise InputTypeError(f"executor is {executor!r}; expected a concurrent.futures.Executor{hint}")


def _deployments(asked: _Asked, phases: Phases, most: int) -> tuple[list[Deployment], list[ServingCandidate]]:
    """Return the deployments with their layouts, and layouts that are out on all machines."""
    if asked.layouts == ():
        return list(asked.deployments), []
    if asked.layouts is not None:
        return [each.replace(layout=layout, devices=1) for each in asked.deployments for layout in asked.layouts], []
    numbers = [2**power for power in range(most.bit_length()) if 2**power <= most]
    machines = {each.machine.id: each.machine for each in asked.deployments}
    # Copies of a model without experts are replicas, of which there are as many as the workload needs.
    found = layouts_on_machines(
        phases.decode,
        numbers_of(sorted({*numbers, most})),
        list(machines.values()),
        precisions=list(dict.fromkeys(each.precision for each in asked.deployments)),
        engines=list(dict.fromkeys(each.engine for each in asked.deployments)),
        among={"nodes": 1},
    )
    legal = [layout for layout in found.found if layout.data == 1 or layout.expert > layout.tensor]
    out = [
        ServingCandidate(
            hardware=found.hardware, engine="", precision="", layout=each.layout, slo_values={}, reason=each.reason
        )
        for each in found.out
    ]
    return [each.replace(layout=layout, devices=1) for each in asked.deployments for layout in legal], out


def _tables(
    phases: Phases, on: Deployment, facts: Facts, settings: Mapping[str, Any]
) -> tuple[StepCosts, Scheduler, int] | str:
    """Return the tables of a deployment, its scheduler and its blocks, or why it is out."""
    try:
        costs = tables_of(phases, on, facts, settings)
        scheduler = simulated_scheduler(costs, settings, context=phases.context)
        blocks = blocks_of(costs, scheduler, facts)
        check_lengths(facts, scheduler)
        return costs, scheduler, blocks
    except InputError as error:
        return str(error)


@dataclass
class _Candidate:
    """A deployment whose replicas are counted.

    Attributes:
        on: The deployment of one replica.
        costs: Its steps.
        scheduler: Settings of its scheduler.
        blocks: Blocks of the cache of a copy.
        fewest: Replicas below which it cannot hold the rate.
        capacity_per_s: Highest rate of a replica in closed form; not a number if unknown.
        alone_s: Seconds of a request that is alone.
    """

    on: Deployment
    costs: StepCosts
    scheduler: Scheduler
    blocks: int
    fewest: int = 1
    capacity_per_s: float = float("nan")
    alone_s: float = 0.0

    def price_of(self, replicas: int) -> tuple[float, int]:
        """Return USD per hour of some replicas, and the devices that are paid; infinite without a price."""
        rent = self.on.rent
        return (
            (inf, self.on.devices * replicas)
            if rent is None
            else (rent.usd_per_h(replicas), rent.paid_devices(replicas))
        )

    def run(self, replicas: int, workload: Workload, facts: Facts, routing: str) -> Run:
        """Return the run of some replicas."""
        return Run(self.costs, self.scheduler, workload, facts, replicas, routing, self.blocks)


def _candidates(
    phases: Phases,
    several: list[Deployment],
    facts: Facts,
    settings: Mapping[str, Any],
    executor: Executor | None,
    progress: Progress | None,
) -> tuple[list[_Candidate], list[ServingCandidate]]:
    """Return the deployments with their tables and capacities in closed form, and those that are out."""
    done = 0

    def made(on: Deployment) -> tuple[StepCosts, Scheduler, int] | str:
        nonlocal done
        found = _tables(phases, on, facts, settings)
        done += 1
        if progress is not None:
            progress(done, 2 * len(several))
        return found

    if executor is None:
        tables = on_workers(made, several)
    else:
        futures = [executor.submit(_tables, phases, on, facts, dict(settings)) for on in several]
        tables = [future.result() for future in futures]
    pairs = list(zip(several, tables, strict=True))
    candidates = [_Candidate(on, *found) for on, found in pairs if not isinstance(found, str)]
    if candidates:
        _set_capacities(candidates, facts)
    return candidates, [_refused(on, found) for on, found in pairs if isinstance(found, str)]


def _set_capacities(candidates: list[_Candidate], facts: Facts) -> None:
    means = {
        "prompt": max(1.0, facts.prompt),
        "output": max(1.0, facts.output),
        "prompt_square": facts.prompt_square,
        "output_square": facts.output_square,
    }
    servers = Servers([each.costs for each in candidates], [each.scheduler for each in candidates])
    at_rate, alone = (
        closed_form(servers, OfferedLoad(**means, **load)) for load in ({"rate_per_s": 1.0}, {"clients": 1})
    )
    for row, each in enumerate(candidates):
        each.alone_s = float(alone["e2e_s"][row, 0]) / max(1, each.costs.copies)
        if facts.shares:
            continue  # prompts that are in the cache are not in the means
        each.capacity_per_s = 1.0 / float(at_rate["utilization"][row, 0])
        if isfinite(facts.rate_per_s) and isfinite(each.capacity_per_s):
            each.fewest = max(1, ceil(_SURE * facts.rate_per_s / each.capacity_per_s))


def _refused(on: Deployment, reason: str, values: Mapping[str, float] | None = None) -> ServingCandidate:
    return ServingCandidate(
        hardware=on.machine.id,
        engine=on.engine,
        precision=on.precision,
        layout=str(on.rank_layout),
        slo_values=values or {},
        reason=reason,
    )


class _Interrupted(Exception):
    """Ctrl-C ended a simulation."""


class _Search:
    def __init__(
        self,
        asked: _Asked,
        workload: Workload,
        facts: Facts,
        phases: Phases,
        routing: str,
        settings: Mapping[str, Any],
        candidates: list[_Candidate],
        out: list[ServingCandidate],
    ) -> None:
        self._asked, self._workload, self._facts, self._phases = asked, workload, facts, phases
        self._routing, self._settings = routing, settings
        self._candidates, self._out = candidates, out
        self._found: list[tuple[Any, ServingCandidate, _Candidate, Workload]] = []
        self._simulations = 0

    def run(self, progress: Progress | None) -> ServingSearch:
        """Simulate in the order of the least cost, and return what was found."""
        by_rate = self._asked.goal == "rate"
        ordered = sorted(self._candidates, key=self._least_key)
        interrupted = False
        for place, each in enumerate(ordered):
            if progress is not None:
                progress(len(ordered) + place, 2 * len(ordered))
            best = self._best_key()
            if best is not None and self._least_key(each) > best:
                self._out.append(_refused(each.on, f"not simulated: it {self._least_words(each)}"))
                continue
            try:
                if by_rate:
                    self._highest_rate(each)
                else:
                    self._fewest_replicas(each)
            except _Interrupted:
                interrupted = True
                break
        self._found.sort(key=lambda found: found[0])
        result = None if not self._found or interrupted else self._with_bands(*self._found[0][2:])
        return ServingSearch(
            model=self._phases.name,
            goal=self._asked.goal,
            slo=",".join(map(str, self._asked.objective)),
            requests=self._facts.requests,
            simulations=self._simulations,
            found=tuple(candidate for _, candidate, *_ in self._found),
            out=tuple(self._out),
            result=result,
            interrupted=interrupted or (result is not None and result.interrupted),
        )

    def _key(self, each: _Candidate, replicas: int, rate_per_s: float) -> tuple[float, ...]:
        """Return the key by which deployments are ranked, the least first."""
        usd_per_h, _ = each.price_of(replicas)
        devices = each.on.devices * replicas
        return {
            "rate": (-rate_per_s, usd_per_h, devices),
            "replicas": (replicas, usd_per_h, devices),
            "layout": (devices, usd_per_h),
            "cheapest": (usd_per_h, devices),
        }[self._asked.goal]

    def _least_key(self, each: _Candidate) -> tuple[float, ...]:
        return self._key(each, each.fewest, 0.0)

    def _least_words(self, each: _Candidate) -> str:
        if self._asked.goal == "cheapest":
            return f"costs at least {each.price_of(each.fewest)[0]:.4g} USD per hour"
        return f"takes at least {each.on.devices * each.fewest} devices"

    def _simulated(self, each: _Candidate, replicas: int, workload: Workload) -> ServingResult:
        run = each.run(replicas, workload, self._facts_at(workload), self._routing)
        self._simulations += 1
        result = result_of(self._phases.name, run, simulated(run), self._asked.objective)
        if result.interrupted:
            raise _Interrupted
        return result

    def _facts_at(self, workload: Workload) -> Facts:
        if workload is self._workload:
            return self._facts
        return facts_of(workload)

    def _holds(self, result: ServingResult) -> bool:
        """Whether all requests are answered within the objective, and the queue does not grow."""
        rate = self._facts.rate_per_s if self._asked.goal != "rate" else float("nan")
        grows = result.capacity_per_s is not None and isfinite(rate) and rate > result.capacity_per_s
        return not result.slo_missed and not result.unfinished and not grows

    def _values(self, result: ServingResult) -> dict[str, float]:
        return {each.name: each.value_of(result.latencies[each.latency]) for each in self._asked.objective}

    def _why(self, result: ServingResult, replicas: int) -> str:
        reasons = [*result.slo_missed, *(f"{count:,} {reason}" for reason, count in result.unfinished.items())]
        many = f"{replicas:,} replicas" if replicas > 1 else "one replica"
        return f"on {many}: {'; '.join(reasons) or 'the rate is above the capacity'}"

    def _fewest_replicas(self, each: _Candidate) -> None:
        """Find the fewest replicas that hold: more are doubled, and between both is halved."""
        most, dearer = self._most_replicas(each)
        low, high = each.fewest - 1, each.fewest  # low does not hold, or is not possible
        result = self._tried(each, high)
        if result is None:
            return
        if not self._holds(result):
            last = self._tried(each, most) if most > high else result
            if last is None:
                return
            if not self._holds(last):
                more = f"; {most + 1:,} cost more than the best" if dearer else ""
                self._out.append(_refused(each.on, f"{self._why(last, max(most, high))}{more}", self._values(last)))
                return
            low, high, result = high, most, last
        while high - low > 1:
            middle = min(2 * low, (low + high) // 2) if low else (low + high) // 2
            tried = self._simulated(each, middle, self._workload)
            if self._holds(tried):
                high, result = middle, tried
            else:
                low = middle
        self._add(each, high, self._workload, result, self._facts.rate_per_s)

    def _tried(self, each: _Candidate, replicas: int) -> ServingResult | None:
        """Simulate, or refuse a deployment that can serve no request."""
        try:
            return self._simulated(each, replicas, self._workload)
        except InputError as error:
            self._out.append(_refused(each.on, str(error)))
            return None

    def _most_replicas(self, each: _Candidate) -> tuple[int, bool]:
        """Return as many replicas as leave each one nearly idle, or as are not worse than the best that was found.

        The second value says that the best one is the limit.
        """
        clients = self._workload.process.clients
        rate = self._facts.rate_per_s
        inside = clients or (rate * each.alone_s if isfinite(rate) else self._facts.requests)
        most = int(min(_MOST_REPLICAS, max(each.fewest, ceil(_ALONE * inside))))
        best = self._best_key()
        if best is None or self._key(each, most, 0.0) <= best:
            return most, False
        low, high = each.fewest, most  # low is not worse
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (low, middle) if self._key(each, middle, 0.0) > best else (middle, high)
        return low, True

    def _best_key(self) -> tuple[float, ...] | None:
        """Return what the best that was found is ranked by, if others need not be simulated for that."""
        if self._asked.goal not in ("layout", "cheapest"):
            return None
        return min((key for key, *_ in self._found), default=None)

    def _highest_rate(self, each: _Candidate) -> None:
        replicas = self._asked.replicas
        high = each.capacity_per_s * replicas
        if not isfinite(high):
            high = self._facts.rate_per_s
        low, result, best = 0.0, None, None
        at = high * _LEAST_RATE
        first = self._at_rate(each, replicas, at)
        if first is None:
            return
        if not self._holds(first[1]):
            self._out.append(
                _refused(each.on, f"{self._why(first[1], replicas)}, at {at:.3g} requests/s", self._values(first[1]))
            )
            return
        low, best, result = at, *first
        high *= 1.1
        while high - low > _PRECISION * high:
            middle = (low + high) / 2
            tried = self._at_rate(each, replicas, middle)
            if tried is not None and self._holds(tried[1]):
                low, best, result = middle, *tried
            else:
                high = middle
        self._add(each, replicas, best, result, low)

    def _at_rate(self, each: _Candidate, replicas: int, rate: float) -> tuple[Workload, ServingResult] | None:
        try:
            workload = self._workload.at_rate(rate)
            return workload, self._simulated(each, replicas, workload)
        except InputError as error:
            self._out.append(_refused(each.on, str(error)))
            return None

    def _add(
        self, each: _Candidate, replicas: int, workload: Workload, result: ServingResult, rate_per_s: float
    ) -> None:
        usd_per_h, paid = each.price_of(replicas)
        candidate = ServingCandidate(
            hardware=each.on.machine.id,
            engine=each.on.engine,
            precision=each.on.precision,
            layout=result.layout,
            replicas=replicas,
            devices=each.on.devices * replicas,
            paid_devices=paid,
            rate_per_s=rate_per_s if isfinite(rate_per_s) else None,
            usd_per_h=usd_per_h if isfinite(usd_per_h) else None,
            **shared_fields(ServedTokens, result),
            slo_values=self._values(result),
        )
        # Equal ones are ranked by the condition that is nearest to its limit.
        nearest = max(candidate.slo_values[one.name] / one.limit_s for one in self._asked.objective)
        self._found.append(((*self._key(each, replicas, rate_per_s), nearest), candidate, each, workload))

    def _with_bands(self, each: _Candidate, workload: Workload) -> ServingResult:
        replicas = self._found[0][1].replicas
        run = each.run(replicas, workload, self._facts_at(workload), self._routing)
        result = result_of(self._phases.name, run, simulated(run), self._asked.objective)
        result = result if result.interrupted else with_bands(result, run)
        return started(result, each.on, self._phases, each.scheduler, self._settings)
