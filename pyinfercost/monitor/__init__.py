"""Monitoring: sinks for cost records."""

from typing import TYPE_CHECKING

from .._lazy import lazy_exports

if TYPE_CHECKING:
    from ..results.sinks import Sink as Sink
    from .sinks import Callback as Callback
    from .sinks import Csv as Csv
    from .sinks import Jsonl as Jsonl
    from .sinks import MLflow as MLflow
    from .sinks import Prometheus as Prometheus
    from .sinks import Stdout as Stdout
    from .sinks import TensorBoard as TensorBoard
    from .sinks import WandB as WandB
    from .sinks import open_sink as open_sink

_EXPORTS = {
    "..results.sinks": ("Sink",),
    ".sinks": (
        "Callback",
        "Csv",
        "Jsonl",
        "MLflow",
        "Prometheus",
        "Stdout",
        "TensorBoard",
        "WandB",
        "open_sink",
    ),
}

__getattr__, __dir__, __all__ = lazy_exports(__name__, _EXPORTS)
