"""`pyinfercost sweep`: its tables."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from support.cli_sweeps import (
    BATCHES,
    L4,
    MACHINES,
    PRICE,
    PRICES,
    TWO,
    heading,
    sweep,
    table,
)
from support.toy_graphs import blocks, transformer

import pyinfercost as ic
from pyinfercost.cli.sweep_output import _than


def test_the_table_says_what_was_searched_and_what_is_shown(toy: str, grid: ic.results.Sweep) -> None:
    aims = ("--pareto", "peak_memory_bytes,throughput_per_s")
    text = sweep(toy, *TWO, *BATCHES, *PRICE, "--where", "batch > 100", *aims).stdout
    front = grid.where("batch > 100").pareto("peak_memory_bytes", "throughput_per_s")
    told = heading(text)
    assert told["points"] == "512"
    assert told["where"] == "batch > 100 (312 points)"
    assert told["chosen"] == "Pareto front of least peak_memory_bytes, most throughput_per_s"
    assert told["price"] == "l4 0.8, a100-sxm-80gb 2.49 USD per device-hour"
    assert told["execution"] == "eager"
    rows = table(text)
    assert [int(row["batch"]) for row in rows] == front["batch"][:40].tolist()
    assert len(front) > 40
    assert text.splitlines()[-1].startswith(f"40 of {len(front)} points")


def test_a_table_has_forty_rows_unless_told_otherwise(toy: str) -> None:
    text = sweep(toy, *L4, *BATCHES).stdout
    assert len(table(text)) == 40
    assert text.splitlines()[-1].startswith("40 of 256 points; --top shows more")
    assert len(table(sweep(toy, *L4, *BATCHES, "--top", "100").stdout)) == 100
    assert " of 40 points" not in sweep(toy, *L4, "--batch", "1:40").stdout


def test_a_table_makes_only_the_rows_that_it_shows(toy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    whole = ic.results.Sweep.__getitem__

    def noting(self: ic.results.Sweep, name: str) -> Any:
        asked.append(len(self))
        return whole(self, name)

    monkeypatch.setattr(ic.results.Sweep, "__getitem__", noting)
    assert sweep(toy, *TWO, *BATCHES, "--top", "3").exit_code == 0
    assert set(asked) == {3}


def test_what_all_points_share_is_above_the_table(toy: str) -> None:
    text = sweep(toy, *TWO, *BATCHES, "--top", "2", "--scale", "bandwidth=2", "--devices", "2,3").stdout
    told = heading(text)
    assert (told["bandwidth"], told["precision"], told["execution"]) == ("x 2", "native", "eager")
    row = table(text)[0]
    assert (row["hardware"], row["devices"], row["batch"]) == ("l4", "2", "1"), "others are not shown, but differ"
    assert "cost" not in row
    assert "precision" not in row


def test_scales_and_costs_have_columns(toy: str, grid: ic.results.Sweep) -> None:
    text = sweep(toy, *TWO, "--batch", "1:3", *PRICE, "--scale", "bandwidth=1,1.5").stdout
    rows = table(text)
    assert [row["bandwidth"] for row in rows] == ["1", "1", "1", "1.5", "1.5", "1.5"] * 2
    # USD for a million items
    assert float(rows[0]["cost"]) == pytest.approx(grid["cost_usd"][0] * 1e6, rel=1e-3)
    assert "USD/1M" in text


def test_one_point_is_told_in_words(toy: str, grid: ic.results.Sweep) -> None:
    text = sweep(toy, *TWO, *BATCHES, *PRICE, "--best", "throughput_per_s", "--where", "fits_in_memory").stdout
    best = grid.best("throughput_per_s")
    told = heading(text)
    assert told["best"] == "most throughput_per_s"
    assert told["where"] == "fits_in_memory (512 points)"
    assert (told["hardware"], told["batch"]) == (best["hardware"], str(best["batch"]))
    assert told["throughput"].endswith(" per second")
    assert float(told["throughput"].split()[0]) == pytest.approx(best["throughput_per_s"], rel=1e-3)
    assert told["memory"].endswith(", which fits")
    assert float(told["cost"].split()[0]) == pytest.approx(best["cost_usd"] * 1e6, rel=1e-3)
    assert told["cost"].endswith("USD per million items of the batch")
    assert "1 of 1" not in text


def test_the_best_point_is_followed_by_those_of_other_machines(toy: str, grid: ic.results.Sweep) -> None:
    text = sweep(toy, *TWO, *BATCHES, *PRICE, "--best", "cost_usd").stdout
    rows = table(text)
    ranked = sorted(grid.best("cost_usd", per="hardware").to_rows(), key=lambda point: point["cost_usd"])
    assert [row["hardware"] for row in rows] == [point["hardware"] for point in ranked]
    assert [float(row["cost"]) for row in rows] == pytest.approx([p["cost_usd"] * 1e6 for p in ranked], rel=1e-3)
    assert "other offers" not in text, "the price was given"
    assert "follow" not in sweep(toy, *L4, *BATCHES, "--best", "latency_s").stdout, "there is one machine"


def test_an_emulated_best_point_is_followed_by_one_with_an_engine(toy: str) -> None:
    options = ("--precision", "fp16,int8", "--batch", "64", "--best", "peak_memory_bytes")
    text = sweep(toy, "-H", "v100-sxm-16gb", *options).stdout
    assert heading(text)["emulated"] == "no engine for this precision: computed as fp16"
    following = text.partition("The best point and those that follow it:")[2]
    first, second = [line.split() for line in following.splitlines() if line.startswith(("int8", "fp16"))]
    assert (first[0], second[0]) == ("int8", "fp16")
    assert "by fp16" in " ".join(first)
    assert "by" not in second


def test_only_prices_of_machines_that_are_shown_are_told(toy: str) -> None:
    text = sweep(toy, "-H", "gpu", "--batch", "64", "--price", "on-demand", "--best", "cost_usd").stdout
    shown = {row["hardware"] for row in table(text)}
    assert len(shown) == 4
    listed = text.partition("Prices of a device:")[2]
    assert {line.split()[0] for line in listed.splitlines() if "USD/h" in line} == shown
    fast = sweep(toy, "-H", "gpu", "--batch", "64", "--price", "on-demand", "--best", "latency_s").stdout
    assert "other offers" in text
    assert "other offers" not in fast, "a latency has no price"


@pytest.mark.parametrize("width", [60, 80, 100, 140])
def test_a_table_keeps_to_the_page(toy: str, width: int) -> None:
    wide = ic.sweep(
        blocks(),
        hardware=MACHINES,
        batch=[1, 2],
        precision=["fp16", "bf16"],
        execution=["eager", "compiled"],
        price=PRICES,
    )
    text = wide.to_text(limit=3, width=width)
    assert text.isascii()
    assert max(map(len, text.splitlines())) <= width
    rows = table(text)
    assert [(row["hardware"], row["precision"], row["execution"], row["batch"]) for row in rows] == [
        ("l4", "fp16", "eager", "1"),
        ("l4", "fp16", "eager", "2"),
        ("l4", "fp16", "compiled", "1"),
    ]
    assert {"latency", "cost", "fits"} <= rows[0].keys()
    assert ("low" in rows[0]) == (width >= 140)


def test_a_time_and_its_band_have_one_unit(toy: str) -> None:
    lines = sweep(toy, "-H", "epyc-7742", "--batch", "1,4096").stdout.splitlines()
    head = next(number for number, line in enumerate(lines) if "latency" in line)
    assert len(set(lines[head + 1].split()[:3])) == 1
    row = table("\n".join(lines))[0]
    estimate = ic.estimate(blocks(), hardware="epyc-7742", batch=1)
    ratio = estimate.latency_high_s / estimate.latency_s
    assert float(row["high"]) / float(row["latency"]) == pytest.approx(ratio, rel=2e-3)


def test_plain_tables_have_no_colors_even_when_they_are_forced(toy: str) -> None:
    result = subprocess.run(
        [sys.executable, "-m", "pyinfercost", "sweep", toy, *L4],
        check=True,
        capture_output=True,
        text=True,
        cwd=Path(__file__).parent,
        env={**os.environ, "FORCE_COLOR": "1"},
    )
    assert "\x1b" not in result.stdout
    assert heading(result.stdout)["hardware"] == "l4"


def test_only_prices_of_layouts_that_are_shown_are_told(tmp_path: Path) -> None:
    path = tmp_path / "graph.json"
    path.write_text(transformer().to_json())
    layouts = ("--layout", "all", "--devices", "2,4")
    text = sweep(str(path), "-H", "h100-sxm-80gb", *layouts, "--batch", "8", "--price", "verda").stdout
    one = sweep(
        str(path), "-H", "h100-sxm-80gb", *layouts, "--batch", "8", "--price", "verda", "--where", "devices == 2"
    ).stdout
    assert "4 x h100-sxm-80gb" in text
    assert "2 x h100-sxm-80gb" in one
    assert "4 x h100-sxm-80gb" not in one


def test_memory_that_a_machine_has_and_an_engine_keeps_is_not_called_too_much() -> None:
    assert _than(26e9, "l4", 24e9) == "more than the 24.00 GB of l4"
    assert _than(23e9, "l4", 24e9) == "more than the engine leaves of the 24.00 GB of l4"
