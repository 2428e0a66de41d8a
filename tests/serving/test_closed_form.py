"""Steady states in closed form: against iterations one by one, laws, and loads that have no answer."""

from __future__ import annotations

import numpy as np
import pytest
from support.reference_server import serve
from support.step_costs import step_costs_like_an_h100 as made

import pyinfercost as ic
from pyinfercost.serving.conversations import Conversations
from pyinfercost.serving.servers import LoadError, Servers
from pyinfercost.serving.steady_state import COLUMNS, OfferedLoad, closed_form
from pyinfercost.serving.step_tables import Table
from pyinfercost.serving.workload import Prefixes, Workload


def uniform(low: int, high: int) -> tuple[float, float]:
    """Mean and mean square of whole numbers from low to high."""
    mean = (low + high) / 2
    return mean, ((high - low + 1) ** 2 - 1) / 12 + mean**2


def load(prompt: tuple[int, int], output: tuple[int, int], **given: float) -> OfferedLoad:
    prompts, outputs = uniform(*prompt), uniform(*output)
    return OfferedLoad(
        prompt=prompts[0], output=outputs[0], prompt_square=prompts[1], output_square=outputs[1], **given
    )


SHAPES = (((820, 1024), (100, 128)), ((410, 512), (410, 512)), ((100, 128), (410, 512)), ((3300, 4096), (51, 64)))


@pytest.mark.slow
def test_time_per_token_is_that_of_iterations_one_by_one() -> None:
    """At 1 to 128 clients; times to the first token are further apart."""
    costs = made()
    tpot, e2e, joules = [], [], []
    for prompt, output in SHAPES:
        for clients in (1, 4, 16, 64, 128):
            served = serve(costs, prompt=prompt, output=output, requests=max(100, 12 * clients), clients=clients)
            found = closed_form([costs], load(prompt, output, clients=clients))
            tpot.append(found["tpot_s"][0, 0] / served.tpot_s - 1)
            e2e.append(found["e2e_s"][0, 0] / served.e2e_s - 1)
            joules.append(found["joules_per_token"][0, 0] / served.joules_per_token - 1)
    assert np.median(np.abs(tpot)) < 0.015
    assert np.max(np.abs(tpot)) < 0.06
    assert np.median(np.abs(e2e)) < 0.02
    assert np.median(np.abs(joules)) < 0.05


def test_prompts_that_fill_the_budget_decide() -> None:
    """Prompts of 8,000 tokens and 16 of answers: 48 clients wait, and each step has 8,192 tokens."""
    costs = made()
    served = serve(costs, prompt=(7000, 8000), output=(14, 16), requests=400, clients=48)
    found = closed_form([costs], load((7000, 8000), (14, 16), clients=48))
    assert found["requests_per_s"][0, 0] == pytest.approx(served.requests_per_s, rel=0.03)
    assert found["tpot_s"][0, 0] == pytest.approx(served.tpot_s, rel=0.08)
    assert found["ttft_s"][0, 0] == pytest.approx(served.ttft_s, rel=0.08)


def test_prompts_in_steps_of_their_own() -> None:
    costs = made(engine="sglang")
    served = serve(costs, prompt=(820, 1024), output=(100, 128), requests=600, clients=32, mixes=False)
    found = closed_form([costs], load((820, 1024), (100, 128), clients=32))
    assert found["tpot_s"][0, 0] == pytest.approx(served.tpot_s, rel=0.05)
    assert found["e2e_s"][0, 0] == pytest.approx(served.e2e_s, rel=0.05)


@pytest.mark.parametrize("utilization", [0.05, 0.3, 0.6])
def test_poisson_arrivals(utilization: float) -> None:
    costs = made()
    lengths = ((410, 512), (205, 256))
    known = closed_form([costs], load(*lengths, rate_per_s=1e-3))
    rate = utilization * 1e-3 / known["utilization"][0, 0]
    served = serve(costs, prompt=lengths[0], output=lengths[1], requests=1500, rate_per_s=rate, seed=1)
    found = closed_form([costs], load(*lengths, rate_per_s=rate))
    assert found["utilization"][0, 0] == pytest.approx(utilization, rel=1e-6)
    assert found["tpot_s"][0, 0] == pytest.approx(served.tpot_s, rel=0.06)
    assert found["ttft_s"][0, 0] == pytest.approx(served.ttft_s, rel=0.2)
    assert found["joules_per_token"][0, 0] == pytest.approx(served.joules_per_token, rel=0.08)


