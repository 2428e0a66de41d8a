"""`pyinfercost.toml`: how it is found, what it sets, what it refuses, and the file that `init` writes."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from support.toy_graphs import blocks

from pyinfercost.cli import main
from pyinfercost.cli.configuration import NAME, ConfigurationError, find_configuration, read_configuration


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty project with a stored graph, which is the current folder."""
    folder = tmp_path / "project"
    (folder / "models").mkdir(parents=True)
    (folder / "models" / "toy.json").write_text(blocks().to_json(), encoding="utf-8")
    monkeypatch.chdir(folder)
    return folder


def write(text: str, folder: Path | None = None) -> None:
    ((folder or Path.cwd()) / NAME).write_text(text, encoding="utf-8")


def invoke(*arguments: str) -> Result:
    return CliRunner().invoke(main, arguments)


def profiled(*arguments: str) -> dict[str, object]:
    """The document of a profile, with what is asserted of it in one level."""
    result = invoke("profile", *arguments, "--format", "json")
    assert result.exit_code == 0, result.output
    document = json.loads(result.stdout)
    estimate = document["estimate"] or {}
    return {"sizes": document["sizes"], "stderr": result.stderr, **estimate}


TOY = "models/toy.json"
FULL = """
[defaults]
hardware = "main"
precision = "fp16"
[models.toy]
spec = "models/toy.json"
batch = 4
[machines]
main = "l4"
[prices]
main = 0.5
t4 = 0.25
"""


def test_defaults_apply_and_the_command_line_wins() -> None:
    write(FULL)
    configured = profiled(TOY)
    assert (configured["hardware"], configured["precision"]) == ("l4", "fp16")
    assert configured["stderr"] == "Using pyinfercost.toml: --hardware l4 --precision fp16 --price 0.5\n"
    given = profiled(TOY, "--hardware", "a100-sxm-80gb", "--precision", "fp32")
    assert (given["hardware"], given["precision"]) == ("a100-sxm-80gb", "fp32")
    assert "Using" not in str(given["stderr"])


def test_a_price_is_that_of_the_machine() -> None:
    write(FULL)
    # USD per item: seconds of a device, at 0.5 and 0.25 USD an hour.
    for options, usd_per_h in (((), 0.5), (("--hardware", "t4"), 0.25), (("--hardware", "t4", "--price", "3"), 3)):
        found = profiled(TOY, *options)
        assert found["cost_usd"] == pytest.approx(found["latency_s"] * usd_per_h / 3600, rel=1e-6)
    assert profiled(TOY, "--hardware", "a100-sxm-80gb")["cost_usd"] is None


@pytest.mark.parametrize(
    ("key", "machine"), [("l4", "L4"), ('"NVIDIA L4"', "l4"), ("main", "nvidia-l4"), ("l4", "main")]
)
def test_a_price_applies_to_any_spelling_of_its_machine(key: str, machine: str) -> None:
    write(f'[machines]\nmain = "L4"\n[prices]\n{key} = 0.5\n')
    found = profiled(TOY, "--hardware", machine)
    assert found["cost_usd"] == pytest.approx(found["latency_s"] * 0.5 / 3600, rel=1e-6)


def test_a_price_of_an_unknown_machine_is_refused() -> None:
    write("[prices]\nl400000 = 0.5\n")
    result = invoke("profile", TOY, "--hardware", "l4")
    assert result.exit_code == 1
    assert "[prices] has an unknown machine: unknown hardware 'l400000'; the nearest ids are" in result.stderr


def test_a_byte_order_mark_is_skipped() -> None:
    write('\ufeff[defaults]\nhardware = "l4"\n')
    assert "hardware" in profiled(TOY)


def test_prices_of_several_machines() -> None:
    write(FULL)
    result = invoke("sweep", TOY, "--hardware", "main,t4", "--batch", "1", "--format", "json")
    assert result.exit_code == 0, result.output
    assert "--price l4=0.5,t4=0.25" in result.stderr
    # One machine without a price: no cost is better than that of some.
    assert "--price" not in invoke("sweep", TOY, "-H", "main,a10g", "--batch", "1", "--format", "json").stderr


