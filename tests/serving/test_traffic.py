"""Traffic of one argument, and changes of workloads: scaled, thinned, cut, repeated."""

from __future__ import annotations

import pickle
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.examples import examples

import pyinfercost as ic
from pyinfercost.errors import InputError, MissingFileError
from pyinfercost.serving.arrivals import GammaArrivals
from pyinfercost.serving.requests import CHUNK, Requests, joined
from pyinfercost.serving.rules import Between, Faster, Repeated, Resampled, Rule, Thinned
from pyinfercost.serving.traffic import open_trace, parse_traffic
from pyinfercost.serving.workload import Workload

AZURE = """TIMESTAMP,ContextTokens,GeneratedTokens
2023-11-16 18:17:03.0,4808,10
2023-11-16 18:17:04.0,3180,8
2023-11-16 18:17:06.0,110,27
2023-11-16 18:17:09.0,7433,14
"""
TOKENS = {"prompt": 100, "output": 10}


@pytest.fixture
def azure(tmp_path: Path) -> Path:
    path = tmp_path / "trace.csv"
    path.write_text(AZURE, encoding="utf-8")
    return path


@pytest.fixture
def functions(tmp_path: Path) -> Path:
    path = tmp_path / "x_inv.csv"
    path.write_text("HashFunction,HashOwner,HashApp,1,2\naaaaaaaa1,o,p,5,0\nbbbbbbbb2,o,p,0,7\n", encoding="utf-8")
    return path


# ---- one argument ----------------------------------------------------------------------------------------------------


def test_texts_of_generators() -> None:
    found = parse_traffic("poisson:20", duration_s=600, **TOKENS)
    assert found.process == GammaArrivals(rate_per_s=20.0)
    requests = found.all()
    assert len(requests) == pytest.approx(12_000, abs=5 * 12_000**0.5)
    assert set(requests.prompt_tokens.tolist()) == {100}
    assert len(parse_traffic("diurnal:mean=2,peak=3,growth=10%/month", requests=500).all()) == 500


def test_requests_of_other_models_have_no_tokens() -> None:
    found = parse_traffic("poisson:20", requests=10).all()
    assert not found.prompt_tokens.any()
    assert not found.output_tokens.any()
    with pytest.raises(InputError, match="output is not given"):
        parse_traffic("poisson:20", requests=10, prompt=4)


def test_files_and_formats(azure: Path) -> None:
    for text in (str(azure), f"azure:{azure}", azure):
        found = parse_traffic(text).all()
        assert found.arrival_s.tolist() == [0.0, 1.0, 3.0, 6.0]
        assert found.output_tokens.tolist() == [10, 8, 27, 14]
    assert len(parse_traffic(str(azure), requests=2).all()) == 2
    assert len(parse_traffic(str(azure), duration_s=3).all()) == 3


def test_functions_after_a_number_sign(functions: Path, tmp_path: Path) -> None:
    assert len(parse_traffic(f"azure-functions:{functions}#2").all()) == 7
    assert len(parse_traffic(f"{functions}#aaaaaaaa").all()) == 5
    drawn = parse_traffic(str(functions), prompt="uniform:5-9", output=3).all()
    assert len(drawn) == 12
    assert set(drawn.prompt_tokens.tolist()) <= {5, 6, 7, 8, 9}
    odd = tmp_path / "a#1.csv"
    odd.write_text(AZURE, encoding="utf-8")
    assert open_trace(odd).format == "azure"


def test_objects_are_taken(azure: Path) -> None:
    workload = Workload(rate_per_s=3, requests=5)
    assert parse_traffic(workload) is workload
    replay = ic.serving.RecordedRequests.of([0.0, 1.0], [1, 1], [1, 1])
    assert len(parse_traffic(replay).all()) == 2
    assert len(parse_traffic(ic.read_trace(azure)).all()) == 4


def test_parts_of_traffic(azure: Path) -> None:
    """Requests at 0, 1, 3 and 6 s: from 1 to 6 s are two, at 0 and 2 s."""
    assert parse_traffic(str(azure), start_s=1, end_s=6).all().arrival_s.tolist() == [0.0, 2.0]
    assert parse_traffic(str(azure), start_s=1).all().arrival_s.tolist() == [0.0, 2.0, 5.0]
    # A generator goes on to the end of the part; its second day is that of the whole.
    whole = parse_traffic("gamma:0.1,cv=2", duration_s=3 * 86_400).all()
    day = parse_traffic("gamma:0.1,cv=2", start_s=86_400, end_s=2 * 86_400).all()
    inside = (whole.arrival_s >= 86_400) & (whole.arrival_s < 2 * 86_400)
    assert np.array_equal(day.arrival_s, whole.arrival_s[inside] - 86_400)


