"""Fit of `[collectives]` of families and of all GPUs to measured NCCL calls.

    python -m benchmarks.accuracy.fitting.collectives [MEASURED] [FACTS]

prints the constants, their errors on the rows of the fit, and the errors on each device when it is left out.

There are two sources. `collectives.csv` has full curves of two devices. `overheads.toml` has four points per curve of
nine systems, without a publication. Its 48 points on the csv's devices equal the csv within 0.5 %: they are the same
calls, so they are left out, since they are no held-out data. Its rates are rounded to whole GB/s, and those below 4 are
not used.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pyinfercost.hardware.files import read_toml
from pyinfercost.predict.collectives import collective

from ..measured import Problems, read_table
from .machines import Machine
from .parameters import Parameter
from .solve import Block, Problem

TABLE = "collectives"
_LEAST_RATE = 4  # GB/s; lower rounded values are too inexact
_OF_FIVE = 0.8  # share of measurements within a band
_DTYPES = {"half": ("fp16", 2), "int8": ("int8", 1), "float": ("fp32", 4)}
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
    _parameter("host_sharing", 1.0, 0.05, 4.0, 0.7, sd=0.02),
)
"""Fitted constants. Families share the effects of protocols, and differ little in their efficiency on a link. The PCIe
wiring of a server is not a property of the device: devices without rows are assumed to share one root complex, and the
rows of a family describe its servers."""


@dataclass(frozen=True)
class Calls:
    """Measured calls of one curve, which differ in size only.

    Attributes:
        hardware: Id of the machine.
        op: The operation.
        devices: Number of participating devices.
        dtype: Dtype of the messages.
        size_bytes: The sizes.
        measured_s: The latencies.
    """

    hardware: str
    op: str
    devices: int
    dtype: str
    size_bytes: NDArray[np.int64]
    measured_s: NDArray[np.float64]


@dataclass(frozen=True)
class CallBlock(Block):
    """All calls of one device; its `measured_s` follows their order."""

    calls: tuple[Calls, ...] = ()


class CollectiveProblem(Problem):
    """The unknowns of `[collectives]`, and their residuals."""

    def fill(self, x: NDArray[np.float64], out: NDArray[np.float64], chosen: Sequence[int]) -> None:
        """Compute the weighted residuals of some blocks."""
        for b in chosen:
            block, machine = self.blocks[b], self.machines[self.blocks[b].hardware]
            assert isinstance(block, CallBlock)
            predicted_s = predicted(block.calls, machine, self.constants(x, machine))
            out[self.places[b]] = np.log(predicted_s / block.measured_s) * block.weight


@dataclass(frozen=True)
class Fit:
    """Constants by file and key, without the table's name.

    Attributes:
        generic: Constants of all GPUs, for `gpu.toml`.
        families: Constants of each family with rows.
    """

    generic: Mapping[str, float]
    families: Mapping[str, Mapping[str, float]]

    def of(self, machine: Machine) -> dict[str, float]:
        """Return a machine's constants, by dotted key."""
        found = {**self.generic, **self.families.get(machine.family, {})}
        return {f"{TABLE}.{key}": value for key, value in found.items()}


def read_curves(path: Path) -> list[Calls]:
    """Return the rows of `collectives.csv`."""
    table = read_table(path, Problems())
    elements, measured_s = table.integers("elements"), table.seconds()
    found = []
    for (device, op, dtype, gpus), rows in table.groups("device", "op", "dtype", "gpus"):
        short, width = _DTYPES[dtype]
        found.append(Calls(device, op, int(gpus), short, elements[rows] * width, measured_s[rows]))
    return found


def read_points(path: Path, without: Iterable[str] = ()) -> list[Calls]:
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
        found.append(Calls(hardware, row["op"], devices, "fp16", sizes, measured_s))
    return found


def predicted(calls: Iterable[Calls], machine: Machine, constants: Mapping[str, float]) -> NDArray[np.float64]:
    """Return the seconds of calls in order, on a machine with some constants set."""
    made = machine.make(constants)
    return np.concatenate(
        [
            collective(some.op, some.size_bytes, hardware=made, devices=some.devices, dtype=some.dtype).latency_s
            for some in calls
        ]
    )


def _by_device(calls: Iterable[Calls]) -> dict[str, list[Calls]]:
    found: dict[str, list[Calls]] = defaultdict(list)
    for some in calls:
        found[some.hardware].append(some)
    return found


def _logs(calls: Sequence[Calls], fit: Fit) -> NDArray[np.float64]:
    """Return logarithms of predicted / measured of the calls of one device."""
    machine = Machine.find(calls[0].hardware)
    return np.log(predicted(calls, machine, fit.of(machine)) / np.concatenate([some.measured_s for some in calls]))


