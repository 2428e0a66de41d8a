"""Comparison of two profiles: every figure, input form and output form."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from support.toy_graphs import WIDTH, blocks, chain, transformer

import pyinfercost as ic
from pyinfercost.cli import main
from pyinfercost.predict.diff import TOTALS, DocumentError
from pyinfercost.predict.diff_tree import collapsed
from pyinfercost.predict.limits import LimitError
from pyinfercost.results.profile_changes import FIGURES, Change
from pyinfercost.results.units import quantity, significant

PRICED = {"hardware": "epyc-7742", "threads": 8, "price": 1.0}
"""With it some times of blocks that did not change differ by a little: a model's start is shared out among layers."""


@pytest.fixture(scope="module")
def before() -> ic.results.Profile:
    return ic.profile(transformer(layers=2), **PRICED)


@pytest.fixture(scope="module")
def after() -> ic.results.Profile:
    return ic.profile(transformer(layers=3), **PRICED)


@pytest.fixture(scope="module")
def counts() -> ic.results.ProfileChanges:
    """Two profiles without hardware: no figure of a block depends on other blocks."""
    return ic.compare(before=ic.profile(transformer(layers=2)), after=ic.profile(transformer(layers=3)))


def changes_of(comparison: ic.results.ProfileChanges) -> list[Any]:
    rows = [getattr(row, name) for row in comparison.modules for name in FIGURES]
    return [*comparison.totals.values(), *rows]


def test_a_profile_and_itself_have_zero_differences_only(before: ic.results.Profile) -> None:
    same = ic.compare(before=before, after=before)
    assert not same.changed
    assert same.warnings == ()
    assert {row.status for row in same.modules} == {"same"}
    assert {change.difference for change in changes_of(same) if change.before is not None} == {0}
    assert [name for name, total in same.totals.items() if total.before is None] == [
        "kv_cache_bytes",  # no keys and values are kept
        "kv_cache_bytes_per_token",
        "kv_cache_bytes_per_sequence",
        "usd_per_million_tokens",  # no ids are looked up in a table of embeddings
        "carbon_g",  # nothing says where the machine stands
    ]
    assert "No module differs." in str(same)


def test_figures_of_a_block_that_was_added(before: ic.results.Profile, after: ic.results.Profile) -> None:
    added = ic.compare(before=before, after=after)["2.up"]
    assert added.status == "added"
    # rows: batch 2 x sequence 16; 64 -> 256 with a bias
    assert added.flops.before == 0
    assert added.flops.difference == 32 * (2 * 64 * 256 + 256)
    assert added.parameter_bytes.difference == 4 * (64 * 256 + 256)
    assert added.flops.ratio is None
    assert added.latency_s.difference == added.latency_s.after > 0
    removed = ic.compare(before=after, after=before)["2.up"]
    assert removed.status == "removed"
    assert removed.flops.difference == -32 * (2 * 64 * 256 + 256)
    assert removed.flops.ratio == 0


@pytest.mark.parametrize("name", FIGURES)
def test_modules_add_up_to_the_totals(before: ic.results.Profile, after: ic.results.Profile, name: str) -> None:
    comparison = ic.compare(before=before, after=after)
    total = comparison.totals[name]
    assert total.difference > 0
    for rows in (comparison.modules, collapsed(comparison.modules, 1)):
        for when in ("before", "after", "difference"):
            assert sum(getattr(getattr(row, name), when) for row in rows) == pytest.approx(getattr(total, when))


def test_modules_stand_in_the_order_of_the_graph(before: ic.results.Profile, after: ic.results.Profile) -> None:
    longer = list(dict.fromkeys(layer.module for layer in after.counts.layers))
    assert [row.module for row in ic.compare(before=before, after=after).modules] == longer
    assert [row.module for row in ic.compare(before=after, after=before).modules] == longer


def test_what_was_removed_stands_before_what_came_next() -> None:
    first, second = ({"estimate": None, **document(paths)} for paths in ("abxcd", "aybed"))
    assert "".join(row.module for row in ic.compare(before=first, after=second).modules) == "aybexcd"


