"""Profiles: a model is captured, counted and, on a machine, estimated."""

from __future__ import annotations

from os import PathLike, fspath
from typing import TYPE_CHECKING, Any, SupportsIndex, overload

from .. import _core
from .._records import dataclass
from ..deployment import Deployment
from ..deployment.engine_flags import engine_command
from ..deployment.keywords import shows, split_options
from ..deployment.options import SizedOptions
from ..errors import InputTypeError
from ..results.language_profile import LanguageProfile
from ..results.profile import Profile
from ..sources.captured import Captured, CapturedPhases, has_phases, phases_at
from ..sources.sizes import BATCH, SizeError, bind_sizes, call_sizes, counted_at
from .estimate import estimate_on
from .kv_cache import cache_format, kv_cache_of
from .model_figures import model_figures
from .models import captured_model, deployment_for, refuse_inputs, refuse_own_inputs
from .rules import Rules, work_overrides
from .stages import graph_on, stages_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from typing_extensions import Unpack

    from .._core import Graph
    from ..results.memory_use import MemoryUse
    from ..results.training_memory import TrainingMemory
    from ..sources.capture import Capturable
    from .training_memory import TrainingSetup


@dataclass(frozen=True)
class ProfileRequest:
    """Resolved arguments of `profile`, from which the model is profiled again at another point.

    Attributes:
        captured: The graph and the sizes that were given.
        on: Where and how the model runs.
        rules: Work of the caller's own ops.
        training: Optimizer and sharding of a training step; None without one.
    """

    captured: Captured
    on: Deployment
    rules: Rules | None
    training: TrainingSetup | None = None


@overload
def profile(model: LanguageProfile, inputs: Any = ..., **options: Any) -> LanguageProfile: ...
@overload
def profile(  # type: ignore[overload-overlap]  # of names of sizes, `prompt` decides
    model: str, inputs: Any = ..., *, prompt: SupportsIndex, **options: Any
) -> LanguageProfile: ...
@overload
def profile(
    model: Capturable | Profile,
    inputs: Any = ...,
    *,
    on: Deployment | None = ...,
    optimizer: str | None = ...,
    zero_stage: SupportsIndex | None = ...,
    shards: SupportsIndex | None = ...,
    master_weights: bool | None = ...,
    dynamic: Mapping[int | str, Mapping[int, str]] | None = ...,
    rules: Rules | None = ...,
    sizes: Mapping[str, SupportsIndex] | None = ...,
    **options: Unpack[SizedOptions],
) -> Profile: ...
@shows(SizedOptions)
def profile(
    model: Capturable | Profile | LanguageProfile,
    inputs: Any = (),
    *,
    on: Deployment | None = None,
    optimizer: str | None = None,
    zero_stage: SupportsIndex | None = None,
    shards: SupportsIndex | None = None,
    master_weights: bool | None = None,
    dynamic: Mapping[int | str, Mapping[int, str]] | None = None,
    rules: Rules | None = None,
    sizes: Mapping[str, SupportsIndex] | None = None,
    **options: Any,
) -> Profile | LanguageProfile:
    """Capture a model, count it, and on a machine predict latency, energy and, with a price, cost.

    Args:
        model: A `Graph`, or anything that `capture` accepts: a module, an exported program, a file, a spec. A `Profile`
            or a `LanguageProfile` is profiled again at another point: arguments left out keep its values, and its price
            is looked up again for another machine.
        inputs: Inputs of a module, as in `capture`; not for a Graph or a Profile.
        on: Where and how the model runs; keywords override its fields. Without hardware the model is only
            counted.
        optimizer: For the graph of a training step: the optimizer, whose memory `training_memory` of the result
            includes. This and the next three are as in `training_memory`.
        zero_stage: Stage of ZeRO.
        shards: Devices among which it shards.
        master_weights: Whether the optimizer keeps weights in float32.
        dynamic: Dimensions of the inputs that are named sizes, as in `capture`.
        rules: Work of the caller's own ops, as in `count`.
        sizes: Values of named sizes, for names that options have too.
        **options: Fields of `Deployment`, such as `hardware`, which override `on`, and sizes by name, such as
            `batch=8`; a size left out takes the graph's default. For a spec, the sizes to capture it at. The config of
            a language model without a phase (`"hf:config.json"`) that is given `prompt` (tokens of a prompt) or
            `context` (tokens in the cache before a decode step) is profiled in both phases; each of these sizes has the
            other one as default.

    Returns:
        The counts, and the estimate if there is hardware; of both phases, a `LanguageProfile`.

    Raises:
        InputError: A machine, precision, execution, price, place or size is unknown.
        InputTypeError: Inputs or `dynamic` are given with a captured graph or a profile.

    Examples:
        >>> net = nn.Sequential(nn.Linear(784, 128), nn.ReLU(), nn.Linear(128, 10))
        >>> found = ic.profile(net, torch.empty(64, 784), hardware="l4", price="0.80/h")
        >>> f"{found.counts.total.contraction_flops:,} FLOPs in {found.estimate.latency_s * 1e6:.0f} us"
        '13,008,896 FLOPs in 102 us'
    """
    known = model.decode if isinstance(model, LanguageProfile) else model
    request = _request_of(known) if isinstance(known, Profile) else None
    fields, named_sizes = split_options(options)
    # Before the capture, which may take long, so that an unknown name fails at once.
    deployment = deployment_for(model, on if on is not None or request is None else request.on, fields)
    training = None if request is None else request.training
    if any(value is not None for value in (optimizer, zero_stage, shards, master_weights)):
        from .training_memory import setup_of

        training = setup_of(training, optimizer, zero_stage, shards, master_weights)
    with call_sizes(profile, sizes, named_sizes) as named:
        if isinstance(model, LanguageProfile):
            refuse_inputs("a LanguageProfile", inputs, dynamic)
            return phases_on(deployment, _phases_of(model, named), rules=rules)
        if request is not None:
            refuse_inputs("a Profile", inputs, dynamic)
            captured = request.captured._replace(sizes={**request.captured.sizes, **named})
            rules = request.rules if rules is None else rules
        elif isinstance(model, (str, PathLike)) and has_phases(fspath(model), named):
            refuse_own_inputs(model, inputs)
            if dynamic is not None or training is not None:
                raise InputTypeError("dynamic and optimizer go with one forward; leave out prompt and context")
            captured_phases = phases_at(fspath(model), named, shared=deployment.rank_layout.shared_sizes)
            return phases_on(deployment, captured_phases, rules=rules)
        else:
            captured = captured_model(model, inputs, dynamic, named, shared=deployment.rank_layout.shared_sizes)
        return profile_on(deployment, captured, rules=rules, training=training)


