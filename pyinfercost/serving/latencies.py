"""Error bands of the times of simulated requests."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from ..results.latency import STATISTICS
from .runs import Run, at_ends_of_bands

if TYPE_CHECKING:
    from ..results.serving_result import ServingResult

FIRST_TOKEN_SPREAD = 1.25
"""Least error band of times to the first token, which depend on the client and on how the host launches a prompt: four
of five of 757 servers on H100 (serving.csv) are within this factor + 1."""


def with_bands(result: ServingResult, run: Run) -> ServingResult:
    """Return a result with the bands of its latencies: the run is simulated at both ends of the bands of its steps.

    After Ctrl-C, the result stays as it is.
    """
    ends = []
    for found in at_ends_of_bands(run):
        if found.interrupted:
            return result
        known = run.figures(found)["latencies"]
        ends.append({name: {each: times[each] for each in STATISTICS} for name, times in known.items()})
    low, high = ends
    first = result.latencies["ttft_s"]
    factor = 1 + FIRST_TOKEN_SPREAD
    low["ttft_s"] = {name: min(value, getattr(first, name) / factor) for name, value in low["ttft_s"].items()}
    high["ttft_s"] = {name: max(value, getattr(first, name) * factor) for name, value in high["ttft_s"].items()}
    latencies = {name: replace(latency, low=low[name], high=high[name]) for name, latency in result.latencies.items()}
    return replace(result, latencies=latencies)