def document(paths: str) -> dict[str, Any]:
    """A profile of one product per module, without hardware."""
    counts = {"contraction_flops": 2, "pointwise_flops": 0, "bytes_read": 3, "bytes_written": 1}
    layers = [{"module": path, "op": "aten.mm", **counts, "latency_s": None} for path in paths]
    return {
        "schema_version": 1,
        "model": "m",
        "sizes": {},
        "totals": {name: value * len(paths) for name, value in counts.items()},
        "coverage": {"unmodelled": []},
        "layers": layers,
        "estimate": None,
    }


def test_a_document_of_before_modules_has_no_parameters_by_module() -> None:
    comparison = ic.compare(before=document("ab"), after=document("a"))
    assert comparison["b"].flops.difference == -2
    assert comparison["b"].traffic_bytes.difference == -4
    assert comparison["b"].parameter_bytes.difference is None
    assert comparison.totals["latency_s"].before is None


def test_collapsed_modules_are_added_only_where_all_of_them_are(counts: ic.results.ProfileChanges) -> None:
    status = {row.module: row.status for row in collapsed(counts.modules, 1)}
    assert status == {"": "changed", "patch": "same", "0": "same", "1": "same", "2": "added"}
    with pytest.raises(ValueError, match="depth is 0; expected a whole number from 1"):
        collapsed(counts.modules, 0)


def test_a_tied_weight_counts_once() -> None:
    builder = ic.GraphBuilder("tied")
    x = builder.tensor("float32", (1, WIDTH), role="input", name="x")
    weight = builder.tensor("float32", (WIDTH, WIDTH), role="parameter", name="embed.weight")
    y, z = (builder.tensor("float32", (1, WIDTH)) for _ in range(2))
    builder.node("aten.linear.default", {"input": x, "weight": weight}, [y], module="embed")
    builder.node("aten.linear.default", {"input": y, "weight": weight}, [z], module="head")
    tied = ic.profile(builder.build([x], [z]))
    comparison = ic.compare(before=tied, after=tied)
    assert comparison["embed"].parameter_bytes.after == 4 * WIDTH * WIDTH
    assert comparison["head"].parameter_bytes.after == 0
    assert comparison.totals["parameter_bytes"].after == 4 * WIDTH * WIDTH


# --- what else differs ---------------------------------------------------------------------------------------------


def test_other_machines_precisions_executions_and_sizes_are_allowed_and_said() -> None:
    one = ic.profile(blocks(), hardware="t4")
    other = ic.profile(blocks(), hardware="a10", precision="fp16", execution="compiled", batch=4, price=1.0)
    comparison = ic.compare(before=one, after=other)
    assert [text.partition(";")[0] for text in comparison.warnings] == [
        "hardware differs: t4 before, a10 after",
        "precision differs: native before, fp16 after",
        "execution differs: eager before, compiled after",
        f"price differs: not given before, {other.to_dict()['estimate']['cost']['price']['text']} after",
        "utilization differs: not given before, 1.0 after",
        "size batch differs: 1 before, 4 after",
    ]
    assert "Warning: execution differs: eager before, compiled after" in str(comparison)
    assert comparison.totals["flops"].ratio == 4
    assert comparison.totals["cost_usd"].difference is None
    assert comparison.totals["cost_usd"].before is None
    assert comparison["head"].cost_usd.after > 0
    assert "cost of 1M" in str(comparison)
    assert "not known" in str(comparison)


def test_rounding_is_no_difference() -> None:
    assert not Change(0.1 + 0.2, 0.3).changed
    assert Change(0.3, 0.300001).changed
    assert Change(None, 0.0).changed
    assert not Change(None, None).changed


def test_without_hardware_times_are_not_known(before: ic.results.Profile) -> None:
    counted = ic.profile(transformer(layers=2))
    comparison = ic.compare(before=counted, after=before)
    assert comparison.warnings[0].startswith("hardware differs: not given before, epyc-7742 after")
    assert comparison["0.up"].latency_s.before is None
    assert comparison["0.up"].flops.difference == 0
    assert comparison.totals["energy_j"].difference is None
    both = ic.compare(before=counted, after=ic.profile(transformer(layers=3)))
    assert "latency" not in str(both)
    assert "added" in str(both)


