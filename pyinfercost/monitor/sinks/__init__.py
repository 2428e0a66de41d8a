"""Sinks: destinations of cost records. The library of a sink is imported when the sink is created."""

from .experiment_trackers import MLflow, TensorBoard, WandB
from .plain import Callback, Csv, Jsonl, Stdout
from .prometheus import Prometheus
from .sink_texts import open_sink

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
