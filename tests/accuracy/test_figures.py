"""Errors of a few rows, computed by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from benchmarks.accuracy.cases import Group
from benchmarks.accuracy.figures import lines, rank_correlation
from benchmarks.accuracy.predict import Predicted

ONE = Group("gemm", "t4", "engine", "fp16", "cuda_graph")
OTHER = Group("gemm", "l4", "engine", "fp16", "cuda_graph")


def test_errors_by_hand() -> None:
    measured = np.array([1.0, 2.0, 4.0, 5.0, 1.0])
    latency = np.array([1.5, 1.0, 4.0, 10.0, math.nan])
    roofline = np.array([0.5, 1.0, 1.0, 2.5, 0.5])
    predicted = Predicted(latency, latency * 0.8, latency * 2)
    of_l4, of_t4, total = lines([ONE, ONE, ONE, OTHER, OTHER], measured, predicted, roofline)
    assert (of_t4.device, of_t4.rows) == ("t4", 3)
    assert of_t4.mape == pytest.approx((0.5 + 0.5 + 0) / 3)
    assert of_t4.median == pytest.approx(0.5)
    assert of_t4.p90 == pytest.approx(0.5)
    assert of_t4.bias == pytest.approx((1.5 * 0.5 * 1) ** (1 / 3))
    assert of_t4.spearman == pytest.approx(0.5)  # ranks 1 2 3 and 2 1 3
    assert of_t4.in_band == pytest.approx(2 / 3)  # 1.2 .. 3 misses 1; 0.8 .. 2 reaches 2; 3.2 .. 8 has 4
    assert of_t4.roofline_mape == pytest.approx((0.5 + 0.5 + 0.75) / 3)
    assert of_t4.roofline_median == pytest.approx(0.5)
    assert (of_l4.device, of_l4.rows, of_l4.mape, of_l4.bias) == ("l4", 1, 1.0, pytest.approx(2.0))
    assert of_l4.spearman is None, "one row has no ranks"
    assert (total.device, total.part, total.rows) == ("all", "", 4)
    assert total.mape == pytest.approx((0.5 + 0.5 + 0 + 1) / 4)


def test_rank_correlation_with_ties() -> None:
    stats = pytest.importorskip("scipy.stats")
    left = np.array([3.0, 1.0, 1.0, 2.0, 7.0, 7.0])
    right = np.array([2.0, 2.0, 1.0, 5.0, 9.0, 8.0])
    assert rank_correlation(left, right) == pytest.approx(stats.spearmanr(left, right).statistic)
    assert rank_correlation(left, np.ones(6)) is None
