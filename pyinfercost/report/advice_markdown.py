"""Markdown of advice for a pull request: the answer, what each change saves, the plan, and the commands."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .advice import (
    accuracy_pairs,
    advice_columns,
    condition_pairs,
    plans_of,
    saved_text,
    step_columns,
    unhelpful_pairs,
)
from .comments import MOST_BYTES, bytes_of, fitting_table, one_line, shortened
from .delimited import escaped, markdown_table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..results.advice import Advice, AdvicePlan
    from .layout import Column

_SPARE = 2  # columns with this `spare` or more are left out
_MOST_COMMANDS = 6  # in addition to the plans
_REASONS = 12
_LONGEST = 1000  # characters of the sentence


def advice_markdown(advice: Advice) -> str:
    """Return the advice as a comment: its length is at most the length of a comment."""
    lines = ["### What would make this cheaper", "", f"**{escaped(shortened(advice.sentence, _LONGEST))}.**"]
    for name, plan in plans_of(advice):
        lines += ["", f"{one_line(name)} {one_line(saved_text(plan))}:", ""]
        lines += markdown_table(_kept(step_columns(advice, plan)))
        lines += _fenced(plan)
    if advice.rows:
        title, rule, *cells = markdown_table(_kept(advice_columns(advice)))
        room = MOST_BYTES // 2
        head = ["", "Each change alone; savings do not add up:", "", title, rule]
        lines += fitting_table(head[3:], cells, [], room, what="changes") if len(cells) > _REASONS else [*head, *cells]
    lines += _list("", condition_pairs(advice))
    lines += _list("Accuracy:", accuracy_pairs(advice))
    lines += _collapsed("What does not help", [f"- {one_line(n)}: {one_line(t)}" for n, t in unhelpful_pairs(advice)])
    commands = [row.setup.command for row in advice.rows[:_MOST_COMMANDS] if row.setup.command]
    lines += _collapsed("Commands that predict the rows", ["```sh", *commands, "```"] if commands else [])
    while bytes_of(lines) > MOST_BYTES and len(lines) > _REASONS:  # of names that are very long
        lines = lines[: -len(lines) // 10 or -1]
    return "\n".join(lines) + "\n"


def _kept(columns: Sequence[Column]) -> list[Column]:
    return [column for column in columns if column.spare < _SPARE]


def _fenced(plan: AdvicePlan) -> list[str]:
    text = plan.setup.command or plan.setup.code
    return ["", "```sh" if plan.setup.command else "```python", text.replace("```", "` ` `"), "```"] if text else []


def _list(title: str, pairs: Sequence[tuple[str, str]]) -> list[str]:
    if not pairs:
        return []
    return ["", *([title, ""] if title else []), *(f"- {one_line(name)}: {one_line(text)}" for name, text in pairs)]


def _collapsed(title: str, lines: Sequence[str]) -> list[str]:
    return ["", f"<details><summary>{title}</summary>", "", *lines, "", "</details>"] if lines else []
