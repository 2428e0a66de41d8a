"""Arrivals: rates, variation of intervals, bursts and profiles, whatever the chunks."""

from __future__ import annotations

import numpy as np
import pytest

from pyinfercost.serving.arrival_texts import Arrivals, parse_arrivals
from pyinfercost.serving.arrivals import (
    ArrivalsError,
    AtOnce,
    BurstArrivals,
    ClosedLoop,
    GammaArrivals,
    parse_rate,
)
from pyinfercost.serving.varying_arrivals import Modulation, Season, VaryingArrivals, peaked_profile

COUNT = 200_000


def times(arrivals: Arrivals, chunk: int = 50_000) -> np.ndarray:
    """Arrivals that are made in chunks."""
    rng = np.random.default_rng(3)
    run = arrivals.begin(np.random.default_rng(4))
    return np.concatenate([run.take(rng, chunk) for _ in range(0, COUNT, chunk)])


@pytest.mark.parametrize("variation", [0.3, 1.0, 3.0])
def test_gamma_has_its_rate_and_variation(variation: float) -> None:
    gaps = np.diff(times(GammaArrivals(rate_per_s=5.0, variation=variation)))
    assert gaps.mean() == pytest.approx(0.2, rel=5 * variation / COUNT**0.5)
    assert gaps.std() / gaps.mean() == pytest.approx(variation, rel=0.05)
    assert gaps.min() >= 0


@pytest.mark.parametrize("chunk", [50_000, 1_000])
def test_bursts_have_their_size_and_rate(chunk: int) -> None:
    """A burst of 7 goes on in the next chunk: 1,000 and 50,000 are no multiples of 7."""
    found = times(BurstArrivals(rate_per_s=5.0, size=7, spacing_s=0.0), chunk)
    _, sizes = np.unique(found, return_counts=True)
    assert set(sizes[:-1].tolist()) == {7}
    assert COUNT / found[-1] == pytest.approx(5.0, rel=0.05)


def test_bursts_do_not_overlap() -> None:
    """Requests follow at 10 ms or more, also where bursts wait for each other at 80 % load."""
    found = times(BurstArrivals(rate_per_s=80.0, size=5, spacing_s=0.01), 1_001 - 1)
    assert np.diff(found).min() == pytest.approx(0.01)
    assert COUNT / found[-1] == pytest.approx(80.0, rel=0.03)


def test_closed_loop_thinks() -> None:
    rng = np.random.default_rng(0)
    assert ClosedLoop(clients=4, think_s=2.0).thinks(rng, 3).tolist() == [2.0, 2.0, 2.0]
    assert ClosedLoop(clients=4, think_s=2.0, exponential=True).thinks(rng, COUNT).mean() == pytest.approx(
        2.0, rel=0.02
    )


def test_texts() -> None:
    assert parse_arrivals(None, rate_per_s=2) == GammaArrivals(rate_per_s=2.0)
    assert parse_arrivals(None) == AtOnce()
    assert parse_arrivals(None, clients=8) == ClosedLoop(clients=8)
    assert parse_arrivals("gamma:cv=4", rate_per_s=2) == GammaArrivals(rate_per_s=2.0, variation=4.0)
    assert parse_arrivals("bursts:size=8,spacing_s=0.01", rate_per_s=2) == BurstArrivals(
        rate_per_s=2.0, size=8, spacing_s=0.01
    )
    assert parse_arrivals("closed:think_s=3,exponential=1", clients=8) == ClosedLoop(
        clients=8, think_s=3.0, exponential=True
    )
    diurnal = parse_arrivals("diurnal:profile=1:2:4,period_s=60,cv=2", rate_per_s=2)
    assert diurnal == VaryingArrivals(
        rate_per_s=2.0, season=Season(profile=(1.0, 2.0, 4.0), period_s=60.0), variation=2.0
    )


def test_a_text_may_have_the_rate() -> None:
    """A text with its rate is a whole traffic; the first setting is the rate, if it has no name."""
    assert parse_arrivals("poisson:20") == parse_arrivals("poisson:mean=20") == GammaArrivals(rate_per_s=20.0)
    assert parse_arrivals("poisson:90/min") == GammaArrivals(rate_per_s=1.5)
    assert parse_arrivals("gamma:20, cv=4") == parse_arrivals("gamma:cv=4", rate_per_s=20)
    assert parse_arrivals("bursts:2,size=8") == BurstArrivals(rate_per_s=2.0, size=8)
    assert parse_arrivals("closed:8") == parse_arrivals("closed:clients=8") == ClosedLoop(clients=8)
    assert parse_arrivals("diurnal:mean=20,peak=3") == VaryingArrivals(
        rate_per_s=20.0, season=Season(profile=peaked_profile(3))
    )
    assert parse_arrivals("diurnal:20") == VaryingArrivals(rate_per_s=20.0, season=Season(profile=peaked_profile(1.5)))
    everything = parse_arrivals("diurnal:mean=20,peak=3,weekend=0.5,growth=-5%/week,cv=4,burst=5,share=0.1,length_s=60")
    season = Season(profile=peaked_profile(3), week=(1.0,) * 5 + (0.5,) * 2)
    assert isinstance(everything, VaryingArrivals)
    growth = everything.growth_per_day
    assert everything == VaryingArrivals(
        rate_per_s=20.0,
        season=season,
        modulation=Modulation.of_bursts(5, 0.1, 60),
        growth_per_day=growth,
        variation=4.0,
    )
    hours = ":".join(["1"] * 168)
    assert parse_arrivals(f"diurnal:20,week={hours}") == VaryingArrivals(
        rate_per_s=20.0, season=Season(week=(1.0,) * 168)
    )


