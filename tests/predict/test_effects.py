"""The effect that determines a layer's time: small cases computed by hand, and general properties."""

from __future__ import annotations

from typing import Any

import pytest
from support.single_node import T, single_node
from support.toy_graphs import blocks, transformer

import pyinfercost as ic
from pyinfercost import _core

CORES = 108
FLOP_PER_S = 108e9  # a GFLOP/s for each core
BYTE_PER_S = 1e9
FREE = 1e30


def machine(kind: str = "gpu", **changes: Any) -> ic.Hardware:
    """A machine on which nothing costs anything but arithmetic on its matrix unit, until `changes` say so."""
    facts: dict[str, Any] = {
        "cores": CORES,
        "clock_hz": 1e9,
        "matrix_flop_per_s": {"float32": FLOP_PER_S},
        "vector_flop_per_s": {},
        "memory": [("l2", 1.0, FREE), ("dram", 1e15, FREE)],
        "overheads_s": dict.fromkeys(("dispatch", "launch_gap", "replay_gap", "kernel_minimum"), 0.0),
        "achieved": {},
        "constants": {},
        "power_w": {},
        "links_byte_per_s": {},
    }
    facts |= changes
    return ic.Hardware(id="toy", name="toy", kind=kind, family="toy", **facts)


def product(m: int, n: int, k: int, dtype: str = "float32") -> ic.Graph:
    """[m, k] x [k, n]."""
    weight = T((k, n), dtype, role="parameter")
    return single_node("aten.mm", {"self": T((m, k), dtype), "mat2": weight}, T((m, n), dtype))


def add(elements: int) -> ic.Graph:
    """Reads two operands and writes a result."""
    return single_node("aten.add", {"self": T((elements,)), "other": T((elements,))}, T((elements,)))


