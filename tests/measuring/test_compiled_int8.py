"""The rate of torch's int8 product is not that of a compiler's library."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from support.single_node import T, single_node

import pyinfercost as ic
from pyinfercost.hardware.catalog_names import CATALOG
from pyinfercost.measuring.machine import Machine

PRODUCT = single_node(
    "aten.linear", {"input": T((4096, 4096)), "weight": T((4096, 4096), role="parameter")}, T((4096, 4096))
)


def calibrated(path: Path, **compute: float) -> Path:
    """A machine on which torch multiplies bytes at a thousandth of the rate of floats."""
    text = (CATALOG / "epyc-7763.toml").read_text(encoding="utf-8")
    text = re.sub(r"unverified = \[.*?\]\n", "", text, flags=re.DOTALL)
    text = text.replace("int8 = 12.288", "int8 = 0.006144").replace("\nverified = false", "\nverified = true")
    lines = "".join(f"{key} = {value}\n" for key, value in compute.items())
    text = text.replace("[compute]\n", f"[compute]\n{lines}")
    path.write_text(text + '\n[calibration.overheads]\nsource = "measured here"\ndispatch_us = 1.0\n', encoding="utf-8")
    return path


def estimated(path: Path, engine: str, precision: str = "int8") -> Any:
    return ic.estimate(PRODUCT, hardware=path, engine=engine, precision=precision)


def test_a_compiler_has_the_rate_of_the_instructions(tmp_path: Path) -> None:
    path = calibrated(tmp_path / "this.toml", int8_over_fp32=2.0)
    fp32, int8 = (estimated(path, "onnxruntime", precision) for precision in ("fp32", "int8"))
    assert 1.5 < fp32.latency_s / int8.latency_s <= 2.1
    assert estimated(path, "torch").latency_s > 100 * int8.latency_s


def test_its_evidence_is_not_that_of_a_measurement(tmp_path: Path) -> None:
    path = calibrated(tmp_path / "this.toml", int8_over_fp32=2.0)
    int8 = estimated(path, "onnxruntime")
    assert int8.evidence["datasheet only"] > 0.9
    assert int8.layers[0].note == "int8 at a multiple of the rate of float32: measured in torch alone"
    fp32 = estimated(path, "onnxruntime", "fp32")
    assert fp32.evidence["measured here"] > 0.9
    assert int8.latency_high_s / int8.latency_s > fp32.latency_high_s / fp32.latency_s
    assert estimated(path, "torch").evidence["measured here"] > 0.9


def test_files_without_the_ratio_have_no_gain(tmp_path: Path) -> None:
    path = calibrated(tmp_path / "this.toml")
    assert estimated(path, "onnxruntime").latency_s == pytest.approx(
        estimated(path, "onnxruntime", "fp32").latency_s, rel=0.1
    )


def test_int8_of_the_catalog_has_the_rate_of_its_instructions() -> None:
    for name in ("epyc-7763", "epyc-7742"):
        rates = ic.hardware.load(name).vector_flop_per_s
        assert rates["int8"] == pytest.approx(2 * rates["float32"], rel=1e-3)


@pytest.mark.parametrize(
    ("flags", "times"),
    [({"avx2"}, 2), ({"avx2", "avx512f"}, 2), ({"avx2", "avx_vnni"}, 4), ({"avx512f", "avx512_vnni", "avx2"}, 4),
     ({"asimddp"}, 4), ({"sse2"}, 1)],
)  # fmt: skip
def test_the_ratio_of_instruction_sets(flags: set[str], times: float) -> None:
    machine = Machine("any", "AMD", 4, 1, None, None, (), frozenset(flags))
    assert machine.int8_over_fp32 == times
