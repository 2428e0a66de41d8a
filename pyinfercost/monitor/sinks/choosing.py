"""A sink from what a caller writes for it."""

from __future__ import annotations

import io
from os import PathLike, fspath
from typing import Any

from .files import Csv, Jsonl
from .mlflow import MLflow
from .plain import BRIEF, Callback, Stdout
from .prometheus import Prometheus
from .protocol import Sink
from .tensorboard import TensorBoard
from .wandb import WandB

_EXPECTED = (
    "expected a Sink, a function of (step, metrics), 'stdout', a path that ends in .csv or .jsonl, 'tensorboard:DIR', "
    "'wandb', 'wandb:PROJECT', 'mlflow' or 'prometheus'"
)


def sink_of(value: Any) -> Sink:
    """The sink that is meant.

    Args:
        value: A sink, a function that is called with `(step, metrics)`, an open text file, or a word:
            `"stdout"`, `"costs.csv"`, `"costs.jsonl"`, `"tensorboard:DIR"`, `"wandb"`, `"wandb:PROJECT"`, `"mlflow"`,
            `"prometheus"`.

    Raises:
        ValueError: No such word.
        TypeError: It is none of these.
        ImportError: The sink's library is missing; the message names the extra that brings it.
    """
    if isinstance(value, (str, PathLike)):
        return _of_word(fspath(value))
    if isinstance(value, type):
        raise TypeError(f"got the class {value.__name__}, not one of its objects; {_EXPECTED}")
    if isinstance(value, io.TextIOBase) or hasattr(value, "writelines"):  # which has `write` and `close` as well
        return Stdout(value)
    if isinstance(value, Sink):
        return value
    if callable(value):
        return Callback(value)
    raise TypeError(f"{value!r} is no sink; {_EXPECTED}")


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
    raise ValueError(f"{word!r} is no sink; {_EXPECTED}")
