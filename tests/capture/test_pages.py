"""Pages of the documentation whose every figure is what the command above it prints."""

from __future__ import annotations

from pathlib import Path

import pages
import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("name", ["cost.md", "diff.md", "traces.md", "tradeoff.md", "training.md"])
def test_every_figure_of_a_page_is_what_its_command_prints(name: str) -> None:
    pytest.importorskip("torchvision")
    pytest.importorskip("transformers")
    pytest.importorskip("torchao")
    wrong = pages.differences((ROOT / "docs" / name).read_text(encoding="utf-8"))
    assert not wrong, "python tests/pages.py docs/" + name + " writes what is printed now\n" + "\n".join(wrong)


def test_a_page_that_is_wrong_is_found() -> None:
    statements = ">>> x = [\n...     1,\n... ]\n>>> x\n[1]\n>>> 1000.0 + 3\n{}\n"
    page = f"<!-- of 2026-11-25; click 0.0 -->\n```pycon\n{statements}```\n"
    assert pages.differences(page.format("1003.0")) == []
    assert pages.differences(page.format("1002.0")) == []  # other versions than the page's: nearly is enough
    assert len(pages.differences(page.format("1203.0"))) == 1
    of_these_versions = page.replace("click 0.0", f"click {pages.version('click')}")
    assert len(pages.differences(of_these_versions.format("1002.0"))) == 1
    assert pages.written(of_these_versions.format("1")) == of_these_versions.format("1003.0")