def phases_on(on: Deployment, captured: CapturedPhases, *, rules: Rules | None = None) -> LanguageProfile:
    """Profile both phases of a captured language model."""
    from .language import language_profile

    prefill, decode = (profile_on(on, phase, rules=rules) for phase in (captured.prefill, captured.decode))
    return language_profile(on, captured.name, captured.sizes, prefill, decode)


def profile_on(
    on: Deployment, captured: Captured, *, rules: Rules | None = None, training: TrainingSetup | None = None
) -> Profile:
    """Profile a captured graph, as the deployment's engine runs it."""
    graph = graph_on(on, captured.graph)
    given = bind_sizes(graph, captured.sizes)
    bound_sizes = graph.size_values(given)
    with counted_at({**captured.fixed, **bound_sizes}):
        return _profiled(on, captured, graph, given, bound_sizes, rules, training)


def _profiled(
    on: Deployment,
    captured: Captured,
    graph: Graph,
    given: Mapping[str, int],
    bound_sizes: dict[str, int],
    rules: Rules | None,
    training: TrainingSetup | None,
) -> Profile:
    overrides = work_overrides(graph, rules)
    estimate = estimate_on(on, graph, given, fixed=captured.fixed, overrides=overrides) if on.hardware else None
    timed = on.hardware is not None
    on_cpu = not timed or on.machine.kind == "cpu"
    counts = _core.count(graph, bound_sizes, precision=on.precision, overrides=overrides, on_cpu=on_cpu)
    return Profile(
        graph=graph,
        counts=counts,
        estimate=estimate,
        sizes=_batch_first({**captured.fixed, **bound_sizes}),
        precision=on.precision,
        model=captured.name,
        figures=model_figures(graph, counts, on.precision, bound_sizes),
        kv_cache=kv_cache_of(graph, on.precision, bound_sizes),
        training_memory=None if training is None else _training_memory(on, graph, bound_sizes, training),
        request=ProfileRequest(captured, on, rules, training),
        engine_command=_engine_command(on, captured, graph, None if estimate is None else estimate.memory),
    )


def _engine_command(on: Deployment, captured: Captured, graph: Graph, memory: MemoryUse | None) -> str:
    """Return the command line of the engine for a language model; empty for another one."""
    if memory is None or memory.fits is False:
        return ""
    settings: dict[str, int] = {}
    longest = memory.most_tokens
    if longest and captured.positions is not None and longest < captured.positions:
        settings["max_model_len"] = longest
    if on.engine == "llamacpp":
        each = _batch_first({**captured.fixed, **graph.size_values(captured.sizes)})
        settings = {"max_num_seqs": each.get("batch", 1), "cache_tokens": each.get("batch", 1) * (memory.tokens or 0)}
    return engine_command(on, captured.name, settings, kv_cache=cache_format(captured.graph, on.precision))


def _batch_first(sizes: Mapping[str, int]) -> dict[str, int]:
    """Return sizes in the order of a call, whether or not the graph names the batch."""
    return {name: sizes[name] for name in sorted(sizes, key=lambda name: name != BATCH)}


def _training_memory(on: Deployment, graph: Graph, sizes: Mapping[str, int], training: TrainingSetup) -> TrainingMemory:
    """Return the memory of training on a device; of a pipeline, one of the fullest stage."""
    from .training_memory import setup_on, training_memory_of

    layout = on.rank_layout
    setup, machine = setup_on(training, layout), None if on.hardware is None else on.machine
    share = dict(sizes)
    if (batch := graph.size_of_role("batch")) is not None:
        share[batch] = -(-share[batch] // layout.copies)
    if stages_of(graph):
        from .training_pipelines import pipeline_memory

        return pipeline_memory(graph, layout, share, setup, on.precision, machine)
    return training_memory_of(graph, graph.size_values(share), setup, on.precision, machine)


def _request_of(known: Profile) -> ProfileRequest:
    if not isinstance(known.request, ProfileRequest):
        raise InputTypeError(f"this profile has request {known.request!r}; expected a Profile that `profile` returned")
    return known.request


def _phases_of(known: LanguageProfile, sizes: Mapping[str, Any]) -> CapturedPhases:
    if sizes:
        raise SizeError(
            f"{', '.join(map(repr, sizes))}: both phases are captured at their sizes; profile the model's spec again"
        )
    prefill, decode = (_request_of(phase).captured for phase in (known.prefill, known.decode))
    return CapturedPhases(prefill, decode, known.sizes, known.model)
