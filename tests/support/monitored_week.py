"""The log of a week of monitoring on a simulated clock, whose book-keeping is returned."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from pyinfercost.monitor.log import MonitorLog
from pyinfercost.monitor.request_columns import RequestColumns

from .monitored import MONDAY_S, Observed

HOUR_S, DAY_S = 3600.0, 86_400.0
USD_PER_H = 2.0
SERVICE_S = 1.5
DRIFT_S = MONDAY_S + 3 * DAY_S + 14 * HOUR_S
"""Time at which steps become slower."""


@dataclass
class Week:
    """What was counted.

    Attributes:
        requests: Requests in each hour.
        usd: Use -> money.
        predicted_s: Predicted time.
        measured_s: Measured time.
        columns: All requests.
    """

    requests: np.ndarray
    usd: dict[str, float]
    predicted_s: float
    measured_s: float
    columns: RequestColumns = field(repr=False)


def rate_at(time_s: float) -> float:
    """Requests per second: by day four times those by night, at weekends a third."""
    hour = time_s / HOUR_S % 24
    share = 0.25 if time_s / DAY_S % 7 >= 5 else 1.0
    return share * (0.05 + 0.15 * max(0.0, np.sin((hour - 6) / 24 * 2 * np.pi)))


def write_week(
    path: Path,
    *,
    days: float = 7.0,
    replicas: int = 2,
    drift: float = 1.4,
    interval_s: float = 300.0,
    rows: bool = True,
    factor: float = 1.0,
    ttft_s: float = 0.1,
    tpot_s: float = 0.01,
    hardware: str = "l4",
    seed: int = 0,
    spec: str | None = None,
    plan: Path | None = None,
) -> Week:
    """Write the log of replicas that share requests evenly, each by its own monitor.

    Args:
        path: The log.
        days: Its length.
        replicas: Number of monitors.
        drift: Factor of the measured time from `DRIFT_S` on.
        interval_s: Time between records.
        rows: Whether single requests are recorded.
        factor: Factor of the traffic.
        ttft_s: Predicted time to the first token.
        tpot_s: Predicted time per output token.
        hardware: Id of the machine.
        seed: Decides requests.
        spec: The model, as the log names it.
        plan: The plan, likewise.
    """
    rng = np.random.default_rng(seed)
    counts = np.zeros(round(days * 24))
    usd = dict.fromkeys(("busy", "idle", "cold"), 0.0)
    predicted = measured = 0.0
    all_rows = []
    observed = [Observed(f"replica {number}", hardware=hardware) for number in range(replicas)]
    logs = [
        MonitorLog(path, start_s=MONDAY_S, price_usd_per_h=USD_PER_H, spec=spec, plan=plan, rotate_daily=False, keep=9)
        for _ in observed
    ]
    for step in range(round(days * DAY_S / interval_s)):
        begin = MONDAY_S + step * interval_s
        for each, log in zip(observed, logs, strict=True):
            number = rng.poisson(factor * rate_at(begin - MONDAY_S + interval_s / 2) * interval_s / replicas)
            arrival = begin + np.sort(rng.uniform(0.0, interval_s - 20.0, number))
            prompt, output = rng.integers(64, 512, number), rng.integers(16, 160, number)
            slow = drift if begin >= DRIFT_S else 1.0
            noise = rng.lognormal(0.0, 0.05, number)
            first = ttft_s * slow * noise
            service = first + output * tpot_s * slow * noise
            columns = RequestColumns.of(
                arrival, prompt_tokens=prompt, output_tokens=output, first_token_s=arrival + first,
                start_s=arrival, end_s=arrival + service,
            )  # fmt: skip
            all_rows.append(columns)
            busy = min(interval_s, float(service.sum()))
            spent = {"busy": busy, "idle": interval_s - busy, "cold": 0.0}
            if step == 0:
                spent = {"busy": 0.0, "idle": interval_s - 60.0, "cold": 60.0}
                each.count("cold_starts")
            for use, seconds in spent.items():
                each.count("reserved_s", seconds, use=use)
                each.count("cost_usd", seconds * USD_PER_H / HOUR_S, use=use)
                usd[use] += seconds * USD_PER_H / HOUR_S
            each.count("requests", number, outcome="ok")
            each.count("prompt_tokens", float(prompt.sum()))
            each.count("output_tokens", float(output.sum()))
            each.count("service_s", float(service.sum()))
            expected = output * tpot_s
            for part, real, wanted in (("tpot", service - first, expected), ("ttft", first, np.full(number, ttft_s))):
                each.count("measured_s", float(real.sum()), part=part)
                each.count("predicted_s", float(wanted.sum()), part=part)
                each.count("predicted_low_s", float(wanted.sum()) / 1.25, part=part)
                each.count("predicted_high_s", float(wanted.sum()) * 1.25, part=part)
                predicted += float(wanted.sum())
                measured += float(real.sum())
            each.sample("ttft_s", *first)
            each.sample("request_s", *service)
            each.gauge("replicas", 1.0)
            each.gauge("price_usd_per_h", USD_PER_H)
            each.gauge("in_flight", 1.0)
            counts[min(counts.size - 1, int(step * interval_s // HOUR_S))] += number
            log.append(each.snapshot(interval_s), columns if rows else None)
    for log in logs:
        log.close()
    return Week(counts, usd, predicted, measured, RequestColumns.joined(all_rows))
