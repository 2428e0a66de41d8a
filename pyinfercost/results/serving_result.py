"""Result type: a server under load."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..errors import UnknownNameError
from ..report.render import render
from .result import Result

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

LATENCIES = ("ttft_s", "tpot_s", "e2e_s", "queue_s")
"""Keys of `ServingResult.latencies`: to the first token, per further token, of the whole request, before its first
step."""

STATISTICS = ("mean", "p50", "p90", "p99")


@dataclass(frozen=True)
class Latency:
    """A latency over the finished requests, in seconds; not a number if no request has one.

    Attributes:
        mean: Mean.
        p50: Median.
        p90: 90th percentile.
        p99: 99th percentile.
        low: Statistic -> its value if all steps take the low end of their error band; empty if that was not simulated.
        high: The same at the high end.
        sorted_s: All values in ascending order, float64; of more than 2^20 those of 2^20 + 1 equally spaced ranks.
    """

    mean: float
    p50: float
    p90: float
    p99: float
    low: Mapping[str, float]
    high: Mapping[str, float]
    sorted_s: NDArray[np.float64]

    def percentile(self, percent: float) -> float:
        """Return a percentile, linear between values; not a number without values."""
        import numpy as np

        return float(np.percentile(self.sorted_s, percent)) if self.sorted_s.size else float("nan")


@dataclass(frozen=True)
class ServingTimeline:
    """A server over time, at equal distances. All arrays have one length.

    Attributes:
        interval_s: Seconds from one sample to the next; the first one is at 0 s.
        running: Running sequences of all servers.
        waiting: Waiting requests.
        kv_use: Share of the blocks of the caches in use.
    """

    interval_s: float
    running: Sequence[int]
    waiting: Sequence[int]
    kv_use: Sequence[float]


@dataclass(frozen=True)
class ServingRates:
    """The same servers at other Poisson rates, in closed form. All arrays have one length.

    Attributes:
        rate_per_s: Requests per second, ascending up to just below the capacity.
        ttft_s: Mean times to the first token.
        tpot_s: Mean times per output token.
        usd_per_million_tokens: USD for 10^6 generated tokens; None without a price.
        joules_per_token: Joules of a generated token; None if unknown.
    """

    rate_per_s: Sequence[float]
    ttft_s: Sequence[float]
    tpot_s: Sequence[float]
    usd_per_million_tokens: Sequence[float] | None
    joules_per_token: Sequence[float] | None


@dataclass(frozen=True, repr=False, kw_only=True)
class ServingResult(Result):
    """What requests to a server take and cost: `result["ttft_s"].p99` is the p99 of the time to the first token.

    Times are those of a client. Rates and shares are over `duration_s`, the whole run with its beginning and end.

    Attributes:
        model: Name of the model.
        hardware: Id of the machine.
        engine: The engine.
        layout: How one replica lies on its devices, as text.
        precision: Precision of products.
        replicas: Copies of the deployment, which share the requests.
        devices: Devices of all of them.
        scheduler: Settings of the scheduler, by the names of the engine.
        requests: Requests that were sent.
        finished: Requests that were answered.
        unfinished: Reason -> number of the other ones.
        interrupted: Whether Ctrl-C ended the run.
        duration_s: Seconds until the last answer.
        latencies: Key of `LATENCIES` -> times of the finished requests.
        requests_per_s: Finished requests per second.
        tokens_per_s: Generated tokens per second.
        tokens_per_s_per_device: The same per device.
        prompt_tokens_per_s: Tokens of prompts read per second, without those from the prefix cache.
        utilization: Share of the time in which servers run steps.
        capacity_per_s: Highest rate of requests that is sustained, in closed form; None for a workload without means.
        kv_use_mean: Mean share of the blocks of the cache in use.
        kv_use_peak: Largest share.
        running_mean: Mean number of running sequences of all servers.
        waiting_mean: Mean number of waiting requests of all servers.
        preemptions: Times that a sequence lost its memory and began again.
        cached_token_share: Share of the tokens of prompts that were in the prefix cache.
        slo: The objective, as text; empty without one.
        slo_missed: Conditions of the objective that do not hold, with the value.
        slo_share: Share of the requests that were sent whose own times are within the limits; None without an
            objective.
        goodput_per_s: Such requests per second; None without an objective.
        usd_per_h: USD of an hour of all replicas; None without a price.
        price: Where the price of an hour is from; empty without one, and for one that was given.
        instances: Instances that are paid; None where devices are paid one by one.
        paid_devices: Devices that are paid for, with unused ones of instances; None without a price.
        usd_per_million_tokens: USD for a million generated tokens, with all paid time; None without a price.
        usd_per_million_tokens_used: The same for the time in which servers run steps.
        joules_per_token: Joules of a generated token, with idle power between steps; None if unknown.
        bottleneck: What limits the server, in words.
        notes: What else to know about the run.
        timeline: The servers over time.
        rates: The same servers at other rates; None where `capacity_per_s` is.
        engine_command: Command line of the engine that starts one replica; empty if the deployment is not known.
    """

    model: str
    hardware: str
    engine: str
    layout: str
    precision: str
    replicas: int
    devices: int
    scheduler: Mapping[str, int | bool]
    requests: int
    finished: int
    unfinished: Mapping[str, int]
    interrupted: bool
    duration_s: float
    latencies: Mapping[str, Latency]
    requests_per_s: float
    tokens_per_s: float
    tokens_per_s_per_device: float
    prompt_tokens_per_s: float
    utilization: float
    capacity_per_s: float | None
    kv_use_mean: float
    kv_use_peak: float
    running_mean: float
    waiting_mean: float
    preemptions: int
    cached_token_share: float
    slo: str
    slo_missed: tuple[str, ...]
    slo_share: float | None
    goodput_per_s: float | None
    usd_per_h: float | None
    instances: int | None
    paid_devices: int | None
    usd_per_million_tokens: float | None
    usd_per_million_tokens_used: float | None
    joules_per_token: float | None
    bottleneck: str
    notes: tuple[str, ...]
    timeline: ServingTimeline
    rates: ServingRates | None
    engine_command: str = ""
    price: str = ""

    @property
    def slo_met(self) -> bool | None:
        """Whether all conditions of the objective hold; None without one."""
        return not self.slo_missed if self.slo else None

    def __getitem__(self, name: str) -> Latency:
        """Return the times of a latency.

        Raises:
            UnknownNameError: It is no key of `LATENCIES`.
        """
        if name not in self.latencies:
            raise UnknownNameError(f"the result has no latency {name!r}; expected one of {', '.join(LATENCIES)}")
        return self.latencies[name]

    def plot_timeline(self, ax: Axes | None = None, **options: Any) -> Axes:
        """Draw running and waiting requests and the use of the cache over time; options as in `plots.plot_timeline`."""
        return render(self, "plot_timeline", ax=ax, **options)  # type: ignore[no-any-return]

    def plot_latencies(self, ax: Axes | None = None, **options: Any) -> Axes:
        """Draw the distribution of each latency; options as in `plots.plot_latencies`."""
        return render(self, "plot_latencies", ax=ax, **options)  # type: ignore[no-any-return]

    def plot_rates(self, ax: Axes | None = None, **options: Any) -> Axes:
        """Draw the cost of tokens against the rate; options as in `plots.plot_rates`."""
        return render(self, "plot_rates", ax=ax, **options)  # type: ignore[no-any-return]

    def __repr__(self) -> str:
        line: Any = render(self, "line")
        return f"<ServingResult {line}>"
