"""The table of calibration constants: each one reaches a machine in the right unit; unknown ones are rejected."""

from __future__ import annotations

import importlib.util
import math
import pickle
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import pyinfercost as ic
from pyinfercost import _core
from pyinfercost.hardware.constants import TABLES, as_written
from pyinfercost.hardware.dtypes import CORE_DTYPES, VALUE_BITS, short_dtype

ROOT = Path(__file__).parents[2]
CLOCK_HZ = 2e9
HELD = sorted(
    {
        f"{table}.{name}"
        for row in _core.calibration_constants()
        if row.held
        for table in row.tables
        for name in row.names
    }
)


# Three devices, since a constant may stand in for a fact that a device gives. The first gives all: rates in each dtype
# of each engine, so that the energy of each counts.
RATES = "\n".join(f"{dtype} = 10" for dtype in CORE_DTYPES)
WHOLE = f"""\
schema_version = 1
id = "whole"
name = "whole"
vendor = "none"
kind = "gpu"
family = "gpu"
verified = true
source = {{ text = "made for a test" }}
[compute]
cores = 4
clock_ghz = {CLOCK_HZ / 1e9}
[compute.matrix_tflop_per_s]
{RATES}
[compute.vector_tflop_per_s]
{RATES}
[memory]
l1 = {{ capacity_kib_per_core = 128 }}
l2 = {{ capacity_mib = 8 }}
scratchpad = {{ capacity_mib = 16 }}
llc = {{ capacity_mib = 32 }}
dram = {{ capacity_gib = 16, bandwidth_gb_per_s = 500, inline_ecc = true }}
[power]
tdp_w = 100
idle_w = 10
"""
BARE = """\
schema_version = 1
id = "bare"
name = "bare"
vendor = "none"
kind = "gpu"
family = "gpu"
verified = true
source = { text = "made for a test" }
compute = { cores = 4, matrix_tflop_per_s = { fp16 = 10 } }
memory = { dram = { capacity_gib = 16, bandwidth_gb_per_s = 500 } }
power = { tdp_w = 100 }
"""
CPU = BARE.replace('"gpu"', '"cpu"').replace('"bare"', '"few-threads"')
DEVICES = {"whole": WHOLE, "bare": BARE, "few-threads": CPU}


def machines(folder: Path, constants: str = "") -> Iterator[dict[str, Any]]:
    """What a machine is, for every device with some more constants in its file."""
    for name, text in DEVICES.items():
        path = folder / f"{name}.toml"
        path.write_text(text + constants, encoding="utf-8")
        for way in ({"threads": 1},) if name == "few-threads" else ({}, {"sustained": True}):
            machine = ic.hardware.load(path, **way)  # type: ignore[arg-type]
            yield {
                name: getattr(machine, name)
                for name in dir(_core.Hardware)
                if not name.startswith(("_", "provenance")) and not callable(getattr(machine, name))
            }


