"""The command line: output streams, exit codes, and notations of arguments."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result
from support.toy_graphs import blocks

import pyinfercost as ic
from pyinfercost.cli import main
from pyinfercost.cli.arguments import axis_values, named_settings
from pyinfercost.sources.spec_graphs import SpecGraph

T4 = ("--hardware", "t4")


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A graph file, which is a model that needs no torch."""
    path = tmp_path_factory.mktemp("graphs") / "toy.json"
    path.write_text(blocks(custom_op=True).to_json(), encoding="utf-8")
    return str(path)


def invoke(*arguments: str) -> Result:
    return CliRunner().invoke(main, arguments)


def start(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """The real command, elsewhere than in the root, which would stand before an installed wheel."""
    return subprocess.run(
        [sys.executable, "-m", "pyinfercost", *arguments],
        check=False,
        capture_output=True,
        text=True,
        cwd=Path(__file__).parent,
        env={**os.environ, **environment},
    )


# --- profile -------------------------------------------------------------------------------------------------------


def test_profile_json_is_that_of_the_api(toy: str) -> None:
    result = invoke("profile", toy, *T4, "--batch", "3", "--precision", "fp16", "--format", "json")
    assert result.exit_code == 0, result.output
    graph = blocks(custom_op=True)
    assert json.loads(result.stdout) == ic.profile(graph, hardware="t4", batch=3, precision="fp16").to_dict()
    assert result.stderr == ""


def test_profile_table_is_the_text_of_the_api(toy: str) -> None:
    result = invoke("profile", toy, *T4, "--set", "batch=3", "--depth", "1")
    assert result.stdout == ic.profile(blocks(custom_op=True), hardware="t4", batch=3).to_text(depth=1)


@pytest.mark.parametrize(("form", "method"), [("csv", "to_csv"), ("md", "to_markdown")])
def test_profile_in_other_formats(toy: str, form: str, method: str) -> None:
    assert invoke("profile", toy, "--format", form).stdout == getattr(ic.profile(blocks(custom_op=True)), method)()


def test_output_goes_to_a_file(toy: str, tmp_path: Path) -> None:
    path = tmp_path / "out.json"
    result = invoke("profile", toy, "--format", "json", "--output", str(path))
    assert (result.exit_code, result.output) == (0, "")
    assert json.loads(path.read_text(encoding="utf-8"))["model"] == "toy"


def test_execution_and_threads_are_handed_on(toy: str) -> None:
    options = ("--hardware", "epyc-7742", "--execution", "compiled", "--threads", "2", "--format", "json")
    estimate = json.loads(invoke("profile", toy, *options).stdout)["estimate"]
    assert (estimate["hardware"], estimate["execution"], estimate["threads"]) == ("epyc-7742", "compiled", 2)


# --- sweep ---------------------------------------------------------------------------------------------------------


def test_sweep_csv_is_that_of_the_api(toy: str) -> None:
    options = ("--hardware", "t4,a10", "--batch", "1,8", "--precision", "fp32,fp16", "--format", "csv")
    result = invoke("sweep", toy, *options)
    assert result.exit_code == 0, result.output
    grid = ic.sweep(blocks(custom_op=True), hardware=["t4", "a10"], precision=["fp32", "fp16"], batch=[1, 8])
    assert result.stdout == grid.to_csv()


def test_sweep_table_has_one_line_per_point_and_says_once_what_they_share(toy: str) -> None:
    lines = invoke("sweep", toy, *T4, "--batch", "1:4", "--precision", "fp32,fp16").stdout.splitlines()
    assert [line.split() for line in lines[:3]] == [["model", "toy"], ["hardware", "t4"], ["execution", "eager"]]
    points = [line.split()[:2] for line in lines if line.startswith("fp")]
    assert points == [[precision, batch] for precision in ("fp32", "fp16") for batch in "1234"]


def test_sweep_json_is_one_document(toy: str) -> None:
    document = json.loads(invoke("sweep", toy, *T4, "--batch", "2,4", "--format", "json").stdout)
    assert [point["batch"] for point in document["points"]] == [2, 4]


def test_sweep_captures_a_model_in_words_with_its_sizes_open(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def spec_graph(spec: str, sizes: dict[str, int], *, named: set[str], **more: object) -> SpecGraph:
        asked.append((spec, sizes, named))
        return SpecGraph(blocks(), {})

    monkeypatch.setattr("pyinfercost.sources.captured.spec_graph", spec_graph)
    options = ("torchvision:toy", *T4, "--batch", "4,8", "--format", "json")
    document = json.loads(invoke("sweep", *options, "--set", "image_size=96").stdout)
    assert asked == [("torchvision:toy", {"image_size": 96, "batch": 4}, {"batch"})]
    assert document["model"] == "torchvision:toy"
    assert [(point["batch"], point["image_size"]) for point in document["points"]] == [(4, 96), (8, 96)]
    refused = invoke("sweep", *options, "--set", "image_size=96,128")
    assert refused.exit_code == 2
    assert "captured at one 'image_size'" in refused.stderr
    assert "give it one value; batch can have several" in refused.stderr


@pytest.mark.parametrize(
    ("text", "values"),
    [("7", [7]), ("1,8,64", [1, 8, 64]), ("1:4", [1, 2, 3, 4]), ("8:25:8", [8, 16, 24]), ("1,4:5", [1, 4, 5])],
)
def test_an_axis(text: str, values: list[int]) -> None:
    assert list(axis_values("batch", text)) == values


@pytest.mark.parametrize("text", ["", "1,", "a", "4:1", "1:9:0", "1:2:3:4", "1.5"])
def test_a_wrong_axis_is_a_usage_error(text: str) -> None:
    with pytest.raises(click.UsageError, match="batch"):
        axis_values("batch", text)


def test_named_settings() -> None:
    assert named_settings(("sequence=8", "past=0"), "4") == {"sequence": "8", "past": "0", "batch": "4"}
    with pytest.raises(click.UsageError, match="given twice"):
        named_settings(("batch=8",), "4")
    with pytest.raises(click.UsageError, match="NAME=VALUE"):
        named_settings(("sequence",), None)


# --- hardware, info ------------------------------------------------------------------------------------------------


def test_hardware_lists_the_whole_catalog() -> None:
    listed = [line.split()[0] for line in invoke("hardware").stdout.splitlines()[3:]]
    assert listed == ic.hardware.names()
    assert [machine["id"] for machine in json.loads(invoke("hardware", "--format", "json").stdout)] == listed


def test_hardware_describes_one_machine() -> None:
    assert json.loads(invoke("hardware", "t4", "--format", "json").stdout) == ic.hardware.describe("t4")
    assert "memory.dram.capacity_gib" in invoke("hardware", "t4").stdout


def test_hardware_is_exported_as_estimates_take_it() -> None:
    text = invoke("hardware", "t4", "--format", "core-json").stdout
    assert text == ic.hardware.load("t4").to_json() + "\n"
    assert invoke("hardware", "--format", "core-json").exit_code == 2, "of one machine alone"
    assert invoke("hardware", "t44", "--format", "core-json").exit_code == 2


def test_info_names_versions_without_importing_torch() -> None:
    code = (
        "import sys; from pyinfercost.cli import main; main(['info', '--format', 'json'], standalone_mode=False)\n"
        "assert not {'torch', 'rich', 'numpy'} & set(sys.modules)"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, cwd=Path(__file__).parent
    )
    info = json.loads(result.stdout)
    assert info["version"] == ic.__version__
    assert info["machines"] == len(ic.hardware.names())
    assert info["op_rules"] == len(ic._core.rules())
    assert info["packages"]["click"]


# --- exit codes ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--hardware", "a100-sxn-80gb"), "a100-sxm-80gb"),
        (("--precision", "fp17"), "fp17"),
        (("--execution", "lazy", *T4), "lazy"),
        (("--set", "sequence=4"), "unknown size 'sequence'"),
        (("--batch", "0"), "from 1 to 4096"),
        (("--batch", "many"), "must be a whole number, such as 8, 1k or 128Ki; got 'many'"),
        (("--threads", "2"), "--threads needs --hardware"),
        (("--threads", "2", *T4), "expected a CPU"),
        (("--format", "xml"), "xml"),
    ],
)
def test_a_wrong_request_exits_with_2(toy: str, options: tuple[str, ...], message: str) -> None:
    result = invoke("profile", toy, *options)
    assert result.exit_code == 2
    assert message in result.stderr
    assert result.stdout == ""


