"""Shared configuration of benchmarks: collection, the mark of long ones, and the summary of ratios."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

# Last, so that an installed wheel of the package wins over the sources beside the benchmarks.
sys.path.append(str(Path(__file__).parents[1]))
os.environ["HF_HUB_OFFLINE"] = "1"

from .interleaved import LINES, NOTES


def pytest_configure(config: pytest.Config) -> None:
    """Make `pytest benchmarks` collect the functions bench_* in files bench_*.py."""
    config.addinivalue_line("python_files", "bench_*.py")
    config.addinivalue_line("python_functions", "bench_")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print all comparisons of the run."""
    if not (LINES or NOTES):
        return
    terminalreporter.section("ratios: ours / peer, medians of pairs taken by turns (quartiles)")
    for line in LINES:
        text = f"{line.title:<44} {line.ours_s:>9.4f} s"
        if line.peer:
            low, high = line.quartiles
            text += f"  {line.ratio:>7.3g} ({low:.3g} .. {high:.3g}) of {line.peer}, {line.peer_s:.4f} s"
            text += f", {line.pairs} pairs"
        if line.target:
            text += f"  [target {line.target}: {'met' if line.met else 'MISSED'}]"
        terminalreporter.write_line(text)
    for note in NOTES:
        terminalreporter.write_line(note)
