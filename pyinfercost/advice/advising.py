"""`advise`: every tactic that applies is evaluated on a model, ranked by what it saves, and combined into a plan."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from os import PathLike, fspath
from typing import TYPE_CHECKING, Any, SupportsIndex

from .. import _core
from .._checks import ANY_AMOUNT, number, shown
from ..deployment import Deployment, UnpricedError, deployment_of, offers
from ..errors import Error, InputError, InputTypeError
from ..results.advice import (
    OBJECTIVES,
    RISKS,
    Advice,
    AdvicePlan,
    AdviceRow,
    AdviceStep,
    AdvisedSetup,
    Unhelpful,
)
from ..sources.sizes import batch_name, bind_sizes, call_sizes
from .accuracy import published_note
from .case import Case, Outcome
from .combining import TOLERANCE, Choice, Choices, best_combinations
from .evaluating import ForwardEvaluator
from .facts import family_of
from .graphs import ModelGraphs
from .reasons import reason
from .sentences import sentence_of
from .setups import VARIANT, Setup, Variant
from .tactic import Option, Tactic, Tried
from .tactics import TACTICS

if TYPE_CHECKING:
    from ..deployment import HardwareLike, LayoutLike, PriceLike, ServingLike, StartupLike, TransferLike
    from ..sources.capture import Capturable

NOTABLE = 0.01
"""Least share of the objective that a tactic or a plan must save to be advised."""

_MONEY = "cost_usd"


class AdviceError(InputError):
    """The question cannot be answered; the message states what was given and what is expected."""


def advise(
    model: Capturable,
    inputs: Any = (),
    *,
    on: Deployment | None = None,
    hardware: HardwareLike | None = None,
    devices: SupportsIndex | None = None,
    layout: LayoutLike | None = None,
    precision: str | None = None,
    engine: str | None = None,
    serving: ServingLike | None = None,
    execution: str | None = None,
    threads: int | None = None,
    instances: SupportsIndex | None = None,
    sustained: bool | None = None,
    price: PriceLike | None = None,
    utilization: float | None = None,
    region: str | None = None,
    transfer: TransferLike | None = None,
    startup: StartupLike | None = None,
    limits: Mapping[str, float] | None = None,
    objective: str | None = None,
    risk: str = "rounding",
    among: Iterable[str] | None = None,
    progress: Callable[[int, int], None] | None = None,
    sizes: Mapping[str, SupportsIndex] | None = None,
    **named_sizes: SupportsIndex,
) -> Advice:
    """Return what would make a model cheaper: each tactic with what it saves, and the best plan of several together.

    Every figure is that of an estimate of the changed model and deployment; each setup comes with the command and the
    code that reproduce it.

    Args:
        model: A `Graph`, or anything that `capture` accepts. A module needs `inputs`; its first dimension is taken as
            the batch.
        inputs: Inputs of a module.
        on: Where and how the model runs now; the keywords below override its fields.
        hardware: The machine. This and the next fourteen are the fields of `Deployment`.
        price: By default the cheapest known on-demand price of the machine, if there is one.
        limits: Figure -> its greatest value in a plan: `{"latency_s": 0.02}`. Figures are those of `FIGURES` in
            `results.advice`, and `"batch"`.
        objective: The figure to minimize: `"cost_usd"` (USD of an item; the default where a price is known),
            `"latency_s"`, `"energy_per_item_j"` or `"carbon_g"`. Costs, energy and carbon are those of a machine that
            runs without pause.
        risk: How far results may change in a plan: `"none"`, `"rounding"`, `"small"` or `"retrain"`. Tactics of a
            greater risk are listed, too.
        among: Names of tactics to try, and ids of machines to consider; by default all tactics, and all machines with a
            price on the same terms.
        progress: Called with the graphs that were searched and all of them.
        sizes: Values of named sizes of the model now, for names that options have too.
        **named_sizes: The same by keyword.

    Returns:
        The advice.

    Raises:
        InputError: A name or a value is unknown, there is no machine, or the model cannot run as it is given.
    """
    deployment = deployment_of(
        on,
        hardware=hardware,
        devices=devices,
        layout=layout,
        precision=precision,
        engine=engine,
        serving=serving,
        execution=execution,
        threads=threads,
        instances=instances,
        sustained=sustained,
        price=price,
        utilization=utilization,
        region=region,
        transfer=transfer,
        startup=startup,
    )
    if deployment.hardware is None:
        raise AdviceError("no machine is given; pass hardware=, such as hardware='l4', alone or in on=")
    wanted = _checked_limits(limits)
    if risk not in RISKS:
        raise AdviceError(f"risk is {shown(risk)}; expected one of {', '.join(RISKS)}")
    tactics, machines = _chosen(among)
    notes: list[str] = []
    deployment, goal = _priced(deployment, objective, notes)
    with call_sizes(advise, sizes, named_sizes) as named:
        graphs, given = _graphs(model, inputs, named)
    baseline = Setup(deployment, sizes=given, continuous=goal != "latency_s")
    evaluator = ForwardEvaluator(graphs)
    outcome, estimate = evaluator.exact(baseline)
    if outcome.figures.get(goal) is None:
        raise AdviceError(f"{goal} of the model is not known on {deployment.machine.id}; {_NEEDS[goal]}")
    terms = deployment.device_price.terms if deployment.device_price is not None else ""
    terms = terms if terms in ("on-demand", "spot", "reserved") else "on-demand"
    case = Case(
        model=graphs.spec,
        title=_title(graphs.name),
        graphs=graphs,
        baseline=baseline,
        outcome=outcome,
        estimate=estimate,
        objective=goal,
        limits=wanted,
        risk=risk,
        machines=machines if machines else _rented(terms),
        terms=terms,
        evaluator=evaluator,
    )
    return _advice(case, tactics, notes, progress)


_NEEDS = {
    "cost_usd": "pass price=, such as price=2.49",
    "usd_per_million_tokens": "pass price=, and a model that reads tokens",
    "usd_per_month": "it is a figure of a fleet: pass traffic=",
    "latency_s": "pass hardware=",
    "energy_per_item_j": "its file has no power",
    "carbon_g": "pass region=, such as region='deu', and a machine with a known power",
}


def _checked_limits(limits: Mapping[str, float] | None) -> dict[str, float]:
    from ..results.advice import FIGURES

    if limits is not None and not isinstance(limits, Mapping):
        raise AdviceError(f"limits is {shown(limits)}; expected a mapping, such as {{'latency_s': 0.02}}")
    known = (*FIGURES, "batch")
    for name in limits or {}:
        if name not in known:
            raise AdviceError(f"limits have {shown(name)}; expected some of {', '.join(known)}")
    return {name: number(most, f"limit of {name}", ANY_AMOUNT, AdviceError) for name, most in (limits or {}).items()}


def _chosen(among: Iterable[str] | None) -> tuple[tuple[Tactic, ...], tuple[str, ...]]:
    """Return the tactics and the machines that `among` names; no machines for the usual ones."""
    if among is None:
        return TACTICS, ()
    if isinstance(among, str):
        raise AdviceError(f"among is {shown(among)}; expected several names, such as ['half_precision', 'batch']")
    from ..hardware import names

    wanted = list(among)
    known = {tactic.name for tactic in TACTICS}
    machines = tuple(name for name in wanted if name not in known)
    for name in machines:
        if name not in names():
            raise AdviceError(
                f"among has {shown(name)}; expected ids of machines, and tactics of {', '.join(sorted(known))}"
            )
    tactics = tuple(tactic for tactic in TACTICS if tactic.name in wanted)
    if machines and not tactics:
        tactics = TACTICS
    elif machines and not any(tactic.name == "machine" for tactic in tactics):
        tactics = (*tactics, *(tactic for tactic in TACTICS if tactic.name == "machine"))
    return tactics, machines


def _priced(on: Deployment, objective: str | None, notes: list[str]) -> tuple[Deployment, str]:
    """Return the deployment with a price, and the objective; what is assumed is noted."""
    if objective is not None and objective not in OBJECTIVES:
        raise AdviceError(f"objective is {shown(objective)}; expected one of {', '.join(OBJECTIVES)}")
    if on.price is None and objective in (None, "cost_usd", "usd_per_million_tokens"):
        try:
            on = on.replace(price="on-demand")
        except UnpricedError:
            if objective is not None:
                raise
        else:
            price = on.device_price
            if price is not None:
                notes.append(
                    f"the price is assumed: {price.usd_per_h:.4g} USD/h, {price.text}, the cheapest known; give your own"
                )
    return on, objective or (_MONEY if on.price is not None else "latency_s")


def _rented(terms: str) -> tuple[str, ...]:
    """Return the machines that the catalog has on some terms, host included."""
    return tuple(sorted({each.device for each in offers() if terms in each.usd_per_h and each.host}))


def _graphs(model: Any, inputs: Any, sizes: Mapping[str, SupportsIndex]) -> tuple[ModelGraphs, dict[str, int]]:
    """Return the graphs of a model, and the sizes of the baseline."""
    if isinstance(model, (str, PathLike)):
        from ..sources.inputs import parse_inputs

        if any(parse_inputs(inputs)):
            raise InputTypeError(f"inputs were given for {model!r}, which brings its own; give them with a module")
        graphs = ModelGraphs(fspath(model), {name: int(value) for name, value in sizes.items()})
        opened = graphs.opened(Variant())
        known = {name: int(value) for name, value in opened.sizes.items()}
        fixed = {name: int(value) for name, value in opened.fixed.items() if name in sizes}
        return graphs, {**fixed, **known}
    from ..sources.capture import capture, is_program

    graph, name = model, ""
    if not isinstance(model, _core.Graph):
        name = type(model).__name__
        graph = capture(model, inputs) if is_program(model) else _opened(model, inputs)
    given = bind_sizes(graph, sizes)
    given = {name: size for name, size in graph.size_values(given).items() if not graph.depends_on_data(name)}
    return ModelGraphs(graph, given, name), given


def _opened(model: Any, inputs: Any) -> _core.Graph:
    """Return the graph of a module with its batch open, or at one batch if it cannot be opened."""
    from ..sources.capture import capture
    from ..sources.inputs import parse_inputs

    args, kwargs = parse_inputs(inputs)
    keys: list[int | str] = [
        *(place for place, value in enumerate(args) if getattr(value, "ndim", 0)),
        *(name for name, value in kwargs.items() if getattr(value, "ndim", 0)),
    ]
    try:
        return capture(model, inputs, dynamic={key: {0: "batch"} for key in keys})
    except (ValueError, RuntimeError, TypeError):
        return capture(model, inputs)


def _title(name: str) -> str:
    """Return the name of a model for a sentence: without the scheme of its source and folders."""
    scheme, colon, rest = name.partition(":")
    if not colon or not scheme.isidentifier():
        rest = name
    rest = rest.removesuffix("/config.json").removesuffix(".json")
    return rest.rpartition("/")[2] or name


# ---- rows ------------------------------------------------------------------------------------------------------------


def _advice(
    case: Case, tactics: tuple[Tactic, ...], notes: list[str], progress: Callable[[int, int], None] | None
) -> Advice:
    forward = tuple(tactic for tactic in tactics if tactic.needs == "forward")
    rows, unhelpful = _rows(case, forward)
    best, here = best_combinations(case, forward, progress)
    plans = {}
    for combination in (best, here):
        if combination is not None and combination.choices and combination.setup.key not in plans:
            plans[combination.setup.key] = _plan(case, combination.choices, combination.setup)
    found = [None if each is None else plans.get(each.setup.key) for each in (best, here)]
    whole, stays = (_worth(case, each) for each in found)
    most = max((each[0].saving_share for each in found if each is not None), default=0.0)
    steps, outcome = (whole[1], whole[2]) if whole is not None else ((), None)
    evaluator: Any = case.evaluator
    return Advice(
        model=case.model or case.title,
        sentence=sentence_of(case, steps, outcome, most),
        objective=case.objective,
        risk=case.risk,
        limits=dict(case.limits),
        baseline=advised(case, case.baseline, case.outcome, text=describe(case, case.baseline, ())),
        within_limits=case.is_within_limits(case.outcome),
        rows=rows,
        best=None if whole is None else whole[0],
        here=None if stays is None else stays[0],
        unhelpful=unhelpful,
        comparison=(),
        setups=evaluator.evaluated,
        notes=tuple(notes),
    )


Planned = tuple[AdvicePlan, Choices, Outcome]


def _worth(case: Case, plan: Planned | None) -> Planned | None:
    """Return a plan if it saves enough, or makes a setup allowed that is not."""
    if plan is None or (plan[0].saving_share < NOTABLE and case.is_within_limits(case.outcome)):
        return None
    return plan


def _rows(case: Case, tactics: tuple[Tactic, ...]) -> tuple[tuple[AdviceRow, ...], tuple[Unhelpful, ...]]:
    """Return the tactics that help the baseline alone, best first, and the others with reasons."""
    tried: list[tuple[Tactic, Option, Setup]] = []
    refused: dict[str, list[str]] = {}
    for tactic in tactics:
        offered = tactic.options(case.baseline, case)
        refused[tactic.name] = [f"{each.text}: {each.why}" for each in offered.refused]
        for option in offered.found:
            try:
                tried.append((tactic, option, case.baseline.changed(option.change)))
            except Error as error:
                refused[tactic.name].append(f"{option.text}: {error}")
    outcomes = case.evaluator.outcomes([setup for _, _, setup in tried])
    rows, unhelpful = [], []
    for tactic in tactics:
        known = [
            (option, setup, outcome)
            for (owner, option, setup), outcome in zip(tried, outcomes, strict=True)
            if owner is tactic
        ]
        ran = []
        for option, setup, outcome in known:
            obstacle = case.cannot_run(setup, outcome)
            if obstacle is not None and (case.is_within_limits(case.outcome) or obstacle.of_engine or outcome.error):
                refused[tactic.name].append(f"{option.text}: {obstacle.why}")
            else:
                ran.append((option, setup, outcome))
        # A baseline that breaks a limit may be helped by steps that do not satisfy it alone.
        within = [each for each in ran if case.is_within_limits(each[2])]
        candidates = within or ([] if case.is_within_limits(case.outcome) else ran)
        if not candidates:
            why = "; ".join(dict.fromkeys(refused[tactic.name])) if not ran else _over_limits(case, ran)
            unhelpful.append(Unhelpful(tactic=tactic.name, title=tactic.title, why=why or "it has nothing to change"))
            continue
        option, setup, _ = _least(case, candidates)
        outcome, estimate = case.evaluator.exact(setup)
        saving = case.saving(outcome)
        if saving < NOTABLE:
            attempt = Tried(option, setup, outcome, estimate)
            why = tactic.why_not(attempt, case) or reason(attempt, case) or "the figures do not change"
            unhelpful.append(
                Unhelpful(tactic=tactic.name, title=tactic.title, why=why, option=option.text, saving_share=saving)
            )
            continue
        rows.append(_row(case, Choice(tactic, option), setup, outcome))
    return tuple(sorted(rows, key=lambda row: -row.saving_share)), tuple(unhelpful)


def _least(case: Case, candidates: list[tuple[Option, Setup, Outcome]]) -> tuple[Option, Setup, Outcome]:
    """Return the option of least objective; of nearly equal ones that of least latency."""
    least = min(outcome.value(case.objective) for _, _, outcome in candidates)
    near = [each for each in candidates if each[2].value(case.objective) <= least * (1 + TOLERANCE)]
    return min(near or candidates, key=lambda each: each[2].value("latency_s"))


def _over_limits(case: Case, ran: list[tuple[Option, Setup, Outcome]]) -> str:
    option, _, outcome = _least(case, ran)
    broken = [
        f"{name} would be {outcome.value(name):.4g}, and at most {most:.4g} is allowed"
        for name, most in case.limits.items()
        if outcome.value(name) > most
    ]
    return f"{option.text}: {'; '.join(broken)}" if broken else f"{option.text}: it does not fit the memory"


def _row(case: Case, choice: Choice, setup: Setup, outcome: Outcome) -> AdviceRow:
    tactic, option = choice
    saving, low, high = savings(case, setup, outcome)
    return AdviceRow(
        tactic=tactic.name,
        title=tactic.title,
        option=option.text,
        group=tactic.group,
        setup=advised(case, setup, outcome, text=describe(case, setup, (choice,))),
        saving_share=saving,
        saving_low_share=low,
        saving_high_share=high,
        risk=choice.risk,
        effort=choice.effort,
        accuracy=published_note(option.published or tactic.published, family_of(case.graph, case.model)),
        within_limits=case.is_within_limits(outcome),
        in_plan=option.in_plan and RISKS.index(choice.risk) <= RISKS.index(case.risk),
        apply=option.apply,
        note=option.note,
    )


def savings(case: Case, setup: Setup, outcome: Outcome) -> tuple[float, float, float]:
    """Return the saving of an outcome, and its least and greatest value within the bands.

    The relative errors of both setups are taken as independent and added in squares; they usually have the same sign,
    so that the range is a wide one. A setup with the same forward, such as one at another price, has the same error.
    """
    ratio = 1 - case.saving(outcome)
    spread = 0.0 if _same_forward(case.baseline, setup) else (case.outcome.spread**2 + outcome.spread**2) ** 0.5
    return 1 - ratio, 1 - ratio * (1 + spread), 1 - ratio / (1 + spread)


def _same_forward(one: Setup, other: Setup) -> bool:
    fields = ("precision", "engine", "serving", "execution", "threads", "instances", "devices", "layout")
    same = all(getattr(one.placed, name) == getattr(other.placed, name) for name in fields)
    machines = one.placed.machine, other.placed.machine
    return same and machines[0].name == machines[1].name and (one.variant, one.sizes) == (other.variant, other.sizes)


# ---- plans -----------------------------------------------------------------------------------------------------------


def _plan(case: Case, choices: Choices, setup: Setup) -> Planned:
    """Return a combination as a plan: its steps in order, each evaluated together with those before it."""
    ordered = _ordered(case, choices)
    steps: list[AdviceStep] = []
    done: Choices = ()
    saved = 0.0
    outcome, at = case.outcome, case.baseline
    for choice in ordered:
        done = (*done, choice)
        at = setup if len(done) == len(ordered) else _applied(case, done)
        outcome, _ = case.evaluator.exact(at)
        share = case.saving(outcome)
        steps.append(
            AdviceStep(
                tactic=choice.tactic.name,
                option=choice.option.text,
                setup=advised(case, at, outcome, text=describe(case, at, done)),
                adds_share=share - saved,
                saving_share=share,
                risk=choice.risk,
                effort=choice.effort,
                apply=choice.option.apply,
            )
        )
        saved = share
    saving, low, high = savings(case, at, outcome)
    plan = AdvicePlan(
        steps=tuple(steps),
        setup=steps[-1].setup,
        saving_share=saving,
        saving_low_share=low,
        saving_high_share=high,
        risk=max((step.risk for step in steps), key=RISKS.index),
    )
    return plan, ordered, outcome


def _applied(case: Case, choices: Choices) -> Setup:
    change = {name: value for choice in choices for name, value in choice.option.change.items()}
    return case.baseline.changed(change)


def _ordered(case: Case, choices: Choices) -> Choices:
    """Return options in the order of a plan: next the one that saves most, what is rented last; each step can run."""
    done: Choices = ()
    left = list(choices)
    while left:
        trials = []
        for choice in left:
            try:
                setup = _applied(case, (*done, choice))
            except Error:
                continue
            outcome = case.evaluator.outcomes([setup])[0]
            if case.cannot_run(setup, outcome) is None:
                trials.append((choice.tactic.buys, outcome.value(case.objective), len(trials), choice))
        chosen = min(trials)[3] if trials else left[0]
        done = (*done, chosen)
        left.remove(chosen)
    return done


# ---- setups in words -------------------------------------------------------------------------------------------------


def advised(case: Case, setup: Setup, outcome: Outcome, *, text: str) -> AdvisedSetup:
    """Return a setup with its figures, its command and its code."""
    return AdvisedSetup(
        text=text,
        figures=dict(outcome.figures),
        evidence=outcome.evidence,
        command=setup.command(case.model),
        code=setup.code(case.model),
        settings=_settings(case.baseline, setup),
    )


def _settings(baseline: Setup, setup: Setup) -> dict[str, Any]:
    """Return what differs from the baseline, as JSON values."""
    from .setups import deployment_settings

    old, new = (deployment_settings(each.placed) for each in (baseline, setup))
    found: dict[str, Any] = {name: new.get(name) for name in {**old, **new} if old.get(name) != new.get(name)}
    found |= {name: size for name, size in setup.sizes.items() if baseline.sizes.get(name) != size}
    found |= {
        name: getattr(setup.variant, name)
        for name in VARIANT
        if getattr(setup.variant, name) != getattr(baseline.variant, name)
    }
    return {name: value if isinstance(value, (int, float, str)) else str(value) for name, value in found.items()}


def describe(case: Case, setup: Setup, choices: Choices) -> str:
    """Return a setup in words."""
    if choices:
        return ", ".join(choice.option.text for choice in choices)
    on = setup.placed
    batch = batch_name(case.graphs.open(setup.variant))
    size = [f"batch {setup.sizes[batch]}"] if batch in setup.sizes else []
    return ", ".join([on.precision, on.execution, *size, f"on {on.machine.id}"])
