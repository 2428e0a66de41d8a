"""Errors of power and energy for rows with readings of the board's power.

Three quantities are compared with readings, and with a plain model in which a board always draws its power limit:

- power: predicted joules over predicted seconds, compared with the reading.
- settled power: the same for rows of at least `SETTLED_S`. About half of the shorter rows read far too low: on H200
  112 x 3072 x 12288 reads 411 W and 112 x 3072 x 10240 reads 574 W, at the same FLOPs and bytes per second. The number
  of low readings depends on the first dimension instead of the work, and the deficit falls with the length of a run.
  This behavior fits a meter that lags behind runs of a fixed count, not a board.
- energy: predicted joules, with predicted time, compared with reading x measured seconds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from pyinfercost import _core

from .cases import Case, group_of_row, measured_s, table_rows
from .figures import Judged
from .predict import Predicted

if TYPE_CHECKING:
    from pyinfercost import Hardware

SETTLED_S = 50e-6


def energy_rows(
    cases: Sequence[Case], machines: Mapping[str, Hardware], predicted: Predicted, roofline_s: NDArray[np.float64]
) -> list[Judged]:
    """Return rows of power and energy, as tables of their own; none if no row has a reading.

    Args:
        cases: The predicted cases.
        machines: Machine of each hardware id.
        predicted: Predictions of all rows.
        roofline_s: Seconds of the plain roofline.
    """
    energy_j = predicted.energy_j
    if energy_j is None or all(case.measured_w is None for case in cases):
        return []

    def of_rows(values: Sequence[float]) -> NDArray[np.float64]:
        return np.repeat(np.asarray(values, dtype=np.float64), [len(case) for case in cases])

    constants = [machines[case.hardware].constants for case in cases]
    limit_w = of_rows([known.get("energy.most_w", np.nan) for known in constants])
    spread = of_rows([known.get("energy.spread", np.nan) for known in constants])
    unknown = [np.full(len(case), np.nan) for case in cases]
    watts = np.concatenate(
        [nothing if case.measured_w is None else case.measured_w for case, nothing in zip(cases, unknown, strict=True)]
    )
    seconds = measured_s(cases)
    groups, rows = group_of_row(cases), table_rows(cases)

    def judged(what: str, measured: NDArray[np.float64], value: NDArray[np.float64], plain: NDArray[np.float64],
               wanted: NDArray[np.bool_]) -> Judged:  # fmt: skip
        value = np.where(wanted & np.isfinite(measured), value, np.nan)
        low, high = _core.band_low(value, value * spread), _core.band_high(value, value * spread)
        named = [replace(group, table=f"{group.table}: {what}") for group in groups]
        return Judged(named, measured, Predicted(value, low, high, value), plain, rows)

    every, settled = np.ones(len(seconds), dtype=np.bool_), seconds >= SETTLED_S
    power = energy_j / predicted.latency_s
    return [
        judged("power", watts, power, limit_w, every),
        judged("settled power", watts, power, limit_w, settled),
        judged("energy", watts * seconds, energy_j, limit_w * roofline_s, every),
        judged("settled energy", watts * seconds, energy_j, limit_w * roofline_s, settled),
    ]