@pytest.fixture(scope="module")
def unchanged(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    return list(machines(tmp_path_factory.mktemp("unchanged")))


def some_values(table: str, key: str) -> list[float]:
    """Values that a file may have, far from each other: at least one of them is not the one that holds."""
    constant = TABLES[table][key]
    values = [1, 3000] if constant.whole else [0.61, 0.97, 1.03, 2000.0]
    return [
        value
        for value in values
        if (value > constant.low or (value == constant.low and not constant.above))
        and (constant.high is None or value <= constant.high)
    ]


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.sample(15)
def test_a_file_with_one_constant_makes_another_machine(
    table: str, unchanged: list[dict[str, Any]], tmp_path: Path
) -> None:
    for key in TABLES[table]:
        texts = [f'[calibration.{table}]\nsource = "a test"\n{key} = {value}\n' for value in some_values(table, key)]
        # Machines are compared until one differs: reading all of them takes several times as long.
        made = (pair for text in texts for pair in zip(machines(tmp_path, text), unchanged, strict=True))
        assert any(machine != before for machine, before in made), f"no value of {key} does"


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.sample(15)
def test_a_key_beside_it_is_refused_in_both_languages(table: str, tmp_path: Path) -> None:
    path = tmp_path / "whole.toml"
    for key in TABLES[table]:
        path.write_text(f'{WHOLE}[calibration.{table}]\nsource = "a test"\n{key}x = 1\n', encoding="utf-8")
        with pytest.raises(ic.hardware.HardwareFileError) as refused:
            ic.hardware.load(path)
        told = str(refused.value)
        assert f"{path}: unknown key 'calibration.{table}.{key}x'; the nearest valid key is '{key}'" in told
        message = rf"unknown key '{table}\.{key}x' of a calibration file; the nearest is '{table}\.{key}'$"
        with pytest.raises(ValueError, match=message):
            _core.base_constants({f"{table}.{key}x": 1.0}, clock_hz=CLOCK_HZ)


def test_a_table_that_is_not_known_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "whole.toml"
    path.write_text(f'{WHOLE}[calibration.kernel.gem]\nsource = "a test"\ndram = 1\n', encoding="utf-8")
    with pytest.raises(ic.hardware.HardwareFileError, match=r"unknown key 'calibration\.kernel\.gem'.*'gemm'"):
        ic.hardware.load(path)


def by_hand(**given: Any) -> ic.Hardware:
    return ic.Hardware(
        **{
            "id": "by hand",
            "name": "by hand",
            "kind": "gpu",
            "family": "gpu",
            "cores": 1,
            "clock_hz": CLOCK_HZ,
            "matrix_flop_per_s": {"float32": 1e12},
            "vector_flop_per_s": {},
            "memory": [("dram", 1e9, 1e9)],
            "overheads_s": dict.fromkeys(("dispatch", "launch_gap", "replay_gap", "kernel_minimum"), 0.0),
            "achieved": {},
            "power_w": {},
            "links_byte_per_s": {},
            **given,
        }
    )


def test_a_machine_made_by_hand_takes_known_names_alone() -> None:
    def with_constant(name: str) -> ic.Hardware:
        table, _, key = name.partition(".")
        return by_hand(achieved={key: 1.0}) if table == "achieved" else by_hand(constants={name: 1.0})

    for name in HELD:
        made = with_constant(name)
        assert {f"achieved.{key}": value for key, value in made.achieved.items()} | made.constants == {name: 1.0}
        assert pickle.loads(pickle.dumps(made)).constants == made.constants
        told = rf"hardware 'by hand': unknown constant '{name}x'; the nearest is '{name}'$"
        with pytest.raises(ValueError, match=told):
            with_constant(f"{name}x")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            {"constants": {"stream.turnaround": -0.5}},
            r"'stream\.turnaround' is -0\.5.* >= 0 and <= 1e\+15$",
        ),
        (
            {"constants": {"winograd.fused": 0}},
            r"'winograd\.fused' is 0; .* >= 1e-15 and <= 1e\+15$",
        ),
        ({"constants": {"sparsity.gain_2_4": 1.5}}, r"'sparsity\.gain_2_4' is 1\.5.*>= 0\.5 and <= 1$"),
        (
            {"constants": {"limits.threads_per_core": 1.5}},
            r"'limits\.threads_per_core' is 1\.5.*expected a whole number >= 1 and <= 1e\+15$",
        ),
        (
            {"constants": {"forward.start_s": math.inf}},
            r"'forward\.start_s' is inf; .* >= 0 and <= 1e\+30$",
        ),
        ({"constants": {"forward.start_s": math.nan}}, r"'forward\.start_s' is not a number; pass a number"),
        ({"achieved": {"matrix_bf16": 1.6}}, r"'achieved\.matrix_bf16' is 1\.6.*>= 1e-06 and <= 1\.5$"),
    ],
)
def test_a_value_out_of_range_is_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=r"^hardware 'by hand': constant " + message):
        by_hand(**given)


def test_a_constant_that_is_not_set_has_the_default_of_its_row() -> None:
    made = by_hand(
        constants={"tiles_vector.edge": 0.2, "kernel.depthwise.compute": 0.3, "kernel.softmax.spread": 0.1},
        overheads_s={"dispatch": 0.0, "launch_gap": 0.0, "replay_gap": 0.0, "kernel_minimum": 2e-6},
        achieved={"matrix": 0.9, "matrix_fp8": 0.6},
        spread=0.4,
    )
    expected = {
        "tiles_vector.edge": 0.2,
        "tiles_convolution.edge": 0.2,  # that of tiles_vector
        "tiles_int8.edge": 0.0,  # that of tiles_matrix, which has none
        "tiles_matrix.split_length": 512.0,
        "kernel.depthwise.compute": 0.3,
        "kernel.depthwise.grouped": 0.3,  # as compute
        "kernel.gemm.minimum_s": 2e-6,  # a contraction's, from the overheads
        "kernel.copy.minimum_s": 0.0,
        "kernel.softmax.spread": 0.1,
        "kernel.scan.spread": 0.4,  # the machine's
        "achieved.matrix_fp8": 0.6,
        "achieved.matrix_bf16": 0.9,
        "achieved.vector_fp32": 1.0,
        "power.matrix_bf16": 0.0,
        "power.sustained": 0.0,
        "energy.spread": 0.0,
        "cold_start.runtime_high_s": 0.0,
    }
    assert {name: made.constant(name) for name in expected} == expected
    assert all(math.isnan(made.constant(name)) for name in ("winograd.fused", "energy.static_w", "host_link.latency_s"))
    with pytest.raises(ValueError, match=r"unknown constant 'energy\.spreads'; the nearest is 'energy\.spread'$"):
        made.constant("energy.spreads")


# Units


