"""The CPU model of kernels: loops, layouts, parallel regions, new memory."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

import pytest

import pyinfercost as ic

ELEMENTS = 2**20
CORES = 4

Level: TypeAlias = tuple[str, float, float]
FREE: Level = ("dram", 1e15, 1e30)


def machine(**constants: float) -> ic.Hardware:
    """A CPU where arithmetic and bytes cost next to nothing: what is left is what a test sets."""
    return cpu({f"cpu.{name}": value for name, value in constants.items()})


def cpu(
    constants: Mapping[str, float],
    cores: int = CORES,
    dram: Level = FREE,
    achieved: float = 1.0,
    memory: list[Level] | None = None,
    dispatch_s: float = 0.0,
) -> ic.Hardware:
    """The same, with memory or calls that are not free."""
    return ic.Hardware(
        id="toy",
        name="toy",
        kind="cpu",
        family="toy",
        cores=cores,
        clock_hz=1e9,
        matrix_flop_per_s={},
        vector_flop_per_s={"float32": 1e30},
        memory=memory or [("llc", 1e12 if dram is FREE else 2**20, 1e30), dram],
        overheads_s={"dispatch": dispatch_s, "launch_gap": 0.0, "replay_gap": 0.0, "kernel_minimum": 0.0},
        achieved={"dram": achieved},
        power_w={},
        links_byte_per_s={},
        constants=dict(constants),
    )


def one_op(op: str, shape: tuple[int, ...] = (ELEMENTS,), **arguments: Any) -> ic.Graph:
    builder = ic.GraphBuilder(op)
    x = builder.tensor("float32", shape, role="input", name="x")
    y = builder.tensor("float32", shape)
    builder.node(f"aten.{op}", {"self": x, **arguments}, [y])
    return builder.build([x], [y])


def convolution(channels: int, side: int, window: int, groups: int = 1, images: int = 2) -> ic.Graph:
    builder = ic.GraphBuilder("convolution")
    shape = (images, channels, side, side)
    x = builder.tensor("float32", shape, role="input", name="x")
    w = builder.tensor("float32", (channels, channels // groups, window, window), role="parameter", name="w")
    y = builder.tensor("float32", shape)
    arguments = {"input": x, "weight": w, "padding": [window // 2] * 2, "stride": [1, 1], "groups": groups}
    builder.node("aten.conv2d.default", arguments, [y])
    return builder.build([x], [y])


def seconds(graph: ic.Graph, hardware: ic.Hardware, execution: str = "eager") -> float:
    return ic.estimate(graph, hardware=hardware, execution=execution).latency_s


def test_special_functions_cost_what_a_core_needs_for_each_element() -> None:
    hardware = machine(special_s=1e-9)
    assert seconds(one_op("sigmoid"), hardware) == pytest.approx(ELEMENTS * 1e-9 / CORES, rel=1e-6)
    assert seconds(one_op("mish"), hardware) == pytest.approx(3 * ELEMENTS * 1e-9 / CORES, rel=1e-6)
    assert seconds(one_op("relu"), hardware) < 1e-9


def test_a_compiler_has_vectors_for_what_eager_leaves_to_a_library() -> None:
    hardware = machine(special_s=1e-9, library_s=5e-9)
    assert seconds(one_op("tanh"), hardware) == pytest.approx(5 * seconds(one_op("tanh"), hardware, "compiled"))


def test_loops_of_a_fused_kernel_add_up() -> None:
    builder = ic.GraphBuilder("chain")
    x = builder.tensor("float32", (ELEMENTS,), role="input", name="x")
    hidden, y = builder.tensor("float32", (ELEMENTS,)), builder.tensor("float32", (ELEMENTS,))
    builder.node("aten.sigmoid", {"self": x}, [hidden])
    builder.node("aten.silu", {"self": hidden}, [y])
    graph = builder.build([x], [y])
    assert seconds(graph, machine(special_s=1e-9), "compiled") == pytest.approx(2 * ELEMENTS * 1e-9 / CORES, rel=1e-6)


@pytest.mark.parametrize(("elements", "threads"), [(1000, 1), (32768, 1), (32769, 2), (65536, 2), (2**20, CORES)])
def test_a_loop_pays_for_each_thread_that_shares_it(elements: int, threads: int) -> None:
    region = 0.0 if threads == 1 else threads * 1e-6
    assert seconds(one_op("relu", (elements,)), machine(region_s=1e-6)) == pytest.approx(region, abs=1e-12)


def test_memory_that_is_mapped_anew_faults() -> None:
    hardware = machine(fault_s_per_byte=1e-10)
    limit = 32 * 2**20 // 4  # elements of 32 MiB, beyond which glibc maps memory for each result
    assert seconds(one_op("relu", (limit,)), hardware) < 1e-9
    assert seconds(one_op("relu", (limit + 1,)), hardware) == pytest.approx(4 * (limit + 1) * 1e-10, rel=1e-6)


def test_compiled_loops_write_into_mapped_memory_and_products_do_not() -> None:
    hardware = machine(fault_s_per_byte=1e-10)
    assert seconds(one_op("relu", (2**24,)), hardware, "compiled") < 1e-9
    rows = 2**15  # 64 MiB of results
    for execution in ("eager", "compiled"):
        estimate = ic.estimate(linear(), hardware=hardware, rows=rows, execution=execution)
        assert estimate.latency_s == pytest.approx(4 * rows * 512 * 1e-10, rel=1e-6)


def test_a_compiled_module_checks_its_weights_in_each_call() -> None:
    hardware = cpu({"forward.start_s": 1e-3, "forward.compiled_start_s": 1e-4, "forward.guard_s": 1e-5})
    assert seconds(linear(), hardware) == pytest.approx(1e-3, rel=1e-6)
    for execution in ("compiled", "reduce-overhead"):
        assert seconds(linear(), hardware, execution) == pytest.approx(1e-3 + 1e-4 + 1e-5, rel=1e-6)
    for execution in ("eager", "compiled"):  # nothing is checked where there are no weights
        assert seconds(one_op("relu"), hardware, execution) == pytest.approx(1e-3, rel=1e-6)


def test_a_library_reorders_weights_and_eager_activations() -> None:
    channels, side = 64, 32
    graph, weights = convolution(channels, side, 3), 64 * 64 * 9
    reordering = machine(transpose_s=1e-9)
    assert seconds(graph, reordering) == pytest.approx(weights * 1e-9 / CORES, rel=1e-6)
    # The compiler turns the window outwards first.
    assert seconds(graph, reordering, "compiled") == pytest.approx(2 * weights * 1e-9 / CORES, rel=1e-6)


@pytest.mark.parametrize(("images", "copiers"), [(1, 1), (2, 2), (CORES, CORES), (2 * CORES, CORES)])
def test_a_library_copies_activations_image_by_image(images: int, copiers: int) -> None:
    channels, side = 64, 32
    copied = 2 * images * channels * side**2  # into the layout of the library, and out of it
    graph = convolution(channels, side, 3, images=images)
    assert seconds(graph, machine(copying_s=1e-9)) == pytest.approx(copied * 1e-9 / copiers, rel=1e-6)
    assert seconds(graph, machine(copying_s=1e-9), "compiled") < 1e-9  # channels lie innermost there


def test_blocks_of_channels_that_are_not_full_are_copied_slowly() -> None:
    full, broken = (seconds(convolution(c, 32, 3, groups=c), machine(copying_s=1e-9)) for c in (64, 72))
    assert broken / full == pytest.approx(3 * 80 / 64, rel=0.01)  # 72 channels begin five blocks of 16


def normalized(op: str, **arguments: Any) -> ic.Graph:
    builder = ic.GraphBuilder(op)
    x = builder.tensor("float32", (2, 64, 32, 32), role="input", name="x")
    w = builder.tensor("float32", (64, 64, 3, 3), role="parameter", name="w")
    made, y = (builder.tensor("float32", (2, 64, 32, 32)) for _ in range(2))
    convolved = {"input": x, "weight": w, "padding": [1, 1], "stride": [1, 1], "groups": 1}
    builder.node("aten.conv2d.default", convolved, [made])
    builder.node(f"aten.{op}.default", {"input": made, **arguments}, [y])
    return builder.build([x], [y])


def test_groups_of_channels_are_no_rows_where_channels_lie_innermost() -> None:
    elements = 2 * 64 * 32 * 32
    graph = normalized("group_norm", num_groups=8)
    hardware = machine(row_s=1e-9, scattered_s=7e-9)
    assert seconds(graph, hardware) == pytest.approx(elements * 1e-9 / CORES, rel=1e-6)
    assert seconds(graph, hardware, "compiled") == pytest.approx(elements * 7e-9 / CORES, rel=1e-6)
    # A machine of which that is not known takes them for rows.
    assert seconds(graph, machine(row_s=1e-9), "compiled") == pytest.approx(elements * 1e-9 / CORES, rel=1e-6)


def test_each_kind_of_convolution_has_its_share_of_the_peak() -> None:
    shares = {"convolution": 0.5, "pixelwise": 0.25, "grouped": 0.125, "depthwise": 0.0625}
    state = machine(**shares).scaled(compute=1e-18)  # 1 TFLOP/s
    graphs = {
        "convolution": convolution(64, 64, 3),
        "pixelwise": convolution(64, 64, 1),
        "grouped": convolution(64, 64, 3, groups=4),
        "depthwise": convolution(64, 64, 3, groups=64),
    }
    for name, graph in graphs.items():
        flops = ic.count(graph).total.contraction_flops
        assert seconds(graph, state) >= flops / 1e12 / shares[name] * (1 - 1e-9)
        assert seconds(graph, state) < 2 * flops / 1e12 / shares[name]


def linear(dtype: str = "float32", rows_default: int = 2, width: int = 256, results: int = 512) -> ic.Graph:
    builder = ic.GraphBuilder("linear")
    rows = builder.size("rows", default=rows_default)
    x = builder.tensor(dtype, (rows, width), role="input", name="x")
    w = builder.tensor(dtype, (results, width), role="parameter", name="w")
    y = builder.tensor(dtype, (rows, results))
    builder.node("aten.linear.default", {"input": x, "weight": w}, [y])
    return builder.build([x], [y])


def test_few_rows_read_weights_in_place_and_more_rows_pack_them() -> None:
    # 256 x 512 elements on 4 cores; 3 ns to pack one, 1 ns to read one.
    hardware = machine(packing_s=3e-9, gemv_s=1e-9)
    for rows, element_s in ((1, 1e-9), (3, 1e-9), (4, 3e-9 + 1e-9), (64, 3e-9 + 1e-9)):
        latency_s = ic.estimate(linear(), hardware=hardware, rows=rows).latency_s
        assert latency_s == pytest.approx(256 * 512 * element_s / CORES, rel=1e-6)


def test_narrow_weights_are_not_packed() -> None:
    hardware = machine(packing_s=3e-9, gemv_s=1e-9)
    latency_s = ic.estimate(linear("bfloat16"), hardware=hardware, rows=64).latency_s
    assert latency_s == pytest.approx(256 * 512 * 1e-9 / CORES, rel=1e-6)


def test_arithmetic_of_few_rows_overlaps_with_the_weights() -> None:
    hardware = machine(gemv_s=1e-9).scaled(compute=1e-19)  # 1e11 FLOP/s
    read_s = 256 * 512 * 1e-9 / CORES
    arithmetic_s = 2 * 256 * 512 / 1e11
    of = {rows: ic.estimate(linear(), hardware=hardware, rows=rows).latency_s for rows in (1, 4)}
    assert of[1] == pytest.approx(max(read_s, arithmetic_s), rel=1e-6)
    assert of[4] == pytest.approx(read_s + 4 * arithmetic_s, rel=1e-6)


def test_a_core_draws_no_more_of_dram_than_its_lines_in_flight() -> None:
    weights = 4 * 2**26  # bytes, beyond the caches
    whole = cpu({"limits.dram_byte_per_s_per_core": 20e9}, cores=96, dram=("dram", 1e15, 400e9), achieved=0.5)
    graph = linear(width=2**13, results=2**13)
    # One core draws 20 GB/s, four draw 80, and 96 would draw 1,920, of which memory gives 0.5 x 400.
    for cores, byte_per_s in ((1, 20e9), (4, 80e9), (10, 200e9), (96, 200e9)):
        part = whole.scaled(cores=cores / 96)
        latency_s = ic.estimate(graph, hardware=part, rows=1).latency_s
        assert latency_s == pytest.approx(weights / byte_per_s, rel=1e-3)
        assert part.bandwidth_byte_per_s == min(400e9, cores * 20e9)


@pytest.mark.parametrize(("threads", "opened"), [(4, 4.0), (8, 8.0), (72, 9.0), (136, 10.0)])
def test_groups_of_threads_open_a_loop_side_by_side(threads: int, opened: float) -> None:
    hardware = cpu({"cpu.region_s": 1e-6}, cores=threads)
    assert seconds(one_op("relu", (2**24,)), hardware) == pytest.approx(opened * 1e-6, rel=1e-6)


def chain(ops: list[str], elements: int = ELEMENTS) -> ic.Graph:
    builder = ic.GraphBuilder("chain")
    x = first = builder.tensor("float32", (elements,), role="input", name="x")
    for op in ops:
        y = builder.tensor("float32", (elements,))
        builder.node(f"aten.{op}", {"self": x}, [y])
        x = y
    return builder.build([first], [x])


# Two operands of 4 MiB in private caches of as many bytes per unit.
@pytest.mark.parametrize(
    ("ops", "capacity_mib", "evicted"),
    [
        (["relu"] * 4, 8.0 / 0.4, 0.0),
        (["relu"] * 4, 8.0, 0.5),
        (["relu"] * 4, 8.0 / 1.6, 1.0),
        (["relu", "neg"] * 2, 8.0 * 2, 0.5),  # the other op moves as much in between
        (["relu", "neg", "abs", "sign"], 8.0 * 4, 0.5),  # each op follows itself in the next forward
    ],
)
def test_calls_are_cold_as_far_as_the_kernels_in_between_evicted_them(
    ops: list[str], capacity_mib: float, evicted: float
) -> None:
    memory = [("l2", capacity_mib * 2**20, 1e30), ("llc", 1e12, 1e30), ("dram", 1e15, 1e30)]
    hardware = cpu({"cpu.cold_dispatch_s": 1e-6}, memory=memory)
    assert seconds(chain(ops), hardware) == pytest.approx(len(ops) * evicted * 1e-6, abs=1e-9)
    assert seconds(chain(ops), hardware, "compiled") < 1e-9  # the loops of a compiler pass no dispatcher


@pytest.mark.parametrize("execution", ["eager", "compiled"])
def test_libraries_have_cold_calls_of_their_own(execution: str) -> None:
    graph = convolution(64, 64, 3)
    constants = {"cpu.cold_dispatch_s": 1e-6, "cpu.cold_product_s": 2e-6, "cpu.cold_convolution_s": 4e-6}
    memory = [("l2", 2.0**16, 1e30), ("llc", 1e12, 1e30), ("dram", 1e15, 1e30)]
    assert seconds(graph, cpu(constants, memory=memory), execution) == pytest.approx(7e-6, abs=1e-9)
    assert seconds(linear("float32"), cpu(constants, memory=memory), execution) == pytest.approx(3e-6, abs=1e-9)


def test_weights_beyond_the_private_caches_are_read_at_their_own_rate() -> None:
    weights = 4 * 2**20
    constants = {"cpu.weight_stream": 0.5}
    graph = linear(width=2**10, results=2**10)
    private = [("l2", 1e9, 1e30), ("llc", 2e9, 1e9), ("dram", 1e15, 1e9)]
    assert ic.estimate(graph, hardware=cpu(constants, memory=private), rows=1).latency_s < 1e-9
    shared = [("l2", 1e3, 1e30), ("llc", 2e9, 1e9), ("dram", 1e15, 1e30)]
    latency_s = ic.estimate(graph, hardware=cpu(constants, memory=shared), rows=1).latency_s
    assert latency_s == pytest.approx(2 * weights / 1e9, rel=0.01)
    neither = [("l2", 1e3, 1e30), ("llc", 2e3, 1e30), ("dram", 1e15, 1e9)]
    latency_s = ic.estimate(graph, hardware=cpu(constants, memory=neither), rows=1).latency_s
    assert latency_s == pytest.approx(2 * weights / 1e9, rel=0.01)


def test_16_bit_weights_are_arranged_in_each_call_unless_a_compiler_did_so() -> None:
    hardware = machine(gemv_s=1e-9, half_gemv_s=3e-9)
    for dtype, execution, element_s in (
        ("float32", "eager", 1e-9),
        ("bfloat16", "eager", 3e-9),
        ("bfloat16", "compiled", 1e-9),
    ):
        estimate = ic.estimate(linear(dtype), hardware=hardware, rows=1, execution=execution)
        assert estimate.latency_s == pytest.approx(256 * 512 * element_s / CORES, rel=1e-6)


def test_8_bit_weights_are_packed_for_several_rows_unless_a_compiler_did_so() -> None:
    hardware = machine(byte_packing_s=2e-9, byte_gemv_s=3e-9)
    element_s = {(1, "eager"): 3e-9, (8, "eager"): 5e-9, (8, "compiled"): 0.0}
    for (rows, execution), expected_s in element_s.items():
        estimate = ic.estimate(linear("int8"), hardware=hardware, rows=rows, execution=execution)
        assert estimate.latency_s == pytest.approx(256 * 512 * expected_s / CORES, rel=1e-6, abs=1e-12)


@pytest.mark.parametrize(("rows", "packed"), [(2, False), (8, True)])
def test_a_matrix_that_is_no_weight_is_packed_too(rows: int, packed: bool) -> None:
    builder = ic.GraphBuilder("product")
    x = builder.tensor("float32", (rows, 256), role="input", name="x")
    matrix = builder.tensor("float32", (256, 512), role="input", name="matrix")
    y = builder.tensor("float32", (rows, 512))
    builder.node("aten.mm.default", {"self": x, "mat2": matrix}, [y])
    expected_s = 256 * 512 * 1e-9 / CORES if packed else 0.0
    found_s = seconds(builder.build([x], [y]), machine(packing_s=1e-9))
    assert found_s == pytest.approx(expected_s, rel=1e-6, abs=1e-12)


def attention(queries: int, dtype: str = "float32", heads: int = 8, keys: int = 64, width: int = 16) -> ic.Graph:
    builder = ic.GraphBuilder("attention")
    q, y = (builder.tensor(dtype, (1, heads, queries, width), role=role) for role in ("input", "activation"))
    k, v = (builder.tensor(dtype, (1, heads, keys, width), role="input") for _ in range(2))
    builder.node("aten.scaled_dot_product_attention.default", {"query": q, "key": k, "value": v}, [y])
    return builder.build([q, k, v], [y])


def test_attention_of_one_query_reads_keys_and_values_element_by_element() -> None:
    hardware = machine(key_s=1e-9, half_key_s=4e-9)
    elements = 2 * 8 * 64 * 16
    assert seconds(attention(1), hardware) == pytest.approx(elements * 1e-9 / CORES, rel=1e-6)
    assert seconds(attention(1, "bfloat16"), hardware) == pytest.approx(elements * 4e-9 / CORES, rel=1e-6)
    assert seconds(attention(2), hardware) < 1e-12


def test_a_score_of_attention_costs_an_exponential() -> None:
    assert seconds(attention(32), machine(score_s=1e-9)) == pytest.approx(8 * 32 * 64 * 1e-9 / CORES, rel=1e-6)


@pytest.mark.parametrize(("capacity", "cold"), [(1e3, True), (1e9, False)])
def test_caches_of_keys_and_results_that_live_on_are_in_memory(capacity: float, cold: bool) -> None:
    builder = ic.GraphBuilder("cat")
    past = builder.tensor("float32", (1, 1000), role="kv_cache", name="past_key_values_0")
    new = builder.tensor("float32", (1, 1000), role="input", name="new")
    kept, hidden = builder.tensor("float32", (1, 2000)), builder.tensor("float32", (1, 1000))
    wide = builder.tensor("float32", (1, 10**6), role="parameter", name="wide")  # sweeps the cache
    passed = builder.tensor("float32", (1, 10**6))
    builder.node("aten.cat.default", {"tensors": [past, new], "dim": 1}, [kept])
    builder.node("aten.relu.default", {"self": new}, [hidden])
    builder.node("aten.neg.default", {"self": wide}, [passed])
    graph = builder.build([past, new], [kept])
    memory = [("llc", max(capacity, 2e4), 1e30), ("dram", 1e15, 1e9)]
    estimate = ic.estimate(graph, hardware=cpu({}, memory=memory))
    found = {layer.op: layer.latency_s for layer in estimate.layers}
    assert found["aten.cat"] == pytest.approx((4000 + 8000) / 1e9 if cold else 0.0, rel=1e-6, abs=1e-12)
    assert found["aten.relu"] < 1e-12


def test_python_code_takes_the_host_as_long_as_its_operators() -> None:
    builder = ic.GraphBuilder("subclass")
    x = builder.tensor("float32", (64,), role="input", name="x")
    view, y = builder.tensor("float32", (64,)), builder.tensor("float32", (64,))
    builder.node("pyinfercost.python_call.default", {"self": x, "operators": 40}, [view])
    builder.node("aten.relu.default", {"self": view}, [y])
    graph = builder.build([x], [y])
    slow = cpu({}, dispatch_s=1e-6)
    assert seconds(graph, slow) == pytest.approx((1 + 0.6 + 40) * 1e-6, rel=1e-6)
    assert seconds(graph, slow, "compiled") < 1e-9


def test_what_binds_is_the_longest_term_although_they_add_up() -> None:
    estimate = ic.estimate(one_op("sigmoid"), hardware=machine(special_s=1e-9))
    assert estimate.bound_shares["compute"] == pytest.approx(1.0)
