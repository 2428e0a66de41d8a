"""Reading of ONNX files: `capture` of a path or a `ModelProto`, without the values of weights."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pyinfercost._checks import errors_of_reading, excerpt, open_file
from pyinfercost._core import CountOverflowError, Graph, InputError

from ...errors import MissingLibraryError
from ..exported.program import SizeNameError
from ..other_formats import HINTS
from .stored import OnnxError, StoredTensor, kinds_of
from .walk import UNREADABLE, graph_of

if TYPE_CHECKING:
    from ..exported.program import SizeNames

_MAGIC = {b"ORTM": ".ort", b"TFL3": ".tflite"}  # bytes 4 to 7 of a file
_POINTER = b"version https://git-lfs"
_LARGEST = 2**31  # bytes of a protobuf message


def graph_from_onnx(source: Any, *, dynamic: SizeNames | None = None) -> Graph:
    """Read an ONNX model.

    Weights are described, not loaded: external data is not opened, except for small tensors on which shapes depend.
    Operators become equivalent operators of torch, so that precisions, engines, formats and layouts apply;
    an operator without counterpart is a node of its own, which the ledger lists.

    Args:
        source: Path of a `.onnx` file, or a `ModelProto`.
        dynamic: Input position or name -> dimension -> name, for dimensions that the model leaves open; by default they
            have the names of the file, and the first dimension of the first input is `batch`.

    Returns:
        The graph, named after the file.

    Raises:
        OnnxError: It is no ONNX model, or is damaged.
        MissingFileError: There is no such file.
        FileAccessError: The file cannot be read.
        MissingLibraryError: The package `onnx` is not installed.
        SizeNameError: `dynamic` does not fit the model.
    """
    if not isinstance(source, (str, os.PathLike)):
        return _converted(source, None, source.graph.name or "onnx", "the model", dynamic)
    path = Path(os.fspath(source))
    proto = load(path)
    return _converted(proto, path.parent, path.name, str(path), dynamic)


def load(path: Path) -> Any:
    """Return the `ModelProto` of a file, without external data.

    Raises:
        OnnxError: It is no ONNX model.
        MissingFileError: There is no such file.
        FileAccessError: The file cannot be read.
        MissingLibraryError: The package `onnx` is not installed.
    """
    try:
        from google.protobuf.message import DecodeError
        from onnx import ModelProto
    except ModuleNotFoundError as error:
        raise MissingLibraryError(
            f"{path} needs {error.name}, which is not installed; run pip install 'pyinfercost[onnx]'", name=error.name
        ) from error
    with open_file(path) as file, errors_of_reading(path):
        size = os.fstat(file.fileno()).st_size
        if size >= _LARGEST:
            raise OnnxError(
                f"{path}: has {size} bytes; expected less than 2 GiB, with larger weights as external data "
                "(onnx.save_model(..., save_as_external_data=True))"
            )
        content = file.read(size)
    if content[4:8] in _MAGIC:
        raise OnnxError(f"{path} is {HINTS[_MAGIC[content[4:8]]]}")
    if content.startswith(_POINTER):
        raise OnnxError(
            f"{path} is a pointer of Git LFS, which stands for the model in a repository; fetch the model with git lfs "
            "pull, or download it"
        )
    model = ModelProto()
    try:
        model.ParseFromString(content)
    except (DecodeError, RecursionError) as error:
        raise OnnxError(
            f"{path}: is not an ONNX model, or was truncated ({error}); expected a file of onnx.save"
        ) from error
    return model


def weights(path: str | os.PathLike[str]) -> list[StoredTensor]:
    """Return the stored tensors of a `.onnx` file, without reading them.

    Args:
        path: Path of the file.

    Raises:
        OnnxError: As `graph_from_onnx`.
    """
    place = Path(os.fspath(path))
    proto = load(place)
    try:
        kinds = kinds_of(proto.graph)
        return [StoredTensor(t, place.parent, kinds.get(t.name, "")) for t in proto.graph.initializer]
    except (OnnxError, *UNREADABLE) as error:
        raise OnnxError(f"{place}: {error}") from error


def _converted(proto: Any, folder: Path | None, name: str, where: str, dynamic: SizeNames | None) -> Graph:
    if not proto.HasField("graph") or not (proto.graph.node or proto.graph.output):
        raise OnnxError(f"{where}: has no graph; expected a model as written by onnx.save")
    try:
        return graph_of(proto, folder, name, dynamic)
    except SizeNameError:
        raise
    except OnnxError as error:
        raise OnnxError(f"{where}: {error}") from error
    except CountOverflowError:
        raise
    except InputError as error:
        raise OnnxError(f"{where}: {excerpt(str(error), most=1_000)}") from error
    except UNREADABLE as error:
        reason = excerpt(f"{type(error).__name__} {error}", most=1_000)
        raise OnnxError(f"{where}: has a field that is not valid ({reason})") from error
