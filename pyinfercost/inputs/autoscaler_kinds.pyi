# Written by tools/settings_stub.py from csrc/simulate/fleet.
from collections.abc import Mapping, Sequence

from .autoscalers import Autoscaler

class Static(Autoscaler):
    """Always as many replicas.

    Attributes:
        min_replicas: Fewest replicas.
        max_replicas: Most replicas; None for no limit.
        start_replicas: Replicas that are ready at the start; None for those that the mean load needs.
        replicas: Their number; None for the peak: as many as would serve all requests at once if none waited.
    """

    min_replicas: int
    max_replicas: int | None
    start_replicas: int | None
    replicas: int | None

    def __init__(
        self,
        *,
        min_replicas: int = 1,
        max_replicas: int | None = None,
        start_replicas: int | None = None,
        replicas: int | None = None,
    ) -> None: ...

class Scheduled(Autoscaler):
    """Replicas by the hour.

    Attributes:
        min_replicas: Fewest replicas.
        max_replicas: Most replicas; None for no limit.
        start_replicas: Replicas that are ready at the start; None for those that the mean load needs.
        replicas: Hour of the period from which on -> replicas: `{0: 2, 8: 10, 20: 4}`. Before the first hour, those of
            the last one.
        period_s: Seconds after which the hours repeat: a day, or a week.
    """

    min_replicas: int
    max_replicas: int | None
    start_replicas: int | None
    replicas: tuple[tuple[float, int], ...]
    period_s: float

    def __init__(
        self,
        *,
        min_replicas: int = 1,
        max_replicas: int | None = None,
        start_replicas: int | None = None,
        replicas: Mapping[float, int] | Sequence[tuple[float, int]] = ...,
        period_s: float = 86400.0,
    ) -> None: ...

class Knative(Autoscaler):
    """Knative's pod autoscaler (KPA): a stable and a panic window over requests in flight, those of the queue too.

    Attributes:
        min_replicas: Fewest replicas.
        max_replicas: Most replicas; None for no limit.
        start_replicas: Replicas that are ready at the start; None for those that the mean load needs.
        target: Level of the metric per replica; None for `target_utilization` of what a replica serves at once.
        target_utilization: Share of what a replica serves at once.
        metric: What is measured: `"in_flight"` (waiting and running), `"running"`, `"waiting"`, or `"utilization"` of
            the places of ready replicas, whose target is a share.
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

    min_replicas: int
    max_replicas: int | None
    start_replicas: int | None
    target: float | None
    target_utilization: float
    metric: str
    stable_window_s: int
    panic_window_s: int
    panic_threshold: float
    max_scale_up_rate: float
    max_scale_down_rate: float
    scale_down_delay_s: float
    scale_to_zero_grace_s: float
    activation_scale: int
    tick_s: float

    def __init__(
        self,
        *,
        min_replicas: int = 1,
        max_replicas: int | None = None,
        start_replicas: int | None = None,
        target: float | None = None,
        target_utilization: float = 0.7,
        metric: str = "in_flight",
        stable_window_s: int = 60,
        panic_window_s: int = 6,
        panic_threshold: float = 2.0,
        max_scale_up_rate: float = 1000.0,
        max_scale_down_rate: float = 2.0,
        scale_down_delay_s: float = 0.0,
        scale_to_zero_grace_s: float = 30.0,
        activation_scale: int = 1,
        tick_s: float = 2.0,
    ) -> None: ...

class Kubernetes(Autoscaler):
    """HorizontalPodAutoscaler (HPA) of Kubernetes; with `keda`, KEDA's steps from and to zero.

    Attributes:
        min_replicas: Fewest replicas.
        max_replicas: Most replicas; None for no limit.
        start_replicas: Replicas that are ready at the start; None for those that the mean load needs.
        target: Level of the metric per replica; None for `target_utilization` of what a replica serves at once.
        target_utilization: Share of what a replica serves at once.
        metric: What is measured: `"in_flight"` (waiting and running), `"running"`, `"waiting"`, or `"utilization"` of
            the places of ready replicas, whose target is a share.
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

    min_replicas: int
    max_replicas: int | None
    start_replicas: int | None
    target: float | None
    target_utilization: float
    metric: str
    metric_window_s: int
    tolerance: float
    sync_s: float
    up_percent: float
    up_pods: int
    up_period_s: float
    up_stabilization_s: float
    down_percent: float
    down_period_s: float
    down_stabilization_s: float
    keda: bool
    polling_s: float
    cooldown_s: float

    def __init__(
        self,
        *,
        min_replicas: int = 1,
        max_replicas: int | None = None,
        start_replicas: int | None = None,
        target: float | None = None,
        target_utilization: float = 0.7,
        metric: str = "in_flight",
        metric_window_s: int = 0,
        tolerance: float = 0.1,
        sync_s: float = 15.0,
        up_percent: float = 100.0,
        up_pods: int = 4,
        up_period_s: float = 15.0,
        up_stabilization_s: float = 0.0,
        down_percent: float = 100.0,
        down_period_s: float = 15.0,
        down_stabilization_s: float = 300.0,
        keda: bool = False,
        polling_s: float = 30.0,
        cooldown_s: float = 300.0,
    ) -> None: ...

