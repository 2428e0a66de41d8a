"""Comparison of all installed counters with ours, on models and modules with known multiply-accumulates.

    python -m benchmarks.counts [--only small|models] [--format table|md]

A cell is the counted figure divided by the known one: 1 is right, 0 is not counted at all. Missing counters are named;
`pip install fvcore torchprofile calflops ptflops thop torchinfo deepspeed` installs all of them. Each count runs in a
separate process, because several counters leave torch or the module changed.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
from collections.abc import Callable, Mapping
from functools import partial

import torch

from . import counters, known

_LIMIT_S = 300
_MANY = 100
_CLOSE = 1e-4


def main() -> None:
    """Run the comparison and print it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=["small", "models"])
    parser.add_argument("--format", choices=["table", "md"], default="table")
    arguments = parser.parse_args()
    os.environ["HF_HUB_OFFLINE"] = "1"
    torch.set_num_threads(1)  # a forked process has none of its parent's threads
    names = counters.installed()
    missing = [name for name in counters.COUNTERS if name not in names]
    if missing:
        print(f"not installed: {', '.join(missing)}")
    if arguments.only != "models":
        show("modules: counted / known", known.small(), names, arguments.format)
    if arguments.only != "small":
        models = {name: partial(known.model, name) for name in known.MODELS}
        show("models: counted / known", models, names, arguments.format)


def show(title: str, builders: Mapping[str, Callable[[], known.Known]], names: list[str], layout: str) -> None:
    """Count each row with each counter and print the table, in Markdown row by row."""
    header = ["", "known MAC", *names]
    if layout == "md":
        print(f"\n{title}\n")
        for row in (header, ["---"] * len(header)):
            print("| " + " | ".join(row) + " |")
        for label, build in builders.items():
            print("| " + " | ".join([label, *_row(build, names)]) + " |", flush=True)
        return
    from rich.console import Console
    from rich.progress import track
    from rich.table import Table

    table = Table(*header, title=title)
    for label, build in track(builders.items(), description=title):
        table.add_row(label, *_row(build, names))
    Console().print(table)


def _row(build: Callable[[], known.Known], names: list[str]) -> list[str]:
    case = build()
    macs = _apart(case.macs)
    if isinstance(macs, str):
        return ["unknown", *[macs] * len(names)]
    counted = [_apart(partial(counters.count, name, case.module, case.args)) for name in names]
    return [f"{macs:,.0f}", *[_cell(value, macs) for value in counted]]


def _cell(counted: float | str, macs: float) -> str:
    if isinstance(counted, str):
        return counted
    if not macs:
        return "right" if counted == macs else f"{counted:,.0f}"
    ratio = counted / macs
    if counted == macs:
        return "1"
    if abs(ratio - 1) < _CLOSE:
        return f"{ratio:.7f}"
    return f"{ratio:.0f}" if ratio >= _MANY else f"{ratio:.4g}"


def _apart(work: Callable[[], float]) -> float | str:
    """Return the result of a function run in a forked process, or a word for its failure.

    With a fork, a module is built once.
    """
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)

    def run() -> None:
        try:
            sender.send(work())
        except BaseException as error:
            sender.send(f"fails ({type(error).__name__})")

    process = context.Process(target=run)
    process.start()
    sender.close()
    result: float | str = "no answer"
    try:
        if receiver.poll(_LIMIT_S):
            result = receiver.recv()
    except EOFError:
        result = "crash"
    process.kill()
    process.join()
    return result


if __name__ == "__main__":
    main()
