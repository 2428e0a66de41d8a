"""Energy of processors from a folder like Linux's; no real counter is needed."""

from __future__ import annotations

import itertools
import threading
import time
import warnings
from pathlib import Path

import pytest
from support.fake_meters import RANGE_UJ, SteadyCounter, zone

import pyinfercost as ic
from pyinfercost.measuring import energy, rapl
from pyinfercost.measuring.counters import NoCounterError
from pyinfercost.measuring.energy import joules_per_forward
from pyinfercost.measuring.rapl import RaplCounter


def add(file: Path, microjoules: int, range_uj: int = RANGE_UJ) -> None:
    """Counts on, and wraps as the processor does."""
    beside = file.with_name("next")
    beside.write_text(f"{(int(file.read_text()) + microjoules) % range_uj}\n")
    beside.replace(file)  # at once: a meter may be reading


def test_a_package_and_its_memory_are_added_up_and_nothing_is_counted_twice(tmp_path: Path) -> None:
    package = zone(tmp_path, "intel-rapl:0", "package-0", 5_000_000)
    dram = zone(tmp_path, "intel-rapl:0:2", "dram", 700)
    others = [
        zone(tmp_path, "intel-rapl:0:0", "core"),  # in the package
        zone(tmp_path, "intel-rapl:0:1", "uncore"),
        zone(tmp_path, "intel-rapl:1", "psys"),  # has the package in it
        zone(tmp_path, "intel-rapl-mmio:0", "package-0"),  # the same package once more
    ]
    (tmp_path / "intel-rapl").mkdir()
    counter = RaplCounter(tmp_path)
    assert counter.source == "rapl:package-0+dram"
    assert "package-0 with its dram" in counter.covers
    assert "including other processes" in counter.covers
    add(package, 3_000_000)
    add(dram, 500_000)
    for file in others:
        add(file, 90_000_000)
    assert counter.read_j() == pytest.approx(3.5)  # 3 J + 0.5 J


def test_several_packages_each_with_its_memory(tmp_path: Path) -> None:
    files = [
        zone(tmp_path, folder, name)
        for folder, name in (
            ("intel-rapl:0", "package-0"),
            ("intel-rapl:0:0", "dram"),
            ("intel-rapl:1", "package-1"),
            ("intel-rapl:1:0", "dram"),
            ("intel-rapl:10", "package-10"),
        )
    ]
    counter = RaplCounter(tmp_path)
    assert counter.source == "rapl:package-0+dram+package-1+dram+package-10"
    for power, file in enumerate(files):
        add(file, 1_000_000 * 2**power)
    assert counter.read_j() == pytest.approx(31)  # 1 + 2 + 4 + 8 + 16


def test_packages_without_memory_say_so(tmp_path: Path) -> None:
    zone(tmp_path, "intel-rapl:0", "package-0")
    zone(tmp_path, "intel-rapl:0:0", "core")  # what AMD has beside the package
    counter = RaplCounter(tmp_path)
    assert counter.source == "rapl:package-0"
    assert "memory has no counter here" in counter.covers


def test_each_counter_wraps_at_its_own_range(tmp_path: Path) -> None:
    package = zone(tmp_path, "intel-rapl:0", "package-0", RANGE_UJ - 1_000_000)
    dram = zone(tmp_path, "intel-rapl:0:0", "dram", 65_000_000_000, 65_532_610_987)
    counter = RaplCounter(tmp_path)
    add(package, 3_000_000)
    add(dram, 1_000_000_000, 65_532_610_987)
    assert int(package.read_text()) == 2_000_000
    assert counter.read_j() == pytest.approx(1003)
    add(package, RANGE_UJ - 1)  # once more, seen between two looks
    assert counter.read_j() == pytest.approx(1003 + 262_143.328849)


def test_a_long_stretch_is_looked_at_before_a_counter_wraps_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = zone(tmp_path, "intel-rapl:0", "package-0", range_uj=1_000)
    monkeypatch.setattr(rapl, "_LOOK_EVERY_S", 0.001)
    looked = threading.Event()
    number = RaplCounter._number

    def seen(self: RaplCounter, file: Path) -> int:
        value = number(self, file)
        if threading.current_thread() is not threading.main_thread():
            looked.set()
        return value

    monkeypatch.setattr(RaplCounter, "_number", seen)
    with ic.energy_meter(idle_s=0, powercap=tmp_path) as meter:
        for _ in range(5):
            add(package, 900, 1_000)
            for _ in range(2):  # one look may have begun before
                looked.clear()
                assert looked.wait(10)
    assert meter.joules == pytest.approx(5 * 900e-6)


def test_the_meter_tells_joules_idle_draw_source_and_resolution(tmp_path: Path) -> None:
    package = zone(tmp_path, "intel-rapl:0", "package-0")
    with ic.energy_meter(idle_s=0.01, powercap=tmp_path) as meter:
        time.sleep(0.02)
        add(package, 2_500_000)
    assert meter.joules == pytest.approx(2.5)
    assert meter.idle_w == 0
    assert meter.above_idle_joules == pytest.approx(2.5)
    assert meter.source == "rapl:package-0"
    assert meter.why_not is None
    assert meter.duration_s is not None
    assert meter.duration_s >= 0.02
    assert meter.resolution == pytest.approx(1e-3 / meter.duration_s)


def test_idle_draw_is_taken_off(monkeypatch: pytest.MonkeyPatch) -> None:
    counter = SteadyCounter(watts=40)
    monkeypatch.setattr(energy, "energy_counter", lambda *_: counter)
    with ic.energy_meter(idle_s=0.05) as meter:
        time.sleep(0.05)
    assert meter.idle_w == pytest.approx(40, rel=0.1)
    assert meter.joules is not None
    assert meter.above_idle_joules is not None
    assert abs(meter.above_idle_joules) < 0.2 * meter.joules
    assert counter.closed == 1


