"""Routers, transfers, clients, conservation, refusals and interruption of simulated servers."""

from __future__ import annotations

import os
import signal
import threading
from typing import Any

import numpy as np
import pytest

from pyinfercost import _core

STEP, SEQUENCE, TOKEN = 2**-7, 2**-12, 2**-13
COSTS = _core.StepCosts(
    tokens=[1, 2],
    tokens_s=[STEP + TOKEN, STEP + 2 * TOKEN],
    tokens_j=[1, 2],
    decode_sequences=[1, 2],
    decode_contexts=[1, 2],
    decode_s=[[SEQUENCE - TOKEN] * 2, [2 * (SEQUENCE - TOKEN)] * 2],
    decode_j=[[0, 0], [0, 0]],
)
"""A step takes STEP, SEQUENCE for each sequence that decodes, and TOKEN for each token of a prompt."""

OUTCOMES = _core.SIMULATED_OUTCOMES


COLUMNS = (
    *("queued_s", "scheduled_s", "first_token_s", "finish_s", "tokens", "cached_tokens", "preemptions"),
    *("server", "outcome"),
)


def server(**settings: Any) -> Any:
    return _core.SimulatedServer(**{"costs": COSTS, "engine": "vllm", "blocks": 1000, "block_tokens": 8, **settings})


def simulate(servers: list[Any], arrival: Any, prompt: Any, output: Any, *, ids: Any = None, **cluster: Any) -> Any:
    extra = {}
    if ids is not None:
        extra = {
            "prefix_from": np.cumsum([0, *map(len, ids)]),
            "prefix_ids": [each for row in ids for each in row],
            "prefix_tokens": 8,
        }
    requests = _core.SimulatedRequests(arrival, prompt, output, **extra)
    return _core.simulate([(_core.SimulatedCluster(servers, **cluster), requests)])[0]


def crowd(count: int = 3000, seed: int = 1, rate: float = 60.0) -> tuple[Any, Any, Any]:
    rng = np.random.default_rng(seed)
    arrival = np.floor(np.cumsum(rng.exponential(1 / rate, count)) * 2**20) / 2**20
    return arrival, rng.integers(1, 100, count), rng.integers(1, 60, count)


@pytest.mark.parametrize("engine", ["vllm", "sglang", "trtllm"])
@pytest.mark.parametrize("routing", ["round_robin", "least_loaded", "prefix_aware"])
def test_nothing_is_lost(engine: str, routing: str) -> None:
    """Arrivals leave once, tokens are generated once, and L = lambda W holds exactly, as all times are exact sums."""
    arrival, prompt, output = crowd()
    servers = [server(engine=engine, blocks=100, max_sequences=16) for _ in range(3)]
    found = simulate(servers, arrival, prompt, output, routing=routing)
    assert {OUTCOMES[each] for each in found.outcome} == {"finished"}
    assert found.servers["generated_tokens"].sum() == output.sum()
    assert found.request_seconds == np.sum(found.finish_s - found.queued_s)
    for earlier, later in (
        ("queued_s", "scheduled_s"),
        ("scheduled_s", "first_token_s"),
        ("first_token_s", "finish_s"),
    ):
        assert (getattr(found, earlier) <= getattr(found, later)).all()
    assert found.servers["busy_s"].max() <= found.end_s
    assert found.servers["prompt_tokens"].sum() >= prompt.sum()
    assert found.servers["most_blocks"].max() <= 100
    assert set(found.server) == {0, 1, 2}


def test_round_robin_and_least_loaded_choose_as_they_say() -> None:
    # The first request is long; of the others each has ended before the next arrives.
    arrival, prompt, output = [0, 0.5, 1, 1.5], [8] * 4, [400, 2, 2, 2]
    found = simulate([server(), server()], arrival, prompt, output, routing="round_robin")
    assert found.server.tolist() == [0, 1, 0, 1]
    found = simulate([server(), server()], arrival, prompt, output, routing="least_loaded")
    assert found.server.tolist() == [0, 1, 1, 1]


