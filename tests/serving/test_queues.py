"""Queues against the closed forms of queueing theory, and batches against the rules of Triton's batcher."""

from __future__ import annotations

import math
from typing import Any

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest

from pyinfercost._core import InputError, simulate_batches, simulate_queue

ARRIVALS = 4_000_000


def waits(servers: int, load: float, service: Any) -> np.ndarray[Any, Any]:
    """Waiting times of a Poisson stream, service times of mean 1."""
    rng = np.random.default_rng(7)
    arrival = np.cumsum(rng.exponential(1 / (load * servers), ARRIVALS))
    found = simulate_queue(arrival, service(rng), servers)
    np.testing.assert_allclose(found["busy_s"], np.sum(found["finish_s"] - found["start_s"]), rtol=1e-6)
    return np.asarray(found["start_s"] - arrival)


def erlang_c(servers: int, load: float) -> float:
    """Mean wait of M/M/c in service times: C(c, a) / (c (1 - load)), with Erlang's C from his B."""
    offered = servers * load
    blocked = 1.0
    for k in range(1, servers + 1):
        blocked = offered * blocked / (k + offered * blocked)
    return blocked / (1 - load * (1 - blocked)) / (servers * (1 - load))


def half_width(values: np.ndarray[Any, Any]) -> float:
    """Half of a 99.9 % confidence interval of the mean, from means of 50 long batches."""
    means = values[: values.size // 50 * 50].reshape(50, -1).mean(axis=1)
    return float(3.5 * means.std(ddof=1) / math.sqrt(50))


@pytest.mark.parametrize(
    ("servers", "load", "deterministic", "expected"),
    [(1, 0.8, False, 4.0), (1, 0.8, True, 2.0), (10, 0.8, False, 0.20459), (64, 0.9, False, 0.04854)],
)
@pytest.mark.sample(2)
def test_mean_waits_are_those_of_the_closed_forms(
    servers: int, load: float, deterministic: bool, expected: float
) -> None:
    def service(rng: np.random.Generator) -> Any:
        return np.ones(ARRIVALS) if deterministic else rng.exponential(1.0, ARRIVALS)

    found = waits(servers, load, service)
    if not deterministic:
        assert erlang_c(servers, load) == pytest.approx(expected, rel=1e-4)
    assert found.mean() == pytest.approx(expected, abs=max(0.01 * expected, half_width(found)))
    assert half_width(found) < 0.1 * expected


def batches_of(arrival: list[float], batch_s: list[float], delay: float, preferred: list[int], instances: int) -> Any:
    """Form batches by looking at every moment at which something changes."""
    free = [0.0] * instances
    waiting: list[int] = []
    ahead = list(range(len(arrival)))
    start, size = [0.0] * len(arrival), [0] * len(arrival)
    now = 0.0
    while ahead or waiting:
        while ahead and arrival[ahead[0]] <= now:
            waiting.append(ahead.pop(0))
        while waiting and min(free) <= now:
            most = min(len(waiting), len(batch_s))
            fitting = [each for each in preferred if each <= most]
            if fitting:
                chosen = max(fitting)
            elif most == len(batch_s) or arrival[waiting[0]] + delay <= now:
                chosen = most
            else:
                break
            for i in waiting[:chosen]:
                start[i], size[i] = now, chosen
            waiting = waiting[chosen:]
            free[free.index(min(free))] = now + batch_s[chosen - 1]
        moments = [*free, *(arrival[i] for i in ahead[:1]), *(arrival[i] + delay for i in waiting[:1])]
        now = min((moment for moment in moments if moment > now), default=now)
    return start, size


@hypothesis.given(
    gaps=st.lists(st.sampled_from([0, 1, 2, 5, 30]), min_size=1, max_size=40),
    sizes=st.lists(st.integers(0, 12), min_size=1, max_size=6),
    delay=st.sampled_from([0, 1, 7, 40]),
    preferred=st.lists(st.integers(1, 6), max_size=3),
    instances=st.integers(1, 3),
)
def test_batches_are_those_of_the_rules(
    gaps: list[int], sizes: list[int], delay: int, preferred: list[int], instances: int
) -> None:
    arrival = np.cumsum(gaps).astype(float)
    preferred = [size for size in preferred if size <= len(sizes)]
    found = simulate_batches(
        arrival, batch_s=sizes, batch_j=sizes, max_delay_s=delay, preferred=preferred, instances=instances
    )
    start, size = batches_of(arrival.tolist(), [float(s) for s in sizes], delay, preferred, instances)
    np.testing.assert_array_equal(found["start_s"], start)
    np.testing.assert_array_equal(found["batch"], size)
    np.testing.assert_array_equal(found["finish_s"], np.asarray(start) + np.asarray(sizes)[np.asarray(size) - 1])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: simulate_queue([1, 0], [1, 1]), "request 1 arrives at 0"),
        (lambda: simulate_queue([float("nan")], [1]), "request 0 arrives at"),
        (lambda: simulate_queue([0, 1], [1]), "service_s has 1 entries; expected 2"),
        (lambda: simulate_queue([0], [-1]), "service_s is -1"),
        (lambda: simulate_queue([0], [1], servers=0), "servers is 0"),
        (lambda: simulate_batches([0], batch_s=[], batch_j=[]), "one for each size of a batch"),
        (lambda: simulate_batches([0], batch_s=[1], batch_j=[1], preferred=[2]), "preferred size 2"),
        (lambda: simulate_batches([0], batch_s=[1], batch_j=[1], max_delay_s=-1), "max_delay_s is -1"),
    ],
)
def test_bad_queues_are_refused(call: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        call()