class RayServe(Autoscaler):
    """Ray Serve's autoscaler: ongoing requests, waiting and running, after delays of agreement.

    Attributes:
        min_replicas: Fewest replicas.
        max_replicas: Most replicas; None for no limit.
        start_replicas: Replicas that are ready at the start; None for those that the mean load needs.
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

    min_replicas: int
    max_replicas: int | None
    start_replicas: int | None
    target_ongoing_requests: float | None
    target_utilization: float
    look_back_s: int
    upscale_delay_s: float
    downscale_delay_s: float
    upscaling_factor: float
    downscaling_factor: float
    loop_s: float

    def __init__(
        self,
        *,
        min_replicas: int = 1,
        max_replicas: int | None = None,
        start_replicas: int | None = None,
        target_ongoing_requests: float | None = None,
        target_utilization: float = 0.7,
        look_back_s: int = 30,
        upscale_delay_s: float = 30.0,
        downscale_delay_s: float = 600.0,
        upscaling_factor: float = 1.0,
        downscaling_factor: float = 1.0,
        loop_s: float = 0.1,
    ) -> None: ...

class TargetTracking(Autoscaler):
    """Target tracking of Application Auto Scaling, as of SageMaker endpoints: invocations per instance and minute.

    Attributes:
        min_replicas: Fewest replicas.
        max_replicas: Most replicas; None for no limit.
        start_replicas: Replicas that are ready at the start; None for those that the mean load needs.
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

    min_replicas: int
    max_replicas: int | None
    start_replicas: int | None
    target: float | None
    target_utilization: float
    period_s: float
    out_periods: int
    in_periods: int
    in_share: float
    scale_out_cooldown_s: float
    scale_in_cooldown_s: float

    def __init__(
        self,
        *,
        min_replicas: int = 1,
        max_replicas: int | None = None,
        start_replicas: int | None = None,
        target: float | None = None,
        target_utilization: float = 0.7,
        period_s: float = 60.0,
        out_periods: int = 3,
        in_periods: int = 15,
        in_share: float = 0.9,
        scale_out_cooldown_s: float = 300.0,
        scale_in_cooldown_s: float = 300.0,
    ) -> None: ...

class Lambda(Autoscaler):
    """AWS Lambda: an environment for each request at once, some of them provisioned.

    An environment serves one request at a time, whatever the places of a replica. A request that finds none that is
    free waits for the one that starts for it. `min_replicas` is the provisioned concurrency, and `max_replicas` the
    reserved or the account's concurrency, beyond which requests wait.

    Attributes:
        min_replicas: Fewest replicas.
        max_replicas: Most replicas; None for no limit.
        start_replicas: Replicas that are ready at the start; None for those that the mean load needs.
        idle_timeout_s: Time without requests after which an environment leaves. AWS does not publish it: assumed.
        burst: Environments that may start at once ...
        burst_s: ... and again in each such time.
    """

    min_replicas: int
    max_replicas: int | None
    start_replicas: int | None
    idle_timeout_s: float
    burst: int
    burst_s: float

    def __init__(
        self,
        *,
        min_replicas: int = 0,
        max_replicas: int | None = 1000,
        start_replicas: int | None = None,
        idle_timeout_s: float = 600.0,
        burst: int = 1000,
        burst_s: float = 10.0,
    ) -> None: ...

