"""Graphs of models given by a spec or a path, with the sizes to analyze them at.

The sizes of a file stay symbolic. All other models are captured at the given sizes.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from .._core import GraphRewriter
from ..errors import InputError
from .data_names import is_data_name
from .loaded_model import SpecSizeError
from .notices import warn_of_window
from .registry import is_graph, is_library_model, source_of
from .sizes import BATCH, IMAGE, SizeError, maximum, minimum
from .spec_graphs import has_encoder, load_graph, spec_graph
from .spec_names import resolved

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from .._core import Graph


PROMPT, CONTEXT = "prompt", "context"
"""Sizes of a language model with both phases: tokens of a prompt, and tokens in the cache before a decode step."""
_LENGTHS = (CONTEXT, "sequence")


class Captured(NamedTuple):
    """A graph with the sizes to analyze it at.

    Attributes:
        graph: The graph.
        sizes: Values, or axes of values, of the graph's named sizes.
        fixed: Sizes of the capture that the graph does not name.
        name: Name under which the model was requested.
        positions: Most tokens of a sequence that the config of the model states; None if it states none.
    """

    graph: Graph
    sizes: Mapping[str, Any]
    fixed: Mapping[str, int]
    name: str
    positions: int | None = None


def graph_at(
    model: str,
    sizes: Mapping[str, Any],
    dynamic: Any = None,
    *,
    training: bool = False,
    shared: Collection[str] = (),
) -> Captured:
    """Return the graph of a model for one point.

    Args:
        model: A file or a spec, as in `capture`.
        sizes: Size name -> value.
        dynamic: As in `capture`; for a `.pt2` file only.
        training: As in `capture`.
        shared: Sizes that stay named if they are given and the capture allows it, such as the `batch` of devices.

    Returns:
        The graph with its sizes.

    Raises:
        SizeError: The model does not have a size, or a value is out of range.
    """
    from .capture import capture

    model = resolved(model)
    if is_graph(model):
        graph = capture(model, dynamic=dynamic, training=training)
        return Captured(graph, sizes, {}, graph.model)
    stated: Mapping[str, int] = {}
    positions = None
    named = [name for name in shared if name in sizes]
    with size_errors():
        if training:
            graph = spec_graph(model, sizes, named=named, training=True).graph
        elif dynamic is not None:
            graph = load_graph(model, sizes, dynamic)
        else:
            found = spec_graph(model, sizes, named=named)
            graph, stated, positions = found.graph, found.sizes, found.positions
    # The batch of a library's model is known without being given: it is 1 by default.
    known = {BATCH: 1, **(stated or sizes)} if is_library_model(model) else sizes
    known = {name: value for name, value in known.items() if not is_data_name(name)}  # these are defaults of the graph
    return Captured(graph, *_split(graph, known), model, positions)


def graph_over(
    model: str,
    axes: Mapping[str, Sequence[int]],
    *,
    shared: Collection[str] = (),
    across_windows: bool = False,
    computes_masks: bool = True,
) -> Captured:
    """Return the graph of a model for a grid of points, with as many symbolic sizes as its capture allows.

    Args:
        model: A file or a spec, as in `capture`.
        axes: Size name -> values.
        shared: As in `graph_at`.
        across_windows: Whether the graph has the masks of attention with a window at all lengths, so that it is valid
            on both sides of the window. It does so in any case if the lengths of the axes are on both sides.
        computes_masks: Whether anything that runs the graph computes masks, so that those at all lengths change
            figures: the kernels of serving engines do not.

    Returns:
        The graph with its sizes.

    Raises:
        SizeError: A size that the capture fixes has several values.
    """
    from .capture import capture

    model = resolved(model)
    if is_graph(model):
        graph = capture(model)
        return Captured(graph, axes, {}, graph.model)
    if model.endswith("#prefill"):  # the prompt is its sequence
        axes = {"sequence" if name == PROMPT else name: values for name, values in axes.items()}
    first = {name: values[0] for name, values in axes.items()}
    # Some models cannot keep every size symbolic, so only sizes that vary are.
    varied = {name for name, values in axes.items() if (len(values) > 1 and name != IMAGE) or name in shared}
    of_data = [name for name in first if is_data_name(name) and len(axes[name]) == 1]
    asked = {name: value for name, value in first.items() if not is_data_name(name) or name in of_data}
    with size_errors():
        most = {name: maximum(values) for name, values in axes.items() if not is_data_name(name)}
        graph = spec_graph(model, asked, named=varied, most=most, across_windows=across_windows).graph
        if not across_windows and not _holds_over(graph, axes):
            wider = spec_graph(model, asked, named=varied, across_windows=True).graph
            if _holds_over(wider, axes):
                graph = wider
                if computes_masks:
                    warn_of_window(model, next(name for name in _LENGTHS if name in axes))
    free, fixed = _split(graph, {name: values for name, values in axes.items() if name not in of_data})
    for name, values in fixed.items():
        if len(values) > 1:
            names = " and ".join(graph.sizes)
            others = f"; {names} can have several" if names else ""
            raise SizeError(f"{model} is captured at one {name!r}; give it one value{others}")
    return Captured(graph, free, {name: values[0] for name, values in fixed.items()}, model)


class CapturedPhases(NamedTuple):
    """The two phases of a language model that answers prompts.

    Attributes:
        prefill: The forward that reads the prompts.
        decode: The forward that generates a token of each sequence.
        sizes: `batch`, `prompt` (tokens of a prompt), `context` (tokens in the cache before the decode step), and
            further sizes that were given.
        name: Name under which the model was requested.
    """

    prefill: Captured
    decode: Captured
    sizes: Mapping[str, int]
    name: str


def has_phases(model: object, sizes: Mapping[str, Any]) -> bool:
    """Return whether a call asks for both phases: a config without a phase, with the size of a prompt or a context."""
    if not isinstance(model, str) or "#" in model:
        return False
    source = source_of(model)
    return source is not None and source.has_phases and not sizes.keys().isdisjoint((PROMPT, CONTEXT))


def phases_at(model: str, sizes: Mapping[str, Any], *, shared: Collection[str] = ()) -> CapturedPhases:
    """Return the graphs of both phases of a language model.

    Args:
        model: A spec without a phase.
        sizes: `prompt` and `context`, each by default the other one (an encoder has its own default); `batch`, and
            further sizes of the prefill.
        shared: As in `graph_at`.

    Returns:
        The graphs with their sizes.

    Raises:
        SizeError: The model does not have a size, or a value is out of range.
        SpecError: The model does not generate.
    """
    if "sequence" in sizes:
        raise SizeError(f"{model} is given sequence as well as prompt or context; the prompt is the sequence: give one")
    others = {name: value for name, value in sizes.items() if name not in (PROMPT, CONTEXT)}
    pairs = has_encoder(model)
    given = {name: sizes[name] for name in (PROMPT, CONTEXT) if name in sizes}
    read = {PROMPT: given[PROMPT]} if PROMPT in given else {} if pairs else {PROMPT: given[CONTEXT]}
    context = sizes.get(CONTEXT, sizes.get(PROMPT))
    # A decode step of an encoder-decoder also takes the encoder's result, others have the prompt in their cache.
    kept = {**others, **read} if pairs else {name: value for name, value in others.items() if name == BATCH}
    prefill = graph_at(f"{model}#prefill", {**others, **read}, shared=shared)
    decode = graph_at(f"{model}#decode", {**kept, CONTEXT: context}, shared=shared)
    read_at = {**prefill.fixed, **prefill.sizes}
    known = {
        PROMPT if name == "sequence" else name: read_at[name]
        for name in sorted(read_at, key=lambda name: name != BATCH)
    }
    return CapturedPhases(prefill, decode, {**known, CONTEXT: context}, model)


@contextmanager
def size_errors() -> Iterator[None]:
    """Convert errors about sizes of a spec or a capture to `SizeError` within the context."""
    from .symbols import UnknownSizeError

    try:
        yield
    except (SpecSizeError, UnknownSizeError) as error:
        raise SizeError(str(error)) from error


def _holds_over(graph: Graph, axes: Mapping[str, Sequence[int]]) -> bool:
    """Return whether a graph is valid at the least and the greatest length of a sequence."""
    lengths = [name for name in _LENGTHS if name in axes and name in graph.sizes]
    if not graph.guards or not lengths:
        return True
    for name in lengths:
        for value in {minimum(axes[name]), maximum(axes[name])}:
            try:
                GraphRewriter(graph).bind({name: value})
            except (InputError, ValueError):
                return False
    return True


def _split(graph: Graph, sizes: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the sizes that a graph names, and the others."""
    free = {name: value for name, value in sizes.items() if name in graph.sizes or is_data_name(name)}
    return free, {name: value for name, value in sizes.items() if name not in free}
