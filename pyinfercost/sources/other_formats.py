"""Files of other frameworks and runtimes, which are refused with the remedy."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from .._checks import shown
from .loaded_model import SpecError

if TYPE_CHECKING:
    from .._core import Graph

_KERAS = (
    "a model of Keras; convert it to ONNX (python -m tf2onnx.convert --keras MODEL --output MODEL.onnx) and pass that"
)
_ENGINE = "a compiled engine of TensorRT, whose graph cannot be read back; pass the .onnx file that it was built from"
_CORE_ML = "a model of Core ML; pass the module or the .onnx file that it was converted from"
HINTS = {
    ".ort": "a model of ONNX Runtime's own format, whose graph cannot be read back; pass the .onnx file that it was "
    "converted from",
    ".tflite": "a TensorFlow Lite model; convert it to ONNX (python -m tf2onnx.convert --tflite MODEL.tflite --output "
    "MODEL.onnx) and pass that",
    ".h5": _KERAS,
    ".keras": _KERAS,
    ".pb": "a graph of TensorFlow; convert it to ONNX (python -m tf2onnx.convert --saved-model FOLDER --output "
    "MODEL.onnx) and pass that",
    ".engine": _ENGINE,
    ".plan": _ENGINE,
    ".mlmodel": _CORE_ML,
    ".mlpackage": _CORE_ML,
}
"""Suffix of a file -> its kind, and the remedy."""


def refuse(path: str, *, dynamic: Any = None) -> Graph:
    """Reject a file of another framework.

    Raises:
        SpecError: Always; the message names a model that can be read instead.
    """
    del dynamic
    raise SpecError(f"{shown(path)} is {HINTS[Path(path).suffix.lower()]}")
