"""The dashboard of Grafana, as the JSON that it imports and provisions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ...results.live_figures import LIVE_FIGURES
from ..metric_names import PREFIX
from .panels import ALERTS, MODEL, Panel, rows
from .queries import duration, keys_in, metric
from .settings import MonitorConfig

UID = "pyinfercost"
_SCHEMA = 41  # of Grafana 12; older and newer versions convert it
_COLUMNS = 24
_HEIGHTS = {"stat": 4, "timeseries": 8, "table": 5}
_SOURCE = {"type": "prometheus", "uid": "${datasource}"}


def dashboard(config: MonitorConfig) -> dict[str, Any]:
    """Return the dashboard.

    It takes its colors from the theme, so it suits light and dark ones. Variables choose the data source and the model.
    """
    return {
        "uid": UID,
        "title": "Cost of a model: measured and predicted",
        "description": "Written by `pyinfercost monitor config` from the catalog of figures.",
        "tags": [PREFIX],
        "schemaVersion": _SCHEMA,
        "version": 1,
        "editable": True,
        "graphTooltip": 1,  # one cursor for all panels
        "refresh": duration(max(5.0, config.scrape_interval_s)),
        "time": {"from": "now-6h", "to": "now"},
        "timezone": "browser",
        "templating": {"list": list(_variables())},
        "annotations": {"list": [_alerts()]},
        "links": [],
        "panels": list(_panels()),
    }


def _variables() -> Iterator[dict[str, Any]]:
    yield {"name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus"}
    yield _values_of("model", "Model", f"label_values({PREFIX}_info, model)", several=False)
    parts = f"label_values({metric('measured_s', model=MODEL)}, part)"
    yield _values_of("part", "Part", parts, several=True)


def _values_of(name: str, label: str, query: str, *, several: bool) -> dict[str, Any]:
    return {
        "name": name,
        "label": label,
        "type": "query",
        "datasource": _SOURCE,
        "query": {"qryType": 1, "query": query, "refId": "PrometheusVariableQueryEditor-VariableQuery"},
        "definition": query,
        "refresh": 2,  # when the time range changes
        "sort": 1,
        "multi": several,
        "includeAll": several,
        "current": {"text": "All", "value": "$__all"} if several else {},
        "hide": 0,
    }


def _alerts() -> dict[str, Any]:
    return {
        "name": "Alerts",
        "datasource": _SOURCE,
        "enable": True,
        "iconColor": "orange",
        "expr": ALERTS,
        "titleFormat": "{{alertname}}",
        "textFormat": "{{instance}}",
    }


def _panels() -> Iterator[dict[str, Any]]:
    identifier = y = 0
    for row in rows():
        identifier += 1
        yield {
            "id": identifier,
            "type": "row",
            "title": row.title,
            "collapsed": False,
            "gridPos": {"x": 0, "y": y, "w": _COLUMNS, "h": 1},
            "panels": [],
        }
        y += 1
        x = height = 0
        for panel in row.panels:
            if x + panel.width > _COLUMNS:
                x, y, height = 0, y + height, 0
            identifier += 1
            place = {"x": x, "y": y, "w": panel.width, "h": _HEIGHTS[panel.kind]}
            yield _panel(panel, identifier, place)
            x, height = x + panel.width, max(height, place["h"])
            if panel.repeat:  # its copies fill the line
                x = _COLUMNS
        y += height


def _panel(panel: Panel, identifier: int, place: dict[str, int]) -> dict[str, Any]:
    keys = list(dict.fromkeys(key for query in panel.queries for key in keys_in(query.expression)))
    document: dict[str, Any] = {
        "id": identifier,
        "type": panel.kind,
        "title": panel.title,
        "description": " ".join(LIVE_FIGURES[key].help for key in keys),
        "datasource": _SOURCE,
        "gridPos": place,
        "targets": [
            {
                "refId": chr(ord("A") + number),
                "datasource": _SOURCE,
                "expr": query.expression,
                "legendFormat": query.legend or "__auto",
                "range": not query.is_table,
                "instant": query.is_table,
                "format": "table" if query.is_table else "time_series",
                "editorMode": "code",
            }
            for number, query in enumerate(panel.queries)
        ],
        "fieldConfig": {"defaults": _defaults(panel), "overrides": _overrides(panel)},
        "options": _options(panel),
    }
    if panel.repeat:
        document |= {"repeat": panel.repeat, "repeatDirection": "h", "maxPerRow": _COLUMNS // panel.width}
    return document


def _defaults(panel: Panel) -> dict[str, Any]:
    defaults: dict[str, Any] = {"unit": panel.unit, "color": {"mode": "palette-classic"}}
    if panel.unit != "short":
        defaults["min"] = 0
    if panel.kind == "stat":
        defaults["color"] = {"mode": "thresholds"}
        defaults["thresholds"] = {"mode": "absolute", "steps": [{"color": "text", "value": None}]}
    if panel.kind == "timeseries":
        defaults["custom"] = {
            "drawStyle": "line",
            "lineWidth": 1,
            "fillOpacity": 30 if panel.is_stacked else 0,
            "showPoints": "auto",
            "spanNulls": False,
            "stacking": {"mode": "normal" if panel.is_stacked else "none", "group": "A"},
        }
    return defaults


def _overrides(panel: Panel) -> list[dict[str, Any]]:
    if not panel.has_band:
        return []
    gray = {"id": "color", "value": {"mode": "fixed", "fixedColor": "gray"}}
    thin = {"id": "custom.lineWidth", "value": 0}
    area = [{"id": "custom.fillBelowTo", "value": "low"}, {"id": "custom.fillOpacity", "value": 20}]
    return [
        {"matcher": {"id": "byName", "options": "high"}, "properties": [gray, thin, *area]},
        {"matcher": {"id": "byName", "options": "low"}, "properties": [gray, thin]},
    ]


def _options(panel: Panel) -> dict[str, Any]:
    if panel.kind == "stat":
        return {
            "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
            "colorMode": "value",
            "graphMode": "area",
            "textMode": "auto",
            "justifyMode": "auto",
            "orientation": "auto",
        }
    if panel.kind == "table":
        return {"showHeader": True, "cellHeight": "sm"}
    return {
        "legend": {"showLegend": True, "displayMode": "list", "placement": "bottom", "calcs": []},
        "tooltip": {"mode": "multi", "sort": "desc"},
    }