def test_prefix_aware_routing_follows_the_cache() -> None:
    ids = [[1, 2, 3], [4, 5, 6], [1, 2, 7], [4, 5, 8], [1, 9, 9]]
    servers = [server(prefix_cache=True), server(prefix_cache=True)]
    # The first two arrive together, so that the second goes to the empty server.
    found = simulate(servers, [0, 0, 1, 2, 3], [24] * 5, [2] * 5, ids=ids, routing="prefix_aware")
    # 16 of 24 tokens match, which is more than half; then 8 of 24, which is less: the least loaded server.
    assert found.server.tolist() == [0, 1, 0, 1, 0]
    assert found.cached_tokens.tolist() == [0, 0, 16, 16, 8]


def test_a_transfer_delays_the_first_token_and_prompts_stay_apart() -> None:
    cluster = {"prefill_servers": 1, "bytes_per_token": 1024.0, "byte_per_s": 2**20, "handshake_s": 0.25}
    found = simulate([server(), server()], [0, 0], [64, 64], [5, 1], **cluster)
    prefill = STEP + 128 * TOKEN  # both prompts in one step
    assert found.finish_s[1] == found.first_token_s[1] == prefill  # one token needs no transfer
    first = prefill + 64 * 1024 / 2**20 + 0.25
    assert found.first_token_s[0] == first
    # The step of decoding costs one token of the table beside the sequence.
    assert found.finish_s[0] == first + 4 * (STEP + SEQUENCE)
    assert found.servers["prompt_tokens"].tolist() == [128, 0]
    assert found.server.tolist() == [1, 0]
    # Transfers of one server queue; layer by layer they run beside the prefill.
    both = simulate([server(), server()], [0, 0], [64, 64], [5, 5], **cluster)
    assert both.first_token_s[1] - both.first_token_s[0] == 64 * 1024 / 2**20
    layers = simulate([server(), server()], [0], [64], [5], **cluster, layerwise=True)
    assert layers.first_token_s[0] == STEP + 64 * TOKEN + (64 * 1024 / 2**20 - STEP - 64 * TOKEN) + 0.25


@pytest.mark.parametrize("engine", ["vllm", "sglang", "trtllm"])
def test_divided_servers_lose_nothing(engine: str) -> None:
    arrival, prompt, output = crowd(rate=20)
    servers = [server(engine=engine, blocks=200, max_sequences=16) for _ in range(4)]
    cluster = {"prefill_servers": 2, "bytes_per_token": 1e5, "byte_per_s": 1e9, "handshake_s": 0.01}
    found = simulate(servers, arrival, prompt, output, routing="least_loaded", **cluster)
    assert {OUTCOMES[each] for each in found.outcome} == {"finished"}
    assert found.servers["generated_tokens"].sum() == output.sum()
    np.testing.assert_allclose(found.request_seconds, np.sum(found.finish_s - found.queued_s), rtol=1e-12)


def test_a_closed_loop_keeps_its_concurrency() -> None:
    count, clients, think = 200, 8, 0.5
    found = simulate([server()], np.zeros(count), [16] * count, [20] * count, max_concurrency=clients, think_s=think)
    sent, seen = found.queued_s, found.finish_s
    assert (sent[:clients] == 0).all()
    # Request i is sent when the (i - clients)-th place is free again.
    np.testing.assert_array_equal(sent[clients:], np.sort(seen)[: count - clients] + think)


def test_a_client_that_polls_sees_tokens_later() -> None:
    found = simulate([server()], [0.25], [16], [20], poll_s=0.125)
    exact = simulate([server()], [0.25], [16], [20])
    for name in ("first_token_s", "finish_s"):
        after = (getattr(exact, name) - 0.25) / 0.125
        np.testing.assert_array_equal(getattr(found, name), 0.25 + np.ceil(after) * 0.125)


def test_a_buffered_first_token_waits_for_others() -> None:
    found = simulate([server(stream_interval=5, first_token_buffered=True)], [0], [16], [20])
    plain = simulate([server(stream_interval=5)], [0], [16], [20])
    assert found.first_token_s[0] - plain.first_token_s[0] == pytest.approx(4 * (STEP + SEQUENCE), rel=1e-12)
    assert found.finish_s[0] == plain.finish_s[0]


