"""Plans keep the work of their graph; estimates follow from the plan's kernels within the machine's limits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from support.single_node import FLOAT32, T, single_node
from support.toy_graphs import BLOCKS, blocks, transformer

import pyinfercost as ic
from pyinfercost import _core

MACHINES = ["a100-sxm-80gb", "epyc-7763", "tpu-v5e"]  # one of each kind
EXECUTIONS = _core.executions()
PRECISIONS = ["fp32", "bf16", "int8"]


@pytest.fixture(scope="module", params=[blocks, transformer])
def graph(request: pytest.FixtureRequest) -> ic.Graph:
    return request.param()


def sizes_of(graph: ic.Graph, batch: int = 4) -> dict[str, int]:
    return {name: batch if name == "batch" else 32 for name in graph.sizes}


FUSED = ("compiled", "reduce-overhead")


def total(plan: ic.devices.Plan, quantity: str) -> int:
    """A sum over kernels, without copies of inputs into a recorded graph."""
    return sum(getattr(kernel["work"], quantity) * len(kernel["launches"]) for kernel in without_input_copies(plan))


def without_input_copies(plan: ic.devices.Plan) -> list[dict[str, Any]]:
    return [kernel for kernel in plan.kernels() if not kernel["hints"].copies_input]


WORK = ("contraction_flops", "causal_flops", "pointwise_flops")


# ---- plans -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("execution", EXECUTIONS)
def test_no_flop_is_lost_and_no_byte_gained(graph: ic.Graph, execution: str, precision: str) -> None:
    sizes = sizes_of(graph)
    counts = ic.count(graph, precision=precision, **sizes)
    plan = _core.plan(graph, sizes, execution=execution, precision=precision)
    products = ("contraction_flops", "causal_flops")
    assert {name: total(plan, name) for name in products} == {name: getattr(counts.total, name) for name in products}
    moved = {name: (total(plan, name), getattr(counts.total, name)) for name in ("bytes_read", "bytes_written")}
    if execution not in FUSED:
        assert total(plan, "pointwise_flops") == counts.total.pointwise_flops
        assert all(planned == counted for planned, counted in moved.values())
        return
    assert all(fused < eager for fused, eager in moved.values())
    computed = set()
    for kernel in plan.kernels():
        work, nodes = kernel["work"], kernel["launches"][0]
        assert work.bytes_read >= 0 <= work.bytes_written
        counted = sum(counts.layers[node].row.pointwise_flops for node in nodes)
        if work.kind in LIBRARY_KINDS:  # the bias of a product may be added by the loop that follows
            assert work.pointwise_flops in (0, counted)
        else:  # what is cheaper computed again than kept is in each kernel that reads it, whole
            assert work.pointwise_flops == counted
        if work.pointwise_flops:
            computed.update(node for launch in kernel["launches"] for node in launch)
    assert computed == {layer.index for layer in counts.layers if layer.row.pointwise_flops}


LIBRARY_KINDS = {"gemm", "convolution", "attention", "copy"}
"""What a compiler calls; a copy brings an operand into the order in which a library takes it."""


@pytest.mark.parametrize("execution", EXECUTIONS)
def test_every_node_that_runs_is_in_a_launch(graph: ic.Graph, execution: str) -> None:
    sizes = sizes_of(graph)
    plan = _core.plan(graph, sizes, execution=execution)
    kernels = plan.kernels()
    assert len(kernels) == plan.kernel_count
    assert sum(len(kernel["launches"]) for kernel in kernels) == plan.launch_count
    own = without_input_copies(plan)
    launched = Counter(node for kernel in own for launch in kernel["launches"] for node in launch)
    running = {x.index for x in ic.count(graph, **sizes).layers if x.work.kind != "free"}
    assert set(launched) == running
    if execution not in FUSED:  # a compiler splits a product from its bias, and computes again what is cheap
        assert set(launched.values()) == {1}
    for index in range(len(graph)):
        kernel = plan.kernel_of_node(index)
        assert (kernel >= 0) == (index in running)
        if kernel >= 0:
            assert any(index in launch for launch in kernels[kernel]["launches"])


def test_identical_kernels_are_kept_once() -> None:
    plan = _core.plan(blocks(), {"batch": 4})
    kept = sorted((kernel["name"], len(kernel["launches"])) for kernel in plan.kernels())
    # The last product is a kernel of its own: its result is that of the graph, and stays in memory.
    products = [("aten.linear", 1), ("aten.linear", BLOCKS)]
    assert kept == [("aten.add", BLOCKS), *products, ("aten.relu", BLOCKS)]
    assert (plan.kernel_count, plan.launch_count) == (4, 3 * BLOCKS + 1)


def test_kernels_that_differ_are_kept_apart() -> None:
    builder = ic.GraphBuilder()
    x = builder.tensor("float32", (8,), role="input")
    for dtype, role in (("float32", "input"), ("float16", "input"), ("float32", "parameter")):
        other = builder.tensor(dtype, (8,), role=role)
        builder.node("aten.add", {"self": x, "other": other}, [builder.tensor("float32", (8,))])
    assert _core.plan(builder.build([x], []), {}).kernel_count == 3


def test_a_chain_of_pointwise_work_becomes_one_pass() -> None:
    builder = ic.GraphBuilder()
    x = x_0 = builder.tensor("float32", (8,), role="input")
    for op in ("exp", "sin", "neg"):
        y = builder.tensor("float32", (8,))
        builder.node(f"aten.{op}", {"self": x}, [y])
        x = y
    graph = builder.build([x_0], [x])
    (kernel,) = _core.plan(graph, {}, execution="compiled").kernels()
    assert kernel["launches"] == [[0, 1, 2]]
    assert (kernel["work"].bytes_read, kernel["work"].bytes_written) == (FLOAT32 * 8, FLOAT32 * 8)
    assert kernel["work"].pointwise_flops == 3 * 8


def test_a_result_of_the_graph_is_written_even_when_fused() -> None:
    builder = ic.GraphBuilder()
    x, a, b = (
        builder.tensor("float32", (8,), role="input"),
        builder.tensor("float32", (8,)),
        builder.tensor("float32", (8,)),
    )
    builder.node("aten.exp", {"self": x}, [a])
    builder.node("aten.sin", {"self": a}, [b])
    plan = _core.plan(builder.build([x], [a, b]), {}, execution="compiled")
    assert total(plan, "bytes_written") == FLOAT32 * 16


@pytest.mark.parametrize("execution", EXECUTIONS)
def test_a_callers_rule_keeps_its_work_in_every_plan(execution: str) -> None:
    graph = blocks(custom_op=True)
    work = ic.Work(contraction_flops=1000, pointwise_flops=10, bytes_read=5, bytes_written=6)
    overrides = {len(graph) - 1: work}
    plan = _core.plan(graph, {"batch": 4}, execution=execution, overrides=overrides)
    counts = _core.count(graph, {"batch": 4}, overrides=overrides).total
    assert {name: total(plan, name) for name in WORK} == {name: getattr(counts, name) for name in WORK}


def test_a_callers_op_is_a_kernel_of_its_own() -> None:
    """A compiler leaves an operator that it does not know as it is: nothing passes into it in registers."""
    builder = ic.GraphBuilder()
    x, a, b = (
        builder.tensor("float32", (8,), role="input"),
        builder.tensor("float32", (8,)),
        builder.tensor("float32", (8,)),
    )
    builder.node("aten.exp", {"self": x}, [a])
    builder.node("mylib.mix", {"x": a}, [b])
    work = ic.Work(contraction_flops=1000, bytes_read=FLOAT32 * 8, bytes_written=FLOAT32 * 8)
    plan = _core.plan(builder.build([x], [b]), {}, execution="compiled", overrides={1: work})
    assert [kernel["launches"] for kernel in plan.kernels()] == [[[0]], [[1]]]
    assert total(plan, "bytes_written") == 2 * FLOAT32 * 8
    assert total(plan, "contraction_flops") == total(plan, "causal_flops") == 1000


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"precision": "fp12"}, "unknown precision 'fp12'; expected one of native, fp64, fp32"),
        ({"execution": "lazy"}, "unknown execution 'lazy'; expected .*eager.*compiled.*cuda_graph"),
        ({"overrides": {99: ic.Work()}}, "a rule is given for node 99; the graph has"),
    ],
)
def test_what_a_plan_refuses(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        _core.plan(blocks(), {}, **arguments)


# ---- estimates -------------------------------------------------------------------------------------------------------


def points(values: list[int]) -> np.ndarray[Any, np.dtype[np.int64]]:
    return np.array(values, dtype=np.int64)


COLUMNS = {"latency_s", "compute_s", "dram_s", "cache_s", "link_s", "launch_s", "peak_memory_bytes"}


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("execution", EXECUTIONS)
def test_a_point_of_a_sweep_is_that_point_alone(graph: ic.Graph, machine: str, execution: str) -> None:
    hardware = ic.hardware.load(machine)
    batches = [1, 2, 3, 64, 257, 1000] * 50  # more than one block of points
    other = {name: points([32] * len(batches)) for name in graph.sizes if name != "batch"}
    plan = _core.plan(graph, {}, execution=execution, precision="bf16")
    sweep = _core.evaluate(plan, {"batch": points(batches), **other}, hardware, points=len(batches))
    assert set(sweep) >= COLUMNS
    for at in (0, 3, 4, 255, 256, 299):
        alone = _core.evaluate(
            plan, {n: c[at : at + 1] for n, c in {"batch": points(batches), **other}.items()}, hardware, points=1
        )
        bound = _core.plan(graph, sizes_of(graph, batches[at]), execution=execution, precision="bf16")
        fixed = _core.evaluate(bound, {}, hardware, points=1)
        for name in COLUMNS:
            assert alone[name][0] == sweep[name][at], name
            assert fixed[name][0] == pytest.approx(sweep[name][at], rel=1e-12), name


@pytest.mark.parametrize("batch", [4, 4096])
@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("execution", EXECUTIONS)
def test_kernels_sum_to_the_latency(graph: ic.Graph, machine: str, execution: str, batch: int) -> None:
    hardware = ic.hardware.load(machine)
    plan = _core.plan(graph, sizes_of(graph, batch), execution=execution)
    whole = {name: column[0] for name, column in _core.evaluate(plan, {}, hardware, points=1).items()}
    kernels = _core.evaluate_kernels(plan, {}, hardware)
    assert sum(k.latency_s * len(k.launches) for k in kernels) == pytest.approx(whole["latency_s"], rel=1e-12)
    spent = sum(whole[f"{bound}_s"] for bound in _core.bounds())
    assert spent == pytest.approx(whole["latency_s"], rel=1e-12)
    # A host that issues kernels runs ahead of a GPU: the slower of the two is seen, after the start of the forward.
    waits_s = {name: sum(k.parts_s.get(name, 0.0) * len(k.launches) for k in kernels) for name in WAITS}
    device_s = whole["latency_s"] - sum(waits_s.values())
    issue_s = {
        "eager": hardware.overheads_s["dispatch"],
        "compiled": hardware.constants.get("forward.compiled_dispatch_s", 0.0),
        "cuda_graph": 0.0,
        "reduce-overhead": 0.0,
    }
    host_s = issue_s[execution] * plan.launch_count if hardware.kind == "gpu" else 0.0
    start_s = 0.0 if execution == "cuda_graph" else hardware.constants.get("forward.start_s", 0.0)
    assert whole["latency_s"] == pytest.approx(start_s + max(device_s, host_s), rel=1e-9)
    assert waits_s["host"] == pytest.approx(max(0.0, host_s - device_s), abs=1e-9 * device_s)


WAITS = ("host", "start")
"""Parts of a launch in which the device does nothing."""


def laid_out_before(hardware: ic.Hardware, execution: str, kernel: _core.KernelEstimate) -> bool:
    """Whether a copy of weights into another layout happens before the forward, in a compiler for arrays."""
    return hardware.kind == "systolic" and execution != "eager" and kernel.kind == "copy" and kernel.latency_s == 0


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("execution", EXECUTIONS)
def test_a_kernel_takes_its_launch_and_the_longest_of_its_terms(graph: ic.Graph, machine: str, execution: str) -> None:
    hardware = ic.hardware.load(machine)
    plan = _core.plan(graph, sizes_of(graph), execution=execution)
    for k in _core.evaluate_kernels(plan, {}, hardware):
        busy_s, memory_s = k.latency_s - k.launch_s, max(k.dram_s, k.cache_s)
        longest_s = max(k.compute_s, memory_s)
        hidden_s = min(k.compute_s, k.dram_s)
        rounding_s = 1e-12 * k.latency_s
        if hardware.kind == "cpu":  # what a kernel does beside its arithmetic comes before or after it
            assert busy_s == pytest.approx(k.compute_s + memory_s, abs=rounding_s)
        elif hardware.kind == "gpu":  # of the shorter of cores and dram, a part is not hidden
            assert longest_s - rounding_s <= busy_s <= longest_s + hidden_s + rounding_s
        else:  # arithmetic and bytes from memory: at most their 4-norm
            assert longest_s - rounding_s <= busy_s <= 2**0.25 * longest_s + rounding_s
        assert k.bound in _core.bounds()
        joined = hardware.kind == "cpu" and execution != "eager"  # a loop that goes on where another ended
        prepared = laid_out_before(hardware, execution, k)
        assert k.launch_s > 0 or ((joined or prepared) and k.launch_s == 0)


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("execution", EXECUTIONS)
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_no_kernel_beats_the_roofline(graph: ic.Graph, machine: str, execution: str, precision: str) -> None:
    """Not faster than the best engine's peak, and not faster than the fastest memory can move its bytes."""
    hardware = ic.hardware.load(machine)
    peak = max([*hardware.matrix_flop_per_s.values(), *hardware.vector_flop_per_s.values()])
    bandwidth = max(level[2] for level in hardware.memory)
    plan = _core.plan(graph, sizes_of(graph, 256), execution=execution, precision=precision)
    kernels = plan.kernels() if hardware.kind == "gpu" else without_input_copies(plan)
    for kernel, estimate in zip(kernels, _core.evaluate_kernels(plan, {}, hardware), strict=True):
        if laid_out_before(hardware, execution, estimate):
            continue
        work = kernel["work"]
        if estimate.latency_s == 0:  # prepared from weights before any forward
            assert execution in FUSED
            assert hardware.kind != "gpu"
            assert {key for key, moved in work.bytes_by_role.items() if moved} <= {"weight_read", "activation_written"}
            continue
        busy = max(estimate.compute_s, estimate.dram_s, estimate.cache_s)
        assert busy * peak >= work.contraction_flops
        assert busy * bandwidth >= work.bytes_read + work.bytes_written


