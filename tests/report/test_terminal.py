"""The profile's table: order of rows, the most costly ones, bars, colors, and the roofline."""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from rich.console import Console
from support.toy_graphs import WIDTH, blocks, transformer

import pyinfercost as ic
from pyinfercost.cli import main
from pyinfercost.report.roofline import Dot, Ridge, Roof, Roofline, Slope, roofline_of
from pyinfercost.report.roofline_text import Axes, axes_of, drawn, mark_of
from pyinfercost.report.rows import SORTS, Row, Shown, shown_rows
from pyinfercost.report.table import Bars, profile_view

A100 = "a100-sxm-80gb"
COLOR = re.compile(r"\x1b\[[0-9;]*\b(3[0-7]|9[0-7])[0-9;]*m")


@pytest.fixture(scope="module")
def profile() -> ic.results.Profile:
    return ic.profile(transformer(), hardware=A100, batch=4)


@pytest.fixture(scope="module")
def counted() -> ic.results.Profile:
    return ic.profile(blocks(custom_op=True), batch=64)


def uneven() -> ic.Graph:
    """Three linear layers in two modules: `a.wide`, then `b.thin` and `b.wider`, of 64, 32 and 128 rows of weights."""
    builder = ic.GraphBuilder("uneven")
    x = start = builder.tensor("float32", (8, WIDTH), role="input")
    out = []
    for module, rows in (("a.wide", 64), ("b.thin", 32), ("b.wider", 128)):
        weight = builder.tensor("float32", (rows, WIDTH), role="parameter", name=f"{module}.weight")
        y = builder.tensor("float32", (8, rows))
        builder.node("aten.linear.default", {"input": x, "weight": weight}, [y], module=module)
        out.append(y)
    return builder.build([start], out)


VALUES: dict[str, Callable[[Row], float | None]] = {
    "latency": lambda row: row.latency_s,
    "share": lambda row: row.latency_s,
    "flops": lambda row: row.flops,
    "traffic": lambda row: row.traffic_bytes,
    "params": lambda row: row.parameters,
    "energy": lambda row: row.energy_j,
    "memory": lambda row: row.peak_activation_bytes,
}


# --- order ---------------------------------------------------------------------------------------------------------


def paths(shown: Shown) -> list[str]:
    return [row.path for row in shown.rows]


def test_the_order_is_that_of_the_graph_unless_asked_otherwise() -> None:
    assert paths(shown_rows(ic.profile(uneven()))) == ["a", "b", "b.thin", "b.wider"]


@pytest.mark.parametrize("sort", ["flops", "share", "params", "traffic"])
def test_siblings_are_sorted_and_the_tree_is_kept(sort: str) -> None:
    # b has 160 of the 224 rows of weights, b.wider 128 of b's 160
    assert paths(shown_rows(ic.profile(uneven()), sort=sort)) == ["b", "b.wider", "b.thin", "a"]


@pytest.mark.parametrize("sort", SORTS)
def test_every_figure_sorts_siblings_from_the_largest(profile: ic.results.Profile, sort: str) -> None:
    shown = shown_rows(profile, sort=sort, depth=9)
    parents: dict[tuple[int, str], list[float]] = {}
    above: list[str] = []
    for row in shown.rows:
        above = [*above[: row.level - 1], row.path]
        parents.setdefault((row.level, ".".join(above[:-1])), []).append(VALUES[sort](row) or 0.0)
    assert len(parents) > 2
    assert all(values == sorted(values, reverse=True) for values in parents.values())
    assert sorted(paths(shown)) == sorted(paths(shown_rows(profile, depth=9)))


def test_rows_of_equal_figures_stay_in_the_order_of_the_graph(profile: ic.results.Profile) -> None:
    listed = [path for path in paths(shown_rows(profile, sort="params", depth=9)) if path in ("0.q", "0.k", "0.v")]
    assert listed == ["0.q", "0.k", "0.v"]


def test_unknown_ops_come_last(counted: ic.results.Profile) -> None:
    assert shown_rows(counted, sort="flops", depth=1).rows[-1].path == "mix"


@pytest.mark.parametrize("sort", ["latency", "energy"])
def test_what_only_a_machine_has_needs_one(counted: ic.results.Profile, sort: str) -> None:
    with pytest.raises(ValueError, match="without a machine"):
        counted.to_text(sort=sort)