def test_clients_give_up() -> None:
    # One sequence at a time; each takes about 1.6 s.
    arguments = ([server(max_sequences=1)], [0, 0, 0], [16] * 3, [200] * 3)
    found = simulate(*arguments, timeout_s=2.0)
    assert [OUTCOMES[each] for each in found.outcome] == ["finished", "timed_out", "timed_out"]
    assert found.finish_s[1:].tolist() == [2.0, 2.0]
    assert found.scheduled_s[1] == found.finish_s[0]
    found = simulate(*arguments, queue_timeout_s=2.0)
    assert [OUTCOMES[each] for each in found.outcome] == ["finished", "finished", "timed_out"]
    # The place of one that gives up is free at the next step.
    found = simulate([server(max_sequences=1)], [0, 0.25], [16] * 2, [2000, 3], timeout_s=1.0)
    assert found.scheduled_s[1] == pytest.approx(1.0, abs=STEP + SEQUENCE)
    assert OUTCOMES[found.outcome[1]] == "finished"


def test_requests_that_cannot_be_served_say_why() -> None:
    small = {"blocks": 5, "block_tokens": 8, "max_model_tokens": 40, "max_tokens": 40, "max_sequences": 4}
    #            fits, too long, cut at 40, its cache of 32 + 3 - 1 tokens exceeds 4 blocks
    found = simulate([server(**small)], [0] * 4, [8, 40, 25, 32], [8, 1, 100, 3])
    names = [OUTCOMES[each] for each in found.outcome]
    assert names == ["finished", "too_long", "too_large", "too_large"]
    large = server(**{**small, "blocks": 100})
    found = simulate([large], [0], [30], [100])
    assert OUTCOMES[found.outcome[0]] == "truncated"
    assert found.servers["generated_tokens"][0] == 10
    whole = server(engine="trtllm", chunked_prefill=False, max_tokens=64, max_sequences=4)
    found = simulate([whole], [0, 0], [64, 65], [2, 2])
    assert [OUTCOMES[each] for each in found.outcome] == ["finished", "too_many_tokens"]
    assert np.isnan(found.finish_s[1])


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        (([0, 2, 1], [1] * 3, [1] * 3), "request 2 arrives at 1.0* s, before the one ahead"),
        (([0, float("nan")], [1] * 2, [1] * 2), "request 1 arrives at nan"),
        (([-1], [1], [1]), "request 0 arrives at -1"),
        (([0], [0], [1]), "request 0 has a prompt of 0 tokens"),
        (([0], [1], [2**40]), "request 0 has an output of -1 tokens"),
        (([0, 1], [1], [1, 1]), "prompt has 1 entries; expected 2"),
    ],
)
def test_bad_requests_are_refused(arrays: Any, message: str) -> None:
    with pytest.raises(_core.InputError, match=message):
        simulate([server()], *arrays)


def test_lengths_that_are_no_whole_numbers_are_refused() -> None:
    with pytest.raises(_core.InputTypeError, match="prompt has the type float64; expected whole numbers"):
        _core.SimulatedRequests([0], [1.5], [1])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"engine": "tgi"}, "expected one of vllm, sglang, trtllm"),
        ({"blocks": 1}, "blocks is 1"),
        ({"max_tokens": 100, "max_sequences": 200}, "raise max_tokens or lower max_sequences"),
        ({"drafts": 2}, "acceptance has 0 values; expected 2"),
        ({"chunked_prefill": False}, "as vLLM demands"),
        ({"watermark": 1.5}, "watermark is 1.5"),
        ({"engine": "sglang", "chunk_tokens": 4}, "at least a page of 8 tokens"),
    ],
)
def test_bad_settings_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(_core.InputError, match=message):
        server(**settings)