def test_a_machine_without_power_has_no_energy_here_either() -> None:
    machines = {name: ic.profile(blocks(), hardware=name) for name in ("t4", unpowered())}
    one, other = machines.values()
    comparison = ic.compare(before=one, after=other)
    assert comparison.totals["energy_j"].after is None
    assert comparison["head"].energy_j.after is None
    assert comparison["head"].energy_j.before > 0
    assert "energy" in str(comparison)
    assert ic.compare(before=other, after=other).totals["energy_j"].before is None
    assert "energy" not in str(ic.compare(before=other, after=other))


def unpowered() -> str:
    """A machine of the catalog whose power nobody has published."""
    from pyinfercost.hardware import names

    for name in names():
        try:
            if ic.estimate(blocks(), hardware=name).energy_j is None:
                return name
        except ValueError:
            continue
    pytest.skip("all machines of the catalog have a power now")


def test_what_is_not_modelled_is_said_and_not_zero() -> None:
    comparison = ic.compare(before=ic.profile(blocks(), **PRICED), after=ic.profile(blocks(custom_op=True), **PRICED))
    mix = comparison["mix"]
    assert mix.status == "added"
    assert mix.flops.after is None
    assert mix.latency_s.after is None
    assert comparison.warnings == ("not modelled after, and in no figure there: mylib.mix x1",)
    line = next(line for line in str(comparison).splitlines() if line.startswith("mix"))
    assert "?" in line


# --- ways to give a profile ----------------------------------------------------------------------------------------


def test_a_profile_its_document_and_its_file_are_the_same(
    before: ic.results.Profile, after: ic.results.Profile, tmp_path: Path
) -> None:
    path = tmp_path / "before.json"
    path.write_text(before.to_json(), encoding="utf-8")
    wanted = ic.compare(before=before, after=after)
    assert ic.compare(before=before.to_dict(), after=after) == wanted
    assert ic.compare(before=path, after=after.to_dict()) == wanted
    assert ic.compare(before=str(path), after=after) == wanted


def test_a_slower_fused_execution_has_its_reason() -> None:
    # 26.9 us of host time for each kernel of compiled code, and 25 us for each eager one.
    eager, compiled, recorded = (
        ic.profile(chain(), hardware="h100-sxm-80gb", execution=execution, precision="fp16")
        for execution in ("eager", "compiled", "reduce-overhead")
    )
    ratio = compiled.estimate.latency_s / eager.estimate.latency_s
    assert ratio > 1.01
    layers = [layer for layer in compiled.estimate.layers if layer.effect == "host-bound (dispatch)"]
    added_s = sum(layer.latency_s for layer in layers) - sum(
        layer.latency_s for layer in eager.estimate.layers if layer.effect == "host-bound (dispatch)"
    )
    by_op: dict[str, float] = {}
    for layer in layers:
        by_op[layer.op] = by_op.get(layer.op, 0.0) + layer.latency_s
    most = max(by_op, key=lambda op: by_op[op]).removeprefix("aten.")
    for comparison in (
        ic.compare(before=eager, after=compiled),
        ic.compare(before=compiled, after=eager),
        ic.compare(before=eager.estimate, after=compiled.estimate),
    ):
        reason = comparison.warnings[-1]
        assert reason.startswith(f"compiled takes {significant(ratio)} times as long as eager: kernels with the effect")
        assert f"'host-bound (dispatch)' take {quantity(added_s, 's')} more, foremost the kernels of {most} (" in reason
    assert len(ic.compare(before=eager, after=recorded).warnings) == 1  # a recorded graph is faster
    assert len(ic.compare(before=compiled, after=recorded).warnings) == 1  # both are fused
    other = ic.profile(compiled, hardware="l4")
    assert not any("as long as" in text for text in ic.compare(before=eager, after=other).warnings)


