"""Modules and graphs of models named by a spec or a path."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from .loaded_model import LoadedModel, SpecError
from .registry import MODEL_FORMS, is_graph, source_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from .._core import Graph

# Libraries that the extra `models` brings.
_EXTRAS = frozenset({"torch", "torchvision", "timm", "transformers", "diffusers"})


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
