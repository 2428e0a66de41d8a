"""`pyinfercost diff`: forms of each side, limits and exit codes, and output for a pull request."""

from __future__ import annotations

import json
import re
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from support.toy_graphs import blocks, transformer

import pyinfercost as ic
from pyinfercost.cli import main
from pyinfercost.predict.diff import TOTALS, DocumentError
from pyinfercost.predict.limits import LIMITED, LimitError, limit_of
from pyinfercost.results.documents import profile_document_from

GITHUBS_LIMIT = 65_536
ESCAPES = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"}


@pytest.fixture(scope="module")
def before() -> ic.results.Profile:
    return ic.profile(transformer(layers=12), hardware="l4")


@pytest.fixture(scope="module")
def after() -> ic.results.Profile:
    return ic.profile(transformer(layers=16), hardware="l4")


@pytest.fixture
def files(before: ic.results.Profile, after: ic.results.Profile, tmp_path: Path) -> list[str]:
    """Both profiles as the command line writes them."""
    paths = [tmp_path / "before.json", tmp_path / "after.json"]
    for path, profile in zip(paths, (before, after), strict=True):
        path.write_text(profile.to_json() + "\n", encoding="utf-8")
    return [str(path) for path in paths]


def invoke(*arguments: str, name: str = "diff") -> Result:
    return CliRunner().invoke(main, (name, *arguments))


def changed(document: dict[str, Any], part: str, **figures: Any) -> dict[str, Any]:
    """The document of a profile with other figures in one of its parts."""
    return {**document, part: {**document[part], **figures}}


def of_paths(paths: list[str], model: str = "m") -> dict[str, Any]:
    """A profile of one product per module, without hardware."""
    counts = {"contraction_flops": 2, "pointwise_flops": 0, "bytes_read": 3, "bytes_written": 1}
    return {
        "schema_version": 1,
        "model": model,
        "sizes": {},
        "totals": {name: value * len(paths) for name, value in counts.items()},
        "coverage": {"unmodelled": []},
        "layers": [{"module": path, "op": "aten.mm", **counts, "latency_s": None} for path in paths],
        "estimate": None,
    }


# --- limits --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("limit", "before_s", "after_s", "broken"),
    [
        ("latency_s:+5%", 1.0, 1.05, False),  # by more than, and rounding is no difference
        ("latency_s:+5%", 1.0, 1.051, True),
        ("latency_s:+5%", 1.0, 0.5, False),
        ("latency_s:+5%", 0.1 + 0.2, 0.3, False),
        ("latency_s:+0%", 1.0, 1.001, True),
        ("latency_s:+0", 0.1 + 0.2, 0.3, False),
        ("latency_s:+0", 0.3, 0.1 + 0.2, False),
        ("latency_s:-5%", 1.0, 0.95, False),
        ("latency_s:-5%", 1.0, 0.949, True),
        ("latency_s:-5%", 1.0, 2.0, False),
        ("latency_s:+0.001", 1.0, 1.001, False),
        ("latency_s:+1e-3", 1.0, 1.0011, True),
        ("latency_s:-.5", 1.0, 0.4, True),
        (" latency_s : + 5 % ", 1.0, 1.1, True),
        ("latency_s:any", 1.0, 1.0 + 1e-12, False),
        ("latency_s:any", 1.0, 0.999, True),
        ("latency_s:+5%", 0.0, 0.0, False),
        ("latency_s:+5%", 0.0, 1e-9, True),  # anything is more than 5 % of nothing
        ("latency_s:-5%", 0.0, 1.0, False),
        ("latency_s:+5%", 1.0, 0.0, False),
        ("latency_s:-5%", 1.0, 0.0, True),
    ],
)
def test_a_limit_holds_or_breaks(
    before: ic.results.Profile, limit: str, before_s: float, after_s: float, *, broken: bool
) -> None:
    one, other = (changed(before.to_dict(), "estimate", latency_s=value) for value in (before_s, after_s))
    found = ic.compare(before=one, after=other, limits=[limit]).failed
    assert [(item.limit, item.figure, item.before, item.after) for item in found] == [
        (limit, "latency_s", before_s, after_s)
    ] * broken


