"""Modules and graphs of models given by a spec or a path."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .._checks import is_file
from ..errors import MissingLibraryError
from .loaded_model import LoadedModel, SpecError, UnknownModelError
from .registry import MODEL_FORMS, Source, source_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from .._core import Graph

# Libraries in the extra `models`.
_EXTRAS = frozenset({"torch", "torchvision", "timm", "transformers", "diffusers"})


def load_model(spec: str, sizes: Mapping[str, int]) -> LoadedModel:
    """Build the module of a spec, with inputs at the given sizes.

    Args:
        spec: A form of `registry.SOURCES` that opens a module, or `package.module:callable`.
        sizes: Size name -> value, in images, tokens or pixels. Defaults: `batch` 1, `image_size` the published one,
            `sequence` 128, `context` 2048.

    Returns:
        The module and its inputs; `dynamic` names the input dimensions that a capture may keep symbolic.

    Raises:
        SpecError: The spec is not valid, there is no such model, or it has no such size.
        ImportError: The library of the spec is not installed; the message names the extra to install.
    """
    source = source_of(spec)
    if source is None or source.opens != "module":
        raise UnknownModelError(f"model {spec!r} is not valid; expected {MODEL_FORMS}")
    rest = spec.removeprefix(f"{source.scheme}:") if source.scheme else spec
    if not rest:
        raise UnknownModelError(f"model {spec!r} is not valid; expected {MODEL_FORMS}")
    with libraries_of(spec):
        return source.load(rest, sizes)


@contextmanager
def libraries_of(spec: str) -> Iterator[None]:
    """Name the extra to install if the block imports a library of specs that is missing.

    Raises:
        ImportError: The library of the spec is not installed.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in _EXTRAS:
            raise
        raise MissingLibraryError(
            f"{spec} needs {error.name}, which is not installed; run pip install 'pyinfercost[models]'", name=error.name
        ) from error


def read_graph(source: Source, path: str, sizes: Mapping[str, int], dynamic: Any = None) -> Graph:
    """Read a stored graph, whose sizes stay symbolic.

    Args:
        source: Its source.
        path: The file.
        sizes: Sizes that the graph must have.
        dynamic: As in `capture`.

    Raises:
        SpecError: There is no such file, or the graph does not have a size.
        ArchiveError: A `.pt2` file cannot be read.
    """
    if not is_file(Path(path)):
        raise SpecError(f"{path}: no such file; expected the path of a captured graph")
    graph = source.read(path, dynamic)
    unknown = sorted(set(sizes) - set(graph.sizes))
    if unknown:
        known = " or ".join(graph.sizes) or "none: all its sizes are fixed"
        raise SpecError(f"{path} has no size {unknown[0]!r}; expected {known}")
    return graph


def stored(spec: str, graph: Graph, loaded: LoadedModel) -> Graph:
    """Return the graph of a loaded model with its weights as the checkpoint stores them.

    Args:
        spec: The spec, for error messages.
        graph: The graph of its module.
        loaded: The model.

    Raises:
        SpecError: A format has no kernel for a product.
    """
    if loaded.checkpoint is None:
        return graph
    from ..formats.checkpoints import with_formats
    from ..formats.table import FormatError

    try:
        return with_formats(graph, loaded.checkpoint)
    except FormatError as error:
        raise SpecError(f"{spec}: its weights are quantized by {loaded.checkpoint.method}, but {error}") from error


def require_unquantized(spec: str, loaded: LoadedModel, use: str) -> None:
    """Reject a quantized checkpoint, whose module is built without its formats.

    Args:
        spec: The spec, for the error message.
        loaded: The model.
        use: What is to be done with the module, in words.

    Raises:
        SpecError: The checkpoint is quantized.
    """
    if loaded.checkpoint is not None:
        raise SpecError(
            f"{spec} is quantized by {loaded.checkpoint.method}, and {use} would use full-precision weights; pass a "
            "config without its quantization_config"
        )
