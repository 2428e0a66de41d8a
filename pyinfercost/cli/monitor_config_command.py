"""`pyinfercost monitor config`: configuration of Prometheus, Grafana and containers."""

from __future__ import annotations

import re
from typing import Any

import click

from .._checks import shown
from .._escapes import visible_lines
from .commands import command
from .output import messages_for_people, say

_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m)?")
_SECONDS = {"ms": 1e-3, "s": 1.0, "m": 60.0}


def seconds_of(_ctx: click.Context, _option: click.Parameter, value: str) -> float:
    """Return the seconds of a duration as Prometheus writes it: `15s`, `500ms`, `1m`; seconds without a unit.

    Raises:
        click.UsageError: It is none.
    """
    found = _DURATION.fullmatch(value.strip())
    if found is None:
        raise click.UsageError(f"--scrape-interval is {shown(value)}; expected a duration such as 15s, 500ms or 1m")
    return float(found[1]) * _SECONDS[found[2] or "s"]


def band_of(_ctx: click.Context, _option: click.Parameter, value: str | None) -> tuple[float, float] | None:
    """Return two ratios that a comma separates.

    Raises:
        click.UsageError: There are not two.
    """
    if value is None:
        return None
    try:
        low, high = map(float, value.split(","))
    except ValueError:
        raise click.UsageError(f"--band is {shown(value)}; expected two ratios such as 0.8,1.25") from None
    return low, high


@command()
@click.option(
    "--scrape-interval",
    "scrape_interval_s",
    callback=seconds_of,
    default="15s",
    metavar="TIME",
    show_default=True,
    help="Time between two scrapes; windows of the rules follow from it.",
)
@click.option(
    "--plan-usd-per-million-tokens",
    type=float,
    metavar="USD",
    help="Plan of the alert on costs; without it, the plan that the monitor exports.",
)
@click.option(
    "--plan-tolerance",
    type=float,
    default=0.1,
    show_default=True,
    help="Share by which costs may exceed the plan.",
)
@click.option(
    "--band",
    callback=band_of,
    metavar="LOW,HIGH",
    help="Ratios of measured to predicted time without an alert, such as 0.8,1.25; without it, the error band of the "
    "prediction.",
)
@click.option(
    "--slowdown",
    type=float,
    default=1.25,
    show_default=True,
    help="Measured to predicted time, divided by the same at the start, that raises an alert.",
)
@click.option(
    "--idle-share", type=float, default=0.5, show_default=True, help="Share of idle paid time that raises an alert."
)
@click.option(
    "--cold-starts-per-h",
    type=float,
    default=6.0,
    show_default=True,
    help="Starts of replicas in an hour that raise an alert if there are more.",
)
@click.option("--power-limit-w", type=float, metavar="WATTS", help="Power of a replica that raises an alert.")
@click.option("--job", default="pyinfercost", show_default=True, help="Job of Prometheus that scrapes the observers.")
@click.option(
    "--target",
    "targets",
    multiple=True,
    metavar="HOST:PORT",
    help="An observer to scrape, once for each. Default: sidecar:9400, as in the compose file.",
)
@click.option(
    "--engine", default="vllm", show_default=True, help="Engine of the examples: vllm, sglang, triton or tgi."
)
@click.option("--hardware", "-H", default="l4", show_default=True, help="Its machine, an id of the catalog.")
@click.option(
    "--price",
    default="on-demand",
    show_default=True,
    help="Price of a device-hour: 2.49/h, aws/g6.4xlarge, on-demand or spot (the cheapest known offer).",
)
@click.option("--layout", default="", help="Its layout, such as tensor=4.")
@click.option("--precision", default="native", show_default=True, help="Its precision.")
@click.option("--force", is_flag=True, help="Replace files that exist.")
@click.argument("folder", type=click.Path(file_okay=False), metavar="DIR")
def config(*, folder: str, force: bool, targets: tuple[str, ...], **settings: Any) -> None:
    """Write the configuration of Prometheus, Grafana and containers to DIR.

    It has rules and alerts, a dashboard, a docker compose file with an engine, its sidecar, Prometheus and Grafana, and
    values of Helm charts.
    """
    with messages_for_people():
        from ..monitor.provisioning import MonitorConfig, write_config

        given = {**settings, "targets": targets} if targets else settings
        for path in write_config(folder, MonitorConfig(**given), replace=force):
            click.echo(visible_lines(str(path)))
        say(
            f"Next: cd {folder} && MODEL_DIR=/path/of/the/model docker compose up --build, then open "
            "http://localhost:3000; or load prometheus/rules.yml in your own Prometheus, and import "
            "grafana/dashboards/pyinfercost.json in your own Grafana."
        )
