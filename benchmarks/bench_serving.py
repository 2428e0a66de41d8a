"""Simulated servers on one core: requests and steps per second, and a day of requests in bounded memory.

Seconds are those of the processor, because other jobs on a machine would count in those of the clock.
"""

from __future__ import annotations

import resource
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from pyinfercost import _core

from .interleaved import NOTES
from .parameters import (
    MAX_DAY_BYTES,
    MAX_DAY_S,
    MIN_REQUESTS_PER_S,
    MIN_STATES_PER_S,
    MIN_STEPS_PER_S,
    SERVED_DAY,
    SERVED_REQUESTS,
)

PEAK_UNIT = 1024
"""Bytes of a unit of `ru_maxrss` on Linux."""


def tables() -> Any:
    """Costs of steps of the size of Llama-3-70B on four H100: tables of ten by seven knots, a host that overlaps."""
    tokens = np.array([1, 8, 64, 256, 512, 1024, 2048, 4096, 8192.0])
    graphs = np.array([1, 2, 4, *range(8, 256, 8), *range(256, 513, 16)], dtype=float)
    sequences = 2.0 ** np.arange(10)
    contexts = np.array([1, 256, 1024, 2048, 4096, 8192, 32768.0])
    decode = 2e-4 + 1.1e-8 * sequences[:, None] * contexts
    chunks = np.array([1, 256, 1024, 2048, 8192.0])
    before = np.array([0, 1024, 4096, 32768.0])
    prefill = 1e-4 + 1e-9 * chunks[:, None] * (before + chunks[:, None] / 2)
    return _core.StepCosts(
        tokens=tokens,
        tokens_s=0.012 + 2.2e-5 * tokens,
        tokens_j=1 + 0.01 * tokens,
        graphs=graphs,
        graphs_s=0.011 + 2e-5 * graphs,
        graphs_j=1 + 0.01 * graphs,
        outputs=[1, 64, 512],
        outputs_s=[1e-4, 2e-4, 9e-4],
        outputs_j=[0.01, 0.02, 0.09],
        decode_sequences=sequences,
        decode_contexts=contexts,
        decode_s=decode,
        decode_j=100 * decode,
        prefill_chunks=chunks,
        prefill_contexts=before,
        prefill_s=prefill,
        prefill_j=100 * prefill,
        host_step_s=0.97e-3,
        host_sequence_s=1.6e-5,
        host_prefill_s=1e-3,
        overlaps_host=True,
        idle_w=100,
    )


def requests(count: int, rate: float, prompt: int, output: int) -> Any:
    """A Poisson stream with lengths uniform in [0.8, 1] of the nominal."""
    rng = np.random.default_rng(1)
    arrival = np.cumsum(rng.exponential(1 / rate, count))
    lengths = [rng.integers(int(0.8 * most), most + 1, count, dtype=np.int32) for most in (prompt, output)]
    return _core.SimulatedRequests(arrival, *lengths), int(lengths[1].sum())


def serve(load: Any, **settings: Any) -> Any:
    """Simulate one server; this is the measured function."""
    server = _core.SimulatedServer(
        **{"costs": tables(), "engine": "vllm", "blocks": 30_000, "max_sequences": 256, **settings}
    )
    return _core.simulate([(_core.SimulatedCluster([server]), load)])[0]


def processor_s(run: Callable[[], Any], rounds: int = 5) -> tuple[Any, float]:
    """Return a result and the least seconds of the processor of some rounds."""
    best = float("inf")
    for _ in range(rounds):
        start = time.process_time()
        result = run()
        best = min(best, time.process_time() - start)
    return result, best


CASES: dict[str, dict[str, Any]] = {
    "half loaded, 1024 + 256 tokens": {"rate": 4.0},
    "nearly full, 1024 + 256": {"rate": 20.0},
    "short, 64 + 16": {"rate": 200.0, "prompt": 64, "output": 16},
    "preemptions, 2,000 blocks": {"rate": 20.0, "blocks": 2_000},
    "preemptions, prefix cache": {"rate": 20.0, "blocks": 3_000, "prefix_cache": True},
    "every step alone": {"rate": 4.0, "jumps": False},
    "sglang, nearly full": {"rate": 20.0, "engine": "sglang", "chunk_tokens": 8192, "max_tokens": 16384},
    "trtllm, nothing evicted": {"rate": 20.0, "engine": "trtllm", "blocks": 2_000},
}