def refused(device: str = "cpu", **options: Path) -> str:
    """What the warning says, where there are no joules."""
    with (
        pytest.warns(ic.errors.EnergyUnknownWarning, match="energy is not measured") as told,
        ic.energy_meter(device, idle_s=0, **options) as meter,
    ):
        pass
    assert meter.joules is None
    assert meter.above_idle_joules is None
    assert meter.source is None
    assert meter.resolution is None
    assert meter.why_not is not None
    (warning,) = told
    assert meter.why_not in str(warning.message)
    assert Path(warning.filename) == Path(__file__), "the warning points at who asked"
    return str(warning.message)


def test_no_folder_is_said_aloud(tmp_path: Path) -> None:
    text = refused(powercap=tmp_path / "powercap")
    assert f"folder {tmp_path / 'powercap'} does not exist" in text
    assert "not estimated instead" in text


def test_an_empty_folder_and_links_to_nowhere_are_said_aloud(tmp_path: Path) -> None:
    (tmp_path / "intel-rapl:0").symlink_to(tmp_path / "hidden" / "intel-rapl:0")  # as container runtimes leave it
    assert "it has no intel-rapl counter" in refused(powercap=tmp_path)


def test_psys_alone_is_not_taken_for_packages(tmp_path: Path) -> None:
    zone(tmp_path, "intel-rapl:0", "psys")
    assert "none of its counters (psys) is of a package" in refused(powercap=tmp_path)


@pytest.mark.parametrize("denied", ["intel-rapl:0", "intel-rapl:0:0"])
def test_a_file_that_is_roots_alone_is_named_with_what_permits_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, denied: str
) -> None:
    zone(tmp_path, "intel-rapl:0", "package-0")
    zone(tmp_path, "intel-rapl:0:0", "dram")
    read_text = Path.read_text

    def deny(path: Path, encoding: str | None = None) -> str:  # chmod does not keep root out
        if path == tmp_path / denied / "energy_uj":
            raise PermissionError(13, "Permission denied", str(path))
        return read_text(path, encoding)

    monkeypatch.setattr(Path, "read_text", deny)
    text = refused(powercap=tmp_path)
    assert f"permission to read {tmp_path / denied / 'energy_uj'} is denied" in text
    assert f"sudo chmod a+r {tmp_path}/intel-rapl:*/energy_uj" in text


def test_a_counter_that_stands_still_tells_nothing(tmp_path: Path) -> None:
    zone(tmp_path, "intel-rapl:0", "package-0", 12345)
    assert "the counter did not change" in refused(powercap=tmp_path)


def test_a_counter_that_is_lost_meanwhile_tells_nothing(tmp_path: Path) -> None:
    file = zone(tmp_path, "intel-rapl:0", "package-0")
    meter = ic.energy_meter(idle_s=0, powercap=tmp_path)
    with pytest.warns(ic.errors.EnergyUnknownWarning, match="cannot be read"), meter:
        file.write_text("nonsense")
    assert meter.joules is None


def test_an_exception_in_the_block_comes_through_and_lets_go(monkeypatch: pytest.MonkeyPatch) -> None:
    counter = SteadyCounter()
    monkeypatch.setattr(energy, "energy_counter", lambda *_: counter)
    with pytest.raises(KeyError), ic.energy_meter(idle_s=0):
        raise KeyError
    assert counter.closed == 1


def test_other_devices_are_said_aloud() -> None:
    assert "only cpu (RAPL) and cuda (NVML) are supported" in refused("mps")


def test_seconds_below_zero_are_refused() -> None:
    with pytest.raises(ValueError, match="idle_s is -1"):
        ic.energy_meter(idle_s=-1)


def test_forwards_are_repeated_until_a_step_is_one_percent(monkeypatch: pytest.MonkeyPatch) -> None:
    counter = SteadyCounter(watts=40, step_s=1e-3)
    monkeypatch.setattr(energy, "energy_counter", lambda *_: counter)
    meter, waits = ic.energy_meter(idle_s=0.02), itertools.count()
    meter.open()
    found = joules_per_forward(lambda: time.sleep(0.002), meter, 0.0, lambda: next(waits))
    meter.close()
    assert found.duration_s is not None
    assert found.duration_s >= 0.1  # 100 steps
    assert found.resolution is not None
    assert found.resolution <= 0.01
    assert found.runs == next(waits)
    assert found.joules is not None
    assert found.joules * found.runs == pytest.approx(40 * found.duration_s, rel=0.05)
    assert found.source == "rapl:package-0+dram"
    assert found.idle_w == pytest.approx(40, rel=0.2)


def test_nothing_is_run_where_nothing_tells_joules(tmp_path: Path) -> None:
    meter = ic.energy_meter(powercap=tmp_path)
    with pytest.warns(ic.errors.EnergyUnknownWarning):
        meter.open()
    found = joules_per_forward(lambda: pytest.fail("ran"), meter, 1.0)
    assert found.joules is None
    assert found.runs == 0
    assert found.why_not == meter.why_not


def test_the_reason_names_what_was_looked_for() -> None:
    error = NoCounterError("a thing", "it is not there", "Get one.")
    assert str(error) == "a thing not available: it is not there. Get one."


def test_a_meter_that_works_warns_of_nothing(tmp_path: Path) -> None:
    file = zone(tmp_path, "intel-rapl:0", "package-0")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with ic.energy_meter(idle_s=0, powercap=tmp_path):
            add(file, 1)