@pytest.mark.parametrize(
    ("one", "other", "side"),
    [(None, 1.0, "before"), (1.0, None, "after"), (None, None, "on either side"), (1.0, float("nan"), "after")],
)
@pytest.mark.parametrize("limit", ["+5%", "-5%", "+1", "any"])
def test_a_figure_that_is_not_known_breaks_its_limit(
    before: ic.results.Profile, one: float | None, other: float | None, side: str, limit: str
) -> None:
    sides = [changed(before.to_dict(), "estimate", latency_s=value) for value in (one, other)]
    (broken,) = ic.compare(before=sides[0], after=sides[1], limits=[f"latency_s:{limit}"]).failed
    assert broken.reason == f"latency_s is not known {side}; it takes a profile with --hardware"


def test_reasons_are_in_words_and_in_the_order_of_the_limits(before: ic.results.Profile) -> None:
    other = changed(before.to_dict(), "estimate", latency_s=2.0, throughput_per_s=5.0)
    one = changed(before.to_dict(), "estimate", latency_s=1.0, throughput_per_s=10.0)
    limits = ["throughput_per_s:-10%", "flops:any", "latency_s:+0.5", "cost_usd:+5%"]
    assert list(map(str, ic.compare(before=one, after=other, limits=limits).failed)) == [
        "throughput_per_s:-10%: throughput_per_s fell by 50 % from 10 to 5; it may fall by 10 %",
        "latency_s:+0.5: latency_s grew by 100 % from 1 to 2; it may grow by 0.5",
        "cost_usd:+5%: cost_usd is not known on either side; it takes a profile with --price",
    ]


def test_operators_that_are_in_no_figure_can_be_limited() -> None:
    sides = ic.profile(blocks()), ic.profile(blocks(custom_op=True))
    (broken,) = ic.compare(before=sides[0], after=sides[1], limits=["flops:any", "unmodelled_ops:+0"]).failed
    assert broken.reason == "unmodelled_ops grew from 0 to 1; it may grow by 0"


def test_every_total_can_be_limited() -> None:
    assert set(TOTALS) < set(LIMITED)
    assert [limit_of(f"{name}:+5%").figure for name in LIMITED] == list(LIMITED)


@pytest.mark.parametrize(
    ("limit", "message"),
    [
        ("latency_s", r"a limit is FIGURE:\+5%.*; got 'latency_s'"),
        (":+5%", "a limit is FIGURE"),
        ("latency_s:", "a limit is FIGURE"),
        ("latency:+5%", "'latency', which is no figure of a comparison; did you mean latency_s"),
        ("xyz:+5%", "expected one of flops, contraction_flops"),
        ("latency_s:5%", r"write a sign: \+5% fails where it grew by more"),
        ("latency_s:0", r"write latency_s:any for a figure that may not change, latency_s:\+0 for one"),
        ("latency_s:+5ms", "is a number of seconds without a unit"),
        ("throughput_per_s:-5k", "is a number of items per second without a unit"),
        ("peak_memory_bytes:+1MB", "is a number of bytes without a unit"),
        ("latency_s:+1.2.3", "not understood"),
        ("latency_s:1.2.3", "not understood; expected FIGURE"),
        ("latency_s:+nan", "not understood"),
        ("latency_s:+1e999", "allows anything"),
        ("latency_s:-100%", "nothing falls by more than 100 %"),
        ("latency_s:ANY", "not understood"),
    ],
)
def test_a_limit_that_is_not_understood_is_refused(limit: str, message: str, files: list[str]) -> None:
    with pytest.raises(LimitError, match=message):
        limit_of(limit)
    # before any work: the second file is not there
    result = invoke(files[0], "absent.json", "--fail-if", limit)
    assert result.exit_code == 2
    assert "--fail-if: " in result.stderr


def test_exit_codes(files: list[str]) -> None:
    holds, breaks = "latency_s:+900%", "latency_s:+5%"
    assert invoke(*files).exit_code == 0
    assert invoke(*files, "--fail-if", holds).exit_code == 0
    assert invoke(files[1], files[0], "--fail-if", breaks).exit_code == 0  # it got faster
    result = invoke(*files, "--fail-if", holds, "--fail-if", breaks, "--fail-if", "cost_usd:any")
    assert result.exit_code == 3
    failed = [line for line in result.stderr.splitlines() if line.startswith("FAILED ")]
    assert [line.split(": ")[0] for line in failed] == [f"FAILED {breaks}", "FAILED cost_usd:any"]
    assert result.stdout.startswith("FAILED latency_s:+5%: latency_s grew by ")
    assert result.stdout.splitlines()[2:] == invoke(*files).stdout.splitlines()  # and all of it is there