def fit_collectives(calls: Iterable[Calls], *, without: str | None = None, iterations: int = 30) -> Fit:
    """Return the constants with the smallest residuals; all devices have equal weight.

    Args:
        calls: Measured calls.
        without: A device whose calls are left out.
        iterations: Maximum number of solver steps.

    Returns:
        The fit.
    """
    rows = {device: some for device, some in _by_device(calls).items() if device != without}
    machines = {device: Machine.find(device) for device in rows}
    blocks = [
        CallBlock(TABLE, device, (), np.concatenate([calls.measured_s for calls in some]), tuple(some))
        for device, some in rows.items()
    ]
    problem = CollectiveProblem(PARAMETERS, blocks, machines)
    x = problem.solve(iterations)
    # A family without a file takes the values of its kind only.
    device = next(iter(machines.values()))
    other = replace(device, device=replace(device.device, data={**device.device.data, "family": "gpu"}))
    generic = {key.rpartition(".")[2]: value for key, value in problem.constants(x, other).items()}
    differing = {parameter.key.rpartition(".")[2] for parameter in PARAMETERS if parameter.family_sd > 0}
    families = {}
    for machine in machines.values():
        found = {key.rpartition(".")[2]: value for key, value in problem.constants(x, machine).items()}
        families[machine.family] = {
            key: value for key, value in found.items() if key in differing and abs(np.log(value / generic[key])) > 1e-3
        }
    return Fit(generic, families)


def spread(logs: NDArray[np.float64]) -> float:
    """Return the spread of a band that contains four of five measurements."""
    return float(np.expm1(np.quantile(np.abs(logs), _OF_FIVE)))


def with_spreads(calls: Sequence[Calls], fit: Fit) -> Fit:
    """Return the constants with spreads: for families as fitted, for all GPUs from families that are left out.

    For transfers through the host, the latter applies to families with rows too, since servers are wired differently.
    """
    by_device = _by_device(calls)
    family_of = {device: Machine.find(device).family for device in by_device}
    over_host = {device for device in by_device if "device" not in Machine.find(device).make({}).links_byte_per_s}
    families = {family: dict(values) for family, values in fit.families.items()}
    unseen: dict[str, list[NDArray[np.float64]]] = {"spread": [], "host_spread": []}
    for family, values in families.items():
        members = [device for device in by_device if family_of[device] == family]
        key = "host_spread" if members[0] in over_host else "spread"
        if key == "spread":
            values[key] = spread(np.concatenate([_logs(by_device[device], fit) for device in members]))
        others = fit_collectives(some for some in calls if family_of[some.hardware] != family)
        unseen[key] += [_logs(by_device[device], others) for device in members]
    generic = {**fit.generic, **{key: spread(np.concatenate(logs)) for key, logs in unseen.items()}}
    return Fit(generic, families)


def _figures(name: str, logs: NDArray[np.float64]) -> str:
    errors = np.abs(np.expm1(logs)) * 100
    low, high = np.quantile(logs, [0.1, 0.9])
    middle = f"MAPE {errors.mean():5.1f}  median {np.median(errors):5.1f}"
    return f"{name:38} {middle}  {low:+.2f} {high:+.2f}  {len(logs)} rows"


def _toml(name: str, values: Mapping[str, float]) -> str:
    return "\n".join([f"# {name}", "[collectives]", *(f"{key} = {value:.4g}" for key, value in values.items())])


def main(measured: str = "../shared/measured", facts: str = "../shared/facts") -> None:
    """Print the constants and their errors."""
    curves = read_curves(Path(measured, "collectives.csv"))
    every_point = read_points(Path(facts, "overheads.toml"))
    devices = {some.hardware for some in curves}
    calls = [*curves, *(some for some in every_point if some.hardware not in devices)]
    fit = with_spreads(calls, fit_collectives(calls))
    for name, values in (("gpu", fit.generic), *fit.families.items()):
        print(_toml(name, values), end="\n\n")
    for device, some in _by_device(calls).items():
        print(_figures(f"{device}, fitted", _logs(some, fit)))
        print(_figures(f"{device}, left out", _logs(some, fit_collectives(calls, without=device))))
        family = Machine.find(device).family
        others = [other for other in calls if Machine.find(other.hardware).family != family]
        print(_figures(f"{device}, its family left out", _logs(some, fit_collectives(others))))
    only_curves = fit_collectives(curves)
    # Rows of the csv's own devices would not be held out. The csv has no data on transfers through the host: there, the
    # points test the start values, which were chosen with knowledge of these points.
    for device, some in _by_device(some for some in every_point if some.hardware not in devices).items():
        print(_figures(f"{device}, points, csv alone", _logs(some, only_curves)))


if __name__ == "__main__":
    main(*sys.argv[1:])
