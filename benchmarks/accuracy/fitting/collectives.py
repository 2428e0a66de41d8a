"""Fit of `[collectives]` of families and of all GPUs to measured NCCL calls.

    python -m benchmarks.accuracy.fitting.collectives [MEASURED] [FACTS]

prints the constants, their errors on the rows of the fit, and the errors on each device when it is left out.

There are three sources. `collectives.csv` has full curves of two devices. `overheads.toml` has four points per curve of
nine systems, without a publication. Its 48 points on the csv's devices equal the csv within 0.5 %: they are the same
calls, so they are left out, since they are no held-out data. Its rates are rounded to whole GB/s, and those below 4 are
not used. `all_reduce_engines.csv` has calls through the host of more than two devices, for which engines use the
library; servers with PCIe switches are left out.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pyinfercost._toml import read_toml

from ..calls import Call
from ..cases import Group
from ..measured import Problems, read_table
from ..tables.collectives import all_reduce_engines, collectives
from .calls import Fit, by_device, figures, fit_calls, logs_of, spread, toml
from .engine_collectives import is_library
from .machines import Machine
from .parameters import Parameter

TABLE = "collectives"
_LEAST_RATE = 4  # GB/s; lower rounded values are too inexact
_SYSTEMS = {  # of `overheads.toml`; gb300 has the links of gb200
    "a100_sxm": "a100-sxm-80gb",
    "h100_sxm": "h100-sxm-80gb",
    "h200_sxm": "h200-sxm-141gb",
    "b200_sxm": "b200-sxm-180gb",
    "b300_sxm": "b300-sxm-270gb",
    "gb200": "gb200",
    "gb300": "gb200",
    "l40s": "l40s",
    "rtx_pro_6000_server": "rtx-pro-6000-server",
}


def _parameter(key: str, start: float, low: float, high: float, family_sd: float, sd: float = 1.0) -> Parameter:
    return Parameter("gpu", f"{TABLE}.{key}", start, low, high, (TABLE,), sd=sd, family_sd=family_sd)


PARAMETERS = (
    _parameter("base_us", 6.5, 1.0, 40.0, 0.3),
    _parameter("hop_us", 0.95, 0.1, 10.0, 0.2),
    _parameter("host_hop_us", 1.4, 0.1, 10.0, 0.2),
    _parameter("ll_share", 0.03, 0.002, 0.5, 0.0),
    _parameter("ll128_us", 1.5, 0.1, 20.0, 0.0),
    _parameter("ll128_share", 0.36, 0.05, 0.94, 0.1),  # 120 of 128 bytes are data
    _parameter("simple_us", 18.0, 1.0, 80.0, 0.3),
    _parameter("simple_share", 0.74, 0.2, 1.0, 0.05),
    _parameter("own_copy", 0.38, 0.05, 1.0, 0.0),
    _parameter("alltoall_step", 0.68, 0.05, 1.0, 0.0),
    _parameter("switch_us", 66.0, 5.0, 200.0, 0.0),
    _parameter("switch_share", 1.1, 0.3, 2.0, 0.15),
    _parameter("host_share", 0.6, 0.1, 1.0, 0.1, sd=0.2),
    _parameter("host_through", 0.6, 0.05, 1.0, 0.5, sd=0.3),
    _parameter("host_sharing", 1.0, 0.05, 4.0, 0.7, sd=0.02),
)
"""Fitted constants. Families share the effects of protocols, and differ little in their efficiency on a link. The PCIe
wiring of a server is not a property of the device: devices without rows are assumed to share one root complex, and the
rows of a family describe its servers."""


def read_curves(path: Path) -> list[Call]:
    """Return the rows of `collectives.csv`."""
    return collectives(read_table(path, Problems()))


def read_host_calls(path: Path) -> list[Call]:
    """Return the rows of `all_reduce_engines.csv` in which engines call the library through the host, in graphs."""
    calls = all_reduce_engines(read_table(path, Problems()))
    return [call for call in calls if is_library(call) and call.execution == "cuda_graph" and not call.direct]


def read_points(path: Path, without: Iterable[str] = ()) -> list[Call]:
    """Return the `[[nccl]]` points of `overheads.toml`, without those of some devices."""
    found = []
    for row in read_toml(path)["nccl"]:
        hardware, devices = _SYSTEMS[row["system"]], row["gpus"]
        if hardware in set(without):
            continue
        carried = (2 if row["op"] == "all_reduce" else 1) * (devices - 1) / devices
        points = {512: row["small_us"] * 1e-6, 2**20: row["us_1MiB"] * 1e-6}
        for size, key in ((2**24, "busbw_16MiB"), (2**29, "busbw_512MiB")):
            if row[key] >= _LEAST_RATE:
                points[size] = size * carried / (row[key] * 1e9)
        sizes, measured_s = np.array(list(points)), np.array(list(points.values()))
        group = Group(TABLE, hardware, f"nccl {row['nccl']}", "half", "collective", f"{row['op']} x{devices}")
        found.append(Call(group, row["op"], "fp16", devices, sizes, measured_s, np.arange(len(sizes))))
    return found


def fit_collectives(calls: Iterable[Call], *, without: str | None = None, iterations: int = 30) -> Fit:
    """Return the constants with the smallest residuals; all devices have equal weight."""
    return fit_calls(PARAMETERS, calls, table=TABLE, without=without, iterations=iterations)


def with_spreads(calls: Sequence[Call], fit: Fit) -> Fit:
    """Return the constants with spreads: for families as fitted, for all GPUs from families that are left out.

    For transfers through the host, the latter applies to families with rows too, since servers are wired differently.
    """
    rows = by_device(calls)
    family_of = {device: Machine.find(device).family for device in rows}
    over_host = {device for device in rows if "device" not in Machine.find(device).make({}).links_byte_per_s}
    families = {family: dict(values) for family, values in fit.families.items()}
    unseen: dict[str, list[NDArray[np.float64]]] = {"spread": [], "host_spread": []}
    for family, values in families.items():
        members = [device for device in rows if family_of[device] == family]
        key = "host_spread" if members[0] in over_host else "spread"
        if key == "spread":
            values[f"{TABLE}.{key}"] = spread(np.concatenate([logs_of(rows[device], fit) for device in members]))
        others = fit_collectives(some for some in calls if family_of[some.group.device] != family)
        unseen[key] += [logs_of(rows[device], others) for device in members]
    generic = {**fit.generic, **{f"{TABLE}.{key}": spread(np.concatenate(logs)) for key, logs in unseen.items()}}
    return Fit(generic, families)


def main(measured: str = "../shared/measured", facts: str = "../shared/facts") -> None:
    """Print the constants and their errors."""
    curves = read_curves(Path(measured, "collectives.csv"))
    every_point = read_points(Path(facts, "overheads.toml"))
    devices = {some.group.device for some in curves}
    over_host = read_host_calls(Path(measured, "all_reduce_engines.csv"))
    calls = [*curves, *over_host, *(some for some in every_point if some.group.device not in devices)]
    fit = with_spreads(calls, fit_collectives(calls))
    for name, values in (("gpu", fit.generic), *fit.families.items()):
        print(toml(name, values), end="\n\n")
    for device, some in by_device(calls).items():
        print(figures(f"{device}, fitted", logs_of(some, fit)))
        print(figures(f"{device}, left out", logs_of(some, fit_collectives(calls, without=device))))
        family = Machine.find(device).family
        others = [other for other in calls if Machine.find(other.group.device).family != family]
        print(figures(f"{device}, its family left out", logs_of(some, fit_collectives(others))))
    only_curves = fit_collectives(curves)
    # Rows of the csv's own devices would not be held out. The csv has no data on transfers through the host: there, the
    # points test the start values, which were chosen with knowledge of these points.
    for device, some in by_device(some for some in every_point if some.group.device not in devices).items():
        print(figures(f"{device}, points, csv alone", logs_of(some, only_curves)))


if __name__ == "__main__":
    main(*sys.argv[1:])