def test_bad_clusters_are_refused() -> None:
    for arguments, message in (
        ({"servers": []}, "there are 0 servers"),
        ({"servers": [server()], "prefill_servers": 1}, "prefill_servers is 1"),
        ({"servers": [server()], "think_s": -1.0}, "think_s is -1"),
        ({"servers": [server()], "routing": "random"}, "expected one of round_robin"),
    ):
        with pytest.raises(_core.InputError, match=message):
            _core.SimulatedCluster(**arguments)
    with pytest.raises(_core.InputError, match="expected a multiple of block_tokens, 16"):
        simulate([server(prefix_cache=True, block_tokens=16)], [0], [8], [1], ids=[[1]])


def jobs(count: int) -> list[Any]:
    made = []
    for seed in range(count):
        settings = {"blocks": 120, "max_sequences": 16, "drafts": seed % 3, "acceptance": [0.7] * (seed % 3)}
        servers = [server(**settings), server(**settings)]
        cluster = _core.SimulatedCluster(servers, routing="least_loaded", seed=seed)
        made.append((cluster, _core.SimulatedRequests(*crowd(500, seed))))
    return made


def test_results_do_not_depend_on_threads() -> None:
    one, four = _core.simulate(jobs(12)), _core.simulate(jobs(12), threads=4)
    for left, right in zip(one, four, strict=True):
        for name in COLUMNS:
            np.testing.assert_array_equal(getattr(left, name), getattr(right, name))
        assert left.figures()["requests"] == right.figures()["requests"] == 500
        np.testing.assert_equal(left.figures(), right.figures())
    assert any((left.finish_s != one[0].finish_s).any() for left in one[1:])


def test_a_stream_gives_what_arrays_give() -> None:
    arrival, prompt, output = crowd(1000)
    whole = simulate([server()], arrival, prompt, output)
    pieces = iter(range(0, 1000, 64))

    def following() -> Any:
        first = next(pieces, None)
        if first is None:
            return None
        part = slice(first, first + 64)
        return _core.SimulatedRequests(arrival[part], prompt[part], output[part])

    stream = _core.RequestStream(1000, following)
    streamed = _core.simulate([(_core.SimulatedCluster([server()]), stream)])[0]
    for name in ("queued_s", "first_token_s", "finish_s"):
        np.testing.assert_array_equal(getattr(streamed, name), getattr(whole, name))


@pytest.mark.parametrize("most", [10, 63])
def test_a_stream_that_is_longer_than_announced_is_refused(most: int) -> None:
    stream = _core.RequestStream(most, lambda: _core.SimulatedRequests(np.zeros(64), [1] * 64, [1] * 64))
    with pytest.raises(_core.InputError, match="as announced"):
        _core.simulate([(_core.SimulatedCluster([server()]), stream)])


def test_a_stream_that_gives_something_else_or_fails_says_so() -> None:
    cluster = _core.SimulatedCluster([server()])
    with pytest.raises(_core.InputTypeError, match="gave a list; expected Requests"):
        _core.simulate([(cluster, _core.RequestStream(10, lambda: [1]))])

    def failing() -> Any:
        raise ZeroDivisionError

    for threads in (1, 2):
        with pytest.raises(ZeroDivisionError):
            _core.simulate([(cluster, _core.RequestStream(10, failing))] * 2, threads=threads)


def test_the_timeline_is_bounded_and_right() -> None:
    arrival, prompt, output = crowd(2000)
    found = simulate([server(max_sequences=16), server(max_sequences=16)], arrival, prompt, output, samples=100)
    timeline = found.timeline
    samples = len(timeline["running"])
    assert 100 <= samples <= 200
    times = np.arange(samples) * timeline["interval_s"]
    assert times[-1] < found.end_s <= times[-1] + timeline["interval_s"]
    for at in (7, 50, samples - 1):
        inside = (found.queued_s < times[at]) & (found.finish_s >= times[at])
        assert timeline["running"][at].sum() + timeline["waiting"][at].sum() == inside.sum()
        for each in (0, 1):
            here = inside & (found.server == each)
            assert timeline["running"][at, each] + timeline["waiting"][at, each] == here.sum()
            assert timeline["blocks"][at, each] <= 999
            assert (timeline["blocks"][at, each] > 0) == (timeline["running"][at, each] > 0)


