"""Advice on a server with a workload, and on a fleet with traffic."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from math import ceil, isfinite
from typing import TYPE_CHECKING, Any

from .. import _core
from .._checks import shown
from ..errors import InputError
from ..fleets.replicas import ENGINES, batched_graph
from ..fleets.request import Asked
from ..inputs.autoscalers import parse_autoscaler
from ..results.advice import MONEY
from ..results.figures import OF_TOKENS
from ..results.notices import Notice, notice
from ..serving.arrival_texts import KINDS
from ..serving.objectives import parse_slo
from ..serving.scheduler import Scheduler
from ..serving.serve import Phases, phases_of
from .answer import answer
from .fleet_outcomes import AUTOSCALER, BATCHING, MOST_REQUESTS, FleetEvaluator
from .questions import fleet_question, served_question
from .serving_outcomes import ServedEvaluator, with_replicas
from .setups import Variant
from .tactics.under_traffic import BATCHED_FLEETS, FLEETS, SERVED
from .traffic_case import TrafficCase
from .traffic_reasons import missed
from .traffic_search import best_under_traffic
from .traffic_setups import BILL, TrafficSetup

if TYPE_CHECKING:
    from os import PathLike

    from ..deployment import Deployment
    from ..fleets.traffic import Traffic
    from ..inputs.autoscalers import AutoscalerLike
    from ..results.advice import Advice
    from ..serving.lengths import LengthsLike
    from ..serving.objectives import SLOLike
    from ..serving.traffic import TrafficLike
    from ..serving.workload import Workload
    from .case import Outcome
    from .tactic import Tactic

TRAFFIC_FIGURES = (
    "usd_per_month",
    "usd_per_h",
    "replicas",
    "late_share",
    "peak_replicas",
    *(f"{name}_{each}_s" for name in ("ttft", "tpot", "e2e") for each in ("p50", "p99")),
)
"""Figures of servers and fleets that limits may name, in addition to figures of a forward."""

_DEARER = 2.0  # times the price of the baseline, beyond which more replicas are not tried
_HOUR_S, _DAY_S = 3600.0, 86_400.0

Progress = Callable[[int, int], None]


class TrafficAdviceError(InputError):
    """A question about a server or a fleet that cannot be answered."""


@dataclass(frozen=True)
class OpenGraphs:
    """The graphs of a model that is served.

    Attributes:
        decode: Graph of the model as given; for a language model, of its decode step.
        varied: Returns the graph in a variant.
    """

    decode: _core.Graph
    varied: Callable[[Variant], _core.Graph]

    def open(self, variant: Variant) -> _core.Graph:
        """Return the graph of a variant with its sizes open."""
        return self.decode if variant == Variant() else self.varied(variant)


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """Settings of an answer for all kinds of requests.

    Attributes:
        objective: The figure to minimize; None for the money of the question.
        risk: The greatest risk of a plan.
        limits: Figure -> greatest value.
        among: Names of tactics to try; None for all.
        machines: Ids of machines to consider; empty for none.
        terms: Terms at which they are rented.
        title: Name of the model for sentences.
        notices: Notices about the question.
        progress: Called now and then.
        enough: Share of the objective whose saving is enough; None for as much as possible.
    """

    objective: str | None
    risk: str
    limits: Mapping[str, float]
    among: Iterable[str] | None
    machines: tuple[str, ...]
    terms: str
    title: str
    notices: tuple[Notice, ...] = ()
    progress: Progress | None = None
    enough: float | None = None


def advise_server(
    model: str | PathLike[str] | Phases,
    *,
    on: Deployment,
    workload: Workload,
    wanted: Wanted,
    slo: SLOLike | None = None,
    replicas: int | None = None,
    routing: str = "least_loaded",
    acceptance: float | None = None,
    words: tuple[str, ...] | None = None,
    **settings: Any,
) -> Advice:
    """Return the tactics that make a server of a workload cheaper.

    Each option is simulated with as many replicas as it needs within the objective.

    Args:
        model: The spec of a language model's config without a phase, or both its phases.
        on: The deployment of a replica.
        workload: The requests.
        wanted: Settings of the answer.
        slo: Limits of latencies, as in `serve`.
        replicas: Replicas that there are now; None for as many as are needed.
        routing: How requests are shared by replicas.
        acceptance: Probability that a draft is accepted, for speculation; None assumes one, with a note.
        words: Options of the command line that make the workload; None for those that follow from it.
        **settings: Settings of the engine's scheduler.

    Raises:
        InputError: The model cannot be served as it is given.
    """
    for name in settings:
        Scheduler.check_name(name)
    if on.engine not in ENGINES:
        raise TrafficAdviceError(
            f"engine is {on.engine!r}, and a workload is served by {', '.join(ENGINES)}; pass engine=, or traffic= for "
            "a model without tokens"
        )
    phases = phases_of(model)
    objective = parse_slo(slo)
    text = ",".join(map(str, objective))
    evaluator = ServedEvaluator(phases, workload, objective)
    question = served_question(workload, text, words)
    terms = {**settings, **({"routing": routing} if routing != "least_loaded" else {})}
    baseline = TrafficSetup(on, terms=terms, continuous=False, question=question, sizer=evaluator)
    notices = list(wanted.notices)
    try:
        evaluator.refused, why = evaluator.refused_by(baseline)
    except InputError as error:
        raise TrafficAdviceError(f"the server cannot run as it is given: {error}") from error
    if evaluator.refused:
        notices.append(notice("refused", why=why))
    try:
        fewest = evaluator.fewest(baseline)
    except InputError as error:
        if replicas is None:
            raise TrafficAdviceError(f"no number of replicas serves these requests as asked: {error}") from error
        fewest = 0
    count = replicas or fewest
    baseline = with_replicas(baseline, count)
    if fewest:
        evaluator.spare = max(1.0, count / fewest)
        notices.append(notice("needed", requests=question.requests, replicas=fewest, given=replicas))
    outcome, _ = evaluator.exact(baseline)
    notices.insert(0, _limits(text, outcome, "; ".join(evaluator.result(baseline).slo_missed)))
    evaluator.most_usd_per_h = _DEARER * (outcome.figures.get("usd_per_h") or float("inf")) / evaluator.spare
    # The cost of requests that come at a rate is the cost of the replicas; clients that wait for answers send more to a
    # faster one.
    money = "usd_per_month" if isfinite(evaluator.facts.rate_per_s) else OF_TOKENS["cost_usd"]
    goal = wanted.objective or (money if on.device_price is not None else "latency_s")
    case = TrafficCase(
        model=phases.name,
        title=wanted.title,
        graphs=OpenGraphs(phases.decode, lambda variant: evaluator.replicas.variant(variant).decode),
        baseline=baseline,
        outcome=outcome,
        estimate=None,
        objective=goal,
        limits=wanted.limits,
        risk=wanted.risk,
        machines=wanted.machines,
        terms=wanted.terms,
        enough=wanted.enough,
        evaluator=evaluator,
        question=question,
        facts=evaluator.facts,
        slo=text,
        acceptance=acceptance,
    )
    _check_known(case)
    return _answered(case, _chosen(SERVED, wanted.among), notices, wanted)


def advise_fleet(
    model: str | PathLike[str] | Phases | _core.Graph,
    *,
    on: Deployment,
    traffic: TrafficLike,
    wanted: Wanted,
    slo: SLOLike | None = None,
    autoscaler: AutoscalerLike = "static",
    prompt: LengthsLike | None = None,
    output: LengthsLike | None = None,
    duration_s: float | None = None,
    scale: float = 1.0,
    start_s: float = 0.0,
    end_s: float | None = None,
    cold_start_s: float | None = None,
    detail: str = "fast",
    timeout_s: float | None = None,
    seed: int = 0,
    acceptance: float | None = None,
    commitment: str | None = None,
    **terms: Any,
) -> Advice:
    """Return the tactics that make a fleet cheaper whose size follows traffic.

    Args:
        model: As in `fleet`.
        on: The deployment of a replica.
        traffic: As in `fleet`.
        wanted: Settings of the answer.
        slo: Limits of latencies.
        autoscaler: The autoscaler that there is now.
        prompt: Tokens of prompts, where the traffic has none.
        output: Tokens of answers, likewise.
        duration_s: Time after which no request arrives; by default a day for generated traffic.
        scale: So many times the requests.
        start_s: Time of the traffic at which the simulation begins.
        end_s: Time at which requests end.
        cold_start_s: Seconds until a replica is ready.
        detail: Of engines, as in `fleet`.
        timeout_s: Time after which a request gives up.
        seed: Decides the random numbers.
        acceptance: Probability that a draft is accepted, for speculation.
        commitment: Price of hours that are paid ahead, such as `"discount=0.4,term_years=1"`.
        **terms: Batching, settings of the scheduler, and fields of `fleets.Terms` that hold now.

    Raises:
        InputError: The model cannot be served as it is given.
    """
    if on.engine not in ENGINES and (prompt is not None or output is not None):
        raise TrafficAdviceError(
            f"engine is {on.engine!r}, which reads no prompts; pass engine={ENGINES[0]!r} for a language model, or "
            "leave prompt and output out"
        )
    known = {name: value for name, value in terms.items() if value is not None}
    scheduler = {name: value for name, value in known.items() if name not in (*BATCHING, *BILL)}
    given: dict[str, Any] = {
        "slo": slo, "detail": detail, "prompt": prompt, "output": output, "duration_s": duration_s, "start_s": start_s,
        "end_s": end_s, "timeout_s": timeout_s, "seed": seed, "cold_start_s": cold_start_s, **scheduler,
    }  # fmt: skip
    served = phases_of(model) if on.engine in ENGINES and not isinstance(model, _core.Graph) else model
    asked = Asked.of(served, traffic, [on], days=1, options={**given, "scale": scale})
    notices = list(wanted.notices)
    begin_s, until_s, factor = start_s, end_s, 1.0
    most = MOST_REQUESTS[on.engine in ENGINES]
    if days := _busiest_days(asked.traffic, most):
        whole = asked.traffic.last_s / _DAY_S
        begin_s, until_s = start_s + days[0] * _DAY_S, start_s + days[1] * _DAY_S
        given |= {"start_s": begin_s, "end_s": until_s}
        asked = Asked.of(served, traffic, [on], days=1, options={**given, "scale": scale})
        notices.append(notice("busiest_days", days=whole, most=most, simulated=days[1] - days[0]))
    if asked.traffic.requests > most:
        factor = 1.0 / ceil(asked.traffic.requests / most)
        asked = Asked.of(served, traffic, [on], days=1, options={**given, "scale": scale * factor})
        notices.append(notice("sampled", share=factor, most=most))
    span_s = asked.traffic.last_s
    kind = traffic.partition(":")[0].strip() if isinstance(traffic, str) else ""
    generated = kind in KINDS and duration_s is None and end_s is None
    fields: dict[str, Any] = {
        "traffic": traffic if isinstance(traffic, str) else None if _is_object(traffic) else str(traffic),
        "prompt": prompt, "output": output, "duration_s": duration_s or (86_400.0 if generated else None),
        "scale": None if scale * factor == 1 else scale * factor, "start_s": begin_s or None, "end_s": until_s,
        "cold_start_s": cold_start_s, "detail": None if detail == "fast" else detail, "timeout_s": timeout_s,
        "seed": seed or None,
    }  # fmt: skip
    text = ",".join(map(str, asked.rules.objective))
    question = fleet_question(fields, text)
    if _is_object(traffic):
        question = replace(question, words=None)
    evaluator = FleetEvaluator(
        served if isinstance(served, (Phases, _core.Graph)) else str(served),
        asked.traffic,
        asked.modeled.facts,
        asked.rules,
        cold_start_s,
    )
    own = {AUTOSCALER: str(parse_autoscaler(autoscaler)), **known}
    baseline = TrafficSetup(on, terms=own, continuous=False, question=question)
    outcome, _ = evaluator.exact(baseline)
    if outcome.error:
        raise TrafficAdviceError(f"the fleet cannot run as it is given: {outcome.error}")
    notices.append(notice("simulated", requests=asked.traffic.requests, hours=span_s / _HOUR_S))
    graph = served.decode if isinstance(served, Phases) else batched_graph(served, 8)
    money = outcome.figures["usd_per_month"] is not None
    case = TrafficCase(
        model=_spec(served, model),
        title=wanted.title,
        graphs=OpenGraphs(graph, lambda variant: _graph_of(evaluator, variant, on)),
        baseline=baseline,
        outcome=outcome,
        estimate=None,
        objective=wanted.objective or ("usd_per_month" if money else "latency_s"),
        limits=wanted.limits,
        risk=wanted.risk,
        machines=wanted.machines,
        terms=wanted.terms,
        enough=wanted.enough,
        evaluator=evaluator,
        question=question,
        facts=asked.modeled.facts,
        slo=text,
        commitment=commitment or str(known.get("commitment") or ""),
        acceptance=acceptance,
    )
    _check_known(case)
    notices.insert(0, _limits(text, outcome, missed(baseline, case)))
    return _answered(case, _chosen(FLEETS if on.engine in ENGINES else BATCHED_FLEETS, wanted.among), notices, wanted)


def _answered(case: TrafficCase, tactics: tuple[Tactic, ...], notices: list[Notice], wanted: Wanted) -> Advice:
    return answer(case, tactics, notices, lambda asked, several: best_under_traffic(asked, several, wanted.progress))


_NEEDS = {
    **dict.fromkeys(MONEY, "pass price=, such as price=2.49"),
    OF_TOKENS["cost_usd"]: "pass price=, such as price=2.49, and requests with tokens",
    "energy_per_item_j": "the file of the machine has no power",
    "carbon_g": "pass region=, such as region='deu', and traffic= rather than workload=",
}


def _check_known(case: TrafficCase) -> None:
    if case.outcome.figures.get(case.objective) is None:
        need = _NEEDS.get(case.objective, "another objective is latency_s")
        raise TrafficAdviceError(f"{case.objective} of the present deployment is not known; {need}")


def _limits(text: str, outcome: Outcome, missed: str) -> Notice:
    """Return a notice about the limits of latencies, and whether they are met now."""
    if not text:
        return notice("no_slo")
    return notice("slo", slo=text, missed=missed if outcome.figures["slo_met"] is False else "")


def _chosen(tactics: tuple[Tactic, ...], among: Iterable[str] | None) -> tuple[Tactic, ...]:
    """Return the tactics with some names; the case has the ids of machines."""
    if among is None:
        return tactics
    wanted = set(among)
    known = [tactic.name for tactic in tactics]
    if unknown := sorted(wanted.difference(known)):
        raise TrafficAdviceError(
            f"among has {', '.join(map(shown, unknown))}; expected ids of machines, and tactics of {', '.join(known)}"
        )
    return tuple(tactic for tactic in tactics if tactic.name in wanted)


def _busiest_days(traffic: Traffic, most: int) -> tuple[int, int] | None:
    """Return the first of the busiest days and the one after the last: as many as have at most `most` requests.

    A single day may have more. None if all requests are few enough, or of one day.
    """
    if traffic.requests <= most or traffic.last_s <= _DAY_S:
        return None
    counts = traffic.counts(_DAY_S)
    for many in range(len(counts) - 1, 0, -1):
        sums = [int(counts[first : first + many].sum()) for first in range(len(counts) - many + 1)]
        if max(sums) <= most or many == 1:
            first = sums.index(max(sums))
            return first, first + many
    return None


def _is_object(traffic: Any) -> bool:
    return not isinstance(traffic, str) and not hasattr(traffic, "__fspath__")


def _spec(served: Any, model: Any) -> str:
    """Return the spec of a model; empty for one that is a graph."""
    if isinstance(served, Phases):
        return served.name
    return "" if isinstance(model, _core.Graph) else str(model)


def _graph_of(evaluator: FleetEvaluator, variant: Variant, on: Deployment) -> _core.Graph:
    found = evaluator.variant(variant, on, 8)
    return found.decode if isinstance(found, Phases) else found