def test_estimates_have_times_and_no_counts(before: ic.results.Profile, after: ic.results.Profile) -> None:
    comparison = ic.compare(before=before.estimate, after=after.estimate)
    whole = ic.compare(before=before, after=after)
    for name in ("latency_s", "energy_j", "cost_usd"):
        assert comparison.totals[name] == whole.totals[name]
        assert getattr(comparison["2.up"], name).after == getattr(whole["2.up"], name).after
    assert comparison.totals["flops"].before is None
    assert comparison["2.up"].flops.difference is None
    shared = ic.estimate(blocks(), hardware="t4", devices=2, batch=4)
    assert ic.compare(before=ic.estimate(blocks(), hardware="t4", batch=4), after=shared).warnings == (
        "devices differs: 1 before, 2 after; this changes times, energy and memory, too",
    )


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"schema_version": 1, "points": []}, "after is not a profile; expected what `pyinfercost profile"),
        ({**document("a"), "schema_version": 9}, "after has schema_version 9; expected 1"),
        ({**document("a"), "layers": [{"module": "a"}]}, r"latency_s of layers\[0\] of after is missing"),
        (
            {**document("a"), "totals": {"parameters": "64*batch"}},
            r"parameters of totals of after is '64\*batch'; expected 0 or a number",
        ),
    ],
)
def test_what_is_no_profile_is_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(DocumentError, match=message):
        ic.compare(before=document("a"), after=given)


def test_other_types_and_files_are_refused(tmp_path: Path, before: ic.results.Profile) -> None:
    with pytest.raises(TypeError, match="before is of type int; expected a Profile, an Estimate, a dict or a path"):
        ic.compare(before=1, after=before)
    path = tmp_path / "table.txt"
    path.write_text(str(before), encoding="utf-8")
    with pytest.raises(DocumentError, match=r"table\.txt is no JSON"):
        ic.compare(before=path, after=before)
    with pytest.raises(FileNotFoundError):
        ic.compare(before=tmp_path / "absent.json", after=before)


def test_an_unknown_module_is_an_error_that_names_some(before: ic.results.Profile) -> None:
    with pytest.raises(KeyError, match="no module 'nowhere' on either side; expected one of"):
        ic.compare(before=before, after=before)["nowhere"]


# --- ways to show it -----------------------------------------------------------------------------------------------


def test_json_has_every_figure(before: ic.results.Profile, after: ic.results.Profile) -> None:
    comparison = ic.compare(before=before, after=after)
    written = json.loads(comparison.to_json())
    assert written == comparison.to_dict()
    assert written["schema_version"] == 1
    assert written["changed"] is True
    assert set(written["totals"]) == set(TOTALS)
    assert written["before"]["hardware"] == "epyc-7742"
    assert written["after"]["sizes"] == {"batch": 2, "sequence": 16}
    row = next(module for module in written["modules"] if module["module"] == "2.up")
    assert set(row) == {"module", "status", *FIGURES}
    assert row["flops"] == {"before": 0, "after": 1056768, "difference": 1056768, "ratio": None}


def test_csv_has_the_total_and_a_line_for_each_module(before: ic.results.Profile, after: ic.results.Profile) -> None:
    comparison = ic.compare(before=before, after=after)
    rows = list(csv.DictReader(io.StringIO(comparison.to_csv())))
    assert [row["module"] for row in rows] == ["(total)", *(row.module for row in comparison.modules)]
    assert float(rows[0]["latency_s_difference"]) == comparison.totals["latency_s"].difference
    assert {row["status"] for row in rows} == {"changed", "same", "added"}


def test_the_table_has_rows_for_what_changed_only(counts: ic.results.ProfileChanges) -> None:
    lines = counts.to_text(depth=1).splitlines()
    assert [line.split()[:2] for line in lines if line.split()[1:2] in (["changed"], ["added"])] == [
        ["(itself)", "changed"],
        ["2", "added"],
    ]
    assert any("Unchanged: 3 of 5 modules" in line for line in lines)
    assert any("below depth 1 of 2 are summed up" in line for line in lines)


