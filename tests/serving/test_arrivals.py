"""Arrivals: rates, variation of intervals, bursts and profiles, whatever the chunks."""

from __future__ import annotations

import numpy as np
import pytest

from pyinfercost.serving.arrivals import (
    ArrivalsError,
    AtOnce,
    BurstArrivals,
    ClosedLoop,
    DiurnalArrivals,
    GammaArrivals,
    parse_arrivals,
)

COUNT = 200_000


def times(arrivals: GammaArrivals | BurstArrivals | DiurnalArrivals, chunk: int = 50_000) -> np.ndarray:
    """Arrivals that are made in chunks."""
    rng, at, parts = np.random.default_rng(3), 0.0, []
    for first in range(0, COUNT, chunk):
        parts.append(arrivals.times(rng, chunk, at, first))
        at = float(parts[-1][-1])
    return np.concatenate(parts)


@pytest.mark.parametrize("variation", [0.3, 1.0, 3.0])
def test_gamma_has_its_rate_and_variation(variation: float) -> None:
    gaps = np.diff(times(GammaArrivals(5.0, variation)))
    assert gaps.mean() == pytest.approx(0.2, rel=5 * variation / COUNT**0.5)
    assert gaps.std() / gaps.mean() == pytest.approx(variation, rel=0.05)
    assert gaps.min() >= 0


@pytest.mark.parametrize("chunk", [50_000, 1_000])
def test_bursts_have_their_size_and_rate(chunk: int) -> None:
    """A burst of 7 goes on in the next chunk: 1,000 and 50,000 are no multiples of 7."""
    found = times(BurstArrivals(5.0, 7, 0.0), chunk)
    _, sizes = np.unique(found, return_counts=True)
    assert set(sizes[:-1].tolist()) == {7}
    assert COUNT / found[-1] == pytest.approx(5.0, rel=0.05)


def test_bursts_do_not_overlap() -> None:
    """Requests follow at 10 ms or more, also where bursts wait for each other at 80 % load."""
    found = times(BurstArrivals(80.0, 5, 0.01), 1_001 - 1)
    assert np.diff(found).min() == pytest.approx(0.01)
    assert COUNT / found[-1] == pytest.approx(80.0, rel=0.03)


def test_diurnal_rate_follows_its_profile() -> None:
    """Three hours with weights 1, 0, 3: a quarter of the requests in the first, none in the second."""
    found = times(DiurnalArrivals(10.0, profile=(1, 0, 3), period_s=3600.0))
    within = (found % 3600.0) // 1200.0
    shares = np.bincount(within.astype(int), minlength=3) / COUNT
    assert shares == pytest.approx([0.25, 0.0, 0.75], abs=0.02)
    assert COUNT / found[-1] == pytest.approx(10.0, rel=0.05)
    assert np.diff(found).min() >= 0


def test_default_profile_is_a_sine_with_its_depth() -> None:
    profile = np.asarray(DiurnalArrivals(1.0, depth=0.5).profile)
    assert (profile.max() - profile.min()) / (profile.max() + profile.min()) == pytest.approx(0.5, rel=1e-3)
    assert int(profile.argmin()) == 0


def test_closed_loop_thinks() -> None:
    rng = np.random.default_rng(0)
    assert ClosedLoop(4, 2.0).thinks(rng, 3).tolist() == [2.0, 2.0, 2.0]
    assert ClosedLoop(4, 2.0, exponential=True).thinks(rng, COUNT).mean() == pytest.approx(2.0, rel=0.02)


def test_texts() -> None:
    assert parse_arrivals(None, rate_per_s=2) == GammaArrivals(2.0)
    assert parse_arrivals(None) == AtOnce()
    assert parse_arrivals(None, clients=8) == ClosedLoop(8)
    assert parse_arrivals("gamma:cv=4", rate_per_s=2) == GammaArrivals(2.0, 4.0)
    assert parse_arrivals("bursts:size=8,spacing_s=0.01", rate_per_s=2) == BurstArrivals(2.0, 8, 0.01)
    assert parse_arrivals("closed:think_s=3,exponential=1", clients=8) == ClosedLoop(8, 3.0, exponential=True)
    diurnal = parse_arrivals("diurnal:profile=1:2:4,period_s=60,cv=2", rate_per_s=2)
    assert diurnal == DiurnalArrivals(2.0, (1.0, 2.0, 4.0), 60.0, variation=2.0)


@pytest.mark.parametrize(
    ("value", "given", "message"),
    [
        ("poison", {"rate_per_s": 1}, "arrivals is 'poison'"),
        ("gamma:cv=-1", {"rate_per_s": 1}, "cv is -1.0; expected a number from 0.001"),
        ("gamma:shape=2", {"rate_per_s": 1}, "has no 'shape'"),
        ("poisson", {}, "pass rate_per_s"),
        (None, {"rate_per_s": 1, "clients": 2}, "pass one"),
        ("closed", {}, "number of clients"),
        ("at-once", {"rate_per_s": 1}, "pass one of them"),
        (None, {"rate_per_s": 0}, "rate_per_s is 0"),
        ("bursts:size=2,spacing_s=1", {"rate_per_s": 2}, "spacing_s below 1 / rate_per_s"),
        ("diurnal:profile=0:0", {"rate_per_s": 2}, "at least one weight above 0"),
        (7, {}, "arrivals is 7"),
    ],
)
def test_bad_arrivals_are_refused(value: object, given: dict[str, float], message: str) -> None:
    with pytest.raises(ArrivalsError, match=message):
        parse_arrivals(value, **given)  # type: ignore[arg-type]
