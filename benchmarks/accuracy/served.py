"""Servers of tables of measurements: their step costs, settings and clients, simulated."""

from __future__ import annotations

import importlib.metadata
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

import pyinfercost as ic
from pyinfercost import _core
from pyinfercost.predict.plans import launched_graph
from pyinfercost.serving.latencies import FIRST_TOKEN_SPREAD
from pyinfercost.serving.runs import Run, at_ends_of_bands, facts_of, simulated
from pyinfercost.serving.scheduler import simulated_scheduler
from pyinfercost.serving.step_tables import StepCosts, Table

from .captures import Wanted, captured
from .cases import Case, Group, machine_key
from .recipes import serving_models
from .recipes.serving_models import DECODE, PREFILL
from .roofline import roofline_s

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pyinfercost import Graph, Hardware

    from .captures import Capturing
    from .measured import Problems

    Numbers = NDArray[np.float64]

_CONTEXT = 4096  # for which a sequence's part of the memory is counted
_TOKENS, _SEQUENCES = 16_384, 1024
_GRID = 24
_BY_DEFAULT = (0, 14)
"""Version of vLLM from which it schedules asynchronously by default."""


@dataclass(frozen=True)
class Served:
    """A deployment of a table.

    Attributes:
        device: Id in the catalog.
        engine: The engine.
        model: Name of the model in the table.
        precision: Precision in the table.
        layout: Its layout.
        kv_cache: Format of keys and values; empty for that of the model.
        serving: How the engine forms its steps.
    """

    device: str
    engine: str
    model: str
    precision: str
    layout: ic.Layout
    kv_cache: str = ""
    serving: str = ""


class Costs(NamedTuple):
    """Step costs of a deployment, and those of the plain roofline."""

    predicted: StepCosts
    roofline: StepCosts


@dataclass(eq=False)
class Deployments:
    """Step costs of deployments, each calculated once.

    Attributes:
        machines: Machines by their keys.
        graphs: Both phases of models, by name and precision.
        longest: Most tokens of a prompt with its answer.
    """

    machines: Mapping[str, Hardware]
    graphs: Mapping[tuple[str, str], Sequence[Graph]]
    longest: int = _TOKENS
    _known: dict[Served, Costs | str] = field(default_factory=dict)

    def costs(self, served: Served) -> Costs | str:
        """Return the step costs of a deployment, or why there are none."""
        if served not in self._known:
            try:
                self._known[served] = self._made(served)
            except ValueError as error:
                self._known[served] = f"refused: {' '.join(str(error).split())[:160]}"
        return self._known[served]

    def _made(self, served: Served) -> Costs | str:
        graphs = self.graphs.get((served.model, served.precision))
        if graphs is None:
            return "its model has no config, or no graph"
        if served.kv_cache:
            graphs = [ic.whatif(graph, kv_cache=served.kv_cache) for graph in graphs]
        loaded = machine_key(served.device, sustained=True)
        machine = self.machines.get(loaded, self.machines[served.device])
        on = ic.Deployment(
            hardware=machine,
            engine=served.engine,
            layout=served.layout,
            serving=served.serving,
            execution="cuda_graph" if machine.kind == "gpu" else "compiled",
        )
        costs = ic.serving.step_costs(
            *graphs,
            on=on,
            context=_CONTEXT,
            most_sequences=_SEQUENCES,
            most_tokens=_TOKENS,
            most_context=max(_TOKENS, self.longest),
        )
        if costs.pool_blocks is not None and costs.pool_blocks < 2:
            raise ValueError("the weights leave no memory for caches")
        return Costs(costs, self._roofline(served, graphs, machine, costs))

    def _roofline(self, served: Served, graphs: Sequence[Graph], machine: Hardware, costs: StepCosts) -> StepCosts:
        """Return the costs of steps that take as long as the plain roofline of their kernels, without a host."""
        decode, prefill = (launched_graph(graph, served.engine, served.layout) for graph in graphs)
        group = Group("serving", served.device, execution="cuda_graph")
        sequences = np.unique(np.geomspace(1, _SEQUENCES, _GRID).astype(np.int64))
        contexts = np.unique(np.geomspace(256, max(_TOKENS, self.longest), 8).astype(np.int64))
        tokens = np.unique(np.geomspace(2, _TOKENS, _GRID).astype(np.int64))
        steps = _roofline_at(
            decode, group, machine, batch=np.repeat(sequences, contexts.size), context=np.tile(contexts, sequences.size)
        ).reshape(sequences.size, contexts.size)
        reads = _roofline_at(prefill, group, machine, batch=np.ones_like(tokens), sequence=tokens)
        rows, columns = sequences.astype(float), contexts.astype(float)
        slope = np.maximum(0.0, (steps[:, -1] - steps[:, 0]) / (columns[-1] - columns[0]))
        beside = slope[:, None] * np.array([[1.0, columns[-1]]])
        rest = np.maximum.accumulate(np.maximum(steps[:, 0] - slope * columns[0], 0.0))
        knots = np.concatenate([[1.0], tokens.astype(float)])
        ascending = np.maximum.accumulate(np.concatenate([reads[:1], reads]))
        nothing = Table(np.array([1.0, 2.0]), np.zeros(2), np.zeros(2))
        beside = np.maximum.accumulate(beside, axis=0)
        last = beside[-2, 0] + beside[-1, 1] - beside[-2, 1]
        beside[-1, 0] = min(beside[-1, 0], max(last, 0.0))
        return replace(
            costs,
            tokens=Table(knots, ascending, np.zeros(knots.size)),
            recorded=Table(rows, rest, np.zeros(rows.size)),
            outputs=nothing,
            decode=Table(rows, beside, np.zeros_like(beside), np.array([1.0, columns[-1]])),
            prefill=Table(np.array([1.0, 2.0]), np.zeros((2, 2)), np.zeros((2, 2)), np.array([0.0, 1.0])),
            host_step_s=0.0,
            host_sequence_s=0.0,
            host_prefill_s=0.0,
        )


