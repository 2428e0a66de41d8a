"""From a model in words to a graph: files keep their sizes open, everything else is captured at the sizes asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .arguments import SizeError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from .._core import Graph

_LIBRARIES = ("torchvision", "timm", "hf")


def is_file(model: str) -> bool:
    """Whether a model is read from a file and not captured."""
    return model.endswith((".pt2", ".json")) and model.partition(":")[0] not in _LIBRARIES


def graph_at(model: str, sizes: Mapping[str, Any], dynamic: Any = None) -> tuple[Graph, dict[str, Any], dict[str, int]]:
    """The graph of a model for one point.

    Args:
        model: a file or a spec, as in `capture`.
        sizes: size name -> value.
        dynamic: as in `capture`; only for a `.pt2` file.

    Returns:
        The graph; the sizes that it has still to be given; and those that it was captured at, which it does not name.
    """
    from ..capture import capture

    if is_file(model):
        return capture(model, dynamic=dynamic), dict(sizes), {}
    graph = capture(model, dynamic=dynamic, **sizes)
    # One fixed size is known without being asked for: a library's model runs at batch 1 unless told otherwise.
    known = {"batch": 1, **sizes} if model.partition(":")[0] in _LIBRARIES else dict(sizes)
    free = {name: value for name, value in known.items() if name in graph.sizes}
    return graph, free, {name: value for name, value in known.items() if name not in graph.sizes}


def graph_over(model: str, axes: Mapping[str, Sequence[int]]) -> tuple[Graph, dict[str, Sequence[int]], dict[str, int]]:
    """The graph of a model for a grid of points, with as many sizes open as its capture can leave open.

    Args:
        model: a file or a spec, as in `capture`.
        axes: size name -> values.

    Returns:
        As `graph_at`, with axes for sizes.

    Raises:
        SizeError: for several values of a size that the capture fixes.
    """
    from ..capture import capture
    from ..capture.model_spec import load_model

    if is_file(model):
        return capture(model), dict(axes), {}
    loaded = load_model(model, {name: values[0] for name, values in axes.items()})
    graph = capture(loaded.module, loaded.args, loaded.kwargs, dynamic=loaded.dynamic)
    fixed = {name: values[0] for name, values in axes.items() if name not in graph.sizes}
    for name in fixed:
        if len(axes[name]) > 1:
            names = " and ".join(graph.sizes) or "nothing"
            raise SizeError(f"{model} is captured at one {name!r}, so give it one value; it can be swept over {names}")
    return graph, {name: values for name, values in axes.items() if name in graph.sizes}, fixed