def test_wrong_figures_and_numbers_are_refused(counted: ic.results.Profile) -> None:
    with pytest.raises(ValueError, match="sort is 'speed'; expected one of flops, traffic"):
        counted.to_text(sort="speed")
    with pytest.raises(ValueError, match="top is 0; expected a whole number from 1"):
        counted.to_text(top=0)
    with pytest.raises(ValueError, match="which a roofline needs"):
        counted.to_text(roofline=True)


def test_energy_needs_a_machine_whose_power_is_known() -> None:
    usable = [name for name in ic.hardware.names() if not ic.hardware.describe(name)["missing"]]
    unknown = next(name for name in usable if ic.estimate(blocks(), hardware=name).energy_j is None)
    with pytest.raises(ValueError, match="has no power"):
        ic.profile(blocks(), hardware=unknown).to_text(sort="energy")


# --- the most costly -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sort", [sort for sort in SORTS if sort != "memory"])
def test_the_most_costly_rows_add_up_to_what_is_said(profile: ic.results.Profile, sort: str) -> None:
    everything = shown_rows(profile, sort=sort, top=1000)
    total = {
        "latency": profile.estimate.latency_s,
        "share": profile.estimate.latency_s,
        "energy": profile.estimate.energy_j,
        "flops": profile.counts.total.flops,
        "traffic": profile.counts.total.bytes_read + profile.counts.total.bytes_written,
        "params": profile.counts.total.parameters,
    }[sort]
    assert everything.left_out == 0
    assert sum(VALUES[sort](row) or 0 for row in everything.rows) == pytest.approx(total, rel=1e-12)
    top = shown_rows(profile, sort=sort, top=5)
    assert [row.path for row in top.rows] == paths(everything)[:5]
    share = sum(VALUES[sort](row) or 0 for row in top.rows) / total
    line = next(line for line in profile.to_text(sort=sort, top=5).splitlines() if line.startswith("These 5 of "))
    assert f"have {100 * share:.0f} % of the" in line
    assert f"; {top.left_out} rows with less are left out." in line
    assert top.left_out == len(everything.rows) - 5


def test_the_list_has_whole_paths_and_no_indents(profile: ic.results.Profile) -> None:
    lines = profile.to_text(top=3, sort="params").splitlines()
    first = next(number for number, line in enumerate(lines) if line.startswith("---")) + 1
    assert [line.split()[0] for line in lines[first : first + 3]] == ["0.up", "1.up", "0.down"]
    assert "These 3 of" in lines[first + 5]


def test_without_a_figure_the_list_is_by_share(profile: ic.results.Profile, counted: ic.results.Profile) -> None:
    assert profile.to_text(top=3) == profile.to_text(top=3, sort="latency")
    assert counted.to_text(top=3) == counted.to_text(top=3, sort="flops")
    # 3 products of 2 x 64 x 64 x 64 FLOPs, and beside them 2 relus and 2 sums of 64 x 64: 16384 of 1589248
    assert "These 3 of 8 rows have 99 % of the FLOPs; 5 rows" in counted.to_text(top=3)


def test_memory_is_not_added_up(profile: ic.results.Profile) -> None:
    text = profile.to_text(top=2, sort="memory")
    assert "run while most is held, up to" in text
    held = shown_rows(profile, top=1, sort="memory").rows[0].peak_activation_bytes
    assert held == profile.counts.total.peak_activation_bytes


def test_depth_makes_the_rows_of_the_list_modules(profile: ic.results.Profile) -> None:
    assert {row.level for row in shown_rows(profile, top=9, depth=1).rows} == {1}
    assert {"0", "1"} <= set(paths(shown_rows(profile, top=9, depth=1)))


def test_markdown_has_the_same_rows(profile: ic.results.Profile) -> None:
    table = [line for line in profile.to_markdown(sort="params", top=2).splitlines() if line.startswith("|")]
    assert [line.split()[1] for line in table[2:]] == ["0.up", "1.up", "total"]
    assert "These 2 of" in profile.to_markdown(sort="params", top=2)
    assert profile.to_markdown(sort="flops") != profile.to_markdown()
    assert "#" not in profile.to_markdown()


# --- bars and pages ------------------------------------------------------------------------------------------------


