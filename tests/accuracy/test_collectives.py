"""Tables of communication, which have no graphs."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import pyinfercost as ic
from benchmarks.accuracy.calls import Call
from benchmarks.accuracy.measured import Problems, read_table
from benchmarks.accuracy.tables import KINDS
from benchmarks.accuracy.tables.collectives import kernel_of


def test_a_message_is_elements_times_their_width(
    judge: Callable[..., int], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def collective(op: str, size_bytes: np.ndarray, *, hardware: ic.Hardware, **how: object) -> SimpleNamespace:
        asked.append((op, size_bytes.tolist(), hardware.id, how["devices"], how["dtype"], how["kernel"]))
        ones = np.ones(len(size_bytes))
        return SimpleNamespace(latency_s=30e-6 * ones, latency_low_s=20e-6 * ones, latency_high_s=50e-6 * ones)

    monkeypatch.setattr(ic.devices, "collective", collective)
    assert judge("--table", "collectives", "--format", "json") == 0
    line, total = json.loads(capsys.readouterr().out)["rows"]
    assert asked == [("all_reduce", [2 * 1048576], "h100-sxm-80gb", 8, "fp16", "library")]
    assert (line["execution"], line["part"], line["precision"]) == ("collective", "all_reduce x8", "half")
    assert line["mape"] == pytest.approx(0.25)
    assert line["in_band"] == 1
    link = ic.hardware.load("h100-sxm-80gb").links_byte_per_s["device"]
    assert line["roofline_mape"] == pytest.approx(abs(2 * 2 * 1048576 * 7 / 8 / link / 40e-6 - 1))
    assert total["rows"] == 1


def calls_of(measured: Path, name: str) -> list[Call]:
    problems = Problems()
    calls = KINDS[name].calls
    assert calls is not None
    found = calls(read_table(measured / f"{name}.csv", problems))
    assert not list(problems.lines())
    return found


def test_launches_of_all_reduces_are_told_apart(measured: Path) -> None:
    graph, eager = calls_of(measured, "all_reduce_engines")
    assert (graph.group.part, graph.execution, graph.size_bytes.tolist()) == ("graph x4", "cuda_graph", [1048576])
    assert (eager.group.part, eager.execution, eager.kernel) == ("eager x4", "eager", "engine")


@pytest.mark.parametrize(
    ("software", "kernel"),
    [
        ("vllm 0.24.0", "engine"),
        ("sglang 0.5.9", "engine"),
        ("sglang 0.5.14", "push"),
        ("sglang 0.6", "push"),
        ("trtllm 1.3.0rc10", "push"),
        ("another 9", "engine"),
    ],
)
def test_the_version_of_an_engine_tells_its_kernel(software: str, kernel: str) -> None:
    assert kernel_of(software) == kernel


def test_a_message_is_the_tokens_of_a_rank(measured: Path) -> None:
    dispatch, combine = calls_of(measured, "expert_all_to_all")
    # 7168 values of a byte, 56 scales of 4 bytes and 16 bytes of its own.
    assert dispatch.tokens == ic.devices.ExpertTokens(7168 + 4 * 56 + 16, 8, 256)
    assert (dispatch.op, dispatch.kernel, dispatch.size_bytes.tolist()) == ("dispatch", "low_latency", [128 * 7408])
    assert combine.tokens == ic.devices.ExpertTokens(2 * 7168, 8, 256, 24)
    assert (combine.op, combine.kernel, combine.size_bytes.tolist()) == ("combine", "normal", [4096 * 14336])
    assert [call.group.part for call in (dispatch, combine)] == ["low_latency dispatch 1x8", "normal combine 1x8"]


def test_exchanges_between_nodes_are_judged(
    judge: Callable[..., int], measured: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = measured / "expert_all_to_all.csv"
    row = "h100-sxm-80gb,deepep,low_latency,dispatch,2,16,7168,128,8,256,1,,,100\n"
    path.write_text(path.read_text(encoding="utf-8") + row, encoding="utf-8")
    assert judge("--table", "expert_all_to_all", "--format", "json") == 0
    document = json.loads(capsys.readouterr().out)
    assert document["omitted"] == []
    (line,) = [row for row in document["rows"] if row["part"] == "low_latency dispatch 2x8"]
    # The plain figure: half of eight copies of 128 tokens over a NIC of 50 GB/s.
    assert line["roofline_mape"] == pytest.approx(abs(128 * 7408 * 8 / 2 / 50e9 / 100e-6 - 1))
    assert line["mape"] < 0.15
