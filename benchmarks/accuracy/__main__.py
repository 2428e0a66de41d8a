"""How far estimates lie from measurements.

    python -m benchmarks.accuracy --measured DIR [--table T ...] [--leave-one-device-out] [--format table|json|md]
                                  [--calibration FOLDER] [--cache DIR] [--sample N]

DIR holds tables of measurements in one schema (`gemm.csv`, `models_vision.csv`, ...); each row is predicted from the
catalogue alone. One line for each table, device, software, precision and execution: how many rows, the mean, median
and 90th percentile of |predicted / measured - 1|, the geometric mean of predicted / measured, the rank correlation,
the share of rows inside the error band, and the errors of the plain roofline of the same kernels. What is left out is
named on stderr. Whole models are captured once and kept in the cache.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from . import judge as judging
from .captures import Capturing, default_cache
from .figures import Line
from .leaving_out import constants_without
from .machines import load_machines
from .measured import MeasuredError, Problems
from .report import rendered

_INTERRUPTED = 130


def main(arguments: list[str] | None = None) -> int:
    """Runs, prints, and returns the exit code: 2 for what cannot be judged, 130 after Ctrl-C."""
    options = _parser().parse_args(arguments)
    problems, code = Problems(), 0
    found: list[Line] = []
    try:
        if not options.measured.is_dir():
            raise MeasuredError(f"{options.measured} is no folder")
        _judge(options, problems, found)
    except MeasuredError as error:
        print(f"error: {error}", file=sys.stderr)
        code = 2
    except KeyboardInterrupt:
        print("stopped; what follows are the tables that were finished", file=sys.stderr)
        code = _INTERRUPTED
    for line in problems.lines():
        print(line, file=sys.stderr)
    if found or code == 0:
        print(rendered(found, options.format))
    return code


def _judge(options: argparse.Namespace, problems: Problems, found: list[Line]) -> None:
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
    for lines in judging.judge(tables, machines, capturing, options.sample):
        found.extend(lines)


def _bar(done: int, total: int) -> None:
    width = 40
    filled = width * done // max(total, 1)
    end = "\n" if done == total else ""
    print(f"\rcapturing [{'#' * filled}{'.' * (width - filled)}] {done}/{total}", end=end, file=sys.stderr, flush=True)


def _dots(done: int, total: int) -> None:
    """A line now and then where stderr is a file."""
    if done == total or done % 100 == 0:
        print(f"captured {done} of {total}", file=sys.stderr, flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.accuracy",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--measured", type=Path, required=True, metavar="DIR", help="a folder of measurements")
    parser.add_argument("--table", action="append", default=[], metavar="T", help="stem of a table; may be repeated")
    source = parser.add_mutually_exclusive_group()
    source.add_argument(
        "--leave-one-device-out",
        action="store_true",
        help="predict each device with constants that were fitted on the others",
    )
    source.add_argument("--calibration", type=Path, metavar="FOLDER", help="calibration files to predict with")
    parser.add_argument("--format", choices=["table", "json", "md"], default="table")
    parser.add_argument(
        "--cache",
        type=Path,
        default=default_cache(),
        metavar="DIR",
        help="where graphs are kept (default: %(default)s)",
    )
    parser.add_argument("--sample", type=_positive, metavar="N", help="only N models, or N rows of each group")
    parser.add_argument("--workers", type=_positive, default=2, help="processes that capture (default: %(default)s)")
    return parser


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"expected at least 1, got {value}")
    return value


if __name__ == "__main__":
    sys.exit(main())
