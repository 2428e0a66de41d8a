"""Construction of sinks from strings, paths, functions and files."""

from __future__ import annotations

import io
from os import PathLike, fspath
from typing import Any

from ...errors import InputError, InputTypeError
from ...results.sinks import Sink
from .experiment_trackers import MLflow, TensorBoard, WandB
from .plain import BRIEF, Callback, Csv, Jsonl, Stdout
from .prometheus import Prometheus

_EXPECTED = (
    "expected a Sink, a function of (step, metrics), 'stdout', a path that ends in .csv or .jsonl, 'tensorboard:DIR', "
    "'wandb', 'wandb:PROJECT', 'mlflow' or 'prometheus'"
)


def open_sink(value: Any) -> Sink:
    """Return the sink that a value denotes.

    Args:
        value: A sink, a function of `(step, metrics)`, an open text file, or a string: `"stdout"`, `"costs.csv"`,
            `"costs.jsonl"`, `"tensorboard:DIR"`, `"wandb"`, `"wandb:PROJECT"`, `"mlflow"`, `"prometheus"`.

    Returns:
        The sink.
    Raises:
        InputError: The string is unknown.
        InputTypeError: The value is none of these.
        MissingLibraryError: The sink's library is missing; the message names the extra that installs it.
    """
    if isinstance(value, (str, PathLike)):
        return _of_word(fspath(value))
    if isinstance(value, type):
        raise InputTypeError(f"got the class {value.__name__}, not an instance of it; {_EXPECTED}")
    if isinstance(value, io.TextIOBase) or hasattr(value, "writelines"):  # files have `write` and `close` too
        return Stdout(value)
    if isinstance(value, Sink):
        return value
    if callable(value):
        return Callback(value)
    raise InputTypeError(f"{value!r} is not a sink; {_EXPECTED}")


def _of_word(word: Any) -> Sink:
    kind, colon, rest = word.partition(":")
    match kind, rest if colon else None:
        case "stdout", None:
            return Stdout(only=BRIEF)
        case "tensorboard", str(folder) if folder:
            return TensorBoard(folder)
        case "wandb", None:
            return WandB()
        case "wandb", str(project) if project:
            return WandB(project=project)
        case "mlflow", None:
            return MLflow()
        case "prometheus", None:
            return Prometheus()
    if word.endswith(".csv"):
        return Csv(word)
    if word.endswith(".jsonl"):
        return Jsonl(word)
    raise InputError(f"{word!r} is not a sink; {_EXPECTED}")
