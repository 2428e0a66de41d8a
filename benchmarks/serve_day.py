"""A day of requests of a real trace on simulated servers: seconds and memory.

    python -m benchmarks.serve_day TRACE MODEL [--requests 10000000] [--replicas 16]

The trace is resampled to so many requests and scaled to a day, and served by replicas of four H100 in fp8 with vLLM.
MODEL is the config of a language model, such as hf:config.json; making its step costs is not part of the time.
"""

from __future__ import annotations

import argparse
import resource
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import pyinfercost as ic
from pyinfercost.serving.runs import Run, facts_of, simulated
from pyinfercost.serving.scheduler import simulated_scheduler
from pyinfercost.serving.serve import blocks_of, phases_of
from pyinfercost.serving.serving_figures import result_of

DAY_S = 86_400
PEAK_UNIT = 1024
"""Bytes of a unit of `ru_maxrss` on Linux."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("trace")
    parser.add_argument("model")
    parser.add_argument("--requests", type=int, default=10**7)
    parser.add_argument("--replicas", type=int, default=16)
    options = parser.parse_args()
    phases = phases_of(options.model)
    on = ic.Deployment(hardware="h100-sxm-80gb", engine="vllm", precision="fp8", layout="tensor=4", price=2.5)
    costs = ic.serving.step_costs(phases.decode, phases.prefill, on=on.for_throughput(), context=1400)
    trace = ic.read_trace(options.trace).resampled(options.requests).at_rate(options.requests / DAY_S)
    workload = ic.Workload(trace=trace)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    def timed(name: str, work: Callable[[], Any]) -> Any:
        start, processor = time.perf_counter(), time.process_time()
        found = work()
        more = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * PEAK_UNIT
        seconds, of_processor = time.perf_counter() - start, time.process_time() - processor
        print(f"{name:<12} {seconds:6.1f} s, {of_processor:6.1f} s of processors, {more / 1e9:.2f} GB more than before")
        return found

    facts = timed("reading", lambda: facts_of(workload))
    scheduler = simulated_scheduler(costs, {})
    blocks = blocks_of(costs, scheduler, facts)
    run = Run(costs, scheduler, workload, facts, options.replicas, "least_loaded", blocks)
    found = timed("simulation", lambda: simulated(run))
    print(timed("figures", partial(result_of, phases.name, run, found, ())))
    del found
    timed("with bands", lambda: ic.serve(costs, workload=workload, replicas=options.replicas))


if __name__ == "__main__":
    main()
