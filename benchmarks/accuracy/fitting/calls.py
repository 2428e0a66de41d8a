"""Fits of constants of communication: problems whose rows are calls of `pyinfercost.devices.collective`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ..calls import Call, call_s
from .machines import Machine
from .parameters import Parameter
from .solve import Block, Problem

_OF_FIVE = 0.8  # share of measurements within a band


@dataclass(frozen=True)
class CallBlock(Block):
    """All calls of one device; its `measured_s` follows their order."""

    calls: tuple[Call, ...] = ()


class CallProblem(Problem):
    """The unknowns of tables of communication, and their residuals."""

    def fill(self, x: NDArray[np.float64], out: NDArray[np.float64], chosen: Sequence[int]) -> None:
        """Compute the weighted residuals of some blocks."""
        for b in chosen:
            block, machine = self.blocks[b], self.machines[self.blocks[b].hardware]
            assert isinstance(block, CallBlock)
            predicted_s = predicted(block.calls, machine, self.constants(x, machine))
            out[self.places[b]] = np.log(predicted_s / block.measured_s) * block.weight


@dataclass(frozen=True)
class Fit:
    """Constants by file and key, with the table's name.

    Attributes:
        generic: Constants of all GPUs, for `gpu.toml`.
        families: Constants of each family with rows.
    """

    generic: Mapping[str, float]
    families: Mapping[str, Mapping[str, float]]

    def of(self, machine: Machine) -> dict[str, float]:
        """Return a machine's constants, by dotted key."""
        return {**self.generic, **self.families.get(machine.family, {})}


def predicted(calls: Iterable[Call], machine: Machine, constants: Mapping[str, float]) -> NDArray[np.float64]:
    """Return the seconds of calls in order, on a machine with some constants set."""
    made = machine.make(constants)
    return np.concatenate([call_s(call, made).latency_s for call in calls])


def by_device(calls: Iterable[Call]) -> dict[str, list[Call]]:
    """Return calls by the id of their machine."""
    found: dict[str, list[Call]] = defaultdict(list)
    for call in calls:
        found[call.group.device].append(call)
    return found


def family_of(call: Call) -> str:
    """Return the family of a call's machine."""
    return Machine.find(call.group.device).family


def logs_of(calls: Sequence[Call], fit: Fit) -> NDArray[np.float64]:
    """Return logarithms of predicted / measured of the calls of one device."""
    machine = Machine.find(calls[0].group.device)
    return np.log(predicted(calls, machine, fit.of(machine)) / np.concatenate([call.measured_s for call in calls]))


def fit_calls(
    parameters: Sequence[Parameter], calls: Iterable[Call], *, table: str, without: str | None = None,
    iterations: int = 30,
) -> Fit:  # fmt: skip
    """Return the constants with the smallest residuals; all devices have equal weight.

    Args:
        parameters: The unknowns, of one table of measurements.
        calls: Measured calls.
        table: Name of that table.
        without: A device whose calls are left out.
        iterations: Maximum number of solver steps.

    Returns:
        The fit.
    """
    rows = {device: some for device, some in by_device(calls).items() if device != without}
    machines = {device: Machine.find(device) for device in rows}
    blocks = [
        CallBlock(table, device, (), np.concatenate([call.measured_s for call in some]), calls=tuple(some))
        for device, some in rows.items()
    ]
    problem = CallProblem(parameters, blocks, machines)
    x = problem.solve(iterations)
    # A family without a file takes the values of its kind only.
    device = next(iter(machines.values()))
    other = replace(device, device=replace(device.device, data={**device.device.data, "family": "gpu"}))
    generic = problem.constants(x, other)
    differing = {parameter.key for parameter in parameters if parameter.family_sd > 0}
    families = {}
    for machine in machines.values():
        found = problem.constants(x, machine)
        families[machine.family] = {
            key: value for key, value in found.items() if key in differing and abs(np.log(value / generic[key])) > 1e-3
        }
    return Fit(generic, families)


def spread(logs: NDArray[np.float64]) -> float:
    """Return the spread of a band that contains four of five measurements."""
    return float(np.expm1(np.quantile(np.abs(logs), _OF_FIVE)))


def figures(name: str, logs: NDArray[np.float64]) -> str:
    """Return a line of errors."""
    errors = np.abs(np.expm1(logs)) * 100
    low, high = np.quantile(logs, [0.1, 0.9])
    middle = f"MAPE {errors.mean():5.1f}  median {np.median(errors):5.1f}"
    return f"{name:38} {middle}  {low:+.2f} {high:+.2f}  {len(logs)} rows"


def toml(name: str, values: Mapping[str, float]) -> str:
    """Return constants as tables of a calibration file."""
    tables: dict[str, list[str]] = {}
    for dotted, value in values.items():
        table, _, key = dotted.rpartition(".")
        tables.setdefault(table, []).append(f"{key} = {value:.4g}")
    return "\n".join([f"# {name}", *("\n".join([f"[{table}]", *lines]) for table, lines in tables.items())])
