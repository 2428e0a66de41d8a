"""Names and keys that pages of the documentation describe."""

from __future__ import annotations

import re

from support.paths import DOCS


def keys_of_the_page() -> set[str]:
    """Return the keys in the first column of the tables of docs/json.md."""
    rows = re.findall(r"^\| (`.*?`) \|", (DOCS / "json.md").read_text(encoding="utf-8"), re.MULTILINE)
    return {key for row in rows for key in re.findall(r"`([^`]+)`", row)}


def names_of_the_api() -> list[str]:
    """Return the names below `pyinfercost` that pages under docs/api have a heading for, such as `monitor.Csv`."""
    text = "\n".join(page.read_text(encoding="utf-8") for page in sorted((DOCS / "api").glob("*.md")))
    return re.findall(r"^::: pyinfercost\.(\S+)", text, re.MULTILINE)


def names_of_the_index() -> list[str]:
    """Return the names in the first column of the tables of docs/api/index.md, without `ic.`."""
    text = (DOCS / "api" / "index.md").read_text(encoding="utf-8")
    return re.findall(r"^\| `ic\.([\w.]+)` \|", text, re.MULTILINE)
