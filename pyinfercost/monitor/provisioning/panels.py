"""Panels of the Grafana dashboard by row, as queries over the catalog."""

from __future__ import annotations

from typing import NamedTuple

from ...results.live_figures import COUNTER, HISTOGRAM, LIVE_FIGURES, LiveFigure, ratio_of
from ..metric_names import base_units
from .queries import keys_in, last_hour, metric

MODEL = "$model"
ALERTS = " or ".join(  # of the model, and of none
    f'ALERTS{{alertname=~"Pyinfercost.*",alertstate="firing",model="{name}"}}' for name in (MODEL, "")
)
_WINDOW = "[$__rate_interval]"
_PERCENTS = (50, 90, 99)

# The end of a name in Prometheus -> the unit in Grafana; the first match applies.
_UNITS = {
    "_usd_per_hour": "currencyUSD",
    "_usd_per_request": "currencyUSD",
    "_per_million_tokens": "currencyUSD",
    "_usd": "currencyUSD",
    "_joules_per_token": "joule",
    "_joules": "joule",
    "_watts": "watt",
    "_seconds": "s",
    "_ratio": "percentunit",
    "_bytes": "decbytes",
}


class Query(NamedTuple):
    """A query with the name of its series in the legend, in which `{{label}}` is the value of a label."""

    expression: str
    legend: str
    is_table: bool = False


class Panel(NamedTuple):
    """A panel.

    Attributes:
        title: Its title.
        unit: Its unit, an id of Grafana.
        queries: Its queries.
        width: Columns of 24.
        kind: `timeseries`, `stat` or `table`.
        is_stacked: Whether series are parts of a whole.
        has_band: Whether the series `high` and `low` are the edges of an area.
        repeat: A variable of which each value has a panel of its own.
    """

    title: str
    unit: str
    queries: tuple[Query, ...]
    width: int = 8
    kind: str = "timeseries"
    is_stacked: bool = False
    has_band: bool = False
    repeat: str | None = None


class Row(NamedTuple):
    """A row of panels under a title."""

    title: str
    panels: tuple[Panel, ...]


def _of(key: str, **labels: str) -> str:
    return metric(key, model=MODEL, **labels)


def _rate(key: str, by: str = "model") -> str:
    return f"sum by ({by}) (rate({_of(key)}{_WINDOW}))"


def _ratio(above: str, below: str) -> str:
    return f"sum(rate({_of(above)}{_WINDOW})) / (sum(rate({_of(below)}{_WINDOW})) > 0)"


def _gauge(key: str, legend: str = "{{instance}}") -> Query:
    return Query(_of(key), legend)


def _recorded(name: str) -> str:
    return f'{name}{{model="{MODEL}"}}'


def _percentiles(key: str) -> tuple[Query, ...]:
    rates = f"sum by (le) (rate({metric(key, part='_bucket', model=MODEL)}{_WINDOW}))"
    return tuple(Query(f"histogram_quantile({percent / 100:g}, {rates})", f"p{percent}") for percent in _PERCENTS)


def _stat(title: str, unit: str, expression: str) -> Panel:
    return Panel(title, unit, (Query(expression, ""),), width=4, kind="stat")


_PLANNED = "max({})"
_TOKENS_USD, _TOKENS_J = (ratio_of(counter, "output_tokens") for counter in ("cost_usd", "energy_j"))

_MONEY = Row(
    "Money",
    (
        _stat("Now, per hour", "currencyUSD", _recorded("model:pyinfercost_cost_usd_per_hour:rate")),
        _stat("10^6 tokens, last hour", "currencyUSD", _recorded(last_hour(_TOKENS_USD))),
        _stat("In the time shown", "currencyUSD", f"sum(increase({_of('cost_usd')}[$__range]))"),
        _stat("Price of all replicas, per hour", "currencyUSD", f"sum({_of('price_usd_per_h')})"),
        _stat("Idle, last hour", "percentunit", _recorded("model:pyinfercost_idle_ratio:increase1h")),
        _stat("Replicas", "none", f"sum({_of('replicas')})"),
        Panel(
            "Money per hour, by use",
            "currencyUSD",
            (Query(f"3600 * {_rate('cost_usd', 'use')}", "{{use}}"),),
            is_stacked=True,
        ),
        Panel(
            "Money for 10^6 generated tokens",
            "currencyUSD",
            (
                _gauge(_TOKENS_USD.key),
                Query(_recorded(last_hour(_TOKENS_USD)), "last hour"),
                Query(_PLANNED.format(_of(f"planned_{_TOKENS_USD.key}")), "plan"),
            ),
        ),
        Panel("Money for a request", "currencyUSD", (_gauge("usd_per_request"),)),
    ),
)

