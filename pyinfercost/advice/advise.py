"""`advise`: every tactic that applies is evaluated on a model, ranked by its saving, and combined into a plan."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from os import PathLike, fspath
from typing import TYPE_CHECKING, Any, SupportsIndex

from .. import _core
from .._checks import ANY_AMOUNT, Range, number, shown
from ..deployment import Deployment, UnpricedError, deployment_of, offers
from ..deployment.keywords import shows, split_options
from ..deployment.options import SizedOptions
from ..errors import InputError, InputTypeError
from ..results.advice import FIGURES, OBJECTIVES, RISKS, Advice
from ..results.figures import OF_TOKENS
from ..results.notices import Notice, notice
from ..sources.sizes import bind_sizes, call_sizes
from .answer import answer
from .case import Case
from .combinations import best_combinations
from .graphs import ModelGraphs
from .setup_figures import ForwardEvaluator
from .setups import Setup, Variant
from .tactic import Tactic
from .tactics import TACTICS

if TYPE_CHECKING:
    from ..serving.objectives import SLOLike
    from ..serving.traffic import TrafficLike
    from ..serving.workload import Workload
    from ..sources.capture import Capturable
    from .measured_accuracy import MeasuredAccuracy

NOTABLE = 0.01
"""Least share of the objective that a tactic or a plan must save to be advised."""

_MONEY = "cost_usd"
_SHARE = Range(0, 1, "share of the present cost")


class AdviceError(InputError):
    """The question cannot be answered; the message states the value and the expected values."""


@shows(SizedOptions)
def advise(
    model: Capturable,
    inputs: Any = (),
    *,
    on: Deployment | None = None,
    limits: Mapping[str, float] | None = None,
    objective: str | None = None,
    saving: float | None = None,
    risk: str = "rounding",
    evaluate: Callable[[Any], Any] | None = None,
    maximize: bool = True,
    among: Iterable[str] | None = None,
    all: bool = False,
    workload: Workload | None = None,
    traffic: TrafficLike | None = None,
    slo: SLOLike | None = None,
    progress: Callable[[int, int], None] | None = None,
    sizes: Mapping[str, SupportsIndex] | None = None,
    **options: Any,
) -> Advice:
    """Return the tactics that make a model cheaper, each with its saving, and the best plan of several together.

    Every figure is an estimate of the changed model and deployment; each setup comes with the command and the
    code that reproduce it.

    Args:
        model: A `Graph`, or anything that `capture` accepts. A module needs `inputs`; its first dimension is taken as
            the batch.
        inputs: Inputs of a module.
        on: Where and how the model runs now; keywords override its fields.
        limits: Figure -> its greatest value in a plan: `{"latency_s": 0.02}`. Figures are `"batch"` and the keys of
            `FIGURES` in `results.advice`.
        objective: The figure to minimize: `"cost_usd"` (USD of an item; the default where a price is known),
            `"latency_s"`, `"energy_per_item_j"` or `"carbon_g"`. Costs, energy and carbon assume a machine that runs
            without pause.
        saving: Share of the objective whose saving is enough, such as 0.5: plans then save at least that with as little
            effort as possible. By default they save as much as possible.
        risk: How far results may change in a plan: `"none"`, `"rounding"`, `"small"` or `"retrain"`. Tactics of a
            greater risk are listed, too.
        evaluate: A module -> its accuracy, for a `model` that is one: options that can be applied to it here are
            applied to copies and evaluated.
        maximize: Whether higher accuracy is better.
        among: Names of tactics to try, and ids of machines to consider; by default all tactics, and all machines with a
            price on the same terms.
        all: Whether to compare the tactics over batches and all machines, too.
        workload: Requests of a server, whose cost is then reduced, in USD per 10^6 tokens. Each
            option has as many replicas as it needs within `slo`, and is simulated as by `serve`.
        traffic: Traffic of a service, as in `fleet`, whose cost of a month is then reduced. Each option is a
            fleet that is simulated as by `fleet`.
        slo: Limits of latencies of requests: `"ttft_p99<0.5,tpot_p50<0.03"`.
        progress: Called with the graphs that were searched and all of them.
        sizes: Values of named sizes of the model now, for names that options have too.
        **options: Fields of `Deployment`, such as `hardware`, which take precedence over `on` (the price is by default
            the cheapest known on-demand one of the machine), and sizes by name. With a workload, `replicas` and
            settings of the scheduler that hold now, as in `serve`; with traffic, `autoscaler`, `prompt`, `output`,
            `duration_s` and others, as in `fleet`, and the fields of `fleets.Terms`; `acceptance` of drafts, for
            speculation, with both.

    Returns:
        The advice.

    Raises:
        InputError: A name or a value is unknown, there is no machine, or the model cannot run as it is given.

    Examples:
        >>> net = nn.Sequential(nn.Linear(784, 128), nn.ReLU(), nn.Linear(128, 10))
        >>> graph = ic.capture(net, torch.empty(1, 784), dynamic={0: {0: "batch"}})
        >>> advice = ic.advise(graph, hardware="l4", batch=8)
        >>> row = advice.rows[0]
        >>> f"{row.title}: {row.saving_share:.0%} less {advice.objective}"
        'the batch: 98% less cost_usd'
    """
    fields, named_sizes = split_options(options)
    deployment = deployment_of(on, fields)
    if deployment.hardware is None:
        raise AdviceError("no machine is given; pass hardware=, such as hardware='l4', alone or in on=")
    enough = None if saving is None else number(saving, "saving", _SHARE, AdviceError)
    if workload is not None or traffic is not None:
        of_forward: dict[str, object] = {"evaluate": evaluate, "all": all or None, "sizes": sizes}
        if unused := next((name for name, value in of_forward.items() if value is not None), None):
            raise AdviceError(f"{unused} is given with requests, and is of a forward; leave it out, or the requests")
        return _under_load(
            model, deployment, workload, traffic, slo, limits, objective, enough, risk, among, progress, named_sizes
        )
    if slo is not None:
        raise AdviceError("slo is of requests; pass workload= or traffic= with it, or limits={'latency_s': 0.02}")
    wanted = _checked_limits(limits)
    if risk not in RISKS:
        raise AdviceError(f"risk is {shown(risk)}; expected one of {', '.join(RISKS)}")
    tactics, machines = _chosen(among)
    notices: list[Notice] = []
    deployment, goal = _priced(deployment, objective, notices)
    with call_sizes(advise, sizes, named_sizes) as named:
        graphs, given, source = _graphs(model, inputs, named)
    baseline = Setup(deployment, sizes=given, continuous=goal != "latency_s", source=source)
    accuracy = None if evaluate is None else _measured(model, evaluate, maximize=maximize)
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
        accuracy=accuracy,
        has_module=graphs.has_module,
        enough=enough,
    )
    forward = tuple(tactic for tactic in tactics if tactic.needs == "forward")
    return answer(
        case, forward, notices, lambda asked, several: best_combinations(asked, several, progress), compare=all
    )


def _under_load(
    model: Any,
    on: Deployment,
    workload: Workload | None,
    traffic: TrafficLike | None,
    slo: SLOLike | None,
    limits: Mapping[str, float] | None,
    objective: str | None,
    enough: float | None,
    risk: str,
    among: Iterable[str] | None,
    progress: Callable[[int, int], None] | None,
    given: Mapping[str, Any],
) -> Advice:
    """Return the advice on a server or a fleet."""
    from ..hardware import names
    from .traffic_advice import TRAFFIC_FIGURES, Wanted, advise_fleet, advise_server

    if workload is not None and traffic is not None:
        raise AdviceError("workload and traffic are both given; pass one of them")
    if risk not in RISKS:
        raise AdviceError(f"risk is {shown(risk)}; expected one of {', '.join(RISKS)}")
    if isinstance(among, str):
        raise AdviceError(f"among is {shown(among)}; expected several names, such as ['served_precision', 'l4']")
    notices: list[Notice] = []
    on, _ = _priced(on, objective, notices)
    price = on.device_price
    terms = price.terms if price is not None and price.terms in ("on-demand", "spot", "reserved") else "on-demand"
    wanted = list(among or ())
    machines = tuple(name for name in wanted if name in names())
    tactics = [name for name in wanted if name not in machines]
    asked = Wanted(
        objective=objective,
        risk=risk,
        limits=_checked_limits(limits, TRAFFIC_FIGURES),
        among=[*tactics, "rented_machine"] if tactics and machines else tactics or None,
        machines=machines or _rented(terms),
        terms=terms,
        title=_title(_name_of(model)),
        notices=tuple(notices),
        progress=progress,
        enough=enough,
    )
    if workload is not None:
        return advise_server(model, on=on, workload=workload, slo=slo, wanted=asked, **given)
    return advise_fleet(model, on=on, traffic=traffic, slo=slo, wanted=asked, **given)  # type: ignore[arg-type]


_NEEDS = {
    _MONEY: "pass price=, such as price=2.49",
    OF_TOKENS[_MONEY]: "pass price=, and a model that reads tokens",
    "usd_per_month": "it is a figure of a fleet: pass traffic=",
    "latency_s": "pass hardware=",
    "energy_per_item_j": "its file has no power",
    "carbon_g": "pass region=, such as region='deu', and a machine with a known power",
}


def _checked_limits(limits: Mapping[str, float] | None, more: tuple[str, ...] = ()) -> dict[str, float]:
    if limits is not None and not isinstance(limits, Mapping):
        raise AdviceError(f"limits is {shown(limits)}; expected a mapping, such as {{'latency_s': 0.02}}")
    known = (*FIGURES, *(more or ("batch",)))
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


def _priced(on: Deployment, objective: str | None, notices: list[Notice]) -> tuple[Deployment, str]:
    """Return the deployment with a price, and the objective; note assumptions."""
    if objective is not None and objective not in OBJECTIVES:
        raise AdviceError(f"objective is {shown(objective)}; expected one of {', '.join(OBJECTIVES)}")
    if on.price is None and objective in (None, _MONEY, OF_TOKENS[_MONEY]):
        try:
            on = on.replace(price="on-demand")
        except UnpricedError:
            if objective is not None:
                raise
        else:
            price = on.device_price
            if price is not None:
                notices.append(notice("assumed_price", price=price.text, machine=on.machine.id))
    return on, objective or (_MONEY if on.price is not None else "latency_s")


def _rented(terms: str) -> tuple[str, ...]:
    """Return the machines that the catalog has on some terms, host included."""
    return tuple(sorted({each.device for each in offers() if terms in each.usd_per_h and each.host}))


def _graphs(model: Any, inputs: Any, sizes: Mapping[str, SupportsIndex]) -> tuple[ModelGraphs, dict[str, int], str]:
    """Return the graphs of a model, the sizes of the baseline, and an expression of the graph of a module."""
    if isinstance(model, (str, PathLike)):
        from ..sources.inputs import parse_inputs

        if any(parse_inputs(inputs)):
            raise InputTypeError(f"inputs were given for {model!r}, which brings its own; give them with a module")
        graphs = ModelGraphs(fspath(model), {name: int(value) for name, value in sizes.items()})
        opened = graphs.opened(Variant())
        known = {name: int(value) for name, value in opened.sizes.items()}
        fixed = {name: int(value) for name, value in opened.fixed.items() if name in sizes}
        return graphs, {**fixed, **known}, ""
    from ..sources.capture import capture, is_program

    graph, name, recapture, source = model, "", None, "graph"
    if is_program(model):
        graph, name, source = capture(model, inputs), type(model).__name__, "ic.capture(model)"
    elif not isinstance(model, _core.Graph):
        name = type(model).__name__
        graph, dynamic = _opened(model, inputs)
        source = f"ic.capture(model, inputs, dynamic={dynamic!r})" if dynamic else "ic.capture(model, inputs)"

        def recapture() -> _core.Graph:
            from ..sources.memory_formats import in_channels_last

            return capture(*in_channels_last(model, inputs), dynamic=dynamic)

    given = bind_sizes(graph, sizes)
    given = {name: size for name, size in graph.size_values(given).items() if not graph.depends_on_data(name)}
    return ModelGraphs(graph, given, name, recapture), given, source


def _opened(model: Any, inputs: Any) -> tuple[_core.Graph, dict[int | str, dict[int, str]]]:
    """Return the graph of a module, with its batch open if possible, and the open dimensions."""
    from ..sources.capture import capture
    from ..sources.inputs import parse_inputs

    args, kwargs = parse_inputs(inputs)
    keys: list[int | str] = [
        *(place for place, value in enumerate(args) if getattr(value, "ndim", 0)),
        *(name for name, value in kwargs.items() if getattr(value, "ndim", 0)),
    ]
    dynamic: dict[int | str, dict[int, str]] = {key: {0: "batch"} for key in keys}
    try:
        return capture(model, inputs, dynamic=dynamic), dynamic
    except (ValueError, RuntimeError, TypeError):
        return capture(model, inputs), {}


def _measured(model: Any, evaluate: Callable[[Any], Any], *, maximize: bool) -> MeasuredAccuracy:
    from ..sources.capture import is_program

    if isinstance(model, (str, PathLike, _core.Graph)) or is_program(model):
        raise AdviceError("evaluate is given without a module; pass the module itself as model, with its inputs")
    from .measured_accuracy import MeasuredAccuracy

    return MeasuredAccuracy(model, evaluate, maximize=maximize)


def _name_of(model: Any) -> str:
    """Return the spec or the name of a model that is served."""
    if isinstance(model, (str, PathLike)):
        return fspath(model)
    return getattr(model, "model", "") or getattr(model, "name", "") or "the model"


def _title(name: str) -> str:
    """Return the name of a model for a sentence: without the scheme of its source and folders."""
    scheme, colon, rest = name.partition(":")
    if not colon or not scheme.isidentifier():
        rest = name
    rest = rest.removesuffix("/config.json").removesuffix(".json")
    return rest.rpartition("/")[2] or name
