"""Axes that are ranges too long to fill in, and grids that are too large: the same results, or a refusal."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.sweep_checks import check_equal
from support.toy_graphs import blocks, transformer

import pyinfercost as ic
from pyinfercost.errors import CountOverflowError, InputError, InputTypeError, TooLargeError
from pyinfercost.sources import sizes
from pyinfercost.sources.captured import Captured
from pyinfercost.sources.sizes import Ranges
from pyinfercost.sweeps.axes import make_spec
from pyinfercost.sweeps.execute import Run, run_in_memory


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ranges of more than 5 values are not filled in."""
    monkeypatch.setattr(sizes, "FILLED_IN", 5)


# ---- values ----


def test_ranges_are_the_sequence_of_their_values() -> None:
    ranges = Ranges(range(3, 10, 3), range(0), range(5, 6), range(10, 1, -4))
    values = [3, 6, 9, 5, 10, 6, 2]
    assert list(ranges) == values
    assert len(ranges) == 7
    assert (ranges.minimum, ranges.maximum) == (2, 10)
    assert ranges[-1] == 2
    assert ranges[1:6:2] == [6, 5, 6]
    assert ranges.filled_in().tolist() == values
    assert ranges.at(np.asarray([6, 0, 3, 3])).tolist() == [2, 3, 5, 5]
    assert Ranges(range(7, 0, -2)).at(np.asarray([3, 1])).tolist() == [1, 5]
    with pytest.raises(IndexError, match="expected one of 7 values"):
        ranges[7]
    with pytest.raises(InputError, match="no values"):
        Ranges(range(5, 5))
    with pytest.raises(TooLargeError, match=r"9,223,372,036,854,775,808 values; pass fewer than 2\^63"):
        Ranges(range(2**62), range(2**62))


# ---- the same results ----

GRIDS: dict[str, dict[str, Any]] = {
    "innermost": {"batch": range(2, 40)},
    "with steps": {"batch": range(60, 1, -3)},
    "the value 1 is planned apart": {"batch": range(1, 30)},
    "outermost": {"batch": range(1, 20), "sequence": [3, 1, 7]},
    "between": {"batch": range(1, 20), "sequence": [3, 1, 7], "devices": [1, 2, 3]},
    "two of them": {"batch": range(1, 20), "sequence": range(1, 30, 2)},
    "devices": {"devices": range(1, 12), "batch": [1, 8, 64]},
    "devices and batch": {"devices": range(1, 12), "batch": range(1, 12)},
    "several ranges": {"batch": Ranges(range(1, 9), range(4, 90, 7), range(3, 4))},
    "machines and scales": {
        "hardware": ["t4", "a100-sxm-80gb"],
        "precision": ["fp32", "fp16"],
        "scale": {"bandwidth": [1, 2]},
        "batch": range(1, 20),
        "price": 2.5,
    },
    "points": {"points": {"batch": range(1, 21), "sequence": range(20, 0, -1)}, "devices": [1, 2]},
    "points with devices": {"points": {"batch": range(1, 21), "devices": range(1, 21)}, "sequence": range(1, 9)},
}


@pytest.mark.usefixtures("short")
@pytest.mark.parametrize("kind", GRIDS)
def test_a_range_that_is_not_filled_in_gives_the_same(kind: str) -> None:
    graph = transformer()
    given = {"hardware": "t4", **GRIDS[kind]}

    def listed(value: Any) -> Any:
        return list(value) if isinstance(value, (range, Ranges)) else value

    plain = {name: listed(value) for name, value in given.items()}
    if "points" in given:
        plain["points"] = {name: listed(value) for name, value in given["points"].items()}
    expected = ic.sweep(graph, **plain)
    sizes = {name: given.pop(name) for name in ("batch", "sequence") if name in given}
    spec = make_spec(Captured(graph, sizes, {}, graph.model), **given)
    assert any(isinstance(values, Ranges) for axis in spec.grid.axes for values in axis.columns)
    for chunk_points, workers in ((None, 1), (7, 1), (13, 2)):
        check_equal(run_in_memory(Run(spec, None, chunk_points=chunk_points, workers=workers)), expected)
    # In pieces that begin and end anywhere.
    for first, last in ((0, 1), (3, 8), (5, 17), (len(spec) - 3, len(spec))):
        out = {name: np.empty(last - first) for name in ("latency_s", "peak_memory_bytes")}
        spec.compute(first, out)
        for name, column in out.items():
            assert column.tolist() == expected[name][first:last].tolist()


