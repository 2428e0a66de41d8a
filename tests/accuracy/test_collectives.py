"""Tables of communication, which have no graphs."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import pyinfercost as ic
from benchmarks.accuracy.measured import Problems, read_table
from benchmarks.accuracy.tables import KINDS
from benchmarks.accuracy.tables.collectives import ranks_of_token


def test_a_message_is_elements_times_their_width(
    judge: Callable[..., int], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def collective(
        op: str, size_bytes: np.ndarray, *, hardware: ic.Hardware, devices: int, dtype: str
    ) -> SimpleNamespace:
        asked.append((op, size_bytes.tolist(), hardware.id, devices, dtype))
        ones = np.ones(len(size_bytes))
        return SimpleNamespace(latency_s=30e-6 * ones, latency_low_s=20e-6 * ones, latency_high_s=50e-6 * ones)

    monkeypatch.setattr(ic, "collective", collective, raising=False)
    assert judge("--table", "collectives", "--format", "json") == 0
    line, total = json.loads(capsys.readouterr().out)["rows"]
    assert asked == [("all_reduce", [2 * 1048576], "h100-sxm-80gb", 8, "fp16")]
    assert (line["execution"], line["part"], line["precision"]) == ("collective", "all_reduce x8", "half")
    assert line["mape"] == pytest.approx(0.25)
    assert line["in_band"] == 1
    link = ic.hardware.load("h100-sxm-80gb").links_byte_per_s["device"]
    assert line["roofline_mape"] == pytest.approx(abs(2 * 2 * 1048576 * 7 / 8 / link / 40e-6 - 1))
    assert total["rows"] == 1


def sizes_of(measured: Path, name: str) -> dict[str, list[int]]:
    problems = Problems()
    calls = KINDS[name].calls
    assert calls is not None
    found = {
        call.group.part: call.size_bytes.tolist() for call in calls(read_table(measured / f"{name}.csv", problems))
    }
    assert not list(problems.lines())
    return found


def test_launches_of_all_reduces_are_told_apart(measured: Path) -> None:
    assert sizes_of(measured, "all_reduce_engines") == {"graph x4": [1048576], "eager x4": [1048576]}


def test_a_token_goes_to_every_expert_or_once_to_every_rank(measured: Path) -> None:
    # 7168 values of a byte, 56 scales of 4 bytes and 16 bytes of its own, to each of 8 experts.
    low_latency = 128 * 8 * (7168 + 4 * 56 + 16)
    # Of 8 ranks with 32 of 256 experts each, one has none of 8 drawn experts with the probability below.
    none = math.comb(224, 8) / math.comb(256, 8)
    normal = round(4096 * 7168 * 2 * 8 * (1 - none))
    assert sizes_of(measured, "expert_all_to_all") == {
        "low_latency dispatch x8": [low_latency],
        "normal combine x8": [normal],
    }
    assert ranks_of_token(1, 256, 8) == pytest.approx(1)


def test_exchanges_between_nodes_are_counted(
    judge: Callable[..., int], measured: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = measured / "expert_all_to_all.csv"
    row = "h100-sxm-80gb,deepep,low_latency,dispatch,2,16,7168,128,8,256,1,,,300\n"
    path.write_text(path.read_text(encoding="utf-8") + row, encoding="utf-8")
    assert judge("--table", "expert_all_to_all", "--format", "json") == 0
    document = json.loads(capsys.readouterr().out)
    assert document["rows"][-1]["rows"] == 2
    reason = "links between nodes are not in the catalog"
    assert document["omitted"] == [{"table": "expert_all_to_all", "reason": reason, "rows": 1, "subjects": ["2 nodes"]}]