def convolution(channels: int, results: int, *, groups: int = 1, side: int = 64, window: int = 3) -> ic.Graph:
    """Images of which the channels lie outermost."""
    weight = T((results, channels // groups, window, window), role="parameter")
    arguments = {"input": T((1, channels, side, side)), "weight": weight, "groups": groups}
    return single_node("aten.conv2d", arguments, T((1, results, side, side)))


def attention(rows: int, keys: int) -> ic.Graph:
    """One batch, 8 heads of 64."""
    arguments = {
        "query": T((1, 8, rows, 64)),
        "key": T((1, 8, keys, 64)),
        "value": T((1, 8, keys, 64)),
    }
    return single_node("aten.scaled_dot_product_attention", arguments, T((1, 8, rows, 64)))


def decided(graph: ic.Graph, hardware: ic.Hardware, execution: str = "eager") -> tuple[str, float]:
    """The effect of the only kernel, and its share in percent."""
    (kernel,) = _core.evaluate_kernels(_core.plan(graph, {}, execution=execution), {}, hardware)
    return kernel.effect, pytest.approx(100 * kernel.effect_share, rel=1e-6)


def with_(**constants: float) -> dict[str, dict[str, float]]:
    """Constants of a family: `tiles_matrix__split_s` for `tiles_matrix.split_s`."""
    return {"constants": {name.replace("__", "."): value for name, value in constants.items()}}


ONE_TILE = 2 * 64 * 64 / (FLOP_PER_S / CORES)  # seconds of a core on a tile of 64 x 64, for an element of the reduction

GPU_CASES: dict[str, tuple[ic.Graph, ic.Hardware, str, float]] = {
    # 109 tiles of 64 x 8 on 108 cores take two rounds: 107 of 216 places have no tile.
    "one tile too many": (product(109 * 64, 8, 256), machine(), "wave quantization", 100 * 107 / 216),
    "tiles for all cores": (product(108 * 64, 64, 256), machine(), "matrix unit", 100),
    # One of the 8 columns of each tile is a result.
    "narrow result": (product(108 * 64, 1, 256), machine(), "tile padding", 100 * 7 / 8),
    # A tile of 64 x 64 takes 1.9 times as long for each result as one of 128 x 128, of which half were padding.
    "small tiles": (
        product(108 * 64, 64, 256),
        machine(**with_(tiles_matrix__edge=0.9)),
        "small tiles",
        100 * 0.9 / 1.9,
    ),
    # 100 elements on top of 64.
    "short reduction": (
        product(108 * 64, 64, 64),
        machine(**with_(tiles_matrix__depth_overhead=100)),
        "short reduction",
        100 * 100 / 164,
    ),
    # Rows of 1024 bytes on pages of 512: one page beyond what is held, and so much dearer.
    "pages": (
        product(108 * 64, 64, 256),
        machine(**with_(tiles_matrix__page_bytes=512, tiles_matrix__page_cost=1, tiles_matrix__page_most=1)),
        "TLB pages",
        50,
    ),
    # One tile in each core, whose operands take three times as long as its arithmetic.
    "latency": (
        product(108 * 64, 64, 256),
        machine(**with_(tiles_matrix__operand_s_per_element=3 * ONE_TILE)),
        "operand latency",
        100 * 2 / 3,
    ),
    # One tile, its reduction in 108 parts of 512 and more; adding them up takes as long again.
    "split": (
        product(64, 64, 108 * 512),
        machine(**with_(tiles_matrix__split_length=512, tiles_matrix__split_s=512 * ONE_TILE)),
        "split-K",
        50,
    ),
    "power": (
        product(108 * 64, 64, 256),
        machine(**with_(power__matrix_fp32=1 / (0.6 * FLOP_PER_S))),
        "power-limited",
        40,
    ),
    "emulated": (
        product(108 * 64, 64, 256),
        machine(matrix_flop_per_s={"bfloat16": FLOP_PER_S}),
        "emulated precision",
        100,
    ),
    "no matrix path": (
        product(108 * 64, 64, 256),
        machine(matrix_flop_per_s={"float16": FLOP_PER_S}, vector_flop_per_s={"float32": FLOP_PER_S}),
        "vector unit only",
        100,
    ),
    "no matrix unit": (
        product(108 * 64, 64, 256),
        machine(matrix_flop_per_s={}, vector_flop_per_s={"float32": FLOP_PER_S}),
        "vector unit",
        100,
    ),
    "tiny": (
        add(16),
        machine(overheads_s={"dispatch": 0.0, "launch_gap": 1.0, "replay_gap": 1.0, "kernel_minimum": 0.0}),
        "launch floor",
        100,
    ),
    # The host needs 10 us for what the device does in 2.
    "host": (
        add(16),
        machine(overheads_s={"dispatch": 10e-6, "launch_gap": 2e-6, "replay_gap": 0.0, "kernel_minimum": 0.0}),
        "host-bound (dispatch)",
        80,
    ),
    "start": (add(16), machine(**with_(forward__start_s=1e-6)), "start of the forward", 100),
    "stream": (
        add(10**6),
        machine(memory=[("l2", 1.0, FREE), ("dram", 1e15, BYTE_PER_S)]),
        "dram bandwidth",
        100,
    ),
    "fits the cache": (
        add(10**6),
        machine(memory=[("l2", 1e8, BYTE_PER_S), ("dram", 1e15, BYTE_PER_S)]),
        "cache-resident",
        100,
    ),
    # A convolution whose bytes are turned three times before and after, in the time of three streams.
    "turned": (
        convolution(64, 64, window=1),
        machine(memory=[("l2", 1.0, FREE), ("dram", 1e15, BYTE_PER_S)], **with_(stream__transposed=3)),
        "layout copies",
        100 * 3 * 2 * 64 / (4 * 2 * 64 + 1),  # 64 x 64 weights are a 64th of 64 x 64 pixels; they are not turned
    ),
    # F(2x2, 3x3) needs 16 products for 4 results, not 36.
    "winograd": (
        convolution(64, 64, side=512),
        machine(
            matrix_flop_per_s={},
            vector_flop_per_s={"float32": FLOP_PER_S},
            **with_(winograd__fused=1.0, winograd__passes=1e15),
        ),
        "Winograd",
        100,
    ),
    "depthwise": (
        convolution(64, 64, groups=64),
        machine(matrix_flop_per_s={"float32": FLOP_PER_S}, vector_flop_per_s={"float32": FLOP_PER_S}),
        "direct kernel",
        100,
    ),
    # The exponentials of a key take a core 100 times as long as those of 16 a clock.
    "exponentials": (
        attention(1024, 1024),
        machine(matrix_flop_per_s={"float32": FREE}, **with_(attention__exponential=100.0)),
        "exponentials",
        100,
    ),
    "starting tiles": (
        attention(1024, 1024),
        machine(matrix_flop_per_s={"float32": FREE}, **with_(attention__tile_s=1.0)),
        "start of tiles",
        100,
    ),
    # 8192 rows of 64 elements, each element of which takes a core a second: 16 blocks of 128 threads to a core.
    "row latency": (
        single_node("aten.softmax", {"self": T((8192, 64)), "dim": -1}, T((8192, 64))),
        machine(**with_(softmax_rows__element_s=1.0)),
        "row latency",
        100,
    ),
    # A result of 4 bytes for each clock of a core, and nothing else that takes time.
    "issue": (add(2**20), machine(**with_(kernel__pointwise__issue_byte_per_clock=4)), "instruction issue", 100),
    # Rows that no cache holds are read three times and written once: two of four passes are too many.
    "long rows": (
        single_node("aten.softmax", {"self": T((8192, 8192)), "dim": -1}, T((8192, 8192))),
        machine(memory=[("l1", 1.0, FREE), ("l2", 1.0, FREE), ("dram", 1e15, BYTE_PER_S)]),
        "rows read again",
        50,
    ),
    # Half of what is moved is read across its order, which costs three times as much on top.
    "across": (
        single_node("aten.clone", {"self": T((1024, 1024), strides=(1, 1024))}, T((1024, 1024))),
        machine(memory=[("l2", 1.0, FREE), ("dram", 1e15, BYTE_PER_S)], **with_(stream__strided=3)),
        "strided reads",
        100 * 3 / 5,
    ),
    "one query": (
        attention(1, 4096),
        machine(memory=[("l2", 1.0, FREE), ("dram", 1e15, BYTE_PER_S)], matrix_flop_per_s={"float32": FREE}),
        "key and value reads",
        100,
    ),
}


@pytest.mark.parametrize(("graph", "hardware", "name", "percent"), GPU_CASES.values(), ids=GPU_CASES)
def test_what_decides_on_a_gpu(graph: ic.Graph, hardware: ic.Hardware, name: str, percent: float) -> None:
    assert decided(graph, hardware) == (name, percent)


def test_tiles_are_counted() -> None:
    (kernel,) = _core.evaluate_kernels(_core.plan(product(109 * 64, 8, 256), {}), {}, machine())
    tiling = kernel.tiling
    assert tiling is not None
    assert (tiling.tile, tiling.tiles, tiling.parts, tiling.rounds) == ((64, 8), 109, 1, 2)
    assert tiling.filled == 109 / 216
    # 0.5 x 10^-3 s: two rounds of 64 x 8 x 256 multiply-adds on a core of a GFLOP/s.
    assert kernel.compute_s == pytest.approx(2 * 256 * ONE_TILE / 8)
    assert kernel.ideal_compute_s == pytest.approx(109 / 108 * 256 * ONE_TILE / 8)


@pytest.mark.parametrize(
    ("rows", "tile"),
    [(64, (64, 64)), (65, (64, 128)), (128, (64, 128)), (129, (128, 128)), (1024, (128, 128)), (1025, (256, 128))],
)
def test_a_library_may_choose_its_tile_by_rows_alone(rows: int, tile: tuple[int, int]) -> None:
    gpu = machine(matrix_flop_per_s={"float8_e4m3fn": FLOP_PER_S}, **with_(tiles_fp8__by_rows=1))
    (kernel,) = _core.evaluate_kernels(_core.plan(product(rows, 64, 256, "float8_e4m3fn"), {}), {}, gpu)
    assert kernel.tiling is not None
    assert kernel.tiling.tile == tile
    # Whole tiles in whole rounds.
    busy_s = kernel.tiling.rounds * tile[0] * tile[1] / (64 * 64) * 256 * ONE_TILE
    assert kernel.compute_s == pytest.approx(busy_s)


@pytest.mark.parametrize(
    ("graph", "constants", "name"),
    [
        (product(16, 16, 4096), {}, "idle cores"),
        (product(32 * 12, 64 * 9, 4096), {}, "vector unit"),
        (product(4, 4096, 4096), {"cpu.packing_s": 1.0, "cpu.gemv_s": 1.0}, "weight packing"),
        (product(1, 4096, 4096), {"cpu.packing_s": 1.0, "cpu.gemv_s": 1.0}, "weight reads"),
        (add(2**24), {"cpu.fault_s_per_byte": 1.0}, "page faults"),
        (add(2**20), {"cpu.region_s": 1.0}, "parallel regions"),
        (add(2**24), {"cpu.cold_dispatch_s": 1.0}, "cold calls"),
        (
            single_node("aten.exp", {"self": T((2**20,))}, T((2**20,))),
            {"cpu.special_s": 1.0, "cpu.library_s": 1.0},
            "slow loops",
        ),
    ],
)
def test_what_decides_on_a_cpu(graph: ic.Graph, constants: dict[str, float], name: str) -> None:
    rates = {"matrix_flop_per_s": {}, "vector_flop_per_s": {"float32": FLOP_PER_S}}
    assert decided(graph, machine("cpu", constants=constants, **rates))[0] == name


def test_an_array_that_is_not_filled() -> None:
    array = machine("systolic", array=(128.0, 128.0, 1.0), matrix_flop_per_s={"float32": 2 * 128 * 128 * 1e9})
    assert decided(product(4096, 1, 128), array)[0] == "tile padding"


@pytest.mark.parametrize("hardware", ["a100-sxm-80gb", "h100-sxm-80gb", "t4", "mi300x", "epyc-9654", "tpu-v5e"])
@pytest.mark.parametrize("precision", ["fp32", "bf16", "int8"])
@pytest.mark.parametrize("execution", _core.executions())
def test_parts_are_parts_of_their_term(hardware: str, precision: str, execution: str) -> None:
    machine_ = ic.hardware.load(hardware)
    for graph in (blocks(), transformer(1, 512, 8)):
        sizes = {name: 16 for name in graph.sizes}
        for kernel in _core.evaluate_kernels(
            _core.plan(graph, sizes, execution=execution, precision=precision), sizes, machine_
        ):
            assert kernel.effect in _core.effects()
            assert 0 <= kernel.effect_share <= 1
            spent: dict[str, float] = {}
            for part, seconds in kernel.parts_s.items():
                (term,) = [term for term, names in PARTS.items() if part in names]
                assert seconds > 0
                spent[term] = spent.get(term, 0.0) + seconds
            for term, seconds in spent.items():
                assert seconds <= getattr(kernel, term) * (1 + 1e-9), (term, kernel)


PARTS = {
    "launch_s": {"host", "start", "regions", "steps"},
    "dram_s": {"strided", "again", "transposes", "faults"},
    "cache_s": {"weights"},
    "link_s": {"network"},
    "compute_s": {
        *(
            "power",
            "edges",
            "padding",
            "waves",
            "depth",
            "pages",
            "operands",
            "split",
            "exponentials",
            "keys",
            "starts",
        ),
        *("rows", "issue", "idle", "loops", "reorder", "packing"),
    },
}


def test_layers_and_totals_name_their_effects() -> None:
    graph = product(109 * 64, 8, 256)
    profile = ic.profile(graph, hardware=machine())
    (layer,) = profile.to_dict()["layers"]
    assert layer["effect"] == "wave quantization"
    assert layer["effect_share"] == pytest.approx(107 / 216)
    assert layer["latency_s"] == layer["compute_s"] > layer["dram_s"] > layer["launch_s"] == 0
    assert "wave quantization 50 %" in profile.to_text(width=80)
    assert "| wave quantization 50 % |" in profile.to_markdown()
    assert "spent on     wave quantization 50 %" in profile.to_text()
