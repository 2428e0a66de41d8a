"""The table of collectives, which has no graphs."""

from __future__ import annotations

import json
from collections.abc import Callable
from types import SimpleNamespace

import numpy as np
import pytest

import pyinfercost as ic


def test_without_a_model_of_collectives_the_table_is_skipped(
    judge: Callable[..., int], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("benchmarks.accuracy.tables.collectives.predictor", lambda: None)
    assert judge("--table", "collectives", "--format", "json") == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out) == {"rows": []}
    assert "collectives: skipped" in captured.err


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
