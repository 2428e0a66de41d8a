"""A server under load: the steps of a deployment, simulated with a workload."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from os import PathLike, fspath
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from .. import _core
from .._checks import Range, shown, whole
from ..deployment.engine_flags import engine_command, flag_of
from ..deployment.prices import GIVEN
from ..errors import InputError, InputTypeError
from ..predict.kv_cache import cache_format
from ..predict.memory_use import MemoryLimits, engine_sequences
from ..predict.plans import is_narrowed, loaded_graph
from ..results.notices import notice
from ..transform.variants import varied
from .engine_steps import step_costs
from .latencies import with_bands
from .objectives import parse_slo
from .runs import Facts, Run, facts_of, simulated
from .scheduler import SEQUENCES, Scheduler, SchedulerError, simulated_scheduler
from .serving_figures import result_of
from .step_tables import StepCosts
from .workload import Workload

if TYPE_CHECKING:
    from .._core import Graph
    from ..deployment import Deployment
    from ..results.serving_result import ServingResult
    from .objectives import SLOLike
    from .step_cost_factors import StepCostFactors

Served: TypeAlias = "str | PathLike[str] | Sequence[Graph] | Phases | StepCosts"
"""A model to serve: the spec of a config, graphs of decode and prefill, both as `Phases`, or tables of its steps."""

_REPLICAS = Range(1, 1024)
_UNKNOWN = 2**31  # positions of a config that states none
TABLE_TOKENS = 16_384
"""Tokens of a step that tables reach at least."""
_LEAST_CONTEXT = 16_384  # that tables reach
_CAPTURED = 1000  # tokens at which a config is captured, if its context is not shorter


class ServeError(InputError):
    """A model that cannot be served as asked."""


class Phases(NamedTuple):
    """A model with open sizes.

    Attributes:
        name: Name of the model.
        decode: Graph of the decode step, with `batch` and `context` as named sizes.
        prefill: Graph of the prefill, with `batch` and `sequence` as named sizes.
        context: Longest sequence in tokens; 0 if it is unknown.
        quantize: Format of its weights, if it is not the checkpoint's.
    """

    name: str
    decode: Graph
    prefill: Graph
    context: int
    quantize: str = ""

    def varied(self, *, quantize: str = "", prune: str = "", kv_cache: str = "", width: float = 1.0) -> Phases:
        """Return the model with other formats, pruned weights or widths, as `transform.variants.varied` makes them."""
        asked = [*filter(None, (quantize, prune, kv_cache and f"kv cache {kv_cache}"))]
        asked += [f"width {width:g}"] if width != 1 else []
        if not asked:
            return self
        decode, prefill = (
            varied(graph, quantize=quantize, prune=prune, kv_cache=kv_cache, width=width)
            for graph in (self.decode, self.prefill)
        )
        return Phases(f"{self.name}, what if {', '.join(asked)}", decode, prefill, self.context, quantize)


def serve(
    model: Served,
    *,
    on: Deployment | None = None,
    workload: Workload,
    slo: SLOLike | None = None,
    replicas: int = 1,
    routing: str = "least_loaded",
    correction: StepCostFactors | None = None,
    progress: Callable[[int, int], None] | None = None,
    **settings: Any,
) -> ServingResult:
    """Simulate a serving engine under a workload.

    Each iteration of the engine's scheduler is followed, with the seconds that `step_costs` has for it. Bands come from
    two more runs, in which all steps take the low and the high end of their error bands.

    Args:
        model: The spec of a language model's config without a phase, `"hf:config.json"`; or both its graphs, in any
            order, captured with `batch`, `context` and `sequence` as named sizes; or as `Phases`; or the result of
            `step_costs`.
        on: The machine, layout, precision, serving engine and price; not with the result of `step_costs`.
        workload: The requests: `Workload(rate_per_s=4, prompt=1024, output=256)`, or one of a trace.
        slo: Limits of latencies, as text or mapping: `"ttft_p99<0.5,tpot_p50<0.03"`. Metrics are `ttft`, `tpot`, `e2e`
            and `queue`, each with `_mean` or a percentile; limits are seconds.
        replicas: Copies of the deployment behind a router.
        routing: `"least_loaded"`, `"round_robin"`, or `"prefix_aware"`: to the copy with the longest cached prefix.
        correction: Correction of step costs by a measurement of the server, from `calibrate_serving`.
        progress: Called with the requests that have arrived and their number, now and then.
        **settings: Settings of the scheduler in the place of the engine's own: `max_num_seqs`,
            `max_num_batched_tokens`, `num_gpu_blocks`, `max_model_len`, `enable_prefix_caching`, and the others of
            `Scheduler`.

    Returns:
        Latencies with percentiles and bands, throughput, use of the memory, cost, and the bottleneck. After Ctrl-C,
        only of the requests that were answered, without bands.

    Raises:
        ServeError: The model does not fit the memory, or no request of the workload does; or `on` is missing.
        SchedulerError: The engine's scheduler is not simulated, or a setting is wrong.
        SLOError: The objective has an unknown metric, or a limit that is no time.
        StepCostsError: The engine forms no steps, or a graph lacks a size.
        TraceError: A line of the trace is not what its format says, times fall, or it has a hole.

    Examples:
        >>> on = ic.Deployment(hardware="h100-sxm-80gb", precision="bf16", engine="vllm", price="2.50/h")
        >>> load = ic.Workload(rate_per_s=4, prompt=1024, output=128, requests=500)
        >>> found = ic.serve("hf:llama-3-8b.json", on=on, workload=load)
        >>> f"{found.utilization:.0%} busy, {found.tokens_per_s:.0f} tokens/s, {found.usd_per_h:.2f} USD/h"
        '98% busy, 519 tokens/s, 2.50 USD/h'
    """
    if not isinstance(workload, Workload):
        raise InputTypeError(f"workload is a {type(workload).__name__}; expected a Workload")
    objective = parse_slo(slo)
    copies = whole(replicas, "replicas", _REPLICAS, ServeError)
    for name in settings:
        Scheduler.check_name(name)
    facts = facts_of(workload)
    phases, costs = _costs_of(model, on, facts, settings)
    if correction is not None:
        costs = correction.of(costs)
    scheduler = simulated_scheduler(costs, settings, context=0 if phases is None else phases.context)
    blocks = blocks_of(costs, scheduler, facts)
    check_lengths(facts, scheduler)
    run = Run(costs, scheduler, workload, facts, copies, routing, blocks)
    found = simulated(run, progress)
    result = result_of("" if phases is None else phases.name, run, found, objective)
    del found  # as large as each simulation of the bands
    result = result if result.interrupted else with_bands(result, run)
    return result if on is None or phases is None else started(result, on, phases, scheduler, settings)


def started(
    result: ServingResult, on: Deployment, phases: Phases, scheduler: Scheduler, settings: Mapping[str, Any]
) -> ServingResult:
    """Return the result with the command line of the engine, and notices about loading and starting it.

    Args:
        result: The result.
        on: The deployment of one replica.
        phases: The model.
        scheduler: Settings of its scheduler.
        settings: Those that were asked for.
    """
    given = dict(settings)
    notices = list(result.notices)
    if is_narrowed(loaded_graph(phases.decode, on.engine)):
        notices.append(notice("narrowed", engine=on.engine))
    longest = scheduler.max_model_len
    if longest and longest != phases.context:
        given["max_model_len"] = longest
    if longest and not settings.get("max_model_len") and given.get("max_model_len"):
        flag = flag_of(on.engine, "max_model_len", str(longest))
        notices.append(notice("longest_sequence", tokens=longest, context=phases.context, flag=flag))
    command = engine_command(
        on, phases.name, given, kv_cache=cache_format(phases.decode, on.precision), quantize=phases.quantize
    )
    price = "" if on.device_price is None or on.device_price.text == GIVEN else on.device_price.text
    return replace(result, engine_command=command, price=price, notices=tuple(notices))


def _costs_of(
    model: Served, on: Deployment | None, facts: Facts, settings: Mapping[str, Any]
) -> tuple[Phases | None, StepCosts]:
    """Return a model, unless it is given as tables, and its tables."""
    if isinstance(model, StepCosts):
        if on is not None:
            raise ServeError("on is given beside step costs, which are those of a deployment; leave it out")
        return None, model
    if on is None:
        raise ServeError("on is not given; pass a Deployment with a machine and a serving engine")
    check_settings(on)
    phases = phases_of(model)
    return phases, tables_of(phases, on, facts, settings)


def check_settings(on: Deployment) -> None:
    """Reject settings of steps that the workload decides.

    Raises:
        ServeError: The deployment has one.
    """
    for name in ("prefix_hit", "chunk_tokens"):
        if getattr(on.settings, name):
            raise ServeError(
                f"serving has {name}, which the workload and the scheduler decide under load; leave it out, and "
                "state the prefixes of the workload, or max_num_batched_tokens"
            )


def tables_of(phases: Phases, on: Deployment, facts: Facts, settings: Mapping[str, Any]) -> StepCosts:
    """Return the tables of a deployment, as far as a workload and the settings of the scheduler need them."""
    # Fewer sequences than the engine's own limit do not shorten the tables, whose last lines go on beyond them.
    sequences = whole(settings.get("max_num_seqs") or 1, "max_num_seqs", SEQUENCES, SchedulerError)
    tokens = settings.get("max_num_batched_tokens")
    return step_costs(
        phases.decode,
        phases.prefill,
        on=on.for_throughput(),
        context=max(2, round(facts.prompt + facts.output)),
        most_sequences=max(sequences, engine_sequences(on.engine, on.machine)),
        most_tokens=max(TABLE_TOKENS, tokens if isinstance(tokens, int) else 0),
        most_context=max(_LEAST_CONTEXT, facts.longest),
        limits=MemoryLimits.of(
            on.settings,
            step_tokens=settings.get("chunked_prefill_size") or tokens or 0,
            sequences=settings.get("max_num_seqs") or 0,
        ),
    )


def phases_of(model: str | PathLike[str] | Sequence[Graph] | Phases) -> Phases:
    """Return a model with both phases and open sizes.

    Raises:
        ServeError: It is neither the spec of a config, nor a pair of graphs with the needed sizes.
    """
    if isinstance(model, (str, PathLike)):
        return _captured(fspath(model))
    if isinstance(model, Phases):
        return model
    given: object = model
    graphs = [each for each in given if isinstance(each, _core.Graph)] if isinstance(given, Sequence) else []
    if len(graphs) != len(("decode", "prefill")):
        raise ServeError(
            f"model is {shown(model)}; expected the spec of a config such as hf:config.json, the graphs of decode and "
            "prefill, or the result of step_costs"
        )
    decode = [each for each in graphs if each.size_of_role("context") is not None]
    prefill = [each for each in graphs if each.size_of_role("sequence") is not None]
    if len(decode) != 1 or len(prefill) != 1 or decode[0] is prefill[0]:
        sizes = " and ".join(", ".join(each.sizes) or "none" for each in graphs)
        raise ServeError(
            f"the graphs have the sizes {sizes}; expected a decode step with a context, and a prefill with a sequence"
        )
    return Phases(decode[0].model, decode[0], prefill[0], 0)


def _captured(spec: str) -> Phases:
    from ..sources.captured import graph_over
    from ..sources.models import libraries_of
    from ..sources.registry import source_of
    from ..sources.spec_keys import importing

    source = source_of(spec)
    if source is None or not source.has_phases or "#" in spec:
        raise ServeError(
            f"model is {shown(spec)}; expected the config of a language model without a phase, such as hf:config.json, "
            "or the graphs of decode and prefill"
        )
    with libraries_of(spec), importing():
        from ..sources.huggingface.inputs import positions, takes_more_than_text
        from ..sources.huggingface.loading import TEXT_PREFILL

        config = source.config_of(spec)
        longest = positions(config)
        prefill = TEXT_PREFILL if takes_more_than_text(config) else "prefill"
    at = max(2, min(_CAPTURED, longest // 2))
    # Engines compute no masks, so that one graph is valid on both sides of a window.
    decode = graph_over(f"{spec}#decode", {"batch": [2, 3], "context": [at, 2 * at - 1]}, across_windows=True).graph
    return Phases(
        spec,
        decode if longest >= _UNKNOWN else _with_full_windows(decode, longest),
        graph_over(f"{spec}#{prefill}", {"batch": [1, 2], "sequence": [at, 2 * at]}, across_windows=True).graph,
        0 if longest >= _UNKNOWN else longest,
    )


def _with_full_windows(decode: Graph, longest: int) -> Graph:
    """Return a decode step whose default context is the longest: tables of steps have knots where windows are full."""
    if longest <= 1 or decode.size_of_role("context") is None:
        return decode
    rewriter = _core.GraphRewriter(decode)
    rewriter.set_default("context", longest - 1)
    return rewriter.build()


def check_lengths(facts: Facts, scheduler: Scheduler) -> None:
    """Reject a workload of which no request fits the model.

    Raises:
        ServeError: All prompts are too long.
    """
    longest = scheduler.max_model_len
    if longest and facts.shortest_prompt >= longest:
        raise ServeError(
            f"all prompts have {facts.shortest_prompt:,} tokens or more, and the longest sequence of the model is "
            f"{longest:,} (max_model_len); pass shorter prompts"
        )


def blocks_of(costs: StepCosts, scheduler: Scheduler, facts: Facts) -> int:
    """Return the blocks of the cache of one copy.

    Raises:
        ServeError: The weights leave no memory for the cache of a sequence.
    """
    if scheduler.num_gpu_blocks is not None:
        return scheduler.num_gpu_blocks
    if costs.pool_blocks is None:  # the owner chooses the memory: as much as all sequences need
        most = scheduler.max_num_seqs or costs.most_sequences
        return _core.ample_blocks(most, facts.longest, costs.block_tokens)
    if costs.fits is False:
        raise ServeError(
            f"the weights, {costs.weight_bytes / 1e9:.4g} GB on a device of {costs.hardware}, leave no memory for "
            f"the cache of a sequence of {costs.context:,} tokens; pass a layout of more devices, or a narrower "
            "precision"
        )
    return costs.pool_blocks
