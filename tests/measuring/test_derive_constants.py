"""Constants of a CPU that follow from known seconds."""

from __future__ import annotations

import pytest

pytest.importorskip("torch", reason="calibration times calls of torch")

from pyinfercost.measuring.derive_constants import Readings
from pyinfercost.measuring.rounds import Timed

pytestmark = pytest.mark.torch

_MEBI = 2.0**20


def readings(rates: dict[float, float], **seconds: float) -> Readings:
    """Sets of weights: bytes in MiB -> GB/s; and further calls by name, with `__` for a dot."""
    timed = {f"weights.{mib:g}": Timed(lambda: None, 1, mib * _MEBI) for mib in rates}
    taken = {f"weights.{mib:g}": mib * _MEBI / (rate * 1e9) for mib, rate in rates.items()}
    named = {name.replace("__", "."): value for name, value in seconds.items()}
    timed |= {name: Timed(lambda: None, 1, 1.0) for name in named}
    return Readings(dict(timed), taken | named, cores=2, threads=2, clock_hz=1e9, private_bytes=4 * _MEBI)


def test_a_cache_ends_where_the_rate_falls_to_the_middle_between_cache_and_memory() -> None:
    found = readings({16: 40.0, 32: 40.0, 64: 40.0, 128: 10.0, 256: 10.0})
    assert found.resident_bytes(480 * _MEBI) == pytest.approx(64 * 2**0.5 * _MEBI)


def test_no_more_than_the_nominal_size_is_believed() -> None:
    found = readings({16: 40.0, 32: 40.0, 64: 40.0, 128: 10.0, 256: 10.0})
    assert found.resident_bytes(32 * _MEBI) == 32 * _MEBI


def test_where_all_sets_are_read_alike_the_size_stays_nominal() -> None:
    assert readings({16: 11.0, 64: 10.5, 256: 10.0}).resident_bytes(32 * _MEBI) == 32 * _MEBI


@pytest.mark.parametrize(("moved_mib", "evicted"), [(0.0, 0.0), (1.6, 0.0), (4.0, 0.5), (6.4, 1.0), (100.0, 1.0)])
def test_a_call_among_kernels_is_as_cold_as_they_are_large(moved_mib: float, evicted: float) -> None:
    found = readings({16: 1.0}, call__op=1e-6, cold__op=31e-6)
    assert found.call_s("op", moved_mib * _MEBI) == pytest.approx(1e-6 + evicted * 30e-6)


def test_a_call_of_a_compiled_module_has_a_start_and_a_check_per_weight() -> None:
    found = readings({16: 1.0}, guards__few=204e-6, guards__many=600e-6)
    found.timed["guards.few"] = Timed(lambda: None, 1, 4.0)
    found.timed["guards.many"] = Timed(lambda: None, 1, 400.0)
    assert found.compiled_calls() == pytest.approx({"compiled_start_s": 200e-6, "guard_s": 1e-6})
    assert readings({16: 1.0}).compiled_calls() == {}


def test_parts_of_a_call_add_up_to_what_was_measured() -> None:
    found = readings(
        {16: 1.0}, call__op=1e-6, call__product=3e-6, call__convolution=8e-6,
        cold__op=11e-6, cold__product=43e-6, cold__convolution=98e-6,
    )  # fmt: skip
    warm, cold = found.call_parts_s(), found.cold_parts_s()
    assert warm == pytest.approx({"op": 1e-6, "product": 2e-6, "convolution": 5e-6})
    assert cold == pytest.approx({"op": 10e-6, "product": 30e-6, "convolution": 50e-6})
