"""Output of errors as a text table, Markdown, JSON, or a page of the documentation."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from .figures import FIELDS, Judged, Line, lines, report_lines
from .measured import Problems
from .targets import CURRENT, KEPT, WHOLE, Reached, published, reached

FORMS = ("table", "json", "md", "page")
_TITLES = {"in_band": "in band", "mape": "MAPE", "p90": "p90", "spearman": "Spearman", "roofline_mape": "roofline MAPE",
           "roofline_median": "roofline median", "roofline_bias": "roofline bias"}  # fmt: skip
_NUMBERS = ("rows", "mape", "median", "p90", "bias", "spread", "spearman", "in_band", "roofline_mape",
            "roofline_median", "roofline_bias")  # fmt: skip
_PLAIN = ("bias", "spread", "spearman", "roofline_bias")
_FEW_PARTS = 4
_PAGE_NUMBERS = ("rows", "mape", "median", "bias", "spread", "in_band", "roofline_mape", "roofline_bias")


def rendered(judged: Judged, problems: Problems, form: str, *, command: str, left_out: Mapping[str, Any]) -> str:
    """Return the errors of rows.

    Args:
        judged: The rows.
        problems: What is not predicted.
        form: One of `FORMS`.
        command: The command that prints this, for the page.
        left_out: Document of a run with devices left out, for the page; empty for none.
    """
    found = report_lines(judged)
    if form == "json":
        document = {
            "rows": [line.to_dict() for line in found],
            "kinds": [line.to_dict() for line in lines(judged, by=("kind", "evidence"))],
            "targets": [one.to_dict() for one in reached(judged, (*CURRENT, *published(judged)))],
            "kept": [one.to_dict() for one in reached(judged, KEPT)],
            **problems.to_dict(),
        }
        return json.dumps(document, indent=1)
    if form == "page":
        return _page(judged, problems, command, left_out)
    fields = ("table", *FIELDS)
    cells = [_titles((*fields, *_NUMBERS)), *(_cells(line, fields, _NUMBERS) for line in found)]
    if form == "md":
        return "\n\n".join([_markdown(cells, len(fields)), _omitted(problems)])
    widths = [max(len(row[i]) for row in cells) for i in range(len(cells[0]))]
    return "\n".join(
        "  ".join(
            text.ljust(width) if i < len(fields) else text.rjust(width)
            for i, (text, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in cells
    )


def _titles(names: Sequence[str]) -> list[str]:
    return [_TITLES.get(name, name) for name in names]


def _cells(line: Line, fields: Sequence[str], numbers: Sequence[str]) -> list[str]:
    data = line.to_dict()
    return [*(str(data[name]) for name in fields), *(_number(name, data[name]) for name in numbers)]


def _number(name: str, value: float | None) -> str:
    if value is None:
        return ""
    if name == "rows":
        return f"{value:,}"
    return f"{value:.2f}" if name in _PLAIN else f"{100 * value:.1f} %"


def _markdown(cells: Sequence[Sequence[str]], texts: int) -> str:
    rows = ["| " + " | ".join(row) + " |" for row in cells]
    ruler = "|" + "|".join("---" if i < texts else "---:" for i in range(len(cells[0]))) + "|"
    return "\n".join([rows[0], ruler, *rows[1:]])


def _table(found: Sequence[Line], fields: Sequence[str]) -> str:
    cells = [_titles((*fields, *_PAGE_NUMBERS)), *(_cells(line, fields, _PAGE_NUMBERS) for line in found)]
    return _markdown(cells, len(fields))


def _omitted(problems: Problems) -> str:
    data = problems.to_dict()
    rows = [["table", "reason", "subjects", "rows"]]
    for one in data["omitted"]:
        named = one["subjects"]
        shown = ", ".join(named[:8]) + (f" and {len(named) - 8} more" if len(named) > 8 else "")
        rows.append([one["table"], one["reason"], shown, f"{one['rows']:,}"])
    rows += [[table, f"skipped: {reason}", "", ""] for table, reason in data["skipped"].items()]
    return _markdown([[text.replace("|", "\\|") for text in row] for row in rows], 3)


# ---- the page --------------------------------------------------------------------------------------------------------

_PAGE = """\
# Accuracy

