"""Schedulers against a slow reference that visits every sequence and block in every step.

Costs and arrivals are multiples of powers of two, so that sums are exact in any order, and times must be equal.
"""

from __future__ import annotations

from typing import Any

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest
from support import serving_reference as reference
from support.examples import examples

from pyinfercost import _core

Settings = dict[str, Any]


def linear(step: float = 2**-7, sequence: float = 2**-12, context: float = 2**-22, token: float = 2**-13) -> Any:
    """Costs that are linear: a constant, per sequence, per token of context, per token of a prompt."""
    n, m = np.array([[1.0], [2.0]]), np.array([[1.0, 2.0]])
    decode = (sequence - token) * n + context * n * m
    return _core.StepCosts(
        tokens=[1, 2],
        tokens_s=[step + token, step + 2 * token],
        tokens_j=[1, 2],
        decode_sequences=[1, 2],
        decode_contexts=[1, 2],
        decode_s=decode,
        decode_j=decode * 4,
    )


COSTS = linear()
GRID = 2.0**-9


@st.composite
def workloads(draw: st.DrawFn, most: int = 24) -> dict[str, Any]:
    """Requests that crowd a small server, many with common prefixes."""
    count = draw(st.integers(1, most))
    gaps = draw(st.lists(st.sampled_from([0, 0, 1, 3, 20, 200]), min_size=count, max_size=count))
    lengths = st.sampled_from([1, 2, 5, 8, 15, 16, 17, 33, 60])
    families = [draw(st.integers(0, 2)) for _ in range(count)]
    return {
        "arrival_s": np.cumsum(gaps) * GRID,
        "prompt": draw(st.lists(lengths, min_size=count, max_size=count)),
        "output": draw(st.lists(lengths, min_size=count, max_size=count)),
        "priority": draw(st.lists(st.integers(0, 2), min_size=count, max_size=count)),
        # Prompts of a family begin alike for some blocks.
        "shared": [(family, draw(st.integers(0, 5))) for family in families],
    }


