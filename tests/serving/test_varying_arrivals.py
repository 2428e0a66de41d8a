"""Rates that vary: seasons, growth and Markov-modulated bursts against their closed forms."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.examples import examples

from pyinfercost.serving.arrival_texts import parse_arrivals
from pyinfercost.serving.arrivals import ArrivalsError
from pyinfercost.serving.varying_arrivals import (
    DAY_S,
    Modulation,
    Season,
    VaryingArrivals,
    _Chain,
    peaked_profile,
)
from pyinfercost.serving.workload import Workload

HOUR_S = 3600.0
KINDS = (
    "poisson:3",
    "gamma:3,cv=3",
    "gamma:3,cv=0.4",
    "bursts:3,size=7",
    "bursts:30,size=5,spacing_s=0.02",
    "diurnal:3,peak=4,period_s=300",
    "diurnal:0.01,profile=1:0:2,weekend=0,cv=2",
    "mmpp:3,burst=4,share=0.2,length_s=2",
    "mmpp:rates=0:10:1,sojourns_s=3:1:5",
    "diurnal:3,peak=2,period_s=900,week=1:2:0:1:1:0.5:0,burst=2,share=0.3,length_s=30,growth=300%/day",
    "poisson:3,growth=-80%/day",
)


def arrivals_until(arrivals: VaryingArrivals, end_s: float, seed: int = 1) -> np.ndarray:
    rng, parts = np.random.default_rng(seed), [np.zeros(0)]
    run = arrivals.begin(np.random.default_rng(seed + 1000))
    while not parts[-1].size or parts[-1][-1] < end_s:
        parts.append(run.take(rng, 65_536))
    found = np.concatenate(parts)
    return found[found < end_s]


def kolmogorov(values: np.ndarray, distribution: np.ndarray) -> float:
    """Return D sqrt(n) of values whose distribution function is given; above 1.95 once in 1,000."""
    shares = np.sort(distribution)
    steps = np.arange(shares.size + 1) / shares.size
    return float(max((steps[1:] - shares).max(), (shares - steps[:-1]).max()) * values.size**0.5)


# ---- seasons and growth ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("peak", [1.0, 1.5, 3.0, 10.0, 40.0])
def test_a_profile_has_its_peak(peak: float) -> None:
    profile = np.asarray(peaked_profile(peak))
    assert profile.max() / profile.mean() == pytest.approx(peak, rel=1e-9)
    assert profile == pytest.approx(profile[::-1])
    assert (np.diff(profile[:48]) >= 0).all()  # most in the middle of the period
    assert profile.min() >= 0


def test_a_small_peak_is_a_sine() -> None:
    """exp(k cos x) is 1 + k cos x for small k; the middle of the first interval is at pi / 96."""
    middle = 2 * np.pi * (np.arange(96) + 0.5) / 96
    sine = 1 - 0.01 * np.cos(middle) / np.cos(np.pi / 96)
    assert np.asarray(peaked_profile(1.01)) == pytest.approx(sine, rel=1e-4)


def test_rate_follows_its_profile() -> None:
    """Three hours with weights 1, 0, 3: a quarter of the requests in the first, none in the second."""
    found = arrivals_until(
        VaryingArrivals(rate_per_s=10.0, season=Season(profile=(1, 0, 3), period_s=3 * HOUR_S)), 30_000.0
    )
    hours = np.bincount((found % (3 * HOUR_S) // HOUR_S).astype(int), minlength=3)
    periods = np.asarray([3, 3, 2 + 1200 / 3600])  # 30,000 s are 2.8 periods
    expected = 30 * HOUR_S * np.asarray([0.25, 0, 0.75]) * periods
    assert hours == pytest.approx(expected, abs=5 * expected.max() ** 0.5)
    assert hours[1] == 0


def test_weeks_and_days_multiply() -> None:
    """Rates of each hour of two weeks are those of profile x day, normalized over the week, with Poisson deviations."""
    profile, week = (1.0, 2.0, 5.0), (1.0, 1.0, 2.0, 1.0, 1.0, 0.5, 0.0)
    found = arrivals_until(VaryingArrivals(rate_per_s=0.5, season=Season(profile=profile, week=week)), 14 * DAY_S)
    counts = np.histogram(found, bins=np.arange(14 * 24 + 1) * HOUR_S)[0]
    weights = np.tile((np.asarray(week)[:, None] * np.repeat(profile, 8)).reshape(-1), 2)
    expected = weights / weights.mean() * 0.5 * HOUR_S
    assert counts[expected == 0].sum() == 0
    some = expected > 0
    chi_square = float(((counts - expected)[some] ** 2 / expected[some]).sum())
    assert abs(chi_square - some.sum()) < 4 * (2 * some.sum()) ** 0.5


def test_hours_of_a_week_need_no_profile() -> None:
    week = tuple(np.arange(168) % 5 + 1.0)
    starts, weights = Season(week=week).pieces()
    assert starts == pytest.approx(np.arange(168) * HOUR_S)
    assert weights == pytest.approx(np.asarray(week) / np.mean(week))
    # A profile of 5 intervals and 168 hours: the mean over time is 1 although intervals have several lengths.
    starts, weights = Season(profile=(1, 2, 3, 4, 5), week=week).pieces()
    assert weights @ np.diff(np.append(starts, 7 * DAY_S)) == pytest.approx(7 * DAY_S)


def test_growth_is_continuous_and_compounded() -> None:
    """In 5 days with 50 % a day: 2 DAY_S (1.5^5 - 1) / log 1.5 requests, and each day has 1.5 times the one before."""
    found = arrivals_until(VaryingArrivals(rate_per_s=2.0, growth_per_day=0.5), 5 * DAY_S)
    days = np.histogram(found, bins=np.arange(6) * DAY_S)[0]
    expected = 2 * DAY_S * np.diff(1.5 ** np.arange(6)) / np.log(1.5)
    assert days == pytest.approx(expected, abs=5 * expected.max() ** 0.5)
    # Mapped by the integral of the rate, intervals are exponential.
    units = np.diff(2 * DAY_S * (1.5 ** (found / DAY_S) - 1) / np.log(1.5))
    assert kolmogorov(units, 1 - np.exp(-units)) < 1.95


@pytest.mark.parametrize("variation", [1.0, 0.5, 3.0])
def test_intervals_have_their_distribution_in_units_of_the_mean(variation: float) -> None:
    """With weights 1 and 3 in turn, the integral of the rate at the arrivals has gamma intervals of mean 1."""
    found = arrivals_until(
        VaryingArrivals(rate_per_s=5.0, season=Season(profile=(1, 3), period_s=200.0), variation=variation), 20_000.0
    )
    edges = np.arange(0, 20_100, 100.0)
    units = np.diff(np.interp(found, edges, np.concatenate([[0], np.cumsum(np.tile([250.0, 750.0], 100))])))
    assert units.mean() == pytest.approx(1, abs=5 * variation / units.size**0.5)
    assert units.std() == pytest.approx(variation, rel=0.05)
    if variation == 1:
        assert kolmogorov(units, 1 - np.exp(-units)) < 1.95


def test_a_decline_ends() -> None:
    """10 requests/s that halve each minute are 10 x 60 / log 2 = 866 in all."""
    halved = VaryingArrivals(rate_per_s=10.0, growth_per_day=-0.9)
    found = Workload(arrivals=halved, requests=10_000_000, prompt=1, output=1, duration_s=40 * DAY_S).all()
    assert len(found) == pytest.approx(10 * DAY_S / np.log(10), rel=0.01)
    with pytest.raises(ValueError, match="declines to nothing before there are as many requests"):
        Workload(arrivals=halved, requests=1_000_000).all()


# ---- bursts ----------------------------------------------------------------------------------------------------------


def test_states_have_their_shares() -> None:
    states = Modulation(rates=(0.0, 10.0, 1.0), sojourns_s=(3.0, 1.0, 5.0))
    assert states.shares == pytest.approx((3 / 9, 1 / 9, 5 / 9))
    assert states.mean_rate == pytest.approx(15 / 9)
    bursts = Modulation.of_bursts(5, 0.1, 60)
    assert bursts.mean_rate == pytest.approx(1)
    assert bursts.shares == pytest.approx((0.9, 0.1))
    assert Modulation.of_bursts(10, 0.1, 60).rates[0] == 0  # all requests in bursts


@pytest.mark.parametrize("window_s", [0.2, 1.0, 5.0, 50.0])
def test_index_of_dispersion_of_two_states(window_s: float) -> None:
    """Variance / mean of the requests in a window.

    With rates l1 and l2, ends of sojourns r1 and r2 and s = r1 + r2 (Heffes and Lucantoni, 1986):
    1 + 2 (l1 - l2)^2 r1 r2 / (s^2 (l1 r2 + l2 r1)) (1 - (1 - exp(-s t)) / (s t)).
    """
    quiet_s, burst_s, quiet, burst = 4.0, 1.0, 2.0, 20.0
    rates = Modulation(rates=(quiet, burst), sojourns_s=(quiet_s, burst_s))
    found = arrivals_until(VaryingArrivals(rate_per_s=rates.mean_rate, modulation=rates), 400_000.0)
    counts = np.bincount((found / window_s).astype(int), minlength=int(400_000 / window_s))
    r1, r2 = 1 / quiet_s, 1 / burst_s
    s = r1 + r2
    late = 1 - (1 - np.exp(-s * window_s)) / (s * window_s)
    expected = 1 + 2 * (quiet - burst) ** 2 * r1 * r2 / (s**2 * (quiet * r2 + burst * r1)) * late
    assert counts.mean() == pytest.approx(rates.mean_rate * window_s, rel=0.02)
    assert counts.var() / counts.mean() == pytest.approx(expected, rel=0.05)


def test_intervals_of_three_states() -> None:
    """None comes for t after a request with probability p exp((Q - L) t) 1; p is in proportion to share x rate."""
    states = Modulation(rates=(0.5, 8.0, 2.0), sojourns_s=(2.0, 1.0, 4.0))
    found = arrivals_until(VaryingArrivals(rate_per_s=states.mean_rate, modulation=states), 600_000.0)
    gaps = np.diff(found)[::40]  # far apart, so that they are almost independent
    rates = np.asarray(states.rates)
    leaving = 1 / np.asarray(states.sojourns_s)
    generator = np.full((3, 3), 0.5) * leaving[:, None]
    np.fill_diagonal(generator, -leaving)
    values, vectors = np.linalg.eig(generator - np.diag(rates))
    begin = np.asarray(states.shares) * rates / states.mean_rate
    weights = (begin @ vectors) * np.linalg.solve(vectors, np.ones(3))
    survival = (weights * np.exp(np.outer(gaps, values))).sum(1).real
    assert kolmogorov(gaps, 1 - survival) < 1.95
    assert kolmogorov(gaps, 1 - np.exp(-states.mean_rate * gaps)) > 10  # a Poisson process is another one


@pytest.mark.slow
def test_states_are_stationary_from_the_start() -> None:
    """At time 0 a state is as likely as at any other time: 1 of 10 runs begins in a burst."""
    bursts = Modulation(rates=(0.0, 1000.0), sojourns_s=(90.0, 10.0))
    begun = [
        VaryingArrivals(rate_per_s=bursts.mean_rate, modulation=bursts).begin(np.random.default_rng(seed)).take(
            np.random.default_rng(seed), 1
        )[0] < 0.02
        for seed in range(3000)
    ]  # fmt: skip
    assert np.mean(begun) == pytest.approx(0.1, abs=5 * (0.1 * 0.9 / 3000) ** 0.5)


@pytest.mark.slow
def test_a_sojourn_at_the_start_goes_on_for_an_exponential_time() -> None:
    """Exponential times have no memory: what is left of the first sojourn has the mean of its state."""
    states = Modulation(rates=(0.0, 1.0, 5.0), sojourns_s=(9.0, 1.0, 20.0))
    ends, first = np.zeros(4000), np.zeros(4000)
    for seed in range(4000):
        starts, rates = _Chain(states, np.random.default_rng(seed)).between(0.0, 1000.0)
        ends[seed], first[seed] = starts[1], rates[0]
    for share, rate, sojourn_s in zip(states.shares, states.rates, states.sojourns_s, strict=True):
        own = first == rate / states.mean_rate
        assert own.mean() == pytest.approx(share, abs=5 * (share * (1 - share) / 4000) ** 0.5)
        assert kolmogorov(ends[own], 1 - np.exp(-ends[own] / sojourn_s)) < 1.95


@pytest.mark.slow
def test_bursts_and_seasons_multiply() -> None:
    """The rate of a window is season x state: means by hour follow the season, and dispersion is above Poisson's."""
    found = arrivals_until(
        VaryingArrivals(
            rate_per_s=20.0,
            season=Season(profile=(1, 3), period_s=2 * HOUR_S),
            modulation=Modulation.of_bursts(5, 0.1, 20),
        ),
        400 * HOUR_S,
    )
    counts = np.histogram(found, bins=np.arange(401) * HOUR_S)[0].reshape(-1, 2)
    assert counts.mean(0) == pytest.approx(np.asarray([10, 30]) * HOUR_S, rel=0.03)
    # Long windows: 1 + 2 (5 - 5/9)^2 0.1 0.9 / (mean of 1) x rate / (1/20 + 1/180).
    per_rate = 2 * (5 - 0.5 / 0.9) ** 2 * 0.09 / (1 / 20 + 1 / 180)
    assert counts.var(0) / counts.mean(0) == pytest.approx(1 + per_rate * np.asarray([10, 30]), rel=0.3)


