"""Servers under load: figures of `serve` against the requests of a run, and loads that have no good answer."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path

import numpy as np
import pytest
from support.step_costs import step_costs_like_an_h100

import pyinfercost as ic
from pyinfercost.errors import UnknownNameError
from pyinfercost.serving.objectives import SLOError, parse_slo
from pyinfercost.serving.scheduler import SchedulerError
from pyinfercost.serving.serve import ServeError
from pyinfercost.serving.step_tables import StepCosts

POOL = 50_000_000_000


@pytest.fixture(scope="module")
def costs() -> StepCosts:
    return step_costs_like_an_h100(pool_bytes=POOL)


def load(**fields: object) -> ic.Workload:
    known: dict[str, object] = {"rate_per_s": 4, "prompt": 1024, "output": 256, "requests": 1000}
    return ic.Workload(**{**known, **fields})  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def served(costs: StepCosts) -> ic.results.ServingResult:
    return ic.serve(costs, workload=load(), slo="ttft_p99<0.5,tpot_p50<30ms")


def test_an_idle_server_takes_the_time_of_its_steps(costs: StepCosts) -> None:
    """One client: the prompt in one step, then 255 steps of one sequence."""
    result = ic.serve(costs, workload=load(rate_per_s=None, clients=1, requests=5))
    first_s = float(costs.step(0, 1, 1024, 0, 1)[0])
    rest_s = sum(float(costs.step(1, 1024 + at)[0]) for at in range(1, 256))
    assert result["ttft_s"].p50 == pytest.approx(first_s, rel=1e-6)
    assert result["tpot_s"].mean == pytest.approx(rest_s / 255, rel=1e-6)
    assert result["e2e_s"].p99 == pytest.approx(first_s + rest_s, rel=1e-6)
    assert result.duration_s == pytest.approx(5 * (first_s + rest_s), rel=1e-6)
    assert result.utilization == pytest.approx(1.0)
    assert result["ttft_s"].high["mean"] > first_s > result["ttft_s"].low["mean"]


def test_bands_of_an_idle_server_are_those_of_its_steps(costs: StepCosts) -> None:
    result = ic.serve(costs, workload=load(rate_per_s=None, clients=1, requests=3))
    tpot = result["tpot_s"]
    assert tpot.high["p50"] == pytest.approx(tpot.p50 * (1 + costs.spread))
    assert tpot.low["p50"] == pytest.approx(tpot.p50 / (1 + costs.spread))


def test_rates_and_money_follow_from_tokens_and_time(served: ic.results.ServingResult) -> None:
    tokens = 1000 * 256
    assert served.finished == served.requests == 1000
    assert served.tokens_per_s == pytest.approx(tokens / served.duration_s)
    assert served.requests_per_s == pytest.approx(1000 / served.duration_s)
    # 3.6 USD an hour.
    assert served.usd_per_million_tokens == pytest.approx(3.6 / 3600 * served.duration_s / tokens * 1e6)
    assert served.usd_per_million_tokens_used == pytest.approx(served.usd_per_million_tokens * served.utilization)
    # Little's law: running and waiting requests over time.
    inside = served.running_mean + served.waiting_mean
    assert inside == pytest.approx(served.requests_per_s * served["e2e_s"].mean, rel=0.1)


def test_percentiles_are_in_order(served: ic.results.ServingResult) -> None:
    for latency in served.latencies.values():
        assert latency.p50 <= latency.p90 <= latency.p99 == latency.percentile(99)
        assert latency.low["mean"] < latency.mean < latency.high["mean"]
    with pytest.raises(UnknownNameError, match="no latency 'ttft'; expected one of ttft_s"):
        served["ttft"]


def test_energy_has_idle_power_between_steps(costs: StepCosts) -> None:
    """At one request in 100 s: 100 W for 100 s over 256 tokens, and little beside it."""
    rare = ic.serve(costs, workload=load(rate_per_s=0.01, requests=200))
    assert rare.utilization < 0.05
    assert rare.joules_per_token is not None
    assert rare.joules_per_token == pytest.approx(100 * rare.duration_s / (200 * 256), rel=0.1)


def test_an_objective_has_a_share_and_misses(costs: StepCosts, served: ic.results.ServingResult) -> None:
    assert served.slo_met is True
    assert served.slo_share == 1.0
    assert served.goodput_per_s == served.requests_per_s
    limit = served["ttft_s"].p90
    strict = ic.serve(costs, workload=load(), slo={"ttft_p99": limit})
    assert strict.slo_met is False
    assert strict.slo_share == pytest.approx(0.9, abs=0.002)
    assert strict.slo_missed == (f"ttft_p99 is {served['ttft_s'].p99:.4g} s, and the limit {limit:g} s",)


def test_an_objective_that_nothing_meets(costs: StepCosts) -> None:
    result = ic.serve(costs, workload=load(requests=100), slo="tpot_p50<0.001")
    assert result.slo_share == 0.0
    assert any("none can be: an idle server of this kind takes tpot 0.007" in note for note in result.notes)
    loaded = ic.serve(costs, workload=load(rate_per_s=None, clients=100, requests=300), slo="tpot_p50<0.009")
    assert any("under this load" in note for note in loaded.notes)


@pytest.mark.parametrize(
    ("slo", "match"),
    [
        ("ttfs_p99<1", "unknown metric 'ttfs_p99'"),
        ("ttft_p100<1", "unknown metric"),
        ("ttft<1", "unknown metric"),
        ("ttft_p99>1", "expected conditions such as"),
        ("ttft_p99<0", "seconds above 0"),
        ("ttft_p99<1,ttft_p99<2", "twice"),
        ({"ttft_p99": "soon"}, "seconds above 0"),
        (4, "slo is 4"),
    ],
)
def test_objectives_that_are_refused(slo: object, match: str) -> None:
    with pytest.raises(SLOError, match=match):
        parse_slo(slo)  # type: ignore[arg-type]


def test_objectives_are_read() -> None:
    text = "ttft_s_p99.5 <= 500ms, e2e_mean<20s"
    assert ",".join(map(str, parse_slo(text))) == "ttft_p99.5<0.5,e2e_mean<20"
    assert parse_slo(None) == parse_slo("") == ()


def test_a_rate_above_the_capacity_says_so(costs: StepCosts) -> None:
    """Queues grow: twice the requests wait twice as long."""
    short, long = (ic.serve(costs, workload=load(rate_per_s=60, requests=n)) for n in (1500, 3000))
    assert short.capacity_per_s is not None
    assert short.capacity_per_s < 60
    assert long["ttft_s"].p99 > 1.7 * short["ttft_s"].p99
    assert long.bottleneck.startswith("the rate is above the capacity")
    needed = int(np.ceil(60 / short.capacity_per_s))
    assert f"the queue grows as long as requests come, and so do latencies; {needed} replicas" in long.notes[0]
    enough = ic.serve(costs, workload=load(rate_per_s=60, requests=3000), replicas=needed)
    assert enough.devices == needed
    assert enough["ttft_s"].p99 < 0.2 * long["ttft_s"].p99
    assert not any("capacity" in note for note in enough.notes)


def test_a_small_cache_preempts_and_is_the_bottleneck(costs: StepCosts) -> None:
    result = ic.serve(costs, workload=load(rate_per_s=None, clients=64, requests=500), num_gpu_blocks=1500)
    assert result.preemptions > 10
    assert result.kv_use_peak > 0.97
    assert result.bottleneck.startswith("memory for caches")
    assert result.scheduler["num_gpu_blocks"] == 1500


def test_settings_are_those_of_the_engine_or_given(costs: StepCosts) -> None:
    workload = load(rate_per_s=None, clients=64, requests=300)
    few = ic.serve(costs, workload=workload, max_num_seqs=8)
    assert max(few.timeline.running) == 8
    assert few.bottleneck.startswith("sequences: 8 run at most")
    chunked = ic.serve(costs, workload=workload, max_num_batched_tokens=512)
    whole = ic.serve(costs, workload=workload)
    assert chunked.scheduler["max_num_batched_tokens"] == 512
    assert whole.scheduler["max_num_batched_tokens"] == 8192
    assert chunked["tpot_s"].p99 < whole["tpot_s"].p99
    with pytest.raises(SchedulerError, match="no setting 'max_num_seq'; expected some of max_num_batched_tokens"):
        ic.serve(costs, workload=workload, max_num_seq=8)
    with pytest.raises(SchedulerError, match="max_num_seqs of the scheduler is 0"):
        ic.serve(costs, workload=workload, max_num_seqs=0)


def test_settings_by_the_memory_of_the_machine() -> None:
    small = ic.Scheduler.of(step_costs_like_an_h100(step_tokens=2048))
    assert (small.budget, small.max_num_batched_tokens) == (2048, 2048)
    sglang = ic.Scheduler.of(step_costs_like_an_h100(engine="sglang", step_tokens=4096))
    assert (sglang.budget, sglang.max_num_batched_tokens) == (4096, 16_384)


@pytest.mark.parametrize("engine", ["sglang", "trtllm"])
def test_other_engines_have_settings_of_their_own_names(engine: str) -> None:
    result = ic.serve(step_costs_like_an_h100(engine=engine, pool_bytes=POOL), workload=load(requests=200))
    assert result.finished == 200
    assert next(iter(result.scheduler)) == {"sglang": "max_running_requests", "trtllm": "max_batch_size"}[engine]


def test_an_engine_without_a_simulated_scheduler_is_refused() -> None:
    with pytest.raises(SchedulerError, match="engine 'llamacpp' is not simulated; pass one of vllm, sglang, trtllm"):
        ic.serve(step_costs_like_an_h100(engine="llamacpp"), workload=load())


def test_prompts_above_the_context(costs: StepCosts) -> None:
    with pytest.raises(
        ServeError, match=r"all prompts have 1,024 tokens or more, and the longest sequence .* is 1,000"
    ):
        ic.serve(costs, workload=load(), max_model_len=1000)
    some = ic.serve(costs, workload=load(prompt=[100, 5000], requests=200), max_model_len=2048)
    (reason, count), *_ = some.unfinished.items()
    assert reason == "refused: the prompt leaves no token of the longest sequence, 2,048"
    assert 60 < count < 140
    assert some.finished + count == 200
    cut = ic.serve(costs, workload=load(prompt=1900, requests=100), max_model_len=2048)
    assert any("100 answers were cut at the longest sequence, 2,048 tokens" in note for note in cut.notes)
    assert cut.tokens_per_s == pytest.approx(100 * 148 / cut.duration_s)


def test_requests_that_no_server_holds(costs: StepCosts) -> None:
    with pytest.raises(
        ic.Error, match=r"none of 100 requests can be served: 100 refused: longer than the cache of 640"
    ):
        ic.serve(costs, workload=load(requests=100), num_gpu_blocks=40)
    with pytest.raises(ServeError, match=r"the weights, 16 GB on a device of made, leave no memory for the cache"):
        ic.serve(step_costs_like_an_h100(pool_bytes=0, fits=False), workload=load())


def test_prefixes_are_read_from_the_cache(costs: StepCosts) -> None:
    workload = load(prefixes=ic.Prefixes(tokens=1024, groups=2), prompt=64, requests=300)
    shared = ic.serve(costs, workload=workload)
    assert 0.9 < shared.cached_token_share < 1024 / 1088
    assert shared.capacity_per_s is None
    without = ic.serve(costs, workload=workload, enable_prefix_caching=False)
    assert without.cached_token_share == 0
    assert without["ttft_s"].mean > shared["ttft_s"].mean


def test_traces_with_holes_or_reversed_time_are_refused(tmp_path: Path, costs: StepCosts) -> None:
    def trace(*seconds: int) -> ic.Workload:
        rows = "".join(f"{at},model,100,20,120,API log\n" for at in seconds)
        head = "Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type\n"
        (tmp_path / "trace.csv").write_text(head + rows, encoding="utf-8")
        return ic.Workload.read(tmp_path / "trace.csv")

    assert ic.serve(costs, workload=trace(0, 1, 2, 2, 5)).finished == 5
    with pytest.raises(ic.Error, match="line 3"):
        ic.serve(costs, workload=trace(5, 1, 2))
    with pytest.raises(ic.Error, match="no request came in the 7199 s before it"):
        ic.serve(costs, workload=trace(0, 1, 7200))


def test_ctrl_c_gives_what_was_finished(costs: StepCosts) -> None:
    def stop(sent: int, _: int) -> None:
        if sent == 4096:
            threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGINT)).start()

    result = ic.serve(costs, workload=load(requests=3_000_000), progress=stop)
    assert result.interrupted
    assert 1000 < result.finished < 3_000_000
    assert result.finished + sum(result.unfinished.values()) == 3_000_000
    assert result["ttft_s"].low == {}
    assert np.isfinite(result["ttft_s"].p99)
    assert "The run was stopped" in result.to_text()
    assert result.to_dict()["serve"]["ttft_s"]["mean_low"] is None


def test_progress_comes_to_the_end(costs: StepCosts) -> None:
    calls: list[tuple[int, int]] = []
    ic.serve(costs, workload=load(requests=2500), progress=lambda *call: calls.append(call))
    assert calls[-1] == (2500, 2500)


def test_runs_are_reproducible(costs: StepCosts, served: ic.results.ServingResult) -> None:
    again = ic.serve(costs, workload=load(), slo="ttft_p99<0.5,tpot_p50<30ms")
    assert again.to_json() == served.to_json()
    assert ic.serve(costs, workload=load(seed=1)).to_json() != served.to_json()


def test_documents(served: ic.results.ServingResult) -> None:
    """The keys of the contract, a row with all columns, and the same figures in each form."""
    document = served.to_dict()
    assert document["schema_version"] == 1
    contract = {"requests", "ttft_s", "tpot_s", "e2e_s", "tokens_per_s", "utilization", "preemptions", "slo_share"}
    contract |= {"usd_per_million_tokens", "usd_per_million_tokens_used", "joules_per_token", "devices"}
    assert contract <= document["serve"].keys()
    assert {"mean", "p50", "p90", "p99", "low", "high"} <= document["serve"]["ttft_s"].keys()
    assert document["serve"]["ttft_s"]["p99"] == served["ttft_s"].p99
    (row,) = served.to_rows()
    assert tuple(row) == served.columns
    assert row["ttft_p99_s"] == served["ttft_s"].p99
    assert served.to_csv().count("\n") == 2
    assert "time to first token" in served.to_text()
    assert "| time to first token |" in served.to_markdown()
    assert repr(served).startswith("<ServingResult model on 1 x made, vllm: 1,000 of 1,000 requests")
    timeline = document["serve"]["timeline"]
    assert len(timeline["running"]) == len(timeline["waiting"]) == len(timeline["kv_use"]) > 100


def test_arguments_that_are_refused(costs: StepCosts) -> None:
    on = ic.Deployment(hardware="h100-sxm-80gb", engine="vllm")
    with pytest.raises(ServeError, match="on is given beside step costs"):
        ic.serve(costs, on=on, workload=load())
    with pytest.raises(ServeError, match="on is not given"):
        ic.serve("hf:config.json", workload=load())
    with pytest.raises(ServeError, match="expected the config of a language model without a phase"):
        ic.serve("hf:config.json#decode", on=on, workload=load())
    with pytest.raises(ServeError, match="the graphs of decode and prefill"):
        ic.serve([], on=on, workload=load())
    with pytest.raises(ServeError, match="serving has prefix_hit"):
        ic.serve("hf:config.json", on=on.replace(serving="prefix_hit=0.5"), workload=load())
    with pytest.raises(TypeError, match="expected a Workload"):
        ic.serve(costs, workload=4)  # type: ignore[arg-type]
    with pytest.raises(ServeError, match="replicas is 0"):
        ic.serve(costs, workload=load(), replicas=0)