@pytest.mark.parametrize("option", ["--precision", "--execution", "--hardware"])
def test_a_wrong_name_in_a_list_exits_with_2(toy: str, option: str) -> None:
    good = {"--precision": "fp16", "--execution": "eager", "--hardware": "t4"}
    options = [text for pair in {**good, option: f"{good[option]},nonsense"}.items() for text in pair]
    result = invoke("sweep", toy, *options)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "nonsense" in result.stderr


def test_a_job_that_fails_exits_with_1(toy: str, tmp_path: Path) -> None:
    broken = tmp_path / "broken.json"
    broken.write_text("{", encoding="utf-8")
    machine = tmp_path / "machine.toml"
    machine.write_text("speed = 1", encoding="utf-8")
    for arguments in (
        ("profile", str(broken)),
        ("profile", str(tmp_path / "missing.json")),
        ("profile", toy, "--hardware", str(machine)),
        ("profile", toy, "--output", str(tmp_path / "no" / "such" / "folder")),
    ):
        result = invoke(*arguments)
        assert result.exit_code == 1, arguments
        assert result.stderr.startswith("Error: ")
        assert "Traceback" not in result.stderr
        assert result.stdout == ""


def test_the_real_process_exits_as_documented(toy: str) -> None:
    good = start("profile", toy, *T4, "--format", "json")
    assert (good.returncode, good.stderr) == (0, "")
    assert json.loads(good.stdout)["estimate"]["hardware"] == "t4"
    wrong = start("profile", toy, "--hardware", "no-such-machine")
    assert (wrong.returncode, wrong.stdout) == (2, "")
    assert "Traceback" not in wrong.stderr
    failed = start("profile", "missing.json")
    assert (failed.returncode, failed.stdout) == (1, "")
    assert "missing.json" in failed.stderr
    assert "Traceback" not in failed.stderr
    assert "Traceback" in start("--debug", "profile", "missing.json").stderr


