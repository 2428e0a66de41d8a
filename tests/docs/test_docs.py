"""Completeness of the documentation: all public names and pages are listed, and quoted code is in the source."""

from __future__ import annotations

import importlib
import importlib.util
import re
from pathlib import Path

import pytest
from support.doc_names import names_of_the_api, names_of_the_index
from support.paths import DOCS, ROOT

import pyinfercost as ic
from pyinfercost.cli import main

PAGES = sorted(DOCS.rglob("*.md"))
SOURCES = [
    *(path for folder in ("csrc", "examples/cpp") for path in (ROOT / folder).rglob("*.[ch]pp")),
    *(path for folder in ("pyinfercost", "tests") for path in (ROOT / folder).rglob("*.py")),
]


def test_the_api_has_every_public_name_once() -> None:
    modules = {name for name in ic.__all__ if importlib.util.find_spec(f"pyinfercost.{name}")}
    named = [name for name in names_of_the_api() if "." not in name and name not in modules]
    assert sorted(named) == sorted(set(ic.__all__) - {"__version__"} - modules), "docs/api/*.md: `::: pyinfercost.NAME`"


def test_the_index_has_every_public_name_once() -> None:
    rooms = ("devices", "results", "serving")
    within = {f"{room}.{name}" for room in rooms for name in getattr(ic, room).__all__}
    assert sorted(names_of_the_index()) == sorted({*ic.__all__, *within} - {"__version__"})
    assert "`ic.__version__`" in (DOCS / "api" / "index.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("room", ["training", "monitor", "tradeoffs", "results", "serving", "devices"])
def test_the_api_has_every_name_of_a_room(room: str) -> None:
    exported = set(importlib.import_module(f"pyinfercost.{room}").__all__) - set(ic.__all__)
    named = {name.rpartition(".")[2] for name in names_of_the_api() if name.startswith(f"{room}.")}
    assert exported
    assert not exported - named, f"docs/api/*.md: a line `::: pyinfercost.{room}.NAME`"


def test_every_page_is_in_the_navigation() -> None:
    listed = re.findall(r"[\w/-]+\.md", (ROOT / "mkdocs.yml").read_text(encoding="utf-8"))
    assert sorted(listed) == [page.relative_to(DOCS).as_posix() for page in PAGES]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(DOCS).as_posix())
def test_what_is_quoted_stands_in_the_source(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    quoted = re.findall(r"^```(?:cpp|py)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    missing = [block for block in quoted if not any(block in path.read_text(encoding="utf-8") for path in SOURCES)]
    assert not missing, "not in csrc, examples/cpp, tests or pyinfercost as it is quoted"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(DOCS).as_posix())
def test_a_page_begins_with_its_title(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert text.startswith("# ")
    assert len(re.findall(r"^# ", re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL), re.MULTILINE)) == 1


def test_nothing_is_fetched_by_a_reader() -> None:
    settings = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    assert "font: false" in settings
    assert "http" not in settings


def test_the_page_on_the_command_line_has_every_option() -> None:
    specification = importlib.util.spec_from_file_location("mkdocs_hooks", ROOT / "tools" / "mkdocs_hooks.py")
    assert specification is not None
    assert specification.loader is not None
    hooks = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(hooks)
    text = hooks.on_page_markdown((DOCS / "cli.md").read_text(encoding="utf-8"), page=None, config=None, files=None)
    for name, command in main.commands.items():
        section = re.search(rf"^## pyinfercost {name}$(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
        assert section is not None, name
        shown = [parameter for parameter in command.params if not getattr(parameter, "hidden", False)]
        options = [option for parameter in shown for option in parameter.opts if option.startswith("--")]
        assert not [option for option in options if option not in section[1]], name
    assert "Sentinel" not in text
