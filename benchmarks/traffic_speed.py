"""Requests of traffic, in millions a second on one core, beside numpy's exponential numbers and their sums alone.

    python -m benchmarks.traffic_speed [--trace azure-weekly:conversation_week_7min.csv]

Each traffic is a week with lognormal lengths of prompts and answers; a request is 16 bytes in arrays. numpy and the
traffic take turns, so that load on the machine affects both; figures are medians. A run whose times do not ascend over
chunks, or whose requests have no lengths, fails.
"""

from __future__ import annotations

import argparse
import resource
import time
from pathlib import Path
from statistics import median

import numpy as np

from pyinfercost.serving.requests import CHUNK
from pyinfercost.serving.traffic import parse_traffic
from pyinfercost.serving.workload import Workload

WEEK_S = 7 * 86_400
GENERATORS = (
    "poisson:45",
    "gamma:45,cv=4",
    "diurnal:45,peak=3,weekend=0.5,growth=10%/month",
    "mmpp:45,burst=5,share=0.1,length_s=60",
    "diurnal:45,peak=3,weekend=0.5,burst=5,share=0.1,length_s=60,cv=2",
    "bursts:45,size=8,spacing_s=0.001",
)
ROUNDS = 5
PEAK_UNIT = 1024
"""Bytes of a unit of `ru_maxrss` on Linux."""


def made(workload: Workload) -> tuple[int, float]:
    """Return the requests of a workload and the seconds of the processor for them."""
    start, count, last = time.process_time(), 0, 0.0
    for chunk in workload.chunks():
        count += len(chunk)
        if chunk.arrival_s[0] < last or chunk.prompt_tokens[0] < 1:
            raise SystemExit(f"{workload.arrivals}: times do not ascend over chunks, or lengths are absent")
        last = float(chunk.arrival_s[-1])
    return count, time.process_time() - start


def alone(count: int) -> float:
    """Return the seconds of the processor for as many exponential numbers and their sums, a chunk at a time."""
    rng, at = np.random.default_rng(0), 0.0
    start = time.process_time()
    for first in range(0, count, CHUNK):
        times = at + np.cumsum(rng.standard_exponential(min(CHUNK, count - first)))
        at = float(times[-1])
    return time.process_time() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trace", help="a request trace, such as azure-weekly:conversation_week_7min.csv")
    options = parser.parse_args()
    prompt, output = "lognormal:mean=1024,cv=1,high=32768", "lognormal:mean=256,cv=1.2,high=8192"
    print(f"{'traffic':<66} {'requests':>11} {'s':>6} {'10^6/s':>7} {'numpy, 10^6/s':>14} {'ratio':>6}")
    for text in (*GENERATORS, *([options.trace] if options.trace else [])):
        limit = None if text == options.trace else WEEK_S
        workload = parse_traffic(text, duration_s=limit, prompt=prompt, output=output)
        took, peer, count = [], [], 0
        for _ in range(ROUNDS):
            count, seconds = made(workload)
            took.append(seconds)
            peer.append(alone(count))
        ratio = median(one / other for one, other in zip(took, peer, strict=True))
        rates = count / median(took) / 1e6, count / median(peer) / 1e6
        shown = Path(text).name if text == options.trace else text
        print(f"{shown:<66} {count:>11,} {median(took):6.2f} {rates[0]:7.1f} {rates[1]:14.1f} {ratio:6.1f}")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * PEAK_UNIT
    print(f"resident memory at its peak: {peak / 1e6:.0f} MB")


if __name__ == "__main__":
    main()
