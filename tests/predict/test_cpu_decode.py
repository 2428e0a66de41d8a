"""Decode of a language model on every CPU of the catalog: weights stream once, at the rate of threads or of memory."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

import pytest
from support.paths import CONFIGS

import pyinfercost as ic
from pyinfercost.hardware import describe, names
from pyinfercost.sources.spec_graphs import load_graph

pytestmark = pytest.mark.torch

# Llama-3-8B in bf16: 32 layers of 4096 x (4096 + 1024 + 1024 + 4096 + 3 x 14336), and 4096 x 128256 at the end.
READ_BYTES = 2 * 4096 * (32 * (4096 + 1024 + 1024 + 4096 + 3 * 14336) + 128256)
CPUS = [name for name in names() if describe(name)["kind"] == "cpu"]


@pytest.fixture(scope="module")
def graphs() -> Mapping[str, ic.Graph]:
    """One token after 256 others, by format of the weights."""
    graph = load_graph(f"hf:{CONFIGS / 'llama-3-8b.json'}#decode", {"context": 256})
    return {"bf16": graph, **{form: ic.whatif(graph, quantize=form) for form in ("int8_wo", "int4_wo")}}


def latency_s(graph: ic.Graph, cpu: str, threads: int | None = None, execution: str = "eager") -> float:
    return ic.estimate(graph, hardware=cpu, threads=threads, execution=execution).latency_s


@pytest.mark.parametrize("cpu", CPUS)
@pytest.mark.parametrize("execution", ["eager", "compiled"])
def test_all_cores_read_the_weights_at_memory_speed(graphs: Mapping[str, ic.Graph], cpu: str, execution: str) -> None:
    reached = READ_BYTES / latency_s(graphs["bf16"], cpu, execution=execution)
    assert 0.4 <= reached / ic.hardware.load(cpu).bandwidth_byte_per_s <= 0.95


@pytest.mark.parametrize("cpu", CPUS)
@pytest.mark.sample(10)
def test_threads_share_the_weights_until_memory_is_the_limit(graphs: Mapping[str, ic.Graph], cpu: str) -> None:
    whole = ic.hardware.load(cpu)
    counts = [2**i for i in range(int(whole.cores).bit_length())]
    times = [latency_s(graphs["bf16"], cpu, threads) for threads in counts]
    least_s = min(times)
    for threads, (now_s, next_s) in zip(counts, pairwise(times), strict=False):
        if now_s > 4 * least_s:  # memory is far from its limit
            assert 1.8 <= now_s / next_s <= 2.05, threads
        assert next_s <= 1.05 * now_s, threads  # more threads only take longer to start
    part = ic.hardware.load(cpu, threads=1)
    assert part.bandwidth_byte_per_s <= whole.bandwidth_byte_per_s
    # One core draws less than all of the memory of a server, and more than its share.
    if whole.cores >= 16:
        assert part.bandwidth_byte_per_s < whole.bandwidth_byte_per_s / 2
        assert times[0] < whole.cores * least_s


@pytest.mark.parametrize("cpu", CPUS)
def test_narrow_weights_gain_what_they_save(graphs: Mapping[str, ic.Graph], cpu: str) -> None:
    of = {form: latency_s(graph, cpu, execution="compiled") for form, graph in graphs.items()}
    # int8: half of the bytes; int4: 4 bits, and a scale and a zero point of 16 bits per 128 elements: 16 / 4.25.
    assert 1.6 <= of["bf16"] / of["int8_wo"] <= 2.0
    assert 2.5 <= of["bf16"] / of["int4_wo"] <= 16 / 4.25


@pytest.mark.parametrize("cpu", CPUS)
def test_eager_execution_loses_its_dispatch_of_the_gain(graphs: Mapping[str, ic.Graph], cpu: str) -> None:
    """1,300 launches of a step take torch 10 to 14 ms at any width of the weights: half of an int4 step on a server."""
    wide, narrow = (ic.estimate(graphs[form], hardware=cpu) for form in ("bf16", "int4_wo"))
    launch_s = sum(layer.launch_s for layer in narrow.layers)
    assert 10e-3 <= launch_s <= 14e-3
    assert wide.latency_s / narrow.latency_s >= 2.0
    assert 2.5 <= (wide.latency_s - launch_s) / (narrow.latency_s - launch_s) <= 16 / 4.25


@pytest.mark.parametrize("cpu", CPUS)
def test_instances_share_the_memory(graphs: Mapping[str, ic.Graph], cpu: str) -> None:
    whole = ic.hardware.load(cpu)
    alone = ic.estimate(graphs["bf16"], hardware=cpu, execution="compiled")
    for instances in (2, 4):
        each = ic.estimate(graphs["bf16"], hardware=cpu, execution="compiled", instances=instances)
        reached = instances * READ_BYTES / each.latency_s
        assert 0.4 <= reached / whole.bandwidth_byte_per_s <= 0.95
        # Each copy reads its own weights: side by side they save starts of parallel loops only.
        assert 0.8 <= instances * alone.latency_s / each.latency_s <= 1.45
