"""Tests of documentation pages: every command and every snippet is run, and every shown output is compared.

A ```console block has commands, each after `$ ` and followed by its output, in which a line `...` omits a part. A
```pycon block has statements after `>>> ` and `... `. A ```python block is run as a whole; if the comment after an
expression begins with a literal (`len(grid)  # 13824; points`), that is its value. Blocks of a page share their names.
A comment `<!-- setup: NAME -->` before a block first adds the names of a function in `doc_page_setups.py`; after
`<!-- file: NAME -->` a block is not run but is the content of a file.
`python tests/support/doc_pages.py docs/cost.md` runs a page and replaces the shown output.
A page states the day and the versions of its figures in a comment `<!-- of 2026-11-25; torch 2.13.0 -->`; with
`; nearly` at its end, figures may differ by a few percent, as torch's results do between processors.
"""

from __future__ import annotations

import ast
import contextlib
import functools
import importlib
import io
import multiprocessing
import operator
import os
import re
import shlex
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date
from importlib.metadata import version
from pathlib import Path
from unittest import mock

sys.path.insert(0, str(Path(__file__).parents[1]))  # when run as a script

from click.testing import CliRunner
from support import doc_page_setups as page_setups

from pyinfercost.cli import main
from pyinfercost.cli.output import LIMIT_BROKEN
from pyinfercost.deployment import prices

