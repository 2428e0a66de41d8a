"""Sweeps of many points: whole-model estimates per second, compared with other ways to compute them."""

from __future__ import annotations

import json
import os
import statistics
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import pyinfercost as ic
from pyinfercost import _core
from pyinfercost.hardware import load
from pyinfercost.sweeps.spec import COMPUTED

from .interleaved import NOTES, race
from .models import flop_counter_flops, make
from .numpy_evaluator import NumpyEvaluator
from .parameters import (
    CONFIGS,
    HARDWARE,
    MAX_RATIO,
    MIN_POINTS_PER_S,
    SLOW_ROUNDS,
    SWEEP_HARDWARE,
    SWEEP_NUMPY_POINTS,
    SWEEP_POINTS,
    SWEEP_SAMPLE,
)

pytest.importorskip("torch", reason="needs torch: pip install 'pyinfercost[models]'")

Columns = dict[str, NDArray[np.float64]]
THREADED_POINTS = 4 * SWEEP_POINTS
LAYOUTS = tuple(ic.Layout(tensor=tensor, data=data) for tensor in (1, 2, 4, 8, 16) for data in (1, 2, 4))
TORCH_NAMES = {"fp32": "float32", "fp16": "float16"}


@pytest.fixture(scope="module")
def resnet50() -> ic.Graph:
    from pyinfercost.sources.trace.trace import trace_graph

    model = make("resnet50")
    return trace_graph(model.module, model.args, {}, {0: {0: "batch"}})


@pytest.fixture(scope="module")
def llama_70b(tmp_path_factory: pytest.TempPathFactory) -> ic.Graph:
    """Return a decode step of a model with the shape of Llama 3 70B, with symbolic batch and context."""
    from pyinfercost.sources.captured import graph_over

    config = json.loads((CONFIGS / "llama-3-8b.json").read_text(encoding="utf-8"))
    config.update(
        hidden_size=8192,
        intermediate_size=28672,
        num_hidden_layers=80,
        num_attention_heads=64,
        num_key_value_heads=8,
    )
    path: Path = tmp_path_factory.mktemp("llama-70b") / "config.json"
    path.write_text(json.dumps(config), encoding="utf-8")
    return graph_over(f"hf:{path}#decode", {"batch": [2, 3], "context": [128, 256]}).graph


def columns(points: int) -> Columns:
    return {name: np.empty(points) for name in COMPUTED}


