"""The page of the documentation on accuracy: figures to reach and to keep, and tables of all errors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from .figures import lines
from .report import markdown, omitted_rows, table_of
from .targets import CURRENT, KEPT, WHOLE, Reached, published, reached

if TYPE_CHECKING:
    from .figures import Judged
    from .measured import Problems

_FEW_PARTS = 4
_NUMBERS = ("rows", "mape", "median", "bias", "spread", "in_band", "roofline_mape", "roofline_bias")
_COLUMNS = (
    ("MAPE, median", "mean and median of \\|predicted / measured - 1\\|, in percent"),
    ("bias", "geometric mean of predicted / measured; estimates below 1 are too fast"),
    ("spread", "geometric standard deviation of predicted / measured; two thirds of the rows are within this factor of "
     "the bias"),
    ("in band", "share of rows whose measurement is in the error band of the estimate, which is meant to hold 80 %"),
    ("roofline", "the same figures of the plain roofline of the data sheet: max(FLOPs / dense peak, bytes / "
     "bandwidth), summed over the kernels of an eager run; for power, of a board that draws its limit"),
    ("evidence", "what the error band rests on: `family fitted`, rows of the device's family; `sibling family fitted`, "
     "of another family of its vendor; `datasheet only`, neither"),
    ("worst", "the device with the largest mean error"),
)  # fmt: skip
_PAGE = """\
# Accuracy

Predictions are compared with published measurements of {devices} devices in {rows} rows. This page is the output of one
command, and changes with the code and its constants:

    {command}

`DIR` is a folder of CSV files. `benchmarks/README.md` describes its tables and the options of the command, and the
modules of `benchmarks/accuracy/tables` define the meaning of a row of each table. The measurements are not part of the
package. [How time is predicted](time.md) explains the models.

{columns}

Without `left out`, figures use the constants of the package, whether or not they were fitted to a row's device.

## Figures to reach

{left_out_text}

{current}

Whole models that somebody published, by kind of device. The target is a bias of {bias[0]} to {bias[1]} and a spread of
at most {spread}, and of {bias_out[0]} to {bias_out[1]} and {spread_out} for devices that were left out.

{whole}

## Figures to keep

These are the tables and devices of the first fit. The target is one point above the error of that fit.

{kept}

## By kind of device and evidence

{kinds}

## By table, device and dtype

{rows_of_devices}

## By operator

Tables with more than {few_parts} operators, ways of communication or groups of devices:

{parts}

## Not predicted

{omitted}
"""


def page(judged: Judged, problems: Problems, *, command: str, left_out: Mapping[str, Any]) -> str:
    """Return the page.

    Args:
        judged: The rows.
        problems: What is not predicted.
        command: The command that prints this.
        left_out: Document of a run with devices left out; empty for none.
    """
    parts: dict[str, set[str]] = {}
    for group in set(judged.groups):
        parts.setdefault(group.table, set()).add(group.part)
    many = {table for table, found in parts.items() if len(found) > _FEW_PARTS}
    by_part = lines(judged, by=("device", "precision", "execution", "part"))
    by_device = lines(judged, by=("device", "precision", "execution"))
    devices = [line for line in by_part if line.table not in many] + [line for line in by_device if line.table in many]
    devices.sort(key=lambda line: (line.table, line.device, line.precision, line.execution, line.part))
    kinds = sorted(lines(judged, by=("kind", "evidence")), key=lambda line: (line.kind, line.table))
    outside = {one["name"]: one for one in left_out.get("targets", ())}
    (bias, spread), (bias_out, spread_out) = WHOLE.values()
    return _PAGE.format(
        devices=len({group.device for group in judged.groups}),
        rows=f"{sum(line.errors.rows for line in lines(judged, by=()) if ':' not in line.table):,}",
        command=command,
        columns=markdown([("column", "meaning"), *_COLUMNS], 2),
        left_out_text=(
            "`left out` predicts each device with constants that were fitted to the others."
            if outside
            else "`left out` is empty because no run of `--leave-one-device-out` was given with `--left-out`."
        ),
        current=_current(reached(judged, CURRENT), outside),
        bias=bias,
        spread=spread,
        bias_out=bias_out,
        spread_out=spread_out,
        whole=_whole(reached(judged, published(judged))),
        kept=_kept(reached(judged, KEPT)),
        kinds=table_of(kinds, ("kind", "table", "evidence"), _NUMBERS),
        rows_of_devices=table_of(devices, ("table", "device", "precision", "execution", "part"), _NUMBERS),
        few_parts=_FEW_PARTS,
        parts=table_of(
            [line for line in lines(judged, by=("kind", "part")) if line.table in many],
            ("table", "kind", "part"),
            _NUMBERS,
        ),
        omitted=omitted_rows(problems),
    ).rstrip()


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f}"


def _current(found: Sequence[Reached], outside: Mapping[str, Mapping[str, Any]]) -> str:
    cells = [["rows of", "rows", "MAPE", "target", "left out", "target", "in band", "roofline", "worst", "evidence"]]
    for one in found:
        without = outside.get(one.target.name, {})
        cells.append(
            [
                one.target.name,
                f"{one.errors.rows:,}",
                _percent(one.errors.mape),
                _percent(one.target.in_sample),
                _percent(without.get("mape")),
                _percent(one.target.left_out),
                _percent(one.errors.in_band),
                _percent(one.errors.roofline_mape),
                f"{one.worst} {_percent(one.worst_mape)}",
                one.evidence,
            ]
        )
    return markdown(cells, 1)


def _whole(found: Sequence[Reached]) -> str:
    cells = [["kind", "rows", "bias", "spread", "MAPE", "in band", "roofline bias", "worst", "evidence"]]
    for one in found:
        numbers = one.errors
        cells.append(
            [
                one.target.name.partition(", ")[2],
                f"{numbers.rows:,}",
                f"{numbers.bias:.2f}",
                f"{numbers.spread:.2f}",
                _percent(numbers.mape),
                _percent(numbers.in_band),
                "" if numbers.roofline_bias is None else f"{numbers.roofline_bias:.2f}",
                f"{one.worst} {_percent(one.worst_mape)}",
                one.evidence,
            ]
        )
    return markdown(cells, 1)


def _kept(found: Sequence[Reached]) -> str:
    cells = [["rows of", "rows", "MAPE", "target", "median", "in band", "roofline"]]
    for one in found:
        numbers = one.errors
        cells.append(
            [
                one.target.name,
                f"{numbers.rows:,}",
                _percent(numbers.mape),
                _percent(one.target.in_sample),
                _percent(numbers.median),
                _percent(numbers.in_band),
                _percent(numbers.roofline_mape),
            ]
        )
    return markdown(cells, 1)
