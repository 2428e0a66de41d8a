"""Plain text that is laid out without rich, against rich."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from support.toy_graphs import blocks

import pyinfercost as ic
from pyinfercost.report import render
from pyinfercost.report.pages import Lines, Page, PairLines, Part

WORDS = st.lists(
    st.tuples(
        st.sampled_from(["a", "bb", "ccc", "word", "longerword"]), st.sampled_from([" ", "  ", "\n", "\n\n", ""])
    ),
    max_size=30,
).map(lambda parts: "".join(word + end for word, end in parts))


def by_rich(view: Part, width: int) -> list[str]:
    text = io.StringIO()
    Console(file=text, width=width, color_system=None, force_terminal=False, legacy_windows=False).print(view)
    return [line.rstrip() for line in text.getvalue().splitlines()]


@given(WORDS, st.integers(5, 60), st.integers(1, 8))
def test_lines_are_broken_as_rich_does(text: str, width: int, name: int) -> None:
    for view in (Lines(text), PairLines([("n" * name, text), ("name", "x y z")])):
        lines = view.lines(width)
        if lines is not None:
            assert [line.rstrip() for line in lines] == by_rich(view, width)


@pytest.mark.parametrize("width", [60, 80, 100, 140])
@pytest.mark.parametrize("options", [{}, {"roofline": True}, {"depth": 1}, {"top": 5}, {"sort": "share"}], ids=str)
def test_a_profile_is_laid_out_as_by_rich(options: dict[str, object], width: int) -> None:
    view = render(ic.profile(blocks(custom_op=True), hardware="l4", price=2), "view", **options)
    assert isinstance(view, Page)
    lines = view.lines(width)
    assert lines is not None
    assert [line.rstrip() for line in lines] == by_rich(view, width)


def test_other_characters_are_left_to_rich() -> None:
    assert Lines("\N{HIRAGANA LETTER A} b").lines(80) is None
    assert PairLines([("\N{HIRAGANA LETTER A}", "b")]).lines(80) is None
    assert Lines("w" * 90).lines(80) is None
    assert Page([Lines("a"), Lines("w" * 90)]).lines(80) is None
