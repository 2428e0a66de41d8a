"""Plots and the page of a server under load."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support.browsing import SCREENS, SIZES, opened
from support.page_checks import CONTRAST
from support.report_pages import Scripts
from support.step_costs import step_costs_like_an_h100

import pyinfercost as ic
from pyinfercost.errors import InputError
from pyinfercost.results.notices import notice

pytest.importorskip(
    "matplotlib", reason="plots are drawn by matplotlib, which is not installed; run pip install 'pyinfercost[plot]'"
)


@pytest.fixture(scope="module")
def served() -> ic.results.ServingResult:
    workload = ic.Workload(rate_per_s=8, prompt="uniform:200-800", output="uniform:50-150", requests=400)
    return ic.serve(step_costs_like_an_h100(), workload=workload, slo="ttft_p99<0.5")


def test_the_timeline_has_what_the_result_has(served: ic.results.ServingResult) -> None:
    ax = served.plot_timeline()
    running, waiting = ax.lines
    assert list(running.get_ydata()) == list(served.timeline.running)
    assert list(waiting.get_ydata()) == list(served.timeline.waiting)
    assert running.get_xdata()[1] == served.timeline.interval_s
    (cache,) = next(other for other in ax.figure.axes if other is not ax).lines
    assert max(cache.get_ydata()) == pytest.approx(100 * max(served.timeline.kv_use))


def test_distributions_go_through_the_percentiles(served: ic.results.ServingResult) -> None:
    ax = served.plot_latencies()
    lines = [line for line in ax.lines if len(line.get_xdata()) > 3]
    assert len(lines) == 4
    x, y = lines[0].get_data()
    assert x[list(y).index(50)] == pytest.approx(served["ttft_s"].p50)
    assert (y[0], y[-1]) == (0, 100)
    assert "ttft_p99<0.5: holds" in "".join(text.get_text() for text in ax.texts)


def test_tokens_are_cheaper_at_higher_rates(served: ic.results.ServingResult) -> None:
    assert served.rates is not None
    costs = served.rates.usd_per_million_tokens
    assert costs is not None
    assert list(costs) == sorted(costs, reverse=True)
    assert served.rates.rate_per_s[-1] == pytest.approx(0.98 * served.capacity_per_s)
    (line, *_) = served.plot_rates().lines
    assert list(line.get_ydata()) == list(costs)
    # USD of an hour over the tokens of an hour.
    rate = served.rates.rate_per_s[0]
    assert costs[0] == pytest.approx(3.6 / (3600 * rate * 100) * 1e6, rel=0.02)
    with pytest.raises(InputError, match="no figures at other rates"):
        replace(served, rates=None).plot_rates()


def test_the_page_has_the_verdict_and_the_tables(served: ic.results.ServingResult) -> None:
    page = served.to_html()
    assert len(Scripts(page).charts) == 2
    for words in ("The objective ttft_p99&lt;0.5 holds", "Bottleneck: ", "time to first token", "At other rates"):
        assert words in page
    assert Scripts(page).addresses == []
    assert not re.search(r"javascript:|@import|https?:", page)
    assert "default-src 'none'" in page
    assert page == served.to_html()
    assert "At other rates" not in replace(served, rates=None).to_html()
    assert "&lt;b&gt;" in replace(served, model="<b>").to_html()
    late = notice("missed", condition="ttft_p99", value_s=0.6, limit_s=0.5)
    assert "is missed: ttft_p99 is 0.6 s, and the limit 0.5 s." in replace(served, missed=(late,)).to_html()


@pytest.mark.browser
@pytest.mark.parametrize(("size", "dark"), SCREENS)
@pytest.mark.sample(2)
def test_the_page_fits_the_screen_and_can_be_read(
    browser: Any, served: ic.results.ServingResult, tmp_path: Path, size: str, dark: bool
) -> None:
    file = tmp_path / "serve.html"
    file.write_text(served.to_html(), encoding="utf-8")
    with opened(browser, file, size=size, dark=dark, ready="html[data-ready]") as page:
        assert page.evaluate("document.documentElement.scrollWidth") <= SIZES[size][0]
        assert page.evaluate(CONTRAST) == []
