"""Monitoring: a live model compared with its prediction, and sinks for cost records."""

from typing import TYPE_CHECKING

from .._lazy import lazy_exports

if TYPE_CHECKING:
    from ..results.live import Distribution as Distribution
    from ..results.live import Series as Series
    from ..results.live import Snapshot as Snapshot
    from ..results.monitor_report import MonitorReport as MonitorReport
    from ..results.sinks import Sink as Sink
    from .asgi import MonitorMiddleware as MonitorMiddleware
    from .clients import count_inputs as count_inputs
    from .clients import monitored_client as monitored_client
    from .counting import Served as Served
    from .counting import count_generated as count_generated
    from .counting import count_items as count_items
    from .history import History as History
    from .http_server import LivePage as LivePage
    from .log import MonitorLog as MonitorLog
    from .log_reading import MonitorRecording as MonitorRecording
    from .log_reading import read_log as read_log
    from .monitor import Monitor as Monitor
    from .observer import Observer as Observer
    from .planned import Plan as Plan
    from .planned import read_plan as read_plan
    from .recorded import ExportedWorkload as ExportedWorkload
    from .recorded import export_workload as export_workload
    from .reporting import report_log as report_log
    from .request_columns import RequestColumns as RequestColumns
    from .requests import MonitoredRequest as MonitoredRequest
    from .requests import current_request as current_request
    from .sidecar import Sidecar as Sidecar
    from .sinks import Callback as Callback
    from .sinks import Csv as Csv
    from .sinks import Jsonl as Jsonl
    from .sinks import MLflow as MLflow
    from .sinks import Prometheus as Prometheus
    from .sinks import Stdout as Stdout
    from .sinks import TensorBoard as TensorBoard
    from .sinks import WandB as WandB
    from .sinks import open_sink as open_sink
    from .terminal import top as top

_EXPORTS = {
    "..results.live": ("Distribution", "Series", "Snapshot"),
    "..results.monitor_report": ("MonitorReport",),
    "..results.sinks": ("Sink",),
    ".asgi": ("MonitorMiddleware",),
    ".clients": ("count_inputs", "monitored_client"),
    ".counting": ("Served", "count_generated", "count_items"),
    ".history": ("History",),
    ".http_server": ("LivePage",),
    ".log": ("MonitorLog",),
    ".log_reading": ("MonitorRecording", "read_log"),
    ".monitor": ("Monitor",),
    ".observer": ("Observer",),
    ".planned": ("Plan", "read_plan"),
    ".recorded": ("ExportedWorkload", "export_workload"),
    ".reporting": ("report_log",),
    ".request_columns": ("RequestColumns",),
    ".requests": ("MonitoredRequest", "current_request"),
    ".sidecar": ("Sidecar",),
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
    ".terminal": ("top",),
}

__getattr__, __dir__, __all__ = lazy_exports(__name__, _EXPORTS)
