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


def machine(*, dram: float = FREE, vector: float = FREE, **constants: float) -> ic.Hardware:
    """A GPU whose constants are given as `plane_rows__element_s`."""
    return ic.Hardware(
        id="toy",
        name="toy",
        kind="gpu",
        family="toy",
        cores=CORES,
        clock_hz=1e9,
        matrix_flop_per_s={"float16": FREE},
        vector_flop_per_s={"float32": vector},
        memory=[("l2", 1.0, FREE), ("dram", 1e15, dram)],
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


def attention(rows: int, *, width: int = 64, keys: str = "float16", heads: int = 8) -> ic.Graph:
    """Queries against 4096 keys, each head with its own."""
    query = T((1, heads, rows, width), "float16")
    key = T((1, heads, 4096, width), keys)
    return single_node("aten.scaled_dot_product_attention", {"query": query, "key": key, "value": key}, query)


@pytest.mark.parametrize("rows", [1, 512])
def test_queries_are_made_as_narrow_as_their_keys(rows: int) -> None:
    hardware = machine(attention__narrow_s=3.0)
    assert seconds(attention(rows), hardware) < 1e-9
    assert seconds(attention(rows, keys="float8_e4m3fn"), hardware) == pytest.approx(3.0)


def test_narrow_keys_are_widened_for_products_of_many_rows() -> None:
    costs = {"attention__exponential": 1e6, "attention__narrow": 0.25}
    same, narrow = (seconds(attention(512, keys=dtype), machine(**costs)) for dtype in ("float16", "float8_e4m3fn"))
    assert narrow == pytest.approx(1.25 * same)


def test_a_block_has_as_many_elements_in_flight_whatever_their_width() -> None:
    """Four cores stream four heads: 4096 keys and values of 64 elements each, one element a clock."""
    hardware = machine(attention__decode_element_per_clock=1.0)
    for dtype in ("float16", "float8_e4m3fn"):
        assert seconds(attention(1, keys=dtype, heads=4), hardware) == pytest.approx(4096 * 2 * 64 / 1e9)


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
    for name in ("tiles_matrix.round_s", "kernel.softmax.minimum_s", "attention.tile_s"):
        assert slow.constants[name] == pytest.approx(2 * fast.constants[name])
        assert slow.constants[name] > 0
    assert slow.overheads_s["kernel_minimum"] == pytest.approx(2 * fast.overheads_s["kernel_minimum"])
    assert slow.constants["forward.start_s"] == fast.constants["forward.start_s"]  # the host's


def product(dtype: str, side: int = 512) -> ic.Graph:
    """A product whose weight is given."""
    shape = (side, side)
    operands: dict[str, Any] = {"self": T(shape, dtype), "mat2": T(shape, dtype, role="parameter")}
    return single_node("aten.mm", operands, T(shape, dtype))


def test_kernels_with_a_table_of_their_own_have_its_spread() -> None:
    bands = {}
    for dtype in ("bfloat16", "float8_e4m3fn"):
        estimate = ic.estimate(product(dtype), hardware="h100-sxm-80gb", execution="cuda_graph")
        bands[dtype] = float(estimate.latency_high_s / estimate.latency_s - 1)
    constants = ic.hardware.load("h100-sxm-80gb").constants
    assert bands["float8_e4m3fn"] == pytest.approx(constants["tiles_fp8.spread"])
    assert bands["bfloat16"] == pytest.approx(constants["tiles_matrix.spread"])


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