@pytest.mark.skipif(os.name != "posix", reason="needs a shell of POSIX")
def test_a_closed_stdout_is_no_error(toy: str, tmp_path: Path) -> None:
    command = f'"{sys.executable}" -m pyinfercost profile "{toy}" --hardware t4 >&-'
    done = subprocess.run(command, shell=True, check=False, capture_output=True, text=True, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")


def test_plain_output_has_no_colors_even_when_they_are_forced(toy: str) -> None:
    result = start("profile", toy, *T4, FORCE_COLOR="1")
    assert "\x1b" not in result.stdout
    assert result.stdout.splitlines()[0].split() == ["model", "toy"]


def test_json_output_does_not_import_rich(toy: str) -> None:
    code = (
        "import sys; from pyinfercost.cli import main; "
        f"main(['profile', {toy!r}, '--hardware', 't4', '--format', 'json'], standalone_mode=False)\n"
        "assert not {'torch', 'rich'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, cwd=Path(__file__).parent)


def test_a_library_that_is_not_installed_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    for library in ("torch", "torchvision"):
        monkeypatch.setitem(sys.modules, library, None)  # what an import then raises is what a missing library raises
    result = invoke("profile", "torchvision:resnet50", "--no-cache")
    assert result.exit_code == 1
    assert "which is not installed; run pip install 'pyinfercost[models]'" in result.stderr


@pytest.mark.parametrize("arguments", [(), ("profile",), ("sweep",), ("collective",), ("hardware",), ("info",)])
def test_help(arguments: tuple[str, ...]) -> None:
    result = invoke(*arguments, "--help")
    assert result.exit_code == 0
    assert "Usage:" in result.stdout


def test_version() -> None:
    assert ic.__version__ in invoke("--version").stdout


def test_csv_can_be_read_back(toy: str) -> None:
    rows = list(csv.DictReader(io.StringIO(invoke("profile", toy, *T4, "--format", "csv").stdout)))
    assert [row["module"] for row in rows][-1] == "mix"


def test_other_formats_can_be_asked_for(tmp_path: Path) -> None:
    file = tmp_path / "toy.json"
    file.write_text(blocks().to_json())
    runner = CliRunner()
    plain, narrow = (
        json.loads(runner.invoke(main, ["profile", str(file), "--format", "json", *more]).stdout)
        for more in ([], ["--quantize", "head=none,*=int8_wo"])
    )
    assert narrow["totals"]["parameter_bytes"] == plain["totals"]["parameter_bytes"] - 2 * (3 * 64 * 64 - 5 * 64)
    assert narrow["model"] == f"{plain['model']}, what if head=none,*=int8_wo"
    swept = runner.invoke(main, ["sweep", str(file), "-H", "l4", "--batch", "1,8", "--quantize", "int4_wo:32"])
    assert "what if int4_wo:32" in swept.stdout
    for wrong, message in (
        ("int5", "unknown format 'int5'"),
        ("heads=int8_wo", "similar ones are head"),
        ("=,", "PATTERN="),
    ):
        refused = runner.invoke(main, ["profile", str(file), "--quantize", wrong])
        assert (refused.exit_code, message in refused.stderr) == (2, True), refused.stderr
    assert runner.invoke(main, ["profile", str(file), "--kv-cache", "fp8"]).exit_code == 2


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="/dev/full is not there: no disk to be full")
def test_a_full_disk_says_what_is_lost(toy: str) -> None:
    ran = CliRunner().invoke(main, ["profile", toy, "--output", "/dev/full"])
    assert ran.exit_code == 1
    assert "cannot write /dev/full: No space left on device" in ran.stderr
    assert "its former content is lost" in ran.stderr
    assert "Free space, or write to another disk, and run this again" in ran.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="/dev/full is not there: no disk to be full")
