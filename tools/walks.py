"""Count the files of the package that common calls enter: `python tools/walks.py [WALK ...]`.

A profile hook (`sys.setprofile`) records each Python call into `pyinfercost/`. For each walk it prints the files
entered, the moves (calls from one file of the package to another) and the pair of files with the most calls between
them. Each walk runs once before it is counted, with other values, so that imports are excluded and nothing is cached.
"""

from __future__ import annotations

import gc
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from torch import nn

import pyinfercost as ic

PACKAGE = Path(ic.__file__).parent
Step = Callable[[], object]


class Walk:
    """The files entered by a call, in order, and its moves between them."""

    def __init__(self) -> None:
        self.files: dict[str, None] = {}
        self.moves: Counter[tuple[str, str]] = Counter()

    def run(self, step: Step) -> None:
        """Run a call with the hook installed; what it collects is not of the call."""
        gc.disable()
        sys.setprofile(self._called)
        try:
            step()
        finally:
            sys.setprofile(None)
            gc.enable()

    def _called(self, frame: FrameType, event: str, _: object) -> None:
        if event != "call":
            return
        entered = _file_of(frame)
        if entered is None:
            return
        self.files.setdefault(entered)
        caller = frame.f_back
        while caller is not None and (left := _file_of(caller)) is None:
            caller = caller.f_back
        if caller is not None and left is not None and left != entered:
            self.moves[left, entered] += 1


def _file_of(frame: FrameType) -> str | None:
    path = Path(frame.f_code.co_filename)
    return str(path.relative_to(PACKAGE)) if path.is_relative_to(PACKAGE) else None


class _Small(nn.Module):
    """Two convolutions and a product."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(3, channels, 3), nn.ReLU(), nn.Conv2d(channels, channels, 3))
        self.head = nn.Linear(channels, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.features(x).mean((2, 3)))


def _graph(channels: int) -> ic.Graph:
    return ic.capture(_Small(channels), (torch.zeros(1, 3, 32, 32),), dynamic={0: {0: "batch"}})


def _tracked(channels: int, every: int) -> tuple[nn.Module, ic.CostTracker]:
    model = nn.Sequential(nn.Linear(64, channels), nn.ReLU(), nn.Linear(channels, 10))
    budget = ic.CostBudget(hardware="l4", latency_s=10.0)
    tracker = ic.CostTracker(model, (torch.zeros(8, 64),), hardware="l4", every=every, budgets=budget, sinks=())
    tracker.step()
    return model, tracker


def _changed(channels: int) -> Step:
    model, tracker = _tracked(channels, every=1)
    assert isinstance(model, nn.Sequential)
    model[0] = nn.Sequential(nn.Linear(64, 32), nn.Linear(32, channels))
    return tracker.step


def _to_text(channels: int) -> Step:
    return ic.profile(_graph(channels), hardware="l4").to_text


def _estimated(channels: int) -> Step:
    graph, machine = _graph(channels), "t4" if channels == _OTHER else "l4"
    return lambda: ic.estimate(graph, hardware=machine, price="on-demand", batch=8)


def _swept(channels: int) -> Step:
    graph, machine = _graph(channels), "t4" if channels == _OTHER else "l4"
    return lambda: ic.sweep(graph, hardware=machine, price="on-demand", batch=[8])["cost_usd"]


def _counted(channels: int) -> Step:
    graph = _graph(channels)
    return lambda: ic.count(graph, batch=8).total.flops


_OTHER, _MEASURED = 24, 16
WALKS: dict[str, Callable[[int], Step]] = {
    "module -> graph": lambda channels: lambda: _graph(channels),
    "graph -> FLOPs": _counted,
    "priced estimate": _estimated,
    "one priced sweep point": _swept,
    "profile.to_text()": _to_text,
    "tracker.step(), silent": lambda channels: _tracked(channels, every=1000)[1].step,
    "tracker.step(), with record": lambda channels: _tracked(channels, every=1)[1].step,
    "tracker.step(), after a structure change": _changed,
}


def walk(name: str) -> Walk:
    """Run one of `WALKS` and return its files and moves."""
    make = WALKS[name]
    make(_OTHER)()
    found = Walk()
    found.run(make(_MEASURED))
    return found


def main(names: list[str]) -> None:
    """Print the walks of these names; all by default."""
    lines: list[tuple[Any, ...]] = [("walk", "files", "moves", "most often")]
    for name in names or WALKS:
        found = walk(name)
        often = found.moves.most_common(1)
        most = f"{often[0][0][0]} -> {often[0][0][1]} {often[0][1]}" if often else ""
        lines.append((name, len(found.files), found.moves.total(), most))
        lines += [("  " + file, "", "", "") for file in found.files]
    for name, files, moves, most in lines:
        sys.stdout.write(f"{name:48}{files!s:>6}{moves!s:>7}  {most}".rstrip() + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
