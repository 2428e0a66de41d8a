"""What shells complete, and that no library is imported for it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

import pyinfercost as ic
from pyinfercost.cli import main
from pyinfercost.sources.model_names import names_of, similar

HEAVY = {"torch", "torchvision", "timm", "transformers", "numpy", "rich"}
RUN = f"""
import sys
from pyinfercost.cli import main
try:
    main(prog_name="pyinfercost")
except SystemExit:
    print(sorted(name for name in {HEAVY} if name in sys.modules), file=sys.stderr)
"""


def completed(line: str, cwd: Path, shell: str = "bash") -> list[str]:
    """The completions of a line, whose last word is incomplete."""
    words = line.split(" ")
    variables = {
        "bash": {"COMP_LINE": line},
        "zsh": {"COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1)},
        "fish": {"COMP_WORDS": line, "COMP_CWORD": words[-1]},
    }[shell]
    env = {**os.environ, **variables, "_PYINFERCOST_COMPLETE": f"{shell}_complete"}
    done = subprocess.run(
        [sys.executable, "-c", RUN], check=False, env=env, cwd=cwd, capture_output=True, text=True, timeout=120
    )
    assert done.stderr.strip().splitlines()[-1:] == ["[]"], done.stderr
    return done.stdout.splitlines()


def test_machines_are_completed(tmp_path: Path) -> None:
    found = completed("pyinfercost profile x --hardware h1", tmp_path)
    assert found == [f"plain,{name}" for name in ic.hardware.names() if name.startswith("h1")]
    found = completed("pyinfercost sweep x -H l4,t", tmp_path)
    assert "plain,l4,t4" in found
    assert all(line.startswith("plain,l4,t") for line in found)
    assert "plain,priced" in completed("pyinfercost sweep x -H pr", tmp_path)
    assert "plain,priced" not in completed("pyinfercost profile x -H pr", tmp_path)


def test_columns_and_options_are_completed(tmp_path: Path) -> None:
    assert "plain,latency_s" in completed("pyinfercost sweep x --best lat", tmp_path)
    assert "plain,latency_s,cost_usd" in completed("pyinfercost sweep x --pareto latency_s,cost", tmp_path)
    assert completed("pyinfercost sweep x --batch-t", tmp_path) == ["plain,--batch-tradeoff"]
    assert "plain,completion" in completed("pyinfercost comp", tmp_path)


def test_files_are_completed(tmp_path: Path) -> None:
    (tmp_path / "zz.pt2").write_text("")
    (tmp_path / "notes.txt").write_text("")
    (tmp_path / "zzfolder").mkdir()
    assert completed("pyinfercost profile zz", tmp_path) == ["plain,zz.pt2", "plain,zzfolder/"]
    assert "plain,hf:zzfolder/" in completed("pyinfercost profile hf:zz", tmp_path)
    assert completed("pyinfercost profile hf:zzfolder#", tmp_path) == [
        "plain,hf:zzfolder#prefill",
        "plain,hf:zzfolder#decode",
    ]


@pytest.mark.skipif(not names_of("torchvision"), reason="torchvision is not installed")
@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_models_are_completed(tmp_path: Path, shell: str) -> None:
    found = completed("pyinfercost profile torchvision:resnet1", tmp_path, shell)
    assert [name for name in ("torchvision:resnet101", "torchvision:resnet152", "torchvision:resnet18")] == [
        line.removeprefix("plain,").removeprefix("plain\t") for line in found if line.endswith(("101", "152", "18"))
    ]
    assert any("torchvision:" in line for line in completed("pyinfercost profile torchv", tmp_path, shell))


@pytest.mark.torch
def test_names_in_source_files_are_those_that_libraries_register() -> None:
    torchvision, timm = pytest.importorskip("torchvision"), pytest.importorskip("timm")
    assert set(names_of("torchvision")) == set(torchvision.models.list_models())
    assert set(names_of("timm")) == set(timm.list_models())
    assert "torchvision:resnet50" in similar("resnet5")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_scripts_are_printed(shell: str) -> None:
    result = CliRunner().invoke(main, ["completion", shell])
    assert result.exit_code == 0
    assert f"_PYINFERCOST_COMPLETE={shell}_complete" in result.stdout


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
@pytest.mark.skipif(not names_of("torchvision"), reason="torchvision is not installed")
def test_bash_completes_words_with_colons(tmp_path: Path) -> None:
    script = CliRunner().invoke(main, ["completion", "bash"]).stdout
    (tmp_path / "pyinfercost").write_text(f'#!/bin/sh\nexec {sys.executable} -m pyinfercost "$@"\n')
    (tmp_path / "pyinfercost").chmod(0o755)
    asked = """
COMP_LINE="pyinfercost profile torchvision:resnet15"; COMP_POINT=${#COMP_LINE}
_pyinfercost_completion ./pyinfercost 2>/dev/null; printf '%s\\n' "${COMPREPLY[@]}"
COMP_LINE="pyinfercost profile x -H h200"; COMP_POINT=${#COMP_LINE}
_pyinfercost_completion ./pyinfercost 2>/dev/null; printf '%s\\n' "${COMPREPLY[@]}"
"""
    done = subprocess.run(
        ["bash", "-c", script + asked], check=False, cwd=tmp_path, capture_output=True, text=True, timeout=120
    )
    assert done.stdout.split() == ["resnet152", "h200-sxm-141gb"], done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [((), "Missing argument 'SHELL'. Choose from: bash, zsh, fish"), (("powershell",), "'powershell' is not one of")],
)
def test_another_shell_is_refused_in_one_line(arguments: tuple[str, ...], message: str) -> None:
    result = CliRunner().invoke(main, ["completion", *arguments])
    assert result.exit_code == 2
    assert message in result.stderr.splitlines()[0]


def test_a_name_without_a_library_of_models_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    result = CliRunner().invoke(main, ["profile", "resnet50"])
    assert result.exit_code == 2
    assert "model 'resnet50' is not known; names of models need torchvision or timm: pip install" in result.stderr
    unlike = CliRunner().invoke(main, ["profile", "resnet50.onxx"]).stderr
    assert "is not known; expected torchvision:NAME" in unlike


def test_fish_completes_lists() -> None:
    script = CliRunner().invoke(main, ["completion", "fish"]).stdout
    assert 'string split --max 1 "," $completion' in script
    fish = shutil.which("fish")
    if fish is None:
        pytest.skip("needs fish")
    line = 'set -l completion plain,l4,priced; echo (string split --max 1 "," $completion)[2]'
    assert subprocess.run([fish, "-c", line], capture_output=True, text=True, check=True).stdout == "l4,priced\n"
