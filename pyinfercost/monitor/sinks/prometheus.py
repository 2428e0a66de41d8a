"""Sink of Prometheus gauges."""

from __future__ import annotations

import re
from collections.abc import Mapping
from math import isfinite
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

from ..._lazy import optional_library
from ...errors import InputError
from ..metric_names import base_units, valid_prometheus_name

_LABEL = "hardware"
# A registry accepts a name once, so sinks of one registry share its gauges.
_GAUGES: WeakKeyDictionary[Any, dict[str, Any]] = WeakKeyDictionary()


class Series(NamedTuple):
    """The gauge of a figure, and the value of its label; None for a gauge without one."""

    gauge: str
    hardware: str | None


class Prometheus:
    """Set gauges to the latest figures: `pyinfercost_cost_latency_seconds{hardware="l4"}`.

    The series of a figure that is not finite is removed until its next finite value. Gauges remain after `close`, so
    that a later scrape or push of the registry still has the last record.

    Args:
        registry: A `prometheus_client.CollectorRegistry`; None is the default one, which
            `prometheus_client.start_http_server(9000)` serves. Several sinks may share one.
        prefix: The prefix of all names.

    Raises:
        MissingLibraryError: Prometheus_client is not installed.
        InputError: The prefix is not a valid name.
    """

    def __init__(self, registry: Any = None, prefix: str = "pyinfercost") -> None:
        if not re.fullmatch(r"[a-zA-Z_][a-zA-Z0-9_]*", prefix):
            raise InputError(f"prefix is {prefix!r}, which Prometheus rejects; pass letters, digits and underscores")
        client = optional_library("prometheus_client", "the sink Prometheus", "prometheus")
        self._gauge = client.Gauge
        self._registry = client.REGISTRY if registry is None else registry
        self._prefix = prefix
        self._series: dict[str, Series] = {}

    def write(self, step: int, metrics: Mapping[str, float | int]) -> None:
        """Set the gauges."""
        gauges = _GAUGES.setdefault(self._registry, {})
        for name, value in ({"step": step} | dict(metrics)).items():
            series = self._series.get(name)
            if series is None:
                series = self._series[name] = series_of(name, self._prefix)
            if isfinite(value):
                self._set(gauges, series, name, value)
            else:
                self._forget(gauges, series)

    def close(self) -> None:
        """Do nothing: the gauges remain."""

    def _set(self, gauges: dict[str, Any], series: Series, name: str, value: float) -> None:
        gauge = gauges.get(series.gauge)
        if gauge is None:
            labels = () if series.hardware is None else (_LABEL,)
            shown = name if series.hardware is None else name.replace(f"/{series.hardware}/", f"/<{_LABEL}>/")
            gauge = self._gauge(series.gauge, f"pyinfercost: {shown}", labels, registry=self._registry)
            gauges[series.gauge] = gauge
        (gauge if series.hardware is None else gauge.labels(series.hardware)).set(value)

    def _forget(self, gauges: dict[str, Any], series: Series) -> None:
        gauge = gauges.get(series.gauge)
        if gauge is None:
            return
        if series.hardware is None:
            self._registry.unregister(gauges.pop(series.gauge))
        elif any(sample.labels == {_LABEL: series.hardware} for sample in next(iter(gauge.collect())).samples):
            gauge.remove(series.hardware)


def series_of(name: str, prefix: str) -> Series:
    """Return the series of a figure: `<prefix>_cost_latency_seconds` of `l4` for `cost/l4/latency_s`.

    All figures under `cost` have the label, empty if they have no machine, because a gauge has one set of labels.
    """
    parts = name.split("/")
    hardware = None
    if parts[0] == "cost":
        hardware = parts.pop(1) if len(parts) > 2 else ""  # noqa: PLR2004 - cost, hardware, metric
    return Series(base_units(valid_prometheus_name("_".join([prefix, *parts]))), hardware)
