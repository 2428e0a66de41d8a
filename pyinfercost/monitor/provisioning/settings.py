"""Settings of the generated configuration of Prometheus, Grafana and containers."""

from __future__ import annotations

import re
from dataclasses import dataclass

from ..._checks import Range, number, shown, text
from ...deployment import Deployment
from ...errors import Error, InputError
from ...results.live_history import PLAN_TOLERANCE
from ..engines import ENGINES

_INTERVAL = Range(0.1, 240.0, "seconds")  # a value of Prometheus is stale after 300
_MONEY = Range(1e-9, 1e9, "USD")
_SHARE = Range(0.0, 1.0)
_TOLERANCE = Range(0.0, 100.0)
_FACTOR = Range(1.0, 100.0)
_RATIO = Range(1e-3, 1e3)
_NUMBER = Range(0.0, 1e6)
_POWER = Range(1e-3, 1e9, "watts")

_MOST_TARGETS = 1000


class MonitorConfigError(InputError):
    """A setting of the configuration that is out of range."""


@dataclass(frozen=True, kw_only=True)
class MonitorConfig:
    """Settings of the generated configuration.

    Attributes:
        scrape_interval_s: Time between two scrapes, 0.1 to 240. Windows of rates are four of them, so that one may
            fail; a slowdown is looked for between the last two.
        plan_usd_per_million_tokens: The plan that an alert compares with; None for the one that observers export.
        plan_tolerance: Share by which money may exceed the plan.
        band: Lowest and highest ratio of measured to predicted time without an alert; None for the error band of the
            prediction, which observers export.
        slowdown: Ratio of measured to predicted time, divided by the same at the start, that raises an alert if it is
            exceeded.
        idle_share: Share of idle paid time in an hour that raises an alert.
        cold_starts_per_h: Starts of replicas in an hour that raise an alert if there are more.
        power_limit_w: Power of a replica that raises an alert; None for no such alert.
        job: Name of the job of Prometheus that scrapes the observers.
        targets: Hosts and ports of the observers.
        engine: Serving engine of the examples: `vllm`, `sglang`, `triton` or `tgi`.
        hardware: Its machine, an id of the catalog.
        price: Price of the deployment, as `Deployment` takes it.
        layout: Layout of the deployment, such as `tensor=4`; empty for one device.
        precision: Precision of the deployment.

    Raises:
        MonitorConfigError: A setting is out of range.
    """

    scrape_interval_s: float = 15.0
    plan_usd_per_million_tokens: float | None = None
    plan_tolerance: float = PLAN_TOLERANCE
    band: tuple[float, float] | None = None
    slowdown: float = 1.25
    idle_share: float = 0.5
    cold_starts_per_h: float = 6.0
    power_limit_w: float | None = None
    job: str = "pyinfercost"
    targets: tuple[str, ...] = ("sidecar:9400",)
    engine: str = "vllm"
    hardware: str = "l4"
    price: str = "on-demand"
    layout: str = ""
    precision: str = "native"

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
        self._check_band()
        if not re.fullmatch(r"[\w.-]+", text(self.job, "job", MonitorConfigError), re.ASCII):
            raise MonitorConfigError(f"job is {shown(self.job)}; expected letters, digits, dots, hyphens, underscores")
        self._check_targets()
        self._check_deployment()

    def _check_band(self) -> None:
        if self.band is None:
            return
        low, high = (number(value, "band", _RATIO, MonitorConfigError) for value in self.band)
        if low >= high:
            raise MonitorConfigError(f"band is {low:g} to {high:g}; expected a lower ratio before a higher one")

    def _check_targets(self) -> None:
        if not 0 < len(self.targets) <= _MOST_TARGETS:
            raise MonitorConfigError(f"there are {len(self.targets)} targets; expected 1 to {_MOST_TARGETS}")
        for target in self.targets:
            if not re.fullmatch(r"[\w.:\[\]-]+:\d{1,5}", text(target, "a target", MonitorConfigError), re.ASCII):
                raise MonitorConfigError(f"a target is {shown(target)}; expected HOST:PORT, such as sidecar:9400")

    def _check_deployment(self) -> None:
        if self.engine not in ENGINES:
            raise MonitorConfigError(f"engine is {shown(self.engine)}; expected {', '.join(ENGINES)}")
        for name in ("hardware", "price", "layout", "precision"):
            # The texts are words of a command in a container: no file of this machine is there, and no `$` is expanded.
            value = text(getattr(self, name), name, MonitorConfigError)
            if not re.fullmatch(r"[\w.,:=/+ -]*", value, re.ASCII):
                raise MonitorConfigError(f"{name} is {shown(value)}; expected a name of the catalog")
        try:
            Deployment(hardware=self.hardware, price=self.price, layout=self.layout or None, precision=self.precision)
        except Error as wrong:
            raise MonitorConfigError(f"the deployment of the examples is wrong: {wrong}") from wrong