_TRAFFIC = Row(
    "Traffic and latency",
    (
        Panel("Requests", "reqps", (Query(_rate("requests", "outcome"), "{{outcome}}"),), is_stacked=True),
        Panel(
            "Tokens per second",
            "short",
            (
                Query(_rate("prompt_tokens"), "prompt"),
                Query(_rate("cached_prompt_tokens"), "prompt, cached"),
                Query(_rate("output_tokens"), "generated"),
                Query(_rate("items"), "items"),
            ),
        ),
        Panel(
            "Requests at once",
            "short",
            (
                Query(f"sum({_of('in_flight')})", "in service"),
                Query(f"sum({_of('waiting')})", "waiting"),
            ),
        ),
        Panel("Time of a request", "s", _percentiles("request_s")),
        Panel("Time to the first token", "s", _percentiles("ttft_s")),
        Panel("Time per further token", "s", _percentiles("tpot_s")),
        Panel("Time before service", "s", _percentiles("queue_wait_s")),
        Panel(
            "Mean times of requests",
            "s",
            (
                Query(_ratio("queue_s", "requests"), "before service"),
                Query(_ratio("service_s", "requests"), "in service"),
            ),
        ),
        Panel("Items of a request", "short", _percentiles("batch_items")),
        Panel("Prompt of a request, tokens", "short", _percentiles("request_prompt_tokens"), width=12),
        Panel("Generated tokens of a request", "short", _percentiles("request_output_tokens"), width=12),
    ),
)

_UTILIZATION = Row(
    "Utilization",
    (
        Panel("Paid devices, by use", "short", (Query(_rate("reserved_s", "use"), "{{use}}"),), is_stacked=True),
        Panel("Share of the paid time in service", "percentunit", (_gauge("busy_share"),)),
        Panel("Blocks of the KV cache in use", "percentunit", (_gauge("kv_cache_use_share"),)),
        Panel(
            "Share of the peak FLOP/s and of the bandwidth",
            "percentunit",
            (_gauge("mfu_share", "MFU {{instance}}"), _gauge("mbu_share", "MBU {{instance}}")),
        ),
        Panel("FLOP/s of the model", "flops", (Query(_rate("model_flops"), "FLOP/s"),)),
        Panel("Memory traffic of the model", "Bps", (Query(_rate("model_bytes"), "bytes per second"),)),
        Panel("Preemptions per second", "short", (Query(_rate("preemptions"), "preemptions"),), width=12),
        Panel(
            "Cold starts in an hour",
            "short",
            (Query(_recorded("model:pyinfercost_cold_starts:increase1h"), "cold starts"),),
            width=12,
        ),
    ),
)

_PREDICTION = Row(
    "Prediction",
    (
        Panel(
            "Measured / predicted: $part",
            "short",
            # Grafana writes the value of a variable that may have several as a regular expression.
            tuple(
                Query(f'{name}{{model="{MODEL}",part=~"$part"}}', legend)
                for name, legend in (
                    ("model:pyinfercost_high_to_predicted:rate", "high"),
                    ("model:pyinfercost_low_to_predicted:rate", "low"),
                    ("model:pyinfercost_measured_to_predicted:rate", "measured"),
                )
            ),
            width=12,
            has_band=True,
            repeat="part",
        ),
        Panel(
            "Measured and predicted seconds per second",
            "short",
            (
                Query(_rate("measured_s", "part"), "measured: {{part}}"),
                Query(_rate("predicted_s", "part"), "predicted: {{part}}"),
            ),
        ),
        Panel("Measured / predicted, by replica", "short", (_gauge("measured_to_predicted", "{{instance}} {{part}}"),)),
        Panel(
            "Measured / predicted, compared with the start",
            "short",
            (_gauge("measured_to_first", "{{instance}} {{part}}"),),
        ),
    ),
)

