"""Runs the fuzzer: `python tests/fuzz/run.py --inputs 10000`, which `nox -s fuzz -- --inputs 10000` calls.

The exit code is 1 if an input failed. docs/reliability.md describes what counts as a failure.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from importlib import import_module
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
# Worker processes share the machine, and no input may reach a model hub.
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ.setdefault("OMP_NUM_THREADS", "1")

import click
from fuzz import failures
from fuzz.report import sanitized, table, write_summary
from fuzz.runner import Run, prepared
from fuzz.worker import Limits, Worker

sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]  # so that a log file can be followed

_DEFAULT_S = 60.0
_SLOWER = 5  # times that a sanitizer slows the core down, with a margin


@click.command()
@click.option("--inputs", type=click.IntRange(1), help="Inputs, over all doors by their shares.")
@click.option("--each", type=click.IntRange(1), help="Inputs of each door; fewer of doors with a share below 10,000.")
@click.option("--seconds", type=click.FloatRange(0, min_open=True), help="Seconds to run; 60 without --inputs.")
@click.option("--door", "names", multiple=True, help="A door to run; may be repeated. All by default.")
@click.option("--seed", default=0, show_default=True, help="Seed of all inputs.")
@click.option("--jobs", default=1, show_default=True, type=click.IntRange(1), help="Worker processes.")
@click.option("--summary", type=click.Path(dir_okay=False, path_type=Path), help="Write counts by door as JSON.")
@click.option("--replay", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Run one failing input.")
@click.option(
    "--keep",
    type=click.Path(file_okay=False, path_type=Path),
    default=failures.FOLDER,
    help="Folder of failing inputs.",
)
@click.option("--shrink-seconds", default=20.0, show_default=True, help="Seconds to shrink one failing input.")
@click.option("--cpu-seconds", default=2.0, show_default=True, help="Processor time that one input may take.")
@click.option("--wall-seconds", default=60.0, show_default=True, help="Time that one input may take.")
@click.option("--table", "module", default="fuzz.doors", show_default=True, help="Module whose TABLE lists the doors.")
def main(
    inputs: int | None,
    each: int | None,
    seconds: float | None,
    names: tuple[str, ...],
    seed: int,
    jobs: int,
    summary: Path | None,
    replay: Path | None,
    keep: Path,
    shrink_seconds: float,
    cpu_seconds: float,
    wall_seconds: float,
    module: str,
) -> None:
    """Give mutated inputs to all functions that take untrusted data; report crashes, hangs and wrong figures."""
    rows: dict[str, str] = import_module(module).TABLE
    unknown = sorted(set(names) - set(rows))
    if unknown:
        raise click.UsageError(f"no door {', '.join(unknown)}; expected some of {', '.join(rows)}")
    slower = _SLOWER if sanitized() else 1
    limits = Limits(cpu_s=cpu_seconds * slower, wall_s=wall_seconds * slower, address_space=not sanitized())
    if replay is not None:
        sys.exit(_replay(rows, replay, limits))
    if inputs is None and each is None and seconds is None:
        seconds = _DEFAULT_S
    began = time.monotonic()
    doors = prepared({name: path for name, path in rows.items() if name in (names or rows)})
    click.echo(f"{len(doors)} doors ready after {time.monotonic() - began:.1f} s; seed {seed}")
    run = Run(
        doors,
        seed=seed,
        inputs=inputs,
        each=each,
        seconds=seconds,
        jobs=jobs,
        limits=limits,
        keep=keep,
        shrink_s=shrink_seconds,
        say=click.echo,
    )
    began = time.monotonic()
    try:
        run.run()
    except KeyboardInterrupt:
        click.echo("interrupted")
    wall_s = time.monotonic() - began
    run.shrink_failures()
    click.echo(f"\n{table(run)}")
    if summary is not None:
        write_summary(summary, run, wall_s)
    sys.exit(1 if run.failures else 0)


def _replay(rows: dict[str, str], path: Path, limits: Limits) -> int:
    failure = failures.read(path)
    doors = prepared({failure.door: rows[failure.door]})
    worker = Worker(doors, failure.seed, limits)
    try:
        outcome = worker.outcome(failure.door, failure.value)
    finally:
        worker.end()
    click.echo(f"{failure.door}: {failure.value!r}\n\n{outcome.kind}: {outcome.what}\n{outcome.text}")
    return 1 if outcome.failed else 0


if __name__ == "__main__":
    for number in (signal.SIGINT, signal.SIGTERM):  # a shell lets what it starts in the background ignore Ctrl-C
        signal.signal(number, signal.default_int_handler)
    main()