@pytest.mark.parametrize("case", CASES)
def bench_requests_and_steps(benchmark: Any, case: str) -> None:
    """One server; steps count one by one also where they were taken at once."""
    settings = dict(CASES[case])
    rate = settings.pop("rate")
    count = SERVED_REQUESTS if benchmark.enabled else SERVED_REQUESTS // 100
    load, tokens = requests(count, rate, settings.pop("prompt", 1024), settings.pop("output", 256))
    result = benchmark.pedantic(lambda: serve(load, **settings), rounds=1)
    assert (result.outcome == _core.SIMULATED_OUTCOMES.index("finished")).all()
    assert result.servers["generated_tokens"][0] == tokens
    spent = float(np.sum(result.finish_s - result.queued_s))
    assert result.request_seconds == pytest.approx(spent, rel=1e-9)  # Little's law
    if not benchmark.enabled:
        return
    _, seconds = processor_s(lambda: serve(load, **settings))
    steps, runs = (int(result.servers[name][0]) for name in ("steps", "runs"))
    NOTES.append(
        f"{case}: {count / seconds / 1e6:.2f} million requests/s (target {MIN_REQUESTS_PER_S / 1e6:g}), "
        f"{steps / seconds / 1e6:.1f} million steps/s (target {MIN_STEPS_PER_S / 1e6:g}), "
        f"{runs / seconds / 1e6:.2f} million runs of steps/s, {result['preemptions'].sum()} preemptions"
    )


STATES: dict[str, dict[str, tuple[float, float]]] = {
    "clients": {"clients": (1, 300)},
    "clients, equal lengths": {"clients": (1, 300), "prompt": (1000, 1000), "output": (200, 200)},
    "Poisson rate": {"rate_per_s": (0.1, 10)},
    "Poisson rate, equal lengths": {"rate_per_s": (0.1, 10), "prompt": (1000, 1000), "output": (200, 200)},
}


@pytest.mark.parametrize("case", STATES)
def bench_steady_states(benchmark: Any, case: str) -> None:
    """200 deployments under as many loads in closed form: each pair is one answer of 14 figures."""
    servers = [
        _core.SteadyServer(costs=tables(), pool_tokens=480_000 + 1000 * i, devices=4, usd_per_s=1e-3)
        for i in range(200)
    ]
    count = 5000 if benchmark.enabled else 10
    rng = np.random.default_rng(3)
    given: dict[str, tuple[float, float]] = {"prompt": (100, 4000), "output": (20, 800), **STATES[case]}
    loads: dict[str, Any] = {name: rng.uniform(low, high, count) for name, (low, high) in given.items()}
    nothing = {"clients": np.nan, "rate_per_s": np.nan, "prefix_hit": 0.0, "ttft_s": 0.5, "tpot_s": 0.03}
    loads = {**nothing, **loads, **{f"{name}_square": loads[name] ** 2 for name in ("prompt", "output")}}
    columns = {name: np.broadcast_to(np.asarray(values), (200, count)) for name, values in loads.items()}
    found = benchmark.pedantic(lambda: _core.steady_states(servers, columns), rounds=1)
    if "clients" in STATES[case]:  # Little's law
        assert found["requests_per_s"] * found["e2e_s"] == pytest.approx(columns["clients"], rel=1e-9)
    else:
        below = found["utilization"] < 1
        assert found["requests_per_s"][below] == pytest.approx(columns["rate_per_s"][below], rel=1e-9)
    if benchmark.enabled:
        _, seconds = processor_s(lambda: _core.steady_states(servers, columns))
        NOTES.append(
            f"closed form, {case}: {200 * count / seconds / 1e6:.2f} million answers/s "
            f"(target {MIN_STATES_PER_S / 1e6:g})"
        )


@pytest.mark.slow
def bench_day(benchmark: Any) -> None:
    """A day of requests with the lengths of conversations, made piece by piece, over 32 servers."""
    count = SERVED_DAY if benchmark.enabled else SERVED_DAY // 1000
    piece = 1 << 16
    rng = np.random.default_rng(2)
    made, last_s, tokens = 0, 0.0, 0

    def following() -> Any:
        nonlocal made, last_s, tokens
        size = min(piece, count - made)
        if size == 0:
            return None
        arrival = last_s + np.cumsum(rng.exponential(86_400 / count, size))
        prompt = np.clip(rng.lognormal(6.6, 1.0, size), 1, 8_000).astype(np.int32)
        output = np.clip(rng.lognormal(5.0, 0.8, size), 1, 1_000).astype(np.int32)
        made, last_s, tokens = made + size, float(arrival[-1]), tokens + int(output.sum())
        return _core.SimulatedRequests(arrival, prompt, output)

    server = _core.SimulatedServer(costs=tables(), engine="vllm", blocks=30_000)
    cluster = _core.SimulatedCluster([server] * 32)
    stream = _core.RequestStream(count, following)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    result, seconds = processor_s(
        lambda: benchmark.pedantic(lambda: _core.simulate([(cluster, stream)])[0], rounds=1), rounds=1
    )
    more = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * PEAK_UNIT
    assert len(result.finish_s) == count
    assert np.isfinite(result.finish_s).all()
    assert result.servers["generated_tokens"].sum() == tokens
    if benchmark.enabled:
        NOTES.append(
            f"a day of {count:,} requests: {seconds:.1f} s (target {MAX_DAY_S:g}), {more / 1e9:.2f} GB more than "
            f"before (target {MAX_DAY_BYTES / 1e9:g}), {result['servers']['steps'].sum() / 1e6:.0f} million steps"
        )
