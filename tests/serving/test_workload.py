"""Workloads: the same requests each time, in chunks, with prefixes and turns that share blocks."""

from __future__ import annotations

import numpy as np
import pytest

import pyinfercost as ic
from pyinfercost.errors import InputError
from pyinfercost.serving.conversations import Conversations
from pyinfercost.serving.requests import CHUNK, Requests, WorkloadError
from pyinfercost.serving.workload import Prefixes, Workload


def equal(one: Requests, other: Requests) -> bool:
    names = ("arrival_s", "prompt_tokens", "output_tokens", "conversation", "turn", "prefix", "prefix_tokens")
    return all(np.array_equal(getattr(one, name), getattr(other, name)) for name in names)


def test_chunks_are_the_same_each_time_and_end_at_the_number_of_requests() -> None:
    workload = Workload(rate_per_s=5, prompt="lognormal:mean=100,cv=1", output=20, requests=CHUNK + 10)
    sizes = [len(chunk) for chunk in workload.chunks()]
    assert sizes == [CHUNK, 10]
    assert equal(workload.all(), workload.all())
    fewer = Workload(rate_per_s=5, prompt="lognormal:mean=100,cv=1", output=20, requests=100).all()
    assert equal(fewer, workload.all().part(slice(0, 100)))


def test_seeds_differ() -> None:
    one, other = (Workload(rate_per_s=5, prompt="uniform:1-100", output=20, seed=seed).all() for seed in (0, 1))
    assert not np.array_equal(one.prompt_tokens, other.prompt_tokens)
    assert not np.array_equal(one.arrival_s, other.arrival_s)


def test_arrivals_ascend_over_chunks() -> None:
    for arrivals in (
        "poisson",
        "gamma:cv=4",
        "bursts:size=8",
        "diurnal:peak=1.9,period_s=600",
        "mmpp:burst=3,share=0.2,length_s=2",
    ):
        found = Workload(rate_per_s=50, arrivals=arrivals, prompt=1, output=1, requests=3 * CHUNK).all()
        assert np.diff(found.arrival_s).min() >= 0
        assert len(found) / found.arrival_s[-1] == pytest.approx(50, rel=0.05)


def test_duration_ends_the_workload() -> None:
    found = Workload(rate_per_s=100, prompt=1, output=1, duration_s=20).all()
    assert found.arrival_s[-1] <= 20
    assert len(found) == pytest.approx(2000, abs=5 * 2000**0.5)


def test_closed_loop_has_think_times_and_no_arrivals() -> None:
    found = Workload(clients=4, arrivals="closed:think_s=2", prompt=1, output=1, requests=10).all()
    assert found.think_s is not None
    assert found.think_s.tolist() == [2.0] * 10
    assert not found.arrival_s.any()


def test_prefixes_add_tokens_and_share_blocks() -> None:
    prefixes = Prefixes(tokens=100, groups=3, share=0.5, skew=1.0)
    found = Workload(rate_per_s=1, prompt=64, output=1, prefixes=prefixes, requests=30_000).all()
    assert found.prefix is not None
    with_prefix = found.prefix >= 0
    assert with_prefix.mean() == pytest.approx(0.5, abs=0.02)
    assert set(found.prompt_tokens[with_prefix].tolist()) == {164}
    assert set(found.prompt_tokens[~with_prefix].tolist()) == {64}
    # 1 : 1/2 : 1/3
    shares = np.bincount(found.prefix[with_prefix]) / with_prefix.sum()
    assert shares == pytest.approx([6 / 11, 3 / 11, 2 / 11], abs=0.02)
    offsets, hashes = found.block_hashes(16)
    # 100 tokens have 6 whole blocks of 16; the seventh has tokens of the request, and nothing else is shared.
    assert np.diff(offsets).tolist() == np.where(with_prefix, 6, 0).tolist()
    assert len(np.unique(hashes)) == 18
    first = np.flatnonzero(found.prefix == 2)[:2]
    one, other = (hashes[offsets[place] : offsets[place + 1]] for place in first)
    assert one.tolist() == other.tolist()


def test_turns_carry_the_conversation() -> None:
    workload = Workload(
        rate_per_s=2,
        prompt="uniform:20-60",
        output="uniform:5-15",
        turns=Conversations(mean=4, gap_s=30),
        requests=40_000,
        seed=3,
    )
    found = workload.all()
    assert found.conversation is not None
    assert found.turn is not None
    assert np.diff(found.arrival_s).min() >= 0
    order = np.lexsort((found.turn, found.conversation))
    talk, turn = found.conversation[order], found.turn[order]
    prompt, output = found.prompt_tokens[order], found.output_tokens[order]
    follows = talk[1:] == talk[:-1]
    assert (turn[1:][follows] == turn[:-1][follows] + 1).all()
    added = prompt[1:] - prompt[:-1] - output[:-1]
    assert added[follows].min() >= 20
    assert added[follows].max() <= 60
    # Conversations that began early are whole.
    early = found.conversation < 5_000
    turns = np.bincount(found.conversation[early])
    assert turns.mean() == pytest.approx(4, rel=0.05)
    gaps = np.diff(found.arrival_s[order])[follows]
    assert gaps.mean() == pytest.approx(30, rel=0.05)
    assert gaps.min() > 0


