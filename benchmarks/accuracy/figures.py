"""Errors of predictions, one line per group of rows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .cases import Group
from .predict import Predicted

_LEAST_TO_RANK = 3
ALL = "all"
FIELDS = ("kind", "device", "software", "precision", "execution", "part", "evidence")
"""Fields of a group that divide the rows of a table."""


@dataclass(frozen=True)
class Judged:
    """Rows of one or several tables with their measurements and predictions.

    Attributes:
        groups: Group of every row.
        measured_s: Measured seconds, or the measured value of another quantity.
        predicted: Predictions; NaN for rows without one.
        roofline_s: Values of the plain model.
        rows: Row numbers in their table; -1 for a mean of several rows.
    """

    groups: Sequence[Group]
    measured_s: NDArray[np.float64]
    predicted: Predicted
    roofline_s: NDArray[np.float64]
    rows: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.groups)

    def only(self, rows: Sequence[int] | NDArray[np.int64]) -> Judged:
        """Return some of the rows."""
        places = np.asarray(rows, dtype=np.int64)
        predicted = Predicted(
            self.predicted.latency_s[places], self.predicted.low_s[places], self.predicted.high_s[places]
        )
        groups = [self.groups[row] for row in places]
        return Judged(groups, self.measured_s[places], predicted, self.roofline_s[places], self.rows[places])

    @staticmethod
    def joined(parts: Iterable[Judged]) -> Judged:
        """Return the rows of several parts."""
        found = list(parts)

        def column(values: list[NDArray[np.float64]]) -> NDArray[np.float64]:
            return np.concatenate([*values, np.empty(0)])

        predicted = Predicted(
            column([part.predicted.latency_s for part in found]),
            column([part.predicted.low_s for part in found]),
            column([part.predicted.high_s for part in found]),
        )
        groups = [group for part in found for group in part.groups]
        measured, roofline = ([part.measured_s for part in found], [part.roofline_s for part in found])
        rows = np.concatenate([*[part.rows for part in found], np.empty(0, dtype=np.int64)])
        return Judged(groups, column(measured), predicted, column(roofline), rows)


@dataclass(frozen=True)
class Errors:
    """Errors of some rows, as fractions.

    Attributes:
        rows: Number of rows with a prediction.
        mape: Mean of |predicted / measured - 1|.
        median: Its median.
        p90: Its 90th percentile.
        bias: Geometric mean of predicted / measured: below 1 if predictions are too low.
        spread: Geometric standard deviation of predicted / measured: two thirds of the rows are within this factor of
            the bias, if the logarithms are normal.
        spearman: Rank correlation of predicted and measured; None for fewer than three rows, or equal ones.
        in_band: Share of rows whose measured value is in the error band of the estimate.
        roofline_mape: `mape` of the plain roofline.
        roofline_median: `median` of the plain roofline.
        roofline_bias: `bias` of the plain roofline.
    """

    rows: int
    mape: float
    median: float
    p90: float
    bias: float
    spread: float
    spearman: float | None
    in_band: float
    roofline_mape: float | None
    roofline_median: float | None
    roofline_bias: float | None


@dataclass(frozen=True)
class Line:
    """Errors of the rows of one group; fields that do not divide the rows are `all`."""

    table: str
    kind: str
    device: str
    software: str
    precision: str
    execution: str
    part: str
    evidence: str
    errors: Errors

    def to_dict(self) -> dict[str, Any]:
        """Return the line as plain data."""
        data = asdict(self)
        numbers = data.pop("errors")
        return {**data, **numbers}


def lines(judged: Judged, by: Sequence[str] = FIELDS) -> list[Line]:
    """Return one line per table and combination of values of some fields, sorted.

    Args:
        judged: The rows; those without a prediction are left out.
        by: The fields of `FIELDS` that divide the rows of a table.

    Returns:
        The lines.
    """
    places: dict[tuple[str, ...], list[int]] = {}
    keys = {group: (group.table, *(_value(group, name, by) for name in FIELDS)) for group in set(judged.groups)}
    for row in np.flatnonzero(np.isfinite(judged.predicted.latency_s)).tolist():
        places.setdefault(keys[judged.groups[row]], []).append(row)
    return [
        Line(**dict(zip(("table", *FIELDS), key, strict=True)), errors=errors(judged.only(places[key])))
        for key in sorted(places)
    ]


def _value(group: Group, name: str, by: Sequence[str]) -> str:
    return str(getattr(group, name)) if name in by else ALL


def report_lines(judged: Judged) -> list[Line]:
    """Return the lines of a report: one per group, and behind those of each table the total of its rows."""
    groups, totals = lines(judged), {line.table: line for line in lines(judged, by=())}
    found = []
    for name in dict.fromkeys(group.table for group in judged.groups):
        if name in totals:
            found += [*(line for line in groups if line.table == name), totals[name]]
    return found


def errors(judged: Judged) -> Errors:
    """Return the errors of rows, each of which has a prediction."""
    measured, predicted = judged.measured_s, judged.predicted
    latency, plain = predicted.latency_s, judged.roofline_s
    error, ratio = np.abs(latency / measured - 1), np.log(latency / measured)
    inside = (predicted.low_s <= measured) & (measured <= predicted.high_s)
    known = np.isfinite(plain) & (plain > 0)
    plain_ratio = plain[known] / measured[known]
    plain_error = np.abs(plain_ratio - 1)
    return Errors(
        rows=len(measured),
        mape=float(error.mean()),
        median=float(np.median(error)),
        p90=float(np.quantile(error, 0.9)),
        bias=float(np.exp(ratio.mean())),
        spread=float(np.exp(ratio.std())),
        spearman=rank_correlation(latency, measured),
        in_band=float(inside.mean()),
        roofline_mape=float(plain_error.mean()) if len(plain_error) else None,
        roofline_median=float(np.median(plain_error)) if len(plain_error) else None,
        roofline_bias=float(np.exp(np.log(plain_ratio).mean())) if len(plain_error) else None,
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
