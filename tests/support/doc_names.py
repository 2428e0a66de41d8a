"""What pages of the documentation say that they document."""

from __future__ import annotations

import re

from support.paths import DOCS


def keys_of_the_page() -> set[str]:
    """The keys that the tables of docs/json.md have in their first column."""
    rows = re.findall(r"^\| (`.*?`) \|", (DOCS / "json.md").read_text(encoding="utf-8"), re.MULTILINE)
    return {key for row in rows for key in re.findall(r"`([^`]+)`", row)}


def names_of_the_api() -> list[str]:
    """The names of `pyinfercost` that pages under docs/api have a heading for."""
    text = "\n".join(page.read_text(encoding="utf-8") for page in sorted((DOCS / "api").glob("*.md")))
    names = re.findall(r"^::: (pyinfercost\.\S+)", text, re.MULTILINE)
    return [name.rpartition(".")[2] for name in names if not name.startswith("pyinfercost._core.")]
