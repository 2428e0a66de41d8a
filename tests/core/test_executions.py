"""Fused kernels from a recorded graph: on GPUs with copies of the inputs, elsewhere what `compiled` does."""

from __future__ import annotations

import numpy as np
import pytest
from support.toy_graphs import WIDTH, blocks, transformer

import pyinfercost as ic
from pyinfercost import _core

FLOAT32 = 4
GPUS = ["a100-sxm-80gb", "l4", "mi300x"]
OTHERS = ["epyc-7763", "xeon-8480+", "tpu-v5e", "coral-edge-tpu"]


def plan_of(graph: ic.Graph, execution: str, precision: str = "native") -> ic.devices.Plan:
    return _core.plan(graph, {}, execution=execution, precision=precision)


def evaluated(
    graph: ic.Graph, execution: str, machine: ic.Hardware, precision: str = "native"
) -> dict[str, np.ndarray]:
    batch = np.asarray([1, 2, 7, 64, 1000], dtype=np.int64)
    sizes = {name: batch if name == "batch" else np.full(5, 32, dtype=np.int64) for name in graph.sizes}
    return _core.evaluate(plan_of(graph, execution, precision), sizes, machine, points=5)


def test_the_names_are_those_of_torch() -> None:
    assert _core.executions() == ["eager", "compiled", "cuda_graph", "reduce-overhead"]
    assert plan_of(blocks(), "reduce-overhead").execution == "reduce-overhead"


@pytest.mark.parametrize("graph", [blocks(), transformer()], ids=["blocks", "transformer"])
def test_its_kernels_are_those_of_compiled_after_a_copy_of_each_input(graph: ic.Graph) -> None:
    fused = [(kernel["name"], kernel["launches"]) for kernel in plan_of(graph, "compiled").kernels()]
    copy, *others = plan_of(graph, "reduce-overhead").kernels()
    assert [(kernel["name"], kernel["launches"]) for kernel in others] == fused
    assert copy["hints"].copies_input
    assert not any(kernel["hints"].copies_input for kernel in others)
    assert copy["launches"] == [[0]]  # the first node reads the only input
    assert copy["name"] == f"{graph.node(0).op}.input"
    assert copy["work"].kind == "copy"
    count = plan_of(graph, "reduce-overhead").launch_count
    assert count == plan_of(graph, "compiled").launch_count + 1


