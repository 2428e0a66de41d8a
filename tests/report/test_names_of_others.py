"""Names that somebody else chose, in every form: nothing that a terminal runs or a spreadsheet takes for a formula."""

from __future__ import annotations

import csv
import io
import json
import re
import unicodedata
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from support.toy_graphs import blocks

import pyinfercost as ic
from pyinfercost._escapes import spreadsheet_cell
from pyinfercost.cli import main
from pyinfercost.report import render
from pyinfercost.results.profile import DEEPEST

HOSTILE = {
    "escape": "blocks\x1b[2J\x1b]0;title\x07.fc",
    "c1": "blocks\x9b31m.fc",
    "null": "blocks\x00.fc",
    "delete": "blocks\x7f.fc",
    "line": "blocks\r\nFAILED.fc",
    "tab": "\tblocks.fc",
    "right to left": "blocks\u202e.fc",
    "isolate": "\u2066blocks\u2069.fc",
    "no width": "blo\u200bcks\ufeff.fc",
    "separator": "blocks\u2028x.fc",
    "formula": "=cmd|' /C calc'!A0",
    "sum": "+1+cmd|' /C calc'!A0",
    "minus": "-1+cmd",
    "at": "@SUM(1)",
    "full width": "\uff1d1+1",
}
each_name = pytest.mark.parametrize("name", HOSTILE.values(), ids=HOSTILE.keys())


def hostile(name: str) -> ic.Graph:
    """The blocks, with a name of a module, of a tensor, of an operator and of the model."""
    document = json.loads(blocks(custom_op=True).to_json())
    document["model"] = name
    for node in document["nodes"][:2]:
        node["module"] = name
        node["source"] = name
    document["nodes"][-1]["op"] = f"mylib.{name}"
    document["tensors"][0]["name"] = name
    return ic.Graph.from_json(json.dumps(document))


def unsafe(text: str, allowed: str = "\n") -> list[str]:
    """The characters of a text that control a terminal, the direction of writing, or have no width."""
    return sorted({c for c in text if c not in allowed and unicodedata.category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp")})


def results(name: str) -> list[Any]:
    """Results of every kind that shows names of a graph."""
    graph = hostile(name)
    profile = ic.profile(graph, hardware="l4", batch=4)
    other = ic.profile(blocks(), hardware="t4", batch=4)
    return [
        profile,
        profile.estimate,
        profile.counts,
        ic.compare(before=profile, after=other),
        ic.compare(before=other, after=profile),
    ]


@each_name
def test_text_and_markdown_show_escapes(name: str) -> None:
    for result in results(name):
        for form in ("text", "markdown"):
            text = render(result, form)
            assert not unsafe(text), (type(result).__name__, form)
        assert not unsafe(repr(result)) or type(result).__name__ not in ("Profile", "Estimate")


@each_name
def test_a_list_of_rows_and_a_roofline_show_escapes(name: str) -> None:
    profile = ic.profile(hostile(name), hardware="l4", batch=4)
    assert not unsafe(profile.to_text(top=5))
    assert not unsafe(profile.to_text(roofline=True))
    assert not unsafe(repr(profile))


@each_name
def test_no_cell_of_csv_is_a_formula(name: str) -> None:
    found = False
    for result in results(name):
        text = "".join(render(result, "csv"))
        assert not unsafe(text)
        for row in csv.reader(io.StringIO(text)):
            for cell in row:
                assert not cell or cell[0] not in "=+@\t\r\uff1d" or float(cell) is not None, cell
                found = found or cell.lstrip("'").startswith(name[0])
    assert found or not name[0].isprintable()


@each_name
def test_json_and_html_have_the_names(name: str) -> None:
    profile = ic.profile(hostile(name), hardware="l4", batch=4)
    assert json.loads(profile.to_json())["model"] == name
    page = profile.to_html()
    assert "<title>" in page
    assert page.encode()


@pytest.mark.parametrize(
    ("cell", "written"),
    [
        ("=1+1", "'=1+1"),
        ("+1+1", "'+1+1"),
        ("-1+1", "'-1+1"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("\t=1", "'\\t=1"),
        ("\r=1", "'\\r=1"),
        ("\uff0b1+1", "'\uff0b1+1"),
        ("-1", "-1"),
        ("+1.5e-3", "+1.5e-3"),
        ("-", "'-"),
        ("=", "'="),
        ("layer.0=x", "layer.0=x"),
        ("1-2", "1-2"),
        ("", ""),
        ("\x1b[2J", "\\x1b[2J"),
    ],
)
def test_the_rule_of_cells(cell: str, written: str) -> None:
    assert spreadsheet_cell(cell) == written
    assert spreadsheet_cell(written) == written or written.startswith("'")


def test_sizes_and_prices_in_sweeps(tmp_path: Path) -> None:
    path = tmp_path / "=price\u202e.toml"
    path.write_text("usd_per_h = 1")
    grid = ic.sweep(blocks(), hardware=["l4", "t4"], price=[str(path), "2"], batch=[1, 2])
    assert not unsafe(grid.to_text())
    assert not unsafe(grid.to_csv())
    assert "\\u202e.toml" in grid.to_csv()


# ---- the command line ----


@each_name
def test_the_command_line_shows_escapes(name: str, tmp_path: Path) -> None:
    path = tmp_path / "graph.json"
    path.write_text(hostile(name).to_json(), encoding="utf-8")
    for words in (
        ["profile", str(path), "--hardware", "l4"],
        ["profile", str(path), "--format", "csv"],
        ["profile", str(path), "--set", f"{name.replace('=', '')}=1"],
        ["profile", str(path), "--hardware", name],
        ["diff", str(path), str(path), "--fail-if", f"flops:{name}"],
        ["diff", str(tmp_path / f"{name}.json".replace("/", "")), str(path)],
        ["collective", name, "1"],
        ["hardware", name],
        [name],
        [f"--{name}"],
    ):
        result = CliRunner().invoke(main, words)
        assert result.exit_code in (0, 1, 2)
        assert result.exception is None or isinstance(result.exception, SystemExit)
        assert not unsafe(result.output), words


# ---- depth ----


def test_paths_of_many_names_are_shown() -> None:
    path = ".".join(["a"] * 199)
    document = json.loads(blocks().to_json())
    for number, node in enumerate(document["nodes"]):
        node["module"] = f"{path}.{number % 3}"
    profile = ic.profile(ic.Graph.from_json(json.dumps(document)), hardware="l4", batch=4)
    whole = re.search(r"Modules below depth \d+ of (\d+) are collapsed", profile.to_text())
    assert whole is not None
    assert DEEPEST <= int(whole[1]) <= DEEPEST + 1
    assert profile.to_html()
    assert profile.to_markdown()
    assert ic.compare(before=profile, after=ic.profile(blocks(), hardware="l4", batch=4)).to_text()
    assert ic.compare(before=profile, after=profile).to_markdown()


def test_what_is_before_a_leading_dot_is_no_module() -> None:
    document = json.loads(blocks().to_json())
    for number, node in enumerate(document["nodes"]):
        node["module"] = ("../../x", ".", ".y")[number % 3]
    profile = ic.profile(ic.Graph.from_json(json.dumps(document)), hardware="l4", batch=4)
    for depth in (None, 1, 2):
        counts = profile.counts.by_module(depth)
        assert "" in counts
        assert counts[""].contraction_flops == profile.counts.total.contraction_flops
    for form in ("text", "html", "markdown"):
        assert render(profile, form)
    assert ic.compare(before=profile, after=ic.profile(blocks(), hardware="l4", batch=4)).to_text()