def test_a_table_is_no_wider_than_asked_for(before: ic.results.Profile, after: ic.results.Profile) -> None:
    comparison = ic.compare(before=before, after=after)
    assert max(map(len, str(comparison).splitlines())) <= 100
    assert max(map(len, comparison.to_text(width=80).splitlines())) <= 80


def test_the_default_depth_keeps_the_table_short() -> None:
    comparison = ic.compare(before=ic.profile(transformer(layers=1)), after=ic.profile(transformer(layers=40)))
    text = str(comparison)
    assert len(text.splitlines()) < 60 + 20
    assert "below depth 1 of 2 are summed up" in text


def test_markdown_has_the_rows_of_the_table(counts: ic.results.ProfileChanges) -> None:
    text = counts.to_markdown(depth=1)
    rows = [line.split(" | ")[0].removeprefix("| ") for line in text.splitlines() if line.startswith("| ")]
    assert rows[-5:] == ["module", "---", "(itself)", "2", "total"]


# --- the command ---------------------------------------------------------------------------------------------------


@pytest.fixture
def files(before: ic.results.Profile, after: ic.results.Profile, tmp_path: Path) -> list[str]:
    """Both profiles as the command line writes them."""
    paths = [tmp_path / "before.json", tmp_path / "after.json"]
    for path, profile in zip(paths, (before, after), strict=True):
        path.write_text(profile.to_json() + "\n", encoding="utf-8")
    return [str(path) for path in paths]


def invoke(*arguments: str) -> Result:
    return CliRunner().invoke(main, ("diff", *arguments))


def test_the_command_shows_what_the_api_does(
    files: list[str], before: ic.results.Profile, after: ic.results.Profile
) -> None:
    comparison = ic.compare(before=before, after=after)
    assert invoke(*files).stdout == comparison.to_text()
    assert invoke(*files, "--depth", "1").stdout == comparison.to_text(depth=1)
    assert invoke(*files, "--depth", "1", "--format", "md").stdout == comparison.to_markdown(depth=1)
    assert json.loads(invoke(*files, "--format", "json").stdout) == comparison.to_dict()
    assert invoke(*files, "--format", "csv").stdout == comparison.to_csv()


def test_the_command_writes_a_file(files: list[str], tmp_path: Path) -> None:
    path = tmp_path / "comparison.json"
    result = invoke(*files, "--format", "json", "-o", str(path))
    assert (result.exit_code, result.output) == (0, "")
    assert json.loads(path.read_text(encoding="utf-8"))["before"]["model"] == "transformer"


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (["--format", "csv", "--depth", "1"], 2, "--depth is for tables and Markdown"),
        (["-o", "/nowhere/at/all.txt"], 1, "does not exist"),
    ],
)
def test_the_command_refuses(files: list[str], options: list[str], code: int, message: str) -> None:
    result = invoke(*files, *options)
    assert result.exit_code == code
    assert message in result.stderr


def test_a_file_that_is_no_profile_fails_with_a_message(files: list[str], tmp_path: Path) -> None:
    swept = tmp_path / "swept.json"
    swept.write_text(json.dumps({"schema_version": 1, "model": "m", "points": []}), encoding="utf-8")
    result = invoke(files[0], str(swept))
    assert result.exit_code == 1
    assert "is not a profile; expected what `pyinfercost profile MODEL --format json` writes" in result.stderr


# --- untrusted documents --------------------------------------------------------------------------------------------