def test_an_input_is_copied_once_at_its_stored_width_and_other_tensors_are_not() -> None:
    builder = ic.GraphBuilder("inputs")
    batch = builder.size("batch", default=2)
    read = builder.tensor("float32", (batch, WIDTH), role="input", name="x")
    other = builder.tensor("float32", (batch, WIDTH), role="input", name="y")
    unread = builder.tensor("float32", (batch, WIDTH), role="input", name="unread")
    cache = builder.tensor("float32", (batch, WIDTH), role="kv_cache", name="cache")
    weight = builder.tensor("float32", (WIDTH, WIDTH), role="parameter", name="weight")
    view, product, sums, last = (builder.tensor("float32", (batch, WIDTH)) for _ in range(4))
    builder.node("aten.view.default", {"self": read, "size": [-1, WIDTH]}, [view])
    builder.node("aten.linear.default", {"input": view, "weight": weight}, [product])
    builder.node("aten.add.Tensor", {"self": product, "other": read}, [sums])
    builder.node("aten.add.Tensor", {"self": sums, "other": cache}, [last])
    builder.node(
        "aten.add.Tensor", {"self": last, "other": other}, [result := builder.tensor("float32", (batch, WIDTH))]
    )
    graph = builder.build([read, other, unread], [result])
    for precision, width in (("fp32", FLOAT32), ("bf16", FLOAT32 // 2)):
        kernels = plan_of(graph, "reduce-overhead", precision).kernels()
        copies = [kernel for kernel in kernels if kernel["hints"].copies_input]
        # Two inputs of equal bytes are one kernel: x at the product that reads its view, y at the last sum.
        (copy,) = copies
        assert copy["launches"] == [[1], [4]]
        for bytes_of in (copy["work"].bytes_read, copy["work"].bytes_written):
            assert bytes_of.evaluate({"batch": 3}) == 3 * WIDTH * width


@pytest.mark.parametrize("machine", OTHERS)
@pytest.mark.parametrize("precision", ["native", "fp16", "int8"])
def test_machines_without_recorded_graphs_run_what_is_compiled(machine: str, precision: str) -> None:
    hardware = ic.hardware.load(machine)
    for graph in (blocks(), transformer()):
        compiled, recorded = (evaluated(graph, way, hardware, precision) for way in ("compiled", "reduce-overhead"))
        for name, column in compiled.items():
            assert np.array_equal(recorded[name], column, equal_nan=True), name
        ways = [
            ic.estimate(graph, hardware=hardware, precision=precision, execution=way)
            for way in ("compiled", "reduce-overhead")
        ]
        assert ways[0].layers == ways[1].layers
        assert ways[0].latency_s == ways[1].latency_s


@pytest.mark.parametrize("machine", GPUS)
def test_on_a_gpu_the_gap_is_that_of_a_replay_and_the_host_issues_nothing(machine: str) -> None:
    hardware = ic.hardware.load(machine)
    graph = transformer()
    sizes = {"batch": 4, "sequence": 32}
    shorter_s = hardware.overheads_s["launch_gap"] - hardware.overheads_s["replay_gap"]
    compiled, recorded = (
        _core.evaluate_kernels(plan_of(graph, way), sizes, hardware) for way in ("compiled", "reduce-overhead")
    )
    copies, others = recorded[:1], recorded[1:]
    waits_s = [kernel.parts_s.get("host", 0.0) + kernel.parts_s.get("start", 0.0) for kernel in compiled]
    for before, wait_s, after in zip(compiled, waits_s, others, strict=True):
        assert (before.name, before.launches) == (after.name, after.launches)
        assert "host" not in after.parts_s
        device_s = after.latency_s - after.parts_s.get("start", 0.0)
        assert device_s == pytest.approx(before.latency_s - wait_s - shorter_s, rel=1e-9)
    # The call of the module remains, as a start that all launches share.
    launches = [(kernel, len(kernel.launches)) for kernel in recorded]
    start_s = sum(kernel.parts_s.get("start", 0.0) * count for kernel, count in launches)
    assert start_s == pytest.approx(hardware.constants.get("forward.start_s", 0.0))
    # 4 x 3 x 32 x 8 floats are read and written.
    assert copies[0].traffic_bytes == 2 * 4 * 3 * 32 * 8 * FLOAT32


def test_the_memory_of_a_recorded_graph_holds_the_copies() -> None:
    graph = blocks()
    peaks = {
        (machine, way): evaluated(graph, way, ic.hardware.load(machine))["peak_memory_bytes"]
        for machine in ("l4", "epyc-7763", "tpu-v5e")
        for way in ("compiled", "reduce-overhead")
    }
    copied = np.asarray([1, 2, 7, 64, 1000]) * WIDTH * FLOAT32
    assert np.array_equal(peaks["l4", "reduce-overhead"], peaks["l4", "compiled"] + copied)
    for machine in ("epyc-7763", "tpu-v5e"):
        assert np.array_equal(peaks[machine, "reduce-overhead"], peaks[machine, "compiled"])


def test_a_small_forward_is_fastest_where_kernels_are_few_and_the_host_is_idle() -> None:
    graph = transformer(layers=8)
    latency_s = {
        way: ic.estimate(graph, hardware="a100-sxm-80gb", execution=way).latency_s for way in _core.executions()
    }
    start_s = ic.hardware.load("a100-sxm-80gb").constants["forward.start_s"]
    assert latency_s["reduce-overhead"] < min(latency_s["eager"], latency_s["compiled"])
    assert latency_s["reduce-overhead"] - start_s < latency_s["cuda_graph"]  # which has no call of a module
