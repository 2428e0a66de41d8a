"""Explorations: the data from which a page estimates a model at any point by itself."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from contextlib import suppress
from os import PathLike, fspath
from typing import TYPE_CHECKING, Any, SupportsIndex

from .. import _core
from ..deployment import OPTIONS, Deployment, deployment_of
from ..deployment.cold_starts import recorded_graphs
from ..deployment.engines import TORCH, executions_of
from ..deployment.places import known_places, place
from ..errors import InputError, PositionsWarning
from ..formats.table import FormatError
from ..inputs.engine_settings import EngineSettings
from ..results.exploration import Exploration, Phase
from ..sources.captured import CONTEXT, PROMPT, Captured, graph_at, graph_over
from ..sources.inputs import parse_inputs
from ..sources.open_images import with_open_image
from ..sources.registry import is_graph, source_of
from ..sources.sizes import BATCH, SizeError, call_sizes
from ..sources.spec_graphs import has_encoder, spec_graph
from ..sources.spec_names import resolved
from ..sources.symbols import CaptureError
from ..transform.whatif import whatif
from .machine_catalog import is_cataloged, machine_catalog, machine_of
from .plans import boundary_of
from .profile import profile, profile_on

if TYPE_CHECKING:
    from .._core import Graph
    from ..results.profile import Profile
    from ..sources.capture import Capturable

FORMATS = ("int8_wo", "int4_wo", "fp8_dynamic")
"""Formats of weights that a page offers besides the captured ones."""

_OF_CONVOLUTIONS = ("int8_dynamic",)  # where none of the others applies

START = "l4"
"""Machine with which a page begins, if none is named."""

_TOKENS = 1024  # of a prompt, and in the cache before a decode step
_SHORT = 128  # in the cache of a decoder with an encoder
_SEQUENCE = "sequence"


def explore(
    model: Capturable | Profile | None = None,
    inputs: Any = (),
    *,
    on: Deployment | None = None,
    sizes: Mapping[str, SupportsIndex] | None = None,
    dynamic: Mapping[int | str, Mapping[int, str]] | None = None,
    command: str = "",
    **options: Any,
) -> Exploration:
    """Return a model with all that a page needs to estimate it at any point: on any machine, in any size.

    Args:
        model: Anything that `profile` accepts. The config of a language model without a phase has both. None gives a
            page that asks for the file of a model.
        inputs: Inputs of a module, as in `capture`.
        on: Where and how the model runs at first; the fields of `Deployment` as keywords override it. Without a
            machine, an L4.
        sizes: Values of named sizes at first.
        dynamic: Dimensions of the inputs that are named sizes, as in `capture`.
        command: Command that makes the exploration, which the page states.
        **options: Fields of `Deployment`, and values of named sizes.

    Returns:
        The exploration; `to_html()` writes the page.

    Raises:
        InputError: As for `profile`.

    Examples:
        >>> page = ic.explore(nn.Linear(784, 10), torch.empty(1, 784), dynamic={0: {0: "batch"}}).to_html()
        >>> page[:15]
        '<!DOCTYPE html>'
    """
    fields = {name: options.pop(name) for name in list(options) if name in OPTIONS}
    deployment = deployment_of(on, fields)
    if model is None:
        return exploration_of({}, command=command)
    with call_sizes(explore, sizes, options) as named:
        if not isinstance(model, (str, PathLike)) or any(parse_inputs(inputs)) or dynamic is not None:
            found = profile(model, inputs, on=_with_machine(deployment), dynamic=dynamic, sizes=named)
            return exploration_of(phases_of(found), command=command)
        return explore_on(deployment, fspath(model), named, command=command)


def explore_on(on: Deployment, spec: str, sizes: Mapping[str, Any], *, command: str = "") -> Exploration:
    """Return the exploration of a spec or a file, with as many open sizes as its capture allows.

    Args:
        on: Where and how the model runs at first.
        spec: The spec, or a path.
        sizes: Values of named sizes at first.
        command: Command that makes the exploration.
    """
    phases, positions = _phases(spec, _with_machine(on), sizes)
    return exploration_of(phases, positions=positions, command=command)


def exploration_of(phases: Mapping[str, Profile], *, positions: int | None = None, command: str = "") -> Exploration:
    """Return the exploration of profiles, by the name of their phase, of a model with so many positions."""
    first = next(iter(phases.values()), None)
    on = None if first is None or first.estimate is None else _deployment_of(first)
    engines = {} if first is None else _engines(_captured_graph(first))
    return Exploration(
        model="" if first is None else first.model.partition("#")[0] if len(phases) > 1 else first.model,
        phases=tuple(Phase(name, each, _formats(_captured_graph(each))) for name, each in phases.items()),
        catalog=machine_catalog(on),
        own=None if on is None else machine_of(on),
        is_cataloged=on is not None and is_cataloged(on),
        fixed="" if first is None or on is None else _fixed(first, on),
        engines=engines,
        precisions=tuple(_core.precisions()),
        places={name: (found.grid_g_per_kwh, found.pue) for name in known_places() for found in (place(name),)},
        recorded_graphs={
            (engine, execution): recorded_graphs(engine, execution, EngineSettings())
            for engine, executions in engines.items()
            for execution in executions
        },
        positions=positions,
        command=command,
    )


def _with_machine(on: Deployment) -> Deployment:
    return on.replace(hardware=START) if on.hardware is None else on


def _phases(spec: str, on: Deployment, sizes: Mapping[str, Any]) -> tuple[dict[str, Profile], int | None]:
    """Return the profiles of a spec by phase, and the positions of a model without an encoder, if it states them."""
    source = source_of(spec)
    if "#" in spec or source is None or not source.has_phases:
        return {"forward": profile_on(on, _opened(spec, sizes))}, None
    batch = int(sizes.get(BATCH, 1))
    others = {name: value for name, value in sizes.items() if name not in (BATCH, PROMPT, CONTEXT, _SEQUENCE)}
    given = {name: sizes[name] for name in (PROMPT, CONTEXT) if name in sizes}
    if PROMPT not in given and _SEQUENCE in sizes:
        given[PROMPT] = sizes[_SEQUENCE]
    positions = None
    try:
        if has_encoder(spec):  # the tokens of the encoder, or its recording or picture, are an input of both phases
            read = kept = {**others, **({_SEQUENCE: given[PROMPT]} if PROMPT in given else {})}
            context = given.get(CONTEXT, _SHORT)
        else:
            positions = _positions(spec)
            most = _TOKENS + 1 if positions is None else positions
            read, kept = {**others, _SEQUENCE: given.get(PROMPT, min(_TOKENS, most))}, {}
            context = given.get(CONTEXT, min(_TOKENS, most - 1))
        prefill = _opened(f"{spec}#prefill", {BATCH: batch, **read})
        decode = _opened(f"{spec}#decode", {BATCH: batch, **kept, CONTEXT: context})
    except InputError:  # it does not generate
        return {"forward": profile_on(on, _opened(spec, sizes))}, None
    return {"prefill": profile_on(on, prefill), "decode": profile_on(on, decode)}, positions


def _positions(spec: str) -> int | None:
    """Return the most tokens of a sequence that the config of a language model states; None if it states none."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PositionsWarning)
        return spec_graph(resolved(f"{spec}#decode"), {BATCH: 1, CONTEXT: _TOKENS}).positions


