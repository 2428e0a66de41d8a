"""Where records of cost go: the terminal, files, trackers of experiments. Making a sink imports its library."""

from .choosing import sink_of
from .files import Csv, Jsonl
from .mlflow import MLflow
from .plain import Callback, Stdout
from .prometheus import Prometheus
from .protocol import Sink
from .tensorboard import TensorBoard
from .wandb import WandB

__all__ = [
    "Callback",
    "Csv",
    "Jsonl",
    "MLflow",
    "Prometheus",
    "Sink",
    "Stdout",
    "TensorBoard",
    "WandB",
    "sink_of",
]
