"""Autoscalers: rules of products that say how many replicas a service has, with their parameters and defaults.

Parameters have the names of the products where these have one, with the unit added. A target that is not given is
`target_utilization` of what a replica serves at once (`Replica.concurrency`), which a result states as a number.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from math import ceil, inf
from typing import Any, ClassVar

from .. import _core
from .parameters import AutoscalerError, checked

DAY_S = 86_400.0
HOUR_S = 3600.0


@dataclass(frozen=True)
class ReplicaLoad:
    """What targets of autoscalers are derived from.

    Attributes:
        concurrency: Requests that a replica serves at once.
        rate_per_s: Requests that it finishes per second then.
        mean_in_flight: Mean requests in service, if none waited.
        peak_in_flight: Most of them at a time.
        cold_start_s: Seconds until a new replica is ready.
    """

    concurrency: float
    rate_per_s: float
    mean_in_flight: float
    peak_in_flight: float
    cold_start_s: float


@dataclass(frozen=True, kw_only=True)
class Autoscaler:
    """What all autoscalers have.

    Attributes:
        min_replicas: Fewest replicas.
        max_replicas: Most replicas; None for no limit.
        start_replicas: Replicas that are ready at the start; None for those that the mean load needs.
    """

    min_replicas: int = 1
    max_replicas: int | None = None
    start_replicas: int | None = None
    kind: ClassVar[str] = ""
    unnamed: ClassVar[str] = ""
    measures: ClassVar[str] = ""  # the metric, where it is no parameter
    simulated: ClassVar[bool] = True
    routing: ClassVar[str] = "least_loaded"

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if value is not None:
                self.__dict__[field.name] = checked(field.name, value, self.kind)
        if self.max_replicas is not None and self.max_replicas < self.min_replicas:
            raise AutoscalerError(
                f"max_replicas of {self.kind} is {self.max_replicas}, below min_replicas {self.min_replicas}"
            )

    def __str__(self) -> str:
        """The text that `parse_autoscaler` accepts: `"kpa:target=45,stable_window_s=30"`."""
        changed = [
            ("" if field.name == self.unnamed else f"{field.name}=") + _text(getattr(self, field.name))
            for field in sorted(fields(self), key=lambda each: each.name != self.unnamed)
            if getattr(self, field.name) != field.default
        ]
        return ":".join(filter(None, (self.kind, ",".join(changed))))

    def core(self, load: ReplicaLoad) -> _core._FleetAutoscaler:
        """Return the autoscaler of the core for replicas with a load."""
        raise NotImplementedError

    def starts_with(self, load: ReplicaLoad) -> int:
        """Return the replicas at the start."""
        if self.start_replicas is not None:
            return self.start_replicas
        return self.within(ceil(load.mean_in_flight / self.target_of(load) - 1e-9))

    def within(self, replicas: int) -> int:
        """Return a number of replicas between the fewest and the most."""
        most = replicas if self.max_replicas is None else min(replicas, self.max_replicas)
        return max(self.min_replicas, most)

    def target_of(self, load: ReplicaLoad) -> float:
        """Return the requests of a replica that the autoscaler aims at."""
        return load.concurrency

    def limit_of(self, load: ReplicaLoad, limit: int) -> int:
        """Return the requests that a replica is handed at most, where its own limit is given; 0 for any number."""
        return limit

    def settings(self, load: ReplicaLoad) -> dict[str, str]:
        """Return the parameters that decide, as texts by name: what a result states."""
        names = [field.name for field in fields(self) if field.name not in ("min_replicas", "max_replicas")]
        found = {"min_replicas": str(self.min_replicas)}
        if self.max_replicas is not None:
            found["max_replicas"] = str(self.max_replicas)
        for name in names:
            value = getattr(self, name)
            if value is not None:
                found[name] = _shown(value)
        if self.measures:
            found["metric"] = self.measures
        found["start_replicas"] = str(self.starts_with(load))
        return found


@dataclass(frozen=True, kw_only=True)
class _Targeted(Autoscaler):
    """An autoscaler with a target per replica.

    Attributes:
        target: Level of the metric per replica; None for `target_utilization` of what a replica serves at once.
        target_utilization: Share of what a replica serves at once.
        metric: What is measured: `"in_flight"` (waiting and running), `"running"`, `"waiting"`, or `"utilization"` of
            the places of ready replicas, whose target is a share.
    """

    target: float | None = None
    target_utilization: float = 0.7
    metric: str = "in_flight"

    def target_of(self, load: ReplicaLoad) -> float:
        """Return the requests of a replica that the autoscaler aims at."""
        if self.target is None or self.metric != "in_flight":
            return self.target_utilization * load.concurrency
        return self.target

    def level_of(self, load: ReplicaLoad) -> float:
        """Return the target in the unit of the metric."""
        if self.target is not None:
            return self.target
        return self.target_utilization if self.metric == "utilization" else self.target_utilization * load.concurrency

    def settings(self, load: ReplicaLoad) -> dict[str, str]:
        """Return the parameters that decide, as texts by name."""
        found = super().settings(load)
        found.pop("target_utilization", None)
        return {**found, "target": _shown(self.level_of(load))}


@dataclass(frozen=True, kw_only=True)
class Static(Autoscaler):
    """Always as many replicas.

    Attributes:
        replicas: Their number; None for the peak: as many as would serve all requests at once if none waited.
    """

    replicas: int | None = None
    kind: ClassVar[str] = "static"
    unnamed: ClassVar[str] = "replicas"
    measures: ClassVar[str] = "none"

    def starts_with(self, load: ReplicaLoad) -> int:
        """Return the replicas."""
        wanted = ceil(load.peak_in_flight / load.concurrency - 1e-9) if self.replicas is None else self.replicas
        return self.within(wanted)

    def core(self, load: ReplicaLoad) -> _core._FleetAutoscaler:
        """Return the autoscaler of the core."""
        return _core.ScheduleAutoscaler(from_s=[0.0], replicas=[self.starts_with(load)], period_s=inf)


@dataclass(frozen=True, kw_only=True)
class Scheduled(Autoscaler):
    """Replicas by the hour.

    Attributes:
        replicas: Hour of the period from which on -> replicas: `{0: 2, 8: 10, 20: 4}`. Before the first hour, those of
            the last one.
        period_s: Seconds after which the hours repeat: a day, or a week.
    """

    replicas: tuple[tuple[float, int], ...] = ((0.0, 1),)
    period_s: float = DAY_S
    kind: ClassVar[str] = "scheduled"
    measures: ClassVar[str] = "none"
    unnamed: ClassVar[str] = "replicas"

    def starts_with(self, load: ReplicaLoad) -> int:
        """Return the replicas at the start."""
        first = self.replicas[0] if self.replicas[0][0] == 0 else self.replicas[-1]
        return self.within(first[1])

    def core(self, load: ReplicaLoad) -> _core._FleetAutoscaler:
        """Return the autoscaler of the core."""
        return _core.ScheduleAutoscaler(
            from_s=[hour * HOUR_S for hour, _ in self.replicas],
            replicas=[self.within(count) for _, count in self.replicas],
            period_s=self.period_s,
        )


@dataclass(frozen=True, kw_only=True)
class Knative(_Targeted):
    """Knative's pod autoscaler (KPA): a stable and a panic window over requests in flight, those of the queue too.

    Attributes:
        stable_window_s: Window of the mean in normal operation.
        panic_window_s: Window of the mean in panic.
        panic_threshold: Replicas that the panic window asks for, over those that are ready, from which on panic holds.
            Then replicas do not leave, until a whole stable window has passed below it.
        max_scale_up_rate: Most replicas over those that are ready, in one decision.
        max_scale_down_rate: Replicas that are ready over the fewest that remain, in one decision.
        scale_down_delay_s: Time for which fewer replicas must be asked for.
        scale_to_zero_grace_s: Time that the last replica stays, if `min_replicas` is 0.
        activation_scale: Replicas that start from zero, at once.
        tick_s: Seconds between decisions.
    """

    stable_window_s: int = 60
    panic_window_s: int = 6
    panic_threshold: float = 2.0
    max_scale_up_rate: float = 1000.0
    max_scale_down_rate: float = 2.0
    scale_down_delay_s: float = 0.0
    scale_to_zero_grace_s: float = 30.0
    activation_scale: int = 1
    tick_s: float = 2.0
    kind: ClassVar[str] = "kpa"

    def core(self, load: ReplicaLoad) -> _core._FleetAutoscaler:
        """Return the autoscaler of the core."""
        return _core.KnativeAutoscaler(target=self.level_of(load), **_own(self, "target"))


@dataclass(frozen=True, kw_only=True)
class Kubernetes(_Targeted):
    """HorizontalPodAutoscaler (HPA) of Kubernetes; with `keda`, KEDA's steps from and to zero.

    Attributes:
        metric_window_s: Seconds that the metric is a mean of; 0 for its value at the decision.
        tolerance: Relative distance of the metric from its target within which nothing changes.
        sync_s: Seconds between decisions.
        up_percent: Most replicas that start in `up_period_s`, in percent of those that are there ...
        up_pods: ... or as many, whatever is more.
        up_period_s: Period of these policies.
        up_stabilization_s: Time of which the fewest replicas that were asked for count when more are.
        down_percent: Most replicas that leave in `down_period_s`, in percent.
        down_period_s: Period of this policy.
        down_stabilization_s: Time of which the most replicas that were asked for count when fewer are.
        keda: Whether KEDA starts the first replica and removes the last one.
        polling_s: KEDA's pollingInterval.
        cooldown_s: KEDA's cooldownPeriod: time without load before the last replica leaves.
    """

    metric_window_s: int = 0
    tolerance: float = 0.1
    sync_s: float = 15.0
    up_percent: float = 100.0
    up_pods: int = 4
    up_period_s: float = 15.0
    up_stabilization_s: float = 0.0
    down_percent: float = 100.0
    down_period_s: float = 15.0
    down_stabilization_s: float = 300.0
    keda: bool = False
    polling_s: float = 30.0
    cooldown_s: float = 300.0
    kind: ClassVar[str] = "hpa"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.min_replicas == 0 and not self.keda:
            raise AutoscalerError(
                "min_replicas of hpa is 0, and a HorizontalPodAutoscaler keeps one replica; pass keda=true, or "
                "min_replicas=1"
            )

    def core(self, load: ReplicaLoad) -> _core._FleetAutoscaler:
        """Return the autoscaler of the core."""
        return _core.KubernetesAutoscaler(target=self.level_of(load), **_own(self, "target"))


@dataclass(frozen=True, kw_only=True)
class RayServe(Autoscaler):
    """Ray Serve's autoscaler: ongoing requests, waiting and running, after delays of agreement.

    Attributes:
        target_ongoing_requests: Requests per replica; None for `target_utilization` of what a replica serves at once.
            The product's default is 2, whatever a replica can serve.
        target_utilization: Share of what a replica serves at once.
        look_back_s: look_back_period_s, the window of the mean.
        upscale_delay_s: Time for which more replicas must be asked for.
        downscale_delay_s: Time for which fewer must be asked for.
        upscaling_factor: Factor on the relative distance from the target, when it is exceeded.
        downscaling_factor: The same below the target.
        loop_s: Seconds between decisions.
    """

    target_ongoing_requests: float | None = None
    target_utilization: float = 0.7
    look_back_s: int = 30
    upscale_delay_s: float = 30.0
    downscale_delay_s: float = 600.0
    upscaling_factor: float = 1.0
    downscaling_factor: float = 1.0
    loop_s: float = 0.1
    kind: ClassVar[str] = "ray"
    measures: ClassVar[str] = "in_flight"

    def target_of(self, load: ReplicaLoad) -> float:
        """Return the requests of a replica that the autoscaler aims at."""
        if self.target_ongoing_requests is None:
            return self.target_utilization * load.concurrency
        return self.target_ongoing_requests

    def settings(self, load: ReplicaLoad) -> dict[str, str]:
        """Return the parameters that decide, as texts by name."""
        found = super().settings(load)
        found.pop("target_utilization", None)
        return {**found, "target_ongoing_requests": _shown(self.target_of(load))}

    def core(self, load: ReplicaLoad) -> _core._FleetAutoscaler:
        """Return the autoscaler of the core."""
        own = _own(self, "target_ongoing_requests")
        return _core.RayAutoscaler(target_ongoing_requests=self.target_of(load), **own)


@dataclass(frozen=True, kw_only=True)
class TargetTracking(Autoscaler):
    """Target tracking of Application Auto Scaling, as of SageMaker endpoints: invocations per instance and minute.

    Attributes:
        target: SageMakerVariantInvocationsPerInstance; None for `target_utilization` of what a replica finishes in a
            minute.
        target_utilization: Share of what a replica finishes in a minute.
        period_s: Seconds of a data point.
        out_periods: Data points above the target in turn, before instances start.
        in_periods: Data points below `in_share` of it in turn, before instances leave.
        in_share: Share of the target below which instances leave.
        scale_out_cooldown_s: Time after a start in which no instance leaves.
        scale_in_cooldown_s: Time between removals.
    """

    target: float | None = None
    target_utilization: float = 0.7
    period_s: float = 60.0
    out_periods: int = 3
    in_periods: int = 15
    in_share: float = 0.9
    scale_out_cooldown_s: float = 300.0
    scale_in_cooldown_s: float = 300.0
    kind: ClassVar[str] = "sagemaker"
    measures: ClassVar[str] = "requests per minute"

    def calls_of(self, load: ReplicaLoad) -> float:
        """Return the invocations per instance and minute that the autoscaler aims at."""
        return self.target_utilization * load.rate_per_s * 60 if self.target is None else self.target

    def target_of(self, load: ReplicaLoad) -> float:
        """Return the requests of a replica that the autoscaler aims at."""
        return self.calls_of(load) / 60 / load.rate_per_s * load.concurrency

    def settings(self, load: ReplicaLoad) -> dict[str, str]:
        """Return the parameters that decide, as texts by name."""
        found = super().settings(load)
        found.pop("target_utilization", None)
        return {**found, "target": _shown(self.calls_of(load))}

    def core(self, load: ReplicaLoad) -> _core._FleetAutoscaler:
        """Return the autoscaler of the core."""
        return _core.TargetTrackingAutoscaler(target=self.calls_of(load), **_own(self, "target"))


@dataclass(frozen=True, kw_only=True)
class Lambda(Autoscaler):
    """AWS Lambda: an environment for each request at once, some of them provisioned.

    An environment serves one request at a time, whatever the places of a replica. A request that finds none that is
    free waits for the one that starts for it. `min_replicas` is the provisioned concurrency, and `max_replicas` the
    reserved or the account's concurrency, beyond which requests wait.

    Attributes:
        idle_timeout_s: Time without requests after which an environment leaves. AWS does not publish it: assumed.
        burst: Environments that may start at once ...
        burst_s: ... and again in each such time.
    """

    min_replicas: int = 0
    max_replicas: int | None = 1000
    idle_timeout_s: float = 600.0
    burst: int = 1000
    burst_s: float = 10.0
    kind: ClassVar[str] = "lambda"
    routing: ClassVar[str] = "first"  # others may become idle and leave
    measures: ClassVar[str] = "requests without a place"

    def limit_of(self, load: ReplicaLoad, limit: int) -> int:
        """Return the requests of an environment: one."""
        return 1

    def starts_with(self, load: ReplicaLoad) -> int:
        """Return the replicas at the start."""
        return self.min_replicas if self.start_replicas is None else self.start_replicas

    def core(self, load: ReplicaLoad) -> _core._FleetAutoscaler:
        """Return the autoscaler of the core."""
        return _core.OnDemandAutoscaler(binds=True, places=1.0, **_own(self))


@dataclass(frozen=True, kw_only=True)
class ScaleToZero(Autoscaler):
    """Containers that start for requests that find no room, and leave after an idle time.

    Attributes:
        idle_timeout_s: Time without requests after which a replica leaves.
        burst: Replicas that may start at once ...
        burst_s: ... and again in each such time.
    """

    min_replicas: int = 0
    idle_timeout_s: float = 60.0
    burst: int = 1000
    burst_s: float = 10.0
    kind: ClassVar[str] = "zero"
    routing: ClassVar[str] = "first"  # others may become idle and leave
    measures: ClassVar[str] = "requests without a place"

    def limit_of(self, load: ReplicaLoad, limit: int) -> int:
        """Return the requests that a container is handed: what it serves at once; others wait at the platform."""
        return max(1, round(load.concurrency))

    def starts_with(self, load: ReplicaLoad) -> int:
        """Return the replicas at the start."""
        return self.min_replicas if self.start_replicas is None else self.start_replicas

    def core(self, load: ReplicaLoad) -> _core._FleetAutoscaler:
        """Return the autoscaler of the core."""
        return _core.OnDemandAutoscaler(binds=False, places=load.concurrency, **_own(self))


@dataclass(frozen=True, kw_only=True)
class CloudRun(Autoscaler):
    """Cloud Run: a share of the concurrency over a minute, instances for requests without room, and to zero.

    Attributes:
        concurrency: Maximum concurrent requests per instance; None for what a replica serves at once. The product's
            default is 80.
        target_utilization: Share of it that is aimed at.
        window_s: Window of the mean.
        idle_timeout_s: Time without requests after which an instance leaves: at most 15 minutes, in which it is billed
            if billing is by instance.
        tick_s: Seconds between decisions.
    """

    min_replicas: int = 0
    max_replicas: int | None = 100
    concurrency: float | None = None
    target_utilization: float = 0.6
    window_s: int = 60
    idle_timeout_s: float = 900.0
    tick_s: float = 1.0
    kind: ClassVar[str] = "cloudrun"
    routing: ClassVar[str] = "first"  # others may become idle and leave
    measures: ClassVar[str] = "in_flight"

    def limit_of(self, load: ReplicaLoad, limit: int) -> int:
        """Return the requests that an instance is handed: its concurrency; others wait at the platform."""
        return max(1, round(load.concurrency if self.concurrency is None else self.concurrency))

    def target_of(self, load: ReplicaLoad) -> float:
        """Return the requests of a replica that the autoscaler aims at."""
        return self.target_utilization * (load.concurrency if self.concurrency is None else self.concurrency)

    def settings(self, load: ReplicaLoad) -> dict[str, str]:
        """Return the parameters that decide, as texts by name."""
        return {**super().settings(load), "target": _shown(self.target_of(load))}

    def core(self, load: ReplicaLoad) -> _core._FleetAutoscaler:
        """Return the autoscaler of the core."""
        concurrency = load.concurrency if self.concurrency is None else self.concurrency
        return _core.CloudRunAutoscaler(concurrency=concurrency, **_own(self, "concurrency"))


@dataclass(frozen=True, kw_only=True)
class Seasonal(_Targeted):
    """Prediction: the load of the last period at the time when new replicas would be ready, or that of now.

    Attributes:
        period_s: Seconds of a season: a day, or a week. In the first one, the load of now decides alone.
        bin_s: Seconds of which the highest load is remembered.
        ahead_s: Time that a new replica takes; None for its cold start.
        headroom: Factor on the load of the last period.
        window_s: Window of the load of now.
        hold_s: Time for which fewer replicas must be asked for.
        tick_s: Seconds between decisions.
    """

    period_s: float = DAY_S
    bin_s: float = 300.0
    ahead_s: float | None = None
    headroom: float = 1.0
    window_s: int = 60
    hold_s: float = 300.0
    tick_s: float = 15.0
    kind: ClassVar[str] = "seasonal"

    def core(self, load: ReplicaLoad) -> _core._FleetAutoscaler:
        """Return the autoscaler of the core."""
        ahead_s = load.cold_start_s if self.ahead_s is None else self.ahead_s
        return _core.SeasonalAutoscaler(target=self.level_of(load), ahead_s=ahead_s, **_own(self, "target", "ahead_s"))


@dataclass(frozen=True, kw_only=True)
class Oracle(Autoscaler):
    """The bound: replicas that are there when they are needed, and gone when they are not.

    Time is cut into seconds, or tenths of the mean service if that is shorter. In each of them there are as many as
    would serve, if none waited, all requests that it or the next one touches, and at least one. They need no start and
    are not simulated: no request waits.
    """

    kind: ClassVar[str] = "oracle"
    simulated: ClassVar[bool] = False


def with_limits(autoscaler: Autoscaler, *, least: int) -> Autoscaler:
    """Return an autoscaler that keeps at least so many replicas."""
    return autoscaler if autoscaler.min_replicas >= least else replace(autoscaler, min_replicas=least)


def _own(autoscaler: Autoscaler, *but: str) -> dict[str, Any]:
    """Return the parameters that the core takes as they are."""
    common = ("min_replicas", "max_replicas", "start_replicas")
    only_here = () if isinstance(autoscaler, CloudRun) else ("target_utilization",)
    left_out = {*common, *only_here, *but}
    return {field.name: getattr(autoscaler, field.name) for field in fields(autoscaler) if field.name not in left_out}


def _text(value: Any) -> str:
    """Return a value that is read as the same one."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):  # hours
        return ",".join(f"{_text(hour)}={count}" for hour, count in value)
    return repr(value).removesuffix(".0") if isinstance(value, float) else str(value)


def _shown(value: Any) -> str:
    """Return a value for people."""
    return f"{value:.6g}" if isinstance(value, float) else _text(value)
