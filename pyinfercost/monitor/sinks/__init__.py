"""Sinks: destinations of cost records. Creating a sink imports its library."""

from .experiment_trackers import MLflow, TensorBoard, WandB
from .opening import open_sink
from .plain import Callback, Csv, Jsonl, Stdout
from .prometheus import Prometheus

__all__ = [
    "Callback",
    "Csv",
    "Jsonl",
    "MLflow",
    "Prometheus",
    "Stdout",
    "TensorBoard",
    "WandB",
    "open_sink",
]
