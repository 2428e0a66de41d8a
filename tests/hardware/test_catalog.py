"""The catalog: every device and every family's constants, and their values in base units."""

import csv
import math

import pytest
from support.paths import SHARED
from support.toy_graphs import transformer

import pyinfercost as ic
from pyinfercost import _core, hardware
from pyinfercost._toml import read_toml
from pyinfercost.hardware import dtypes, files, schema
from pyinfercost.hardware.catalog_names import CATALOG
from pyinfercost.hardware.files import DeviceFile, lookup, read_device

MEASURED = SHARED / "measured"
WITHOUT_ESTIMATE = {"hailo-8", "snapdragon-8-gen-3"}  # no memory size, no published peak
LOADABLE = [name for name in hardware.names() if name not in WITHOUT_ESTIMATE]
CONTENT = {name: read_toml(CATALOG / f"{name}.toml") for name in hardware.names()}


def having(path: str, **equal: object) -> list[str]:
    """The ids whose file gives a fact, and has these values at the top."""
    return [
        name
        for name, content in CONTENT.items()
        if lookup(content, path) is not None and all(content.get(key) == value for key, value in equal.items())
    ]


def device(name: str) -> DeviceFile:
    return read_device(CATALOG / f"{name}.toml", cataloged=True)


# Every file of the catalog


@pytest.mark.parametrize("name", hardware.names())
def test_file_passes_the_schema_and_cites_a_source(name: str) -> None:
    file = device(name)
    assert file.id == name
    assert any(word in file.get("source.text") for word in (" ", ";", "."))
    recalled = "recalled" in file.get("source.text") or "derived from" in file.get("source.text")
    assert file.get("source.references") or recalled or name == "b100"
    assert file.get("verified") or file.get("source.unverified")


@pytest.mark.parametrize("name", LOADABLE)
def test_device_loads_in_base_units(name: str) -> None:
    loaded = hardware.load(name)
    assert (loaded.id, loaded.kind) == (name, device(name).kind)
    assert loaded.cores >= 1
    assert 1e8 < loaded.clock_hz < 1e10
    rates = {**loaded.matrix_flop_per_s, **loaded.vector_flop_per_s}
    assert rates
    assert all(1e10 < rate < 1e17 for rate in rates.values())  # a Raspberry Pi's fp64 to a rack GPU's fp4
    assert loaded.memory[-1][0] == "dram"
    assert loaded.bandwidth_byte_per_s == loaded.memory[-1][2]
    bandwidths = [bandwidth for _, _, bandwidth in loaded.memory]
    assert bandwidths == sorted(bandwidths, reverse=True), "an outer level is faster than an inner one"
    assert all(capacity > 0 for _, capacity, _ in loaded.memory)
    assert {"matrix", "vector", "dram", "cache"} <= set(loaded.achieved)
    # Engines of cards that boost beyond the clock of their sheet reach more than its peak; memories do not.
    limits = {"dram": 1.0, "cache": 1.0}
    assert all(0 < fraction <= limits.get(name, 1.5) for name, fraction in loaded.achieved.items())
    assert set(loaded.overheads_s) == {"dispatch", "launch_gap", "replay_gap", "kernel_minimum"}
    assert all(1e-7 < seconds < 1e-4 for seconds in loaded.overheads_s.values())
    assert loaded.sparsity_2_4 in (1.0, 2.0)
    power = loaded.power_w
    assert power.get("idle", 0.0) <= power.get("tdp", math.inf)


@pytest.mark.parametrize("name", sorted(WITHOUT_ESTIMATE))
def test_device_without_a_needed_fact_is_described_but_not_loaded(name: str) -> None:
    missing = hardware.describe(name)["missing"]
    assert missing
    with pytest.raises(hardware.MissingFactError, match=name) as error:
        hardware.load(name)
    assert all(fact in str(error.value) for fact in missing)


@pytest.mark.parametrize("name", having("compute.array"))
def test_array_times_clock_is_the_peak_or_is_listed_as_unverified(name: str) -> None:
    file = device(name)
    array, clock_ghz = file.get("compute.array"), file.get("compute.clock_ghz") or 0.0
    rates = file.get("compute.matrix_tflop_per_s")
    peak = 2 * array["rows"] * array["cols"] * array["units"] * clock_ghz / 1000  # a multiply-add per cell and clock
    agrees = peak == pytest.approx(rates.get("bf16", rates.get("int8")), rel=0.10)
    assert agrees or any(path.startswith("compute.array") for path in file.get("source.unverified") or [])