FENCE = re.compile(
    r"(?:^<!-- (?:setup: (?P<setup>\w+)|file: (?P<file>\S+)) -->\n)?"
    r"^```(?P<kind>console|pycon|python|toml)\n(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
_MADE = re.compile(r"<!-- of (\d{4}-\d\d-\d\d); (.*?)(; nearly)? -->")
_PROMPTS = {"console": "$ ", "pycon": ">>> "}


@dataclass
class Step:
    """A command or a statement on a page with its shown output, or a whole block of Python."""

    kind: str
    lines: list[str]
    shown: str

    @property
    def source(self) -> str:
        """The code to run."""
        if self.kind == "python":
            return "\n".join(self.lines) + "\n"
        if self.kind == "pycon":
            return "\n".join(line[4:] for line in self.lines) + "\n"
        return " ".join(line.removesuffix("\\").strip() for line in [self.lines[0][2:], *self.lines[1:]])


def steps_of(kind: str, text: str) -> Iterator[Step]:
    """Yield the steps of a block. A command continues after a backslash, a statement after `... `."""
    step: Step | None = None
    if kind == "python":
        lines = text.splitlines()
        yield Step(kind, lines, "".join(f"{line}: {literal}\n" for line, literal in _literals(lines).items()))
        return
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


def _steps(block: re.Match[str]) -> list[Step]:
    """Return the steps of a fenced block; none for a file."""
    return [] if block["file"] or block["kind"] == "toml" else list(steps_of(block["kind"], block["text"]))


def _literals(lines: list[str]) -> dict[int, str]:
    """Return the literal at the beginning of the comment of a line, by line number."""
    found = {}
    for number, line in enumerate(lines, 1):
        comment = line.partition("  # ")[2].strip()
        ends = [match.start() for match in re.finditer(r"[;:,]", comment)]
        for end in [len(comment), *reversed(ends)] if comment else []:
            with contextlib.suppress(ValueError, SyntaxError):
                if comment.startswith("Expr(") or "..." not in repr(ast.literal_eval(comment[:end])):
                    found[number] = comment[:end]
                    break
    return found


def _with_values(lines: list[str], values: str) -> list[str]:
    """Return the lines of a block of Python with other literals in their comments, from `_run_block`."""
    lines, literals = list(lines), _literals(lines)
    for value in values.splitlines():
        number, _, text = value.partition(": ")
        literal = literals[int(number)]
        lines[int(number) - 1] = lines[int(number) - 1].replace(f"  # {literal}", f"  # {text}")
    return lines


def _run_block(step: Step, names: dict[str, object]) -> str:
    """Run a block of Python; return the value of each expression with a literal in its comment, in the same form."""
    literals, values = _literals(step.lines), ""
    for statement in ast.parse(step.source).body:
        literal = literals.get(statement.end_lineno or 0)
        if literal is None or not isinstance(statement, ast.Expr):
            exec(compile(ast.Module([statement], []), "<page>", "exec"), names)
            continue
        value = eval(compile(ast.Expression(statement.value), "<page>", "eval"), names)
        if isinstance(value, float) and not isinstance(value, int):
            digits = len(re.sub(r"e.*|^[-0.]+|\.", "", literal))
            value = float(f"{value:.{digits}g}")
        same = not literal.startswith("Expr(") and bool(ast.literal_eval(literal) == value)
        values += f"{statement.end_lineno}: {literal if same else repr(value)}\n"
    return values


def run(step: Step, names: dict[str, object]) -> str:
    """Return the output of a step: stdout of a command, the result of a statement, or values as in `_literals`."""
    if step.kind == "python":
        with contextlib.redirect_stdout(io.StringIO()):
            return _run_block(step, names)
    if step.kind == "pycon":
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            exec(compile(step.source, "<page>", "single"), names)
        return out.getvalue()
    words = shlex.split(step.source)
    if words[0] != "pyinfercost":
        raise ValueError(f"a page runs pyinfercost only; got {step.source!r}")
    result = CliRunner(env={"COLUMNS": "100"}).invoke(main, words[1:], catch_exceptions=False)
    if result.exit_code not in (0, LIMIT_BROKEN):  # an exceeded limit is a valid result
        raise RuntimeError(f"{step.source!r} ends with {result.exit_code}: {result.stderr}")
    return "".join(f"{line.rstrip()}\n" for line in result.stdout.splitlines())


def run_page(text: str) -> Iterator[tuple[Step, str]]:
    """Yield each step of a page in order with its output, run in an empty folder on the page's day."""
    made = _MADE.search(text)
    names: dict[str, object] = {"__name__": "page"}
    here = Path.cwd()
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        for name in (  # a page captures a model once
            "sources.captured.graph_at",
            "sources.captured.graph_over",
            "predict.models.graph_at",
            "sweeps.sweep.graph_over",
        ):
            stack.enter_context(mock.patch(f"pyinfercost.{name}", _kept(f"pyinfercost.{name}")))
        # Pages may use several processes, and a process with threads must not be forked.
        stack.callback(multiprocessing.set_start_method, multiprocessing.get_start_method(allow_none=True), force=True)
        multiprocessing.set_start_method("spawn", force=True)
        if made is not None:
            day = stack.enter_context(mock.patch.object(prices, "date"))
            day.today.return_value = date.fromisoformat(made[1])
        os.chdir(folder)
        stack.callback(os.chdir, here)
        for block in FENCE.finditer(text):
            if block["setup"]:
                names.update(getattr(page_setups, block["setup"])())
            if block["file"]:
                Path(block["file"]).write_text(block["text"], encoding="utf-8")
            for step in _steps(block):
                if step.shown and made is None:
                    raise ValueError("the page does not say what day and versions its figures are of")
                yield step, run(step, names)


def _kept(name: str) -> Callable[..., object]:
    """Return a function of the package with memoized results."""
    module, _, attribute = name.rpartition(".")
    function = getattr(importlib.import_module(module), attribute)
    results: dict[str, object] = {}

    @functools.wraps(function)
    def called(*args: object, **kwargs: object) -> object:
        key = repr((args, kwargs))
        if key not in results:
            results[key] = function(*args, **kwargs)
        return results[key]

    return called


def differences(text: str) -> list[str]:
    """Return the steps whose output differs from the page; with other versions than the page's, it may be close."""
    made = _MADE.search(text)
    exact = (
        made is not None
        and made[3] is None
        and all(
            version(name).partition("+")[0] == wanted for name, wanted in (pair.split() for pair in made[2].split(", "))
        )
    )
    wrong = []
    same = operator.eq if exact else _nearly
    for step, printed in run_page(text):
        if _cut(printed, step.shown, same) is None:
            wrong.append(f"{step.source}\n--- on the page\n{step.shown}--- now\n{printed}")
    return wrong


def _cut(printed: str, shown: str, same: Callable[[str, str], bool]) -> str | None:
    """Return the printed output shortened by the lines `...` of the shown one; None if it differs."""
    parts = re.split(r"^\.\.\.\n", shown, flags=re.MULTILINE)
    if len(parts) == 1:
        return printed if same(printed, shown) else None
    lines = printed.splitlines(keepends=True)
    found: list[str] = []
    at = 0
    for number, part in enumerate(parts):
        size = part.count("\n")
        last = len(lines) - size
        starts = [0] if number == 0 else [last] if number == len(parts) - 1 else range(at, last + 1)
        texts = {i: "".join(lines[i : i + size]) for i in starts if i >= at}
        start = next((i for i, text in texts.items() if same(text, part)), None)
        if start is None:
            return None
        found.append(texts[start])
        at = start + size
    return "...\n".join(found)


_NUMBER = re.compile(r"\d[\d,]*\.?\d*(?:e[+-]?\d+)?")
_TOLERANCE = 0.05
_SMALL = 0.002  # effect of another rounding order on a share


def _nearly(one: str, other: str) -> bool:
    """Return whether two texts have the same words, and numbers within a few percent."""
    numbers = [[float(number.replace(",", "")) for number in _NUMBER.findall(text)] for text in (one, other)]
    return _same_words(one, other) and all(
        abs(a - b) <= max(_SMALL, _TOLERANCE * max(abs(a), abs(b))) for a, b in zip(*numbers, strict=True)
    )


def written(text: str) -> str:
    """Return the page with the current output of its steps."""
    outputs = iter(list(run_page(text)))

    def block(match: re.Match[str]) -> str:
        lines = []
        for _ in _steps(match):
            step, printed = next(outputs)
            if step.kind == "python":
                lines += _with_values(step.lines, printed)
            else:
                lines += step.lines
                lines += (_cut(printed, step.shown, _same_words) or printed).splitlines()
        if not lines:
            return match[0]
        return match[0][: match.start("text") - match.start()] + "\n".join(lines) + "\n```"

    return FENCE.sub(block, text)


def _same_words(one: str, other: str) -> bool:
    """Return whether two texts are equal except for their numbers."""
    return _NUMBER.sub("", one).split() == _NUMBER.sub("", other).split()


if __name__ == "__main__":
    for name in sys.argv[1:]:
        page = Path(name)
        page.write_text(written(page.read_text(encoding="utf-8")), encoding="utf-8")
