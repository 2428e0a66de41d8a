"""Construction of exporters from strings, sinks and objects."""

from __future__ import annotations

from os import PathLike, fspath
from typing import Any

from ..._checks import Range, shown, whole_in
from ...errors import InputError, InputTypeError
from ..access import ADDRESS
from ..sinks.sink_texts import open_sink
from .opentelemetry import OpenTelemetryExporter
from .page import PageExporter
from .periodic import INTERVAL_S, Exporter
from .prometheus import PrometheusExporter, PrometheusTextfileExporter
from .records import RecordExporter

_EXPECTED = (
    "expected an exporter, 'prometheus', 'prometheus:PORT', 'prometheus:HOST:PORT', 'page', 'page:PORT', "
    "'page:HOST:PORT', a path that ends in .prom, 'otel', 'otel:provider', or a sink: 'stdout', a path that ends in "
    ".csv or .jsonl, 'tensorboard:DIR', 'wandb', 'wandb:PROJECT', 'mlflow', a Sink, or a function of (step, metrics)"
)


def open_exporter(value: Any, *, interval_s: float = INTERVAL_S) -> Exporter:
    """Return the exporter that a value denotes.

    Args:
        value: An exporter, an object with `start(observer)` and `close()`, a sink or an argument of `open_sink`, or a
            string: `"prometheus"` (the default registry of `prometheus_client`), `"prometheus:9400"` (a server on
                localhost), `"prometheus:0.0.0.0:9400"` (a server for other machines), `"page:9401"` (the live page),
                `"metrics.prom"` (a file for the node exporter), `"otel"` (OTLP, configured by the variables of
                OpenTelemetry),
            `"otel:provider"` (instruments of the meter provider of this process), `"costs.jsonl"` and the other sinks.
        interval_s: Time between records and other deliveries, and between samples of the live page.

    Returns:
        The exporter.

    Raises:
        InputError: The string is unknown, or the interval is out of range.
        InputTypeError: The value is none of these.
        MissingLibraryError: A library is missing; the message names the extra that installs it.
    """
    if isinstance(value, type):
        raise InputTypeError(f"got the class {value.__name__}, not an instance of it; {_EXPECTED}")
    if isinstance(value, Exporter):
        return value
    if isinstance(value, (str, PathLike)):
        found = _of_word(fspath(value), interval_s)
        if found is not None:
            return found
    try:
        return RecordExporter(open_sink(value), interval_s=interval_s)
    except InputTypeError:
        raise InputTypeError(f"{shown(value)} is not an exporter; {_EXPECTED}") from None


def _of_word(word: Any, interval_s: float) -> Exporter | None:
    """Return the exporter of a word; None if the word names a sink."""
    if not isinstance(word, str):
        raise InputTypeError(f"{shown(word)} is not an exporter; {_EXPECTED}")
    kind, colon, rest = word.partition(":")
    if kind == "prometheus":
        if not colon:
            return PrometheusExporter()
        host, _, port = rest.rpartition(":")
        number = whole_in(port, f"the port of {word!r}", Range(0, 65_535))
        return PrometheusExporter(number, host=host.strip("[]")) if host else PrometheusExporter(number)
    if kind == "page":
        return PageExporter(rest or ADDRESS, interval_s=interval_s)
    if word.endswith(".prom"):
        return PrometheusTextfileExporter(word, interval_s=interval_s)
    if word == "otel":
        return OpenTelemetryExporter(interval_s=interval_s)
    if word == "otel:provider":
        return OpenTelemetryExporter(provider=_global_provider(), interval_s=interval_s)
    if kind not in ("stdout", "tensorboard", "wandb", "mlflow") and not word.endswith((".csv", ".jsonl")):
        raise InputError(f"{word!r} is not an exporter; {_EXPECTED}")
    return None


def _global_provider() -> Any:
    from ..._lazy import optional_library

    return optional_library("opentelemetry.metrics", "the exporter to OpenTelemetry", "otel").get_meter_provider()