def test_bars_are_as_long_as_shares() -> None:
    bars = Bars("", "", [], shares=(0.5, 0.25, 0.125, 0.01, 0.0, None), bounds=(), largest=0.5)
    assert bars.drawn(8, blocks=False) == ["########", "####", "##", "", "", ""]
    # 8 cells of 8 eighths for a half: 0.01 is 1.28 eighths
    assert bars.drawn(8, blocks=True) == ["████████", "████", "██", "▏", "", ""]
    assert bars.drawn(6, blocks=True)[1:4] == ["███", "█▌", "▏"]
    assert bars.heading(8) == "0     50"


@pytest.mark.parametrize("width", [60, 72, 80, 90, 160])
def test_lines_fit_the_page_and_bars_line_up(profile: ic.results.Profile, width: int) -> None:
    text = profile.to_text(width=width, sort="latency")
    assert text.isascii()
    assert "\x1b" not in text
    lines = text.splitlines()
    assert max(map(len, lines)) <= width
    starts = {line.index(" #") for line in lines if " #" in line}
    assert len(starts) == (1 if width == 160 else 0), "the bar is the first to go"
    rule = next(line for line in lines if line.startswith("---"))
    assert len(rule) <= width


def test_without_a_machine_there_is_room_for_bars_of_flops(counted: ic.results.Profile) -> None:
    line = next(line for line in str(counted).splitlines() if line.startswith("head"))
    assert line.split()[-2:] == ["33", "#" * 10]  # a third; the blocks together have two, which fill 20
    assert "#" not in counted.to_text(width=60)


def test_long_names_keep_the_end_that_tells_them_apart() -> None:
    builder = ic.GraphBuilder("long")
    x = start = builder.tensor("float32", (4, 4), role="input")
    for number in range(3):
        y = builder.tensor("float32", (4, 4))
        module = ".".join(["a_module_of_a_very_long_name"] * 6 + [f"layer_{number}"])
        builder.node("aten.relu.default", {"self": x}, [y], module=module)
        x = y
    profile = ic.profile(builder.build([start], [x]), hardware=A100)
    for width in (60, 80, 100, 160):
        text = profile.to_text(top=3, width=width)
        assert max(map(len, text.splitlines())) <= width
        assert all(f"layer_{number} " in text for number in range(3))
        assert max(map(len, profile.to_text(width=width, depth=9).splitlines())) <= width


def printed(profile: ic.results.Profile, *, width: int = 160, encoding: str = "utf-8", **how: bool) -> str:
    """What a terminal of a width would get."""
    file = io.TextIOWrapper(io.BytesIO(), encoding=encoding, newline="\n")
    options = {"force_terminal": True, "color_system": "standard", "legacy_windows": False, "_environ": {}} | how
    Console(file=file, width=width, **options).print(profile_view(profile, roofline=True))
    file.seek(0)
    return file.read()


def test_a_terminal_gets_blocks_in_the_color_of_the_bound(profile: ic.results.Profile) -> None:
    text = printed(profile)
    assert "█" in text
    assert "\x1b[35m" in text, "launch is magenta"
    assert "bound by" in text
    lines = re.sub(r"\x1b\[[0-9;]*m", "", text).splitlines()
    assert len({line.index("█") for line in lines if "█" in line}) == 1


def test_a_terminal_of_another_encoding_gets_ascii(profile: ic.results.Profile) -> None:
    text = printed(profile, encoding="ascii")
    assert text.isascii()
    assert "####" in text
    assert COLOR.search(text)


def test_a_terminal_without_colors_is_told_none(profile: ic.results.Profile) -> None:
    text = printed(profile, no_color=True)
    assert not COLOR.search(text)
    assert "█" in text
    assert "bound by   compute" not in text


# --- the command ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("graphs") / "toy.json"
    path.write_text(blocks().to_json(), encoding="utf-8")
    return str(path)


def invoke(*arguments: str) -> Result:
    return CliRunner().invoke(main, arguments)


def start(toy: str, **environment: str) -> str:
    """What the real command writes into a pipe."""
    known = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "NO_COLOR", "FORCE_COLOR")}
    return subprocess.run(
        [sys.executable, "-m", "pyinfercost", "profile", toy, "-H", "t4", "--roofline"],
        check=True,
        capture_output=True,
        encoding="utf-8",
        cwd=Path(__file__).parent,
        env={**known, "PYTHONIOENCODING": "utf-8", "TERM": "xterm-256color", **environment},
    ).stdout