def _roofline_at(graph: Graph, group: Group, machine: Hardware, **sizes: NDArray[np.int64]) -> Numbers:
    names = {graph.size_of_role(role) or role: values for role, values in sizes.items()}
    count = len(next(iter(sizes.values())))
    known = {name: values for name, values in names.items() if name in graph.sizes}
    rows = np.arange(count)
    case = Case(group, graph, "native", "cuda_graph", known, np.ones(count), rows)
    return roofline_s([case], {case.hardware: machine})


def graphs_of(
    models: Sequence[tuple[str, str]], table: str, problems: Problems, capturing: Capturing
) -> dict[tuple[str, str], Sequence[Graph]]:
    """Return both phases of each model that has a config, by name and precision."""
    wanted: dict[tuple[str, str, str], Wanted] = {}
    version = importlib.metadata.version("transformers")
    for model, precision in dict.fromkeys(models):
        config = serving_models.config_of(model, precision)
        for phase in (DECODE, PREFILL) if config else ():
            recipe = (("config", json.dumps(config, sort_keys=True)), ("phase", phase), ("transformers", version))
            wanted[model, precision, phase] = Wanted("serving", model, recipe)
    made = captured(wanted.values(), serving_models.build, capturing)
    found: dict[tuple[str, str], Sequence[Graph]] = {}
    for model, precision in dict.fromkeys(models):
        both = [
            made.graph(wanted[model, precision, phase], 1)
            for phase in (DECODE, PREFILL)
            if wanted.get((model, precision, phase))
        ]
        kept = [graph for graph in both if graph is not None]
        if len(kept) == len((DECODE, PREFILL)):
            found[model, precision] = kept
        elif both:
            problems.add(table, made.reason(wanted[model, precision, DECODE]), model)
    return found


def schedules_ahead(engine: str, version: str) -> bool:
    """Return whether a version of vLLM prepares steps while the device works on those before, by default.

    The hosts of other engines are fitted to servers that do. A build of a night is newer than any version.
    """
    numbers = [int(part) for part in version.split(".")[:2] if part.isdigit()]
    return engine == "vllm" and (version.startswith("nightly") or tuple(numbers) >= _BY_DEFAULT)


class Latencies(NamedTuple):
    """Seconds of each request."""

    ttft_s: Numbers
    tpot_s: Numbers
    e2e_s: Numbers


class Outcome(NamedTuple):
    """Latencies as predicted, at both ends of the bands of steps, and by the plain roofline; and preemptions."""

    predicted: Latencies
    low: Latencies
    high: Latencies
    roofline: Latencies
    preemptions: int


def outcome(costs: Costs, workload: ic.Workload, settings: Mapping[str, Any]) -> Outcome:
    """Simulate one server with a workload.

    Raises:
        ValueError: A setting is refused, or a request was not answered.
    """
    run = run_of(costs.predicted, workload, settings)
    found = simulated(run)
    ends = list(at_ends_of_bands(run))
    plain = latencies(simulated(run_of(costs.roofline, workload, settings)))
    predicted, low, high = (latencies(each) for each in (found, *ends))
    factor = 1 + FIRST_TOKEN_SPREAD
    low = low._replace(ttft_s=np.minimum(low.ttft_s, predicted.ttft_s / factor))
    high = high._replace(ttft_s=np.maximum(high.ttft_s, predicted.ttft_s * factor))
    return Outcome(predicted, low, high, plain, int(found.preemptions.sum()))


def run_of(costs: StepCosts, workload: ic.Workload, settings: Mapping[str, Any]) -> Run:
    """Return the run of one server, without prefix caching.

    Raises:
        ValueError: A setting is refused.
    """
    facts = facts_of(workload)
    scheduler = simulated_scheduler(costs, {"enable_prefix_caching": False, **settings})
    blocks = scheduler.num_gpu_blocks or costs.pool_blocks or _SEQUENCES * (facts.longest // costs.block_tokens + 2)
    return Run(costs, scheduler, workload, facts, 1, "least_loaded", blocks)


def latencies(found: _core.Simulation) -> Latencies:
    """Return the latencies of the requests of a simulation, in their order."""
    finished = found.outcome == _core.SIMULATED_OUTCOMES.index("finished")
    if not finished.all():
        raise ValueError("a request was not answered")
    tokens = np.maximum(found.tokens - 1, 1)
    return Latencies(found.times("ttft_s"), (found.finish_s - found.first_token_s) / tokens, found.times("e2e_s"))
