"""Autoscalers step by step: loads in, replicas out, as the documentation of each product describes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from support import fleet_cases as cases
from support.fleet_levels import decisions_at_levels, decisions_at_rates

# ---- HorizontalPodAutoscaler: https://kubernetes.io/docs/concepts/workloads/autoscaling/horizontal-pod-autoscale/ ----


@pytest.mark.parametrize(
    ("pods", "each", "target", "expected"),
    [
        # "if the current metric value is 200m, and the desired value is 100m, the number of replicas will be doubled"
        (4, 200, 100, 8),
        # "if the current value is instead 50m, you'll halve the number of replicas"
        (4, 50, 100, 2),
        # https://kubernetes.io/blog/2025/04/28/kubernetes-v1-33-hpa-configurable-tolerance/: 50 x (90 / 75)
        (50, 90, 75, 60),
        # "skips any scaling action if the ratio is sufficiently close to 1.0 (within [...] 0.1 by default)"
        (10, 109, 100, 10),
        (10, 91, 100, 10),
        (10, 111, 100, 12),
        (10, 89, 100, 9),
        (2, 1, 100, 1),
    ],
)
def test_kubernetes_formula(pods: int, each: int, target: int, expected: int) -> None:
    scaler = cases.kubernetes(target=float(target), down_stabilization_s=0.0)
    found = decisions_at_levels(scaler, [(0.0, pods * each)], 14.0, start_replicas=pods)
    assert found == ([] if expected == pods else [(0.0, pods, expected)])


def test_kubernetes_default_policies_of_scaling_up() -> None:
    # By default the larger of 4 pods and 100 % each 15 s, and no stabilization: 1, 5, 10, 20, 40.
    found = decisions_at_levels(cases.kubernetes(target=1.0), [(0.0, 40)], 100.0)
    assert found == [(0.0, 1, 5), (15.0, 5, 10), (30.0, 10, 20), (45.0, 20, 40)]


def test_kubernetes_default_stabilization_of_scaling_down() -> None:
    # "the stabilization window [...] 300 seconds for scaling down": the highest advice within it counts. The last of
    # 40 is from 90 s, and has left the window at 390 s; of 10 from 195 s, at 495 s.
    levels = [(0.0, 40), (100.0, 10), (200.0, 2)]
    found = decisions_at_levels(cases.kubernetes(target=1.0), levels, 600.0, start_replicas=40)
    assert found == [(390.0, 40, 10), (495.0, 10, 2)]


def test_kubernetes_policies_of_scaling_down() -> None:
    # The example of the page: at most 10 % each 60 s. Of 80 pods 8 leave in the first minute, of 72 then 7.2, which is
    # rounded up to 8, and so on.
    scaler = cases.kubernetes(target=1.0, down_stabilization_s=0.0, down_percent=10.0, down_period_s=60.0)
    found = decisions_at_levels(scaler, [(0.0, 10)], 200.0, start_replicas=80)
    assert found == [(0.0, 80, 72), (60.0, 72, 64), (120.0, 64, 57), (180.0, 57, 51)]


def test_kubernetes_policies_count_the_changes_of_their_period() -> None:
    # Two pods a minute at most. One is added at 0 and one at 15 s: no third before 60 s.
    scaler = cases.kubernetes(target=1.0, tolerance=0.0, up_percent=0.0, up_pods=2, up_period_s=60.0)
    found = decisions_at_levels(scaler, [(0.0, 2), (10.0, 3), (20.0, 9)], 130.0)
    assert found == [(0.0, 1, 2), (15.0, 2, 3), (60.0, 3, 4), (75.0, 4, 5), (120.0, 5, 6)]
    # A pod that has left gives its place in the period back: in that before 60 s one left and one came.
    both = cases.kubernetes(
        target=1.0, tolerance=0.0, up_percent=0.0, up_pods=1, up_period_s=60.0, down_stabilization_s=0.0
    )
    found = decisions_at_levels(both, [(0.0, 3), (10.0, 1), (20.0, 3)], 100.0)
    assert found == [(0.0, 1, 2), (15.0, 2, 1), (30.0, 1, 2), (60.0, 2, 3)]


def test_kubernetes_stabilization_of_scaling_up() -> None:
    # The lowest advice of the last 60 s: a peak of 20 s changes nothing.
    scaler = cases.kubernetes(target=1.0, up_stabilization_s=60.0)
    assert decisions_at_levels(scaler, [(0.0, 1), (100.0, 5), (120.0, 1)], 300.0) == []
    # The last advice of 1 is from 90 s.
    assert decisions_at_levels(scaler, [(0.0, 1), (100.0, 5)], 300.0) == [(150.0, 1, 5)]


def test_kubernetes_counts_pods_that_start_as_idle() -> None:
    # "if any pods are not yet ready [...] assumed to be consuming 0 % [...] dampens the magnitude of a scale up"; "if
    # the new ratio reverses the scale direction, or is within the tolerance, the controller doesn't take any action".
    scaler = cases.kubernetes(target=10.0, down_stabilization_s=0.0)
    # 4 pods would take 40 +- 10 %; 43 and 35 change nothing while 2 of them start, 45 does.
    settings = {"start_replicas": 2, "cold_start_s": 100.0}
    assert decisions_at_levels(scaler, [(0.0, 40), (10.0, 43), (20.0, 35)], 90.0, **settings) == [(0.0, 2, 4)]
    assert decisions_at_levels(scaler, [(0.0, 40), (10.0, 45)], 90.0, **settings) == [(0.0, 2, 4), (15.0, 4, 5)]


def test_kubernetes_metric_over_a_window() -> None:
    # A metric that is the mean of a minute: 30 of the last 60 s had 6.
    scaler = cases.kubernetes(target=1.0, metric_window_s=60)
    found = decisions_at_levels(scaler, [(0.0, 1), (60.0, 7)], 91.0)
    assert found == [(75.0, 1, 3), (90.0, 3, 4)]


def test_keda_from_and_to_zero() -> None:
    # https://keda.sh/docs/latest/concepts/scaling-deployments/: KEDA looks each pollingInterval (30 s), takes the step
    # from 0 to 1 and leaves the others to the HPA; cooldownPeriod (300 s) after the trigger was active last, it scales
    # to 0. 5 pods are kept by the stabilization of the HPA meanwhile.
    scaler = cases.kubernetes(target=1.0, keda=True)
    found = decisions_at_levels(scaler, [(0.0, 0), (40.0, 5), (100.0, 0)], 700.0, min_replicas=0, start_replicas=0)
    # Requests without a replica wait 20 s and end at 120 s. At 120 s there is one look more, at zero load.
    assert found == [(60.0, 0, 1), (75.0, 1, 5), (390.0, 5, 0)]


# ---- Knative: https://knative.dev/docs/serving/autoscaling/kpa-specific/ and .../concurrency/ ----


def test_knative_target() -> None:
    # "containerConcurrency [...] 10, target utilization 70 %: the autoscaler creates a new replica when the average
    # number of concurrent requests [...] reaches 7".
    assert decisions_at_levels(cases.knative(target=7.0), [(0.0, 7)], 120.0) == []
    # 8 from 60 s on. The stable window is at 7 + t / 60 after t seconds, so a tick later there is a second replica.
    assert decisions_at_levels(cases.knative(target=7.0), [(0.0, 7), (60.0, 8)], 120.0)[0] == (62.0, 1, 2)
    # https://www.alibabacloud.com/help/en/ack: 100 / (10 x 0.7) = 15 pods.
    assert decisions_at_levels(cases.knative(target=7.0), [(0.0, 100)], 60.0) == [(2.0, 1, 15)]


def test_knative_panic() -> None:
    # Two replicas for 14. At 60 s the load rises to 28: the panic window of 6 s has 18.67, 23.33 and 28 at the next
    # ticks, and 4 replicas, twice those that are ready, are needed at 23.33 / 7.
    levels = [(0.0, 14), (60.0, 28), (70.0, 7)]
    found = decisions_at_levels(cases.knative(target=7.0), levels, 180.0, start_replicas=2)
    # Before that the stable window has 14.47 after 2 s: 3 replicas.
    assert found[0] == (62.0, 2, 3)
    # Twice 3 are not reached: no panic, and 4 replicas for 21 and more on average never. The peak of 10 s passes.
    assert max(after for _, _, after in found) == 3
    # With 6 s of cold start 2 are ready at 64 s: panic. No replica leaves until 60 s after the last time above the
    # threshold, which is 66 s.
    found = decisions_at_levels(cases.knative(target=7.0), levels, 180.0, start_replicas=2, cold_start_s=6.0)
    assert found[:2] == [(62.0, 2, 3), (64.0, 3, 4)]
    assert found[2][0] == 126.0


def test_knative_rates() -> None:
    # "max-scale-down-rate: 2.0": 8 replicas halve at each tick. Panic windows pass first.
    found = decisions_at_levels(cases.knative(target=1.0), [(0.0, 8), (60.0, 1)], 200.0, start_replicas=8)
    falls = [(before, after) for _, before, after in found if after < before]
    assert all(after >= before // 2 for before, after in falls)
    assert falls[-1][1] == 1
    # "max-scale-up-rate": at most 3 times as many ready replicas, rounded up.
    slow = cases.knative(target=1.0, max_scale_up_rate=3.0)
    assert decisions_at_levels(slow, [(0.0, 20)], 10.0) == [(2.0, 1, 3), (4.0, 3, 9), (6.0, 9, 20)]


def test_knative_to_and_from_zero() -> None:
    # No request from 10 s on: the stable window of 60 s is empty at 70 s, and the last replica leaves after the grace
    # period of 30 s. The next request at 200 s starts one at once.
    levels = [(0.0, 1), (10.0, 0), (200.0, 1), (210.0, 0)]
    found = decisions_at_levels(cases.knative(target=7.0), levels, 250.0, min_replicas=0)
    assert found == [(100.0, 1, 0), (200.0, 0, 1)]
    # "activation-scale": 3 replicas start from zero, and fewer do once 3 were ready, 20 s later.
    settings = {"min_replicas": 0, "start_replicas": 0, "cold_start_s": 20.0}
    scaler = cases.knative(target=7.0, activation_scale=3)
    assert decisions_at_levels(scaler, [(0.0, 0), (50.0, 1)], 72.0, **settings) == [(50.0, 0, 3), (70.0, 3, 1)]


def test_knative_scale_down_delay() -> None:
    # "scale-down-delay": a window that passes at reduced concurrency before fewer replicas are applied.
    levels = [(0.0, 4), (60.0, 2)]
    settings: dict[str, Any] = {"start_replicas": 4}
    plain = decisions_at_levels(cases.knative(target=1.0), levels, 240.0, **settings)
    delayed = decisions_at_levels(cases.knative(target=1.0, scale_down_delay_s=30.0), levels, 240.0, **settings)
    assert [(before, after) for _, before, after in plain] == [(4, 3), (3, 2)]
    # 15 ticks of 2 s, the tick of the decision among them.
    assert delayed == [(time_s + 28.0, before, after) for time_s, before, after in plain]


# ---- Ray Serve: https://docs.ray.io/en/latest/serve/advanced-guides/advanced-autoscaling.html ----


def test_ray_delays() -> None:
    # target_ongoing_requests 2, upscale_delay_s 30, downscale_delay_s 600, look_back_period_s 30. 20 requests at once:
    # more replicas are wanted in each turn of the loop from 1 s on, when the first second is measured; after 30 s of
    # agreement there are 10 of them. From 104 s on the mean of the last 30 s, 20 - 18 x 4 / 30, needs fewer.
    found = decisions_at_levels(cases.ray(), [(0.0, 20), (100.0, 2)], 800.0)
    assert [(before, after) for _, before, after in found] == [(1, 10), (10, 1)]
    assert found[0][0] == pytest.approx(1 + 30)
    assert found[1][0] == pytest.approx(104 + 600)
    # A peak that is shorter than the delay changes nothing.
    assert decisions_at_levels(cases.ray(look_back_s=1), [(0.0, 1), (50.0, 20), (79.0, 1)], 200.0) == []


def test_ray_from_and_to_zero() -> None:
    # From zero at once; the last replica leaves alone, after its own delay: never 2 to 0.
    scaler = cases.ray(upscale_delay_s=0.0, downscale_delay_s=20.0, look_back_s=5)
    levels = [(0.0, 0), (10.0, 4), (40.0, 0)]
    found = decisions_at_levels(scaler, levels, 200.0, min_replicas=0, start_replicas=0)
    assert [(before, after) for _, before, after in found] == [(0, 1), (1, 2), (2, 1), (1, 0)]
    assert found[0][0] == 10.0
    assert found[3][0] - found[2][0] == pytest.approx(20.1)


def test_ray_factors() -> None:
    # upscaling_factor 0.5: from 2 to 2 + 0.5 x (10 - 2) = 6. While 4 of them start, 2 are ready.
    scaler = cases.ray(upscaling_factor=0.5, upscale_delay_s=5.0, look_back_s=5)
    found = decisions_at_levels(scaler, [(0.0, 20)], 20.0, start_replicas=2, cold_start_s=100.0)
    assert [(before, after) for _, before, after in found] == [(2, 6)]
    # A small downscaling_factor keeps no replica forever: 4 - 0.1 x 3 is 4 when it is rounded up, and 3 are kept.
    slow = cases.ray(downscaling_factor=0.1, downscale_delay_s=5.0, look_back_s=5)
    found = decisions_at_levels(slow, [(0.0, 2)], 40.0, start_replicas=4)
    assert [(before, after) for _, before, after in found] == [(4, 3), (3, 2), (2, 1)]


# ---- Target tracking of Application Auto Scaling, with SageMaker's InvocationsPerInstance ----
# https://docs.aws.amazon.com/autoscaling/application/userguide/target-tracking-scaling-policy-overview.html


def test_target_tracking_alarms() -> None:
    # Above the target in 3 periods of one minute: out. 1,800 calls a minute need 3 instances for 600 each.
    assert decisions_at_rates(cases.target_tracking(), [600, 1800, 1800, 1800]) == [(240.0, 1, 3)]
    # Two periods are not enough, nor are three that are not in turn.
    assert decisions_at_rates(cases.target_tracking(), [600, 1800, 1800, 600, 1800, 1800, 600]) == []
    # Below 90 % of the target in 15 periods: in. 540 of 600 is not below, 539 is.
    settings = {"start_replicas": 2}
    assert decisions_at_rates(cases.target_tracking(), [1080] * 20, **settings) == []
    assert decisions_at_rates(cases.target_tracking(), [500] * 15, **settings) == [(900.0, 2, 1)]
    assert decisions_at_rates(cases.target_tracking(), [500] * 14 + [1200], **settings) == []


def test_target_tracking_cool_downs() -> None:
    # A larger scale-out does not wait for the cool-down of the one before; instances that start count.
    found = decisions_at_rates(cases.target_tracking(), [1800] * 4 + [3000] * 4, cold_start_s=600.0, start_replicas=1)
    assert found == [(180.0, 1, 3), (300.0, 3, 5)]
    # Scale-ins are 300 s apart: alarms of one period ask for fewer instances in each minute.
    scaler = cases.target_tracking(in_periods=1, scale_in_cooldown_s=300.0)
    rates = [2000, 1500, 1400, 1000, 900, 800, 500]
    assert decisions_at_rates(scaler, rates, start_replicas=5) == [(60.0, 5, 4), (360.0, 4, 2)]
    # A scale-out ends the cool-down of the scale-in before.
    scaler = cases.target_tracking(in_periods=1, out_periods=1, scale_out_cooldown_s=0.0)
    rates = [1200, 3000, 600, 600]
    assert decisions_at_rates(scaler, rates, start_replicas=5) == [(60.0, 5, 2), (120.0, 2, 5), (180.0, 5, 1)]


# ---- Lambda: https://docs.aws.amazon.com/lambda/latest/dg/scaling-behavior.html ----


def run_on_demand(scaler: Any, arrival: Any, service_s: float, **pool: Any) -> dict[str, Any]:
    """Serve requests, one at a time by each replica."""
    settings = {"concurrency": 1, "start_replicas": 0, **pool}
    fleet = cases.fleet(cases.pool(cases.slots(1, 1.0), scaler, **settings), keeps_requests=True)
    return cases.run(fleet, cases.requests(arrival, service_s))


def test_lambda_starts_a_thousand_environments_each_ten_seconds() -> None:
    # 3,500 requests at once, of a minute each. 1,000 environments start at once, and the rate is refilled continuously:
    # 1,000 more until 10 s, and 1,000 until 20 s.
    found = run_on_demand(cases.on_demand(), np.zeros(3500), 60.0)
    started = np.sort(found["requests"]["started_s"])
    for time_s, expected in ((0.0, 1000), (1.0, 1100), (10.0, 2000), (20.0, 3000), (25.0, 3500)):
        assert (started <= time_s).sum() == expected
    # What is not used is not kept: after 100 s without requests there are again 1,000 at once.
    found = run_on_demand(cases.on_demand(), np.full(3500, 100.0), 60.0)
    assert (found["requests"]["started_s"] == 100.0).sum() == 1000


def test_lambda_environments_are_used_again_until_they_expire() -> None:
    # Requests each 10 s find the environment of the first; one after 61 s of idleness does not.
    arrival = np.array([0.0, 10.0, 20.0, 82.0])
    found = run_on_demand(cases.on_demand(idle_timeout_s=60.0), arrival, 1.0, cold_start_s=2.0)
    np.testing.assert_allclose(found["requests"]["started_s"] - arrival, [2.0, 0.0, 0.0, 2.0])
    assert found["pools"][0]["starts"] == 2
    assert cases.decisions(found) == [(0.0, 0, 1), (81.0, 1, 0), (82.0, 0, 1)]


def test_lambda_requests_wait_for_the_environment_that_was_started_for_them() -> None:
    # The second request starts a second environment, though the first one is free before that is ready.
    arrival = np.array([0.0, 2.5])
    bound = run_on_demand(cases.on_demand(binds=True), arrival, 1.0, cold_start_s=2.0)
    np.testing.assert_allclose(bound["requests"]["started_s"], [2.0, 4.5])
    shared = run_on_demand(cases.on_demand(), arrival, 1.0, cold_start_s=2.0)
    np.testing.assert_allclose(shared["requests"]["started_s"], [2.0, 3.0])


# ---- Cloud Run: https://cloud.google.com/run/docs/about-instance-autoscaling ----


def test_cloud_run_keeps_60_percent_of_the_concurrency() -> None:
    # 80 requests at once, of which 48 on average over a minute: 96 are two instances, more are three.
    assert decisions_at_levels(cases.cloud_run(), [(0.0, 48)], 120.0) == []
    assert decisions_at_levels(cases.cloud_run(), [(0.0, 96)], 120.0) == [(1.0, 1, 2)]
    # From 48 to 108 at 60 s: the mean of the last minute is 48 + t after t seconds, 96 at 108 s.
    found = decisions_at_levels(cases.cloud_run(), [(0.0, 48), (60.0, 108)], 120.0)
    assert found == [(61.0, 1, 2), (109.0, 2, 3)]


def test_cloud_run_starts_instances_for_requests_without_room_and_stops_idle_ones() -> None:
    # 200 requests at once need three instances of 80 at once, and five, of which 48 are served, by the mean.
    pool = cases.pool(cases.slots(80, 10.0), cases.cloud_run(), concurrency=80, start_replicas=0, cold_start_s=2.0)
    found = cases.decisions(cases.run(cases.fleet(pool, horizon_s=2000.0), cases.requests(np.zeros(200))))
    assert found[:4] == [(0.0, 0, 1), (0.0, 1, 2), (0.0, 2, 3), (1.0, 3, 5)]
    # The last two are idle from 3 s on, the others from 12 s on; idle ones stay 15 minutes.
    assert found[4:] == [(903.0, 5, 4), (903.0, 4, 3), (912.0, 3, 2), (912.0, 2, 1), (912.0, 1, 0)]


# ---- Schedules, and the load of the last period ----


def test_schedule() -> None:
    scaler = cases.schedule(from_s=[0.0, 30.0, 60.0], replicas=[1, 4, 2], period_s=100.0)
    found = decisions_at_levels(scaler, [(0.0, 1)], 235.0)
    assert found == [
        (30.0, 1, 4),
        (60.0, 4, 2),
        (100.0, 2, 1),
        (130.0, 1, 4),
        (160.0, 4, 2),
        (200.0, 2, 1),
        (230.0, 1, 4),
    ]
    # Before the first time of a period the last replicas of the period before stay.
    late = cases.schedule(from_s=[10.0, 50.0], replicas=[3, 1], period_s=100.0)
    assert decisions_at_levels(late, [(0.0, 1)], 120.0) == [(10.0, 1, 3), (50.0, 3, 1), (110.0, 1, 3)]
    # Without a period they stay.
    once = cases.schedule(from_s=[0.0, 50.0], replicas=[3, 2])
    assert decisions_at_levels(once, [(0.0, 1)], 500.0, start_replicas=3) == [(50.0, 3, 2)]


def test_schedule_at_times_that_are_not_exact() -> None:
    # 1000 + 128.87... is rounded: its difference from 1000 is below the time within the period.
    time_s = 128.87087505132433
    assert 1000 + time_s - 1000 < time_s
    scaler = cases.schedule(from_s=[0.0, time_s], replicas=[1, 2], period_s=1000.0)
    found = decisions_at_levels(scaler, [(0.0, 1)], 2200.0)
    expected = [(1000.0 * k + part, 3 - after, after) for k in range(3) for part, after in ((0.0, 1), (time_s, 2))]
    assert found == expected[1:]


def test_seasonal_starts_replicas_before_the_load_of_the_last_period_returns() -> None:
    # Periods of 600 s with a peak of 8 from 300 to 360 s, that is in the bins of 60 s from 300 and, for the window of
    # 10 s, from 360 s. In the first period replicas follow the load, in the second they are there 60 s ahead.
    peak = [(0.0, 1), (300.0, 8), (360.0, 1)]
    levels = [(period * 600.0 + time_s, count) for period in range(2) for time_s, count in peak]
    scaler = cases.seasonal(target=1.0, period_s=600.0, bin_s=60.0, ahead_s=60.0, window_s=10, hold_s=0.0, tick_s=5.0)
    found = decisions_at_levels(scaler, levels, 1200.0)
    first = [row for row in found if row[0] < 600]
    assert first[0] == (305.0, 1, 5)
    assert max(after for _, _, after in first) == 8
    second = next(row for row in found if row[0] >= 600)
    # Replicas that start at a tick are ready 60 s later; the next tick, 5 s later, would be too late for 900 s.
    assert second == (835.0, 1, 8)