HUGE = 10**400  # no float holds it
WRONG_PARTS: list[tuple[dict[str, Any], str]] = [
    ({"layers": None, "totals": None, "estimate": None}, ""),
    ({"layers": 0.0}, "layers of after is 0.0; expected a list of objects"),
    ({"layers": [3]}, r"layers\[0\] of after is 3; expected an object"),
    ({"layers": [{"module": 1, "latency_s": 0}]}, r"module of layers\[0\] of after is 1; expected a text"),
    ({"layers": [{"module": "a", "latency_s": "1"}]}, r"latency_s of layers\[0\] of after is '1'; expected"),
    ({"layers": [{"module": "a", "latency_s": -1e-320}]}, r"latency_s of layers\[0\] .* is -1e-320; expected 0 or"),
    ({"layers": [{"module": "a", "latency_s": 1e-320}]}, r"latency_s of layers\[0\] .* is 1e-320; expected 0 or"),
    ({"layers": [{"module": "a", "latency_s": 0, "energy_j": HUGE}]}, "energy_j .* is a whole number of 401 digits"),
    ({"layers": [{"module": "a", "latency_s": 0, "pointwise_flops": True}]}, "pointwise_flops .* is True; expected"),
    ({"layers": [{"module": "a", "latency_s": 0, "op": []}]}, r"op of layers\[0\] of after is \[\]"),
    ({"layers": [{"module": "\ud800", "latency_s": 0}]}, "half of a surrogate pair"),
    ({"totals": [[]]}, r"totals of after is \[\[\]\]; expected an object"),
    ({"totals": {"bytes_written": HUGE}}, "bytes_written of totals of after is a whole number of 401 digits"),
    ({"totals": {"parameters": -1}}, "parameters of totals of after is -1; expected"),
    ({"estimate": 3}, "estimate of after is 3; expected an object"),
    ({"estimate": {"hardware": []}}, r"hardware of estimate of after is \[\]; expected a text"),
    ({"estimate": {"threads": 1.5}}, "threads of estimate of after is 1.5; expected a whole number"),
    ({"estimate": {"cost": {"price": 3}}}, "price of cost of estimate of after is 3|price of cost"),
    ({"model": [""]}, r"model of after is \[''\]; expected a text"),
    ({"sizes": []}, r"sizes of after is \[\]; expected an object"),
    ({"sizes": {"batch": 1.5}}, "size batch of after is 1.5; expected a whole number"),
    ({"modules": [{"module": None, "parameter_bytes": 0}]}, ""),
    ({"modules": [{"module": 1}]}, r"module of modules\[0\] of after is 1; expected a text"),
    ({"coverage": {"unmodelled": [{"op": 1}]}}, r"op of unmodelled\[0\] of coverage|op of unmodelled"),
    ({"schema_version": 10**5000}, "schema_version a whole number of 5001 digits"),
]


@pytest.mark.parametrize(("part", "message"), WRONG_PARTS, ids=[str(place) for place in range(len(WRONG_PARTS))])
def test_a_document_of_wrong_parts_names_the_part(part: dict[str, Any], message: str) -> None:
    given = {**document("a"), **part}
    if not message:
        comparison = ic.compare(before=document("a"), after=given)
        assert comparison.to_text()
        assert comparison.to_markdown().encode()
        assert comparison.to_csv().encode()
        assert json.loads(comparison.to_json())
        return
    with pytest.raises(DocumentError, match=message):
        ic.compare(before=document("a"), after=given)


@pytest.mark.parametrize(
    "text",
    ["", "{", "[" * 100_000, "9" * 5000, "<html>", '<script type="application/json" id="pyinfercost-profile">[[['],
)
def test_a_file_that_is_no_profile_is_named(text: str, tmp_path: Path) -> None:
    path = tmp_path / "other.json"
    path.write_text(text)
    with pytest.raises(DocumentError, match=r"other\.json"):
        ic.compare(before=path, after=path)


@pytest.mark.parametrize("limit", [3, None, "", "latency_s:+" + "9" * 5000 + "%", "latency_s:\x1b", "\ud800:any"])
def test_what_is_no_limit(limit: Any) -> None:
    with pytest.raises(LimitError) as error:
        ic.compare(before=document("a"), after=document("a"), limits=[limit])
    assert str(error.value).isprintable()


def test_ends_of_the_range_have_finite_ratios() -> None:
    least = {**document("a"), "layers": [{"module": "a", "latency_s": 1e-30, "energy_j": 1e30}]}
    most = {**document("a"), "layers": [{"module": "a", "latency_s": 1e30, "energy_j": 1e-30}]}
    found = json.loads(ic.compare(before=least, after=most).to_json())
    assert found["modules"][0]["latency_s"]["ratio"] == pytest.approx(1e60)
