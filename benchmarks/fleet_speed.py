"""Events of simulated fleets, in millions a second on one core, beside a queue of SimPy with as many slots.

    python -m benchmarks.fleet_speed [--trace azure-weekly:conversation_week_7min.csv] [--config CONFIG]

A request is two events with slots: it arrives and leaves. With an engine it also has the end of its prompt. The week
has replicas of 64 slots of 10 s each, a cold start of 30 s, and Knative's autoscaler. With the config of a language
model, replicas are those of vLLM on an H100, by means over steps. SimPy serves a share of the requests on a fixed
number of slots, without an autoscaler; both take turns, and figures are medians.
"""

from __future__ import annotations

import argparse
import resource
import time
from collections.abc import Iterator
from statistics import median
from typing import Any

import numpy as np

import pyinfercost as ic
from pyinfercost.fleets.replicas import Modeled, Slots
from pyinfercost.fleets.simulate import PoolCase, Rules, case_of, result_of_case, run_cases
from pyinfercost.fleets.traffic import Traffic
from pyinfercost.inputs.autoscalers import parse_autoscaler
from pyinfercost.serving.objectives import parse_slo
from pyinfercost.serving.runs import Facts
from pyinfercost.serving.traffic import parse_traffic

WEEK_S = 7 * 86_400
SLOTS = Slots(slots=64, service_s=10.0, cold_start_s=30.0, usd_per_h=2.0, name="64 slots")
NO_TOKENS = Facts(0, 1.0, 1.0, 1.0, 1.0, 1, 2, float("nan"), shares=False)
ROUNDS = 3
SIMPY_REQUESTS = 100_000
PEAK_UNIT = 1024
"""Bytes of a unit of `ru_maxrss` on Linux."""


def simpy_rate(slots: int, service_s: float) -> float:
    """Return the events in a second of a queue in SimPy: an arrival and a departure for each request."""
    import simpy

    env = simpy.Environment()
    places = simpy.Resource(env, capacity=slots)
    gaps = np.random.default_rng(0).standard_exponential(SIMPY_REQUESTS) / 45.0
    done = 0

    def request() -> Iterator[Any]:
        nonlocal done
        with places.request() as place:
            yield place
            yield env.timeout(service_s)
            done += 1

    def arrivals() -> Iterator[Any]:
        for gap in gaps.tolist():
            yield env.timeout(gap)
            env.process(request())

    start = time.process_time()
    env.process(arrivals())
    env.run()
    if done != SIMPY_REQUESTS:
        raise SystemExit(f"SimPy finished {done} of {SIMPY_REQUESTS} requests")
    return 2 * done / (time.process_time() - start)


def simulated(traffic: Traffic, modeled: Modeled, place: Any, policy: str) -> tuple[int, int, float]:
    """Return the requests of a fleet, its events, and the seconds of the processor, traffic included."""
    case = case_of([PoolCase(modeled.replica(place), parse_autoscaler(policy))], traffic, Rules(), {})
    start = time.process_time()
    found = run_cases([case])[0]
    seconds = time.process_time() - start
    result = result_of_case(case, found)
    if result.finished != result.requests:
        raise SystemExit(f"{result.finished} of {result.requests} requests were answered")
    return result.requests, int(found["events"]), seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trace", help="a week of requests; by default 45 a second with a daily peak")
    parser.add_argument("--config", help="folder of the config of a language model")
    parser.add_argument("--policy", default="kpa")
    given = parser.parse_args()
    text = given.trace or "diurnal:45,peak=2"
    prompt, output = "lognormal:mean=1155,cv=1", "lognormal:mean=211,cv=0.8"
    cases: list[tuple[str, Traffic, Modeled, Any]] = []
    workload = parse_traffic(text, duration_s=WEEK_S)
    cases.append(("slots, a week", Traffic(workload, text), Modeled(None, workload, NO_TOKENS), SLOTS))
    if given.config:
        workload = parse_traffic(text, duration_s=WEEK_S, scale=0.1, prompt=prompt, output=output)
        traffic = Traffic(workload, text)
        on = ic.Deployment(hardware="h100-sxm-80gb", engine="vllm", precision="bf16", price=2.5)
        if traffic.facts is None:
            raise SystemExit("the traffic has no tokens")
        modeled = Modeled(f"hf:{given.config}", workload, traffic.facts, parse_slo("ttft_p95<2,tpot_p95<0.05"))
        cases.append(("engine, a week at a tenth", traffic, modeled.prepared([on]), on))
    for name, traffic, modeled, place in cases:
        rates, peers = [], []
        for _ in range(ROUNDS):
            requests, events, seconds = simulated(traffic, modeled, place, given.policy)
            rates.append(events / seconds)
            peers.append(simpy_rate(64 * 12, 10.0))
        print(
            f"{name}: {requests:,} requests, {events:,} events, {events / median(rates):.2f} s, "
            f"{median(rates) / 1e6:.2f} million events/s; SimPy {median(peers) / 1e6:.3f}; "
            f"ratio {median(rates) / median(peers):.0f}"
        )
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * PEAK_UNIT
    print(f"memory at the peak: {peak / 1e6:.0f} MB")


if __name__ == "__main__":
    main()
