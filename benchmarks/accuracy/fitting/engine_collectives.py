"""Fit of `[engine_all_reduce]` to the all-reduces of serving engines.

    python -m benchmarks.accuracy.fitting.engine_collectives [MEASURED]

prints the constants, their errors on the rows of the fit, and the errors on each device when it is left out. Rows
through the host of more than two devices are calls of the library (fitting/collectives.py).
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from ..calls import Call
from ..measured import Problems, read_table
from ..tables.collectives import all_reduce_engines
from .calls import by_device, family_of, figures, fit_calls, logs_of, spread, toml
from .machines import Machine
from .parameters import Parameter

TABLE = "all_reduce_engines"
LIBRARY_FROM = 2  # devices through the host above which engines call the library


def _parameter(key: str, start: float, low: float, high: float, family_sd: float) -> Parameter:
    return Parameter("gpu", f"engine_all_reduce.{key}", start, low, high, (TABLE,), family_sd=family_sd)


PARAMETERS = (
    _parameter("start_us", 4.3, 1.0, 20.0, 0.2),
    _parameter("hop_us", 0.2, 0.01, 5.0, 0.3),
    _parameter("share", 0.6, 0.1, 0.95, 0.1),
    _parameter("two_shot_us", 7.0, 1.0, 40.0, 0.3),
    _parameter("two_shot_hop_us", 0.3, 0.01, 5.0, 0.0),
    _parameter("two_shot_peer_us", 1.2, 0.01, 10.0, 0.1),
    _parameter("two_shot_share", 0.63, 0.1, 0.95, 0.1),
    _parameter("push_us", 2.8, 0.5, 20.0, 0.3),
    _parameter("push_hop_us", 0.3, 0.01, 5.0, 0.0),
    _parameter("push_share", 0.6, 0.1, 0.95, 0.1),
    _parameter("push_two_us", 6.6, 1.0, 40.0, 0.3),
    _parameter("push_two_hop_us", 1.0, 0.01, 5.0, 0.0),
    _parameter("push_two_peer_us", 1.6, 0.01, 10.0, 0.1),
    _parameter("push_two_share", 0.46, 0.1, 0.95, 0.1),
    _parameter("host_us", 30.0, 5.0, 200.0, 0.5),
)
"""Fitted constants. Families differ in the time of their barriers and in their hosts, and little in their efficiency on
a link."""


def read_calls(path: Path) -> list[Call]:
    """Return the rows of engines' own kernels."""
    return [call for call in all_reduce_engines(read_table(path, Problems())) if not is_library(call)]


def is_library(call: Call) -> bool:
    """Return whether an engine calls the library: between more than two devices without a link of their own."""
    links = Machine.find(call.group.device).make({}).links_byte_per_s
    return "device" not in links and call.devices > LIBRARY_FROM


def main(measured: str = "../shared/measured") -> None:
    """Print the constants and their errors."""
    calls = read_calls(Path(measured, f"{TABLE}.csv"))
    fit = fit_calls(PARAMETERS, calls, table=TABLE)
    for name, values in (("gpu", fit.generic), *fit.families.items()):
        print(toml(name, values), end="\n\n")
    left_out = []
    for device, some in by_device(calls).items():
        print(figures(f"{device}, fitted", logs_of(some, fit)), f"spread {spread(logs_of(some, fit)):.3f}")
        for execution in ("cuda_graph", "eager"):
            chosen = [call for call in some if call.execution == execution]
            print(figures(f"{device}, {execution}", logs_of(chosen, fit)))
        others = [call for call in calls if family_of(call) != family_of(some[0])]
        left_out.append(logs_of(some, fit_calls(PARAMETERS, others, table=TABLE)))
        print(figures(f"{device}, its family left out", left_out[-1]))
    print(f"spread of families left out {spread(np.concatenate(left_out)):.3f}")


if __name__ == "__main__":
    main(*sys.argv[1:])
