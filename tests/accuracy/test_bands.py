"""Spreads from rows of devices that were left out."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks.accuracy.bands import LeftOut, spreads, write_bands
from benchmarks.accuracy.cases import Case, Group, halved
from benchmarks.accuracy.classes import classes_of
from benchmarks.accuracy.tables import gemm
from pyinfercost.hardware.bands import FOLDER, bands


def left_out(name: str, step: str, device: str, ratios: list[float]) -> LeftOut:
    return LeftOut(name, step, device, np.log(np.array(ratios)))


def test_a_spread_holds_four_of_five_rows_of_all_devices_alike() -> None:
    """One device has two rows and one has four: of each, the rows below a factor of 1.5 are as many as 80 % need."""
    of = spreads(
        [
            left_out("kernel.gemm", "family", "a", [1.1, 1 / 1.2, 1.3, 1.4]),
            left_out("kernel.gemm", "family", "b", [1.5, 3.0]),
        ]
    )
    # In order: 1.1, 1.2, 1.3, 1.4 with a weight of 1/8 each, 1.5 and 3 with 1/4: 0.8 is reached at the last one.
    assert of["kernel.gemm"]["family"] == pytest.approx(2.0)


def test_steps_without_rows_follow_from_classes_that_have_both() -> None:
    of = spreads(
        [
            left_out("kernel.gemm", "family", "a", [1.1] * 5),
            left_out("kernel.gemm", "sibling", "a", [1.1**2] * 5),
            left_out("kernel.softmax", "family", "a", [1.2] * 5),
        ]
    )
    assert of["kernel.softmax"]["sibling"] == pytest.approx(1.2**2 - 1)
    assert of["kernel.softmax"]["datasheet"] == pytest.approx(1.2 ** (2 * 1.5) - 1)  # no class has both
    assert list(of["kernel.gemm"]) == ["family", "sibling", "datasheet"]


def test_a_weaker_step_is_never_narrower_and_none_is_below_what_runs_differ_by() -> None:
    of = spreads([left_out("other", "family", "a", [1.4] * 5), left_out("other", "sibling", "b", [1.01] * 5)])
    assert of["other"]["sibling"] == pytest.approx(0.4)
    assert spreads([left_out("other", "family", "a", [1.01] * 5)])["other"]["family"] == pytest.approx(0.05)


def test_a_file_keeps_the_spread_of_measured_machines(tmp_path: Path) -> None:
    path = tmp_path / FOLDER / "gpu.toml"
    path.parent.mkdir()
    path.write_text('schema_version = 1\nsource = "x"\n[other]\nmeasured_on = []\nmeasured = 0.11\ndatasheet = 1\n')
    write_bands(path, {"other": {"family": 0.2}, "kernel.gemm": {"sibling": 0.3}}, {"other": ["a-b/c"]}, "a test")
    found = bands(("a-b", "gpu"), tmp_path, measured=True)
    assert found["other"].spread == 0.11
    assert bands(("a-b", "gpu"), tmp_path, measured=False)["other"].spread == 0.2
    assert found["kernel.gemm"].spread == 0.3


def test_the_most_specific_class_of_a_row_is_the_last() -> None:
    assert classes_of(Group("gemm", "l4", precision="bfloat16")) == ["kernel.gemm", "tiles_matrix"]
    assert classes_of(Group("gemm", "l4", precision="fp8")) == ["tiles_fp8"]
    assert classes_of(Group("llm_layers", "l4", part="emb")) == ["kernel.gather"]
    assert classes_of(Group("models_vision", "l4")) == ["other", "kernel.convolution"]
    assert classes_of(Group("collectives", "l4")) == []


def test_halves_keep_whole_models_together_and_miss_no_row() -> None:
    graph = gemm.product("bfloat16")
    assert graph is not None
    rows = np.arange(100)
    sizes = {name: rows + 1 for name in ("m", "n", "k")}
    case = Case(Group("gemm", "l4"), graph, "native", "cuda_graph", sizes, rows + 1.0, rows)
    whole = {"models_vision"}
    first, second = (halved([case], half, whole=whole) for half in (0, 1))
    assert sorted([*first[0].rows, *second[0].rows]) == rows.tolist()
    assert 25 < len(first[0]) < 75
    assert (first[0].measured_s == first[0].rows + 1.0).all()
    model = replace(case, group=Group("models_vision", "l4"), subject="resnet50")
    assert sorted(len(halved([model], half, whole=whole)) for half in (0, 1)) == [0, 1]
