"""Models named by a spec or a path, as modules and as graphs.

A file keeps its sizes open. Everything else is captured at the sizes asked for.
"""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from .._core import depends_on_data
from ..predict.arguments import SizeError
from .loaded_model import LoadedModel, SpecError, SpecSizeError
from .registry import MODEL_FORMS, is_graph, is_library_model, source_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from .._core import Graph

# Libraries that the extra `models` brings.
_EXTRAS = frozenset({"torch", "torchvision", "timm", "transformers", "diffusers"})


class Captured(NamedTuple):
    """A graph with the sizes to analyse it at.

    Attributes:
        graph: the graph.
        sizes: values, or axes of values, of the sizes that the graph names.
        fixed: the sizes that it was captured at and does not name.
        name: what the model was called when asked for.
    """

    graph: Graph
    sizes: Mapping[str, Any]
    fixed: Mapping[str, int]
    name: str


def load_model(spec: str, sizes: Mapping[str, int]) -> LoadedModel:
    """Build the module that a spec names, with inputs at the given sizes.

    Args:
        spec: A form of `registry.SOURCES` that opens a module, or `package.module:callable`.
        sizes: Size name -> value, in images, tokens or pixels. A size left out has a default: `batch` 1, `image_size`
            the published one, `sequence` 128, `context` 2048.

    Returns:
        The module and its inputs; `dynamic` names the input dimensions that a capture may keep open.

    Raises:
        SpecError: The spec is not understood, there is no such model, or it has no such size.
        ImportError: The library that the spec names is not installed; the message names the extra.
    """
    source = source_of(spec)
    if source is None or source.opens != "module":
        raise SpecError(f"model {spec!r} is not understood, expected {MODEL_FORMS}")
    rest = spec.removeprefix(f"{source.scheme}:") if source.scheme else spec
    if not rest:
        raise SpecError(f"model {spec!r} is not understood, expected {MODEL_FORMS}")
    try:
        return source.load(rest, sizes)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in _EXTRAS:
            raise
        raise ImportError(
            f"{spec} needs {error.name}, which is not installed: pip install 'pyinfercost[models]'", name=error.name
        ) from error


def load_graph(spec: str, sizes: Mapping[str, int], dynamic: Any = None) -> Graph:
    """Return the graph of a model at the given sizes.

    Args:
        spec: As for `load_model`, or a file that holds a graph.
        sizes: As for `load_model`. A file keeps its own sizes open: the given ones are checked against them here, and
            bound when counting. A size that depends on data (`roi_heads.nms`) is given to the trace.
        dynamic: As in `capture`; for files alone.

    Raises:
        SpecError: As `load_model`; or there is no such file.
        ArchiveError: A `.pt2` file cannot be read.
    """
    source = source_of(spec)
    if source is not None and source.opens == "graph":
        if not Path(spec).is_file():
            raise SpecError(f"{spec}: there is no such file")
        graph = source.read(spec, dynamic)
        unknown = sorted(set(sizes) - set(graph.sizes))
        if unknown:
            known = " or ".join(graph.sizes) or "none: all its sizes are fixed"
            raise SpecError(f"{spec} has no size {unknown[0]!r}, expected {known}")
        return graph
    loaded = load_model(spec, {name: value for name, value in sizes.items() if "." not in name})
    from .trace.trace import trace_graph

    of_data = {name: value for name, value in sizes.items() if "." in name}
    return trace_graph(loaded.module, loaded.args, loaded.kwargs, model=spec, sizes=of_data)


def load_training_graph(spec: str, sizes: Mapping[str, int], loss: Callable[[Any], Any] | None = None) -> Graph:
    """Return the graph of one training step of a model; `loss` as in `capture`, the rest as in `load_model`.

    Raises:
        SpecError: As `load_model`; or the spec names a stored graph, which has no module to train.
    """
    if is_graph(spec):
        raise SpecError(f"{spec} holds a graph that was captured before; expected a model, to capture a training step")
    loaded = load_model(spec, sizes)
    from .trace.trace import trace_graph

    return trace_graph(loaded.module.train(), loaded.args, loaded.kwargs, model=spec, training=True, loss=loss)


def graph_at(model: str, sizes: Mapping[str, Any], dynamic: Any = None, *, training: bool = False) -> Captured:
    """The graph of a model for one point.

    Args:
        model: a file or a spec, as in `capture`.
        sizes: size name -> value.
        dynamic: as in `capture`; only for a `.pt2` file.
        training: as in `capture`.
    """
    from .capture import capture

    if is_graph(model):
        graph = capture(model, dynamic=dynamic, training=training)
        return Captured(graph, sizes, {}, graph.model)
    with _size_errors():
        graph = capture(model, dynamic=dynamic, training=training, **sizes)
    # One fixed size is known without being asked for: a library's model runs at batch 1 unless told otherwise.
    known = {"batch": 1, **sizes} if is_library_model(model) else sizes
    known = {name: value for name, value in known.items() if not depends_on_data(name)}  # defaults of the graph now
    return Captured(graph, *_split(graph, known), model)


def graph_over(model: str, axes: Mapping[str, Sequence[int]]) -> Captured:
    """The graph of a model for a grid of points, with as many sizes open as its capture can leave open.

    Args:
        model: a file or a spec, as in `capture`.
        axes: size name -> values.

    Raises:
        SizeError: for several values of a size that the capture fixes.
    """
    from .capture import capture

    if is_graph(model):
        graph = capture(model)
        return Captured(graph, axes, {}, graph.model)
    first = {name: values[0] for name, values in axes.items()}
    with _size_errors():
        loaded = load_model(model, {name: value for name, value in first.items() if not depends_on_data(name)})
    # Some models cannot leave every size open, so only those stay open that the grid varies.
    varied = {name for name, values in axes.items() if len(values) > 1}
    dynamic = {
        key: {dim: name for dim, name in names.items() if name in varied} for key, names in loaded.dynamic.items()
    }
    of_data: dict[str, Any] = {n: value for n, value in first.items() if depends_on_data(n) and len(axes[n]) == 1}
    with _size_errors():
        graph = capture(loaded.module, loaded.args, loaded.kwargs, dynamic=dynamic, **of_data)
    free, fixed = _split(graph, {name: values for name, values in axes.items() if name not in of_data})
    for name, values in fixed.items():
        if len(values) > 1:
            names = " and ".join(graph.sizes) or "nothing"
            raise SizeError(f"{model} is captured at one {name!r}, so give it one value; it can be swept over {names}")
    return Captured(graph, free, {name: values[0] for name, values in fixed.items()}, model)


@contextmanager
def _size_errors() -> Iterator[None]:
    """A size that a capture refuses is refused as any other."""
    from .symbols import UnknownSizeError

    try:
        yield
    except (SpecSizeError, UnknownSizeError) as error:
        raise SizeError(str(error)) from error


def _split(graph: Graph, sizes: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The sizes that a graph names, and the others."""
    free = {name: value for name, value in sizes.items() if name in graph.sizes or depends_on_data(name)}
    return free, {name: value for name, value in sizes.items() if name not in free}
