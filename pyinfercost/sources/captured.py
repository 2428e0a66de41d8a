"""Graphs of models named by a spec or a path, with the sizes to analyze them at.

A file keeps its sizes open. Everything else is captured at the sizes asked for.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from .._core import depends_on_data
from .loaded_model import SpecSizeError
from .models import load_model
from .registry import is_graph, is_library_model
from .sizes import SizeError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from .._core import Graph


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
    with size_errors():
        graph = capture(model, dynamic=dynamic, training=training, sizes=sizes)
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
    with size_errors():
        loaded = load_model(model, {name: value for name, value in first.items() if not depends_on_data(name)})
    # Some models cannot leave every size open, so only those stay open that the grid varies.
    varied = {name for name, values in axes.items() if len(values) > 1}
    dynamic = {
        key: {dim: name for dim, name in names.items() if name in varied} for key, names in loaded.dynamic.items()
    }
    of_data: dict[str, Any] = {n: value for n, value in first.items() if depends_on_data(n) and len(axes[n]) == 1}
    with size_errors():
        graph = capture(loaded.module, loaded.inputs, dynamic=dynamic, sizes=of_data)
    free, fixed = _split(graph, {name: values for name, values in axes.items() if name not in of_data})
    for name, values in fixed.items():
        if len(values) > 1:
            names = " and ".join(graph.sizes) or "nothing"
            raise SizeError(f"{model} is captured at one {name!r}, so give it one value; it can be swept over {names}")
    return Captured(graph, free, {name: values[0] for name, values in fixed.items()}, model)


@contextmanager
def size_errors() -> Iterator[None]:
    """Raise sizes that a spec or a capture refuses as a `SizeError`."""
    from .symbols import UnknownSizeError

    try:
        yield
    except (SpecSizeError, UnknownSizeError) as error:
        raise SizeError(str(error)) from error


def _split(graph: Graph, sizes: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The sizes that a graph names, and the others."""
    free = {name: value for name, value in sizes.items() if name in graph.sizes or depends_on_data(name)}
    return free, {name: value for name, value in sizes.items() if name not in free}
