"""Choices of one option per layer: exact ones are the best of all, greedy ones are within the limits."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from support.examples import examples

from pyinfercost.tradeoffs import AllocationError, knapsack
from pyinfercost.tradeoffs.knapsack import Problem, exact, greedy, least_of, multipliers, sums_of


@st.composite
def problems(draw: st.DrawFn, limits: int) -> Problem:
    """Whole numbers, whose sums are exact in any order; ties and negative changes are common among them."""
    change = st.integers(-6, 12)
    option = st.lists(change, min_size=1 + limits, max_size=1 + limits)
    layers = draw(st.lists(st.lists(option, min_size=1, max_size=4), min_size=1, max_size=6))
    most = draw(st.lists(st.integers(-30, 40), min_size=limits, max_size=limits))
    return Problem([np.array(each, dtype=np.float64) for each in layers], np.array(most, dtype=np.float64))


def all_sums(problem: Problem) -> NDArray[np.float64]:
    """The sums of every combination."""
    sums = np.zeros((1, 1 + len(problem.limits)))
    for options in problem.options:
        sums = (sums[:, np.newaxis] + options).reshape(-1, sums.shape[1])
    return sums


def best_of_all(problem: Problem) -> float | None:
    """The least objective of every combination within the limits."""
    sums = all_sums(problem)
    return min(sums[(sums[:, 1:] <= problem.limits).all(axis=1), 0].tolist(), default=None)


@pytest.mark.parametrize("limits", [1, 2, 3])
@pytest.mark.sample(1)
def test_exact_is_the_best_of_all_combinations(limits: int) -> None:
    @settings(max_examples=examples(300))
    @given(problems(limits))
    def law(problem: Problem) -> None:
        wanted, chosen = best_of_all(problem), exact(problem)
        assert (chosen is None) == (wanted is None)
        if chosen is not None:
            sums = sums_of(problem, chosen)
            assert sums[0] == wanted
            assert (sums[1:] <= problem.limits).all()

    law()


@settings(max_examples=examples(300))
@given(problems(1))
def test_of_equal_answers_exact_takes_the_least_limited_figure(problem: Problem) -> None:
    chosen = exact(problem)
    if chosen is None:
        return
    sums = sums_of(problem, chosen)
    others = all_sums(problem)
    assert sums[1] == others[others[:, 0] == sums[0], 1].min()


@settings(max_examples=examples(300))
@given(problems(1))
def test_greedy_finds_an_answer_where_there_is_one(problem: Problem) -> None:
    wanted, chosen = best_of_all(problem), greedy(problem)
    assert (chosen is None) == (wanted is None)
    if chosen is not None:
        sums = sums_of(problem, chosen)
        assert sums[1] <= problem.limits[0]
        assert sums[0] >= wanted


@settings(max_examples=examples(200))
@given(problems(2))
def test_greedy_of_two_limits_is_within_both(problem: Problem) -> None:
    wanted, chosen = best_of_all(problem), greedy(problem)
    if chosen is not None:
        sums = sums_of(problem, chosen)
        assert (sums[1:] <= problem.limits).all()
        assert wanted is not None
        assert sums[0] >= wanted


def layers_like_those_of_models(layers: int, options: int, limits: int, seed: int) -> list[NDArray[np.float64]]:
    """Random layers: more saved goes with more lost, and differs from layer to layer by orders of magnitude."""
    random = np.random.default_rng(seed)
    made = []
    for _ in range(layers):
        saved = np.sort(random.gamma(1, 1, options)) * random.gamma(1, 1)
        lost = np.sort(random.gamma(0.5, 1, options)) * 1e-3
        others = [-saved * random.uniform(0.5, 1.5, options) for _ in range(limits - 1)]
        made.append(np.vstack([np.zeros(1 + limits), np.stack([lost, -saved, *others], axis=1)]))
    return made


@pytest.mark.parametrize(("layers", "limits"), [(30, 1), (225, 1), (40, 2)])
@pytest.mark.sample(1)
def test_exact_equals_an_integer_program(layers: int, limits: int) -> None:
    optimize = pytest.importorskip("scipy.optimize")
    options = layers_like_those_of_models(layers, 5, limits, seed=layers)
    reach = np.sum([each[:, 1:].min(axis=0) for each in options], axis=0)
    problem = Problem(options, 0.6 * reach)
    chosen = exact(problem)
    assert chosen is not None
    flat = np.concatenate(options)
    one_each = np.zeros((layers, len(flat)))
    for layer in range(layers):
        one_each[layer, 6 * layer : 6 * layer + 6] = 1
    solved = optimize.milp(
        flat[:, 0],
        integrality=np.ones(len(flat)),
        bounds=optimize.Bounds(0, 1),
        constraints=[
            optimize.LinearConstraint(one_each, 1, 1),
            optimize.LinearConstraint(flat[:, 1:].T, -np.inf, problem.limits),
        ],
        options={"mip_rel_gap": 0},
    )
    sums = sums_of(problem, chosen)
    assert sums[0] == pytest.approx(solved.fun, rel=1e-6)
    assert sums[0] <= solved.fun * (1 + 1e-6)
    assert (sums[1:] <= problem.limits + 1e-9).all()


def test_greedy_is_near_the_best_where_layers_are_many() -> None:
    options = layers_like_those_of_models(400, 5, 1, seed=1)
    problem = Problem(options, np.array([0.5 * sum(each[:, 1].min() for each in options)]))
    found, best = greedy(problem), exact(problem)
    assert found is not None
    assert best is not None
    assert sums_of(problem, best)[0] <= sums_of(problem, found)[0] <= 1.01 * sums_of(problem, best)[0]


def test_a_step_off_the_hull_is_taken_where_it_fits() -> None:
    # Ratios favor the first layer, whose step alone does not fit; the second layer's suffices.
    options = [np.array([[0.0, 0.0], [4.0, -10.0]]), np.array([[0.0, 0.0], [3.0, -5.0]])]
    problem = Problem(options, np.array([-5.0]))
    assert greedy(problem) == [1, 0]  # 4 for 10 is the better ratio
    assert exact(problem) == [0, 1]


def test_the_least_of_a_limited_figure() -> None:
    problem = Problem([np.array([[0.0, 0.0], [2.0, -3.0], [1.0, -3.0]])], np.array([0.0]))
    assert least_of(problem, 0) == [2]


def test_a_limit_that_does_not_bind_weighs_nothing() -> None:
    options = layers_like_those_of_models(20, 3, 2, seed=3)
    reach = np.sum([each[:, 1:].min(axis=0) for each in options], axis=0)
    first, second = multipliers(Problem(options, np.array([0.5 * reach[0], 0.0])))
    assert first > 0
    assert second * abs(reach[1]) < 0.1 * first * abs(reach[0])


def test_too_many_partial_sums_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(knapsack, "MOST_STATES", 3)
    options = layers_like_those_of_models(40, 5, 3, seed=2)
    reach = np.sum([each[:, 1:].min(axis=0) for each in options], axis=0)
    with pytest.raises(AllocationError, match="more than 3 partial sums at layer"):
        exact(Problem(options, 0.6 * reach))