def names_of(load: dict[str, Any], ids_tokens: int) -> list[list[int]]:
    """The ids of each request: those of its family, then its own, over the whole of its prompt."""
    found = []
    for i, (family, common) in enumerate(load["shared"]):
        whole = -(-load["prompt"][i] // ids_tokens)
        found.append([1000 * family + at if at < common else 10**6 * (i + 1) + at for at in range(whole)])
    return found


def run(settings: Settings, load: dict[str, Any], costs: Any = COSTS, seed: int = 0, ids_tokens: int = 0) -> Any:
    """Simulate one server."""
    extra: dict[str, Any] = {"priority": load["priority"]}
    if ids_tokens:
        ids = names_of(load, ids_tokens)
        extra |= {
            "prefix_from": np.cumsum([0, *map(len, ids)]),
            "prefix_ids": [each for row in ids for each in row],
            "prefix_tokens": ids_tokens,
        }
    requests = _core.SimulatedRequests(load["arrival_s"], load["prompt"], load["output"], **extra)
    cluster = _core.SimulatedCluster([_core.SimulatedServer(costs=costs, **settings)], seed=seed)
    return _core.simulate([(cluster, requests)])[0]


def expect(settings: Settings, load: dict[str, Any], costs: Any = COSTS, seed: int = 0, ids_tokens: int = 0) -> Any:
    """Serve the same requests with the reference."""
    ids = names_of(load, ids_tokens) if ids_tokens else [[] for _ in load["prompt"]]
    parts = ids_tokens // settings.get("block_tokens", 16) if ids_tokens else 1
    requests = [
        reference.Request(
            number=i,
            arrival_s=float(load["arrival_s"][i]),
            prompt=load["prompt"][i],
            output=load["output"][i],
            priority=load["priority"][i],
            names=[(each, part) for each in ids[i] for part in range(parts)],
        )
        for i in range(len(ids))
    ]
    options = {name: value for name, value in settings.items() if name not in ("engine", "jumps")}
    return reference.serve(costs, settings["engine"], options, requests, seed), requests


def compare(settings: Settings, load: dict[str, Any], **how: Any) -> Any:
    """Compare every time of every request, and totals; return the result."""
    found = run(settings, load, **how)
    server, requests = expect(settings, load, **how)
    outcomes = [_core.SIMULATED_OUTCOMES[each] for each in found.outcome]
    assert outcomes == [request.outcome for request in requests]
    for name in ("scheduled_s", "first_token_s", "finish_s"):
        np.testing.assert_array_equal(getattr(found, name), [getattr(request, name) for request in requests], name)
    np.testing.assert_array_equal(found.preemptions, [request.preemptions for request in requests])
    np.testing.assert_array_equal(found.cached_tokens, [request.cached or 0 for request in requests])
    assert found.servers["steps"][0] == server.steps
    assert found.servers["busy_s"][0] == server.busy_s
    assert found.servers["preemptions"][0] == server.preempted
    return found


def server_settings(engine: str) -> st.SearchStrategy[Settings]:
    """Settings under which everything happens: few blocks, few sequences, small chunks."""
    common: dict[str, st.SearchStrategy[Any]] = {
        "engine": st.just(engine),
        "block_tokens": st.sampled_from([1, 4, 8]) if engine == "sglang" else st.sampled_from([4, 8, 16]),
        "max_sequences": st.sampled_from([1, 2, 4, 8]),
        "max_tokens": st.sampled_from([16, 32, 100]),
        "max_model_tokens": st.sampled_from([0, 0, 70]),
        "prefix_cache": st.booleans(),
        "by_priority": st.sampled_from([False, False, True]),
        "jumps": st.booleans(),
        "prefill_fill": st.sampled_from([1.0, 1.0, 3.5]),
        "drafts": st.just(0),
    }
    own: dict[str, dict[str, st.SearchStrategy[Any]]] = {
        "vllm": {
            "chunk_tokens": st.sampled_from([0, 0, 5, 16]),
            "watermark": st.sampled_from([0, 0.1]),
            "reserve_prompt": st.booleans(),
        },
        "sglang": {
            "chunk_tokens": st.sampled_from([0, 16, 32]),
            "mixed_chunks": st.booleans(),
            "fixed_lengths": st.booleans(),
            "most_reserved": st.sampled_from([4096, 10]),
            "reserve_decay_steps": st.sampled_from([600, 8]),
            "reserve_share": st.sampled_from([0.75, 0.25]),
            "least_reserve_share": st.sampled_from([0.125]),
        },
        "trtllm": {
            "chunk_tokens": st.sampled_from([0, 8]),
            "chunked_prefill": st.booleans(),
            "evicts": st.booleans(),
            "equal_progress": st.booleans(),
        },
    }
    return st.fixed_dictionaries(common | own[engine]).flatmap(
        lambda chosen: st.integers(60, 400).map(
            lambda tokens: {**chosen, "blocks": max(2, tokens // chosen["block_tokens"])}
        )
    )


@pytest.mark.parametrize("engine", ["vllm", "sglang", "trtllm"])
@pytest.mark.parametrize("drafts", [0, 3])
@hypothesis.settings(max_examples=examples(100))
@hypothesis.given(data=st.data())
@pytest.mark.sample(3)
def test_every_request_has_the_times_of_the_reference(engine: str, drafts: int, data: st.DataObject) -> None:
    settings = data.draw(server_settings(engine))
    if drafts:
        settings |= {"drafts": drafts, "acceptance": [0.9, 0.5, 0.5], "max_tokens": max(settings["max_tokens"], 32)}
        settings["chunk_tokens"] = max(settings["chunk_tokens"], 16 if engine == "sglang" else 0)
    ids_tokens = settings["block_tokens"] * data.draw(st.sampled_from([1, 2])) if settings["prefix_cache"] else 0
    compare(settings, data.draw(workloads()), seed=5, ids_tokens=ids_tokens)


def test_a_request_that_paused_before_it_ran_finds_what_is_there_when_it_starts_again() -> None:
    settings = {
        "engine": "trtllm", "block_tokens": 8, "blocks": 21, "max_sequences": 8, "max_tokens": 16, "chunk_tokens": 8,
        "chunked_prefill": True, "equal_progress": True, "evicts": True, "prefix_cache": True,
    }  # fmt: skip
    load = {
        "arrival_s": np.array([1, 4, 7, 10, 11]) * GRID,
        "prompt": [60, 1, 60, 1, 17],
        "output": [15, 2, 8, 33, 1],
        "priority": [0] * 5,
        "shared": [(0, 0), (0, 0), (1, 3), (0, 1), (0, 3)],
    }
    found = compare(settings, load, ids_tokens=16)
    assert found.preemptions.tolist() == [0, 0, 0, 1, 1]
    assert found.cached_tokens.tolist() == [0, 0, 0, 0, 16]


CROWD = {
    "arrival_s": np.arange(40) * GRID,
    "prompt": [30 + 7 * (i % 5) for i in range(40)],
    "output": [20 + 11 * (i % 7) for i in range(40)],
    "priority": [i % 3 for i in range(40)],
    "shared": [(i % 3, i % 5) for i in range(40)],
}


def test_a_crowd_preempts_chunks_and_hits() -> None:
    """The cases that random ones are meant to reach are reached."""
    found = compare(
        {"engine": "vllm", "blocks": 40, "block_tokens": 8, "max_sequences": 8, "max_tokens": 24, "prefix_cache": True},
        CROWD,
        ids_tokens=8,
    )
    assert found.preemptions.sum() > 10
    assert found.servers["cached_tokens"][0] > 100
    assert found.servers["runs"][0] < found.servers["steps"][0]
    assert found.servers["generated_tokens"][0] == sum(CROWD["output"])


def test_sglang_retracts_the_requests_with_the_fewest_tokens() -> None:
    found = compare(
        {"engine": "sglang", "blocks": 250, "block_tokens": 1, "max_sequences": 8, "most_reserved": 1},
        CROWD,
    )
    assert found.preemptions.sum() > 5


def test_trtllm_evicts_or_not() -> None:
    settings = {"engine": "trtllm", "blocks": 40, "block_tokens": 8, "max_sequences": 8, "max_tokens": 100}
    assert compare({**settings, "evicts": True}, CROWD).preemptions.sum() > 5
    assert compare({**settings, "evicts": False}, CROWD).preemptions.sum() == 0


@pytest.mark.parametrize("engine", ["vllm", "sglang", "trtllm"])
def test_jumps_equal_single_steps(engine: str) -> None:
    """Also with tables whose sums are not exact, and with a host that overlaps."""
    rng = np.random.default_rng(3)
    costs = _core.StepCosts(
        tokens=[1, 64, 512],
        tokens_s=[0.011, 0.013, 0.05],
        tokens_j=[1, 2, 9],
        decode_sequences=[1, 8, 32],
        decode_contexts=[1, 100, 1000],
        decode_s=[[1e-4, 2e-4, 9e-4], [3e-4, 9e-4, 7e-3], [1e-3, 4e-3, 3e-2]],
        decode_j=[[1e-4, 2e-4, 9e-4], [3e-4, 9e-4, 7e-3], [1e-3, 4e-3, 3e-2]],
        host_step_s=0.012,
        host_sequence_s=1e-4,
        overlaps_host=True,
        idle_w=50,
    )
    load = {
        "arrival_s": np.cumsum(rng.exponential(0.3, 400)),
        "prompt": rng.integers(1, 300, 400).tolist(),
        "output": rng.integers(1, 300, 400).tolist(),
        "priority": [0] * 400,
        "shared": [(0, 0)] * 400,
    }
    settings = {"engine": engine, "blocks": 3000, "block_tokens": 1 if engine == "sglang" else 16, "max_sequences": 32}
    single = run({**settings, "jumps": False}, load, costs)
    jumps = run(settings, load, costs)
    assert jumps.servers["runs"][0] < 0.5 * single.servers["runs"][0] == 0.5 * single.servers["steps"][0]
    for name in ("scheduled_s", "first_token_s", "finish_s", "preemptions"):
        np.testing.assert_allclose(getattr(jumps, name), getattr(single, name), rtol=1e-11)
    for name in ("busy_s", "energy_j", "steps", "generated_tokens", "prompt_tokens", "most_blocks"):
        np.testing.assert_allclose(jumps.servers[name], single.servers[name], rtol=1e-11)
