"""Reports on graphs with untrusted names, in every form."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator
from random import Random

import pyinfercost as ic

from ..door import Figure, require
from ..mutate import text
from ..values import Value
from .figures import check_printable, of_document
from .graph_json import GraphJson, graph_of

# A sign alone and a number are no formulas: docs/reports.md.
_FORMULA = re.compile(r"[=+\-@\t\r\n].", re.DOTALL)
_NUMBER = re.compile(r"[+-]?\d+(\.\d*)?(e[+-]?\d+)?", re.IGNORECASE)
_NAMES = (
    "</script><script>alert(1)</script>",
    "a.b\x1b[2J",
    "=cmd|' /C calc'!A0",
    "\u202eabc",
    "|a|",
    "\n",
    "a..b",
    "`x`",
)


class Reports(GraphJson):
    """`profile` of a graph, written as text, CSV, Markdown, HTML, JSON, a trace and plots."""

    share = 7_000

    def draw(self, random: Random) -> Value:
        """Return a graph with other names."""
        value: dict[str, Value] = super().draw(random)
        if random.random() < 0.7:
            value |= {"graph": self.corpus.draw(random), "sizes": {}, "through": "json"}
        tree = value["graph"]
        for key, name in (("nodes", "module"), ("nodes", "source"), ("tensors", "name")):
            entries = tree.get(key) if isinstance(tree, dict) else None
            if isinstance(entries, list) and entries and random.random() < 0.5:
                entry = random.choice(entries)
                if isinstance(entry, dict):
                    entry[name] = random.choice((*_NAMES, text(random)))
        if isinstance(tree, dict) and random.random() < 0.2:
            tree["model"] = random.choice((*_NAMES, text(random)))
        forms = ("text", "csv", "markdown", "html", "trace", "text", "snippet")
        return {**value, "form": random.choice(forms)}

    def run(self, value: Value) -> Iterator[Figure]:
        """Profile the graph and write the profile."""
        machine = None if value["form"] == "csv" else value["machine"]
        profile = ic.profile(graph_of(value), hardware=machine, precision=value["precision"], sizes=value["sizes"])
        document = json.loads(profile.to_json())
        yield from of_document(document)
        form = value["form"]
        if form == "text":
            check_printable(profile.to_text())
        elif form == "csv":
            rows = csv.reader(io.StringIO(profile.to_csv()))
            cells = [cell for row in rows for cell in row if _FORMULA.match(cell) and not _NUMBER.fullmatch(cell)]
            require(not cells, "no cell of CSV is a formula", cells[:1])
        elif form == "markdown":
            profile.to_markdown().encode()
        elif form == "html":
            page = profile.to_html()
            require("<script>alert" not in page, "names are no markup in HTML")
            page.encode()
        elif form == "trace":
            json.dumps(profile.to_trace(), allow_nan=False).encode()
        else:
            require("<script>" not in profile._repr_html_(), "names are no markup in a notebook")
