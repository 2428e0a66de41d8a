"""Cases of alert rules, run by `promtool test rules`."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from pyinfercost.monitor.metric_names import prometheus_name
from pyinfercost.monitor.provisioning import MonitorConfig, config_files
from pyinfercost.results.live_figures import LIVE_FIGURES

Signal = Callable[[float], float | None]
"""Value of a series at a time in seconds; None while it is absent."""


class Case(NamedTuple):
    """What Prometheus scrapes, and whether an alert is raised.

    Attributes:
        alert: Name of the alert.
        fires: Whether it is raised.
        at_s: At which time.
        series: Series -> its values.
        config: Settings of the rules.
    """

    alert: str
    fires: bool
    at_s: float
    series: Mapping[str, Signal]
    config: MonitorConfig = MonitorConfig(scrape_interval_s=60)


def named(key: str, **labels: str) -> str:
    """Return a series of an observer in Prometheus."""
    known = {"job": "pyinfercost", "instance": "a", "model": "small", **labels}
    return prometheus_name(LIVE_FIGURES[key]) + "{" + ",".join(f'{name}="{text}"' for name, text in known.items()) + "}"


def rate(per_s: float, start: float = 0.0) -> Signal:
    """Return a counter that grows evenly."""
    return lambda at_s: start + per_s * at_s


def steady(value: float) -> Signal:
    """Return a gauge that stays."""
    return lambda _: value


def steps(*parts: tuple[float, float | None]) -> Signal:
    """Return a signal that has each value from its time on; absent before the first."""
    return lambda at_s: next((value for begin_s, value in reversed(parts) if begin_s <= at_s), None)


def _values(signal: Signal, interval_s: float, end_s: float) -> str:
    found = (signal(number * interval_s) for number in range(int(end_s / interval_s) + 2))
    return " ".join("_" if value is None else f"{value:.12g}" for value in found)


def failures(folder: Path, cases: Sequence[Case], *, evaluations: int = 4) -> str:
    """Return what promtool says about cases with the same settings; empty if all are as expected.

    Args:
        folder: Where files are written.
        cases: The cases.
        evaluations: Of all rules in a scrape interval; promtool ignores the intervals of groups.
    """
    config = cases[0].config
    rules = next(each for each in config_files(config) if each.name == "rules")
    (folder / "rules.yml").write_text(rules.content)
    interval_s = config.scrape_interval_s
    tests: list[dict[str, Any]] = [
        {
            "name": f"{case.alert} {'fires' if case.fires else 'is silent'}",
            "interval": f"{interval_s:g}s",
            "input_series": [
                {"series": series, "values": _values(signal, interval_s, case.at_s)}
                for series, signal in case.series.items()
            ],
            "promql_expr_test": [
                {
                    "expr": f'count(ALERTS{{alertname="{case.alert}",alertstate="firing"}}) or vector(0)',
                    "eval_time": f"{round(case.at_s * 1000)}ms",
                    "exp_samples": [{"labels": "{}", "value": int(case.fires)}],
                }
            ],
        }
        for case in cases
    ]
    document = {
        "rule_files": ["rules.yml"],
        "evaluation_interval": f"{round(interval_s * 1000 / evaluations)}ms",
        "tests": tests,
    }
    (folder / "test.yml").write_text(json.dumps(document))  # JSON is YAML
    ran = subprocess.run(
        ["promtool", "test", "rules", "test.yml"], cwd=folder, capture_output=True, text=True, check=False
    )
    return "" if ran.returncode == 0 else ran.stdout + ran.stderr