This page compares predictions with published measurements of {devices} devices in {rows} rows. One command makes it:

    {command}

`DIR` is a folder of CSV files; `benchmarks/README.md` describes the command, and the modules of `benchmarks/accuracy/tables`
the meaning of a row of each file. No measurement is part of the package.

| column | meaning |
|---|---|
| MAPE, median | mean and median of \\|predicted / measured - 1\\| |
| bias | geometric mean of predicted / measured: below 1 means too fast |
| spread | geometric standard deviation of predicted / measured: 1.5 means that two thirds of the rows are within a factor of 1.5 of the bias |
| in band | share of rows whose measurement is in the error band of the estimate; the band is meant to hold 80 % |
| roofline | the same for the plain roofline of the data sheet: max(FLOPs / dense peak, bytes / bandwidth), summed over the kernels of an eager run; for power, a board that draws its limit |
| evidence | where the constants of a device come from: `family`, from measurements of its own family; `kind`, from those of other families of its kind, or from data sheets if there are none |

In-sample figures use the constants of the package. Where the evidence is `kind`, no row of the device's family was fitted, so its in-sample
figure is that of a device that was left out.

## Figures to reach

`worst` is the device with the largest mean error. {left_out_text}

{current}

Whole models that somebody published, by kind of device. The target is a bias of {bias[0]} to {bias[1]} and a spread of at most
{spread}, and {bias_out[0]} to {bias_out[1]} and {spread_out} for devices that were left out:

{whole}

## Figures to keep

Errors of the tables and devices that the constants were fitted to. `target` is one point above the error of that fit.

{kept}

## By kind of device and evidence

{kinds}

## By table, device and dtype

{devices_table}

## By operator

Tables of many operators or groups of devices:

{parts}

## Not predicted

{omitted}
"""


def _page(judged: Judged, problems: Problems, command: str, left_out: Mapping[str, Any]) -> str:
    parts: dict[str, set[str]] = {}
    for group in set(judged.groups):
        parts.setdefault(group.table, set()).add(group.part)
    many = {table for table, found in parts.items() if len(found) > _FEW_PARTS}
    by_part = lines(judged, by=("device", "precision", "execution", "part"))
    by_device = lines(judged, by=("device", "precision", "execution"))
    by_device = [line for line in by_device if line.table in many]
    devices = sorted(
        [*(line for line in by_part if line.table not in many), *by_device],
        key=lambda line: (line.table, line.device, line.precision, line.execution, line.part),
    )
    (bias, spread), (bias_out, spread_out) = WHOLE.values()
    outside = {one["name"]: one for one in left_out.get("targets", ())}
    left_out_text = (
        "`left out` predicts each device with constants that were fitted to the others."
        if outside
        else "No run with devices left out (`--leave-one-device-out`) was given to this page."
    )
    return _PAGE.format(
        devices=len({group.device for group in judged.groups}),
        rows=f"{sum(line.errors.rows for line in lines(judged, by=()) if ':' not in line.table):,}",
        command=command,
        left_out_text=left_out_text,
        current=_current(reached(judged, CURRENT), outside),
        whole=_whole(reached(judged, published(judged))),
        kept=_kept(reached(judged, KEPT)),
        bias=bias,
        spread=spread,
        bias_out=bias_out,
        spread_out=spread_out,
        kinds=_table(sorted(lines(judged, by=("kind", "evidence")), key=lambda line: (line.kind, line.table)),
                     ("kind", "table", "evidence")),
        devices_table=_table(devices, ("table", "device", "precision", "execution", "part")),
        parts=_table([line for line in lines(judged, by=("kind", "part")) if line.table in many],
                     ("table", "kind", "part")),
        omitted=_omitted(problems),
    )  # fmt: skip


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
    return _markdown(cells, 1)


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
                _number("bias", numbers.roofline_bias),
                f"{one.worst} {_percent(one.worst_mape)}",
                one.evidence,
            ]
        )
    return _markdown(cells, 1)


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
    return _markdown(cells, 1)
