"""Ask all doors the same questions at many random points: `python tests/agreement/run.py --points 5000`."""

from __future__ import annotations

import random
import sys
import time
import warnings
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import click
from agreement.doors import disagreements
from agreement.points import point_of


def asked(seed: int) -> tuple[int, list[str]]:
    """Return what is wrong at the point of a seed."""
    warnings.simplefilter("ignore")  # such as of tokens beyond the positions of a model
    return seed, list(disagreements(point_of(seed)))


@click.command()
@click.option("--points", default=5000, show_default=True, type=click.IntRange(1), help="How many points.")
@click.option("--seed", type=int, help="Repeat one point.")
@click.option("--first", type=int, help="Draw the points from this number, to repeat a run.")
@click.option("--jobs", default=2, show_default=True, type=click.IntRange(1), help="Worker processes.")
def main(points: int, seed: int | None, first: int | None, jobs: int) -> None:
    """Ask all doors the same questions, and exit with 1 if two answer otherwise or a law does not hold."""
    first = time.time_ns() % 10**9 if first is None else first
    seeds = [seed] if seed is not None else random.Random(first).sample(range(10**9), points)
    began, wrong = time.monotonic(), 0
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as workers:
        for number, texts in workers.map(asked, seeds, chunksize=20):
            if texts:
                wrong += 1
                click.echo(f"seed {number}: {point_of(number)}\n  " + "\n  ".join(texts))
    click.echo(f"{len(seeds):,} points from {first}, {wrong:,} wrong, {time.monotonic() - began:.0f} s")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