def test_one_client_by_hand() -> None:
    """A prompt of 100 tokens: 6 + 0.401 ms, 2 ns x 5,000, and a host of 2.016 ms; 10 steps more of 6 ms + attention."""
    found = closed_form([made()], OfferedLoad(prompt=100, output=11, clients=1))
    ttft = 6e-3 + 0.401e-3 + 2e-9 * 100 * 50 + 2.016e-3
    step = 6e-3 + 0.401e-3 + 0.2e-3 + 105.5 * 131e3 / 2.5e12 + 1.016e-3
    assert found["ttft_s"][0, 0] == pytest.approx(ttft, rel=2e-3)
    assert found["tpot_s"][0, 0] == pytest.approx(step, rel=2e-3)
    assert found["e2e_s"][0, 0] == pytest.approx(ttft + 10 * step, rel=2e-3)
    assert found["tokens_per_s"][0, 0] == pytest.approx(11 / (ttft + 10 * step), rel=2e-3)
    assert found["usd_per_million_tokens"][0, 0] == pytest.approx(1e6 * 1e-3 * (ttft + 10 * step) / 11, rel=2e-3)


def test_littles_law_holds() -> None:
    clients = np.array([1.0, 7, 50, 300])
    found = closed_form([made()], {"prompt": 500, "output": 100, "clients": clients})
    assert found["requests_per_s"] * found["e2e_s"] == pytest.approx(clients[None], rel=1e-6)
    assert (np.diff(found["tokens_per_s"][0]) > 0).all()
    assert (np.diff(found["tpot_s"][0]) > 0).all()


def test_memory_limits_who_runs() -> None:
    """100,000 tokens hold 100 sequences of 800 + 192 + 8 tokens on average, and others wait."""
    costs = made(pool_bytes=131_072 * 100_000)
    found = closed_form([costs], OfferedLoad(prompt=800, output=384, clients=200))
    assert found["max_concurrency"][0, 0] == 100
    assert found["running"][0, 0] < 100
    assert found["wait_s"][0, 0] > 0
    assert found["requests_per_s"][0, 0] * found["e2e_s"][0, 0] == pytest.approx(200, rel=1e-6)
    assert 0 < found["preempted_share"][0, 0] < 1
    assert closed_form([costs], OfferedLoad(prompt=800, output=384, clients=20))["preempted_share"][0, 0] == 0


def test_a_request_that_does_not_fit_has_no_figures() -> None:
    costs = made(pool_bytes=131_072 * 1000)
    found = closed_form([costs], OfferedLoad(prompt=2000, output=10, clients=1))
    assert found["max_concurrency"][0, 0] == 0
    assert np.isnan(found["tpot_s"][0, 0])


def test_beyond_capacity_times_are_infinite() -> None:
    found = closed_form([made()], [OfferedLoad(prompt=500, output=100, rate_per_s=rate) for rate in (1.0, 1e4)])
    assert found["utilization"][0, 0] < 1 < found["utilization"][0, 1]
    assert np.isfinite(found["ttft_s"][0, 0])
    assert np.isinf(found["ttft_s"][0, 1])
    assert np.isinf(found["e2e_s"][0, 1])
    assert found["requests_per_s"][0, 0] == pytest.approx(1.0)
    assert found["requests_per_s"][0, 1] < 1e4


def test_shares_of_an_objective() -> None:
    loads = [OfferedLoad(prompt=500, output=100, rate_per_s=5.0, ttft_s=limit) for limit in (1e-3, 0.05, 0.2, 10.0)]
    shares = closed_form([made()], loads)["slo_share"][0]
    assert shares[0] == 0
    assert (np.diff(shares) >= 0).all()
    assert shares[-1] == pytest.approx(1.0)
    per_token = [OfferedLoad(prompt=500, output=100, clients=16, tpot_s=limit) for limit in (1e-3, 0.1)]
    assert closed_form([made()], per_token)["slo_share"][0].tolist() == pytest.approx([0.0, 1.0], abs=1e-3)


def test_copies_share_the_load() -> None:
    one = closed_form([made()], OfferedLoad(prompt=500, output=100, clients=8))
    two = closed_form(
        [made(copies=2, devices=2, rent=made().rent.times(2))], OfferedLoad(prompt=500, output=100, clients=16)
    )
    assert two["tpot_s"] == pytest.approx(one["tpot_s"])
    assert two["tokens_per_s"] == pytest.approx(2 * one["tokens_per_s"])
    assert two["tokens_per_s_per_device"] == pytest.approx(one["tokens_per_s_per_device"])
    assert two["usd_per_million_tokens"] == pytest.approx(one["usd_per_million_tokens"])