@pytest.mark.parametrize(
    ("dotted", "written", "name", "base"),
    [
        ("forward.start_us", 18.0, "start_s", 18e-6),
        ("tiles_matrix.round_clocks", 3000.0, "round_s", 1.5e-6),  # 3000 clocks of 0.5 ns
        ("tiles_matrix.operand_clocks_per_element", 3.0, "operand_s_per_element", 1.5e-9),
        ("tiles_vector.page_kib", 64.0, "page_bytes", 65536.0),
        ("cpu.row_per_clock_per_core", 0.25, "row_s", 2e-9),  # an element takes 4 clocks
        ("cpu.packing_per_clock_per_core", 4.0, "packing_s", 0.125e-9),
        ("cpu.parallel_region_us_per_thread", 1.0, "region_s", 1e-6),
        ("cpu.page_fault_us", 0.4096, "fault_s_per_byte", 1e-10),  # 0.4096 us for 4096 bytes
        ("host_link.pageable_gb_per_s", 5.9, "pageable_byte_per_s", 5.9e9),
        ("energy.dram_pj_per_byte", 75.0, "dram_j_per_byte", 75e-12),
        ("limits.dram_gb_per_s_per_core", 14.0, "dram_byte_per_s_per_core", 14e9),
        ("assumed.clock_ghz", 1.5, "clock_hz", 1.5e9),
        ("overheads.kernel_minimum_clocks", 2000.0, "kernel_minimum_core_s", 1e-6),
        ("kernel.gather.issue_byte_per_clock", 1.004, "issue_byte_per_clock", 1.004),  # models multiply by the clock
        ("attention.longest", 0.43, "longest", 0.43),
    ],
)
def test_a_unit_is_converted_by_its_row(dotted: str, written: float, name: str, base: float) -> None:
    table, _, key = dotted.rpartition(".")
    assert _core.base_constants({dotted: written}, clock_hz=CLOCK_HZ) == {f"{table}.{name}": pytest.approx(base)}
    assert as_written(table, {name: base}, clock_hz=CLOCK_HZ) == {key: pytest.approx(written)}


def test_what_is_written_without_a_clock_and_needs_one_is_not_a_number() -> None:
    assert math.isnan(as_written("cpu", {"row_s": 1e-9})["row_per_clock_per_core"])
    assert as_written("overheads", {"dispatch_s": 5e-6}) == {"dispatch_us": pytest.approx(5)}
    with pytest.raises(KeyError, match=r"cpu\.rows_s"):
        as_written("cpu", {"rows_s": 1e-9})


def test_one_place_has_no_key_and_no_name_twice() -> None:
    rows = _core.calibration_constants()
    keys = [f"{table}.{key}" for row in rows for table in row.tables for key in row.keys]
    names = [f"{table}.{name}" for row in rows for table in row.tables for name in row.names]
    assert len(set(keys)) == len(keys)
    assert len(set(names)) == len(names)
    assert all(len(row.keys) == len(row.names) for row in rows)
    assert all(row.meaning[0].islower() or row.meaning[0].isdigit() or row.meaning.startswith("DRAM") for row in rows)


# Documentation


@pytest.fixture(scope="module")
def hooks() -> ModuleType:
    specification = importlib.util.spec_from_file_location("mkdocs_hooks", ROOT / "tools" / "mkdocs_hooks.py")
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def test_the_page_of_constants_lists_every_row(hooks: ModuleType) -> None:
    page = (ROOT / "docs" / "constants.md").read_text(encoding="utf-8")
    text = hooks.on_page_markdown(page, page=None, config=None, files=None)
    rows = _core.calibration_constants()
    assert sum(line.startswith("| `") for line in text.splitlines()) == len(rows)
    for row in rows:
        assert f"| `{row.key}` | {row.unit} |" in text
        assert f"| {row.meaning} |" in text
        assert all(f"[{table}]" in text for table in row.tables)
    assert "| `dispatch_us` | us | required | from 0 |" in text
    assert "| `split_length` | elements | that of tiles_matrix (of tiles_convolution: tiles_vector), else 512 |" in text
    assert "| `row_per_clock_per_core` | elements/clock/core | no cost | from 1e-15 |" in text
    assert "| `threads_per_core` | threads | 2048 | from 1, whole |" in text


# Names of dtypes


def test_dtypes_have_one_table_of_names() -> None:
    assert dict(CORE_DTYPES) == {
        "fp64": "float64",
        "fp32": "float32",
        "tf32": "tf32",
        "fp16": "float16",
        "bf16": "bfloat16",
        "fp8": "float8_e4m3fn",
        "fp4": "float4_e2m1fn_x2",
        "int8": "int8",
        "int4": "int4",
    }
    assert dict(VALUE_BITS) == {
        "fp64": 64,
        "fp32": 32,
        "tf32": 32,
        "fp16": 16,
        "bf16": 16,
        "fp8": 8,
        "fp4": 4,
        "int8": 8,
        "int4": 4,
    }
    assert [short_dtype(name) for name in ("bfloat16", "float8_e5m2", "int64")] == ["bf16", "fp8", "int64"]
    assert [row.bits for row in _core.dtypes() if row.name in ("float4_e2m1fn_x2", "complex64")] == [8, 64]