def phases_of(found: Any) -> dict[str, Profile]:
    """Return the profiles of a `Profile` or a `LanguageProfile` by phase."""
    if hasattr(found, "decode"):
        return {"prefill": found.prefill, "decode": found.decode}
    return {"forward": found}


def _opened(spec: str, sizes: Mapping[str, Any]) -> Captured:
    """Return the graph of a spec with its sizes open, or as many of them as can be."""
    if is_graph(spec):
        return graph_at(spec, sizes)
    stated = graph_at(spec, sizes, shared=(BATCH,))
    own = {BATCH: 1, **{name: int(value) for name, value in {**stated.fixed, **stated.sizes}.items()}}
    for names_open in (tuple(own), (BATCH,)):
        axes = {name: [value, 2 * value] if name in names_open else [value] for name, value in own.items()}
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", PositionsWarning)  # of twice the tokens, which nobody asked for
                # A slider of the context crosses windows, whose masks cost a decode step little.
                found = graph_over(spec, axes, across_windows=CONTEXT in own)
        except (SizeError, CaptureError):  # some graphs cannot keep every size open
            continue
        found = found._replace(sizes={name: values[0] for name, values in found.sizes.items()}, name=spec)
        return with_open_image(spec, found, own)
    return stated


def _fixed(found: Profile, on: Deployment) -> str:
    """Return in words what keeps a page from estimating other points of a profile; empty if nothing does."""
    request: Any = found.request
    layout = on.rank_layout.given
    other = sorted(layout.keys() - {"tensor", "pipeline", "expert", "data"})
    graph = _captured_graph(found)
    if other:
        return f"the layout of its devices has {', '.join(other)}, which the page cannot change"
    if request.rules:
        return "it has rules for the work of ops, which are Python"
    if on.serving:
        return "its engine has settings for its steps, which the page cannot change"
    if any(graph.node(at).phase != "forward" for at in range(graph.node_count)):
        return "it is a training step"
    return ""


def _deployment_of(found: Profile) -> Deployment:
    request: Any = found.request
    on: Deployment = request.on
    return on


def _captured_graph(found: Profile) -> Graph:
    request: Any = found.request
    graph: Graph = request.captured.graph
    return graph


def _formats(graph: Graph) -> dict[str, Graph]:
    made = {"": graph}
    for offered in (FORMATS, _OF_CONVOLUTIONS):
        if len(made) > 1:
            break
        for name in offered:
            with suppress(FormatError):  # it applies to nothing in this graph
                made[name] = whatif(graph, quantize=name)
    return made


def _engines(graph: Graph) -> dict[str, tuple[str, ...]]:
    """Return the engines that run a graph: serving engines form steps of models with a KV cache."""
    caches = boundary_of(graph, "native").kv_cache_bytes is not None
    compilers = _core.compilers()
    return {name: executions_of(name) for name in _core.engines() if name == TORCH or (name in compilers) != caches}