def test_a_price_of_the_configuration_is_not_that_of_another_machine() -> None:
    write('[defaults]\nhardware = "l4"\nprice = 0.5\n')
    assert profiled(TOY)["cost_usd"] is not None
    assert profiled(TOY, "--hardware", "a100-sxm-80gb")["cost_usd"] is None
    write('[defaults]\nhardware = "l4"\nprice = "on-demand"\n')
    assert profiled(TOY, "--hardware", "a100-sxm-80gb")["cost_usd"] is not None


def test_options_that_need_a_machine_wait_for_one() -> None:
    write('[defaults]\nprice = "spot"\nsustained = true\ndevices = 2\n')
    assert "hardware" not in profiled(TOY)
    found = profiled(TOY, "--hardware", "l4")
    assert found["stderr"] == "Using pyinfercost.toml: --sustained --devices 2 --price spot\n"


def test_a_deployment_that_is_given_leaves_no_room_for_defaults(project: Path) -> None:
    (project / "on.json").write_text(json.dumps({"hardware": "t4", "precision": "fp32"}), encoding="utf-8")
    write(FULL)
    found = profiled(TOY, "--on", "on.json")
    assert found["hardware"] == "t4"
    assert found["cost_usd"] is None


def test_models_by_name_with_their_options(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(FULL)
    assert profiled("toy")["sizes"] == {"batch": 4}
    assert profiled("toy", "--batch", "2")["sizes"] == {"batch": 2}
    assert profiled(TOY)["sizes"] == {"batch": 1}
    # The path of the model is relative to the file, from a folder below it, too.
    below = project / "deep" / "er"
    below.mkdir(parents=True)
    monkeypatch.chdir(below)
    found = profiled("toy")
    assert found["sizes"] == {"batch": 4}
    assert str(found["stderr"]).startswith("Using ../../pyinfercost.toml: ")


def test_options_of_a_command_and_of_a_model_take_precedence() -> None:
    write(
        '[defaults]\nhardware = "l4"\nprecision = "fp32"\n[commands.profile]\nprecision = "fp16"\n'
        '[models.toy]\nspec = "models/toy.json"\n[models.wide]\nspec = "models/toy.json"\nprecision = "bf16"\n'
    )
    assert [profiled(name)["precision"] for name in ("toy", "wide")] == ["fp16", "bf16"]
    assert profiled("wide", "--precision", "fp32")["precision"] == "fp32"


def test_the_nearest_file_counts(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write('[defaults]\nhardware = "l4"\n')
    below = project / "below"
    below.mkdir()
    write('[defaults]\nhardware = "t4"\n', below)
    monkeypatch.chdir(below)
    assert find_configuration(below / "deeper") == below / NAME
    assert profiled("../models/toy.json")["hardware"] == "t4"


def test_another_file_or_none() -> None:
    write('[defaults]\nhardware = "l4"\n')
    Path("other.toml").write_text('[defaults]\nhardware = "t4"\n', encoding="utf-8")
    assert '"t4"' in invoke("--config", "other.toml", "profile", TOY, "--format", "json").stdout
    assert json.loads(invoke("--no-config", "profile", TOY, "--format", "json").stdout)["estimate"] is None
    both = invoke("--config", "other.toml", "--no-config", "profile", TOY)
    assert both.exit_code == 2
    missing = invoke("--config", "missing.toml", "profile", TOY)
    assert missing.exit_code == 1
    assert "missing.toml: no such configuration; `pyinfercost init` writes one" in missing.stderr


def test_limits_of_diff() -> None:
    write('[limits]\nflops = "+5%"\nlate_share = "+0.1"\n[defaults]\nhardware = "l4"\n')
    for batch in (1, 2):
        assert invoke("profile", TOY, "--batch", str(batch), "--format", "json", "-o", f"{batch}.json").exit_code == 0
    # The limit of fleets is none of profiles, and options of models are no reason to refuse two files.
    broken = invoke("diff", "1.json", "2.json")
    assert broken.exit_code == 3, broken.output
    assert "FAILED flops:+5%" in broken.stderr
    assert invoke("diff", "1.json", "2.json", "--fail-if", "flops:+200%").exit_code == 0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[defaults", "is not a TOML file"),
        ("[default]", "unknown key 'default'; did you mean 'defaults'?"),
        ('[defaults]\nhardwar = "l4"', "unknown key 'hardwar' in [defaults]; did you mean 'hardware'?"),
        ('[defaults]\nkv-cache = "fp8"', "unknown key 'kv-cache' in [defaults]; did you mean 'kv_cache'?"),
        ('[commands.profil]\nhardware = "l4"', "unknown key 'profil' in [commands]; did you mean 'profile'?"),
        ('[commands.profile]\nbatches = "8"', "unknown key 'batches' in [commands.profile]; did you mean 'batch'?"),
        ('[models.toy]\nspec = "a.json"\nbatc = 8', "unknown key 'batc' in [models.toy]; did you mean 'batch'?"),
        ("[models.toy]\nbatch = 8", "models.toy has no spec; add one"),
        ('[models.toy]\nspec = "a.json"\nrequests_per_month = 0', "models.toy.requests_per_month is 0; expected"),
        ("[machines]\nmain = 4", "machines.main is 4; expected a text"),
        ("[prices]\nl4 = true", "prices.l4 is True; expected a text"),
        ("[limits]\nflops = 5", "limits.flops is 5; expected a text"),
        ("defaults = 3", "defaults is 3; expected a table, [defaults]"),
        ("schema_version = 2", "schema_version is 2; expected 1"),
        ("[defaults]\nhardware = {a = 1}", "defaults.hardware is {'a': 1}; expected a text, a number"),
        ("[defaults]\nroofline = 1", "option 'roofline' is 1; expected true or false"),
        ("[defaults]\nhardware = true", "option 'hardware' is True; expected a text or a number"),
        ('[defaults]\noutput = "x"', "option 'output' names a file to write; give --output on the command line"),
        ('[commands.profile]\nhtml = "x"', "option 'html' names a file to write; give --html on the command line"),
    ],
)
def test_a_wrong_file_is_refused(text: str, message: str) -> None:
    write(text)
    result = invoke("profile", TOY)
    assert result.exit_code == 1
    assert NAME in result.stderr
    assert message in result.stderr


def test_wrong_values_are_those_of_the_option() -> None:
    write('[defaults]\nhardware = "l40000"\n')
    result = invoke("profile", TOY)
    assert result.exit_code == 2
    assert "l40000" in result.stderr


# ---- init ------------------------------------------------------------------------------------------------------------


def test_init_writes_a_file_that_commands_read() -> None:
    folder = Path("configs/llama")
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}", encoding="utf-8")
    result = invoke("init", TOY, "hf:configs/llama#decode", "--hardware", "l4", "--price", "0.8")
    assert result.exit_code == 0, result.output
    read = read_configuration(Path(NAME))
    assert {name: model["spec"] for name, model in read.models.items()} == {
        "toy": TOY,
        "llama": "hf:configs/llama#decode",
    }
    assert profiled("toy")["hardware"] == "l4"
    assert profiled("toy")["cost_usd"] is not None


