"""Plots of sweeps: curves, knees and fronts equal those of the sweep, and large ones are thinned."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from support.toy_graphs import blocks, transformer

import pyinfercost as ic
from pyinfercost.report.plots.curves import MOST_CURVES, MOST_POINTS, sweep_curves

matplotlib = pytest.importorskip(
    "matplotlib", reason="plots are drawn by matplotlib, which is not installed; run pip install 'pyinfercost[plot]'"
)
matplotlib.use("Agg")
plt = pytest.importorskip("matplotlib.pyplot")

PRICES = {"l4": 0.8, "a100-sxm-80gb": 2.0}


@pytest.fixture(autouse=True)
def closed() -> Any:
    """Figures of a test end with it, and no setting of matplotlib has changed."""
    before = dict(matplotlib.rcParams)
    yield
    plt.close("all")
    assert dict(matplotlib.rcParams) == before


@pytest.fixture(scope="module")
def sweep() -> ic.results.Sweep:
    graph = transformer(2, 512, 8)
    return ic.sweep(
        graph,
        hardware=list(PRICES),
        precision=["fp32", "fp16"],
        execution="cuda_graph",
        batch=range(1, 129),
        price=PRICES,
    )


def texts_of(ax: Any) -> str:
    return "\n".join([ax.get_title(loc="left"), *(text.get_text() for text in ax.texts)])


def test_curves_are_the_points_and_knees_are_those_of_the_sweep(sweep: ic.results.Sweep) -> None:
    ax = sweep.plot(x="latency_s")
    names = [f"{machine}, {precision}" for machine in PRICES for precision in ("fp32", "fp16")]
    lines = {line.get_label(): line for line in ax.lines if line.get_label() in names}
    assert list(lines) == names
    some = sweep.where("hardware == 'l4' and precision == 'fp16'")
    assert np.array_equal(lines["l4, fp16"].get_xdata(), some["latency_s"])
    assert np.array_equal(lines["l4, fp16"].get_ydata(), some["throughput_per_s"])
    knees = sweep.knee()
    (rings,) = [artist for artist in ax.collections if artist.get_label() == "knee"]
    assert np.array_equal(rings.get_offsets(), np.column_stack([knees["latency_s"], knees["throughput_per_s"]]))
    assert {f"{batch}" for batch in knees["batch"]} <= {text.get_text() for text in ax.texts}


def test_the_front_is_that_of_the_sweep(sweep: ic.results.Sweep) -> None:
    front = sweep.pareto("latency_s", "cost_usd")
    shown = sweep_curves(sweep, pareto=("latency_s", "cost_usd"))
    assert sorted(mark.x for mark in shown.front) == sorted(front["latency_s"])
    ax = sweep.plot(pareto=("latency_s", "cost_usd"))
    (line,) = [line for line in ax.lines if line.get_label() == "Pareto front of latency, cost"]
    assert len(line.get_xdata()) == len(front)
    both = sweep_curves(sweep, y="cost_usd", pareto=True)  # against the latency, as a front of it is asked for
    assert both.x == "latency_s"
    assert both.objectives == ("latency_s", "cost_usd")


def test_of_many_points_a_few_thousand_are_drawn() -> None:
    many = ic.sweep(
        blocks(), hardware="l4", precision=["fp32", "fp16"], execution=["eager", "cuda_graph"], batch=range(1, 4097)
    )
    shown = sweep_curves(many, pareto=True)
    knees = {mark.row for mark in shown.knees}
    assert shown.points == 4 * 4096
    assert shown.drawn <= MOST_POINTS + len(knees)
    assert knees <= {int(row) for curve in shown.curves for row in curve.rows}
    assert {int(curve.along[0]) for curve in shown.curves} == {1}
    assert {int(curve.along[-1]) for curve in shown.curves} == {4096}
    assert f"{shown.drawn:,} of {len(many):,} points" in " ".join(texts_of(many.plot()).split())


def test_too_many_curves_are_clouds_of_what_tells_them_apart() -> None:
    scales = np.linspace(1, 2, MOST_CURVES).tolist()
    grid = ic.sweep(
        blocks(), hardware=["l4", "t4"], batch=[1, 2, 4, 8], execution="cuda_graph", scale={"bandwidth": scales}
    )
    shown = sweep_curves(grid)
    assert [curve.name for curve in shown.curves] == ["l4", "t4"]
    assert not any(curve.joined for curve in shown.curves)
    assert len(shown.knees) == 2 * len(scales)
    grid.plot()


def test_points_without_a_known_value_are_left_out_and_said() -> None:
    known = ic.sweep(blocks(), hardware=["l4", "t4"], batch=[1, 2, 4], price=PRICES["l4"])
    data = {name: known[name].copy() for name in known.columns}
    data["cost_usd"][:2] = np.nan
    partly = ic.results.Sweep(known.model, known.sizes, data)
    shown = sweep_curves(partly, y="cost_usd")
    assert shown.unknown == 2
    assert sum(len(curve.rows) for curve in shown.curves) == 4
    assert "2 without known" in texts_of(partly.plot(y="cost_usd"))
    data["cost_usd"][:] = np.nan
    with pytest.raises(ValueError, match=r"cost_usd is unknown at all of 6 points; pass price= to sweep\(\)"):
        partly.plot(y="cost_usd")
    with pytest.raises(ValueError, match=r"cost_usd is unknown .* price="):
        partly.plot(pareto=("latency_s", "cost_usd"))


def test_sweeps_that_do_not_have_it(sweep: ic.results.Sweep) -> None:
    with pytest.raises(ValueError, match="no points to draw"):
        sweep.where("batch > 1000").plot()
    with pytest.raises(ValueError, match=r"unknown column 'carbon_g'.*region="):
        sweep.plot(y="carbon_g")
    with pytest.raises(ValueError, match="text column"):
        sweep.plot(x="hardware")
    with pytest.raises(ValueError, match="size, such as 'batch'"):
        sweep.plot(along="precision")
    fixed = ic.sweep(blocks(fixed_batch=4), hardware=["l4", "t4"])
    with pytest.raises(ValueError, match=r"no axis 'batch' .*along=None"):
        fixed.plot()
    assert len(fixed.plot(along=None).lines) == 2


def test_throughput_and_latency_are_drawn_against_the_batch(sweep: ic.results.Sweep) -> None:
    """Against the latency, small batches are a vertical line at the launch floor."""
    upper = sweep.plot()
    upper_axes, lower = upper.figure.axes
    assert upper_axes is upper
    some = sweep.where("hardware == 'l4' and precision == 'fp16'")
    for ax, column in ((upper, "throughput_per_s"), (lower, "latency_s")):
        (line,) = [line for line in ax.lines if line.get_label() == "l4, fp16"]
        assert np.array_equal(line.get_xdata(), some["batch"])
        assert np.array_equal(line.get_ydata(), some[column])
    assert lower.get_xlabel() == "batch size"
    assert upper.get_title(loc="left").startswith("Throughput by batch size: transformer")
    assert "rings: the knee of a curve with its batch size" in texts_of(upper)
    numbers = {text.get_text() for text in upper.texts if text.get_text().isdigit()}
    assert numbers == {str(batch) for batch in sweep.knee()["batch"]}  # the ends are on the axis
    alone = sweep.plot(y="energy_j")
    assert len(alone.figure.axes) == 1
    assert alone.get_xlabel() == "batch size"
    one = plt.subplots()[1]
    assert sweep.plot(one) is one
    assert len(one.figure.axes) == 1
    assert sweep_curves(sweep.where("batch == 8")).x == "latency_s"
    assert "numbers beside a curve: batch size at its ends and at its knee" in texts_of(sweep.plot(x="latency_s"))


def test_limits_of_where_are_lines() -> None:
    grid = {"hardware": ["l4", "t4"], "batch": range(1, 65)}
    kept = ic.sweep(transformer(), **grid, where="latency_s <= 0.002 and batch < 2 * 30 and hardware != 'x'")
    (vertical,) = [line for line in kept.plot(x="latency_s").lines if line.get_linestyle() == "--"]
    assert list(vertical.get_xdata()) == [0.002, 0.002]
    assert vertical.get_label() == "limit: latency 2.000 ms"
    upper, lower = kept.plot().figure.axes
    assert [list(line.get_xdata()) for line in upper.lines if line.get_linestyle() == "--"] == [[60, 60]]
    dashed = [line for line in lower.lines if line.get_linestyle() == "--"]
    assert sorted(str(line.get_label()) for line in dashed) == ["limit: batch size 60", "limit: latency 2.000 ms"]
    selected = ic.sweep(transformer(), **grid).where("0.0001 < latency_s").where(["latency_s < 0.001", "batch >= 2"])
    assert sweep_curves(selected, x="latency_s").limits_x == (0.0001, 0.001)
    assert str(selected.take(np.arange(3)).condition) == "0.0001 < latency_s and latency_s < 0.001 and batch >= 2"
    assert sweep_curves(ic.sweep(transformer(), **grid)).limits_y == ()