def test_a_pipe_gets_plain_ascii(toy: str) -> None:
    text = start(toy)
    assert text.isascii()
    assert "\x1b" not in text
    assert start(toy, FORCE_COLOR="1", CLICOLOR_FORCE="1") == text
    assert text == ic.profile(blocks(), hardware="t4").to_text(roofline=True)


@pytest.mark.skipif(sys.platform == "win32", reason="there are no pseudo-terminals")
@pytest.mark.parametrize(
    ("environment", "colored"), [({}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False)]
)
def test_a_real_terminal(toy: str, environment: dict[str, str], colored: bool) -> None:
    import pty

    ours, theirs = pty.openpty()
    known = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "FORCE_COLOR")}
    process = subprocess.Popen(
        [sys.executable, "-m", "pyinfercost", "profile", toy, "-H", "t4", "--sort", "share"],
        stdout=theirs, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL, cwd=Path(__file__).parent,
        env={**known, "COLUMNS": "140", "TERM": "xterm", "PYTHONIOENCODING": "utf-8", **environment},
    )  # fmt: skip
    os.close(theirs)
    text = b""
    while True:
        try:
            piece = os.read(ours, 65536)
        except OSError:  # how Linux says that the other end is closed
            break
        if not piece:
            break
        text += piece
    os.close(ours)
    assert process.wait() == 0
    shown = text.decode("utf-8")
    assert bool(COLOR.search(shown)) == colored
    assert ("█" in shown) == (environment.get("TERM") != "dumb")


def test_the_command_has_what_the_api_has(toy: str) -> None:
    result = invoke("profile", toy, "-H", "t4", "--sort", "traffic", "--top", "4", "--roofline")
    assert result.stdout == ic.profile(blocks(), hardware="t4").to_text(sort="traffic", top=4, roofline=True)
    markdown = invoke("profile", toy, "--sort", "flops", "--format", "md")
    assert markdown.stdout == ic.profile(blocks()).to_markdown(sort="flops")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--sort", "latency"), "--sort latency needs --hardware"),
        (("--sort", "energy", "--top", "3"), "--sort energy needs --hardware"),
        (("--roofline",), "--roofline needs --hardware"),
        (("--sort", "flops", "--top", "2", "--format", "csv"), "--sort and --top are for tables and Markdown; csv has"),
        (("--top", "2", "--format", "json"), "--top are for tables and Markdown; json has every layer"),
        (("-H", "t4", "--roofline", "--format", "md"), "--roofline is drawn below a table; got --format md"),
        (("--top", "0"), "0 is not in the range"),
        (("--sort", "speed"), "'speed' is not one of"),
    ],
)
def test_what_makes_no_sense_is_wrong_usage(toy: str, arguments: tuple[str, ...], message: str) -> None:
    result = invoke("profile", toy, *arguments)
    assert result.exit_code == 2
    assert message in result.stderr
    assert result.stdout == ""


# --- the roofline --------------------------------------------------------------------------------------------------


def dot(intensity: float, rate: float, share: float, bound: str = "dram") -> Dot:
    return Dot(0, "m", "aten.op", "vector float32", intensity, 1.0, intensity / rate, share, bound)


def line_of(*dots: Dot, without: int = 0) -> Roofline:
    """100 GFLOP/s, 10 GB/s of dram and 100 GB/s of a cache: ridges at 10 and 1 FLOP/B."""
    roof = Roof("vector", ("fp32",), 1e11, used=True)
    slopes = (Slope("l2", 1e11), Slope("dram", 1e10))
    ridges = tuple(Ridge(s.level, roof.label, 1e11 / s.byte_per_s, 1e11) for s in slopes)
    return Roofline("mine", (roof,), slopes, ridges, dots, without, 0.25 if without else 0.0)


def test_axes_are_in_decades() -> None:
    axes = Axes(columns=40, rows=10, left=0.01, right=100.0, low=1e6, high=1e11)
    # Four decades in 40 columns, five in 10 rows: ten columns and two rows to a decade.
    assert [axes.column(value) for value in (0.0101, 0.11, 1.1, 11.0, 99.0)] == [0, 10, 20, 30, 39]
    assert [axes.row(value) for value in (1.1e6, 3.3e6, 1.1e7, 1.1e10, 9e10)] == [9, 8, 7, 1, 0]