def test_what_does_not_fit_a_cache_comes_from_dram_at_its_bandwidth() -> None:
    for machine in MACHINES:
        hardware = ic.hardware.load(machine)
        elements = 2**32
        plan = _core.plan(single_node("aten.exp", {"self": T((elements,))}, T((elements,))), {})
        (estimate,) = _core.evaluate_kernels(plan, {}, hardware)
        # A bus that reads as much as it writes pauses for `turnaround` times each byte that it writes.
        moved = FLOAT32 * elements * (2 + hardware.constants.get("stream.turnaround", 0.0))
        reached = hardware.achieved.get("dram", 1.0) * hardware.constants.get("kernel.pointwise.dram", 1.0)
        faults = estimate.parts_s.get("faults", 0.0)  # of memory that is mapped anew
        assert estimate.dram_s - faults == pytest.approx(moved / hardware.bandwidth_byte_per_s / reached, rel=1e-9)


def convolutions() -> ic.Graph:
    """Windows of several sizes, dense and depthwise."""
    builder = ic.GraphBuilder("convolutions")
    batch = builder.size("batch", default=1)
    x = x_0 = builder.tensor("float32", (batch, 64, 56, 56), role="input")
    channels = 64
    for outputs, groups, window in ((64, 1, 3), (256, 1, 1), (256, 256, 5), (128, 1, 7), (512, 1, 3)):
        weight = builder.tensor("float32", (outputs, channels // groups, window, window), role="parameter")
        y = builder.tensor("float32", (batch, outputs, 56, 56))
        builder.node("aten.conv2d", {"input": x, "weight": weight, "groups": groups}, [y])
        x, channels = y, outputs
    return builder.build([x_0], [x])


BETTER = [
    {"compute": 1.01},
    {"compute": 5.0},
    {"bandwidth": 2.0},
    {"cores": 1.1},
    {"cores": 3.0},
    {"compute": 1.5, "bandwidth": 3.0, "cores": 4.0},
]


@pytest.mark.parametrize("machine", [*MACHINES, "v100-pcie-16gb", "mi300x", "intel-max-1550"])
@pytest.mark.parametrize("execution", EXECUTIONS)
@pytest.mark.parametrize("make", [blocks, transformer, convolutions])
def test_better_hardware_is_never_slower(make: Callable[[], ic.Graph], machine: str, execution: str) -> None:
    hardware, graph = ic.hardware.load(machine), make()
    plan = _core.plan(
        graph, {name: 32 for name in graph.sizes if name != "batch"}, execution=execution, precision="bf16"
    )
    batches = {"batch": points([1, 2, 7, 8, 33, 100, 256, 1000, 4000])}
    now = _core.evaluate(plan, batches, hardware, points=9)["latency_s"]
    for better in BETTER:
        if "cores" in better and hardware.kind == "cpu":
            continue  # each thread of a parallel loop costs something: small loops on more of them take longer
        then = _core.evaluate(plan, batches, hardware.scaled(**better), points=9)["latency_s"]
        assert (then <= now * (1 + 1e-12)).all(), (better, (then / now).tolist())


@pytest.mark.parametrize("machine", MACHINES)
def test_more_work_takes_longer(graph: ic.Graph, machine: str) -> None:
    plan = _core.plan(graph, {name: 32 for name in graph.sizes if name != "batch"})
    batches = [1, 4, 16, 64, 256, 1024, 4096]
    hardware = ic.hardware.load(machine)
    latency = _core.evaluate(plan, {"batch": points(batches)}, hardware, points=len(batches))["latency_s"]
    assert (np.diff(latency) >= -1e-12 * latency[1:]).all()  # a host that is slower takes the same for all


@pytest.mark.parametrize("machine", MACHINES)
def test_far_from_every_floor_time_is_proportional_to_work(machine: str) -> None:
    plan = _core.plan(transformer(), {"sequence": 32})
    latency = _core.evaluate(plan, {"batch": points([2**16, 2**18])}, ic.hardware.load(machine), points=2)["latency_s"]
    assert latency[1] / latency[0] == pytest.approx(4, rel=0.05)


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({}, "size 'batch' is not given"),
        ({"batch": points([1, 2, 3])}, "size 'batch' has 3 values; expected 2"),
        ({"batch": points([1, 5000])}, "size 'batch' is 5000; expected at least 1 and at most 4096"),
        ({"batch": points([1, 2]), "bach": points([1, 2])}, "unknown size 'bach'"),
    ],
)
def test_columns_that_do_not_fit(sizes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        _core.evaluate(_core.plan(blocks(), {}), sizes, ic.hardware.load("t4"), points=2)


def test_peak_memory_is_that_of_the_counts(graph: ic.Graph) -> None:
    plan = _core.plan(graph, {}, precision="fp16")
    sizes = sizes_of(graph, 7)
    columns = _core.evaluate(plan, {n: points([v]) for n, v in sizes.items()}, ic.hardware.load("t4"), points=1)
    assert columns["peak_memory_bytes"][0] == ic.count(graph, precision="fp16", **sizes).total.peak_memory_bytes