def rate(benchmark: Any, what: str, points: int, target: str = "one machine") -> None:
    """Record points per second."""
    if benchmark.enabled:
        points_per_s = points / statistics.median(benchmark.extra_info["ours_s"])
        least = MIN_POINTS_PER_S[target]
        met = "met" if points_per_s >= least else "MISSED"
        NOTES.append(f"{what}: {points_per_s:,.0f} points a second (target {least:,}: {met})")


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def bench_column_against_numpy(benchmark: Any, resnet50: ic.Graph, precision: str) -> None:
    """ResNet-50 at a million batch sizes on one core, compared with the same formulas in numpy."""
    family = _core.PlanFamily(resnet50, precision=precision)
    machine = load(SWEEP_HARDWARE)
    batches = np.arange(2, SWEEP_POINTS + 2, dtype=np.int64)
    out = columns(SWEEP_POINTS)
    plan = family.plan_for({"batch": 2})
    numpy_evaluator = NumpyEvaluator(plan, machine, TORCH_NAMES[precision])
    few = batches[:: SWEEP_POINTS // SWEEP_NUMPY_POINTS]

    def ours() -> Columns:
        _core.evaluate_grid(family, [("batch", batches, 1)], machine, first=0, points=SWEEP_POINTS, out=out)
        return out

    def theirs() -> NDArray[np.float64]:
        # The footprint is given, so that numpy need not find the largest of many sums.
        return numpy_evaluator.latency_s(few, out["peak_memory_bytes"][:: SWEEP_POINTS // SWEEP_NUMPY_POINTS])

    ours()
    peer = f"numpy at {SWEEP_NUMPY_POINTS:,} points, scaled up"
    title = f"ResNet-50, {precision}, {SWEEP_POINTS:,} batch sizes"
    answers = race(
        benchmark,
        title,
        ours,
        {peer: theirs},
        rounds=SLOW_ROUNDS,
        scale={peer: SWEEP_POINTS / SWEEP_NUMPY_POINTS},
        max_ratio={peer: MAX_RATIO["sweep / numpy"]},
    )
    np.testing.assert_allclose(out["latency_s"][:: SWEEP_POINTS // SWEEP_NUMPY_POINTS], answers[peer], rtol=1e-12)
    rate(benchmark, title, SWEEP_POINTS)


def plain_roofline(family: _core.PlanFamily, graph: ic.Graph, precision: str) -> _core.PlanFamily:
    """Return the same launches with FLOPs and bytes only: without tiles, a kernel is max(compute, memory)."""
    of_node = {}
    for kernel in family.plan_for({"batch": 8}).kernels():
        if kernel["name"].endswith(".operand"):
            continue  # a copy for the following launch of the same node
        work = kernel["work"]
        bare = ic.Work(
            contraction_flops=work.contraction_flops,
            pointwise_flops=work.pointwise_flops,
            bytes_read=work.bytes_read,
            bytes_written=work.bytes_written,
            kind=work.kind,
            dtype=work.dtype,
        )
        of_node.update(dict.fromkeys((nodes[0] for nodes in kernel["launches"]), bare))
    return _core.PlanFamily(graph, precision=precision, overrides=of_node)


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def bench_column_against_a_plain_roofline(benchmark: Any, resnet50: ic.Graph, precision: str) -> None:
    """Cost of tiles, waves, splits and Winograd: the same kernels in the same loops without their dimensions."""
    family = _core.PlanFamily(resnet50, precision=precision)
    plain = plain_roofline(family, resnet50, precision)
    machine = load(SWEEP_HARDWARE)
    batches = np.arange(2, SWEEP_POINTS + 2, dtype=np.int64)
    out, bare = columns(SWEEP_POINTS), columns(SWEEP_POINTS)

    def run(which: _core.PlanFamily, into: Columns) -> Columns:
        _core.evaluate_grid(which, [("batch", batches, 1)], machine, first=0, points=SWEEP_POINTS, out=into)
        return into

    answers = race(
        benchmark,
        f"ResNet-50, {precision}, {SWEEP_POINTS:,} batch sizes",
        lambda: run(family, out),
        {"a plain roofline": lambda: run(plain, bare)},
        rounds=SLOW_ROUNDS,
        max_ratio={"a plain roofline": MAX_RATIO["sweep / plain roofline"]},
    )
    assert (answers["ours"]["latency_s"] > 0).all()
    assert not np.allclose(answers["ours"]["latency_s"], bare["latency_s"], rtol=0.01)


def bench_against_retracing(benchmark: Any, resnet50: ic.Graph) -> None:
    """A point of a sweep compared with a separate evaluation: a forward on meta under FlopCounterMode."""
    model = make("resnet50")
    grid_of: dict[str, Any] = {"hardware": SWEEP_HARDWARE, "batch": range(2, SWEEP_POINTS + 2), "workers": 1}

    def ours() -> ic.results.Sweep:
        return ic.sweep(resnet50, **grid_of)

    peer = "one retrace a point"
    answers = race(
        benchmark,
        f"sweep(), {SWEEP_POINTS:,} points",
        ours,
        {peer: lambda: flop_counter_flops(model)},
        rounds=SLOW_ROUNDS,
        scale={peer: SWEEP_POINTS},
        max_ratio={peer: MAX_RATIO["sweep / retracing"]},
    )
    assert answers[peer] == ic.count(resnet50, batch=1).total.contraction_flops
    assert len(answers["ours"]) == SWEEP_POINTS
    rate(benchmark, "sweep(), columns and all", SWEEP_POINTS, "sweep()")


def bench_many_machines(benchmark: Any, resnet50: ic.Graph) -> None:
    """A typical query: batches up to 1024 on every GPU of the catalog, two precisions, hypothetical bandwidths."""
    gpus = [name for name in ic.hardware.names() if ic.hardware.describe(name)["kind"] == "gpu"]
    known = [name for name in gpus if not ic.hardware.describe(name)["missing"]]

    def ours() -> ic.results.Sweep:
        return ic.sweep(
            resnet50,
            hardware=known,
            precision=["fp32", "fp16"],
            scale={"bandwidth": np.linspace(1, 4, 13)},
            batch=range(1, 1025),
            workers=1,
        )

    answers = race(benchmark, f"{len(known)} GPUs x 13 bandwidths x 2 x 1,024", ours, {}, rounds=SLOW_ROUNDS)
    grid = answers["ours"]
    rate(benchmark, f"{len(grid):,} points over {len(known)} GPUs", len(grid), "many machines")
    assert len(grid) == len(known) * 13 * 2 * 1024


def bench_llama_decode(benchmark: Any, llama_70b: ic.Graph) -> None:
    """Decode step of a 70-billion-parameter model over batch and context."""
    family = _core.PlanFamily(llama_70b)
    machine = load(HARDWARE)
    side = int(SWEEP_POINTS**0.5)
    axes = [("batch", np.arange(2, side + 2), side), ("context", np.arange(128, 128 + 8 * side, 8), 1)]
    out = columns(side * side)

    def ours() -> Columns:
        _core.evaluate_grid(family, axes, machine, first=0, points=side * side, out=out)
        return out

    title = f"Llama-70B decode, {side:,} batches x {side:,} contexts"
    race(benchmark, title, ours, {}, rounds=SLOW_ROUNDS)
    rate(benchmark, title, side * side)
    estimate = ic.estimate(llama_70b, hardware=HARDWARE, batch=side + 1, context=128 + 8 * (side - 1))
    assert out["latency_s"][-1] == estimate.latency_s


def bench_layouts(benchmark: Any, llama_70b: ic.Graph) -> None:
    """Decode step of a 70-billion-parameter model over its layouts, batch and context, in the kernels of an engine."""
    layouts = [layout for layout in LAYOUTS if 2 <= layout.devices <= 16]
    side = int((SWEEP_POINTS / len(layouts)) ** 0.5)
    sizes = {"batch": range(16, 16 + side), "context": range(128, 128 + 8 * side, 8)}
    points = len(layouts) * side * side

    def ours() -> ic.results.Sweep:
        return ic.sweep(llama_70b, hardware=HARDWARE, engine="vllm", layout=layouts, workers=1, sizes=sizes)

    ours()  # makes the graphs of the layouts
    title = f"Llama-70B decode, {len(layouts)} layouts x {side:,} batches x {side:,} contexts"
    grid = race(benchmark, title, ours, {}, rounds=SLOW_ROUNDS)["ours"]
    assert len(grid) == points
    rate(benchmark, title, points, "layouts")
    last = {name: values[-1] for name, values in sizes.items()}
    estimate = ic.estimate(llama_70b, hardware=HARDWARE, engine="vllm", layout=layouts[-1], sustained=True, sizes=last)
    assert grid["latency_s"][-1] == estimate.latency_s


def bench_two_threads(benchmark: Any, resnet50: ic.Graph) -> None:
    """Two threads compared with one."""
    family = _core.PlanFamily(resnet50)
    machine = load(SWEEP_HARDWARE)
    axes = [("batch", np.arange(2, THREADED_POINTS + 2), 1)]
    out = {threads: columns(THREADED_POINTS) for threads in (1, 2)}

    def run(threads: int) -> Columns:
        _core.evaluate_grid(family, axes, machine, first=0, points=THREADED_POINTS, out=out[threads], threads=threads)
        return out[threads]

    if (os.cpu_count() or 1) < 2:
        pytest.skip("needs two cores")
    race(
        benchmark,
        f"two threads, {THREADED_POINTS:,} points",
        lambda: run(2),
        {"one thread": lambda: run(1)},
        rounds=2 * SLOW_ROUNDS + 1,
        max_ratio={"one thread": MAX_RATIO["two threads / one"]},
    )
    for name in COMPUTED:
        np.testing.assert_array_equal(out[1][name], out[2][name], err_msg=name)


@pytest.mark.slow
@pytest.mark.parametrize("model", ["resnet50", "llama_70b"])
def bench_sample_is_estimates(benchmark: Any, model: str, request: pytest.FixtureRequest) -> None:
    """10,000 random points of a grid, each compared with `estimate`: equal to the last bit."""
    graph = request.getfixturevalue(model)
    sizes = {name: range(1, 257) for name in graph.sizes}
    way: dict[str, Any] = {
        "hardware": ["a100-sxm-80gb", "h100-sxm-80gb", "t4", "epyc-7763", "tpu-v5e"],
        "precision": ["native", "fp16", "int8"],
        "execution": _core.executions(),
        "devices": [1, 4],
    }
    grid = ic.sweep(graph, sizes=sizes, **way)
    sample = 10_000 if model == "resnet50" else 1_000
    rows = np.random.default_rng(0).choice(len(grid), min(SWEEP_SAMPLE, sample), replace=False)
    points = grid.take(rows).to_rows()
    # A sweep ranks machines under lasting load wherever their clock under it is known; `estimate` does so on request.
    loaded = {name: ic.Deployment(hardware=name).for_throughput().sustained for name in way["hardware"]}

    def ours() -> int:
        different = 0
        for point in points:
            estimate = ic.estimate(
                graph, sustained=loaded[point["hardware"]], **{name: point[name] for name in (*way, *sizes)}
            )
            for name in ("latency_s", "latency_low_s", "latency_high_s", "throughput_per_s"):
                different += point[name] != getattr(estimate, name)
            # A filter of a sweep is to keep machines whose owner chooses their memory.
            different += point["fits_in_memory"] != (estimate.fits_in_memory is not False)
        return different

    assert benchmark.pedantic(ours, rounds=1) == 0
    NOTES.append(f"{len(points):,} of {len(grid):,} points of {model}: all equal to estimate()")
