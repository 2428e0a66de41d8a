"""Errors of estimates compared with measurements.

    python -m benchmarks.accuracy --measured DIR [--table T ...] [--leave-one-device-out] [--format table|json|md|page]
                                  [--calibration FOLDER] [--cache DIR] [--sample N] [--models N] [--left-out FILE]
                                  [--rows FILE.csv]

DIR holds tables of measurements in one schema (`gemm.csv`, `models_vision.csv`, ...); each row is predicted from the
catalog only. There is one line per table, device, software, precision and execution, with the number of rows, the mean,
median and 90th percentile of |predicted / measured - 1|, the geometric mean and the geometric standard deviation of
predicted / measured, the rank correlation, the share of rows inside the error band, and the errors of the plain
roofline of the same kernels. `--format page` writes `docs/accuracy.md`. Rows without a prediction are counted with the
reason, on stderr and in all formats except `table`. `--rows` writes the rows of one table with their predictions. Whole
models are captured once and cached.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from . import judge as judging
from .captures import Capturing, default_cache
from .figures import Judged
from .leaving_out import constants_without
from .machines import load_machines
from .measured import MeasuredError, Problems
from .page import page
from .report import rendered, write_rows

_INTERRUPTED = 130


def main(arguments: list[str] | None = None) -> int:
    """Run, print, and return the exit code: 2 for invalid input, 130 after Ctrl-C."""
    options = _parser().parse_args(arguments)
    problems, code = Problems(), 0
    found: list[Judged] = []
    left_out: dict[str, Any] = {}
    try:
        if not options.measured.is_dir():
            raise MeasuredError(f"{options.measured} is not a folder")
        if options.rows is not None and len(options.table) != 1:
            raise MeasuredError(f"--rows needs one --table, whose columns it writes; got {len(options.table)} tables")
        if options.left_out is not None:
            left_out = _document(options.left_out)
        _judge(options, problems, found)
    except MeasuredError as error:
        print(f"error: {error}", file=sys.stderr)
        code = 2
    except KeyboardInterrupt:
        print("stopped; the finished tables follow", file=sys.stderr)
        code = _INTERRUPTED
    for line in problems.lines():
        print(line, file=sys.stderr)
    if found or code == 0:
        judged = Judged.joined(found)
        if options.format == "page":
            print(page(judged, problems, command=_command(options), left_out=left_out))
        else:
            print(rendered(judged, problems, options.format))
    return code


def _document(path: Path) -> dict[str, Any]:
    """Read the JSON of an earlier run."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise MeasuredError(f"{path} is not the JSON of a run ({error})") from None
    if not isinstance(document, dict) or "targets" not in document:
        raise MeasuredError(f"{path} is not the JSON of a run; expected the output of --format json")
    return document


def _command(options: argparse.Namespace) -> str:
    """Return the command of a page, with the options that change its figures."""
    words = ["python -m benchmarks.accuracy --measured DIR"]
    words += [f"--table {name}" for name in options.table]
    words += [f"--{name} {value}" for name in ("sample", "models") if (value := getattr(options, name))]
    words += ["--left-out left_out.json"] if options.left_out else []
    words += ["--calibration FOLDER"] if options.calibration else []
    words += ["--leave-one-device-out"] if options.leave_one_device_out else []
    return " ".join([*words, "--format page > docs/accuracy.md"])


def _judge(options: argparse.Namespace, problems: Problems, found: list[Judged]) -> None:
    tables = judging.read_tables(options.measured, options.table, problems)

    def constants(device: str) -> Path | None:
        if not options.leave_one_device_out:
            folder: Path | None = options.calibration
            return folder
        print(f"constants without {device}", file=sys.stderr)
        return constants_without(device, options.measured, options.cache)

    machines = load_machines(tables, constants, problems)
    progress = _bar if sys.stderr.isatty() else _dots
    capturing = Capturing(options.cache / "graphs", options.workers, progress)
    for table, judged in judging.judge(tables, machines, capturing, options.sample, options.models):
        found.append(judged)
        if options.rows is not None:
            write_rows(options.rows, table, judged)


def _bar(done: int, total: int) -> None:
    width = 40
    filled = width * done // max(total, 1)
    end = "\n" if done == total else ""
    print(f"\rcapturing [{'#' * filled}{'.' * (width - filled)}] {done}/{total}", end=end, file=sys.stderr, flush=True)


def _dots(done: int, total: int) -> None:
    """Print a line occasionally, if stderr is a file."""
    if done == total or done % 100 == 0:
        print(f"captured {done} of {total}", file=sys.stderr, flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.accuracy",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--measured", type=Path, required=True, metavar="DIR", help="folder of measurements")
    parser.add_argument("--table", action="append", default=[], metavar="T", help="stem of a table; repeatable")
    source = parser.add_mutually_exclusive_group()
    source.add_argument(
        "--leave-one-device-out",
        action="store_true",
        help="predict each device with constants fitted on the others",
    )
    source.add_argument("--calibration", type=Path, metavar="FOLDER", help="calibration files to predict with")
    parser.add_argument("--format", choices=["table", "json", "md", "page"], default="table")
    parser.add_argument(
        "--cache",
        type=Path,
        default=default_cache(),
        metavar="DIR",
        help="folder for graphs (default: %(default)s)",
    )
    parser.add_argument("--sample", type=_positive, metavar="N", help="only N models, or N rows of each group")
    parser.add_argument("--models", type=_positive, metavar="N", help="only N models of tables of whole models")
    parser.add_argument(
        "--left-out", type=Path, metavar="FILE", help="JSON of --leave-one-device-out, shown beside on the page"
    )
    parser.add_argument("--rows", type=Path, metavar="FILE.csv", help="write each row of one table with its prediction")
    parser.add_argument("--workers", type=_positive, default=2, help="capturing processes (default: %(default)s)")
    return parser


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"expected at least 1, got {value}")
    return value


if __name__ == "__main__":
    sys.exit(main())
