"""Result type: a server under load."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..errors import UnknownNameError
from ..report.render import render
from .declared import declared, derived, fact, figure
from .figures import LESS, MORE
from .latency import Latency
from .notices import Notice, sentences
from .result import Result

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LATENCIES = ("ttft_s", "tpot_s", "e2e_s", "queue_s")
"""Keys of `ServingResult.latencies`: to the first token, per further token, of the whole request, before its first
step."""


@declared
class ServingTimeline:
    """A server over time, at equal distances. All arrays have one length."""

    interval_s: float = fact("Seconds from one sample to the next; the first one is at 0 s.")
    running: Sequence[int] = fact("Running sequences of all servers.")
    waiting: Sequence[int] = fact("Waiting requests.")
    kv_use: Sequence[float] = fact("Share of the blocks of the caches in use.")


@declared
class ServingRates:
    """The same servers at other Poisson rates, in closed form. All arrays have one length."""

    rate_per_s: Sequence[float] = fact("Requests per second, ascending up to just below the capacity.")
    ttft_s: Sequence[float] = fact("Mean times to the first token.")
    tpot_s: Sequence[float] = fact("Mean times per output token.")
    usd_per_million_tokens: Sequence[float] | None = figure(
        "USD for 10^6 generated tokens; None without a price.",
        title="10^6 tokens",
        headline="for 10^6 generated tokens",
    )
    joules_per_token: Sequence[float] | None = fact("Joules of a generated token; None if unknown.")


@declared
class ServedTokens:
    """Cost of the tokens of a server."""

    usd_per_million_tokens: float | None = figure(
        "USD for a million generated tokens, with all paid time; None without a price.",
        default=None,
        shown="per 10^6 tokens: {} reserved",
        better=LESS,
        title="10^6 tokens",
        headline="for 10^6 generated tokens",
    )


@declared(after="paid_devices")
class ServingResult(ServedTokens, Result):
    """What requests to a server take and cost: `result["ttft_s"].p99` is the p99 of the time to the first token.

    Times are as a client measures them. Rates and shares are over `duration_s`, the whole run.
    """

    document_key = "serve"

    model: str = fact("Name of the model.", shown="model: {}")
    hardware: str = fact("Id of the machine.", shown="hardware: {}")
    engine: str = fact("The engine.", shown="engine: {}")
    layout: str = fact("How one replica lies on its devices, as text.", shown="layout: {}")
    precision: str = fact("Precision of products.", shown="precision: {}")
    replicas: int = fact("Copies of the deployment, which share the requests.", shown="replicas: {}")
    devices: int = fact("Devices of all of them.", shown="devices: {}")
    scheduler: Mapping[str, int | bool] = fact(
        "Settings of the scheduler, by the names of the engine.", shown="scheduler: {name} {value}"
    )
    requests: int = fact("Requests that were sent.", shown="requests: {} sent")
    finished: int = fact("Requests that were answered.", shown="requests: {} finished")
    duration_s: float = fact("Seconds until the last answer.", shown="requests: {} until the last answer")
    lost: tuple[Notice, ...] = fact("Reasons of the other ones, each with the number of its `requests`.")

    @property
    @derived(shown="requests: {value:,} {name}", is_figure=False)
    def unfinished(self) -> Mapping[str, int]:
        """Reason in words -> number of the other ones."""
        return {str(each): each.values["requests"] for each in self.lost}

    interrupted: bool = fact("Whether Ctrl-C ended the run.")
    slo: str = fact("The objective, as text; empty without one.", default="", shown="objective: {}")
    latencies: Mapping[str, Latency] = fact("Key of `LATENCIES` -> times of the finished requests.", spread=LATENCIES)
    requests_per_s: float = figure("Finished requests per second.", shown="requests finished: {}", better=MORE)
    capacity_per_s: float | None = figure(
        "Highest rate of requests that is sustained, in closed form; None for a workload without means.",
        shown="requests finished: capacity {}",
        better=MORE,
    )
    tokens_per_s: float = figure("Generated tokens per second.", shown="tokens generated: {}", better=MORE)
    tokens_per_s_per_device: float = figure(
        "The same per device.", shown="tokens generated: {} per device", better=MORE
    )
    prompt_tokens_per_s: float = figure(
        "Tokens of prompts read per second, without those from the prefix cache.", shown="tokens read: {}", better=MORE
    )
    utilization: float = figure(
        "Share of the time in which servers run steps.", unit="share", shown="utilization: {} of the time in steps"
    )
    running_mean: float = figure("Mean number of running sequences of all servers.", shown="running: {} on average")
    waiting_mean: float = figure(
        "Mean number of waiting requests of all servers.", shown="running: {} waiting", better=LESS
    )
    kv_use_mean: float = figure(
        "Mean share of the blocks of the cache in use.", unit="share", shown="KV cache: {} on average"
    )
    kv_use_peak: float = figure("Largest share.", unit="share", shown="KV cache: {} at the peak")
    preemptions: int = figure(
        "Times that a sequence lost its memory and began again.", shown="preemptions: {}", better=LESS
    )
    cached_token_share: float = figure(
        "Share of the tokens of prompts that were in the prefix cache.",
        shown="prefix cache: {} of the tokens of prompts",
        better=MORE,
        quiet=True,
    )
    missed: tuple[Notice, ...] = fact("Conditions of the objective that do not hold, with values.")

    @property
    @derived(is_figure=False)
    def slo_missed(self) -> tuple[str, ...]:
        """Conditions of the objective that do not hold, in words."""
        return sentences(self.missed)

    slo_share: float | None = figure(
        "Share of the requests that were sent whose own times are within the limits; None without an objective.",
        shown="within the objective: {} of requests",
        better=MORE,
    )
    goodput_per_s: float | None = figure(
        "Such requests per second; None without an objective.", shown="within the objective: {}", better=MORE
    )
    usd_per_h: float | None = figure("USD of an hour of all replicas; None without a price.", better=LESS)
    price: str = fact("Where the price of an hour is from; empty without one, and for one that was given.", default="")
    instances: int | None = fact("Instances that are paid; None where devices are paid one by one.")
    paid_devices: int | None = fact("Devices that are paid for, with unused ones of instances; None without a price.")

    @property
    @derived(shown="per 10^6 tokens: {} used", better=LESS)
    def usd_per_million_tokens_used(self) -> float | None:
        """The same for the time in which servers run steps."""
        return None if self.usd_per_million_tokens is None else self.usd_per_million_tokens * self.utilization

    joules_per_token: float | None = figure(
        "Joules of a generated token, with idle power between steps; None if unknown.",
        shown="energy of a token: {}",
        better=LESS,
    )
    limits: tuple[Notice, ...] = fact("Limits of the server: the rate, the cache or the sequences, and its steps.")

    @property
    @derived(is_figure=False)
    def bottleneck(self) -> str:
        """The limits in words."""
        return "; ".join(sentences(self.limits))

    notices: tuple[Notice, ...] = fact("Notices about the run.")

    @property
    @derived(is_figure=False)
    def notes(self) -> tuple[str, ...]:
        """The notices in words."""
        return sentences(self.notices)

    timeline: ServingTimeline = fact("The servers over time.", series=True)
    rates: ServingRates | None = fact("The same servers at other rates; None where `capacity_per_s` is.", series=True)
    engine_command: str = fact(
        "Command line of the engine that starts one replica; empty if the deployment is not known.",
        default="",
        row=False,
    )

    @property
    @derived(shown="objective: holds|does not hold", is_figure=False)
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