@pytest.mark.parametrize(
    ("text", "days"), [("10%/month", 365 / 12), ("-5%/week", 7), ("30%/year", 365), ("1e1%/day", 1)]
)
def test_growth_is_compounded(text: str, days: float) -> None:
    found = parse_arrivals(f"poisson:20,growth={text}")
    assert isinstance(found, VaryingArrivals)
    assert (1 + found.growth_per_day) ** days == pytest.approx(1 + float(text.split("%", maxsplit=1)[0]) / 100)


def test_texts_of_modulated_arrivals() -> None:
    two = parse_arrivals("mmpp:mean=20,burst=5,share=0.1,length_s=60")
    assert two == VaryingArrivals(
        rate_per_s=20.0, modulation=Modulation(rates=(0.5 / 0.9, 5.0), sojourns_s=(540.0, 60.0))
    )
    # States with rates have a mean of their own: 5 x 300 / 320 + 50 x 20 / 320.
    own = parse_arrivals("mmpp:rates=5:50,sojourns_s=300:20")
    assert own == VaryingArrivals(rate_per_s=7.8125, modulation=Modulation(rates=(5.0, 50.0), sojourns_s=(300.0, 20.0)))
    assert parse_arrivals("mmpp:100,rates=5:50,sojourns_s=300:20").rate_per_s == 100


def test_rates_have_units() -> None:
    assert [parse_rate(text) for text in ("4", "4/s", "90/min", "5400/h", "1e3")] == [4.0, 4.0, 1.5, 1.5, 1000.0]


@pytest.mark.parametrize(
    ("value", "given", "message"),
    [
        ("poison", {"rate_per_s": 1}, "arrivals is 'poison'"),
        ("gamma:cv=-1", {"rate_per_s": 1}, "variation of arrivals is -1; expected a number from 0.001"),
        ("gamma:shape=2", {"rate_per_s": 1}, "has no 'shape'; it has mean, cv, growth"),
        ("poisson", {}, "without a rate; write it, as in 'poisson:20', or pass rate_per_s"),
        ("poisson:20", {"rate_per_s": 20}, "give the mean once, in the text or apart"),
        ("poisson:fast", {}, "mean is 'fast'; expected a number per s, min or h"),
        ("poisson:20/y", {}, "mean is '20/y'; expected a number per s, min or h"),
        ("poisson:0", {}, "mean is 0.0; expected a number"),
        ("poisson:nan", {}, "mean is 'nan'; expected a number"),
        ("gamma:20,4", {}, "arrivals has 'rate_per_s' twice"),
        ("gamma:20,mean=4", {}, "arrivals has 'rate_per_s' twice"),
        ("gamma,20", {}, "write a colon after the kind"),
        ("at-once:20", {}, "at-once has '20'; expected no settings"),
        (None, {"rate_per_s": 1, "clients": 2}, "pass one"),
        ("closed", {}, "closed loop has no clients; pass it: Number of clients"),
        ("closed:4", {"clients": 5}, "give the clients once"),
        ("closed:4", {"rate_per_s": 5}, "arrivals are 'closed' and rate_per_s is 5; pass one of them"),
        ("closed:4,exponential=yes", {}, "exponential of closed loop is 'yes'; expected true or false"),
        ("at-once", {"rate_per_s": 1}, "pass one of them"),
        (None, {"rate_per_s": 0}, "rate_per_s is 0"),
        ("bursts:size=2,spacing_s=1", {"rate_per_s": 2}, "spacing_s below 1 / rate_per_s"),
        ("diurnal:profile=0:0", {"rate_per_s": 2}, "at least one weight above 0"),
        ("diurnal:2,profile=1:2,peak=3", {}, "season has peak and profile; pass one"),
        ("diurnal:2,week=1:2,weekend=3", {}, "season has weekend and week; pass one"),
        ("diurnal:2,week=1:2:3", {}, "week has 3 weights; expected 7 of days, or 168 of hours"),
        ("diurnal:2,peak=0.5", {}, "peak is 0.5; expected a number from 1 to 40"),
        ("diurnal:2,profile=0:1,week=0:0:0:0:0:0:0", {}, "week is .* at least one weight above 0"),
        (
            "diurnal:2,burst=2",
            {},
            "modulation has burst; expected NAME=VALUE of rates, sojourns_s; or of burst, share, length_s",
        ),
        ("poisson:2,growth=10", {}, "growth is '10'; expected percent a day, week, month or year"),
        ("poisson:2,growth=-100%/day", {}, "growth is -1.0; expected"),
        (
            "mmpp:2",
            {},
            "modulation has no states; expected NAME=VALUE of rates, sojourns_s; or of burst, share, length_s",
        ),
        ("mmpp:2,burst=20,share=0.1,length_s=1", {}, "pass burst up to 10, or a smaller share"),
        ("mmpp:rates=1:2,sojourns_s=1", {}, "rates has 2 states and sojourns_s 1"),
        ("mmpp:rates=0:0,sojourns_s=1:1", {}, "at least one above 0"),
        ("bursts:2,size=2.5", {}, r"size of bursts is 2\.5; expected a whole number"),
        ("bursts:2,size=\u00b2", {}, "size of bursts is '\u00b2'; expected a whole number"),
        ("bursts:2,size=" + "9" * 5000, {}, "size of bursts is '9.*; expected a whole number"),
        (7, {}, "arrivals is 7"),
    ],
)
def test_bad_arrivals_are_refused(value: object, given: dict[str, float], message: str) -> None:
    with pytest.raises(ArrivalsError, match=message):
        parse_arrivals(value, **given)  # type: ignore[arg-type]
