"""Loading a device by id, path and threads, and errors of invalid files."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from pyinfercost import _checks, hardware
from pyinfercost.hardware import machines
from pyinfercost.hardware.catalog_names import CATALOG, device_id
from pyinfercost.hardware.files import (
    CALIBRATIONS,
    calibration,
    family_calibration,
    lineage,
    lookup,
    read_device,
)
from pyinfercost.hardware.loading import make_hardware
from pyinfercost.hardware.schema import check

SAMPLE = CATALOG / "a100-sxm-80gb.toml"


def edited(folder: Path, *edits: tuple[str, str], sample: Path = SAMPLE) -> Path:
    """A copy of a catalog file with some text replaced."""
    text = sample.read_text(encoding="utf-8")
    for old, new in edits:
        assert old in text, f"{sample.name} has no {old!r} to replace"
        text = text.replace(old, new)
    path = folder / sample.name
    path.write_text(text, encoding="utf-8")
    return path


# Ways in


def test_unknown_id_names_the_nearest() -> None:
    with pytest.raises(hardware.UnknownHardwareError, match=r"'A100_SXN_80'.*a100-sxm-80gb.*pyinfercost hardware"):
        hardware.load("A100_SXN_80")
    with pytest.raises(ValueError, match="h100-sxm-80gb"):
        hardware.load("h100")
    assert issubclass(hardware.UnknownHardwareError, KeyError)


def test_path_and_loaded_device_are_accepted(tmp_path: Path) -> None:
    path = edited(
        tmp_path, ('id = "a100-sxm-80gb"', 'id = "mine"'), ("bandwidth_gb_per_s = 2039.0", "bandwidth_gb_per_s = 1000")
    )
    mine = hardware.load(path)
    assert (mine.id, mine.bandwidth_byte_per_s) == ("mine", 1e12)
    assert hardware.load(str(path)).id == "mine"
    assert hardware.load(mine) is mine
    with pytest.raises(TypeError, match=r"type int; expected an id"):
        hardware.load(80)  # type: ignore[arg-type]
    with pytest.raises(hardware.HardwareFileError, match=r"absent\.toml cannot be read"):
        hardware.load(tmp_path / "absent.toml")


def test_loading_opens_one_device_and_two_calibrations_until_one_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "calibration"
    shutil.copytree(CALIBRATIONS, folder)
    path = edited(tmp_path)
    opened: list[str] = []
    open_file = _checks.open_file

    def counted(path: Path, **options: Any) -> Any:
        opened.append(path.name)
        return open_file(path, **options)

    monkeypatch.setattr(_checks, "open_file", counted)
    assert "a100-sxm-80gb" in hardware.names()
    assert opened == []
    first = hardware.load(path, calibration=folder)
    assert opened == [path.name, "nvidia-ampere-ga100.toml", "gpu.toml", "gpu.toml"]  # the last one has the bands
    assert hardware.load(path, calibration=folder) is first
    assert len(opened) == 4
    kind = folder / "gpu.toml"
    kind.write_text(kind.read_text().replace("dispatch_us = 25.0", "dispatch_us = 25.5"))
    changed = hardware.load(path, calibration=folder)
    assert opened[4:] == ["gpu.toml"]
    assert first.overheads_s["dispatch"] == 25.0 * 1e-6
    assert changed.overheads_s["dispatch"] == 25.5 * 1e-6
    assert hardware.load(path, calibration=folder) is changed


def test_describe_keeps_sources() -> None:
    described = hardware.describe("a100-sxm-80gb")
    assert described["verified"] is True
    assert "compute.matrix_tflop_per_s.fp64" in described["source"]["unverified"]
    assert described["missing"] == []
    constants = described["calibration"]
    assert constants["origin"]["overheads.dispatch_us"]["file"] == "gpu.toml"
    assert constants["origin"]["achieved.matrix"]["file"] == "nvidia-ampere-ga100.toml"
    assert constants["values"]["overheads"]["dispatch_us"] == 25.0


# Threads


def test_threads_scale_a_cpu() -> None:
    whole, two = hardware.load("core-i9-10940x"), hardware.load("core-i9-10940x", threads=2)
    assert (whole.cores, two.cores) == (14, 2)
    assert two.vector_flop_per_s["float32"] == pytest.approx(whole.vector_flop_per_s["float32"] * 2 / 14)
    full = {name: (capacity, bandwidth) for name, capacity, bandwidth in whole.memory}
    part = {name: (capacity, bandwidth) for name, capacity, bandwidth in two.memory}
    assert part["l2"] == (2 * 2**20, pytest.approx(full["l2"][1] / 7))  # private: 1 MiB per core
    assert part["llc"] == (full["llc"][0], pytest.approx(full["llc"][1] / 7))  # shared: all of it
    assert full["dram"][1] == 93.9e9
    assert part["dram"][1] == 28e9  # 14 GB/s per core
    assert hardware.load("core-i9-10940x", threads=7).bandwidth_byte_per_s == 93.9e9  # 7 x 14 = 98 > 93.9


def test_the_slowest_core_decides_where_cores_differ() -> None:
    # 6 x 32 FLOP x 3.8 GHz + 8 x 16 FLOP x 3.0 GHz = 1.114 TFLOP/s: an efficiency core has 0.395 of a performance core.
    whole = 1.12e12
    per_fast = whole / (6 + 8 * 0.395)
    for threads, fast_cores in ((1, 1), (6, 6), (7, 6), (14, 6)):  # 14 x 0.395 = 5.5 are less than 6
        loaded = hardware.load("core-i7-12700h", threads=threads)
        assert loaded.vector_flop_per_s["float32"] == pytest.approx(fast_cores * per_fast, rel=1e-12)
    halves = hardware.load("core-i7-12700h", instances=2)
    assert (halves.cores, halves.vector_flop_per_s["float32"]) == (7, pytest.approx(3 * per_fast, rel=1e-12))


@pytest.mark.parametrize("threads", [14, 28])
def test_all_threads_are_the_whole_cpu(threads: int) -> None:
    whole, loaded = hardware.load("core-i9-10940x"), hardware.load("core-i9-10940x", threads=threads)
    assert loaded.vector_flop_per_s == whole.vector_flop_per_s
    assert loaded.memory == whole.memory


@pytest.mark.parametrize("threads", [0, -1, 29, True])
def test_threads_out_of_range_are_refused(threads: int) -> None:
    with pytest.raises(ValueError, match=rf"threads.* is {threads}; expected a whole number"):
        hardware.load("core-i9-10940x", threads=threads)


def test_threads_are_for_cpus_from_a_file() -> None:
    with pytest.raises(ValueError, match="expected a CPU"):
        hardware.load("t4", threads=2)
    with pytest.raises(ValueError, match="already loaded"):
        hardware.load(hardware.load("epyc-9654"), threads=2)


# Files that break the schema

BROKEN = {
    "unknown key": (
        ("tdp_w = 400", "tdp_watt = 400"),
        r"unknown key 'power\.tdp_watt'; the nearest valid key is 'tdp_w'",
    ),
    "unknown table": (("[sparsity]", "[sparseness]"), r"unknown key 'sparseness'; the nearest valid key is 'sparsity'"),
    "unknown dtype": (
        ("bf16 = 312.0", "bfloat16 = 312.0"),
        r"matrix_tflop_per_s\.bfloat16'; the nearest valid key is 'bf16'",
    ),
    "schema version": (("schema_version = 1", "schema_version = 2"), r"'schema_version' is 2; expected 1"),
    "text for a number": (
        ("capacity_gib = 80", 'capacity_gib = "80 GB"'),
        r"'memory\.dram\.capacity_gib' is the string '80 GB'; expected a number >= 0\.001 and <= 1e\+09",
    ),
    "boolean for a number": (("tdp_w = 400", "tdp_w = true"), r"'power\.tdp_w' is true; expected a number >= 0\.001"),
    "negative": (("tdp_w = 400", "tdp_w = -400"), r"'power\.tdp_w' is -400; expected a number >= 0\.001"),
    "denormal": (("tdp_w = 400", "tdp_w = 1e-320"), r"'power\.tdp_w' is 1e-320; expected a number >= 0\.001"),
    "too large for a float": (
        ("tdp_w = 400", f"tdp_w = 1{400 * '0'}"),
        r"'power\.tdp_w' is the string '10*\.\.\.'; expected",
    ),
    "more digits than Python converts": (("tdp_w = 400", f"tdp_w = 1{5000 * '0'}"), r"is not a TOML file: .*digits"),
    "cores beyond any chip": (
        ("cores = 108", f"cores = 1{30 * '0'}"),
        r"'compute\.cores' is the string '10*'; expected .* <= 1e\+08",
    ),
    "array of no units": (("cores = 108", "cores = 108\narray = []"), r"'compute\.array' is a list; expected a table"),
    "values in values": (("cores = 108", f"cores = {500 * '['}"), r"is not a TOML file: its values are nested too"),
    "family of no file system": (
        ('"nvidia-ampere-ga100"', f'"{"a" * 300}"'),
        r"'family' is 'a*'; expected lower-case",
    ),
    "infinite": (("tdp_w = 400", "tdp_w = inf"), r"'power\.tdp_w' is the string 'inf'"),
    "not a number": (("tdp_w = 400", "tdp_w = nan"), r"'power\.tdp_w' is the string 'nan'"),
    "fraction of a core": (("cores = 108", "cores = 108.5"), r"'compute\.cores' is 108\.5; expected an integer >= 1"),
    "kind": (('kind = "gpu"', 'kind = "tpu"'), r"'kind' is the string 'tpu'; expected one of 'gpu', 'cpu', 'systolic'"),
    "missing key": (('vendor = "NVIDIA"\n', ""), r"required key 'vendor' is missing; expected a text"),
    "empty source": (('text = "', 'text = "" # "'), r"'source\.text' is the string ''; expected a text"),
    "family": (
        ('"nvidia-ampere-ga100"', '"nvidia-ampere"'),
        r"'family' is 'nvidia-ampere'; expected one of .*nearest: nvidia-ampere-",
    ),
    "family of another kind": (
        ('"nvidia-ampere-ga100"', '"x86-avx2"'),
        r"a family of kind 'cpu'; expected one of kind 'gpu'",
    ),
    "family outside": (('"nvidia-ampere-ga100"', '"../gpu"'), r"'family' is '\.\./gpu'; expected lower-case"),
    "upper-case id": (('id = "a100-sxm-80gb"', 'id = "A100"'), r"'id' is 'A100'; expected lower-case"),
    "unverified path": (
        ("tflop_per_s.bf16", "tflop_per_s.fp8"),
        r"source\.unverified lists 'compute\.vector_tflop_per_s\.fp8'",
    ),
    "verified contradicted": (
        ("vector_tflop_per_s.bf16", "vector_tflop_per_s.fp32"),
        r"verified is true although source\.unverified lists",
    ),
    "unverified without reason": (("verified = true", "verified = false"), r"verified is false although source"),
    "two capacities": (
        ("capacity_mib = 40", "capacity_mib = 40\ncapacity_kib_per_core = 9"),
        r"\[memory\.l2\] has capacity_kib_per_core and capacity_mib",
    ),
    "usable above nominal": (
        ("usable_gib = 80", "usable_gib = 81"),
        r"usable_gib is 81; expected at most .* 80",
    ),
    "usable twice": (
        ("usable_gib = 80", "usable_gib = 80\nusable_share = 0.75"),
        r"has usable_share and usable_gib; expected",
    ),
    "share of unknown memory": (
        ("capacity_gib = 80\nusable_gib = 80", "usable_share = 0.75"),
        r"has usable_share without capacity_gib; expected",
    ),
    "array in a gpu": (
        ("[sparsity]", "[compute.array]\nrows = 4\ncols = 4\nunits = 1\n[sparsity]"),
        r"\[compute\.array\] is in a file of kind 'gpu'",
    ),
    "repeated key": (("tdp_w = 400", "tdp_w = 400\ntdp_w = 500"), r"is not a TOML file"),
}


@pytest.mark.parametrize(("edit", "message"), BROKEN.values(), ids=BROKEN)
def test_broken_file_is_refused(tmp_path: Path, edit: tuple[str, str], message: str) -> None:
    path = edited(tmp_path, edit)
    with pytest.raises(hardware.HardwareFileError, match=message) as error:
        hardware.load(path)
    assert str(path) in str(error.value)


def test_value_in_place_of_a_table_is_refused(tmp_path: Path) -> None:
    path = edited(
        tmp_path,
        ("release_year = 2020", "release_year = 2020\npower = 400"),
        ("[power]\ntdp_w = 400\nidle_w = 57\n", ""),
    )
    with pytest.raises(hardware.HardwareFileError, match=r"'power' is 400; expected a table \[power\]"):
        hardware.load(path)


def test_channels_must_make_up_the_bandwidth(tmp_path: Path) -> None:
    path = edited(tmp_path, ("channels = 12", "channels = 8"), sample=CATALOG / "epyc-9654.toml")
    with pytest.raises(
        hardware.HardwareFileError, match=r"is 460\.8; expected 307\.2 = 8 channels x 8 byte x 4800 MT/s"
    ):
        hardware.load(path)


def test_catalog_file_is_named_after_its_id(tmp_path: Path) -> None:
    path = edited(tmp_path, ('id = "a100-sxm-80gb"', 'id = "a100"'))
    with pytest.raises(hardware.HardwareFileError, match="'id' is 'a100'; expected 'a100-sxm-80gb'"):
        read_device(path, cataloged=True)


# Ways that no file system takes


@pytest.mark.parametrize("name", ["a" * 300, "a\0b", "\ud800", "\x1b[2J", "", "../l4", "L4\n2"])
def test_names_that_no_device_has(name: str) -> None:
    with pytest.raises(hardware.UnknownHardwareError) as error:
        hardware.load(name)
    assert str(error.value).isprintable()


@pytest.mark.parametrize("name", [f"{'a' * 300}.toml", "a\0b.toml", "\ud800.toml", "\x1b[2J.toml", ".toml"])
def test_paths_that_no_file_has(name: str, tmp_path: Path) -> None:
    for path in (name, str(tmp_path / name)):
        with pytest.raises(hardware.HardwareFileError, match="cannot be read") as error:
            hardware.load(path)
        assert str(error.value).isprintable()


@pytest.mark.parametrize(("name", "value"), [("threads", []), ("threads", 2.0), ("threads", {}), ("sustained", [])])
def test_options_of_another_type(name: str, value: object) -> None:
    with pytest.raises(hardware.HardwareError, match=f"{name} is .*; expected"):
        hardware.load("core-i9-10940x", **{name: value})  # type: ignore[arg-type]


def test_a_file_that_is_no_text(tmp_path: Path) -> None:
    path = tmp_path / "latin.toml"
    path.write_bytes("name = 'é'".encode("latin-1"))
    with pytest.raises(hardware.HardwareFileError, match=r"latin\.toml is not text in UTF-8"):
        hardware.load(path)


# Constants in a file


@pytest.mark.parametrize("value", [1e-320, 1e13])
def test_constants_without_a_range_of_their_own_are_plausible(tmp_path: Path, value: float) -> None:
    data = {"schema_version": 1, "family": "x", "forward": {"source": "a test", "start_us": value}}
    with pytest.raises(
        hardware.HardwareFileError, match=r"start_us. is .*; expected 0 or a number from 1e-12 to 1e\+12$"
    ):
        check(data, "calibration", tmp_path / "x.toml")


@pytest.mark.parametrize(
    ("key", "reached", "message"),
    [
        ("dram", 1.2, r"'achieved\.dram' is 1\.2; expected a number >= 1e-06 and <= 1"),
        ("matrix_bf16", 1.6, r"'achieved\.matrix_bf16' is 1\.6; expected a number >= 1e-06 and <= 1\.5"),
    ],
)
def test_fraction_above_one_is_refused(tmp_path: Path, key: str, reached: float, message: str) -> None:
    data = {"schema_version": 1, "family": "x", "achieved": {"source": "a test", key: reached}}
    with pytest.raises(hardware.HardwareFileError, match=message + "$"):
        check(data, "calibration", tmp_path / "x.toml")


def test_a_board_that_clocks_above_its_sheet_may_say_so(tmp_path: Path) -> None:
    data = {"schema_version": 1, "family": "x", "achieved": {"source": "a test", "matrix": 1.2}}
    check(data, "calibration", tmp_path / "x.toml")


def test_own_file_may_carry_measured_constants_and_the_catalog_may_not(tmp_path: Path) -> None:
    measured = '[calibration.overheads]\nsource = "measured here"\ndispatch_us = 3.5\n\n[sparsity]'
    path = edited(tmp_path, ("[sparsity]", measured))
    loaded = hardware.load(path)
    assert loaded.overheads_s["dispatch"] == pytest.approx(3.5e-6)
    assert loaded.overheads_s["replay_gap"] == pytest.approx(1.29e-6)  # still the family's
    with pytest.raises(hardware.HardwareFileError, match=r"\[calibration\] is in a file of the catalog"):
        read_device(path, cataloged=True)


def test_a_board_holds_the_clock_whose_voltage_its_power_pays_for(tmp_path: Path) -> None:
    # A clock of 1.41 GHz and the lowest voltage up to half of it, above which the voltage rises as the clock does: at
    # 0.8 of the clock it is 1.6 times the lowest. 312 TFLOP/s at 0.8 of the clock and e pJ x 1.6^2 draw the 400 W of
    # the board if e is 400 / (312 x 0.8 x 2.56), so that a FLOP takes 1 / (0.8 x 312 TFLOP/s) at the power limit.
    text = "\n".join(
        (
            "[calibration.achieved]",
            "source = 'a test'",
            "matrix_bf16 = 1.0",
            "[calibration.power]",
            "source = 'a test'",
            "static_fraction = 0",
            "static_w = 0",
            "burst = 1.0",
            "lowest_voltage_ghz = 0.705",
            "voltage_rise = 1.0",
            "dram_pj_per_byte = 40",
            "pj_per_flop_matrix_bf16 = {}\n\n[sparsity]",
        )
    )
    lowest_pj = 400 / (312 * 0.8 * 1.6**2)
    limited = hardware.load(edited(tmp_path, ("[sparsity]", text.format(lowest_pj))))
    assert limited.constants["power.matrix_bf16"] == pytest.approx(1 / (0.8 * 312e12))
    assert limited.constants["power.dram_s_per_byte"] == pytest.approx(40e-12 / 400)
    # A third of this energy is affordable at the full clock, at twice the lowest voltage.
    free = hardware.load(edited(tmp_path, ("[sparsity]", text.format(lowest_pj / 3))))
    assert free.constants["power.matrix_bf16"] == pytest.approx(lowest_pj / 3 * 1e-12 * 2**2 / 400)


def test_a_short_forward_may_draw_more_than_the_limit_unless_a_slot_supplies_the_board() -> None:
    def power(device: str, *, sustained: bool) -> dict[str, float]:
        constants = hardware.load(device, sustained=sustained).constants
        return {name: constants[f"power.{name}"] for name in ("vector_fp32", "dram_s_per_byte")}

    for device in ("h100-sxm-80gb", "rtx-4090"):
        short, always = (power(device, sustained=sustained) for sustained in (False, True))
        assert all(short[name] < always[name] for name in short)
    for device in ("t4", "l4"):  # 70 and 72 W
        assert power(device, sustained=False) == power(device, sustained=True)
    assert hardware.load("t4", sustained=True).sustained
    assert not hardware.load("t4").sustained


def test_boards_of_one_die_take_less_energy_for_a_flop_at_half_the_power() -> None:
    # The same die, at 600 and at 300 W: less than twice as slow in products, because the voltage falls, too.
    server, max_q = (
        hardware.load(f"rtx-pro-6000-{board}", sustained=True).constants["power.matrix_bf16"]
        for board in ("server", "max-q")
    )
    assert 1.2 < max_q / server < 2


def test_ecc_among_the_data_takes_bandwidth(tmp_path: Path) -> None:
    plain = hardware.load(edited(tmp_path)).achieved["dram"]
    checked = hardware.load(edited(tmp_path, ("usable_gib = 80", "usable_gib = 80\ninline_ecc = true"))).achieved[
        "dram"
    ]
    assert checked == pytest.approx(0.88 * plain)


def test_lookup_of_an_absent_path_is_none() -> None:
    assert lookup({"a": {"b": 1}}, "a.b") == 1
    assert lookup({"a": {"b": 1}}, "a.b.c") is None
    assert lookup({"a": {"b": 1}}, "a.c") is None


def test_a_family_extends_another_and_what_it_leaves_out_is_that_one_s(tmp_path: Path) -> None:
    for name in ("gpu", "nvidia-hopper"):
        shutil.copy(CALIBRATIONS / f"{name}.toml", tmp_path)
    (tmp_path / "newer.toml").write_text('schema_version = 1\nfamily = "newer"\nextends = "nvidia-hopper"\n')
    assert lineage("newer", tmp_path) == ["newer", "nvidia-hopper", "gpu"]
    of_newer, of_hopper = (family_calibration(family, tmp_path) for family in ("newer", "nvidia-hopper"))
    assert of_newer.data == of_hopper.data


@pytest.mark.parametrize(
    ("extends", "message"),
    [("newer", "expected no circle"), ("older", "'extends' is 'older'; expected one of gpu, newer")],
)
def test_a_family_that_extends_itself_or_nothing_known_is_refused(tmp_path: Path, extends: str, message: str) -> None:
    shutil.copy(CALIBRATIONS / "gpu.toml", tmp_path)
    (tmp_path / "newer.toml").write_text(f'schema_version = 1\nfamily = "newer"\nextends = "{extends}"\n')
    with pytest.raises(hardware.HardwareFileError, match=message):
        lineage("newer", tmp_path)


# Names that people type


@pytest.mark.parametrize(
    ("text", "device"),
    [
        ("L4", "l4"),
        ("nvidia L4", "l4"),
        ("m2 max", "apple-m2-max"),
        ("M2", "apple-m2"),
        ("rtx4090", "rtx-4090"),
        ("4070", "rtx-4070"),
        ("RTX 4070 Ti", "rtx-4070-ti"),
        ("A100-SXM4-80GB", "a100-sxm-80gb"),
        ("a100 sxm 80 GiB", "a100-sxm-80gb"),
        ("H200", "h200-sxm-141gb"),
        ("MI300", "mi300x"),
        ("TPU v5e", "tpu-v5e"),
        ("Xeon 8480+", "xeon-8480+"),
    ],
)
def test_names_that_people_type(text: str, device: str) -> None:
    assert hardware.load(text).id == device
    assert hardware.describe(text)["id"] == device


@pytest.mark.parametrize(
    ("text", "devices"),
    [
        ("H100", ["h100-nvl-94gb", "h100-pcie-80gb", "h100-sxm-80gb"]),
        ("A100 80GB", ["a100-pcie-80gb", "a100-sxm-80gb"]),
        ("graviton", ["graviton2", "graviton3", "graviton4"]),
    ],
)
def test_a_name_of_several_devices_lists_them(text: str, devices: list[str]) -> None:
    with pytest.raises(hardware.UnknownHardwareError) as error:
        hardware.load(text)
    assert ", ".join(devices[:-1]) + f" or {devices[-1]}" in str(error.value)


@pytest.mark.parametrize("text", ["4", "8", "80", "128"])
def test_a_small_number_names_no_device(text: str) -> None:
    with pytest.raises(hardware.UnknownHardwareError, match=f"unknown hardware '{text}'; `pyinfercost hardware`"):
        hardware.load(text)


def test_every_id_is_found_in_any_case_and_with_blanks() -> None:
    for name in hardware.names():
        assert device_id(name) == device_id(name.upper()) == device_id(name.replace("-", " ")) == name


def test_a_machine_from_the_cache_is_the_computed_one() -> None:
    for name in hardware.names():
        try:
            machines._cataloged.cache_clear()
            stored = hardware.load(name)
        except hardware.MissingFactError:
            continue
        machines._cataloged.cache_clear()
        again = hardware.load(name)
        device = read_device(CATALOG / f"{name}.toml", cataloged=True)
        computed = make_hardware(device, calibration(device))
        assert again.to_json() == stored.to_json() == computed.to_json()
