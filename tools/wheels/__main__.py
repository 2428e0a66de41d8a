"""Build, repair, check and run manylinux wheels: `nox -s wheels`, or `nox -s wheels -- cp313 aarch64 --no-run`.

All that it needs are packages of Debian and of PyPI: headers and interpreters of Debian's suites, a compiler (ziglang),
CMake and auditwheel. The folder build/wheels keeps them for the next run.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import time
from pathlib import Path

from .building import build
from .checking import check, repair
from .running import Environment, run
from .targets import chosen

ROOT = Path(__file__).parents[2]


def main() -> None:
    """Build the wheels that the arguments name."""
    parser = argparse.ArgumentParser(prog="nox -s wheels --", description=__doc__.partition("\n\n")[0])
    parser.add_argument("targets", nargs="*", help="cp311, cp314t, aarch64, ...; default: all")
    parser.add_argument("--dist", type=Path, default=ROOT / "dist", help="folder for the wheels")
    parser.add_argument("--no-run", action="store_true", help="do not run the wheels")
    parser.add_argument("--graphs", type=Path, help="folder of stored graphs whose figures have to be equal")
    arguments = parser.parse_args()
    work = ROOT / "build" / "wheels"
    lines, figures = [], {}
    for target in chosen(arguments.targets):
        start_s, start_cpu_s = time.monotonic(), _children_cpu_s()
        built = build(target, ROOT, work)
        took = f"built in {time.monotonic() - start_s:.0f} s with {_children_cpu_s() - start_cpu_s:.0f} s of processors"
        wheel = repair(built, arguments.dist.resolve())
        words = [check(target, wheel), took]
        if arguments.no_run or target.python.free_threaded:
            words.append("not run")  # no Debian suite has a free-threaded interpreter
        else:
            environment = Environment(target, wheel, work)
            tests, printed = run(environment, ROOT / "tests/test_minimal.py", arguments.graphs, work / "scratch")
            figures[target] = printed
            words += [tests, f"figures {hashlib.sha256(printed.encode()).hexdigest()[:12]} ({len(printed):,} bytes)"]
        lines.append(f"{wheel.name}: {', '.join(words)}")
        print(lines[-1], flush=True)  # noqa: T201
    if len(set(figures.values())) > 1:
        raise SystemExit("the figures of the wheels differ:\n" + "\n".join(lines))


def _children_cpu_s() -> float:
    """Processor time of all processes that this one has waited for. Others on the machine hardly change it."""
    times = os.times()
    return times.children_user + times.children_system


if __name__ == "__main__":
    main()
