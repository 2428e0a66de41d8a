"""Errors of predictions, one line per group of rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .cases import Group

if TYPE_CHECKING:
    from .predict import Predicted

_LEAST_TO_RANK = 3
ALL = "all"


@dataclass(frozen=True)
class Line:
    """Errors of one group of rows, as fractions.

    Attributes:
        table: Name of the table; device, software, precision, execution and part select its rows.
        rows: Number of rows with a prediction.
        mape: Mean of |predicted / measured - 1|.
        median: Its median.
        p90: Its 90th percentile.
        bias: Geometric mean of predicted / measured: below 1 if predictions are too low.
        spearman: Rank correlation of predicted and measured; None for fewer than three rows, or equal ones.
        in_band: Share of rows whose measured latency is in the error band of the estimate.
        roofline_mape: `mape` of the plain roofline.
        roofline_median: `median` of the plain roofline.
    """

    table: str
    device: str
    software: str
    precision: str
    execution: str
    part: str
    rows: int
    mape: float
    median: float
    p90: float
    bias: float
    spearman: float | None
    in_band: float
    roofline_mape: float | None
    roofline_median: float | None

    def to_dict(self) -> dict[str, Any]:
        """Return the line as plain data."""
        return asdict(self)


def lines(
    groups: Sequence[Group],
    measured_s: NDArray[np.float64],
    predicted: Predicted,
    roofline_s: NDArray[np.float64],
) -> list[Line]:
    """Return one line per group, and one per table in which all other fields are `all`.

    Args:
        groups: Group of every row.
        measured_s: Measured seconds.
        predicted: Predictions; rows without one are left out.
        roofline_s: Seconds of the plain roofline.

    Returns:
        The lines.
    """
    places: dict[Group, list[int]] = {}
    for row, group in enumerate(groups):
        if np.isfinite(predicted.latency_s[row]):
            places.setdefault(group, []).append(row)
    tables: dict[str, list[int]] = {}
    found = []
    for group in sorted(places, key=lambda group: (group.table, group.device, group.software, *_rest(group))):
        tables.setdefault(group.table, []).extend(places[group])
        found.append(_line(group, np.array(places[group]), measured_s, predicted, roofline_s))
    for table, rows in tables.items():
        found.append(_line(Group(table, ALL, ALL, ALL, ALL, ""), np.array(rows), measured_s, predicted, roofline_s))
    return found


def _rest(group: Group) -> tuple[str, ...]:
    return group.precision, group.execution, group.part


def _line(
    group: Group,
    rows: NDArray[np.int64],
    measured_s: NDArray[np.float64],
    predicted: Predicted,
    roofline_s: NDArray[np.float64],
) -> Line:
    measured, latency = measured_s[rows], predicted.latency_s[rows]
    error = np.abs(latency / measured - 1)
    inside = (predicted.low_s[rows] <= measured) & (measured <= predicted.high_s[rows])
    plain = roofline_s[rows]
    plain_error = np.abs(plain / measured - 1)[np.isfinite(plain)]
    return Line(
        table=group.table,
        device=group.device,
        software=group.software,
        precision=group.precision,
        execution=group.execution,
        part=group.part,
        rows=len(rows),
        mape=float(error.mean()),
        median=float(np.median(error)),
        p90=float(np.quantile(error, 0.9)),
        bias=float(np.exp(np.log(latency / measured).mean())),
        spearman=rank_correlation(latency, measured),
        in_band=float(inside.mean()),
        roofline_mape=float(plain_error.mean()) if len(plain_error) else None,
        roofline_median=float(np.median(plain_error)) if len(plain_error) else None,
    )


def rank_correlation(left: NDArray[np.float64], right: NDArray[np.float64]) -> float | None:
    """Return Spearman's rank correlation; equal values share the mean of their ranks."""
    if len(left) < _LEAST_TO_RANK:
        return None
    ranks = [_ranks(values) for values in (left, right)]
    if min(rank.std() for rank in ranks) == 0:
        return None
    return float(np.corrcoef(ranks[0], ranks[1])[0, 1])


def _ranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    _, places, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return (last - (counts - 1) / 2)[places]
