"""Copies that wait for each other in each step."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from support.step_costs import step_costs_like_an_h100 as made

import pyinfercost as ic
from pyinfercost import _core
from pyinfercost.errors import InputError


def simulate(
    costs: _core.StepCosts, requests: Any, lockstep: int, servers: int = 2, **settings: Any
) -> _core.Simulation:
    server = _core.SimulatedServer(costs=costs, engine="vllm", blocks=10_000, **settings)
    cluster = _core.SimulatedCluster([server] * servers, lockstep=lockstep)
    return _core.simulate([(cluster, requests)])[0]


def test_two_copies_by_hand() -> None:
    """One copy reads a prompt of 4,000 tokens while the other one has a short request, then both decode."""
    costs = made().core
    found = simulate(costs, _core.SimulatedRequests(np.zeros(2), [10, 4000], [4, 2]), 2)
    read = costs.step(0, 0, [(4000, 0)], 1)[0]
    both = costs.step(1, 4001)[0]
    alone = [costs.step(1, 10 + more)[0] for more in (2, 3)]
    assert costs.step(0, 0, [(10, 0)], 1)[0] < read
    assert found.first_token_s.tolist() == pytest.approx([read, read], rel=1e-12)
    assert found.finish_s.tolist() == pytest.approx([read + both + sum(alone), read + both], rel=1e-12)
    busy = found.servers["busy_s"]
    assert busy.tolist() == pytest.approx([read + both + sum(alone), read + both], rel=1e-12)
    # While it waits, a copy draws idle power.
    work = costs.step(0, 0, [(10, 0)], 1)
    decodes = [costs.step(1, 10 + more) for more in (1, 2, 3)]
    waits = read - work[0] + both - decodes[0][0]
    joules = work[1] + sum(each[1] for each in decodes) + 100 * waits
    assert found.servers["energy_j"][0] == pytest.approx(joules, rel=1e-12)


def test_who_comes_in_a_step_of_others_waits_for_its_end() -> None:
    costs = made().core
    found = simulate(costs, _core.SimulatedRequests(np.array([0.0, 1e-3]), [4000, 10], [1, 1]), 2)
    read = costs.step(0, 0, [(4000, 0)], 1)[0]
    assert found.scheduled_s.tolist() == pytest.approx([0, read], rel=1e-12)
    apart = simulate(costs, _core.SimulatedRequests(np.array([0.0, 1e-3]), [4000, 10], [1, 1]), 1)
    assert apart.scheduled_s.tolist() == [0, 1e-3]


def test_equal_copies_do_not_notice() -> None:
    costs = made().core
    twice = _core.SimulatedRequests(np.repeat(np.arange(20) * 0.01, 2), np.full(40, 300), np.full(40, 20))
    together = simulate(costs, twice, 2)
    apart = simulate(costs, twice, 1)
    for name in ("first_token_s", "finish_s"):
        np.testing.assert_allclose(getattr(together, name), getattr(apart, name), rtol=1e-12)


def test_groups_are_apart() -> None:
    costs = made().core
    requests = _core.SimulatedRequests(np.zeros(4), [10, 10, 4000, 10], [1, 1, 1, 1])
    found = simulate(costs, requests, 2, servers=4)
    short, long = costs.step(0, 0, [(10, 0)], 1)[0], costs.step(0, 0, [(4000, 0)], 1)[0]
    assert found.finish_s.tolist() == pytest.approx([short, short, long, long], rel=1e-12)


def test_a_deployment_of_experts_is_slower_than_its_copies() -> None:
    apart = made(copies=8, devices=8)
    together = replace(apart, lockstep=True)
    workload = ic.Workload(rate_per_s=40, prompt="uniform:500-3000", output=100, requests=4000)
    results = [ic.serve(costs, workload=workload) for costs in (apart, together)]
    assert results[1]["tpot_s"].mean > 1.3 * results[0]["tpot_s"].mean
    assert not any("simulated apart" in note for note in results[1].notes)


@pytest.mark.parametrize("clients", [16, 64, 256])
def test_the_closed_form_knows(clients: int) -> None:
    costs = made(copies=8, devices=8, lockstep=True)
    workload = ic.Workload(clients=clients, prompt="uniform:800-1000", output="uniform:160-200", requests=20 * clients)
    served = ic.serve(costs, workload=workload)
    found = ic.serving.closed_form([costs], ic.serving.OfferedLoad.of(workload))
    assert found["tpot_s"][0, 0] == pytest.approx(served["tpot_s"].mean, rel=0.12)
    assert found["joules_per_token"][0, 0] == pytest.approx(served.joules_per_token, rel=0.12)


def test_bad_groups_are_refused() -> None:
    server = _core.SimulatedServer(costs=made().core, engine="vllm", blocks=100)
    requests = _core.SimulatedRequests(np.zeros(1), [1], [1])
    with pytest.raises(InputError, match="lockstep is 2, of 3 servers"):
        _core.simulate([(_core.SimulatedCluster([server] * 3, lockstep=2), requests)])


def test_a_number_beyond_64_bits_is_refused_with_the_range() -> None:
    with pytest.raises(TypeError, match=f"'blocks' is a int; expected a whole number from {-(2**63)} to {2**63 - 1}"):
        _core.SimulatedServer(costs=made().core, engine="vllm", blocks=2**63)
