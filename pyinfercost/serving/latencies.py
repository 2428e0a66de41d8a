"""Latencies of simulated requests: one at a time, because each has as many values as there are requests."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, TypeAlias

from .. import _core
from ..results.latency import STATISTICS, Latency
from ..results.serving_result import LATENCIES
from .runs import Found, Run, at_ends_of_bands

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ..results.serving_result import ServingResult

    Numbers = NDArray[np.float64]

Statistics: TypeAlias = Mapping[str, float]
"""Name of a statistic -> seconds."""

FIRST_TOKEN_SPREAD = 1.25
"""Least error band of times to the first token, which depend on the client and on how the host launches a prompt: four
of five of 757 servers on H100 (serving.csv) are within this factor + 1."""
_PERCENTS = (50, 90, 99, 100)
_MOST_KEPT = 2**20  # values of a latency, beyond which those of equally spaced ranks stand for all


def answered(found: Found) -> NDArray[np.bool_]:
    """Return which requests were answered."""
    import numpy as np

    outcomes = [_core.SIMULATED_OUTCOMES.index(each) for each in ("finished", "truncated")]
    done: NDArray[np.bool_] = np.isin(found.arrays["outcome"], outcomes)
    return done


def times_of(found: Found, run: Run, name: str) -> Numbers:
    """Return a latency of all requests, in seconds; not a number where there is none."""
    import numpy as np

    arrays = found.arrays
    made: Numbers
    if name == "tpot_s":
        tokens = found.output.astype(np.float64)
        if run.scheduler.max_model_len:
            tokens = np.minimum(tokens, run.scheduler.max_model_len - found.prompt)
        tokens -= 1
        tokens[tokens < 1] = np.nan
        made = (arrays["finish_s"] - arrays["first_token_s"]) / tokens
    else:
        until = {"ttft_s": "first_token_s", "e2e_s": "finish_s", "queue_s": "scheduled_s"}[name]
        made = arrays[until] - arrays["queued_s"] + (0.0 if name == "queue_s" else run.costs.client_s)
    return made


def distribution(times: Numbers) -> Latency:
    """Return the distribution of a latency without bands, from its values; those that are no number do not count."""
    import numpy as np

    known = np.sort(times[np.isfinite(times)])
    statistics = _statistics(known)
    if known.size > _MOST_KEPT:
        known = known[np.linspace(0, known.size - 1, _MOST_KEPT + 1).astype(np.int64)]
    return Latency(**statistics, low={}, high={}, sorted_s=known)


def _statistics(known: Numbers) -> dict[str, float]:
    """Return the statistics of ascending values."""
    import numpy as np

    if not known.size:
        return dict.fromkeys(STATISTICS, float("nan"))
    percentiles = map(float, np.percentile(known, _PERCENTS))
    return dict(zip(STATISTICS, (float(known.mean()), *percentiles), strict=True))


def with_bands(result: ServingResult, run: Run) -> ServingResult:
    """Return a result with the bands of its latencies: the run is simulated at both ends of the bands of its steps.

    After Ctrl-C, the result stays as it is.
    """
    import numpy as np

    ends = []
    for found in at_ends_of_bands(run):
        if found.interrupted:
            return result
        done = answered(found)
        end: dict[str, Statistics] = {}
        for name in LATENCIES:
            times = times_of(found, run, name)[done]
            end[name] = _statistics(np.sort(times[np.isfinite(times)]))
        ends.append(end)
        del found, done
    low, high = ends
    first = result.latencies["ttft_s"]
    factor = 1 + FIRST_TOKEN_SPREAD
    low["ttft_s"] = {name: min(value, getattr(first, name) / factor) for name, value in low["ttft_s"].items()}
    high["ttft_s"] = {name: max(value, getattr(first, name) * factor) for name, value in high["ttft_s"].items()}
    latencies = {name: replace(latency, low=low[name], high=high[name]) for name, latency in result.latencies.items()}
    return replace(result, latencies=latencies)
