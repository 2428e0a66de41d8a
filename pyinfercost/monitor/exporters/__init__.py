"""Exporters: destinations of the figures of a live model."""

from .exporter_texts import open_exporter
from .opentelemetry import OpenTelemetryExporter
from .page import PageExporter
from .periodic import Exporter
from .prometheus import PrometheusCollector, PrometheusExporter, PrometheusTextfileExporter, metrics_page
from .records import RecordExporter

__all__ = [
    "Exporter",
    "OpenTelemetryExporter",
    "PageExporter",
    "PrometheusCollector",
    "PrometheusExporter",
    "PrometheusTextfileExporter",
    "RecordExporter",
    "metrics_page",
    "open_exporter",
]
