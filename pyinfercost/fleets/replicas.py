"""Replicas of a fleet: what one costs, how long it takes to start, and how fast it serves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import isfinite
from os import PathLike, fspath
from typing import TYPE_CHECKING, Any, TypeAlias

from .. import _core
from .._checks import Range, shown
from ..deployment import ColdStart, Deployment, Startup, cold_start, default_startup, recorded_graphs
from ..errors import InputError
from ..inputs.settings import Settings, label, number, whole
from ..predict.estimate import estimate
from ..serving import steady_state as steady
from ..serving.runs import Facts, Run, simulated_server, stretched
from ..serving.scheduler import Scheduler, simulated_scheduler
from ..serving.serve import Phases, blocks_of, check_lengths, check_settings, phases_of, tables_of
from ..serving.servers import Servers
from ..sources.captured import graph_over
from ..sweeps.sweep import sweep
from ..transform.variants import varied

if TYPE_CHECKING:
    from ..serving.objectives import Condition
    from ..serving.step_tables import StepCosts
    from ..serving.workload import Workload
    from .loads import PoolLoad

Model: TypeAlias = "str | PathLike[str] | Sequence[_core.Graph] | Phases | _core.Graph"

DETAILS = ("fast", "full")
"""How replicas of engines are simulated: with memory by tokens and drafts by their mean, or each step as it is."""

_SLOTS = Range(1, 2**20)
_SECONDS = Range(1e-9, 1e9, "s")
_DELAY = Range(0.0, 1e7, "s")
_WATTS = Range(0.0, 1e9, "W")
_USD = Range(0.0, 1e9, "USD per hour")
_NEAR_MOST = 0.9  # of the highest rate of a replica: beyond, requests wait longer and few more are served
_STEPS_OF_CLIENTS = 1.25
_FALLING_RESERVES = {"sglang": (0.7, 0.7 * 0.14, 600)}
"""Shares of the tokens to come for which memory is kept, at first and at last, and the steps between."""


class FleetError(InputError):
    """A fleet whose parts are missing, out of range or contradict each other."""


class Slots(Settings):
    """A replica that is known by its places and their time, without a model."""

    kind = "slots"
    unnamed = "slots"
    error = FleetError
    slots: int = whole(_SLOTS, "Requests that it serves at once.", default=1)
    service_s: float = number(_SECONDS, "Seconds of each, where requests have no time of their own.", default=1.0)
    name: str = label("Its name in results; by default its places and their time.", default="")
    usd_per_h: float | None = number(_USD, "Price of an hour; None leaves money out.", default=None)
    cold_start_s: float = number(_DELAY, "Seconds from its creation until it is ready.", default=0.0)
    idle_w: float | None = number(_WATTS, "Power without requests, in watts; None leaves energy out.", default=None)
    busy_w: float = number(_WATTS, "Additional power of each place in use, in watts.", default=0.0)

    def _check(self) -> None:
        self.__dict__["name"] = self.name or f"{self.slots} slots of {self.service_s:g} s"


@dataclass(frozen=True)
class Start:
    """Time from the creation of a replica until it is ready.

    Attributes:
        seconds: Typical seconds.
        low_s: Low end of their band.
        high_s: High end.
        parts: Part -> its seconds; empty if the whole is given.
    """

    seconds: float
    low_s: float
    high_s: float
    parts: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def given(cls, seconds: float) -> Start:
        """Return a time without a band."""
        return cls(seconds, seconds, seconds)


@dataclass(frozen=True, kw_only=True)
class Replica:
    """A replica as a fleet runs it.

    Attributes:
        name: The deployment in words.
        on: The deployment; None for slots without a model.
        core: What the simulator runs for each copy.
        copies: Copies of the model in it.
        limit: Requests that it is handed at most; 0 for any number, since it has a queue of its own.
        concurrency: Requests that it serves at once: its places, or those within the objective.
        prompt_s: Mean seconds of a token of a prompt at that concurrency; 0 without tokens.
        token_s: Mean seconds of a further token of an answer, likewise.
        service_s: Mean seconds of a request.
        capacity_per_s: Highest rate of requests per second that it sustains.
        usd_per_h: Price of an hour, if it is alone; None without a price.
        devices: Devices that it occupies; 0 if they are unknown.
        start: How long it takes to be ready.
        idle_w: Power of a replica without requests, in watts; None if it is unknown.
    """

    name: str
    on: Deployment | None = field(repr=False)
    core: _core._FleetReplica = field(repr=False)
    copies: int
    limit: int
    concurrency: float
    prompt_s: float
    token_s: float
    service_s: float
    capacity_per_s: float
    usd_per_h: float | None
    devices: int
    start: Start
    idle_w: float | None

    @property
    def rate_per_s(self) -> float:
        """Requests that it finishes per second, when it serves `concurrency` at once."""
        return self.concurrency / self.service_s

    @property
    def full_share(self) -> float:
        """Its cost on instances without unused devices, over its cost alone."""
        rent = None if self.on is None else self.on.rent
        return 1.0 if rent is None else self.devices / rent.paid_devices()

    def machines(self, replicas: int) -> float:
        """Return how many times as much as one some replicas pay, which fill instances together."""
        rent = None if self.on is None else self.on.rent
        return float(replicas) if rent is None else rent.paid_devices(replicas) / rent.paid_devices()

    def load(self, load: PoolLoad, work_s: float, *, less: float = 0.0) -> _core.ReplicaLoad:
        """Return what targets of autoscalers are derived from.

        Args:
            load: The load if no request waited.
            work_s: Seconds in service of all requests.
            less: Requests that other replicas serve.
        """
        import numpy as np

        share = 1.0
        if less:
            left = np.maximum(0.0, load.running_s - less)
            share = float(left.sum()) / max(1e-30, float(load.running_s.sum()))
        return _core.ReplicaLoad(
            concurrency=self.concurrency,
            rate_per_s=self.rate_per_s,
            mean_in_flight=share * work_s / load.end_s,
            peak_in_flight=max(0.0, float(load.most.max()) - less),
            cold_start_s=self.start.seconds,
        )


@dataclass(frozen=True)
class Modeled:
    """A model, prepared for replicas on several deployments.

    Attributes:
        model: The model as it was given; None if all replicas are `Slots`.
        workload: The requests.
        facts: What one reading of them said.
        objective: Limits of latencies.
        detail: How engines are simulated.
        max_batch_size: Most items of a batch of a model without tokens.
        max_queue_delay_s: Time that an item waits for others.
        settings: Settings of the scheduler of an engine.
        cold_start_s: Seconds until a replica is ready; None for the sum of its parts.
        phases: The graphs of a language model; None if no deployment has an engine.
        serverless: Whether a service has machines ready, which are not paid before they start a replica.
        end: `"low"` or `"high"` if all steps and batches take that end of their error band; empty as predicted.
    """

    model: Model | None
    workload: Workload
    facts: Facts
    objective: tuple[Condition, ...] = ()
    detail: str = "fast"
    max_batch_size: int = 8
    max_queue_delay_s: float = 0.0
    settings: Mapping[str, Any] = field(default_factory=dict)
    cold_start_s: float | None = None
    phases: Phases | None = None
    serverless: bool = False
    end: str = ""

    def prepared(self, places: Sequence[Deployment | Slots]) -> Modeled:
        """Return the model with the graphs that its deployments need, captured once.

        Raises:
            FleetError: A deployment needs a model, and there is none.
        """
        if self.model is None:
            if all(isinstance(each, Slots) for each in places):
                return self
            raise FleetError("model is None, and a deployment needs one; pass a model, or Slots")
        if any(isinstance(each, Deployment) and each.engine in ENGINES for each in places):
            return replace(self, phases=phases_of(self.model))  # type: ignore[arg-type]  # checked there
        return self

    def replica(self, place: Deployment | Slots) -> Replica:
        """Return the replica of a deployment.

        Raises:
            InputError: It cannot serve the model.
        """
        if isinstance(place, Slots):
            return _of_slots(place, self.cold_start_s)
        if self.phases is not None and place.engine in ENGINES:
            return self._of_engine(place, self.phases)
        return self._of_batches(place)

    # ---- engines with steps ----

    def _of_engine(self, on: Deployment, phases: Phases) -> Replica:
        check_settings(on)
        costs = tables_of(phases, on, self.facts, self.settings)
        if self.end:
            costs = stretched(costs, high=self.end == "high")
        scheduler = simulated_scheduler(costs, self.settings, context=phases.context)
        blocks = blocks_of(costs, scheduler, self.facts)
        check_lengths(self.facts, scheduler)
        run = Run(costs, scheduler, self.workload, self.facts, 1, "least_loaded", blocks)
        concurrency, prompt_s, token_s, service_s, capacity_per_s = self._at_objective(costs, scheduler, run)
        started = on.replace(startup=startup_of(on, serverless=self.serverless))
        graphs = recorded_graphs(on.engine, on.execution, on.settings)
        start = cold_start(
            on.machine, costs.weight_bytes, started.replica_startup, engine=on.engine, graphs=graphs
        )  # fmt: skip
        return Replica(
            name=_name_of(on),
            on=on,
            core=_core.EngineReplica(simulated_server(run)) if self.detail == "full" else _tokens(run),
            copies=costs.copies,
            limit=0,
            concurrency=concurrency,
            prompt_s=prompt_s,
            token_s=token_s,
            service_s=service_s,
            capacity_per_s=capacity_per_s,
            usd_per_h=None if on.rent is None else on.rent.usd_per_h(),
            devices=costs.devices,
            start=self._start(on, start),
            idle_w=costs.idle_w * costs.copies if isfinite(costs.idle_w) else None,
        )

    def _at_objective(self, costs: StepCosts, scheduler: Scheduler, run: Run) -> tuple[float, ...]:
        """Return the most requests within the objective, times at that load, and the highest rate.

        The first number of clients whose rate is near the highest one is enough; fewer, if the objective's limits of
        mean times would not hold.
        """
        import numpy as np

        means = {
            "prompt": max(1.0, self.facts.prompt),
            "output": max(1.0, self.facts.output),
            "prompt_square": self.facts.prompt_square,
            "output_square": self.facts.output_square,
        }
        clients = [1.0]
        while clients[-1] < run.sequences:
            clients.append(min(float(run.sequences), max(clients[-1] + 1, np.floor(clients[-1] * _STEPS_OF_CLIENTS))))
        several = [steady.OfferedLoad(**means, clients=each * costs.copies) for each in clients]
        found = steady.closed_form(Servers([costs], [scheduler]), several)
        figures = {name: found[name][0] for name in ("ttft_s", "tpot_s", "e2e_s", "running")}
        rate = np.asarray(clients) * costs.copies / figures["e2e_s"]
        holds = np.ones(len(clients), dtype=bool)
        for each in self.objective:
            if each.latency in figures:
                holds &= figures[each.latency] <= each.limit_s
        near = int(np.argmax(rate >= _NEAR_MOST * rate.max()))
        last = int(np.flatnonzero(holds)[-1]) if holds.any() else 0
        at = min(near, last)
        token_s = float(figures["tpot_s"][at])
        reading_s = max(0.0, float(figures["e2e_s"][at]) - token_s * (means["output"] - 1))
        service_s = reading_s + token_s * (means["output"] - 1)
        return clients[at] * costs.copies, reading_s / means["prompt"], token_s, service_s, float(rate.max())

    def _start(self, on: Deployment, known: ColdStart | None) -> Start:
        """Return how long a replica takes to be ready.

        Raises:
            FleetError: That is unknown.
        """
        if self.cold_start_s is not None:
            return Start.given(self.cold_start_s)
        if known is None:
            raise FleetError(
                f"the cold start on {on.machine.id} is unknown: its file has no link to the host, or the warm-up of "
                f"engine {on.engine} is not known; pass cold_start_s, or startup='warmup=SECONDS'"
            )
        return Start(known.seconds, known.low_s, known.high_s, {part.name: part.seconds for part in known.parts})

    # ---- models without tokens ----

    def _of_batches(self, on: Deployment) -> Replica:
        model = self.model
        if not isinstance(model, (str, PathLike, _core.Graph)):
            raise FleetError(
                f"model is {shown(model)}; expected one model for engine {on.engine!r}: a spec such as "
                "torchvision:resnet50, a file, or a graph"
            )
        sizes = range(1, self.max_batch_size + 1)
        graph = batched_graph(model, self.max_batch_size)
        started = on.replace(startup=startup_of(on, serverless=self.serverless))
        points = sweep(graph, on=on, batch=sizes)
        start = estimate(graph, on=started, batch=self.max_batch_size).cold_start
        latency = [float(each) for each in points[f"latency_{self.end}_s" if self.end else "latency_s"]]
        if on.transfer is not None and not on.data_transfer.overlapped:
            latency = [each + float(more) for each, more in zip(latency, points["transfer_s"], strict=True)]
        joules = [float(each) for each in points["energy_j"]]
        service_s = latency[-1]
        idle_w = on.machine.power_w.get("idle")
        return Replica(
            name=_name_of(on),
            on=on,
            core=_core.BatchReplica(
                latency_s=latency,
                joules=[each if isfinite(each) else 0.0 for each in joules],
                instances=on.instances,
                delay_s=self.max_queue_delay_s,
            ),
            copies=1,
            limit=2 * on.instances * self.max_batch_size,
            concurrency=float(on.instances * self.max_batch_size),
            prompt_s=0.0,
            token_s=0.0,
            service_s=service_s,
            capacity_per_s=on.instances * self.max_batch_size / service_s,
            usd_per_h=None if on.rent is None else on.rent.usd_per_h(),
            devices=on.devices,
            start=self._start(on, start),
            idle_w=idle_w if isfinite(joules[0]) else None,
        )


ENGINES = ("vllm", "sglang", "trtllm")
"""Engines whose replicas are simulated step by step; others serve batches."""


def startup_of(on: Deployment, *, serverless: bool = False) -> Startup:
    """Return how a replica of a deployment starts.

    Args:
        on: The deployment; without a startup of its own, `default_startup` of its engine.
        serverless: Whether a service has machines ready, which are not paid before they start a replica.
    """
    if on.startup is not None:
        return on.replica_startup
    found = default_startup(on.engine, added=True)
    return found.replace(machine="running", weights_from="nvme") if serverless else found


def batched_graph(model: str | PathLike[str] | _core.Graph, max_batch_size: int) -> _core.Graph:
    """Return the graph of a model without tokens, for all batches up to the largest one."""
    if isinstance(model, _core.Graph):
        return model
    return graph_over(fspath(model), {"batch": [1, max(2, max_batch_size)]}).graph


def varied_model(
    model: str,
    places: Sequence[Deployment | Slots],
    *,
    max_batch_size: int = 8,
    quantize: str = "",
    prune: str = "",
    kv_cache: str = "",
    width: float = 1.0,
) -> Model:
    """Return a model with other formats, pruned weights or widths, for replicas on some deployments.

    Args:
        model: Its spec, as in `fleet`.
        places: The deployments, of which those with a serving engine need both phases of a language model.
        max_batch_size: Most items of a batch of a model without an engine.
        quantize: Formats of weights, as in `transform.variants.varied`, and so are the next ones.
        prune: Structure of pruned weights.
        kv_cache: Format of keys and values.
        width: Share of the channels that are kept.

    Raises:
        FormatError: A format is unknown, or applies to nothing.
        ChannelGroupsError: The model has no channels that can be removed.
    """
    if not (quantize or prune or kv_cache or width != 1):
        return model
    if any(isinstance(each, Deployment) and each.engine in ENGINES for each in places):
        return phases_of(model).varied(quantize=quantize, prune=prune, kv_cache=kv_cache, width=width)
    graph = batched_graph(model, max_batch_size)
    return varied(graph, quantize=quantize, prune=prune, kv_cache=kv_cache, width=width)


def _of_slots(slots: Slots, cold_start_s: float | None) -> Replica:
    return Replica(
        name=slots.name,
        on=None,
        core=_core.SlotReplica(slots=slots.slots, service_s=slots.service_s, joules=slots.busy_w),
        copies=1,
        limit=slots.slots,
        concurrency=float(slots.slots),
        prompt_s=0.0,
        token_s=0.0,
        service_s=slots.service_s,
        capacity_per_s=slots.slots / slots.service_s,
        usd_per_h=slots.usd_per_h,
        devices=0,
        start=Start.given(slots.cold_start_s if cold_start_s is None else cold_start_s),
        idle_w=slots.idle_w,
    )


def _tokens(run: Run) -> _core.TokenReplica:
    """Return a copy of an engine with memory by tokens and drafts by their mean."""
    costs, scheduler = run.costs, run.scheduler
    usable = run.blocks - 1 if costs.engine == "vllm" else run.blocks  # vLLM keeps one block
    reserves, least, steps = _FALLING_RESERVES.get(costs.engine, (scheduler.reserves, 0.0, 0))
    return _core.TokenReplica(
        costs=costs.core,
        max_sequences=run.sequences,
        max_tokens=scheduler.budget,
        pool_tokens=float(usable * costs.block_tokens),
        block_tokens=costs.block_tokens,
        tokens_each=float(costs.draft_tokens + 1),
        yield_tokens=costs.tokens_per_step,
        mixes=scheduler.mixes,
        chunked_prefill=scheduler.enable_chunked_prefill,
        reserves=reserves,
        least_reserves=least,
        reserve_steps=steps,
        prefill_fill=costs.prefill_fill,
    )


def _name_of(on: Deployment) -> str:
    parts = [on.machine.id, on.engine if on.engine != "torch" else on.execution, on.precision]
    layout = str(on.rank_layout) if on.devices > 1 else ""
    # Machines that are taken away, or paid ahead, are others than those by the hour.
    terms = on.device_price.terms if on.device_price is not None else ""
    return " ".join(filter(None, (*parts, layout, terms if terms in ("spot", "reserved") else "")))
