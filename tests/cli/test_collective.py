"""`pyinfercost collective`."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

import pyinfercost as ic
from pyinfercost.cli import main
from pyinfercost.cli.arguments import byte_sizes

TWO = ("--hardware", "h100-sxm-80gb", "--devices", "2")


def invoke(*arguments: str) -> Result:
    return CliRunner().invoke(main, ("collective", *arguments))


def test_json_and_csv_are_what_the_api_says() -> None:
    estimate = ic.devices.collective("all_gather", [4096, 2**26], hardware="h100-sxm-80gb", devices=2, dtype="int8")
    options = ("all_gather", "4KiB,64MiB", *TWO, "--dtype", "int8", "--format")
    document = json.loads(invoke(*options, "json").stdout)["collective"]
    rows = list(csv.DictReader(io.StringIO(invoke(*options, "csv").stdout)))
    assert tuple(document) == estimate.columns
    for row, expected in enumerate(estimate.to_rows()):
        assert {name: each[row] if isinstance(each, list) else each for name, each in document.items()} == expected
        assert float(rows[row]["latency_s"]) == estimate.latency_s[row]
        assert int(rows[row]["size_bytes"]) == estimate.size_bytes[row]
    shared = {
        "op": "all_gather",
        "hardware": "h100-sxm-80gb",
        "devices": 2,
        "nodes": 1,
        "dtype": "int8",
        "kernel": "library",
        "link": "device",
    }
    assert {name: document[name] for name in shared} == shared
    assert {name: rows[1][name] for name in shared} == {name: str(value) for name, value in shared.items()}


def test_table_has_a_line_for_each_size() -> None:
    lines = [line.split() for line in invoke("all_reduce", "4KiB,1GiB", *TWO).stdout.splitlines()]
    assert lines[:2] == [["op", "all_reduce"], ["hardware", "h100-sxm-80gb"]]
    assert [(line[0], line[-3:]) for line in lines[-2:]] == [
        ("4.096", ["ring", "LL", "latency"]),
        ("1.074", ["ring", "Simple", "link"]),
    ]


def test_options_are_arguments_of_the_api() -> None:
    options = ("--nodes", "2", "--kernel", "normal", "--share", "1.5", "--token-bytes", "14336", "--top-k", "6")
    result = invoke(
        "combine",
        "64MiB",
        "-H",
        "h100-sxm-80gb",
        "-n",
        "16",
        *options,
        "--experts",
        "64",
        "--sms",
        "24",
        "--format",
        "json",
    )
    expected = ic.devices.collective(
        "combine",
        2**26,
        hardware="h100-sxm-80gb",
        devices=16,
        nodes=2,
        kernel="normal",
        share=1.5,
        tokens=ic.devices.ExpertTokens(14336, 6, 64, 24),
    )
    assert json.loads(result.stdout)["collective"]["latency_s"][0] == expected.latency_s
    eager = invoke("all_reduce", "1", *TWO, "--kernel", "engine", "--execution", "eager", "--format", "json")
    assert json.loads(eager.stdout)["collective"]["latency_s"][0] > 10e-6


def test_output_goes_to_a_file(tmp_path: Path) -> None:
    path = tmp_path / "out.csv"
    result = invoke("send", "1", *TWO, "--format", "csv", "-o", str(path))
    assert (result.exit_code, result.output) == (0, "")
    assert path.read_text(encoding="utf-8").startswith("op,hardware,")


@pytest.mark.parametrize(
    ("text", "sizes"),
    [
        ("512", [512]),
        ("64MiB", [2**26]),
        ("1.5GB, 2 kib", [1_500_000_000, 2048]),
        ("1k,1KB,3B", [1000, 1000, 3]),
        ("1e6", [10**6]),
    ],
)
def test_sizes(text: str, sizes: list[int]) -> None:
    assert byte_sizes(text) == sizes


@pytest.mark.parametrize("text", ["", "1,", "MiB", "-1", "6q", "1s", "0.3B", "1iB", "1e99", "1e400"])
def test_a_wrong_size_is_a_usage_error(text: str) -> None:
    with pytest.raises(click.UsageError, match="message size"):
        byte_sizes(text)


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("allreduce", "1", *TWO), 2, "the nearest is 'all_reduce'"),
        (("all_reduce", "many", *TWO), 2, "got 'many'"),
        (("all_reduce", "1", *TWO, "--dtype", "fp17"), 2, "unknown dtype 'fp17'"),
        (("all_reduce", "1", "-H", "h100", "-n", "2"), 2, "h100-sxm-80gb"),
        (("all_reduce", "1", "-H", "h100-sxm-80gb", "-n", "0"), 2, "0"),
        (("all_reduce", "1", "-H", "apple-m1", "-n", "2"), 1, "has no link to other devices"),
        (("all_reduce", "1", *TWO, "--nodes", "3"), 2, "nodes is 3"),
        (("dispatch", "1", *TWO), 2, "expected an ExpertTokens"),
    ],
)
def test_exit_codes(arguments: tuple[str, ...], code: int, message: str) -> None:
    result = invoke(*arguments)
    assert (result.exit_code, result.stdout) == (code, "")
    assert message in result.stderr