def test_init_without_arguments_changes_nothing() -> None:
    plain = invoke("profile", TOY).stdout
    assert invoke("init").exit_code == 0
    again = invoke("profile", TOY)
    assert again.stdout == plain
    assert again.stderr == ""
    # Each line that is commented out is right: all of them together are a valid file.
    text = Path(NAME).read_text(encoding="utf-8")
    lines = [line.removeprefix("# ") for line in text.splitlines() if "=" in line or line.startswith("# [")]
    tables = [line.removeprefix("# ") for line in text.splitlines() if line.removeprefix("# ").startswith("[")]
    assert tables == ["[defaults]", "[commands.profile]", "[models.classifier]", "[machines]", "[prices]", "[limits]"]
    uncommented = "\n".join(
        line.removeprefix("# ") if " = " in line or line.startswith("# [") else line for line in text.splitlines()
    )
    assert len(lines) > len(tables)
    write(uncommented)
    assert invoke("--config", NAME, "info").exit_code == 0
    assert read_configuration(Path(NAME)).limits[0] == "latency_s:+5%"


def test_init_keeps_a_file_unless_forced() -> None:
    write("[defaults]\n")
    refused = invoke("init")
    assert refused.exit_code == 1
    assert "--force" in refused.stderr
    assert Path(NAME).read_text(encoding="utf-8") == "[defaults]\n"
    assert invoke("init", "--force").exit_code == 0
    write("[broken")
    assert invoke("init", "--force").exit_code == 0


