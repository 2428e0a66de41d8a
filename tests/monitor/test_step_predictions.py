"""Predictions of an engine's steps beside the measured times of an interval."""

from __future__ import annotations

import pytest
from support.step_costs import step_costs_like_an_h100

from pyinfercost.monitor.engine_load import LoadReader
from pyinfercost.monitor.engine_totals import Change
from pyinfercost.monitor.step_predictions import StepLoad, StepPredictions
from pyinfercost.results.live import Distribution, Series, series


def figures(queue_s: float) -> dict[str, float]:
    """Return the figures of ten prompts whose time to the first token has so much of the queue."""
    load = StepLoad(seconds=15.0, prompts=10, ttft_s=0.5 + queue_s, queue_s=queue_s, prompt_tokens=10_000)
    found = StepPredictions(step_costs_like_an_h100()).figures(load)
    return {each.figure: value for each, value in found.items() if each.labels == (("part", "ttft"),)}


def test_a_wait_in_the_queue_leaves_the_band_of_the_prediction() -> None:
    alone, waited = figures(0.0), figures(300.0)
    assert waited == pytest.approx(alone)
    assert alone["measured_s"] == pytest.approx(0.5)
    assert alone["predicted_low_s"] < 0.95 * alone["predicted_s"]
    assert alone["predicted_high_s"] > 1.05 * alone["predicted_s"]


def shape(number: int, total: float) -> Distribution:
    return Distribution((1.0,), (number, 0), total)


def test_the_queue_of_an_interval_is_the_mean_of_requests_that_ended_in_it() -> None:
    reader = LoadReader()
    ttft, waits = series("ttft_s"), series("queue_wait_s")
    nothing = Change({}, {}, restarted=False)
    totals: dict[Series, float] = {}
    first = reader.load(nothing, totals, {ttft: shape(10, 25.0), waits: shape(4, 8.0)}, None, 15.0, [])
    assert (first.prompts, first.ttft_s, first.queue_s) == (10, 25.0, 20.0)
    second = reader.load(nothing, totals, {ttft: shape(16, 43.0), waits: shape(12, 20.0)}, None, 15.0, [])
    assert (second.prompts, second.ttft_s, second.queue_s) == (6, 18.0, pytest.approx(6 * 12 / 8))
    # None ended in the third interval: the mean of all that did.
    third = reader.load(nothing, totals, {ttft: shape(18, 50.0), waits: shape(12, 20.0)}, None, 15.0, [])
    assert (third.prompts, third.queue_s) == (2, pytest.approx(2 * 20 / 12))