@pytest.mark.parametrize(
    ("value", "given", "message"),
    [
        (3, {}, "traffic is 3; expected a text such as 'poisson:20'"),
        ("at-once", {"requests": 3}, "traffic is 'at-once', without times"),
        ("closed:4", {"requests": 3}, "traffic is 'closed:4', without times"),
        ("poisson", {"requests": 3}, "without a rate; write it, as in 'poisson:20'"),
        ("poisson:3", {"end_s": 10, "start_s": 20}, "pass a later end"),
        ("poisson:3", {"requests": 9, "scale": 0}, "factor is 0; expected a number"),
        (Workload(rate_per_s=3), {"requests": 3}, "requests is 3 beside a Workload"),
        (Workload(rate_per_s=3), {"prompt": 3}, "prompt is 3 beside a Workload"),
    ],
)
def test_bad_traffic_is_refused(value: object, given: dict[str, float], message: str) -> None:
    with pytest.raises(InputError, match=message):
        parse_traffic(value, **given)  # type: ignore[arg-type]


def test_missing_files_are_named() -> None:
    with pytest.raises(MissingFileError, match=r"nothing\.csv cannot be read: there is no such file"):
        parse_traffic("nothing.csv")


# ---- changes ---------------------------------------------------------------------------------------------------------


def test_generators_are_scaled_by_their_rate() -> None:
    """The same day with ten times or a tenth of the requests: the profile keeps its place."""
    workload = Workload(arrivals="diurnal:1,profile=1:3", duration_s=86_400, **TOKENS)
    for factor in (0.1, 10.0):
        found = workload.scaled(factor).all()
        assert len(found) == pytest.approx(86_400 * factor, abs=5 * (86_400 * factor) ** 0.5)
        assert (found.arrival_s > 43_200).mean() == pytest.approx(0.75, abs=0.02)
    assert len(Workload(rate_per_s=2, requests=100).scaled(3).all()) == 300


@pytest.mark.parametrize("factor", [0.1, 0.5, 1.0, 3.0, 2.5])
def test_traces_are_scaled_by_copies_and_thinning(factor: float) -> None:
    times = np.cumsum(np.random.default_rng(0).exponential(0.5, 20_000))
    workload = Workload(trace=ic.serving.RecordedRequests.of(times, np.arange(20_000) + 1, np.ones(20_000)))
    found = workload.scaled(factor).all()
    assert len(found) == pytest.approx(20_000 * factor, abs=5 * (20_000 * factor) ** 0.5)
    assert found.arrival_s[-1] == pytest.approx(times[-1] - times[0], rel=0.01)
    copies = np.bincount(found.prompt_tokens, minlength=20_001)[1:]
    assert copies.max() <= np.ceil(factor)
    if factor.is_integer():
        assert (copies == factor).all()


@pytest.mark.parametrize("factor", [0.1, 0.5, 2.0, 3.3])
@pytest.mark.parametrize("column", ["requests", "requests_per_min"])
def test_bins_are_scaled_by_their_counts(tmp_path: Path, factor: float, column: str) -> None:
    """The rates of the bins are scaled, and no two requests of one time come of it."""
    path = tmp_path / "day.csv"
    path.write_text(f"start_s,{column}\n0,30000\n60,0\n120,10000\n", encoding="utf-8")
    found = parse_traffic(str(path), scale=factor).all()
    counts = np.histogram(found.arrival_s, bins=[0, 60, 120, 180])[0]
    assert counts == pytest.approx(factor * np.asarray([30_000, 0, 10_000]), abs=5 * (30_000 * factor) ** 0.5)
    assert np.diff(found.arrival_s).min() > 0
    if factor == 2 and column == "requests":
        assert counts.tolist() == [60_000, 0, 20_000]
    # A part of the trace is scaled in the same way as the whole.
    assert len(parse_traffic(str(path)).between(0, 60).scaled(factor).all()) == pytest.approx(
        30_000 * factor, abs=5 * (30_000 * factor) ** 0.5
    )


def test_thinning_makes_a_process_more_like_poisson() -> None:
    """Index of dispersion of the thinned process: 1 + share x (I - 1), each request being kept independently."""
    workload = Workload(arrivals="mmpp:20,burst=5,share=0.1,length_s=1", duration_s=100_000)
    counts = np.bincount((workload.all().arrival_s / 20).astype(int), minlength=5000)[:5000]
    thinned = np.bincount((workload.thinned(0.1, seed=3).all().arrival_s / 20).astype(int), minlength=5000)[:5000]
    dispersion = counts.var() / counts.mean()
    assert dispersion > 20
    assert thinned.mean() == pytest.approx(0.1 * counts.mean(), rel=0.02)
    assert thinned.var() / thinned.mean() == pytest.approx(1 + 0.1 * (dispersion - 1), rel=0.1)


