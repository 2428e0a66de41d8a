"""Named pipes where a command reads a file: refused at once, instead of waiting for a writer."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from click.testing import CliRunner
from support.toy_graphs import blocks

from pyinfercost.cli import main

pytestmark = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")

SCRAPE = "monitor --scrape http://127.0.0.1:1 --once --interval 0.1"
COMMANDS = (
    "profile pipe.gguf -H t4",
    "profile pipe.json -H t4",
    "profile pipe.pt2 -H t4",
    "profile hf:pipe.json -H t4",
    "sparsity pipe.safetensors",
    "sparsity pipe.pt2",
    "sparsity folder/model.safetensors.index.json",
    "profile graph.json -H pipe.toml",
    "hardware pipe.toml",
    "profile graph.json --on pipe.json",
    "profile graph.json -H l4 --price pipe.toml",
    "--config pipe.toml profile graph.json",
    "diff pipe.json graph.json",
    "diff pipe.html graph.json",
    "comment pipe.md",
    "comment graph.json",
    "monitor report folder/logs",
    f"{SCRAPE} --planned pipe.json",
    f"{SCRAPE} --correction pipe.json",
    "serve graph.json -H l4 --engine vllm --trace pipe.csv",
    "fleet graph.json -H l4 --traffic pipe.csv",
)


@pytest.fixture
def pipes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder with a graph and a pipe for every kind of file, in the job of a pull request."""
    monkeypatch.chdir(tmp_path)
    Path("graph.json").write_text(blocks().to_json(), encoding="utf-8")
    Path("folder/logs").mkdir(parents=True)
    for name in ("csv", "gguf", "html", "json", "md", "pt2", "safetensors", "toml"):
        os.mkfifo(f"pipe.{name}")
    os.mkfifo("folder/model.safetensors.index.json")
    os.mkfifo("folder/logs/log.jsonl")
    for name, value in {
        "GITHUB_ACTIONS": "true",
        "GITHUB_TOKEN": "secret",
        "GITHUB_REPOSITORY": "me/it",
        "GITHUB_EVENT_PATH": "pipe.json",
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("GITLAB_CI", raising=False)


@pytest.mark.usefixtures("pipes")
@pytest.mark.parametrize("command", COMMANDS)
def test_a_pipe_is_refused_at_once(command: str) -> None:
    result = CliRunner().invoke(main, command.split())
    assert result.exit_code == 1
    assert "is a pipe or a device; expected a " in result.stderr
