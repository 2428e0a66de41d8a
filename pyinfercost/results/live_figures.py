"""The catalog of figures of a live model: one row for each number that an observer counts.

Names in Prometheus and OpenTelemetry, dashboards, rules, logs and pages are made from these rows. A new figure is a row
here, its computation in an observer, and its test.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import NamedTuple

COUNTER, GAUGE, HISTOGRAM = "counter", "gauge", "histogram"

USES = ("busy", "idle", "cold")
"""Values of the label `use` of reserved time: requests are in service, none is, the replica is starting."""

OUTCOMES = ("ok", "error", "cancelled")
"""Values of the label `outcome` of requests."""

SCRAPES = ("ok", "partial", "error")
"""Values of the label `outcome` of readings: a partial one had lines that could not be read."""


class Ratio(NamedTuple):
    """Counters whose quotient is a gauge.

    Attributes:
        above: Counter of the dividend.
        below: Counter of the divisor.
        factor: Factor of the quotient.
        of_above: Value of the label of `above`; empty for the sum.
        of_below: Value of the label of `below`; empty for the sum.
    """

    above: str
    below: str
    factor: float = 1.0
    of_above: str = ""
    of_below: str = ""


@dataclass(frozen=True)
class LiveFigure:
    """A row of the catalog.

    Attributes:
        key: Name with its unit, as in the package: `service_s`, `energy_j`, `cost_usd`.
        kind: Counter, gauge or histogram.
        help: Description in one sentence.
        labels: Names of labels.
        otel: Name by the semantic conventions of OpenTelemetry, where they have one.
        ratio: Counters that it is the quotient of; None for other figures.
    """

    key: str
    kind: str
    help: str
    labels: tuple[str, ...] = ()
    otel: str | None = None
    ratio: Ratio | None = None


_ROWS = (
    # What users asked for
    LiveFigure("requests", COUNTER, "Requests that ended, by outcome.", ("outcome",)),
    LiveFigure("items", COUNTER, "Items of the batches of requests, such as images."),
    LiveFigure("prompt_tokens", COUNTER, "Tokens of prompts, cached ones among them."),
    LiveFigure("cached_prompt_tokens", COUNTER, "Tokens of prompts that were in a cache of prefixes."),
    LiveFigure("output_tokens", COUNTER, "Generated tokens."),
    LiveFigure("queue_s", COUNTER, "Time of requests before their service."),
    LiveFigure("service_s", COUNTER, "Time of requests in service; of several at once, the time of each."),
    LiveFigure("in_flight", GAUGE, "Requests in service."),
    LiveFigure("waiting", GAUGE, "Requests before their service."),
    # What users felt
    LiveFigure("request_s", HISTOGRAM, "Time of a request from arrival to end.", (), "gen_ai.server.request.duration"),
    LiveFigure("queue_wait_s", HISTOGRAM, "Time of a request before its service."),
    LiveFigure("ttft_s", HISTOGRAM, "Time to the first token.", (), "gen_ai.server.time_to_first_token"),
    LiveFigure("tpot_s", HISTOGRAM, "Time per further token of a request.", (), "gen_ai.server.time_per_output_token"),
    LiveFigure("batch_items", HISTOGRAM, "Items of a request."),
    LiveFigure("request_prompt_tokens", HISTOGRAM, "Tokens of the prompt of a request."),
    LiveFigure("request_output_tokens", HISTOGRAM, "Generated tokens of a request."),
    # What the machine did
    LiveFigure("reserved_s", COUNTER, "Paid time of all devices, by use.", ("use",)),
    LiveFigure("busy_share", GAUGE, "Share of the paid time in which requests were in service, lately.",
               ratio=Ratio("reserved_s", "reserved_s", of_above="busy")),
    LiveFigure("energy_j", COUNTER, "Energy of the measured parts of the machine."),
    LiveFigure("power_w", GAUGE, "Power of the measured parts of the machine, lately."),
    LiveFigure("model_flops", COUNTER, "FLOPs of the model for what was answered, counted from its graph."),
    LiveFigure("model_bytes", COUNTER, "Memory traffic of the model for what was answered, counted from its graph."),
    LiveFigure("mfu_share", GAUGE, "Share of the peak FLOP/s of the paid devices that was used, lately."),
    LiveFigure("mbu_share", GAUGE, "Share of the memory bandwidth of the paid devices that was used, lately."),
    LiveFigure("kv_cache_use_share", GAUGE, "Share of the blocks of the KV cache in use."),
    LiveFigure("preemptions", COUNTER, "Times that a running sequence lost its memory."),
    LiveFigure("cold_starts", COUNTER, "Starts of a replica."),
    LiveFigure("restarts", COUNTER, "Times that the observed server began again."),
    # Cost
    LiveFigure("cost_usd", COUNTER, "Money for the paid time, by use.", ("use",)),
    LiveFigure("price_usd_per_h", GAUGE, "Price of all devices."),
    LiveFigure("usd_per_request", GAUGE, "Money for an answered request, with all paid time, lately.",
               ratio=Ratio("cost_usd", "requests", of_below="ok")),
    LiveFigure("usd_per_million_tokens", GAUGE, "Money for 10^6 generated tokens, with all paid time, lately.",
               ratio=Ratio("cost_usd", "output_tokens", 1e6)),
    LiveFigure("joules_per_token", GAUGE, "Energy of a generated token, with idle time, lately.",
               ratio=Ratio("energy_j", "output_tokens")),
    # Against the prediction
    LiveFigure("measured_s", COUNTER, "Measured time of what has a prediction, by part.", ("part",)),
    LiveFigure("predicted_s", COUNTER, "Predicted time of the same, by part.", ("part",)),
    LiveFigure("predicted_low_s", COUNTER, "The same at the low end of the error band.", ("part",)),
    LiveFigure("predicted_high_s", COUNTER, "The same at the high end of the error band.", ("part",)),
    LiveFigure("measured_to_predicted", GAUGE, "Measured time divided by the predicted one, lately.", ("part",)),
    LiveFigure("measured_to_first", GAUGE, "Measured to predicted, divided by the same at the start.", ("part",)),
    # The plan of this hour
    LiveFigure("planned_usd_per_h", GAUGE, "Money of the plan in this hour of the week."),
    LiveFigure("planned_requests_per_s", GAUGE, "Requests of the plan in this hour of the week."),
    LiveFigure("planned_replicas", GAUGE, "Replicas of the plan in this hour of the week."),
    LiveFigure("planned_usd_per_million_tokens", GAUGE, "Money for 10^6 generated tokens in the plan."),
    LiveFigure("replicas", GAUGE, "Replicas that are observed."),
    # The observer itself
    LiveFigure("up", GAUGE, "Whether the observed server answers: 1 or 0."),
    LiveFigure("scrapes", COUNTER, "Readings of the observed server, by outcome.", ("outcome",)),
    LiveFigure("dropped_records", COUNTER, "Records that were not kept, by kind.", ("kind",)),
    LiveFigure("exporter_errors", COUNTER, "Readings and deliveries of an exporter that failed.", ("exporter",)),
)  # fmt: skip
LIVE_FIGURES: Mapping[str, LiveFigure] = MappingProxyType({row.key: row for row in _ROWS})
"""Key -> row."""

PLANNED = tuple(key.removeprefix("planned_") for key in LIVE_FIGURES if key.startswith("planned_"))
"""Figures of a plan, which the rows `planned_*` export."""


def ratio_of(above: str, below: str) -> LiveFigure:
    """Return the gauge that is the quotient of two counters."""
    return next(each for each in _ROWS if each.ratio is not None and each.ratio[:2] == (above, below))
