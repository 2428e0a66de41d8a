"""Interrupted trade-offs resume, with the same settings only."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from support.tiny_tradeoffs import X, broken, closeness, run, tiny
from torch import nn

from pyinfercost.tradeoffs import TradeoffError
from pyinfercost.tradeoffs.candidates import channels, magnitude, n_of_m

pytestmark = pytest.mark.torch


class Counting:
    """An `evaluate` that is interrupted at one of its calls."""

    def __init__(self, stop_at: int = 0) -> None:
        self.calls = 0
        self.stop_at = stop_at

    def __call__(self, model: nn.Module) -> float:
        self.calls += 1
        if self.calls == self.stop_at:
            raise KeyboardInterrupt
        return closeness(model)


CANDIDATES = {"half": magnitude(0.5), "2:4": n_of_m(), "rows": channels(0.25)}


def test_finished_rows_are_not_computed_again_after_an_interrupt(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    with pytest.raises(KeyboardInterrupt):
        run(CANDIDATES, evaluate=Counting(stop_at=3), resume=path)
    with path.open("a", encoding="utf-8") as file:
        file.write('{"candidate": "2:4", "lay')  # what a killed process leaves
    second = Counting()
    result = run(CANDIDATES, evaluate=second, resume=path)
    assert second.calls == 2, "original and half were finished"
    assert result.rows == run(CANDIDATES).rows
    third = Counting()
    assert run(CANDIDATES, evaluate=third, resume=path).rows == result.rows
    assert third.calls == 0


def test_layers_go_on_too_and_new_candidates_join(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    with pytest.raises(KeyboardInterrupt):
        run({"half": magnitude(0.5)}, evaluate=Counting(stop_at=4), per_layer=True, resume=path)
    count = Counting()
    result = run({"half": magnitude(0.5), "2:4": n_of_m()}, evaluate=count, per_layer=True, resume=path)
    assert count.calls == 1 + 2 + 3, "2:4 whole, half of layers 3 and 5, 2:4 of all three"
    assert len(result.layers) == 6


def test_rows_with_errors_are_tried_again(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    assert run({"a": broken}, resume=path)["a"].error is not None

    def mended(model: nn.Module) -> nn.Module:
        return model

    count = Counting()
    assert run({"a": mended}, resume=path, evaluate=count)["a"].accuracy == 1.0
    assert count.calls == 1


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"precision": "bf16"}, "precision was 'native' and is 'bf16'"),
        ({"hardware": "core-i9-10940x"}, "hardware was 'epyc-7742"),
        ({"execution": "compiled"}, "execution was 'eager' and is 'compiled'"),
        ({"inputs": X[:4]}, "inputs was 'float32[8, 1, 8, 8]' and is 'float32[4, 1, 8, 8]'"),
        ({"price": 2.0}, "price was None and is '2.0 USD/h"),
        ({"maximize": False}, "maximize was True and is False"),
        ({"measure": True}, "measured was None and is '2.0 s on cpu'"),
        ({"model": magnitude(0.1)(tiny())}, "model was"),
    ],
)
def test_other_settings_are_refused(tmp_path: Path, changed: dict[str, Any], message: str) -> None:
    path = tmp_path / "rows.jsonl"
    run({"half": magnitude(0.5)}, resume=path)
    before = path.read_bytes()
    with pytest.raises(TradeoffError, match=re.escape(message)):
        run({"half": magnitude(0.5)}, resume=path, **changed)
    assert path.read_bytes() == before


def test_another_candidate_of_the_same_name_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    run({"half": magnitude(0.5)}, resume=path)
    with pytest.raises(TradeoffError, match=re.escape("'half' as magnitude(0.5), but it is magnitude(0.6)")):
        run({"half": magnitude(0.6)}, resume=path)


@pytest.mark.parametrize("text", ["accuracy,cost\n", '{"kind": "other", "schema_version": 1, "settings": {}}\n'])
def test_a_file_of_something_else_is_refused_and_left_alone(tmp_path: Path, text: str) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(TradeoffError, match=r"rows\.jsonl is"):
        run({"half": magnitude(0.5)}, resume=path)
    assert path.read_text(encoding="utf-8") == text
