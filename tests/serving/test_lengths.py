"""Lengths: moments against draws and closed forms, texts, and refused values."""

from __future__ import annotations

import numpy as np
import pytest

from pyinfercost.serving.lengths import (
    EmpiricalLengths,
    FixedLengths,
    Lengths,
    LengthsError,
    LognormalLengths,
    UniformLengths,
    parse_lengths,
)

DRAWS = 200_000
KINDS = (
    FixedLengths(tokens=100),
    UniformLengths(low=80, high=120),
    LognormalLengths(mean_tokens=300, variation=1.2),
    LognormalLengths(mean_tokens=300, variation=1.2, low=16, high=512),
    EmpiricalLengths((10, 20, 1000), (5, 4, 1)),
)


@pytest.mark.parametrize("lengths", KINDS, ids=str)
def test_moments_are_those_of_the_draws(lengths: Lengths) -> None:
    drawn = lengths.draw(np.random.default_rng(1), DRAWS).astype(float)
    deviation = (lengths.mean_square - lengths.mean**2) ** 0.5
    assert drawn.mean() == pytest.approx(lengths.mean, abs=5 * deviation / DRAWS**0.5 + 1e-9)
    assert (drawn**2).mean() == pytest.approx(lengths.mean_square, rel=0.05)
    assert drawn.min() >= 1
    assert drawn.max() <= lengths.most


def test_lognormal_has_the_asked_mean_and_variation() -> None:
    """Without clipping, rounding to whole tokens changes the moments of long lengths by less than 1e-4."""
    lengths = LognormalLengths(mean_tokens=10_000, variation=0.8)
    assert lengths.mean == pytest.approx(10_000, rel=1e-4)
    assert lengths.mean_square == pytest.approx(10_000**2 * (1 + 0.8**2), rel=1e-3)


def test_uniform_moments_by_hand() -> None:
    """1, 2, 3: mean 2, mean square (1 + 4 + 9) / 3."""
    assert UniformLengths(low=1, high=3).mean_square == pytest.approx(14 / 3)


def test_empirical_lengths_are_counted() -> None:
    """5, 5 and 7: mean 17 / 3, mean square (25 + 25 + 49) / 3."""
    lengths = parse_lengths([7, 5, 5])
    assert lengths == EmpiricalLengths((5, 7), (2, 1))
    assert lengths.mean == pytest.approx(17 / 3)
    assert lengths.mean_square == pytest.approx(99 / 3)


@pytest.mark.parametrize("lengths", KINDS[:4], ids=str)
def test_text_is_parsed_back(lengths: Lengths) -> None:
    assert parse_lengths(str(lengths)) == lengths


def test_a_text_always_has_the_variation() -> None:
    assert str(parse_lengths("lognormal:mean=300")) == "lognormal:mean=300,cv=1"
    assert str(parse_lengths("lognormal:low=2,mean=300")) == "lognormal:mean=300,cv=1,low=2"
    assert [str(parse_lengths(text)) for text in ("7", "uniform: 5 - 9")] == ["7", "uniform:5-9"]


@pytest.mark.parametrize(
    "value",
    [
        0,
        -3,
        1.5,
        True,
        "",
        "uniform:5",
        "uniform:9-5",
        "lognormal:cv=1",
        "lognormal:mean=0",
        "lognormal:mean=9,x=1",
        [],
    ],
    ids=str,
)
def test_bad_lengths_are_refused(value: object) -> None:
    with pytest.raises(LengthsError):
        parse_lengths(value, "prompt")  # type: ignore[arg-type]


def test_error_names_the_value_and_what_is_expected() -> None:
    with pytest.raises(LengthsError, match=r"prompt is 'unifrom:5-9'; expected a whole number, 'uniform:LOW-HIGH'"):
        parse_lengths("unifrom:5-9", "prompt")
    with pytest.raises(LengthsError, match=r"prompt is 'lognormal:mean=0': mean_tokens of lognormal lengths is 0; exp"):
        parse_lengths("lognormal:mean=0", "prompt")
