"""`pyinfercost sweep`: every option compared with the API, and output of results."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import numpy as np
import pytest
from support.cli_sweeps import (
    BATCHES,
    L4,
    MACHINES,
    PRICE,
    PRICES,
    SCALES,
    TWO,
    points,
    sweep,
)
from support.language_configs import WIDE_LLAMA, spec_of
from support.toy_graphs import blocks

import pyinfercost as ic
from pyinfercost.cli.arguments import prices_by_id, scale_axes
from pyinfercost.deployment import offers

# --- axes ----------------------------------------------------------------------------------------------------------


def test_every_axis_is_that_of_the_api(toy: str) -> None:
    given = points(
        toy, *TWO, "--batch", "1:9:4", "--precision", "fp16,bf16", "--execution", "eager,compiled", "--devices", "1,2",
        "--scale", "bandwidth=1:2:0.5", "--scale", "compute=1,2", *PRICE,
    )  # fmt: skip
    expected = ic.sweep(
        blocks(),
        hardware=MACHINES,
        batch=[1, 5, 9],
        precision=["fp16", "bf16"],
        execution=["eager", "compiled"],
        devices=[1, 2],
        scale={"bandwidth": [1, 1.5, 2], "compute": [1, 2]},
        price=PRICES,
    )
    assert len(given) == 2 * 3 * 2 * 2 * 2 * 3 * 2
    assert given == expected.to_rows()


def test_one_price_for_all(toy: str, grid: ic.results.Sweep) -> None:
    dear = points(toy, *L4, *BATCHES, "--price", "1.6")  # twice that of the grid
    assert [row["cost_usd"] for row in dear] == pytest.approx((2 * grid["cost_usd"][:256]).tolist())


def test_threads_are_those_of_a_cpu(toy: str) -> None:
    (row,) = points(toy, "-H", "epyc-7742", "--threads", "2")
    assert row["latency_s"] == ic.estimate(blocks(), hardware="epyc-7742", threads=2).latency_s


@pytest.mark.parametrize("kind", ["cpu", "gpu", "systolic"])
def test_a_kind_of_machine_stands_for_those_that_can_be_used(toy: str, kind: str) -> None:
    described = [ic.hardware.describe(name) for name in ic.hardware.names()]
    result = sweep(toy, "-H", kind, "--format", "csv")
    rows = list(csv.DictReader(io.StringIO(result.stdout)))
    usable = [m["id"] for m in described if m["kind"] == kind and not m["missing"]]
    lacking = [m["id"] for m in described if m["kind"] == kind and m["missing"]]
    assert [row["hardware"] for row in rows] == usable
    assert len(usable) > 10
    assert result.stderr == (f"Left out because data is missing: {', '.join(lacking)}\n" if lacking else "")


def test_all_machines_and_one_of_them_are_all_machines(toy: str) -> None:
    result = sweep(toy, "-H", "t4,all", "--format", "csv")
    names = [row["hardware"] for row in csv.DictReader(io.StringIO(result.stdout))]
    assert names[0] == "t4"
    assert len(names) == len(set(names))
    left_out = result.stderr.strip().partition(": ")[2].split(", ")
    assert sorted([*names, *left_out]) == ic.hardware.names()


@pytest.mark.parametrize(
    ("text", "factors"),
    [
        ("2", [2.0]),
        ("1,4", [1.0, 4.0]),
        ("1:4:0.5", [1.0, 1.5, 2.0, 2.5, 3.0, 3.5, 4.0]),
        ("0.1:0.5:0.1", [0.1, 0.2, 0.3, 0.4, 0.5]),
        ("1:2:0.4", [1.0, 1.4, 1.8]),
        ("0.5,1:2:1", [0.5, 1.0, 2.0]),
    ],
)
def test_factors(text: str, factors: list[float]) -> None:
    assert scale_axes((f"bandwidth={text}",), SCALES) == {"bandwidth": factors}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("bandwidth=1:4", "needs a step, such as 1:4:0.5"),
        ("bandwidth=4:1:1", "ascending"),
        ("bandwidth=1:4:1:1", "ascending"),
        ("bandwidth=1:2:0", "greater than 0"),
        ("bandwidth=0", "greater than 0"),
        ("bandwidth=-1", "greater than 0"),
        ("bandwidth=nan", "must be a number"),
        ("bandwidth=", "must be a number"),
        ("bandwidth=1:1e9:1e-3", "more than 100,000 steps"),
        ("speed=2", "bandwidth or compute or cores"),
        ("bandwidth", "NAME=FACTORS"),
    ],
)
def test_wrong_factors_are_a_usage_error(text: str, message: str) -> None:
    with pytest.raises(click.UsageError, match=message):
        scale_axes((text,), SCALES)


def test_a_scale_given_twice_is_a_usage_error() -> None:
    with pytest.raises(click.UsageError, match="given twice"):
        scale_axes(("compute=1", "compute=2"), SCALES)


def test_of_several_machines_those_without_a_known_price_are_left_out(toy: str) -> None:
    result = sweep(toy, "-H", "gpu", "--price", "on-demand", "--format", "csv")
    assert result.exit_code == 0, result.output
    names = [row["hardware"] for row in csv.DictReader(io.StringIO(result.stdout))]
    usable = [
        m["id"] for m in map(ic.hardware.describe, ic.hardware.names()) if m["kind"] == "gpu" and not m["missing"]
    ]
    priced = [name for name in usable if offers(device=name)]
    assert names == priced
    left_out = [name for name in usable if name not in priced]
    assert f"Left out because no on-demand price is known: {', '.join(left_out)}\n" in result.stderr
    named = sweep(toy, "-H", "a100-pcie-40gb,l4,t4", "--price", "on-demand,spot", "--format", "csv")
    rows = list(csv.DictReader(io.StringIO(named.stdout)))
    assert list(dict.fromkeys(row["hardware"] for row in rows)) == ["l4", "t4"]
    assert "no on-demand or spot price is known: a100-pcie-40gb" in named.stderr


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("-H", "a100-pcie-40gb", "--price", "on-demand"), "the catalog has no on-demand price of a100-pcie-40gb"),
        (("-H", "a100-pcie-40gb,t4", "--price", "a100-pcie-40gb=spot,t4=1"), "no spot price of a100-pcie-40gb"),
        (("-H", "a100-pcie-40gb,rtx-4090", "--price", "reserved"), "no reserved price of a100-pcie-40gb"),
        (("-H", "l4,t4", "--price", "g6.4xlarge"), "aws/g6.4xlarge@us-east-1 has l4, not t4"),
    ],
)
def test_a_price_that_was_asked_for_by_name_is_refused(toy: str, options: tuple[str, ...], message: str) -> None:
    result = sweep(toy, *options)
    assert (result.exit_code, result.stdout) == (2, "")
    assert message in result.stderr


def test_a_limit_on_the_estimate_is_followed_by_a_note(toy: str) -> None:
    note = "About 9 of 10 measurements are below latency_high_s: the band is meant to hold 8 of 10"
    limited = sweep(toy, *TWO, "--batch", "1,8", "--where", "latency_s < 1", "--where", "batch > 1")
    assert limited.stderr.count(note) == 1
    assert note not in limited.stdout
    for conditions in (("batch > 1",), ("latency_high_s < 1",), ("latency_s < 1 and latency_high_s < 2",)):
        where = [part for condition in conditions for part in ("--where", condition)]
        assert sweep(toy, *TWO, "--batch", "1,8", *where).stderr == ""
    for form in ("json", "csv"):
        assert sweep(toy, *TWO, "--batch", "1,8", "--where", "latency_s < 1", "--format", form).stderr == ""


def test_prices() -> None:
    assert prices_by_id("2.49", MACHINES) == dict.fromkeys(MACHINES, "2.49")
    assert prices_by_id("a100-sxm-80gb=2.49,l4=spot", MACHINES) == {"a100-sxm-80gb": "2.49", "l4": "spot"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("l4=1", "of a100-sxm-80gb is missing"),
        ("l4=1,a100-sxm-80gb=2,t4=3", "'t4', which is not in --hardware"),
        ("l4=1,l4=2,a100-sxm-80gb=2", "given twice"),
        ("l4=1,2", "such as 2.49 or l4=0.80"),
    ],
)
def test_wrong_prices_are_a_usage_error(text: str, message: str) -> None:
    with pytest.raises(click.UsageError, match=message):
        prices_by_id(text, MACHINES)


# --- picking points ------------------------------------------------------------------------------------------------


def test_several_conditions_must_all_hold(toy: str, grid: ic.results.Sweep) -> None:
    conditions = ("batch % 2 == 0 or batch > 100", "hardware == 'l4'")
    given = points(toy, *TWO, *BATCHES, *PRICE, "--where", conditions[0], "--where", conditions[1])
    assert given == grid.where(conditions).to_rows()
    assert 0 < len(given) < len(grid)


def test_a_large_grid_is_filtered_as_a_small_one(
    toy: str, grid: ic.results.Sweep, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = (toy, *TWO, *BATCHES, *PRICE, "--where", "batch > 200")
    small = sweep(*arguments)
    monkeypatch.setattr("pyinfercost.cli.sweep_command._MOST_TO_EXPLAIN", 10)
    assert sweep(*arguments).stdout == small.stdout
    assert points(*arguments) == grid.where("batch > 200").to_rows()
    nothing = sweep(*arguments, "--where", "batch < 0", "--best", "latency_s")
    assert (nothing.exit_code, nothing.stdout) == (1, "")
    assert "none of 512 points satisfies batch > 200 and batch < 0" in nothing.stderr


@pytest.mark.parametrize(
    ("options", "arguments"),
    [
        (("--pareto", "latency_s,throughput_per_s"), (("latency_s", "throughput_per_s"), {})),
        (("--pareto", "latency_s", "--pareto", "cost_usd"), (("latency_s", "cost_usd"), {})),
        (("--pareto", "latency_s", "--maximize", "batch"), (("latency_s",), {"maximize": ("batch",)})),
        (("--maximize", "batch", "--minimize", "cost_usd"), ((), {"maximize": "batch", "minimize": "cost_usd"})),
    ],
)
def test_a_front_is_that_of_the_api(toy: str, grid: ic.results.Sweep, options: tuple[str, ...], arguments: Any) -> None:
    names, directions = arguments
    given = points(toy, *TWO, *BATCHES, *PRICE, *options)
    assert given == grid.pareto(*names, **directions).to_rows()
    assert 0 < len(given) < len(grid)


def test_the_best_is_that_of_the_api(toy: str, grid: ic.results.Sweep) -> None:
    where = "latency_s < 2.5e-4"
    options = (toy, *TWO, *BATCHES, *PRICE, "--where", where)
    assert points(*options, "--best", "cost_usd") == [grid.best("cost_usd", where=where)]
    assert points(*options, "--best", "batch", "--maximize", "batch") == [
        grid.best("batch", where=where, maximize=True)
    ]
    assert points(*options, "--best", "batch", "--minimize", "batch") == [
        grid.best("batch", where=where, maximize=False)
    ]
    best = grid.best("cost_usd", where=where, per=("hardware", "execution")).to_rows()
    assert points(*options, "--best", "cost_usd", "--per", "hardware,execution") == best
    assert [row["hardware"] for row in best] == MACHINES


def test_knees_are_those_of_the_api(toy: str, grid: ic.results.Sweep) -> None:
    given = points(toy, *TWO, *BATCHES, *PRICE, "--knee")
    assert given == grid.knee().to_rows()
    assert points(toy, *TWO, *BATCHES, *PRICE, "--batch-tradeoff") == grid.batch_tradeoff().to_rows()
    assert [row["hardware"] for row in given] == MACHINES


def test_a_limit_keeps_the_first_points(toy: str, grid: ic.results.Sweep) -> None:
    arguments = (toy, *TWO, *BATCHES, *PRICE, "--top", "3")
    assert points(*arguments) == grid.to_rows()[:3]
    assert sweep(*arguments, "--format", "csv").stdout == grid.take(np.arange(3)).to_csv()
    assert points(toy, *L4, "--top", "3") == ic.sweep(blocks(), hardware="l4").to_rows()


# --- where it goes -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", [".csv", ".json", ".parquet", ".txt"])
def test_the_ending_of_a_file_says_the_format(toy: str, grid: ic.results.Sweep, tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"points{ending}"
    arguments = (toy, *TWO, *BATCHES, *PRICE)
    result = sweep(*arguments, "-o", str(path))
    assert (result.exit_code, result.output) == (0, "")
    if ending == ".parquet":
        assert pytest.importorskip("pyarrow.parquet").read_table(path).to_pylist() == grid.to_rows()
    else:
        expected = {".csv": grid.to_csv(), ".json": grid.to_json() + "\n", ".txt": sweep(*arguments).stdout}
        assert path.read_text(encoding="utf-8") == expected[ending]


def test_json_says_whether_it_is_complete(toy: str) -> None:
    document = json.loads(sweep(toy, *L4, "--format", "json").stdout)
    assert list(document) == ["schema_version", "model", "complete", "points"]
    assert document["complete"] is True


def test_csv_of_many_points_comes_in_pieces(toy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = sweep(toy, *L4, *BATCHES, "--format", "csv").stdout
    monkeypatch.setattr("pyinfercost.report.sweeps._POINTS_AT_ONCE", 100)
    pieces: list[str] = []
    monkeypatch.setattr("pyinfercost.cli.output.click.echo", lambda text, **_: pieces.append(text))
    assert sweep(toy, *L4, *BATCHES, "--format", "csv").exit_code == 0
    assert len(pieces) == 4  # the names of the columns, 100, 100 and 56 points
    assert "".join(pieces) == whole


def test_a_reader_that_stops_early_sees_no_traceback(toy: str) -> None:
    command = [sys.executable, "-m", "pyinfercost", "sweep", toy, *L4, "--batch", "1:4096", "--format", "csv"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=Path(__file__).parent
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline().startswith(b"hardware,")
        process.stdout.close()
        assert process.stderr.read() == b""


def test_a_light_sweep_imports_neither_torch_nor_rich(toy: str) -> None:
    code = (
        "import sys; from pyinfercost.cli import main; "
        f"main(['sweep', {toy!r}, '-H', 'l4', '--where', 'batch > 0', '--format', 'csv'], standalone_mode=False)\n"
        "assert not {'torch', 'rich', 'pyarrow', 'pandas'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, cwd=Path(__file__).parent)


def test_help_needs_no_numpy() -> None:
    code = (
        "import sys; from pyinfercost.cli import main; main(['sweep', '--help'], standalone_mode=False)\n"
        "assert not {'torch', 'rich', 'numpy'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, cwd=Path(__file__).parent)


@pytest.mark.torch
@pytest.mark.parametrize(("phase", "figure"), [("decode", "tpot_s"), ("prefill", "ttft_s")])
@pytest.mark.sample(1)
def test_times_of_tokens_are_columns_of_their_phase(phase: str, figure: str, tmp_path: Path) -> None:
    pytest.importorskip("transformers", reason="needs transformers: pip install 'pyinfercost[models]'")
    spec = f"{spec_of(tmp_path, WIDE_LLAMA)}#{phase}"
    tokens = ("--prompt", "64,128") if phase == "prefill" else ("--context", "64,128")
    options = (*L4, "--engine", "vllm", "--batch", "1,8", *tokens)
    rows = points(spec, *options)
    other = {"tpot_s": "ttft_s", "ttft_s": "tpot_s"}[figure]
    size = "sequence" if phase == "prefill" else "context"
    assert [row[size] for row in rows] == [64, 128] * 2 or [row[size] for row in rows] == [64, 64, 128, 128]
    for row in rows:
        assert row[figure] == row["latency_s"]
        tokens_read = row["sequence"] if phase == "prefill" else 1
        assert row["tokens_per_s"] == pytest.approx(row["batch"] * tokens_read / row["latency_s"])
        assert other not in row
    limit = sorted(row[figure] for row in rows)[1]
    kept = points(spec, *options, "--where", f"{figure.removesuffix('_s')} <= {limit!r}s")
    assert [row[figure] for row in kept] == [row[figure] for row in rows if row[figure] <= limit]
    wrong = sweep(spec, *L4, "--batch", "1", "--where", f"{other} < 1s")
    assert wrong.exit_code == 2
    assert f"{other} needs" in wrong.stderr


@pytest.mark.torch
def test_tokens_of_a_model_without_a_phase_ask_for_one(tmp_path: Path) -> None:
    pytest.importorskip("transformers", reason="needs transformers: pip install 'pyinfercost[models]'")
    spec = spec_of(tmp_path, WIDE_LLAMA)
    wrong = sweep(spec, *L4, "--prompt", "64,128")
    assert wrong.exit_code == 2
    assert f"give the phase: {spec}#prefill or {spec}#decode" in wrong.stderr
