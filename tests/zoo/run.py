"""Run the zoo: every public model of torchvision, timm, transformers and diffusers is captured, counted and checked.

`python tests/zoo/run.py` compares with `tests/golden/zoo.json` and exits with 1 after a difference or a failure;
`--write` rewrites that file and `docs/coverage.md`, whose diff is then reviewed.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from fnmatch import fnmatch
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
# No case may depend on a model hub, and workers share the machine.
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ.setdefault("OMP_NUM_THREADS", "1")

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table
from zoo import coverage_page, golden_file
from zoo.check import Outcome
from zoo.families import FAMILIES, families
from zoo.workers import Job, run

sys.stdout.reconfigure(line_buffering=True)  # so that a log file can be followed
CONSOLE = Console()


@click.command()
@click.option("--library", "libraries", multiple=True, type=click.Choice(sorted(set(FAMILIES.values()))))
@click.option("--only", metavar="PATTERN", help="Cases whose name has this in it, or matches it with * and ?.")
@click.option("--sample", type=click.IntRange(1), help="So many cases per library, evenly spread over the list.")
@click.option("--jobs", default=2, show_default=True, type=click.IntRange(1), help="Worker processes.")
@click.option("--limit", default=180.0, show_default=True, help="Seconds that one case may take.")
@click.option("--write", is_flag=True, help="Rewrite the golden file and the coverage page.")
def main(
    libraries: tuple[str, ...], only: str | None, sample: int | None, jobs: int, limit: float, write: bool
) -> None:
    """Capture, count and check the models of the zoo."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C does
    chosen, missing, whole = _chosen(libraries, only, sample)
    for text in missing:
        CONSOLE.print(f"[yellow]not here:[/] {text}")
    if not chosen:
        raise click.ClickException("no case is left to run")
    began = time.monotonic()
    outcomes = _run(chosen, jobs, limit)
    records = {
        outcome.case: {"group": outcome.group, **outcome.record} for outcome in outcomes.values() if outcome.record
    }
    stored_versions, stored = golden_file.read()
    wrong = {case: list(outcome.failures) for case, outcome in outcomes.items()}
    if write:
        # What no longer exists goes; what was not run stays, and so does what failed before it was counted.
        finished = len(outcomes) == len(chosen)
        gone = {case for case in stored if finished and case.partition(":")[0] in whole and case not in outcomes}
        merged = {case: record for case, record in stored.items() if case not in gone} | records
        golden_file.write(merged)
        coverage_page.write(golden_file.versions(), merged)
        CONSOLE.print(f"wrote {golden_file.PATH.name} and {coverage_page.PATH.name}: {len(merged)} cases")
    else:
        for case, record in records.items():
            if golden_file.same_release(case.partition(":")[0], stored_versions):
                wrong[case] += [f"golden: {text}" for text in golden_file.differences(case, record, stored)]
        if stored_versions != golden_file.versions():
            CONSOLE.print(
                f"[yellow]the golden file was written with {stored_versions}, here are {golden_file.versions()}: "
                "what belongs to another release is not compared"
            )
    CONSOLE.print(_table(outcomes, wrong))
    for case, texts in sorted(wrong.items()):
        for text in texts:
            CONSOLE.print(f"[red]{case}[/]: {text}", highlight=False, soft_wrap=True)
    failed = sum(bool(texts) for texts in wrong.values())
    CONSOLE.print(f"{len(outcomes)} cases, {failed} failed, {time.monotonic() - began:.0f} s")
    sys.exit(1 if failed else 0)


def _chosen(
    libraries: tuple[str, ...], only: str | None, sample: int | None
) -> tuple[list[tuple[Job, str]], list[str], set[str]]:
    """Return the cases to run, the missing files, and the libraries that are run completely."""
    found, missing = families(libraries), []
    chosen: list[tuple[Job, str]] = []
    whole = {library for library in FAMILIES.values() if not libraries or library in libraries}
    for family in found:
        names = list(family.cases)
        if family.missing:
            missing.append(f"{family.name}: {family.missing}")
            whole.discard(FAMILIES[family.name])
        if only:
            names = [name for name in names if only in name or fnmatch(name, only)]
        if sample:
            names = golden_file.spread(names, sample)
        chosen += [((family.name, name), family.cases[name].group) for name in names]
    return chosen, missing, set() if only or sample else whole


def _run(chosen: list[tuple[Job, str]], jobs: int, limit: float) -> dict[str, Outcome]:
    outcomes: dict[str, Outcome] = {}
    failed = 0
    # Of the failures met on the way, the first line of each: all of them stand below the table.
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("[red]{task.fields[failed]} failed"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=CONSOLE) as progress:
        task = progress.add_task("models", total=len(chosen), failed=0)
        try:
            for outcome in run(chosen, jobs, limit):
                outcomes[outcome.case] = outcome
                if outcome.failures:
                    failed += 1
                    progress.console.print(
                        f"[red]{outcome.case}[/]: {outcome.failures[0][:200]}", highlight=False, soft_wrap=True
                    )
                progress.update(task, advance=1, failed=failed)
                if not CONSOLE.is_terminal and len(outcomes) % 100 == 0:
                    CONSOLE.print(f"{len(outcomes)} of {len(chosen)}, {failed} failed")
        except KeyboardInterrupt:
            CONSOLE.print("[yellow]interrupted: what is done counts, and with --write it is written")
    return outcomes


def _table(outcomes: dict[str, Outcome], wrong: dict[str, list[str]]) -> Table:
    table = Table("library", "group", title="The zoo")
    for name in ("models", "captured", "unmodelled ops", "failures", "seconds"):
        table.add_column(name, justify="right")
    groups = sorted({(outcome.library, outcome.group) for outcome in outcomes.values()})
    for library, group in groups:
        mine = [outcome for outcome in outcomes.values() if (outcome.library, outcome.group) == (library, group)]
        ops = {op for outcome in mine for op in outcome.record.get("unmodelled", {})}
        captured = sum("nodes" in outcome.record for outcome in mine)
        failures = sum(bool(wrong[outcome.case]) for outcome in mine)
        seconds = f"{sum(outcome.seconds for outcome in mine):.1f}"
        table.add_row(library, group, str(len(mine)), str(captured), ", ".join(ops) or "none", str(failures), seconds)
    return table


if __name__ == "__main__":
    main()
