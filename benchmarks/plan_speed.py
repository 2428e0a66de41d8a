"""Seconds of a plan over many deployments, here or on a Dask cluster of which a worker is killed.

    python -m benchmarks.plan_speed CONFIG --trace azure-weekly:conversation_week_7min.csv [--deployments 200] [--dask]

Deployments are machines, precisions, engines and prices of the catalog in a random order that is always the same; each
is combined with eight autoscalers, on a week of the trace at a tenth of its rate. With --dask, a LocalCluster of two
workers evaluates the points, and one worker is killed after a while.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import threading
import time
from collections import Counter
from typing import Any

import pyinfercost as ic
from pyinfercost.deployment import offers

SCALE = 0.1
KILL_AFTER_S = 20.0


def deployments(count: int) -> list[ic.Deployment]:
    """Return deployments of GPUs with prices of the catalog."""
    found = []
    for offer in sorted(offers(), key=lambda each: each.name):
        for terms in offer.usd_per_h:
            for precision in ("bf16", "fp8", "fp16"):
                for engine in ("vllm", "sglang", "trtllm"):
                    try:
                        on = ic.Deployment(
                            hardware=offer.device, engine=engine, precision=precision, price=f"{offer.name}:{terms}"
                        )
                    except ic.errors.InputError:
                        continue
                    if on.machine.kind == "gpu":
                        found.append(on)
    random.Random(0).shuffle(found)
    return found[:count]


def kill_later(client: Any) -> threading.Thread:
    """Kill one worker after a while."""

    def kill() -> None:
        time.sleep(KILL_AFTER_S)
        pids = client.run(os.getpid)
        os.kill(next(iter(pids.values())), signal.SIGKILL)
        print(f"killed a worker after {KILL_AFTER_S:g} s")

    thread = threading.Thread(target=kill, daemon=True)
    thread.start()
    return thread


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", help="folder of the config of a language model")
    parser.add_argument("--trace", required=True)
    parser.add_argument("--deployments", type=int, default=200)
    parser.add_argument("--dask", action="store_true")
    given = parser.parse_args()
    on = deployments(given.deployments)
    executor: Any = None
    if given.dask:
        from dask.distributed import Client, LocalCluster

        client = Client(LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None))
        executor = client.get_executor()
        kill_later(client)
    start = time.perf_counter()
    plan = ic.plan_fleet(
        f"hf:{given.config}",
        traffic=given.trace,
        prompt="lognormal:mean=1155,cv=1",
        output="lognormal:mean=211,cv=0.8",
        scale=SCALE,
        on=on,
        slo="ttft_p95<2,tpot_p95<0.05",
        terms=ic.fleets.Terms(commitment="discount=0.4,term_years=1"),
        executor=executor,
    )
    seconds = time.perf_counter() - start
    stages = Counter(each.stage for each in plan.choices)
    print(
        f"{plan.deployments} deployments x {plan.policies} autoscalers: {seconds:.0f} s with the capture, "
        f"{plan.simulations} simulations of {plan.requests / 1e6:.0f} million requests; fleets by stage "
        f"{dict(stages)}, {len(plan.out)} deployments cannot serve the model"
    )
    if plan.best is None or plan.verified is None:
        raise SystemExit("no fleet holds the objective")
    for name, fleet in (("planned on", plan.best), ("the day after", plan.verified)):
        held = "holds" if fleet.slo_met else "does not hold"
        cost = f"{fleet.usd_per_month or 0.0:,.0f} USD/month, {100 * fleet.late_share:.2f} % late, {held}"
        print(f"{name}: {fleet.deployment}, {fleet.policy}: {cost}")


if __name__ == "__main__":
    main()