class CloudRun(Autoscaler):
    """Cloud Run: a share of the concurrency over a minute, instances for requests without room, and to zero.

    Attributes:
        min_replicas: Fewest replicas.
        max_replicas: Most replicas; None for no limit.
        start_replicas: Replicas that are ready at the start; None for those that the mean load needs.
        concurrency: Maximum concurrent requests per instance; None for what a replica serves at once. The product's
            default is 80.
        target_utilization: Share of it that is aimed at.
        window_s: Window of the mean.
        idle_timeout_s: Time without requests after which an instance leaves: at most 15 minutes, in which it is billed
            if billing is by instance.
        tick_s: Seconds between decisions.
    """

    min_replicas: int
    max_replicas: int | None
    start_replicas: int | None
    concurrency: float | None
    target_utilization: float
    window_s: int
    idle_timeout_s: float
    tick_s: float

    def __init__(
        self,
        *,
        min_replicas: int = 0,
        max_replicas: int | None = 100,
        start_replicas: int | None = None,
        concurrency: float | None = None,
        target_utilization: float = 0.6,
        window_s: int = 60,
        idle_timeout_s: float = 900.0,
        tick_s: float = 1.0,
    ) -> None: ...

class ScaleToZero(Autoscaler):
    """Containers that start for requests that find no room, and leave after an idle time.

    Attributes:
        min_replicas: Fewest replicas.
        max_replicas: Most replicas; None for no limit.
        start_replicas: Replicas that are ready at the start; None for those that the mean load needs.
        idle_timeout_s: Time without requests after which a replica leaves.
        burst: Replicas that may start at once ...
        burst_s: ... and again in each such time.
    """

    min_replicas: int
    max_replicas: int | None
    start_replicas: int | None
    idle_timeout_s: float
    burst: int
    burst_s: float

    def __init__(
        self,
        *,
        min_replicas: int = 0,
        max_replicas: int | None = None,
        start_replicas: int | None = None,
        idle_timeout_s: float = 60.0,
        burst: int = 1000,
        burst_s: float = 10.0,
    ) -> None: ...

class Seasonal(Autoscaler):
    """Prediction: the load of the last period at the time when new replicas would be ready, or that of now.

    Attributes:
        min_replicas: Fewest replicas.
        max_replicas: Most replicas; None for no limit.
        start_replicas: Replicas that are ready at the start; None for those that the mean load needs.
        target: Level of the metric per replica; None for `target_utilization` of what a replica serves at once.
        target_utilization: Share of what a replica serves at once.
        metric: What is measured: `"in_flight"` (waiting and running), `"running"`, `"waiting"`, or `"utilization"` of
            the places of ready replicas, whose target is a share.
        period_s: Seconds of a season: a day, or a week. In the first one, the load of now decides alone.
        bin_s: Seconds of which the highest load is remembered.
        ahead_s: Time that a new replica takes; None for its cold start.
        headroom: Factor on the load of the last period.
        window_s: Window of the load of now.
        hold_s: Time for which fewer replicas must be asked for.
        tick_s: Seconds between decisions.
    """

    min_replicas: int
    max_replicas: int | None
    start_replicas: int | None
    target: float | None
    target_utilization: float
    metric: str
    period_s: float
    bin_s: float
    ahead_s: float | None
    headroom: float
    window_s: int
    hold_s: float
    tick_s: float

    def __init__(
        self,
        *,
        min_replicas: int = 1,
        max_replicas: int | None = None,
        start_replicas: int | None = None,
        target: float | None = None,
        target_utilization: float = 0.7,
        metric: str = "in_flight",
        period_s: float = 86400.0,
        bin_s: float = 300.0,
        ahead_s: float | None = None,
        headroom: float = 1.0,
        window_s: int = 60,
        hold_s: float = 300.0,
        tick_s: float = 15.0,
    ) -> None: ...

class Oracle(Autoscaler):
    """The bound: replicas that are there when they are needed, and gone when they are not.

    Time is cut into seconds, or tenths of the mean service if that is shorter. In each of them there are as many as
    would serve, if none waited, all requests that it or the next one touches, and at least one. They need no start and
    are not simulated: no request waits.

    Attributes:
        min_replicas: Fewest replicas.
        max_replicas: Most replicas; None for no limit.
        start_replicas: Replicas that are ready at the start; None for those that the mean load needs.
    """

    min_replicas: int
    max_replicas: int | None
    start_replicas: int | None

    def __init__(
        self,
        *,
        min_replicas: int = 1,
        max_replicas: int | None = None,
        start_replicas: int | None = None,
    ) -> None: ...