def test_a_full_disk_behind_the_standard_output_says_so(toy: str, tmp_path: Path) -> None:
    with Path("/dev/full").open("w") as full:
        ran = subprocess.run(
            [sys.executable, "-m", "pyinfercost", "profile", toy],
            check=False, stdout=full, stderr=subprocess.PIPE, text=True, cwd=tmp_path,
            env={**os.environ, "PYTHONUNBUFFERED": ""},
        )  # fmt: skip
    assert ran.returncode == 1
    assert "cannot write the standard output: No space left on device. What is there is incomplete" in ran.stderr


@pytest.mark.parametrize(
    ("word", "hint"), [("profle", "did you mean profile?"), ("zzz", "expected one of init, profile, explore")]
)
def test_an_unknown_command_names_known_ones(word: str, hint: str) -> None:
    result = CliRunner().invoke(main, [word])
    assert result.exit_code == 2
    assert f"No such command '{word}'; {hint}" in result.output


@pytest.mark.parametrize("command", ["profile", "sweep", "compare"])
def test_an_engine_in_the_place_of_an_execution_is_named(toy: str, command: str) -> None:
    result = CliRunner().invoke(main, [command, toy, *T4, "--execution", "tensorrt"])
    assert result.exit_code == 2
    assert "; tensorrt is an engine: --engine tensorrt" in result.output
    assert "is an engine" not in CliRunner().invoke(main, [command, toy, *T4, "--execution", "quick"]).output
