"""Reports show computed figures: JSON documents, tables, CSV, Markdown, and formatted numbers."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from support.toy_graphs import WIDTH, blocks

import pyinfercost as ic
from pyinfercost.results.units import percent, quantity, scale_for, significant

A100 = "a100-sxm-80gb"
BATCH = 64
LINEAR_FLOPS = 2 * BATCH * WIDTH * WIDTH


@pytest.fixture(scope="module")
def profile() -> ic.results.Profile:
    return ic.profile(blocks(), hardware=A100, batch=BATCH)


@pytest.fixture(scope="module")
def counted() -> ic.results.Profile:
    return ic.profile(blocks(custom_op=True), batch=BATCH)


# --- JSON ----------------------------------------------------------------------------------------------------------

NUMBER = (int, float)
CONTRACT: dict[str, Any] = {
    "schema_version": int,
    "model": str,
    "sizes": {"batch": int},
    "totals": dict.fromkeys(
        (
            "contraction_flops",
            "pointwise_flops",
            "macs",
            "parameters",
            "parameter_bytes",
            "buffer_bytes",
            "bytes_read",
            "bytes_written",
            "peak_activation_bytes",
            "peak_memory_bytes",
        ),
        int,
    ),
    "coverage": {"nodes": int, "modelled_nodes": int, "unmodelled": [{"op": str, "count": int}]},
    "layers": [
        {
            "module": str,
            "op": str,
            "contraction_flops": int,
            "pointwise_flops": int,
            "bytes_read": int,
            "bytes_written": int,
            "latency_s": NUMBER,
            "bound": (str, type(None)),
            "phase": str,
            "live_activation_bytes": int,
        }
    ],
    "memory": {"lifetimes": str, "input_bytes": int, "peak_node": int, "peak_op": str, "peak_module": str},
    "estimate": {
        "hardware": str,
        "precision": str,
        "execution": str,
        "latency_s": NUMBER,
        "latency_low_s": NUMBER,
        "latency_high_s": NUMBER,
        "throughput_per_s": NUMBER,
        "energy_j": (*NUMBER, type(None)) if isinstance(NUMBER, tuple) else (NUMBER, type(None)),
        "cost_usd": type(None),
        "fits_in_memory": bool,
        "bound": dict.fromkeys(("compute", "dram", "cache", "launch"), NUMBER),
    },
}


def assert_holds(document: Any, contract: Any, where: str = "") -> None:
    """Every key of the contract is there with its type; keys may have joined them."""
    if isinstance(contract, dict):
        for key, inner in contract.items():
            assert key in document, f"{where}.{key}"
            assert_holds(document[key], inner, f"{where}.{key}")
    elif isinstance(contract, list):
        assert isinstance(document, list), where
        for item in document:
            assert_holds(item, contract[0], f"{where}[]")
    else:
        assert isinstance(document, contract), where


def test_the_json_document_keeps_its_contract(profile: ic.results.Profile) -> None:
    document = json.loads(profile.to_json())
    assert_holds(document, CONTRACT)
    assert document == profile.to_dict()
    assert document["schema_version"] == 1
    assert document["sizes"] == {"batch": BATCH}
    assert document["totals"]["contraction_flops"] == 3 * LINEAR_FLOPS
    live = [layer["live_activation_bytes"] for layer in document["layers"]]
    assert live[document["memory"]["peak_node"]] == max(live) == document["totals"]["peak_activation_bytes"]
    assert document["memory"]["lifetimes"] == "last_use"  # the toy was built by hand
    assert document["totals"]["macs"] == 3 * LINEAR_FLOPS // 2
    assert len(document["layers"]) == document["coverage"]["nodes"] == 8
    for name in ("contraction_flops", "pointwise_flops", "bytes_read", "bytes_written"):
        assert sum(layer[name] for layer in document["layers"]) == document["totals"][name]
    assert document["estimate"]["latency_s"] == profile.estimate.latency_s
    assert sum(layer["latency_s"] for layer in document["layers"]) == pytest.approx(profile.estimate.latency_s)
    assert {layer["bound"] for layer in document["layers"]} <= {"compute", "dram", "cache", "launch", None}


def test_without_hardware_the_times_are_null(counted: ic.results.Profile) -> None:
    document = json.loads(counted.to_json())
    assert document["estimate"] is None
    assert {layer["latency_s"] for layer in document["layers"]} == {None}
    assert {layer["bound"] for layer in document["layers"]} == {None}
    assert document["coverage"] == {"nodes": 9, "modelled_nodes": 8, "unmodelled": [{"op": "mylib.mix", "count": 1}]}


# --- tables --------------------------------------------------------------------------------------------------------


def cells(text: str, label: str) -> list[str]:
    """The words of the one line that starts with a label."""
    lines = [line for line in text.splitlines() if line.split()[:1] == [label]]
    assert len(lines) == 1, (label, lines)
    return lines[0].split()


def test_the_table_shows_the_tree_with_its_numbers(counted: ic.results.Profile) -> None:
    text = str(counted)
    # 3 * 2 * 64 * 64 * 64 = 1.573 MFLOP, of which a block has a third; 4096 parameters to a linear layer
    header = text.splitlines()[4:6]
    assert header[0].split() == ["module", "op", "contract", "pointwise", "traffic", "params", "FLOPs"]
    assert header[1].split() == ["MFLOP", "kFLOP", "kB", "k", "%", "0", "67"]  # the last two are the scale of the bars
    assert cells(text, "blocks")[1:4] == ["6", "ops", "1.049"]
    assert cells(text, "total")[1:4] == ["8", "nodes", "1.573"] or cells(text, "total")[1:4] == ["9", "nodes", "1.573"]
    assert cells(text, "head") == ["head", "linear", "0.524", "0", "49.15", "4.10", "33", "#" * 10]
    assert text.index("\n  0 ") < text.index("\n    fc ") < text.index("\n    act ") < text.index("\n    - ")
    assert "flatten" not in text, "a view neither computes nor moves anything"


def test_what_is_not_modelled_shows_as_unknown_not_as_zero(
    counted: ic.results.Profile, profile: ic.results.Profile
) -> None:
    assert cells(str(counted), "mix") == ["mix", "mylib.mix", "?", "?", "?", "?"]
    assert str(counted).rstrip().endswith("not modeled: mylib.mix x1 (8 of 9 nodes modeled)")
    assert str(profile).rstrip().endswith("all 8 nodes modeled")


def test_depth_collapses_the_tree_without_changing_totals(profile: ic.results.Profile) -> None:
    collapsed, whole = profile.to_text(depth=1), profile.to_text(depth=9)
    assert cells(collapsed, "total") == cells(whole, "total")
    assert cells(collapsed, "blocks") == cells(whole, "blocks")
    assert "\n  0 " in whole
    assert "\n  0 " not in collapsed
    assert "below depth 1 of 3 are collapsed" in collapsed
    assert "collapsed" not in whole


def test_times_are_shown_with_hardware_only(counted: ic.results.Profile, profile: ic.results.Profile) -> None:
    for word in ("latency", "throughput", "bound by", "fits"):
        assert word in str(profile)
        assert word not in str(counted)


def test_a_node_inside_another_nodes_kernel_is_marked() -> None:
    profile = ic.profile(blocks(), hardware=A100, execution="compiled", batch=BATCH)
    carried = [layer for layer in profile.estimate.layers if layer.note.startswith("in the kernel of node")]
    assert carried, "compiled execution fuses the pointwise ops"
    assert {layer.latency_s for layer in carried} == {0.0}
    marked = [line for line in str(profile).splitlines() if line.endswith("fused")]
    assert len(marked) == len(carried)
    assert "fused" not in str(ic.profile(blocks(), hardware=A100, execution="eager"))


def test_a_long_model_is_shown_short() -> None:
    builder = ic.GraphBuilder("deep")
    x = start = builder.tensor("float32", (4, 4), role="input")
    for number in range(50):
        for name in ("a", "b"):
            y = builder.tensor("float32", (4, 4))
            builder.node("aten.relu.default", {"self": x}, [y], module=f"layer.{number}.{name}")
            x = y
    profile = ic.profile(builder.build([start], [x]))
    assert len(str(profile).splitlines()) < 80
    assert len(profile.to_text(depth=3).splitlines()) > 150
    assert cells(str(profile), "49")[1:3] == ["2", "ops"]


@pytest.mark.parametrize("width", [72, 80, 100])
def test_the_plain_text_is_ascii_and_keeps_its_width(profile: ic.results.Profile, width: int) -> None:
    text = profile.to_text(width=width)
    assert text.isascii()
    assert "\x1b" not in text
    assert max(map(len, text.splitlines())) <= width


def test_names_with_brackets_are_not_taken_for_markup() -> None:
    profile = ic.profile(blocks(model="[bold]mine[/bold]"))
    assert "[bold]mine[/bold]" in str(profile)


def test_repr_is_one_line(profile: ic.results.Profile) -> None:
    assert repr(profile).startswith("<Profile toy, batch=64, 1.5")
    assert f"on {A100}>" in repr(profile)


def test_a_graph_without_nodes_can_be_shown() -> None:
    builder = ic.GraphBuilder("empty")
    x = builder.tensor("float32", (4,), role="input")
    graph = builder.build([x], [x])
    profile = ic.profile(graph, hardware=A100, execution="cuda_graph")
    assert "all 0 nodes modeled" in str(profile)
    assert json.loads(profile.to_json())["estimate"]["throughput_per_s"] is None
    # Issued by a host, even nothing takes until the host has been there and back.
    started = ic.estimate(graph, hardware=A100)
    assert started.latency_s == ic.hardware.load(A100).constants["forward.start_s"] > 0
    assert started.bound_shares["launch"] == 1


# --- CSV, Markdown -------------------------------------------------------------------------------------------------


def test_csv_holds_the_layers(profile: ic.results.Profile) -> None:
    rows = list(csv.DictReader(io.StringIO(profile.to_csv())))
    layers = profile.to_dict()["layers"]
    expected = [{key: "" if value is None else str(value) for key, value in layer.items()} for layer in layers]
    assert rows == expected


def test_markdown_has_the_rows_of_the_table(profile: ic.results.Profile) -> None:
    lines = profile.to_markdown(depth=2).splitlines()
    table = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]
    assert {len(row) for row in table} == {10}
    assert table[0][2] == "contract (MFLOP)"
    assert [row[0].replace("&nbsp;", " ") for row in table[2:]] == ["blocks", "  0", "  1", "head", "total"]
    assert lines[-1] == "- all 8 nodes modeled"


# --- numbers -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "unit", "shown"),
    [
        (0, "B", "0 B"),
        (999, "B", "999 B"),
        (1000, "B", "1.000 kB"),
        (25_557_032, "", "25.56 M"),
        (8_178_000_000, "FLOP", "8.178 GFLOP"),
        (3.2e18, "FLOP", "3.200 EFLOP"),
        (1.5, "s", "1.500 s"),
        (0.0123456, "s", "12.35 ms"),
        (4.2e-6, "s", "4.200 us"),
        (3e-9, "s", "0.003 us"),
    ],
)
def test_a_figure_has_four_digits_and_a_unit(value: float, unit: str, shown: str) -> None:
    assert quantity(value, unit) == shown


def test_an_expression_shows_as_its_text() -> None:
    expression = 2 * ic.Expr.size("batch")
    assert quantity(expression, "FLOP") == f"{expression} FLOP"


def test_a_column_shares_one_unit_and_hides_nothing_as_zero() -> None:
    scale = scale_for(12_345_678, "B", decimals=2)
    assert scale.unit == "MB"
    assert [scale.show(value) for value in (12_345_678, 40_000, 400, 0, None)] == ["12.35", "0.04", "<0.01", "0", ""]


def test_shares_are_whole_percents() -> None:
    assert [percent(share) for share in (0, 0.001, 0.014, 1)] == ["0", "<1", "1", "100"]


def test_significant_digits_without_exponent() -> None:
    assert [significant(value) for value in (0, 0.0012345, 12.345, 123456.7)] == ["0", "0.001234", "12.35", "123457"]


def test_json_and_csv_do_not_need_rich() -> None:
    code = (
        "import sys; sys.path.insert(0, '..'); from support.toy_graphs import blocks; import pyinfercost as ic\n"
        "p = ic.profile(blocks()); p.to_json(); p.to_csv(); repr(p)\n"
        "print([name for name in ('rich', 'numpy', 'torch', 'click') if name in sys.modules])"
    )
    folder = Path(__file__).parent
    result = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, cwd=folder)
    assert result.stdout.strip() == "[]"