def test_drafts_divide_the_time_per_token() -> None:
    flat = Table(np.array([1.0, 512.0]), np.array([1e-3, 1e-3]), np.array([0.1, 0.1]))
    found = closed_form(
        [made(draft_tokens=3, tokens_per_step=2.5, drafts=flat)], OfferedLoad(prompt=100, output=101, clients=1)
    )
    step = 6e-3 + 0.404e-3 + 0.2e-3 + 1e-3 + 150.5 * 131e3 / 2.5e12 + 1.016e-3
    assert found["tpot_s"][0, 0] == pytest.approx(step / 2.5, rel=5e-3)


def test_prefixes_in_the_cache_shorten_prompts() -> None:
    plain, cached = (OfferedLoad(prompt=4000, output=50, clients=1, prefix_hit=hit) for hit in (0.0, 0.75))
    found = closed_form([made()], [plain, cached])
    # 4,000 tokens take 80 ms; 1,000 take 20 ms, and attend to 3,000 before them.
    assert found["ttft_s"][0, 0] == pytest.approx(80e-3 + 2e-9 * 4000 * 2000 + 2.417e-3, rel=0.01)
    assert found["ttft_s"][0, 1] == pytest.approx(20e-3 + 2e-9 * 1000 * 3500 + 2.417e-3, rel=0.01)


def test_columns_are_those_of_single_calls() -> None:
    servers = Servers([made(), made(host_step_s=3e-3)])
    clients = np.array([1.0, 30.0, 200.0])
    found = closed_form(servers, {"prompt": 700, "output": np.array([50.0, 100.0, 200.0]), "clients": clients})
    assert set(found) == set(COLUMNS)
    assert found["tpot_s"].shape == (2, 3)
    for row, costs in enumerate(servers.costs):
        for column, number in enumerate(clients):
            one = closed_form([costs], OfferedLoad(prompt=700, output=(50, 100, 200)[column], clients=number))
            assert found["tpot_s"][row, column] == pytest.approx(one["tpot_s"][0, 0], rel=1e-9)


def test_a_workload_is_a_load() -> None:
    workload = Workload(rate_per_s=3, prompt="uniform:100-300", output=20, prefixes=Prefixes(tokens=100, share=0.5))
    found = OfferedLoad.of(workload)
    assert (found.prompt, found.output, found.rate_per_s) == (250, 20, 3)
    assert found.prefix_hit == pytest.approx(50 / 250)
    assert OfferedLoad.of(Workload(clients=8, prompt=10, output=20)).clients == 8
    assert OfferedLoad.of(Workload(arrivals="poisson:180/min", prompt=10, output=20)).rate_per_s == 3
    with pytest.raises(LoadError, match="requests have no tokens; pass prompt and output"):
        OfferedLoad.of(Workload(rate_per_s=3))
    for other in (
        Workload(prompt=10, output=20),
        Workload(rate_per_s=1, prompt=1, output=1, turns=Conversations(mean=2)),
    ):
        with pytest.raises(LoadError):
            OfferedLoad.of(other)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"clients": 1, "rate_per_s": 1}, "pass one of them"),
        ({}, "pass one of them"),
        ({"clients": 1, "prompt": 0}, "prompt is 0"),
        ({"clients": 1, "prompt_square": 10}, "prompt_square is 10, below the square of the mean"),
        ({"rate_per_s": -1}, "rate_per_s is -1"),
        ({"clients": 1, "prefix_hit": 1}, "prefix_hit is 1"),
    ],
)
def test_bad_loads_are_refused(given: dict[str, float], message: str) -> None:
    with pytest.raises(LoadError, match=message):
        OfferedLoad(**{"prompt": 100, "output": 10, **given})


def test_bad_columns_are_refused() -> None:
    with pytest.raises(LoadError, match="expected prompt, output"):
        closed_form([made()], {"prompt": 1, "outputs": 2})
    with pytest.raises(LoadError, match="load 0: rate_per_s is nan; expected a number, or clients"):
        closed_form([made()], {"prompt": 1, "output": 2})
    with pytest.raises(LoadError, match=r"load 1: prompt is 0\.0+; expected 1 to 1e9 tokens"):
        closed_form([made()], {"prompt": [1, 0], "output": 2, "clients": 1})
    with pytest.raises(LoadError, match=r"load 0: output_square is 3\.0+; expected a mean of squares"):
        closed_form([made()], {"prompt": 1, "output": 2, "output_square": 3, "clients": 1})
    with pytest.raises(LoadError, match="no deployments"):
        Servers([])


def test_every_serving_engine_has_rules() -> None:
    others = {"torch", *ic._core.compilers()}
    assert {engine for engine in ic._core.engines() if ic._core.scheduler_rules(engine) is None} == others