def test_marks_are_where_the_figures_say() -> None:
    dots = (dot(0.1, 1e9, 0.004), dot(1.0, 5e9, 0.02), dot(30.0, 5e10, 0.776), dot(0.3, 3e8, 0.2, "launch"))
    found = line_of(*dots)
    axes = axes_of(found, 72)
    lines = ["".join(piece for piece, _ in line) for line in drawn(found, 80)]
    for point, mark in zip(dots, "+o@@", strict=True):
        assert lines[1 + axes.row(point.flop_per_s)][8 + axes.column(point.intensity)] == mark
    plot = "".join(line[8:] for line in lines[1 : 1 + axes.rows])
    assert plot.count("@") == 2
    # Both axes as they are worked out by hand: the edges lie 10^0.15 beyond what is outermost.
    assert axes.left == pytest.approx(0.1 / 10**0.15)
    assert axes.right == pytest.approx(30.0 * 10**0.3)
    assert axes.low == pytest.approx(3e8 / 10**0.15)
    assert axes.high == pytest.approx(1e11 * 10**0.15)


def test_layers_of_one_cell_are_one_mark_with_their_share_together() -> None:
    found = line_of(dot(1.0, 1e9, 0.03), dot(1.0, 1e9, 0.04, "launch"), dot(10.0, 1e10, 0.93, "compute"))
    axes = axes_of(found, 72)
    line = drawn(found, 80, blocks=True)[1 + axes.row(1e9)]
    assert line[1 + axes.column(1.0)] == ("●", "launch")  # 7 %, most of it bound by launches
    assert [mark_of(share) for share in (0.0099, 0.01, 0.049, 0.05, 0.19, 0.2, 1.0)] == [0, 1, 1, 2, 2, 3, 3]


def test_the_roof_the_slope_and_the_ridge() -> None:
    found = line_of(dot(0.1, 1e8, 0.5), dot(100.0, 1e9, 0.5), without=3)
    axes = axes_of(found, 72)
    lines = ["".join(piece for piece, _ in line) for line in drawn(found, 80)]
    assert lines[1 + axes.row(1e11)].rstrip().endswith(" vector fp32 100.0 GFLOP/s --")
    # At 0.5 FLOP/B dram serves 5 GFLOP/s and the cache 50.
    assert lines[1 + axes.row(5e9)][8 + axes.column(0.5)] in ".-'"
    assert lines[1 + axes.row(5e10)][8 + axes.column(0.5)] == ":"
    foot = lines[1 + axes.rows]
    assert foot[8 + axes.column(10.0)] == "^"
    assert "^ ridge of vector fp32 with dram: 10 FLOP/B" in "\n".join(lines)
    ticks = lines[2 + axes.rows]
    assert ticks.endswith("FLOP/B")
    assert ticks[8 + axes.column(1.0)] == "1"
    assert lines[0] == "FLOP/s"
    assert any(line.startswith("  10 G +") for line in lines)
    assert lines[-1] == "3 layers compute nothing, in 25 % of the time: not shown"


@pytest.mark.parametrize("width", [60, 80, 100, 160])
@pytest.mark.parametrize("hardware", [A100, "epyc-7763", "tpu-v4"])
def test_real_rooflines_fit_their_page(width: int, hardware: str) -> None:
    for execution in ("eager", "compiled"):
        profile = ic.profile(transformer(), hardware=hardware, execution=execution)
        lines = ["".join(piece for piece, _ in line) for line in drawn(roofline_of(profile.to_dict()), width)]
        assert all(line.isascii() for line in lines)
        assert max(len(line) for line in lines[:-1]) <= width
        assert 16 <= len(lines) <= 26


def test_a_graph_that_computes_nothing_has_a_roofline_without_marks() -> None:
    builder = ic.GraphBuilder("copies")
    x = start = builder.tensor("float32", (4096, 4096), role="input")
    y = builder.tensor("float32", (4096, 4096))
    builder.node("aten.clone.default", {"self": x}, [y], module="copy")
    text = ic.profile(builder.build([start], [y]), hardware=A100).to_text(roofline=True)
    assert "1 layer computes nothing, in 100 % of the time: not shown" in text
