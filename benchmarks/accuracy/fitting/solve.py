"""Robust least squares on logarithms of predicted / measured, over many tables at once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares

from ..cases import Case, Group
from ..predict import predict
from .machines import GROUPS, Machine
from .parameters import Parameter

_STEP = 0.01  # of a logarithm, for derivatives: models have corners, and a smaller step would see one side only
_ORDINARY_ERROR = 0.12  # larger residuals have linear weight, as in a mean absolute error
_FAMILY_RANGE = 2.0  # of a logarithm
_ROWS_OF_A_BLOCK = 100.0  # weight of all parts of a block, regardless of its number of rows
_COUNTED = {"models_vision": 5.0, "models_language_fp32": 3.0}  # few blocks with all classes of kernels


@dataclass(frozen=True)
class Block:
    """Rows of one table, device, precision, execution and part; all tables have equal weight."""

    table: str
    hardware: str
    cases: tuple[Case, ...]
    measured_s: NDArray[np.float64]
    parts: int = 1

    @property
    def weight(self) -> float:
        """Square root of the weight of one row."""
        return float(np.sqrt(_ROWS_OF_A_BLOCK / len(self.measured_s) / self.parts * _COUNTED.get(self.table, 1.0)))


def blocks_of(cases: Sequence[Case]) -> list[Block]:
    """Group cases by table, device, precision, execution and part."""
    found: dict[object, list[Case]] = {}
    for case in cases:
        found.setdefault(case.group, []).append(case)
    parts = Counter(_without_part(some[0]) for some in found.values())
    return [
        Block(
            some[0].group.table,
            some[0].hardware,
            tuple(some),
            np.concatenate([case.measured_s for case in some]),
            parts[_without_part(some[0])],
        )
        for some in found.values()
    ]


def _without_part(case: Case) -> Group:
    return replace(case.group, part="")


@dataclass(frozen=True)
class Unknown:
    """One unknown: a parameter of a kind, or the deviation of a family or a group of families from it."""

    parameter: Parameter
    family: str | None = None

    def touches(self, block: Block, machine: Machine) -> bool:
        """Return whether a block's predictions depend on it."""
        return block.table in self.parameter.tables and (
            self.family in (machine.family, machine.group) if self.family else machine.kind == self.parameter.kind
        )


def _sd(unknown: Unknown) -> float:
    if unknown.family is None:
        return unknown.parameter.sd
    # Groups are few and far apart; the only family of a group is close to others.
    return unknown.parameter.family_sd * (3 if unknown.family in GROUPS.values() else 1)


class Problem:
    """The unknowns and their residuals."""

    def __init__(
        self, parameters: Sequence[Parameter], blocks: Sequence[Block], machines: Mapping[str, Machine]
    ) -> None:
        self.blocks = list(blocks)
        self.machines = machines
        self.unknowns = [Unknown(parameter) for parameter in parameters]
        for parameter in parameters:
            families = {
                machines[block.hardware].family
                for block in blocks
                if block.table in parameter.tables and machines[block.hardware].kind == parameter.kind
            }
            if parameter.family_sd > 0:
                groups = {GROUPS[family] for family in families if family in GROUPS}
                self.unknowns += [Unknown(parameter, group) for group in sorted(groups)]
                self.unknowns += [Unknown(parameter, family) for family in sorted(families)]
        rows = [len(block.measured_s) for block in blocks]
        self.places = [slice(end - count, end) for end, count in zip(np.cumsum(rows), rows, strict=True)]
        self.total_rows = sum(rows)

    def constants(self, x: NDArray[np.float64], machine: Machine) -> dict[str, float]:
        """Return a machine's constants at `x`, by dotted key."""
        logs: dict[str, float] = {}
        for unknown, value in zip(self.unknowns, x, strict=True):
            if unknown.parameter.kind == machine.kind and unknown.family in (None, machine.family, machine.group):
                logs[unknown.parameter.key] = logs.get(unknown.parameter.key, 0.0) + float(value)
        limits = {u.parameter.key: u.parameter for u in self.unknowns if u.parameter.kind == machine.kind}
        return {key: float(np.clip(np.exp(log), limits[key].low, limits[key].high)) for key, log in logs.items()}

    def start(self) -> NDArray[np.float64]:
        """Start values of the parameters, without deviations of families."""
        return np.array([0.0 if unknown.family else np.log(unknown.parameter.start) for unknown in self.unknowns])

    def bounds(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Lower and upper limits; a family is within a factor of its kind."""
        low = [-_FAMILY_RANGE if u.family else np.log(u.parameter.low) - 1e-6 for u in self.unknowns]
        high = [_FAMILY_RANGE if u.family else np.log(u.parameter.high) + 1e-6 for u in self.unknowns]
        return np.array(low), np.array(high)

    def fill(self, x: NDArray[np.float64], out: NDArray[np.float64], chosen: Sequence[int]) -> None:
        """Compute the weighted residuals of some blocks."""
        made = {
            hardware: self.machines[hardware].make(self.constants(x, self.machines[hardware]))
            for hardware in {self.blocks[b].hardware for b in chosen}
        }
        for b in chosen:
            block = self.blocks[b]
            predicted_s = predict(block.cases, made).latency_s
            with np.errstate(invalid="ignore", divide="ignore"):
                residual = np.log(predicted_s / block.measured_s)
            out[self.places[b]] = np.nan_to_num(residual, nan=0.0, posinf=3.0, neginf=-3.0) * block.weight

    def prior(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the penalties for deviations from the start values."""
        start = self.start()
        sd = np.array([_sd(unknown) for unknown in self.unknowns])
        return (x - start) / sd * _ORDINARY_ERROR * np.sqrt(_ROWS_OF_A_BLOCK) * 0.1

    def residuals(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return all weighted residuals, followed by the penalties."""
        out = np.empty(self.total_rows)
        self.fill(x, out, range(len(self.blocks)))
        return np.concatenate([out, self.prior(x)])

    def jacobian(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return finite differences of residuals, only for blocks that depend on an unknown."""
        here = self.residuals(x)
        result = np.zeros((len(here), len(x)))
        residuals, prior = here[: self.total_rows], here[self.total_rows :]

        def differentiate(j: int) -> None:
            moved = x.copy()
            moved[j] += _STEP
            chosen = [
                b
                for b, block in enumerate(self.blocks)
                if self.unknowns[j].touches(block, self.machines[block.hardware])
            ]
            there = residuals.copy()
            self.fill(moved, there, chosen)
            result[: self.total_rows, j] = (there - residuals) / _STEP
            result[self.total_rows :, j] = (self.prior(moved) - prior) / _STEP

        with ThreadPoolExecutor() as pool:  # the core releases the GIL
            list(pool.map(differentiate, range(len(x))))
        return result

    def solve(self, iterations: int = 30) -> NDArray[np.float64]:
        """Return the values with the smallest residuals, as logarithms and differences of logarithms."""
        solution = least_squares(
            self.residuals,
            self.start(),
            jac=self.jacobian,
            bounds=self.bounds(),
            loss="soft_l1",
            f_scale=_ORDINARY_ERROR,
            max_nfev=iterations,
            x_scale=np.array([0.3 if u.family is None else 0.1 for u in self.unknowns]),
        )
        return np.asarray(solution.x)