def test_ctrl_c_leaves_what_was_finished() -> None:
    """A stream without an end; the signal comes while requests are served."""
    pieces = 0

    def endless() -> Any:
        nonlocal pieces
        pieces += 1
        if pieces == 3:
            threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start()
        return _core.SimulatedRequests(np.full(100, pieces * 20.0), [16] * 100, [20] * 100)

    stream = _core.RequestStream(5_000_000, endless)
    found = _core.simulate([(_core.SimulatedCluster([server()]), stream)])[0]
    assert pieces < 50_000
    assert found.interrupted
    outcomes = np.asarray(OUTCOMES)[found.outcome]
    assert set(outcomes) <= {"finished", "unfinished"}
    assert (outcomes == "finished").sum() > 100
    assert np.isfinite(found.finish_s[outcomes == "finished"]).all()


@pytest.mark.parametrize("count", [200, 6000])  # few values are sorted by comparisons, more by their digits
def test_figures_have_their_definitions(count: int) -> None:
    arrival, prompt, output = crowd(count)
    output[:5] = 1
    found = simulate([server(blocks=200), server(blocks=200)], arrival, prompt, output, routing="round_robin")
    limits = [(name, float(np.nanmedian(found.times(name)))) for name in ("ttft_s", "tpot_s")]
    figures = found.figures(client_s=0.01, usd_per_h=7.2, idle_w=50.0, blocks=200, limits=limits)
    tokens = np.maximum(output - 1, 0)
    expected = {
        "ttft_s": found.first_token_s - found.queued_s + 0.01,
        "e2e_s": found.finish_s - found.queued_s + 0.01,
        "queue_s": found.scheduled_s - found.queued_s,
        "tpot_s": (found.finish_s - found.first_token_s) / np.where(tokens > 0, tokens, np.nan),
    }
    for name, times in expected.items():
        np.testing.assert_array_equal(found.times(name, 0.0 if name == "queue_s" else 0.01), times)
        known = np.sort(times[np.isfinite(times)])
        distribution = figures["latencies"][name]
        np.testing.assert_array_equal(distribution.pop("sorted_s"), known)
        statistics = (known.mean(), *np.percentile(known, [50, 90, 99]), known[-1])
        assert distribution == dict(zip(("mean", "p50", "p90", "p99", "max"), statistics, strict=True))
    within = (expected["ttft_s"] < limits[0][1]) & ~(expected["tpot_s"] >= limits[1][1])
    assert 0 < figures["within"] == within.sum() < count
    busy_s, generated = found.servers["busy_s"].sum(), output.sum()
    assert figures["generated_tokens"] == generated
    assert figures["tokens_per_s"] == generated / found.end_s
    assert figures["utilization"] == pytest.approx(busy_s / (2 * found.end_s), rel=1e-15)
    assert figures["usd_per_million_tokens"] == pytest.approx(7.2 * found.end_s / 3600.0 / generated * 1e6, rel=1e-15)
    joules = found.servers["energy_j"].sum() + 50.0 * (2 * found.end_s - busy_s)
    assert figures["joules_per_token"] == pytest.approx(joules / generated, rel=1e-12)
    assert figures["kv_use_peak"] == found.servers["most_blocks"].max() / 200
    assert figures["timeline"]["running"] == found.timeline["running"].sum(axis=1).tolist()


def test_an_answer_that_was_cut_has_the_tokens_that_were_left() -> None:
    found = simulate([server(max_model_tokens=100)], [0.0, 0.0], [40, 40], [10, 500])
    assert found.tokens.tolist() == [10, 60]
    assert found.figures()["outcomes"]["truncated"] == 1
    assert found.figures()["usd"] is None is found.figures()["joules_per_token"]


def test_an_unknown_time_is_refused() -> None:
    found = simulate([server()], [0.0], [40], [10])
    with pytest.raises(_core.InputError, match="time of requests is 'itl_s'; expected ttft_s, tpot_s"):
        found.times("itl_s")
