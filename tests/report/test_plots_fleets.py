"""Plots of fleets: what they draw is what the results have."""

from __future__ import annotations

import numpy as np
import pytest
from support.fleet_results import comparison, total

import pyinfercost as ic
from pyinfercost.errors import InputError
from pyinfercost.report.fleet_series import series_of

pytest.importorskip(
    "matplotlib", reason="plots are drawn by matplotlib, which is not installed; run pip install 'pyinfercost[plot]'"
)


def fleet() -> ic.results.FleetResult:
    return next(each for each in comparison() if each.policy == "kpa")


def test_the_timeline_has_demand_and_replicas() -> None:
    ax = fleet().plot_timeline()
    over = series_of(fleet(), most=1000)
    (beside,) = (other for other in ax.figure.axes if other is not ax)
    (line,) = beside.lines
    x, y = line.get_data()
    assert total(np.diff(x) * y[:-1]) == pytest.approx(fleet().requests)
    top = ax.collections[-1].get_paths()[0].vertices  # the last area ends at all replicas
    assert top[:, 1].max() == pytest.approx(over.paid.max())
    assert top[:, 0].max() == pytest.approx(fleet().duration_s)
    assert [area.get_label() for area in ax.collections] == ["busy", "idle", "cold"]


def test_money_is_stacked_by_use_and_kind() -> None:
    ax = fleet().plot_money()
    labels = [area.get_label() for area in ax.collections]
    assert labels[:2] == ["busy", "idle"]
    assert {"storage", "staff"} <= set(labels)
    over = series_of(fleet(), most=1000)
    top = ax.collections[-1].get_paths()[0].vertices
    assert top[:, 1].max() == pytest.approx(sum(over.usd_per_h.values()).max())  # type: ignore[union-attr]
    with pytest.raises(InputError, match="no bill"):
        comparison(priced=False).fleets[0].plot_money()


def test_the_front_goes_through_its_fleets() -> None:
    result = comparison()
    ax = result.plot_front()
    lines = {str(line.get_label()): line for line in ax.lines}
    x, y = lines["front"].get_data()
    assert list(x[:-1]) == [each.usd_per_month for each in result.front]
    assert list(y[:-1]) == [100 * each.late_share for each in result.front]
    assert sorted(lines["large"].get_xdata()) == sorted(e.usd_per_month for e in result if e.deployment == "large")
    bounds = [line.get_xdata()[0] for line in ax.lines if len(line.get_xdata()) == 2 and line.get_linestyle() == ":"]
    assert bounds == [each.usd_per_month for each in result.bounds]
    assert comparison(priced=False).plot_front().get_xlabel() == "h per month"
    empty = ic.results.FleetComparison(model="", traffic="", slo="", fleets=(), bounds=(), out={})
    with pytest.raises(InputError, match="no fleets"):
        empty.plot_front()


def test_plots_take_axes_and_options() -> None:
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 3)
    assert ic.plots.plot_fleet_timeline(fleet(), axes[0], legend=False, title=False, caption=False) is axes[0]
    assert ic.plots.plot_money(fleet(), ax=axes[1], title="money") is axes[1]
    assert ic.plots.plot_front(comparison(), ax=axes[2], marker="s") is axes[2]
    assert axes[1].get_title(loc="left") == "money"
    assert axes[0].get_title(loc="left") == ""
    plt.close(figure)
