"""Settings of the generated configuration of Prometheus, Grafana and containers."""

from __future__ import annotations

import re
from dataclasses import dataclass

from ..._checks import Range, number, shown
from ...errors import InputError

_INTERVAL = Range(0.1, 3600.0, "seconds")
_MONEY = Range(1e-9, 1e9, "USD")
_SHARE = Range(0.0, 1.0)
_TOLERANCE = Range(0.0, 100.0)
_FACTOR = Range(1.0, 100.0)
_NUMBER = Range(0.0, 1e6)
_POWER = Range(1e-3, 1e9, "watts")

ENGINES = {"vllm": 8000, "sglang": 30000, "triton": 8002, "tgi": 80}
"""Engine -> the port of its metrics by default."""


class MonitorConfigError(InputError):
    """A setting of the configuration that is out of range."""


@dataclass(frozen=True)
class MonitorConfig:
    """Settings of the generated configuration.

    Attributes:
        scrape_interval_s: Time between two scrapes. Windows of rates are four of them, so that one may fail; a slowdown
            is looked for between the last two.
        plan_usd_per_million_tokens: The plan that an alert compares with; None for the one that observers export.
        plan_tolerance: Share by which money may exceed the plan.
        slowdown: Factor of measured to predicted time, compared with the same at the start, that raises an alert.
        idle_share: Share of idle paid time in an hour that raises an alert.
        cold_starts_per_h: Starts of replicas in an hour that raise an alert if there are more.
        power_limit_w: Power of a replica that raises an alert; None for no such alert.
        job: Name of the job of Prometheus that scrapes the observers.
        targets: Hosts and ports of the observers.
        engine: Serving engine of the examples: `vllm`, `sglang`, `triton` or `tgi`.
        hardware: Its machine, an id of the catalog.
        price: Price of the deployment, as `--price` takes it.

    Raises:
        MonitorConfigError: A setting is out of range.
    """

    scrape_interval_s: float = 15.0
    plan_usd_per_million_tokens: float | None = None
    plan_tolerance: float = 0.1
    slowdown: float = 1.25
    idle_share: float = 0.5
    cold_starts_per_h: float = 6.0
    power_limit_w: float | None = None
    job: str = "pyinfercost"
    targets: tuple[str, ...] = ("sidecar:9400",)
    engine: str = "vllm"
    hardware: str = "l4"
    price: str = "on-demand"

    def __post_init__(self) -> None:
        for name, within in (
            ("scrape_interval_s", _INTERVAL),
            ("plan_tolerance", _TOLERANCE),
            ("slowdown", _FACTOR),
            ("idle_share", _SHARE),
            ("cold_starts_per_h", _NUMBER),
        ):
            number(getattr(self, name), name, within, MonitorConfigError)
        for name, within in (("plan_usd_per_million_tokens", _MONEY), ("power_limit_w", _POWER)):
            if getattr(self, name) is not None:
                number(getattr(self, name), name, within, MonitorConfigError)
        if not re.fullmatch(r"[\w.-]+", self.job, re.ASCII):
            raise MonitorConfigError(f"job is {shown(self.job)}; expected letters, digits, dots, hyphens, underscores")
        for target in self.targets:
            if not re.fullmatch(r"[\w.:\[\]-]+:\d+", target, re.ASCII):
                raise MonitorConfigError(f"a target is {shown(target)}; expected HOST:PORT, such as sidecar:9400")
        if not self.targets:
            raise MonitorConfigError("targets is empty; expected at least one HOST:PORT")
        if self.engine not in ENGINES:
            raise MonitorConfigError(f"engine is {shown(self.engine)}; expected {', '.join(ENGINES)}")
        for name in ("hardware", "price"):
            if not re.fullmatch(r"[\w.,:=/@+ -]+", getattr(self, name), re.ASCII):
                raise MonitorConfigError(f"{name} is {shown(getattr(self, name))}; expected an id or a price in words")