def test_what_failed_is_in_every_report(files: list[str], tmp_path: Path) -> None:
    limit = ("--fail-if", "latency_s:+5%")
    (broken,) = ic.compare(before=files[0], after=files[1], limits=[limit[1]]).failed
    out = tmp_path / "diff.json"
    result = invoke(*files, *limit, "--format", "json", "-o", str(out))
    assert (result.exit_code, result.stdout, result.stderr) == (3, "", f"FAILED {broken}\n")
    written = json.loads(out.read_text(encoding="utf-8"))
    assert written == ic.compare(before=files[0], after=files[1], limits=[limit[1]]).to_dict()
    assert written["failed"] == [asdict(broken)]
    assert written["failed"][0]["limit"] == "latency_s:+5%"
    markdown = invoke(*files, *limit, "--format", "md").stdout.splitlines()
    assert markdown[2] == "❌ **1 limit is broken:**"
    assert markdown[4].startswith("- ❌ latency\\_s:+5%: latency\\_s grew by ")
    assert invoke(*files, *limit, "--format", "csv").exit_code == 3


# --- sides ---------------------------------------------------------------------------------------------------------


def page_of(text: str, attributes: str = 'type="application/json" id="pyinfercost-profile"') -> str:
    escaped = "".join(ESCAPES.get(character, character) for character in text)
    return f"<!doctype html>\n<html><script>var x = '<p>';</script><body>&amp;<script {attributes}>{escaped}</script>"


@pytest.mark.parametrize("suffix", [".html", ".htm", ".txt"])
def test_an_html_report_is_a_profile(before: ic.results.Profile, tmp_path: Path, suffix: str) -> None:
    document = {**before.to_dict(), "model": "a </script><!-- & \u2028 b"}
    page = tmp_path / f"report{suffix}"
    page.write_text(page_of(json.dumps(document, ensure_ascii=False)), encoding="utf-8")
    assert profile_document_from(page) == document
    assert not ic.compare(before=page, after=document).changed
    result = invoke(str(page), str(page), "--fail-if", "latency_s:any")
    assert result.exit_code == 0
    assert "No module differs." in result.stdout


@pytest.mark.parametrize(
    ("page", "message"),
    [
        ("<html><script>1</script></html>", "is HTML and should have one <script type=.*it has none"),
        (page_of("{}", 'type="application/json" id="other"'), "it has none"),
        (page_of("{}", 'id="pyinfercost-profile"'), "it has none"),
        (page_of("{}") + page_of("{}"), "it has 2 of them"),
        (page_of('{"layers": '), r"report\.html is no JSON \(Expecting value"),
        (page_of("{}"), r"report\.html is not a profile"),
        (page_of(json.dumps({**of_paths(["a"]), "schema_version": 7})), "schema_version 7; expected 1; a newer"),
    ],
)
def test_html_without_a_profile_is_refused(page: str, message: str, tmp_path: Path, files: list[str]) -> None:
    path = tmp_path / "report.html"
    path.write_text(page, encoding="utf-8")
    with pytest.raises(DocumentError, match=message):
        ic.compare(before=path, after=path)
    result = invoke(files[0], str(path))
    assert result.exit_code == 1
    assert re.search(message, result.stderr)


def test_versions_that_are_not_known_are_refused() -> None:
    for version, hint in ((2, "a newer pyinfercost wrote it: upgrade"), (0, ""), (None, ""), (True, "")):
        with pytest.raises(DocumentError, match=f"schema_version {version!r}; expected 1") as caught:
            ic.compare(before={**of_paths(["a"]), "schema_version": version}, after=of_paths(["a"]))
        assert hint in str(caught.value)
        assert bool(hint) == ("newer" in str(caught.value))


@pytest.fixture
def graph(tmp_path: Path) -> str:
    """A graph file, which is a model that needs no torch."""
    path = tmp_path / "graph.json"
    path.write_text(transformer(layers=12).to_json(), encoding="utf-8")
    return str(path)