WITH_TORCHVISION = pytest.mark.skipif(find_spec("torchvision") is None, reason="torchvision is not installed")


@pytest.mark.parametrize(
    "spec", ["nosuchmodel", "hf:nosuch", pytest.param("torchvision:resnet51", marks=WITH_TORCHVISION), "./nosuch"]
)
def test_init_refuses_unknown_models(spec: str) -> None:
    refused = invoke("init", spec)
    assert refused.exit_code == 2
    assert "nosuch" in refused.stderr or "did you mean resnet50" in refused.stderr
    assert not Path(NAME).exists()


def test_init_reports_files_that_do_not_exist_yet() -> None:
    result = invoke("init", "later.onnx", "my.package:make")
    assert result.exit_code == 0, result.output
    assert result.stderr.count("Warning") == 1
    assert "later.onnx does not exist" in result.stderr
    assert list(read_configuration(Path(NAME)).models) == ["later", "make"]


def test_init_refuses_unknown_machines_and_prices_of_none() -> None:
    unknown = invoke("init", "-H", "l40000")
    assert unknown.exit_code == 2
    assert not Path(NAME).exists()
    assert invoke("init", "--price", "0.8").exit_code == 2


def test_names_of_models_differ() -> None:
    assert invoke("init", "torchvision:resnet18", "timm:resnet18", 'x"y.json').exit_code == 0
    assert list(read_configuration(Path(NAME)).models) == ["resnet18", "resnet18_2", "x_y"]


def test_reading_needs_no_command(tmp_path: Path) -> None:
    path = tmp_path / "c.toml"
    path.write_text('[models]\ntoy = "t.json"\n', encoding="utf-8")
    assert read_configuration(path).models == {"toy": {"spec": "t.json"}}
    path.write_text("[models]\ntoy = 3\n", encoding="utf-8")
    with pytest.raises(ConfigurationError, match=r"models\.toy is 3"):
        read_configuration(path)


def test_models_side_by_side_are_named_as_in_the_file_and_share_their_options() -> None:
    write('[models.toy]\nspec = "models/toy.json"\nbatch = 4\n[models.plain]\nspec = "models/toy.json"\n')
    result = invoke("compare", "toy", "plain", TOY, "--hardware", "l4", "--batch", "2", "--format", "json")
    assert result.exit_code == 0, result.output
    rows = json.loads(result.stdout)["compare"]["rows"]
    assert [row["model"] for row in rows] == ["toy", "plain", TOY]
    assert len({row["latency_s"] for row in rows}) == 1
    assert result.stderr == "Not used: batch of [models.toy]; give options that all models share, such as --batch 8\n"
    assert invoke("compare", "plain", TOY).stderr == ""


def test_one_of_several_models_may_fail() -> None:
    write('[models.toy]\nspec = "models/toy.json"\n')
    result = invoke("compare", "toy", "tooy:x", "--hardware", "l4")
    assert result.exit_code == 1
    assert "there is no module 'tooy'" in result.stdout
    assert result.stderr == "1 of 2 rows failed: tooy:x\n"
