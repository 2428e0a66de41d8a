"""Pages and Markdown of advice: the sentence first, all figures of rows and plans, safe texts, a limited length."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any

import pytest
from support.advice_results import of_fleet, of_forward, of_nothing

import pyinfercost as ic
from pyinfercost.report.comments import MOST_BYTES
from pyinfercost.report.render import render
from pyinfercost.results.notices import notice

MAKERS = {"forward": of_forward, "fleet": of_fleet, "nothing": of_nothing}
EVIL = '<img src=x onerror=alert(1)> & "quoted" @someone | `code`'


class Texts(HTMLParser):
    """The texts of a page, and its tags."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.texts: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def read(page: str) -> Texts:
    found = Texts()
    found.feed(page)
    return found


@pytest.fixture(params=MAKERS, scope="module")
def advice(request: Any) -> ic.results.Advice:
    make: Callable[[], ic.results.Advice] = MAKERS[request.param]
    return make()


@pytest.mark.sample(1)
def test_a_page_begins_with_the_sentence_and_has_all_rows(advice: ic.results.Advice) -> None:
    page = advice.to_html()
    assert isinstance(page, str)
    text = " ".join(read(page).texts)
    assert text.index(advice.sentence) < text.index("as it is now")
    for row in advice.rows:
        assert row.option in text
    for each in advice.unhelpful:
        assert each.why[:60] in text
    for plan in (advice.best, advice.here):
        if plan is not None:
            assert plan.setup.code in text or plan.setup.command in text
            assert all(step.option in text for step in plan.steps)


@pytest.mark.sample(1)
def test_a_page_loads_nothing_and_has_no_scripts(advice: ic.results.Advice) -> None:
    page = str(advice.to_html())
    assert "script" not in read(page).tags
    assert not re.search(r"(?:src|href)\s*=", page)
    assert "default-src 'none'" in page
    assert len(page.encode()) < 500_000


def test_bars_are_as_long_as_savings() -> None:
    advice = of_forward()
    page = str(advice.to_html())
    widths = [float(width) for width in re.findall(r'<i style="width:([0-9.]+)%"', page)]
    assert len(widths) == len(advice.rows)
    most = max(max(row.saving_share, row.saving_high_share) for row in advice.rows)
    for row, width in zip(advice.rows, widths, strict=True):
        assert width == pytest.approx(100 * row.saving_share / most, abs=0.01)


def test_rows_that_no_plan_uses_are_marked() -> None:
    advice = of_fleet()
    advice = replace(advice, rows=(replace(advice.rows[0], in_plan=False), *advice.rows[1:]))
    out = sum(not row.in_plan for row in advice.rows)
    assert str(advice.to_html()).count('class="name out-of-plan"') == out


def test_markdown_has_the_answer_the_plan_and_commands_and_fits_a_comment(advice: ic.results.Advice) -> None:
    text = advice.to_markdown()
    lines = text.splitlines()
    assert lines[0] == "### What would make this cheaper"
    assert lines[2].startswith("**")
    assert len(text.encode()) <= MOST_BYTES
    tables = [line for line in lines if line.startswith("|")]
    if advice.rows:
        assert any(f"| {rank} |" in line for rank, line in zip(["0"], tables[2:], strict=False)) or len(tables) > 2
    assert text.count("<details>") == text.count("</details>")
    assert text.count("```") % 2 == 0


def test_texts_from_outside_are_escaped() -> None:
    advice = of_fleet()
    row = replace(advice.rows[0], option=EVIL, note=EVIL, title=EVIL)
    evil = replace(
        advice, model=EVIL, sentence=EVIL, rows=(row, *advice.rows[1:]), notices=(notice("refused", why=EVIL),)
    )
    page = str(evil.to_html())
    assert "img" not in read(page).tags
    assert EVIL in " ".join(read(page).texts)
    text = evil.to_markdown()
    assert re.search(r"(?<!\\)<img", text) is None
    assert "@someone" not in text


def test_long_advice_is_cut_to_the_length_of_a_comment() -> None:
    advice = of_fleet()
    rows = tuple(replace(advice.rows[0], option=f"{number} " + "x" * 600, note="y" * 900) for number in range(300))
    text = replace(advice, rows=rows).to_markdown()
    assert len(text.encode()) <= MOST_BYTES


def test_ranges_of_tactics_are_a_table() -> None:
    advice = of_forward()
    assert advice.comparison
    text = " ".join(read(str(advice.to_html())).texts)
    assert "Tactics compared" in text
    assert all(row.title in text for row in advice.comparison)


def test_the_text_has_the_same_rows(advice: ic.results.Advice) -> None:
    text = render(advice, "text", width=160)
    for row in advice.rows:
        assert row.option.split(",")[0][:20] in text


@pytest.mark.parametrize("width", [60, 80, 100])
def test_commands_of_the_text_are_whole_at_any_width(width: int) -> None:
    """A shell joins the lines of a command to its words; options stay beside their values."""
    command = (
        "pyinfercost fleet 'hf:a folder/config.json' --hardware l40s --precision bf16 --engine vllm "
        "--price g6e.2xlarge --autoscaler scheduled:0=1,4=2,7=3,8=4,min_replicas=0 --traffic diurnal:mean=4,peak=3 "
        "--duration-s 86400 --no-enable-prefix-caching --slo 'ttft_p95<2,tpot_p95<0.06'"
    )
    advice = of_fleet()
    row = replace(advice.rows[0], setup=replace(advice.rows[0].setup, command=command))
    text = render(replace(advice, rows=(row, *advice.rows[1:])), "text", width=width)
    assert all(len(line) <= width for line in text.splitlines())
    lines = text.replace("\\\n", "").splitlines()
    assert shlex.split(command) in [shlex.split(line) for line in lines if line.startswith("  pyinfercost ")]
    assert re.search(r"--duration-s 86400", text)
    assert re.search(r"--slo 'ttft", text)


@pytest.mark.parametrize("width", [60, 80])
def test_options_are_readable_on_narrow_pages(width: int) -> None:
    advice = of_fleet()
    text = render(advice, "text", width=width)
    for row in advice.rows:
        assert row.option[:15] in text