def test_a_graph_is_told_from_a_profile_by_what_is_in_it(graph: str, files: list[str], tmp_path: Path) -> None:
    result = invoke(files[0], graph, "-H", "l4", "--format", "json", "--fail-if", "latency_s:any")
    assert result.exit_code == 0
    assert json.loads(result.stdout)["changed"] is False
    renamed = tmp_path / "graph.txt"
    renamed.write_text(Path(graph).read_text(encoding="utf-8"), encoding="utf-8")
    result = invoke(files[0], str(renamed), "-H", "l4")
    assert result.exit_code == 1
    assert "is a graph; rename it to end with .json" in result.stderr


def test_options_are_those_of_profile(graph: str) -> None:
    options = ("-H", "epyc-7742", "--threads", "4", "--batch", "8", "--set", "sequence=32", "--precision", "bf16")
    more = ("--execution", "compiled", "--price", "1.5", "--utilization", "0.5", "--region", "deu")
    compared = json.loads(invoke(graph, graph, *options, *more, "--format", "json").stdout)
    profiled = json.loads(invoke(graph, *options, *more, "--format", "json", name="profile").stdout)
    assert compared["changed"] is False
    assert compared["after"]["sizes"] == {"batch": 8, "sequence": 32}
    for name in ("latency_s", "energy_j", "cost_usd", "carbon_g"):
        assert compared["totals"][name]["after"] == profiled["estimate"][name] > 0


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (("--threads", "2"), 2, "--threads needs --hardware"),
        (("--price", "1"), 2, "--price needs --hardware"),
        (("--batch", "x"), 2, "size 'batch' must be a whole number"),
        (("--set", "depth=3"), 2, "depth"),
        (("-H", "l5"), 2, "l5"),
        (("-H", "l4", "--price", "cheap"), 2, "cheap"),
    ],
)
def test_options_are_checked_as_those_of_profile(
    graph: str, options: tuple[str, ...], code: int, message: str, files: list[str]
) -> None:
    result = invoke(files[0], graph, *options)
    assert result.exit_code == code
    assert message in result.stderr
    assert invoke(graph, *options, name="profile").stderr.splitlines()[0] == result.stderr.splitlines()[0]


@pytest.mark.parametrize(
    "options", [("-H", "l4"), ("--batch", "8"), ("--threads", "2"), ("--precision", "native"), ("--sustained",)]
)
def test_two_files_take_no_options_of_models(files: list[str], options: tuple[str, ...]) -> None:
    result = invoke(*files, *options)
    assert result.exit_code == 2
    name = options[0].replace("-H", "--hardware")
    assert f"{name} is for a model to profile, but both sides are files with profiles" in result.stderr


@pytest.mark.parametrize(
    ("side", "code", "message"),
    [
        ("absent.json", 1, "absent.json: no such file"),
        ("absent.html", 1, "absent.html: no such file"),
        ("absent.pt2", 1, "absent.pt2"),
        ("nothing", 2, "model 'nothing' is not known"),
    ],
)
def test_what_is_nothing_is_refused(files: list[str], side: str, code: int, message: str) -> None:
    result = invoke(files[0], side)
    assert result.exit_code == code
    assert message in result.stderr


# --- what people see -----------------------------------------------------------------------------------------------


def rows_of(text: str) -> list[list[str]]:
    """Names and states of the modules in a table."""
    states = (["added"], ["removed"], ["changed"])
    return [line.split()[:2] for line in text.splitlines() if line.split()[1:2] in states]


def test_nothing_differs_from_itself(files: list[str]) -> None:
    result = invoke(files[0], files[0])
    assert result.exit_code == 0
    assert rows_of(result.stdout) == []
    assert result.stdout.endswith("No module differs.\n")
    markdown = invoke(files[0], files[0], "--format", "md").stdout
    assert markdown.startswith("**no difference** on l4, native, eager, batch 2, sequence 16\n")
    assert markdown.endswith("No module differs.\n")
    written = json.loads(invoke(files[0], files[0], "--format", "json").stdout)
    assert (written["changed"], written["failed"], written["added"], written["removed"]) == (False, [], [], [])


