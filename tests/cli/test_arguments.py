"""Notations of the command line that no number or file has."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from support.toy_graphs import blocks

from pyinfercost.cli import main
from pyinfercost.cli.arguments import (
    byte_sizes,
    known_names,
    named_settings,
    price_options,
    prices_by_id,
    scale_axes,
    whole_number,
)
from pyinfercost.cli.output import in_options


@pytest.mark.parametrize(
    ("text", "number"), [("1k", 1000), ("1.5k", 1500), ("128Ki", 131072), ("2M", 2_000_000), ("1e3", 1000)]
)
def test_whole_numbers_with_units(text: str, number: int) -> None:
    assert whole_number("batch", text) == number


@pytest.mark.parametrize(
    "text", ["9" * 400, "9" * 5000, "-" + "9" * 400, "9223372036854775808", "1e30", "1.5", "2ms", "", "\x1b", "²"]
)
def test_whole_numbers_that_64_bits_do_not_hold(text: str) -> None:
    with pytest.raises(click.UsageError, match="size 'batch'") as error:
        whole_number("batch", text)
    assert len(error.value.message) < 400


@pytest.mark.parametrize("text", ["9" * 400, "9" * 5000, "9" * 400 + ".5", "10000TiB,9999999TiB", "0.3", "-1", "\x1b"])
def test_message_sizes_that_64_bits_do_not_hold(text: str) -> None:
    with pytest.raises(click.UsageError, match="message size") as error:
        byte_sizes(text)
    assert len(error.value.message) < 400


def test_long_notations_are_shortened_in_messages() -> None:
    calls: list[Callable[[str], object]] = [
        lambda text: scale_axes((text,), ["bandwidth"]),
        lambda text: scale_axes((f"bandwidth=1:{'9' * 400}{text}",), ["bandwidth"]),
        lambda text: price_options(f"{text},{text}"),
        lambda text: prices_by_id(f"{text}=1", ["l4"]),
        lambda text: known_names("figure", text, ["flops"]),
        lambda text: named_settings((text,), None),
    ]
    for call in calls:
        with pytest.raises(click.UsageError) as error:
            call("a" * 50_000)
        assert len(error.value.message) < 600


@pytest.fixture
def model(tmp_path: Path) -> str:
    path = tmp_path / "graph.json"
    path.write_text(blocks().to_json(), encoding="utf-8")
    return str(path)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--utilization", "1e-320"], "1e-06<=x<=1"),
        (["--utilization", "nan"], "utilization is nan; expected a number from 1e-06 to 1"),
        (["--devices", "9" * 30], "1<=x<=1000000"),
        (["--price", "1e-320"], "usd_per_h of the price is 1e-320; expected 0 or a number"),
        (["--price", "1e400"], "usd_per_h of the price is inf; expected 0 or a number"),
        (["--startup", "weights_from=1e-320"], "weights_from of startup is 1e-320; expected"),
        (["--region", "\ud800"], "half of a surrogate pair"),
        (["--set", "batch=" + "9" * 400], "size 'batch' is '9"),
        (["--price", "a\0b.toml"], "null character"),
    ],
)
def test_numbers_out_of_range_are_usage_errors(options: list[str], message: str, model: str) -> None:
    result = CliRunner().invoke(main, ["profile", model, "--hardware", "l4", *options])
    assert result.exit_code == 2
    assert message in " ".join(result.output.split())
    assert "Traceback" not in result.output


@pytest.mark.parametrize(
    "content", ["", "[" * 100_000, "9" * 5000, "[]", "[3]", '{"devices": "x"}', '{"price": {}}', "\xff"]
)
def test_files_of_deployments_that_hold_none(content: str, model: str, tmp_path: Path) -> None:
    path = tmp_path / "on.json"
    path.write_bytes(content.encode("latin-1"))
    result = CliRunner().invoke(main, ["profile", model, "--hardware", "l4", "--on", str(path)])
    assert result.exit_code in (1, 2)
    assert "Traceback" not in result.output
    assert len(result.output) < 1000


def test_outputs_that_cannot_be_written(model: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for output in (tmp_path / ("a" * 300), tmp_path / "file" / "out", tmp_path / "absent" / "out"):
        result = CliRunner().invoke(main, ["profile", model, "--format", "json", "-o", str(output)])
        assert result.exit_code == 1
        assert "cannot write" in result.output


@pytest.mark.parametrize("threshold", ["nan", "0", "1e-320", "inf"])
def test_thresholds_out_of_range(threshold: str, tmp_path: Path) -> None:
    header = json.dumps({"w": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}).encode()
    path = tmp_path / "w.safetensors"
    path.write_bytes(len(header).to_bytes(8, "little") + header + bytes(8))
    result = CliRunner().invoke(main, ["sparsity", str(path), "--threshold", threshold])
    assert result.exit_code in (1, 2)
    assert "threshold" in result.output


@pytest.mark.parametrize("machines", ["priced", "all", "gpu", "l4,t4"])
def test_several_machines_where_one_is_expected(machines: str, model: str) -> None:
    result = CliRunner().invoke(main, ["profile", model, "--hardware", machines])
    assert result.exit_code == 2
    assert f"--hardware is '{machines}'; expected one machine here. `pyinfercost sweep` takes lists" in result.stderr


def test_names_in_any_case(model: str) -> None:
    options = ["--hardware", "L4", "--precision", "FP16", "--engine", "TensorRT", "--format", "json"]
    result = CliRunner().invoke(main, ["profile", model, *options])
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["precision"] == "fp16"
    listed = CliRunner().invoke(main, ["sweep", model, "--hardware", "l4", "--precision", "FP16, bf16"])
    assert listed.exit_code == 0, listed.output
    assert "fp16" in listed.stdout
    assert "bf16" in listed.stdout


def test_the_file_to_write_has_one_option() -> None:
    context = click.Context(main)
    commands = {name: main.get_command(context, name) for name in main.list_commands(context)}
    monitor = commands.pop("monitor")
    assert isinstance(monitor, click.Group)
    commands.update({f"monitor {name}": each for name, each in monitor.commands.items()})
    files = []
    for name, command in commands.items():
        assert command is not None
        for parameter in command.params:
            opts = set(getattr(parameter, "opts", ()))
            assert opts & {"--output", "-o"} in (set(), {"--output", "-o"}), name
            if "--output" in opts:
                assert parameter.metavar == "FILE", name
                files.append(name)
            assert "--limit" not in opts or name == "advise"
    assert {"profile", "sweep", "serve", "fleet", "advise", "calibrate", "explore", "monitor export"} <= set(files)


@pytest.mark.parametrize(
    ("words", "arguments", "expected"),
    [
        ("pass hardware=, such as hardware='l4', alone or in on=", "profile", "give --hardware, such as --hardware l4"),
        ("pass device='cuda', or 'compiled'", "measure", "give --device cuda, or 'compiled'"),
        ("pass keda=true, or a zero", "fleet", "pass keda=true, or a zero"),
        ("pass slo.", "fleet", "give --slo."),
        ("pass committed=2 or less", "fleet", "give --committed 2 or less"),
        ("expected FIGURE=N, such as batch=8", "profile", "such as batch=8"),
        ("--startup: warmup='engine' is unknown", "profile", "--startup: warmup='engine' is unknown"),
    ],
)
def test_messages_on_the_command_line_name_options(words: str, arguments: str, expected: str) -> None:
    command = main.get_command(click.Context(main), arguments)
    assert command is not None
    with click.Context(command):
        assert expected in in_options(words)
    assert in_options(words) == words


def test_help_of_commands_without_a_model_does_not_explain_models() -> None:
    for words in (["calibrate"], ["monitor"], ["monitor", "report"]):
        text = CliRunner().invoke(main, [*words, "--help"]).output
        assert "130 interrupted" in text
        assert "torchvision:NAME" not in text


def test_a_help_has_the_most_used_options_and_help_all_has_all_of_them() -> None:
    command = main.get_command(click.Context(main), "serve")
    assert command is not None
    options = {max(each.opts, key=len) for each in command.params if isinstance(each, click.Option) and not each.hidden}
    few, every = (CliRunner().invoke(main, ["serve", flag]).stdout for flag in ("--help", "--help-all"))
    shown = {option for option in options if re.search(rf"^  (-\w, )?{option}\b", few, re.MULTILINE)}
    assert len(shown) == 12
    assert {"--hardware", "--rate", "--price", "--slo", "--output"} <= shown
    assert not [option for option in options if option not in every]
    assert f"--help-all  Show all {len(options)} options" in few
    titles = [line for line in every.splitlines() if re.fullmatch(r"\w[\w ]*:", line)]
    assert titles == [
        *("Options:", "Machine:", "Price and place:", "Traffic:", "Scheduler:", "What if:", "Output:", "Help:")
    ]


def test_a_command_with_few_options_shows_all() -> None:
    few, every = (CliRunner().invoke(main, ["collective", flag]).stdout for flag in ("--help", "--help-all"))
    assert few == every
    assert "--help-all" not in few


def test_examples_of_settings_are_those_that_a_command_takes() -> None:
    assert "prefix_hit" in CliRunner().invoke(main, ["profile", "--help-all"]).output
    assert "prefix_hit" not in CliRunner().invoke(main, ["serve", "--help-all"]).output


@pytest.mark.torch
@pytest.mark.parametrize(("command", "refused"), [("serve", "--startup"), ("fleet", "--utilization")])
def test_options_that_a_command_refuses_are_not_in_its_help(command: str, refused: str) -> None:
    assert refused not in CliRunner().invoke(main, [command, "--help-all"]).output
    arguments = [command, "resnet50", "--hardware", "l4", "--traffic", "poisson:1"][: 4 if command == "serve" else 6]
    told = CliRunner().invoke(main, [*arguments, refused, "0.5"])
    assert f"{refused} has no effect" in told.stderr
