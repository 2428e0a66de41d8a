"""GPU kernels with their own mechanisms, each on a machine where nothing else takes time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from support.single_node import T, single_node

import pyinfercost as ic
from pyinfercost import _core

FREE = 1e30
BYTE_PER_S = 1e9
CORES = 4


def machine(
    *,
    dram: float = FREE,
    vector: float = FREE,
    matrix: dict[str, float] | None = None,
    cache: tuple[float, float] = (1.0, FREE),
    **constants: float,
) -> ic.Hardware:
    """A GPU whose constants are given as `plane_rows__element_s`."""
    return ic.Hardware(
        id="toy",
        name="toy",
        kind="gpu",
        family="toy",
        cores=CORES,
        clock_hz=1e9,
        matrix_flop_per_s={"float16": FREE} if matrix is None else matrix,
        vector_flop_per_s={"float32": vector},
        memory=[("l2", *cache), ("dram", 1e15, dram)],
        overheads_s=dict.fromkeys(("dispatch", "launch_gap", "replay_gap", "kernel_minimum"), 0.0),
        achieved={},
        constants={name.replace("__", "."): value for name, value in constants.items()},
        power_w={},
        links_byte_per_s={},
    )


def seconds(graph: ic.Graph, hardware: ic.Hardware, execution: str = "eager") -> float:
    """The latency of the only kernel."""
    (kernel,) = _core.evaluate_kernels(_core.plan(graph, {}, execution=execution), {}, hardware)
    return kernel.latency_s


def images(batch: int, channels: int, side: int, *, last: bool = False, dtype: str = "float16") -> T:
    """Images whose channels lie outermost, or innermost."""
    strides = (channels * side * side, 1, channels * side, channels) if last else None
    return T((batch, channels, side, side), dtype, strides)


def resized(op: str = "upsample_bilinear2d", **layout: bool) -> ic.Graph:
    """Two images of three channels, from 8 x 8 to 16 x 16."""
    return single_node(f"aten.{op}", {"input": images(2, 3, 8, **layout)}, images(2, 3, 16, **layout))


def test_a_thread_interpolates_its_position_in_every_plane() -> None:
    hardware = machine(plane_rows__element_s=0.5)
    assert seconds(resized(), hardware) == pytest.approx(2 * 3 * 0.5)
    assert seconds(resized("upsample_bicubic2d"), hardware) == pytest.approx(2 * 3 * 0.5)


def test_more_positions_than_threads_take_turns() -> None:
    hardware = machine(plane_rows__element_s=0.5, limits__threads_per_core=32)
    assert seconds(resized(), hardware) == pytest.approx(2 * 3 * 0.5 * 16 * 16 / (CORES * 32))


def test_other_ways_to_interpolate_have_a_thread_for_each_result() -> None:
    hardware = machine(plane_rows__element_s=0.5)
    assert seconds(resized(last=True), hardware) < 1e-9
    assert seconds(resized(), hardware, "compiled") < 1e-9
    assert seconds(resized("upsample_nearest2d"), hardware) < 1e-9


def norm(*, last: bool, turned: float, execution: str) -> float:
    """Seconds of a norm over groups of channels, in all of its kernels."""
    image = images(2, 32, 8, last=last)
    graph = single_node("aten.group_norm", {"input": image, "num_groups": 4}, image)
    hardware = machine(dram=BYTE_PER_S, stream__turned=turned)
    kernels = _core.evaluate_kernels(_core.plan(graph, {}, execution=execution), {}, hardware)
    return sum(kernel.latency_s for kernel in kernels)


@pytest.mark.parametrize(
    ("last", "execution", "passes"), [(True, "eager", 4), (False, "eager", 0), (True, "compiled", 0)]
)
def test_group_norms_bring_channels_into_their_order_and_back(last: bool, execution: str, passes: int) -> None:
    """Two passes over what is read and written; a compiler needs none."""
    with_copies = norm(last=last, turned=2.0, execution=execution)
    without = norm(last=last, turned=0.0, execution=execution)
    bytes_of_image = 2 * 32 * 8 * 8 * 2
    assert with_copies - without == pytest.approx(passes * bytes_of_image / BYTE_PER_S, abs=1e-12)


@pytest.mark.parametrize("op", ["aten.group_norm", "quantized.group_norm"])
@pytest.mark.parametrize("results", [2, 10_000])
def test_no_kernel_of_a_group_norm_has_negative_work(op: str, results: int) -> None:
    """Compilers compute its statistics apart, also in a document whose result is not as large as its input."""
    graph = single_node(op, {"input": images(2, 32, 8, last=True), "num_groups": 4}, T((results,), "float16"))
    plan = _core.plan(graph, {}, execution="compiled")
    first, second = (kernel.flops for kernel in _core.evaluate_kernels(plan, {}, machine(dram=BYTE_PER_S)))
    assert first > 0
    assert second > 0
    assert first + second == ic.count(graph).total.flops


def attention(
    rows: int, *, width: int = 64, keys: str = "float16", heads: int = 8, shared: int = 1, length: int = 4096
) -> ic.Graph:
    """Queries against keys, which `shared` heads read together."""
    query = T((1, heads, rows, width), "float16")
    key = T((1, heads // shared, length, width), keys)
    arguments = {"query": query, "key": key, "value": key, "enable_gqa": shared > 1}
    return single_node("aten.scaled_dot_product_attention", arguments, query)


@pytest.mark.parametrize("rows", [1, 512])
def test_queries_are_made_as_narrow_as_their_keys(rows: int) -> None:
    hardware = machine(attention__narrow_s=3.0)
    assert seconds(attention(rows), hardware) < 1e-9
    assert seconds(attention(rows, keys="float8_e4m3fn"), hardware) == pytest.approx(3.0)


@pytest.mark.parametrize(("rates", "share"), [({}, 1.0), ({"float8_e4m3fn": 2 * BYTE_PER_S}, 0.5)])
def test_narrow_keys_are_multiplied_at_their_own_rate_if_there_is_one(rates: dict[str, float], share: float) -> None:
    hardware = machine(matrix={"float16": BYTE_PER_S, **rates})
    same, narrow = (seconds(attention(512, keys=dtype), hardware) for dtype in ("float16", "float8_e4m3fn"))
    assert narrow == pytest.approx(share * same)


@pytest.mark.parametrize(("width", "tiles"), [(64, 1), (128, 1), (256, 2)])
def test_narrow_keys_are_turned_for_each_tile(width: int, tiles: int) -> None:
    """Four cores, two rounds of one head each, 4096 keys and values, two elements a clock."""
    hardware = machine(attention__narrow_element_per_clock=2.0)
    turned = 2 * 4096 * 2 * width / 2 / 1e9
    assert seconds(attention(1, keys="float8_e4m3fn", width=width), hardware) == pytest.approx(turned * tiles)
    assert seconds(attention(1, width=width), hardware) < 1e-9


def test_queries_become_narrow_at_the_rate_of_a_stream() -> None:
    """Two bytes read and one written for each element, before the keys are read."""
    free, paid = (
        machine(dram=BYTE_PER_S, attention__exposed_memory=1.0, attention__narrow_passes=passes) for passes in (0, 2)
    )
    graph = attention(512, keys="float8_e4m3fn")
    assert seconds(graph, paid) - seconds(graph, free) == pytest.approx(2 * 8 * 512 * 64 * 3 / BYTE_PER_S)


@pytest.mark.parametrize(("shared", "rows"), [(1, 64), (8, 64), (128, 128)])
def test_a_matrix_unit_computes_whole_tiles_for_few_queries(shared: int, rows: int) -> None:
    """One core for each of four sets of 64 keys: products of keys and values of 64 elements for 64 rows at least."""
    flops = 64 * rows * 2 * (64 + 64)
    graph = attention(1, heads=4 * shared, shared=shared, length=64)
    whole = machine(matrix={"float16": CORES * 1e9}, attention__decode_rows=64)
    assert seconds(graph, whole) == pytest.approx(flops / 1e9)
    vector = machine(matrix={}, vector=CORES * 1e9)
    assert seconds(graph, vector) == pytest.approx(flops / 1e9 * shared / rows)


def test_blocks_of_keys_are_computed_as_a_whole() -> None:
    """100 keys in one block of 176."""
    cut, whole = (machine(matrix={"float16": 1e9}, attention__key_block=block) for block in (1, 176))
    graph = attention(1, length=100)
    assert seconds(graph, whole) == pytest.approx(1.76 * seconds(graph, cut))


def test_keys_stay_in_a_cache_that_holds_the_whole_forward() -> None:
    """Keys and values of 8 heads: 8.4 MB, at the rate of the cache or of DRAM."""
    key_bytes = 2 * 8 * 4096 * 64 * 2
    for capacity, rate in ((2 * key_bytes, 2 * BYTE_PER_S), (0.9 * key_bytes, BYTE_PER_S)):
        hardware = machine(dram=BYTE_PER_S, cache=(capacity, 2 * BYTE_PER_S))
        assert seconds(attention(1), hardware) == pytest.approx(key_bytes / rate, rel=1e-3)


@pytest.mark.parametrize("heads", [1, 4, 5])
def test_cores_that_are_done_leave_dram_to_others(heads: int) -> None:
    """Keys pass at the rate of DRAM, however the heads divide among four cores; one head is split in four."""
    key_bytes = 2 * heads * 4096 * 64 * 2
    expected_s = pytest.approx(key_bytes / BYTE_PER_S, rel=1e-3)
    assert seconds(attention(1, heads=heads), machine(dram=BYTE_PER_S)) == expected_s


@pytest.mark.parametrize(("packs", "rows", "rounds"), [(1, 128, 1), (0, 128, 8), (1, 256, 1), (0, 256, 8)])
def test_heads_that_share_keys_may_share_tiles(packs: float, rows: float, rounds: int) -> None:
    """32 heads of 16 queries over 4 sets of keys: four tiles of 128 queries, or 32 tiles on four cores."""
    hardware = machine(attention__packs=packs, attention__query_rows=rows, attention__tile_s=1.0)
    assert seconds(attention(16, heads=32, shared=8), hardware) == pytest.approx(rounds)


@pytest.mark.parametrize(("width", "tiles"), [(256, 1), (512, 2)])
def test_a_tile_of_wide_heads_holds_half_as_many_queries(width: int, tiles: int) -> None:
    """128 queries of each of four heads on four cores."""
    hardware = machine(attention__tile_s=1.0)
    assert seconds(attention(128, heads=4, width=width), hardware) == pytest.approx(tiles)


def test_products_of_heads_wider_than_kernels_hold_take_longer() -> None:
    plain, slow = (machine(matrix={"float16": 1e9}, attention__wide=wide) for wide in (1.0, 1.7))
    assert seconds(attention(512, width=512), slow) == pytest.approx(1.7 * seconds(attention(512, width=512), plain))
    assert seconds(attention(512, width=256), slow) == seconds(attention(512, width=256), plain)


def test_parts_of_heads_wider_than_kernels_hold_go_through_memory() -> None:
    """32 parts of 64 rows of 512 floats for each head, written and read."""
    free, paid = (machine(dram=BYTE_PER_S, attention__wide_passes=passes) for passes in (0.0, 2.0))
    wide = attention(1, width=512)
    assert seconds(wide, paid) - seconds(wide, free) == pytest.approx(8 * 2 * 32 * 64 * 512 * 4 / BYTE_PER_S, rel=1e-3)
    held = attention(1, width=256)
    assert seconds(held, paid) == seconds(held, free)


def test_latencies_shrink_with_the_clock(tmp_path: Path) -> None:
    """A board with twice the clock takes half as long for the same clocks."""
    source = Path(ic.hardware.__file__).parent / "catalog" / "rtx-3090.toml"
    text = source.read_text(encoding="utf-8")
    clock = next(line for line in text.splitlines() if line.startswith("clock_ghz"))
    twice = tmp_path / "twice.toml"
    ghz = float(clock.partition("=")[2])
    twice.write_text(text.replace(clock, f"clock_ghz = {2 * ghz}"), encoding="utf-8")
    slow, fast = ic.hardware.load("rtx-3090"), ic.hardware.load(twice)
    for name in ("tiles_matrix.round_s", "kernel.softmax.minimum_s", "attention.decode_s"):
        assert slow.constants[name] == pytest.approx(2 * fast.constants[name])
        assert slow.constants[name] > 0
    assert slow.overheads_s["kernel_minimum"] == pytest.approx(2 * fast.overheads_s["kernel_minimum"])
    assert slow.constants["forward.start_s"] == fast.constants["forward.start_s"]  # the host's


def quantized(length: int, dtype: str, group: int | None = None) -> ic.Graph:
    """Eight rows, quantized with a scale per row or per group."""
    scales = 1 if group is None else length // group
    values = 2 if dtype.startswith("float4") else 1
    operands = {"input": T((8, length), "float16"), "scale": T((8, scales), "float8_e4m3fn")}
    op = "torchao.quantize_affine_float8_non_decomposed"
    return single_node(op, operands, T((8, length // values), dtype))


def test_a_core_quantizes_a_row_in_trips_of_2048_elements() -> None:
    """Eight rows on four cores are two rounds; a trip is made twice, for the scale and for the result."""
    hardware = machine(quantize_rows__start_s=3.0, quantize_rows__trip_s=1.0)
    for length, trips in ((32, 1), (2048, 1), (2049, 2), (4097, 3)):
        assert seconds(quantized(length, "float8_e4m3fn"), hardware) == pytest.approx(8 / CORES * (3 + 2 * trips))


def test_a_scale_per_group_needs_one_pass() -> None:
    """It is a stream: 8 x 4,096 elements of 2 bytes and the scales are read, and 4 or 8 bits are written."""
    hardware = machine(dram=BYTE_PER_S, quantize_rows__start_s=3.0, quantize_rows__trip_s=1.0)
    for dtype, group, width in (("float4_e2m1fn_x2", 16, 0.5), ("float8_e4m3fn", 128, 1.0)):
        moved = 8 * 4096 * (2 + 1 / group + width)
        assert seconds(quantized(4096, dtype, group), hardware) == pytest.approx(moved / BYTE_PER_S)


def product(dtype: str, side: int = 512) -> ic.Graph:
    """A product whose weight is given."""
    shape = (side, side)
    operands: dict[str, Any] = {"self": T(shape, dtype), "mat2": T(shape, dtype, role="parameter")}
    return single_node("aten.mm", operands, T(shape, dtype))


def experts(dtype: str) -> ic.Graph:
    """Products of 64 experts with 4,096 rows in total."""
    operands: dict[str, Any] = {
        "self": T((4096, 2048), dtype),
        "mat2": T((64, 2048, 1024), dtype, role="parameter"),
        "offs": T((64,), "int32"),
    }
    op = "aten._grouped_mm"
    if dtype.startswith("float8"):
        op = "aten._scaled_grouped_mm"
        operands |= {"scale_a": T((4096, 1)), "scale_b": T((64, 1, 1024), role="parameter")}
    return single_node(op, operands, T((4096, 1024), "bfloat16"))


@pytest.mark.parametrize("hardware", ["b200-sxm-180gb", "gb300", "l40s", "rtx-5090", "mi300x", "mi355x"])
def test_experts_of_8_bits_are_faster_except_on_hopper(hardware: str) -> None:
    """They have half of the bytes and twice the rate; the slow kernels of Hopper are a property of its family."""

    def gain(device: str) -> float:
        loaded = ic.hardware.load(device)
        narrow, wide = experts("float8_e4m3fn"), experts("bfloat16")
        return seconds(wide, loaded, "cuda_graph") / seconds(narrow, loaded, "cuda_graph")

    assert 1.2 < gain(hardware) <= 2.2
    assert gain("h100-sxm-80gb") < 0.8


@pytest.mark.parametrize(("dtype", "values"), [("int4", 1), ("float4_e2m1fn_x2", 2)])
def test_experts_of_4_bits_are_limited_by_their_bytes_in_memory(dtype: str, values: int) -> None:
    """With few rows the weights take the time: a quarter of the bytes, less the fixed cost of a kernel."""

    def of(name: str, elements: int, op: str, operands: tuple[str, str]) -> float:
        shape = (64, 1024, 2048 // elements) if op.startswith("pyinfercost") else (64, 2048, 1024)
        given: dict[str, Any] = {
            operands[0]: T((64, 2048), "bfloat16"),
            operands[1]: T(shape, name, role="parameter"),
            "offs": T((64,), "int32"),
        }
        return seconds(
            single_node(op, given, T((64, 1024), "bfloat16")), ic.hardware.load("h100-sxm-80gb"), "cuda_graph"
        )

    wide = of("bfloat16", 1, "aten._grouped_mm", ("self", "mat2"))
    narrow = of(dtype, values, "pyinfercost.grouped_weight_only", ("input", "weight"))
    assert 2 < wide / narrow <= 4


def test_kernels_with_a_table_of_their_own_have_its_spread() -> None:
    tables = {"bfloat16": "tiles_matrix", "float8_e4m3fn": "tiles_fp8", "float4_e2m1fn_x2": "tiles_fp4"}
    constants = ic.hardware.load("b200-sxm-180gb").constants
    for dtype, table in tables.items():
        estimate = ic.estimate(product(dtype), hardware="b200-sxm-180gb", execution="cuda_graph")
        band = float(estimate.latency_high_s / estimate.latency_s - 1)
        assert band == pytest.approx(constants[f"{table}.spread"])
    assert len({constants[f"{table}.spread"] for table in tables.values()}) == len(tables)


@pytest.mark.parametrize(("least", "narrow", "short"), [(0, 0.5, 0.5), (64, 1.0, 0.5), (128, 1.0, 1.0)])
def test_batches_of_products_may_lack_narrow_tiles(least: float, narrow: float, short: float) -> None:
    """A result of 64 columns fills half of a tile of 128, and so does one of 64 rows."""

    def product_s(rows: int, columns: int) -> float:
        operands = {"self": T((512, rows, 256)), "mat2": T((512, 256, columns))}
        graph = single_node("aten.bmm", operands, T((512, rows, columns)))
        return seconds(graph, machine(tiles_vector__batched_rows=least, vector=1e12))

    assert product_s(512, 64) == pytest.approx(narrow * product_s(512, 128))
    assert product_s(64, 128) == pytest.approx(short * product_s(128, 128))


def test_products_with_weights_may_reach_less() -> None:
    hardware = machine(tiles_vector__with_weights=0.5, vector=1e12)

    def product_s(role: str) -> float:
        operands = {"self": T((4096, 512)), "mat2": T((512, 1024), role=role)}
        return seconds(single_node("aten.mm", operands, T((4096, 1024))), hardware)

    assert product_s("parameter") == pytest.approx(2 * product_s("input"))


def test_a_board_at_work_all_the_time_has_no_more_power_than_its_limit() -> None:
    """H200 draws 690 of its 700 W in large products, which take a fifth longer than by themselves."""
    graph = product("bfloat16", 8192)
    plan = _core.plan(graph, {}, execution="cuda_graph")
    alone, sustained = (
        _core.evaluate_kernels(plan, {}, ic.hardware.load("h200-sxm-141gb", sustained=always))[0]
        for always in (False, True)
    )
    assert 1.1 < sustained.latency_s / alone.latency_s < 1.3
    # What it takes longer is what the board has no power for.
    longer_s = sustained.parts_s["power"] - alone.parts_s.get("power", 0)
    assert longer_s == pytest.approx(sustained.compute_s - alone.compute_s)
    assert alone.parts_s.get("power", 0) < 0.03 * alone.compute_s
    with pytest.raises(ValueError, match="already loaded"):
        ic.hardware.load(ic.hardware.load("h200-sxm-141gb"), sustained=True)
    with pytest.raises(ValueError, match=r"has no \[power\]"):
        ic.hardware.load("tpu-v4", sustained=True)


def depthwise(window: int, *, last: bool = False) -> ic.Graph:
    """Images of 64 channels, each with a window of its own."""
    image = images(2, 64, 32, last=last)
    weight = T((64, 1, window, window), "float16", role="parameter")
    return single_node("aten.conv2d", {"input": image, "weight": weight, "groups": 64, "padding": window // 2}, image)


def test_depthwise_windows_beyond_seven_have_a_general_kernel() -> None:
    hardware = machine(
        vector=1e9, kernel__depthwise__compute=0.5, kernel__depthwise__wide=0.01, kernel__depthwise__channels_last=0.5
    )

    def share(window: int, *, last: bool = False) -> float:
        graph = depthwise(window, last=last)
        return ic.count(graph).total.flops / seconds(graph, hardware) / 1e9

    assert share(9) == pytest.approx(0.01)
    assert share(9, last=True) == pytest.approx(0.005)
    # A tile of the matrix unit costs nothing here, so that smaller windows take it.
    assert share(7) > 1


def grouped(width: int, *, last: bool) -> ic.Graph:
    """Images of 8 groups of channels."""
    image = images(2, 8 * width, 32, last=last)
    weight = T((8 * width, width, 3, 3), "float16", role="parameter")
    return single_node("aten.conv2d", {"input": image, "weight": weight, "groups": 8, "padding": 1}, image)


@pytest.mark.parametrize(
    ("width", "last", "execution", "share"),
    [
        (16, True, "eager", None),  # a kernel of the matrix unit, which costs nothing here
        (24, True, "eager", 0.5),
        (48, True, "eager", 1.0),  # what is fetched serves twice as many results
        (72, True, "eager", None),
        (24, False, "eager", None),
        (24, False, "compiled", 0.5),  # a compiler lays channels innermost
    ],
)
def test_groups_that_no_kernel_is_made_for_keep_to_the_vector_unit(
    width: int, last: bool, execution: str, share: float | None
) -> None:
    graph = grouped(width, last=last)
    hardware = machine(vector=1e9, kernel__depthwise__grouped=0.5)
    reached = ic.count(graph).total.contraction_flops / seconds(graph, hardware, execution) / 1e9
    assert reached > 100 if share is None else reached == pytest.approx(share)


@pytest.mark.parametrize(("images_of_32768", "share"), [(65535, 0.5), (65536, 0.01)])
def test_depthwise_kernels_of_more_elements_than_32_bits_count_are_slow(images_of_32768: int, share: float) -> None:
    image = images(images_of_32768, 32, 32, last=True)
    weight = T((32, 1, 3, 3), "float16", role="parameter")
    graph = single_node("aten.conv2d", {"input": image, "weight": weight, "groups": 32, "padding": 1}, image)
    hardware = machine(vector=1e9, kernel__depthwise__compute=0.5, kernel__depthwise__large=0.01)
    taken_s = seconds(graph, hardware)
    slow_s = ic.count(graph).total.contraction_flops / 1e9 / share
    # Below, tiles of the matrix unit, which cost nothing here, are faster still.
    assert taken_s == pytest.approx(slow_s) if share < 0.5 else taken_s < slow_s


def test_compiled_code_calls_its_kernels_one_by_one() -> None:
    """Ten products of nothing: the host is what takes time, unless they are replayed."""
    builder = ic.GraphBuilder("chain")
    first = x = builder.tensor("float16", (64, 64), role="input")
    for _ in range(10):
        weight = builder.tensor("float16", (64, 64), role="parameter")
        result = builder.tensor("float16", (64, 64))
        builder.node("aten.mm", {"self": x, "mat2": weight}, [result])
        x = result
    graph = builder.build([first], [x])
    hardware = machine(forward__compiled_dispatch_s=1e-3, forward__start_s=1.0)
    assert float(ic.estimate(graph, hardware=hardware, execution="compiled").latency_s) == pytest.approx(1.01)
    assert float(ic.estimate(graph, hardware=hardware, execution="cuda_graph").latency_s) < 1e-9


@pytest.mark.parametrize("window", [1, 3])
def test_the_gradient_of_a_bias_alone_is_a_sum(window: int) -> None:
    """It streams its operand as any sum does, whatever the filter: no rows, and no block that goes along a token."""
    grad = T((2, 8, 10, 10))
    arguments = {
        "grad_output": grad,
        "input": T((2, 8, 12, 12)),
        "weight": T((8, 8, window, window), role="parameter"),
        "groups": 1,
        "output_mask": [False, False, True],
    }
    graph = single_node("aten.convolution_backward", arguments, T((8,)))
    hardware = machine(dram=BYTE_PER_S, vector=1e12, token_rows__element_s=1.0, quantize_rows__element_s=1.0)
    assert seconds(graph, hardware) == pytest.approx((2 * 8 * 10 * 10 + 8) * 4 / BYTE_PER_S)