def test_blocks_that_are_added_or_removed_as_a_whole_are_one_row_each(
    before: ic.results.Profile, after: ic.results.Profile
) -> None:
    comparison = ic.compare(before=before, after=after)
    assert comparison.added == ("12", "13", "14", "15")
    assert comparison.removed == ()
    assert rows_of(str(comparison)) == [
        ["(itself)", "changed"],  # it has the residual sums
        *([name, "added"] for name in ("12", "13", "14", "15")),
    ]
    assert "added   12 ... 15 (4)" in str(comparison)
    assert "The same work with slightly different time or energy" in str(comparison)
    gone = ic.compare(before=after, after=before)
    assert gone.removed == ("12", "13", "14", "15")
    assert "removed  12 ... 15 (4)" in str(gone)
    assert len(rows_of(gone.to_text(depth=2))) > 5  # taken apart where it is asked for


def test_rows_go_down_to_what_changed() -> None:
    paths = ["stem", *(f"body.{block}.{name}" for block in range(3) for name in ("conv", "norm.scale"))]
    document = of_paths([*paths, "body.1.norm.scale", "old.a", "old.b"])
    other = of_paths([*paths, "body.9.conv", "body.9.norm.scale"])
    assert rows_of(str(ic.compare(before=document, after=other))) == [
        ["body.1.norm.scale", "changed"],
        ["body.9", "added"],
        ["old", "removed"],
    ]


def test_many_rows_are_added_up_at_a_lesser_depth() -> None:
    one = of_paths([f"a.{i}.{j}" for i in range(10) for j in range(10)])
    other = of_paths([f"a.{i}.{j}" for i in range(10) for j in range(10) for _ in range(2)])
    text = str(ic.compare(before=one, after=other))
    assert rows_of(text) == [[f"a.{i}", "changed"] for i in range(10)]
    assert "below depth 2 of 3 are summed up" in text


def test_other_work_of_the_same_size_is_a_change_and_a_share_of_the_start_is_none(before: ic.results.Profile) -> None:
    document = before.to_dict()
    for more, seen in ((0.0005, False), (0.5, True)):
        layers = [dict(layer) for layer in document["layers"]]
        whole = sum(layer["latency_s"] for layer in layers)
        slow = max(layers, key=lambda layer: layer["latency_s"])
        slow["latency_s"] += more * whole
        text = str(ic.compare(before=document, after={**document, "layers": layers}))
        assert (rows_of(text) != []) is seen
        assert ("1 of" in text.partition("The same work")[2]) is not seen
    renamed = [{**layer, "op": "aten.relu"} if layer is slow else layer for layer in layers]
    assert rows_of(str(ic.compare(before=document, after={**document, "layers": renamed}))) != []
    elsewhere = ic.compare(before=before, after=ic.profile(transformer(layers=2), hardware="t4"))
    assert not any(row.same_work for row in elsewhere.modules)


def test_runs_of_names_are_told_by_their_ends() -> None:
    from pyinfercost.report.profile_changes import runs_text

    assert runs_text(["a.1", "a.2"], "..") == "a.1, a.2"
    assert runs_text(["x", *(f"a.{i}" for i in range(9, 12)), "b.12", "c"], "..") == "x, a.9..a.11 (3), b.12, c"
    assert runs_text([f"layer{i}" for i in (1, 2, 3, 5)], "..") == "layer1..layer3 (3), layer5"
    assert runs_text([f"n{2 * i}" for i in range(20)], "..").endswith("n22, and 8 more")


# --- Markdown ------------------------------------------------------------------------------------------------------


def test_the_first_line_says_it_all(before: ic.results.Profile) -> None:
    figures = {"latency_s": 0.00710, "energy_j": 0.5, "throughput_per_s": 1.0}
    one = changed(changed(before.to_dict(), "estimate", **figures), "totals", peak_memory_bytes=2_000_000)
    other = changed(changed(one, "estimate", latency_s=0.00740, energy_j=0.4), "totals", peak_memory_bytes=2_000_000)
    assert ic.compare(before=one, after=other).to_markdown().splitlines()[0] == (
        "**latency +4.2 % (7.100 → 7.400 ms), energy -20.0 % (500.00 → 400.00 mJ), memory same** "
        "on l4, native, eager, batch 2, sequence 16"
    )
    little = changed(one, "estimate", latency_s=0.007101)
    assert ic.compare(before=one, after=little).to_markdown().startswith("**latency +\\<0.1 % (")
    unknown = changed(one, "estimate", energy_j=None)
    assert "energy not known after" in ic.compare(before=one, after=unknown).to_markdown().splitlines()[0]


