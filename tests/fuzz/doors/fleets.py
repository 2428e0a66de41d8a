"""Fleets: texts of autoscalers, slots, terms, and small simulations of them."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import Any

import numpy as np

import pyinfercost as ic
from pyinfercost.fleets import Slots, Terms, parse_autoscaler

from ..door import Door, Figure, require
from ..mutate import INTEGERS, REALS, mutated_text
from ..values import Value

_POLICIES = (
    "static:3",
    "scheduled:0=1,0.02=4,0.05=2,period_s=300",
    "kpa:target=3,stable_window_s=20,min_replicas=0",
    "hpa:metric=utilization,target=0.7,sync_s=5",
    "hpa:keda=true,min_replicas=0,polling_s=3,cooldown_s=20",
    "ray:target_ongoing_requests=2,loop_s=1,downscale_delay_s=30",
    "sagemaker:target=20,period_s=10,in_periods=2",
    "lambda:idle_timeout_s=10,max_replicas=20",
    "cloudrun:idle_timeout_s=20",
    "zero:idle_timeout_s=5",
    "seasonal:period_s=60,bin_s=5,hold_s=10",
)
_WORDS = (*(":", ",", "=", "nan", "inf", "-1", "1e999", "0", "true", "\0", "9" * 400), "min_replicas=", "target=")
_REQUESTS = 200
_NUMBERS: dict[str, tuple[float, ...]] = {
    "slots": (1, 4, 8),
    "service_s": (0.1, 2.0, 30.0),
    "cold_start_s": (0.0, 5.0, 60.0),
    "usd_per_h": (0.0, 2.5),
    "committed": (0, 2),
    "timeout_s": (5.0, 100.0),
    "interruptions_per_h": (0.0, 60.0),
    "failures_per_h": (0.0, 60.0),
    "notice_s": (0.0, 3.0),
}


class Fleets(Door):
    """`fleet` with slots: what it returns adds up."""

    share = 5_000

    def draw(self, random: Random) -> Value:
        """Return a text of an autoscaler and numbers; most are sound, with one or two that are not."""
        policy = random.choice(_POLICIES)
        for _ in range(random.choice((0, 0, 0, 1, 2))):
            policy = mutated_text(random, policy, _WORDS)
        value: Value = {name: random.choice(choices) for name, choices in _NUMBERS.items()}
        value |= {
            "policy": policy,
            "traffic": random.choice(("poisson:1", "gamma:5,cv=3", "mmpp:mean=2,burst=5,share=0.1,length_s=5")),
            "routing": random.choice(("first", "least_loaded")),
            "slo": random.choice((None, "queue_p90<1", "e2e_mean<9")),
            "seed": random.randrange(5),
        }
        for _ in range(random.choice((0, 0, 1, 2))):
            value[random.choice(list(_NUMBERS))] = random.choice((*INTEGERS, *REALS))
        return value

    def run(self, value: Value) -> Iterator[Figure]:
        """Simulate it, and check what no input may break."""
        policy = parse_autoscaler(value["policy"])
        require(parse_autoscaler(str(policy)) == policy, "the text of an autoscaler is read as another one")
        given: dict[str, Any] = {name: value[name] for name in ("slots", "service_s", "cold_start_s", "usd_per_h")}
        rates = {name: value[name] for name in ("interruptions_per_h", "failures_per_h", "notice_s")}
        comparison = ic.fleet(
            None,
            traffic=value["traffic"],
            duration_s=_REQUESTS / 5,
            on=Slots(**given),
            autoscaler=policy,
            slo=value["slo"],
            routing=value["routing"],
            timeout_s=value["timeout_s"],
            terms=Terms(committed=value["committed"], interruptions=rates),
            seed=value["seed"],
            threads=1,
        )
        for each in (*comparison.fleets, *comparison.bounds):
            require(each.requests == each.finished + each.failed + each.unfinished, "requests are lost")
            yield "late_share", each.late_share
            yield "reserved_s", each.reserved_s
            if each.bill is not None:
                yield "usd", each.bill.usd
            pool = each.pools[0]
            parts = pool.used_s + pool.idle_s + pool.cold_s
            require(np.isclose(parts, pool.reserved_s), "uses of the time do not add up")
            require(0 <= each.late_share <= 1, "a share is not within 0 and 1")