@pytest.mark.usefixtures("short")
def test_a_stored_sweep_over_a_range_is_the_same_and_is_continued(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    graph = blocks()
    expected = ic.sweep(graph, hardware="t4", batch=list(range(1, 3000)))
    stored = ic.sweep(graph, hardware="t4", batch=range(1, 3000), out=tmp_path / "grid")
    check_equal(stored.where(None), expected)
    with pytest.raises(FileExistsError, match="has another sweep"):
        ic.sweep(graph, hardware="t4", batch=range(1, 2999), out=tmp_path / "grid")
    assert ic.sweep(graph, hardware="t4", batch=range(1, 3000), out=tmp_path / "grid").complete


# ---- refusals ----

LIMITED = """
import json, resource, sys
resource.setrlimit(resource.RLIMIT_AS, (3 << 30, 3 << 30))
import pyinfercost as ic
graph = ic.Graph.from_json(open(sys.argv[1]).read())
ic.sweep(graph, hardware="t4", batch=[1])
told = []
for axes in (
    {"batch": range(1, 2**31)},
    {"batch": range(1, 2**31), "where": None, "devices": range(1, 1_001)},
    {"points": {"batch": range(1, 2**31)}},
    {"devices": range(1, 2**31)},
    {"threads": range(1, 2**31)},
    {"scale": {"bandwidth": range(1, 2**31)}},
    {"batch": range(1, 2**70)},
    {"batch": range(1, 2**60)},
):
    try:
        ic.sweep(graph, hardware="t4", **axes)
    except ValueError as error:
        told.append([type(error).__name__, str(error)])
# Not ru_maxrss, which counts the process that started this one.
peak = next(line for line in open("/proc/self/status") if line.startswith("VmHWM:"))
print(json.dumps([told, int(peak.split()[1])]))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="limits the memory of a process")
def test_a_grid_that_is_too_large_takes_no_memory_and_no_time(tmp_path: Path) -> None:
    builder = ic.GraphBuilder("relu")
    batch = builder.size("batch", default=1)
    x, y = (builder.tensor("float32", (batch, 8), role=role) for role in ("input", "activation"))
    builder.node("aten.relu.default", {"self": x}, [y])
    (tmp_path / "graph.json").write_text(builder.build([x], [y]).to_json())
    result = subprocess.run(
        [sys.executable, "-c", LIMITED, tmp_path / "graph.json"],
        check=True,
        capture_output=True,
        text=True,
        cwd=tmp_path,  # not the sources: an installed package has the core
    )
    told, kilobytes = json.loads(result.stdout)
    needs = "2,147,483,647 points need 172 GB of memory, and 3 GB may be used; pass out=FOLDER to write them to disk"
    assert told[0] == ["TooLargeError", f"{needs}, or where= to keep fewer"]
    assert "2,147,483,647,000 points need" in told[1][1]
    assert needs in told[2][1]
    assert "devices is 2147483647; expected a whole number from 1 to 1000000" in told[3][1]
    assert "threads gives 2,147,483,647 deployments; pass 100,000 at the most" in told[4][1]
    assert "scale has 2,147,483,647 values for 'bandwidth'; pass 1,048,576 at the most" in told[5][1]
    assert "values; pass fewer than 2^63" in told[6][1]
    assert "size 'batch' is 1152921504606846975; expected at most 2^53" in told[7][1]
    assert len(told) == 8
    assert {kind for kind, _ in told} == {"TooLargeError", "DeploymentError", "SizeError"}
    assert kilobytes < 400_000


@pytest.mark.parametrize(
    ("axes", "kind", "message"),
    [
        ({"batch": itertools.count(1)}, TooLargeError, "batch has more than 10,000,000 values"),
        ({"batch": range(5, 5)}, ValueError, "size 'batch' has no values"),
        ({"batch": np.asarray(5.0)}, InputTypeError, "must be a whole number"),
        ({"batch": [1, 2**53 + 1]}, ValueError, r"size 'batch' is 9007199254740993; expected at most 2\^53"),
        (
            {"batch": np.asarray([1, 2**64 - 1], dtype=np.uint64)},
            ValueError,
            "is 18446744073709551615; expected at most",
        ),
        ({"devices": range(2**31)}, ValueError, "devices is 0; expected a whole number from 1 to 1000000"),
        ({"scale": {"bandwidth": "x"}}, InputTypeError, "expected numbers"),
        ({"scale": {"bandwidth": [1, 10**400]}}, InputTypeError, "expected numbers"),
        ({"points": [{"batch": 1, 2: 3}, {"batch": 1}]}, InputError, "expected the same names"),
    ],
)
def test_wrong_axes_are_refused(axes: dict[str, Any], kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message):
        ic.sweep(transformer(), hardware="t4", **axes)


def test_more_points_than_can_be_numbered_are_refused() -> None:
    # 2^40 x 2^12 x 2^12 = 2^64
    scale = {"bandwidth": list(range(1, 2**12 + 1)), "cores": list(range(1, 2**12 + 1))}
    with pytest.raises(TooLargeError, match=r"the grid has 18,446,744,073,709,551,616 points"):
        ic.sweep(transformer(), hardware="t4", scale=scale, batch=range(1, 2**40 + 1))


def test_more_parts_than_a_folder_takes_are_refused(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    # 10^6 x 2^12 x 2^9 points in parts of 2^20
    scale = {"bandwidth": list(range(1, 2**12 + 1)), "cores": list(range(1, 2**9 + 1))}
    with pytest.raises(TooLargeError, match="in 2,000,000 parts; pass fewer points, so that a folder has 1,048,576"):
        ic.sweep(blocks(), hardware="t4", scale=scale, devices=range(1, 1_000_001), out=tmp_path / "grid")
    assert not (tmp_path / "grid").exists()


# ---- totals that do not fit 64 bits ----


def of_width() -> ic.Graph:
    """Return a product of (batch, width) and (width, width)."""
    builder = ic.GraphBuilder("wide")
    batch, width = builder.size("batch", default=1), builder.size("width", default=8)
    x = builder.tensor("float32", (batch, width), role="input")
    weight = builder.tensor("float32", (width, width), role="parameter")
    y = builder.tensor("float32", (batch, width))
    builder.node("aten.linear.default", {"input": x, "weight": weight}, [y])
    return builder.build([x], [y])


@pytest.mark.parametrize(
    ("axes", "named"),
    [
        ({"batch": [1, 2**50], "width": [8, 2**10]}, "batch=1125899906842624"),
        ({"batch": [2**50], "width": [8, 2**10]}, "width=1024"),
        ({"batch": [1, 2**40], "width": [8, 2**12]}, "batch=1099511627776, width=4096"),
        ({"batch": range(1, 2**50), "width": 2**10, "where": "batch < 5"}, "batch=1125899906842623"),
        ({"points": [{"batch": 1, "width": 2**12}, {"batch": 2**40, "width": 2**12}]}, "batch=1099511627776"),
    ],
)
def test_totals_that_overflow_are_refused_at_the_call_and_the_sizes_named(axes: dict[str, Any], named: str) -> None:
    graph = of_width()
    with pytest.raises(CountOverflowError, match="does not fit 64 bits"):
        ic.estimate(graph, hardware="t4", batch=2**50, width=2**10)
    with pytest.raises(CountOverflowError, match=rf"totals at {named}.* do not fit 64 bits .*; pass smaller sizes"):
        ic.sweep(graph, hardware="t4", **axes)


def test_a_list_of_points_is_not_refused_for_a_point_that_it_does_not_have() -> None:
    points = [{"batch": 1, "width": 2**20}, {"batch": 2**40, "width": 2}]
    swept = ic.sweep(of_width(), hardware="t4", points=points)
    for row, point in enumerate(points):
        assert swept["latency_s"][row] == ic.estimate(of_width(), hardware="t4", **point).latency_s


def test_devices_share_the_batch_before_totals_are_checked() -> None:
    # 2 * 2^44 * 2^10 * 2^10 = 2^65 FLOPs do not fit; 2^19 devices have 2^46 each.
    axes = {"hardware": "t4", "batch": [2**44], "width": 2**10}
    with pytest.raises(CountOverflowError, match=r"totals at batch=17592186044416"):
        ic.sweep(of_width(), devices=[1, 2**19], **axes)
    assert len(ic.sweep(of_width(), devices=[2**19], **axes)) == 1
