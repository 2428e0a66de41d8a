"""Pages of documentation that are run: every command on them, and every figure below it.

A ```console block has commands, each after `$ ` and with its output below; a ```pycon block has statements after `>>> `
and `... `. `python tests/pages.py docs/cost.md` runs a page and writes what came out in the place of what stands there.
The page names the day and the versions that its figures are of, in a comment `<!-- of 2026-11-25; torch 2.13.0 -->`;
with `; nearly` at its end figures may differ by a few percent, as what torch computes does between processors.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import os
import re
import shlex
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from importlib.metadata import version
from pathlib import Path
from unittest import mock

from click.testing import CliRunner

from pyinfercost.cli import main
from pyinfercost.cli.output import LIMIT_BROKEN

FENCE = re.compile(r"^```(console|pycon)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_MADE = re.compile(r"<!-- of (\d{4}-\d\d-\d\d); (.*?)(; nearly)? -->")
_OFFERS = importlib.import_module("pyinfercost.money.offers")  # the package has a function of that name
_PROMPTS = {"console": "$ ", "pycon": ">>> "}


@dataclass
class Step:
    """A command or a statement as it stands on a page, and what stands below it."""

    kind: str
    lines: list[str]
    shown: str

    @property
    def source(self) -> str:
        """What is run."""
        if self.kind == "pycon":
            return "\n".join(line[4:] for line in self.lines) + "\n"
        return " ".join(line.removesuffix("\\").strip() for line in [self.lines[0][2:], *self.lines[1:]])


def steps_of(kind: str, text: str) -> Iterator[Step]:
    """The steps of a block. A command goes on after a backslash, a statement behind `... `."""
    step: Step | None = None
    for line in text.splitlines():
        goes_on = step is not None and not step.shown
        if line.startswith(_PROMPTS[kind]):
            if step is not None:
                yield step
            step = Step(kind, [line], "")
        elif step is None:
            raise ValueError(f"a block begins with {line!r}; expected a line that begins with {_PROMPTS[kind]!r}")
        elif goes_on and (step.lines[-1].endswith("\\") if kind == "console" else line.startswith("...")):
            step.lines.append(line)
        else:
            step.shown += line + "\n"
    if step is not None:
        yield step


def run(step: Step, names: dict[str, object]) -> str:
    """What a step prints: a command to stdout, a statement as an interpreter shows it."""
    if step.kind == "pycon":
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            exec(compile(step.source, "<page>", "single"), names)
        return out.getvalue()
    words = shlex.split(step.source)
    if words[0] != "pyinfercost":
        raise ValueError(f"a page runs pyinfercost alone, got {step.source!r}")
    result = CliRunner(env={"COLUMNS": "100"}).invoke(main, words[1:], catch_exceptions=False)
    if result.exit_code not in (0, LIMIT_BROKEN):  # a limit that is broken is an answer, too
        raise RuntimeError(f"{step.source!r} ends with {result.exit_code}: {result.stderr}")
    return "".join(f"{line.rstrip()}\n" for line in result.stdout.splitlines())


def run_page(text: str) -> Iterator[tuple[Step, str]]:
    """Each step of a page in order, in an empty folder, on the page's day; and what came of it."""
    made = _MADE.search(text)
    if made is None:
        raise ValueError("the page does not say what day and versions its figures are of")
    names: dict[str, object] = {}
    here = Path.cwd()
    with tempfile.TemporaryDirectory() as folder, mock.patch.object(_OFFERS, "date") as day:
        day.today.return_value = date.fromisoformat(made[1])
        os.chdir(folder)
        try:
            for block in FENCE.finditer(text):
                for step in steps_of(block[1], block[2]):
                    yield step, run(step, names)
        finally:
            os.chdir(here)


def differences(text: str) -> list[str]:
    """Steps of a page whose output is not what stands there; nearly is enough with other versions than the page's."""
    made = _MADE.search(text)
    exact = (
        made is not None
        and made[3] is None
        and all(
            version(name).partition("+")[0] == wanted for name, wanted in (pair.split() for pair in made[2].split(", "))
        )
    )
    wrong = []
    for step, printed in run_page(text):
        if printed != step.shown and (exact or not _nearly(printed, step.shown)):
            wrong.append(f"{step.source}\n--- on the page\n{step.shown}--- now\n{printed}")
    return wrong


_NUMBER = re.compile(r"\d[\d,]*\.?\d*(?:e[+-]?\d+)?")
_TOLERANCE = 0.05
_SMALL = 0.002  # what rounding in another order does to a share


def _nearly(one: str, other: str) -> bool:
    """Whether two texts have the same words, and numbers that are within a few percent of each other."""
    words = [_NUMBER.sub("", text).split() for text in (one, other)]
    numbers = [[float(number.replace(",", "")) for number in _NUMBER.findall(text)] for text in (one, other)]
    return words[0] == words[1] and all(
        abs(a - b) <= max(_SMALL, _TOLERANCE * max(abs(a), abs(b))) for a, b in zip(*numbers, strict=True)
    )


def written(text: str) -> str:
    """The page with what its steps print now."""
    outputs = iter([printed for _, printed in run_page(text)])
    steps = iter([step for block in FENCE.finditer(text) for step in steps_of(block[1], block[2])])

    def block(match: re.Match[str]) -> str:
        lines = []
        for _ in steps_of(match[1], match[2]):
            lines += [*next(steps).lines, *next(outputs).splitlines()]
        return f"```{match[1]}\n" + "\n".join(lines) + "\n```"

    return FENCE.sub(block, text)


if __name__ == "__main__":
    for name in sys.argv[1:]:
        page = Path(name)
        page.write_text(written(page.read_text(encoding="utf-8")), encoding="utf-8")