def test_other_settings_keep_the_changes() -> None:
    changed = Workload(rate_per_s=2, requests=1000).thinned(0.5)
    assert changed.replace().changed
    assert changed.replace() == changed
    assert len(changed.replace(requests=100).all()) < 100
    assert "_changes" not in repr(changed)


def test_limits_hold_before_changes() -> None:
    workload = Workload(rate_per_s=10, requests=1000)
    assert len(workload.thinned(0.5).all()) == pytest.approx(500, abs=80)
    assert len(workload.repeated(3).all()) == 3000
    part = workload.between(10, 20).all()
    whole = workload.all().arrival_s
    assert np.array_equal(part.arrival_s, whole[(whole >= 10) & (whole < 20)] - 10)


def test_rates_are_replaced() -> None:
    for workload in (
        Workload(arrivals="gamma:3,cv=2", requests=9),
        Workload(rate_per_s=3, arrivals="gamma:cv=2", requests=9),
        Workload(arrivals=GammaArrivals(rate_per_s=3.0, variation=2.0), requests=9),
    ):
        assert workload.at_rate(7).process == GammaArrivals(rate_per_s=7.0, variation=2.0)
        assert workload.at_rate(7).at_rate(3).process == GammaArrivals(rate_per_s=3.0, variation=2.0)
    assert Workload(**TOKENS).at_rate(7).process == GammaArrivals(rate_per_s=7.0)
    replay = ic.serving.RecordedRequests.of([0.0, 1.0, 2.0], [1, 1, 1], [1, 1, 1])
    assert Workload(trace=replay).at_rate(2).all().arrival_s.tolist() == [0.0, 0.5, 1.0]
    with pytest.raises(InputError, match="without a rate to change"):
        Workload(clients=3, **TOKENS).at_rate(2)
    with pytest.raises(InputError, match="cut, thinned or repeated; change its rate before"):
        Workload(rate_per_s=3).thinned(0.5).at_rate(2)
    with pytest.raises(InputError, match="no times of their own, and between"):
        Workload(clients=3, **TOKENS).between(0, 3)


def test_workloads_with_changes_can_be_sent_to_processes() -> None:
    workload = (
        Workload(arrivals="mmpp:20,burst=5,share=0.1,length_s=1", requests=5000, **TOKENS).thinned(0.3).between(9, 99)
    )
    again = pickle.loads(pickle.dumps(workload))
    assert np.array_equal(again.all().arrival_s, workload.all().arrival_s)


@settings(max_examples=examples(60), deadline=None)
@given(
    rule=st.sampled_from(
        (Thinned(0.3, 1), Between(3.0, 11.0), Repeated(3), Faster(4.0), Resampled(500, block_s=2.0, seed=3))
    ),
    cuts=st.lists(st.integers(0, 400), max_size=8),
)
def test_rules_do_not_depend_on_chunks(rule: Rule, cuts: list[int]) -> None:
    times = np.cumsum(np.random.default_rng(0).exponential(0.05, 400))
    whole = Requests(times, np.arange(1, 401, dtype=np.int32), np.ones(400, dtype=np.int32))
    edges = [0, *sorted(cuts), 400]
    parts = [whole.part(slice(low, high)) for low, high in pairwise(edges) if low < high]
    together, found = joined(list(rule(iter([whole])))), joined(list(rule(iter(parts))))
    assert np.array_equal(found.arrival_s, together.arrival_s)
    assert np.array_equal(found.prompt_tokens, together.prompt_tokens)
    assert (np.diff(found.arrival_s) >= 0).all()


def test_a_duration_does_not_change_the_requests_before_it() -> None:
    """Few of the arrivals of a chunk are needed: those that are made are the same, with their lengths and prefixes."""
    options = {"arrivals": "diurnal:0.01,peak=2,cv=2", "prompt": "uniform:1-99", "output": "lognormal:mean=9,cv=1"}
    prefixes = ic.Prefixes(tokens=8, groups=5, share=0.5)
    some = Workload(**options, duration_s=86_400, prefixes=prefixes).all()  # type: ignore[arg-type]
    more = Workload(**options, requests=CHUNK + 5, prefixes=prefixes).all()  # type: ignore[arg-type]
    assert 500 < len(some) < 1200
    for name in ("arrival_s", "prompt_tokens", "output_tokens", "prefix"):
        assert np.array_equal(getattr(some, name), getattr(more, name)[: len(some)])