def test_blocks_of_a_turn_begin_with_those_of_the_turn_before() -> None:
    found = Workload(
        rate_per_s=1,
        prompt=100,
        output=30,
        turns=Conversations(mean=5),
        prefixes=Prefixes(tokens=48, groups=2),
        requests=5_000,
    ).all()
    assert found.conversation is not None
    offsets, hashes = found.block_hashes(16)
    places = np.flatnonzero(found.conversation == found.conversation[np.flatnonzero(found.turn == 2)[0]])[:3]
    first, second, third = (hashes[offsets[place] : offsets[place + 1]].tolist() for place in places)
    assert len(first) == (100 + 48) // 16
    assert second[: len(first)] == first
    assert third[: len(second)] == second
    other = np.flatnonzero(found.conversation != found.conversation[places[0]])[0]
    theirs = hashes[offsets[other] : offsets[other + 1]].tolist()
    assert set(first[3:]).isdisjoint(theirs)  # 48 tokens are three blocks


def test_conversations_end_before_they_are_too_long() -> None:
    turns = Conversations(mean=50, gap_s=1, most_tokens=2_000)
    found = Workload(rate_per_s=1, prompt=100, output=30, turns=turns, requests=20_000).all()
    assert int((found.prompt_tokens + found.output_tokens).max()) == 15 * 130


def test_parts_keep_hashes_of_a_trace() -> None:
    hashes = Requests(
        np.arange(3.0),
        np.full(3, 1024, np.int32),
        np.ones(3, np.int32),
        hash_offsets=np.array([0, 2, 4, 6]),
        hashes=np.array([1, 2, 1, 3, 1, 2]),
        hash_tokens=512,
    )
    part = hashes.part(np.array([2, 0]))
    assert part.hashes is not None
    assert part.hashes.tolist() == [1, 2, 1, 2]
    offsets, found = hashes.block_hashes(256)
    assert offsets.tolist() == [0, 4, 8, 12]
    assert found[:2].tolist() == found[4:6].tolist()
    assert found[2:4].tolist() != found[6:8].tolist()
    assert found[:4].tolist() == found[8:].tolist()
    _, whole = hashes.block_hashes(1024)
    assert whole.tolist() == [2, 3, 2]
    with pytest.raises(WorkloadError, match="hashes of this trace are of 512 tokens"):
        hashes.block_hashes(600)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"prompt": 1}, "output is not given"),
        ({"prompt": 1, "output": 0}, "output is 0"),
        ({"prompt": 1, "output": 1, "requests": 0}, "requests is 0"),
        ({"prompt": 1, "output": 1, "duration_s": 3}, "no times of their own"),
        ({"prompt": 1, "output": 1, "turns": Conversations(mean=2)}, "turns go with a rate"),
        ({"prompt": 1, "output": 1, "turns": 3}, "turns is 3"),
        ({"prompt": 1, "output": 1, "trace": "x.csv"}, "expected the result of read_trace"),
        ({"prompt": 1, "output": 1, "rate_per_s": -1}, "rate_per_s is -1"),
    ],
)
def test_bad_workloads_are_refused(given: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Workload(**given)  # type: ignore[arg-type]


def test_replays_have_the_requests_of_a_run() -> None:
    replay = ic.serving.RecordedRequests.of([3.0, 1.0, 2.0], [10, 20, 30], [1, 2, 3])
    requests = ic.Workload(trace=replay).all()
    assert requests.arrival_s.tolist() == [0.0, 1.0, 2.0]
    assert requests.prompt_tokens.tolist() == [20, 30, 10]
    assert ic.Workload(trace=replay.at_rate(2.0)).all().arrival_s.tolist() == [0.0, 0.5, 1.0]
    for wrong in (([0.0, 1.0], [1], [1, 1]), ([], [], []), ([0.0], [0], [1]), ([float("nan")], [1], [1])):
        with pytest.raises(WorkloadError):
            ic.serving.RecordedRequests.of(*wrong)
    with pytest.raises(WorkloadError, match="arrive at once"):
        ic.serving.RecordedRequests.of([1.0, 1.0], [1, 1], [1, 1]).at_rate(1.0)
