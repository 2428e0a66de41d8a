"""Models that do not exist, as people type them: one error at once, without an import of torch, and the exit code."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

import pytest
from click.testing import CliRunner

from pyinfercost.cli import main


def refused(spec: str, code: int) -> str:
    """Profile a model, and return the message."""
    result = CliRunner().invoke(main, ["profile", spec, "--hardware", "l4"])
    assert result.exit_code == code, (result.output, result.exception)
    assert isinstance(result.exception, SystemExit)
    assert result.stderr.startswith("Error: ")
    assert result.stdout == ""
    return result.stderr


@pytest.mark.parametrize(
    ("spec", "message", "code"),
    [
        ("hf:nowhere.json", "hf:nowhere.json: no such file; expected a config.json", 1),
        ("hf:nowhere.json#decode", "hf:nowhere.json#decode: no such file", 1),
        ("hf:folder", "hf:folder: the folder has no config.json", 1),
        ("folder", "folder: the folder has no config.json", 1),
        ("folder.onnx", "folder.onnx: is a folder; expected a file of the form FILE.onnx", 1),
        ("nowhere.onnx", "nowhere.onnx: no such file", 1),
        (":", "model ':' is not known; expected torchvision:NAME", 2),
        ("hf:", "model 'hf:' is not valid; expected torchvision:NAME", 2),
        ("hf:no/where", "not in the local Hugging Face cache. Nothing is downloaded: run `hf download no/where", 2),
        (
            "hf:config.json#deocde",
            "phase 'deocde' of hf:config.json is unknown; expected prefill or decode or text-prefill or none",
            2,
        ),
        ("torchvison:resnet50", "there is no module 'torchvison'; did you mean torchvision:resnet50?", 2),
        ("os:nothere", "os:nothere: module 'os' has no attribute 'nothere'; expected package.module:callable", 2),
        ("https://huggingface.co/gpt2", "is an address, and nothing is downloaded; download the file and give", 2),
        ("s3://bucket/model.onnx", "is an address, and nothing is downloaded", 2),
        ("file.onnx#decode", "file.onnx has no phases, which only language models have", 2),
        ("modèle:résnet", "there is no module 'modèle'; expected the name of an importable module", 2),
    ],
)
def test_what_does_not_exist(
    spec: str, message: str, code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder.onnx").mkdir()
    (tmp_path / "config.json").write_text("{}", encoding="utf-8")
    assert message in refused(spec, code)


def test_suggestions_replace_the_list_of_forms(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pyinfercost.sources.spec_names.similar", lambda name: [f"timm:{name}d", f"timm:{name}t"])
    assert refused("resnet5000", 2).startswith(
        "Error: model 'resnet5000' is not known; did you mean timm:resnet5000d or timm:resnet5000t?\n"
    )


def test_phases_of_a_model_without_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pyinfercost.sources.spec_names.libraries_with", lambda name: ("timm",) * (name == "resnet50"))
    assert "resnet50 has no phases, which only language models have" in refused("resnet50#decode", 2)


@pytest.mark.parametrize(
    ("entry", "message"),
    [("m/constants.pkl", "is TorchScript, which cannot be captured"), ("m/data.pkl", "may be a pickle")],
)
def test_files_of_torch(entry: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    with ZipFile(path, "w") as archive:
        archive.writestr(entry, b"")
    assert message in refused(str(path), 1)


@pytest.mark.torch
@pytest.mark.parametrize("content", ["", '{"model_type": "llama"', "\0"])
def test_a_config_that_is_no_json(content: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(content, encoding="utf-8")
    for spec in (f"hf:{tmp_path}", f"hf:{tmp_path}/config.json"):
        assert "config.json" in (told := refused(spec, 1)) or str(tmp_path) in told
        assert "is no JSON" in told


@pytest.mark.torch
@pytest.mark.parametrize("spec", ["torchvision:resnet18", "timm:resnet18"])
def test_a_file_that_hides_torch_is_named(spec: str, tmp_path: Path) -> None:
    library = spec.partition(":")[0]
    pytest.importorskip(library, reason=f"needs {library}; run pip install 'pyinfercost[models]'")
    (tmp_path / "torch.py").write_text("x = 1\n", encoding="utf-8")
    command = [sys.executable, "-m", "pyinfercost", "profile", spec, "--no-cache"]
    done = subprocess.run(command, check=False, capture_output=True, text=True, cwd=tmp_path, timeout=300)
    assert done.returncode == 1
    assert f"needs torch, but torch comes from {tmp_path / 'torch.py'}, which hides the library" in done.stderr