_PLAN = Row(
    "Plan of this hour",
    (
        Panel(
            "Money per hour and its plan",
            "currencyUSD",
            (
                Query(_recorded("model:pyinfercost_cost_usd_per_hour:rate"), "measured"),
                Query(_PLANNED.format(_of("planned_usd_per_h")), "plan"),
            ),
        ),
        Panel(
            "Requests and their plan",
            "reqps",
            (
                Query(_recorded("model:pyinfercost_requests:rate"), "measured"),
                Query(_PLANNED.format(_of("planned_requests_per_s")), "plan"),
            ),
        ),
        Panel(
            "Replicas and their plan",
            "short",
            (
                Query(f"sum({_of('replicas')})", "observed"),
                Query(_PLANNED.format(_of("planned_replicas")), "plan"),
            ),
        ),
    ),
)

_ENERGY = Row(
    "Energy",
    (
        Panel("Power", "watt", (_gauge("power_w"),)),
        Panel("Energy in the time shown", "joule", (Query(f"sum(increase({_of('energy_j')}[$__range]))", "energy"),)),
        Panel(
            "Energy of a generated token",
            "joule",
            (
                _gauge(_TOKENS_J.key),
                Query(_recorded(last_hour(_TOKENS_J)), "last hour"),
            ),
        ),
    ),
)

_HEALTH = Row(
    "Health of the observer",
    (
        Panel(
            "Alerts",
            "short",
            (Query(ALERTS, "", is_table=True),),
            width=24,
            kind="table",
        ),
        Panel("Server answers", "short", (_gauge("up"),)),
        Panel("Readings of the server per second", "short", (Query(_rate("scrapes", "outcome"), "{{outcome}}"),)),
        Panel(
            "Restarts of the server in an hour", "short", (Query(f"sum(increase({_of('restarts')}[1h]))", "restarts"),)
        ),
        Panel(
            "Records that were not kept, per second",
            "short",
            (Query(_rate("dropped_records", "kind"), "{{kind}}"),),
            width=12,
        ),
        Panel(
            "Failures of exporters in an hour",
            "short",
            (Query(f"sum by (exporter) (increase({_of('exporter_errors')}[1h]))", "{{exporter}}"),),
            width=12,
        ),
        Panel(
            "Observed models",
            "short",
            (Query(f'pyinfercost_info{{model="{MODEL}"}}', "", is_table=True),),
            width=24,
            kind="table",
        ),
    ),
)


def _unit_of(figure: LiveFigure) -> str:
    name = base_units(figure.key)
    return next((unit for end, unit in _UNITS.items() if f"_{name}".endswith(end)), "short")


def _panel_of(figure: LiveFigure) -> Panel:
    """Return a panel of a figure that has none: a gauge as it is, a counter per second, percentiles."""
    if figure.kind == HISTOGRAM:
        queries = _percentiles(figure.key)
    elif figure.kind == COUNTER:
        by = figure.labels[0] if figure.labels else "model"
        queries = (Query(_rate(figure.key, by), f"{{{{{by}}}}}"),)
    else:
        queries = (_gauge(figure.key, "{{instance}} " + " ".join(f"{{{{{name}}}}}" for name in figure.labels)),)
    unit = "short" if figure.kind == COUNTER else _unit_of(figure)
    return Panel(figure.help.rstrip("."), unit, queries)


def rows() -> list[Row]:
    """Return all rows; figures of the catalog that none of these shows have a last row."""
    found = [_MONEY, _TRAFFIC, _UTILIZATION, _PREDICTION, _PLAN, _ENERGY, _HEALTH]
    shown = {
        key for row in found for panel in row.panels for query in panel.queries for key in keys_in(query.expression)
    }
    others = tuple(_panel_of(figure) for key, figure in LIVE_FIGURES.items() if key not in shown)
    return [*found, Row("More", others)] if others else found
