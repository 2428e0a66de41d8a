"""Errors of a few rows, computed by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from benchmarks.accuracy.cases import Group
from benchmarks.accuracy.figures import Judged, lines, rank_correlation, report_lines
from benchmarks.accuracy.predict import Predicted
from benchmarks.accuracy.targets import Target, reached

ONE = Group("gemm", "t4", "engine", "fp16", "cuda_graph")
OTHER = Group("gemm", "l4", "engine", "fp16", "cuda_graph")


def test_errors_by_hand() -> None:
    measured = np.array([1.0, 2.0, 4.0, 5.0, 1.0])
    latency = np.array([1.5, 1.0, 4.0, 10.0, math.nan])
    roofline = np.array([0.5, 1.0, 1.0, 2.5, 0.5])
    predicted = Predicted(latency, latency * 0.8, latency * 2)
    found = report_lines(Judged([ONE, ONE, ONE, OTHER, OTHER], measured, predicted, roofline, np.arange(5)))
    assert [(line.device, line.part) for line in found] == [("l4", ""), ("t4", ""), ("all", "all")]
    of_l4, of_t4, total = (line.errors for line in found)
    assert of_t4.rows == 3
    assert of_t4.mape == pytest.approx((0.5 + 0.5 + 0) / 3)
    assert of_t4.median == pytest.approx(0.5)
    assert of_t4.p90 == pytest.approx(0.5)
    assert of_t4.bias == pytest.approx((1.5 * 0.5 * 1) ** (1 / 3))
    logs = np.log([1.5, 0.5, 1])
    assert of_t4.spread == pytest.approx(math.exp(math.sqrt(((logs - logs.mean()) ** 2).sum() / 3)))
    assert of_t4.roofline_bias == pytest.approx((0.5 * 0.5 * 0.25) ** (1 / 3))
    assert of_t4.spearman == pytest.approx(0.5)  # ranks 1 2 3 and 2 1 3
    assert of_t4.in_band == pytest.approx(2 / 3)  # 1.2 .. 3 misses 1; 0.8 .. 2 reaches 2; 3.2 .. 8 has 4
    assert of_t4.roofline_mape == pytest.approx((0.5 + 0.5 + 0.75) / 3)
    assert of_t4.roofline_median == pytest.approx(0.5)
    assert (of_l4.rows, of_l4.mape, of_l4.bias, of_l4.spread) == (1, 1.0, pytest.approx(2.0), 1.0)
    assert of_l4.spearman is None, "one row has no ranks"
    assert total.rows == 4
    assert total.mape == pytest.approx((0.5 + 0.5 + 0 + 1) / 4)


def test_rows_are_divided_by_the_chosen_fields_only() -> None:
    groups = [Group("gemm", device, "", "fp16", kind=kind) for device, kind in (("t4", "a"), ("l4", "a"), ("x", "b"))]
    ones = np.ones(3)
    judged = Judged(groups, ones, Predicted(2 * ones, ones, 3 * ones), ones, np.arange(3))
    found = [(line.kind, line.device, line.precision, line.errors.rows) for line in lines(judged, by=("kind",))]
    assert found == [("a", "all", "all", 2), ("b", "all", "all", 1)]


def test_a_target_selects_its_rows() -> None:
    target = Target("short", "gemm", {"precision": ("fp16",)}, in_sample=0.1, least_floors=2.0)
    groups = [ONE, ONE, OTHER, OTHER, Group("gemm", "t4", "", "fp8"), Group("moe", "t4", "", "fp16")]
    measured = np.array([0.5, 2.0, 3.0, 6.0, 4.0, 4.0])
    latency = np.array([5.0, 3.0, 9.0, 6.6, 9.0, 9.0])
    (found,) = reached(Judged(groups, measured, Predicted(latency, latency, latency), measured, np.arange(6)), [target])
    assert found.errors.rows == 2, "not the shortest of each device, nor other dtypes and tables"
    assert found.errors.mape == pytest.approx((0.5 + 0.1) / 2)
    assert (found.worst, found.worst_mape) == ("t4", pytest.approx(0.5))
    assert reached(Judged([], measured[:0], Predicted(*[measured[:0]] * 3), measured[:0], np.arange(0)), [target]) == []


def test_rank_correlation_with_ties() -> None:
    stats = pytest.importorskip("scipy.stats")
    left = np.array([3.0, 1.0, 1.0, 2.0, 7.0, 7.0])
    right = np.array([2.0, 2.0, 1.0, 5.0, 9.0, 8.0])
    assert rank_correlation(left, right) == pytest.approx(stats.spearmanr(left, right).statistic)
    assert rank_correlation(left, np.ones(6)) is None