@pytest.mark.parametrize("name", having("compute.fp32_flop_per_clock_per_core"))
def test_cpu_peak_is_cores_times_flop_per_clock(name: str) -> None:
    compute = device(name).data["compute"]
    peak = compute["cores"] * compute["fp32_flop_per_clock_per_core"] * compute["clock_ghz"] / 1000
    assert peak == pytest.approx(compute["vector_tflop_per_s"]["fp32"], rel=0.01)


@pytest.mark.parametrize("name", having("compute.vector_tflop_per_s.fp32", kind="gpu", verified=True))
def test_gpu_vector_peak_is_a_whole_number_of_lanes(name: str) -> None:
    # Cores, clock and rate come from different columns of a sheet; a figure copied from another row breaks this.
    compute = device(name).data["compute"]
    per_clock = compute["vector_tflop_per_s"]["fp32"] * 1000 / (compute["cores"] * compute["clock_ghz"])
    assert per_clock == pytest.approx(2 ** round(math.log2(per_clock)), rel=0.03)


@pytest.mark.parametrize("name", having("memory.dram.channels", kind="cpu"))
def test_cpu_bandwidth_is_its_channels(name: str) -> None:
    dram = device(name).data["memory"]["dram"]
    product = dram["channels"] * dram.get("channel_bits", 64) / 8 * dram["transfer_mt_per_s"] / 1000
    assert product == pytest.approx(dram["bandwidth_gb_per_s"], rel=0.01)


def test_ids_of_the_measured_tables_are_in_the_catalog() -> None:
    if not MEASURED.is_dir():
        pytest.skip(f"no measured tables at {MEASURED}")
    used: set[str] = set()
    for table in MEASURED.glob("*.csv"):
        with table.open(newline="", encoding="utf-8") as file:
            used.update(row["device"] for row in csv.DictReader(file))
    assert used
    assert used <= set(hardware.names())


# Units


def test_units_of_a_gpu() -> None:
    a100 = hardware.load("a100-sxm-80gb")
    assert a100.clock_hz == pytest.approx(1.41e9)
    assert a100.matrix_flop_per_s["bfloat16"] == pytest.approx(312e12)
    assert a100.matrix_flop_per_s["tf32"] == pytest.approx(156e12)
    assert "float8_e4m3fn" not in a100.matrix_flop_per_s
    assert a100.vector_flop_per_s["float32"] == pytest.approx(19.49e12)
    levels = {name: (capacity, bandwidth) for name, capacity, bandwidth in a100.memory}
    assert levels["l1"][0] == 108 * 192 * 1024
    assert levels["l2"] == (40 * 2**20, pytest.approx(31 * 108 * 1.41e9))
    assert levels["dram"] == (80 * 2**30, 2039e9)
    assert a100.overheads_s["launch_gap"] == pytest.approx(2.65e-6)
    assert a100.links_byte_per_s == {"host": 31.5e9, "device": 300e9, "network": 25e9}
    assert a100.power_w == {"tdp": 400.0, "idle": 57.0}


def test_usable_memory_wins_over_nominal_memory() -> None:
    assert hardware.load("h100-sxm-80gb").memory_bytes == pytest.approx(79.65 * 2**30)


def test_rates_that_no_torch_dtype_asks_for_stay_out_of_the_core() -> None:
    assert device("rtx-4090").get("compute.matrix_tflop_per_s.fp16_acc16") == 330.3
    loaded = hardware.load("rtx-4090")
    assert set(loaded.matrix_flop_per_s) <= set(dtypes.CORE_DTYPES.values())
    assert loaded.matrix_flop_per_s["float16"] == pytest.approx(165.2e12)


