"""Modules of models given by a spec, and the weights that their graphs store."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from zipfile import BadZipFile, ZipFile

from .._checks import is_file
from .._lazy import is_hidden, missing_library
from .loaded_model import LoadedModel, SpecError, UnknownModelError
from .memory_formats import loaded_in_channels_last, split_format
from .registry import MODEL_FORMS, source_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from .._core import Graph

_PICKLES = frozenset({".pt", ".pth", ".bin", ".ckpt", ".ts", ".torchscript"})

# Libraries in the extra `models`.
_EXTRAS = frozenset({"torch", "torchvision", "timm", "transformers", "diffusers"})


def load_model(spec: str, sizes: Mapping[str, int]) -> LoadedModel:
    """Build the module of a spec, with inputs at the given sizes.

    Args:
        spec: A form of `registry.SOURCES` that opens a module, or `package.module:callable`; with `#channels_last` at
            its end, weights and inputs of images have that memory format.
        sizes: Size name -> value, in images, tokens or pixels. Defaults: `batch` 1, `image_size` the published one,
            `sequence` 128, `context` 2048.

    Returns:
        The module and its inputs; `dynamic` names the input dimensions that a capture may keep symbolic.

    Raises:
        SpecError: The spec is not valid, there is no such model, or it has no such size.
        ImportError: The library of the spec is not installed; the message names the extra to install.
    """
    plain, channels_last = split_format(spec)
    source = source_of(plain)
    if source is not None and source.opens == "weights":
        raise _without_model(plain)
    if source is None and Path(plain).suffix in _PICKLES and is_file(Path(plain)):
        raise _of_torch(plain)
    if source is None or source.opens != "module":
        raise UnknownModelError(f"model {spec!r} is not valid; expected {MODEL_FORMS}")
    rest = source.rest_of(plain)
    if not rest:
        raise UnknownModelError(f"model {spec!r} is not valid; expected {MODEL_FORMS}")
    with libraries_of(plain):
        loaded = source.load(rest, sizes)
        return loaded_in_channels_last(loaded) if channels_last else loaded


def _of_torch(spec: str) -> SpecError:
    """Return the error for a file of `torch.save` or of TorchScript. Neither is loaded: both may run code."""
    export = "torch.export.save(torch.export.export(module, inputs), 'model.pt2')"
    try:
        with ZipFile(spec) as archive:
            scripted = any(name.endswith("/constants.pkl") for name in archive.namelist())
    except (BadZipFile, OSError, ValueError, NotImplementedError):
        scripted = False
    if scripted:
        return SpecError(
            f"{spec} is TorchScript, which cannot be captured; export the module that it was made from with {export}, "
            "and pass that file"
        )
    return SpecError(
        f"{spec} may be a pickle, which can run arbitrary code, and is not opened; build the module and save it with "
        f"{export}, or pass a function that returns it, as package.module:callable"
    )


def _without_model(spec: str) -> SpecError:
    """Return the error for a file of weights, which lacks the computation."""
    folder = Path(spec).parent
    remedy = (
        f"its folder has a config.json: pass the folder, {folder}"
        if is_file(folder / "config.json")
        else "pass a folder with it and the config.json of its model, or a function that returns the module, as "
        "package.module:callable"
    )
    return SpecError(f"{spec} has weights alone, and not the model that they belong to; {remedy}")


@contextmanager
def libraries_of(spec: str) -> Iterator[None]:
    """Name the extra to install if the block imports a library of specs that is missing.

    Raises:
        ImportError: The library of the spec is not installed.
    """
    try:
        yield
    except ImportError as error:
        library = (error.name or "").partition(".")[0]
        if library not in _EXTRAS or not (isinstance(error, ModuleNotFoundError) or is_hidden(library)):
            raise
        raise missing_library(spec, error, "models") from error


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
        use: Purpose of the module, in words.

    Raises:
        SpecError: The checkpoint is quantized.
    """
    if loaded.checkpoint is not None:
        raise SpecError(
            f"{spec} is quantized by {loaded.checkpoint.method}, and {use} would use full-precision weights; pass a "
            "config without its quantization_config"
        )