# ---- chunks ----------------------------------------------------------------------------------------------------------


@settings(max_examples=examples(60), deadline=None)
@given(
    kind=st.sampled_from(KINDS),
    sizes=st.lists(st.integers(0, 700), min_size=1, max_size=12),
    seed=st.integers(0, 1000),
)
def test_arrivals_do_not_depend_on_chunks(kind: str, sizes: list[int], seed: int) -> None:
    """Equal to the last bit, ascending, as many as asked for."""
    arrivals = parse_arrivals(kind)
    together = arrivals.begin(np.random.default_rng(seed)).take(np.random.default_rng(seed + 1), sum(sizes))
    run, rng = arrivals.begin(np.random.default_rng(seed)), np.random.default_rng(seed + 1)
    parts = [run.take(rng, size) for size in sizes]
    assert [part.size for part in parts] == sizes
    assert np.array_equal(np.concatenate(parts), together)
    assert (together[1:] >= together[:-1]).all()
    assert not together.size or together[0] >= 0


@settings(max_examples=examples(40), deadline=None)
@given(
    rate=st.floats(1e-6, 1e6),
    profile=st.lists(st.floats(0, 1e6), min_size=1, max_size=30).filter(lambda each: max(each) > 1e-3),
    period_s=st.floats(0.01, 1e6),
    growth=st.floats(-0.5, 1.0),
    states=st.lists(st.tuples(st.floats(0, 1e3), st.floats(0.01, 1e3)), min_size=2, max_size=4),
)
def test_times_ascend_at_any_rate(
    rate: float, profile: list[float], period_s: float, growth: float, states: list[tuple[float, float]]
) -> None:
    states[0] = (1.0, states[0][1])
    rates, sojourns = zip(*states, strict=True)
    # States that change far more often than requests come would be many.
    slow = tuple(sojourn * max(1.0, 1 / rate) for sojourn in sojourns)
    season = Season(profile=tuple(profile), period_s=max(period_s, 1 / rate))
    arrivals = VaryingArrivals(
        rate_per_s=rate, season=season, modulation=Modulation(rates=rates, sojourns_s=slow), growth_per_day=growth
    )
    found = arrivals.begin(np.random.default_rng(0)).take(np.random.default_rng(1), 500)
    finite = found[np.isfinite(found)]
    assert (np.diff(finite) >= 0).all()
    assert not np.isnan(found).any()
    edges = Season(profile=tuple(profile), period_s=season.period_s).pieces()
    within = finite % season.cycle_s
    near = np.abs(within[:, None] - np.append(edges[0], season.cycle_s)).min(1) < 1e-6 * season.cycle_s
    place = np.searchsorted(edges[0], within, side="right") - 1
    assert (near | (edges[1][place] > 0)).all()  # no request where the rate is 0


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (lambda: Season(profile="day"), "profile of season is 'day'; expected a sequence of numbers"),  # type: ignore[arg-type]
        (lambda: Season(profile=(1.0, float("nan"))), "profile of season is nan"),
        (lambda: Season(profile=(0.0, 1.0), week=(1.0,) * 6), "week has 6 weights"),
        (lambda: Season(profile=(1.0,), week=(0.0,) * 7), "week is .*; expected at least one weight above 0"),
        (lambda: Season(profile=(1.0,), period_s=0), "period_s of season is 0"),
        (lambda: Season(profile=(0.0,) * 23 + (1.0,), week=(1.0,) + (0.0,) * 167), "no time at which both are above 0"),
        (lambda: Modulation(rates=(1.0,), sojourns_s=(1.0,)), "at least 2"),
        (lambda: Modulation(rates=(1.0, 2.0), sojourns_s=(1.0, 0.0)), "sojourns_s of modulation is 0.0"),
        (
            lambda: Modulation(rates=3, sojourns_s=(1.0, 0.0)),
            "rates of modulation is 3; expected a sequence of numbers",
        ),  # type: ignore[arg-type]
        (lambda: Modulation.of_bursts(2, 1.0, 60), "share is 1.0"),
        (
            lambda: VaryingArrivals(rate_per_s=1.0, season="diurnal"),
            "season has 'diurnal'; expected NAME=VALUE of profile, week, period_s",
        ),  # type: ignore[arg-type]
        (lambda: VaryingArrivals(rate_per_s=1.0, growth_per_day=-1), "growth_per_day of arrivals is -1"),
        (
            lambda: VaryingArrivals(rate_per_s=1e-6, season=Season(profile=(1, 2), period_s=100)),
            "the rate changes 0.02 times a second, and 1e-06 ",
        ),
    ],
)
def test_bad_factors_are_refused(made: object, message: str) -> None:
    with pytest.raises(ArrivalsError, match=message):
        made()  # type: ignore[operator]