@pytest.mark.parametrize(
    ("better", "other"),
    [
        ("mi250x", "mi250"),
        ("mi325x", "mi300x"),
        ("mi355x", "mi350x"),
        ("b200-sxm-180gb", "b100"),
        ("h200-sxm-141gb", "h100-sxm-80gb"),
        ("tpu-v4", "tpu-v5e"),
        ("tpu-v5p", "tpu-v4"),
        ("xeon-6980p", "xeon-8592+"),
        ("apple-m4", "apple-m3"),
        ("apple-m4-max", "apple-m4-pro"),
        ("apple-m1-ultra", "apple-m1-max"),
        ("rtx-4080", "rtx-4070-ti-super"),
        ("rtx-3080", "rtx-3070"),
        ("trainium3", "trainium2"),
    ],
)
def test_siblings_are_in_order(better: str, other: str) -> None:
    first, second = hardware.load(better), hardware.load(other)
    for rates in ("matrix_flop_per_s", "vector_flop_per_s"):
        one, two = getattr(first, rates), getattr(second, rates)
        lower = {dtype for dtype in one.keys() & two.keys() if one[dtype] < two[dtype]}
        assert lower == ({"int8"} if better == "tpu-v4" and rates == "matrix_flop_per_s" else set())  # as published
    assert first.bandwidth_byte_per_s >= second.bandwidth_byte_per_s
    assert first.memory_bytes >= second.memory_bytes
    # A model that fills each of them.
    graph = transformer(layers=1, width=4096, heads=32)
    for precision, execution in (("bf16", "compiled"), ("fp16", "eager"), ("fp32", "eager")):
        one, two = (
            ic.estimate(graph, hardware=each, precision=precision, execution=execution, batch=32, sequence=128)
            for each in (first, second)
        )
        assert one.latency_s <= 1.001 * two.latency_s, (precision, execution)


@pytest.mark.parametrize(("name", "package_w", "package_gib"), [("mi250", 560, 128), ("mi250x", 560, 128)])
def test_a_device_is_one_die_of_its_package(name: str, package_w: float, package_gib: float) -> None:
    one, other = device(name), device("mi210")
    assert 2 * one.get("power.tdp_w") == package_w
    assert 2 * one.get("memory.dram.capacity_gib") == package_gib
    assert one.get("memory.dram.bandwidth_gb_per_s") == other.get("memory.dram.bandwidth_gb_per_s")
    assert one.get("compute.matrix_tflop_per_s.fp16") == pytest.approx(
        other.get("compute.matrix_tflop_per_s.fp16"), rel=0.07
    )
    graph = transformer(layers=1, width=1024, heads=8)
    alone = ic.estimate(graph, hardware=name, batch=8, sequence=128, price=1)
    both = ic.estimate(graph, hardware=name, batch=8, sequence=128, price=1, devices=2)  # the whole package
    half = ic.estimate(graph, hardware=name, batch=4, sequence=128, price=1)
    assert both.latency_s == half.latency_s
    assert alone.latency_s > both.latency_s
    assert both.energy_j is not None
    assert half.energy_j is not None
    assert both.energy_j == pytest.approx(2 * half.energy_j)
    assert both.cost_usd == pytest.approx(half.cost_usd)  # of an item: twice the price, twice the items
    assert alone.machine_memory_bytes == 64 * 2**30


def test_device_without_dram_streams_over_its_host_link() -> None:
    edge_tpu = hardware.load("coral-edge-tpu")
    assert edge_tpu.memory[-1] == ("dram", math.inf, 0.5e9)
    assert edge_tpu.memory[0][:2] == ("scratchpad", 8 * 2**20)
    assert edge_tpu.array == (64, 64, 1)


def test_memory_that_the_owner_installs_is_no_limit() -> None:
    assert hardware.load("epyc-9654").memory_bytes == math.inf


def test_loaded_device_is_the_core_type() -> None:
    assert isinstance(hardware.load("mi300x"), _core.Hardware)


# Constants of families


@pytest.mark.parametrize("family", files.families())
def test_calibration_is_complete_and_cites_sources(family: str) -> None:
    line = files.lineage(family)
    constants = files.family_calibration(family)
    assert constants["overheads.dispatch_us"] > 0
    assert 0 < constants["achieved.dram"] <= 1
    uncited = [key for key, (_, source) in constants.origin.items() if len(source) <= 20]
    assert not uncited, "a source says what was measured or published, and where"
    assert {path.stem for path, _ in constants.origin.values()} <= set(line)


def test_no_calibration_belongs_to_a_device() -> None:
    assert not set(files.families()) & set(hardware.names())
    used = {device(name).family for name in hardware.names()}
    assert set(files.families()) - used <= set(schema.KINDS), "a family without a device"
