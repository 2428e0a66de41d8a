"""Fleets of engines by means over steps, beside the same fleets with each step of the scheduler.

    python -m benchmarks.fleet_detail CONFIG TRACE... [--scale 3] [--engine vllm,sglang,trtllm]

For each trace, engine, autoscaler and cold start: the ratio of the costs, and the difference of the shares of late
requests in points. The objective is that of a chat: 2 s to the first token, 50 ms per further token.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

import pyinfercost as ic

POLICIES = ("static", "kpa", "hpa", "ray")
COLD_STARTS_S = (0.0, 30.0, 120.0)
SLO = "ttft_p95<2,tpot_p95<0.05"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", help="folder of the config of a language model")
    parser.add_argument("traces", nargs="+", help="[FORMAT:]FILE of request traces with tokens")
    parser.add_argument("--scale", type=float, default=3.0)
    parser.add_argument("--hardware", default="h100-sxm-80gb")
    parser.add_argument("--engine", default="vllm")
    given = parser.parse_args()
    worst: list[tuple[float, float]] = []
    for trace in given.traces:
        for engine in given.engine.split(","):
            on = ic.Deployment(hardware=given.hardware, engine=engine, precision="bf16", price=2.5)
            for cold_start_s in COLD_STARTS_S:
                fast, full = (
                    {
                        each.policy: each
                        for each in ic.fleet(
                            f"hf:{given.config}",
                            traffic=trace,
                            scale=given.scale,
                            on=on,
                            autoscaler=POLICIES,
                            slo=SLO,
                            cold_start_s=cold_start_s,
                            detail=detail,
                        )
                    }
                    for detail in ("fast", "full")
                )
                for policy in POLICIES:
                    ratio = fast[policy].reserved_s / full[policy].reserved_s
                    points = 100 * (fast[policy].late_share - full[policy].late_share)
                    worst.append((abs(ratio - 1), abs(points)))
                    name = f"{Path(trace).stem[-12:]:12} {engine:7} {policy:8} cold {cold_start_s:5.0f} s"
                    late = f"late {100 * full[policy].late_share:6.2f} % {points:+6.2f} points"
                    print(f"{name}: cost x {ratio:.4f}, {late}")
    costs, lates = np.array(worst).T
    print(
        f"{len(worst)} fleets: cost within 3 % in {np.mean(costs <= 0.03):.0%}, at most {100 * costs.max():.1f} %; "
        f"late within 2 points in {np.mean(lates <= 2):.0%}, at most {lates.max():.2f}"
    )


if __name__ == "__main__":
    main()