def test_the_first_line_without_hardware_and_between_terms() -> None:
    counted = ic.compare(before=ic.profile(blocks()), after=ic.profile(blocks(), batch=2)).to_markdown().splitlines()[0]
    assert counted.startswith("**FLOPs +100.0 % (")
    assert re.search(r"weights same, memory \+.*\*\* at native, batch 1 → 2$", counted)
    one = ic.profile(blocks(), hardware="t4", price=1.0)
    other = ic.profile(blocks(), hardware="l4", price=2.0, precision="fp16")
    line = ic.compare(before=one, after=other).to_markdown().splitlines()[0]
    assert re.search(r"cost of 1M \+100.0 % \([\d.]+ → [\d.]+ USD\)", line)
    assert line.endswith(" on t4 → l4, native → fp16, eager, batch 1")


def test_names_are_shown_as_they_are() -> None:
    names = ["a|b", "<b>&lt;", "`c`", "*d*_e_", "f\ng\r\nh", "@octocat", "[x](y)", "~s~$m$", "e@mail"]
    text = ic.compare(before=of_paths(["keep"], "<m>\n# |`"), after=of_paths(["keep", *names], "n|@all")).to_markdown()
    rows = [line for line in text.splitlines() if line.startswith("| ") and " added " in line]
    assert [re.split(r"(?<!\\)\|", row)[1].strip() for row in rows] == [
        "a\\|b",
        "\\<b>&amp;lt;",
        "\\`c\\`",
        "\\*d\\*\\_e\\_",
        "f g  h",
        "@<!-- -->octocat",
        "\\[x\\](y)",
        "\\~s\\~\\$m\\$",
        "e@mail",
    ]
    assert {len(re.findall(r"(?<!\\)\|", row)) for row in rows} == {len(re.findall(r"(?<!\\)\|", rows[0]))}
    assert "- before: \\<m> # \\|\\`, without hardware" in text
    assert "- after: n\\|@<!-- -->all, without hardware" in text


def test_many_rows_are_folded_up() -> None:
    few = ic.compare(before=of_paths(["a"]), after=of_paths(["a", *(f"n.{i}.x" for i in range(3))])).to_markdown()
    assert "<details>" not in few
    many = ic.compare(before=of_paths(["n.a"]), after=of_paths(["n.a", *(f"n.{i}" for i in range(40))])).to_markdown()
    assert "\n\n<details><summary>40 modules differ</summary>\n\n| module" in many
    assert "\n\n</details>\n" in many
    assert "- added: n.0 … n.39 (40)" in many


@pytest.mark.parametrize("name", ["{}", "<&|" * 100 + "{}", "ü" * 100 + "{}"])
@pytest.mark.sample(1)
def test_a_comment_has_room_for_it_whatever_the_model(name: str) -> None:
    long = "&|<\n" * 5000
    one = {
        **of_paths([name.format(f"x{2 * i}") for i in range(1500)], long),
        "sizes": {f"s{i}{long}": 1 for i in range(30)},
    }
    other = {**of_paths([name.format(f"y{2 * i}") for i in range(1500)], long), "coverage": {"unmodelled": []}}
    other["coverage"]["unmodelled"] = [{"op": f"lib.op{i}", "count": 1} for i in range(5000)]
    for depth in (None, 1):
        comparison = ic.compare(before=one, after=other, limits=[f"{figure}:any" for figure in LIMITED] * 20)
        text = comparison.to_markdown(depth=depth)
        assert len(text.encode()) < GITHUBS_LIMIT
        assert comparison.failed
        shown = sum(" removed " in line or " added " in line for line in text.splitlines() if line.startswith("| "))
        left = re.search(r"The last (\d+) of 3000 rows are left out", text)
        assert left is not None
        assert shown + int(left[1]) == 3000
        assert text.rstrip().endswith(".")
        assert "</details>" in text


def test_help_says_what_codes_there_are() -> None:
    for arguments in (("diff", "--help"), ("--help",)):
        text = " ".join(CliRunner().invoke(main, arguments).stdout.split())
        assert re.search(r"3 a limit of .* exceeded", text)
