"""The GitHub Action: its steps are run by a shell, with the variables of a job and a server in the place of GitHub.

Expressions of the form `${{ inputs.NAME }}` are replaced as GitHub replaces them; its own actions (`uses:`) are not
run, and neither is the installation.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from support.fake_forge import Forge, fake_forge
from support.toy_graphs import transformer

yaml = pytest.importorskip("yaml")

ROOT = Path(__file__).parents[2]
ACTION = ROOT / "action.yml"

pytestmark = [
    pytest.mark.server,
    pytest.mark.skipif(not ACTION.exists(), reason="the action is in the repository only"),
    pytest.mark.skipif(sys.platform == "win32", reason="its steps are for bash"),
    pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed"),
]

EXPRESSION = re.compile(r"\$\{\{\s*(.*?)\s*\}\}")


def value_of(expression: str, context: Mapping[str, str]) -> str:
    """The value of an expression of names, `||` and texts in single quotes."""
    for part in expression.split("||"):
        name = part.strip()
        found = name[1:-1] if name.startswith("'") else context[name]
        if found:
            return found
    return ""


class Job:
    """A job of a pull request with the action as its only step.

    Attributes:
        summary: The summary of the job.
        failed: The name of the step that failed, with its exit code; None if none did.
    """

    def __init__(self, folder: Path, forge: Forge, base: str, **inputs: str) -> None:
        self._action = yaml.safe_load(ACTION.read_text(encoding="utf-8"))
        unknown = set(inputs) - {name.replace("-", "_") for name in self._action["inputs"]}
        assert not unknown
        self._context = {"github.token": "secret", "github.event.pull_request.base.sha": base}
        self._context["github.action_path"] = str(ROOT)
        for name, described in self._action["inputs"].items():
            given = inputs.get(name.replace("-", "_"), described["default"])
            self._context[f"inputs.{name}"] = EXPRESSION.sub(lambda found: value_of(found[1], self._context), given)
        self._event = folder.parent / "event.json"
        self._event.write_text('{"pull_request": {"number": 7}}', encoding="utf-8")
        self._files = {name: folder.parent / name for name in ("GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY")}
        for path in self._files.values():
            path.write_text("", encoding="utf-8")
        self._folder = folder
        self._forge = forge
        self.failed: tuple[str, int] | None = None
        for step in self._action["runs"]["steps"]:
            if "run" in step and step["name"] != "Install" and self._applies(step):
                self._run(step)
                if self.failed:
                    break
        self.summary = self._files["GITHUB_STEP_SUMMARY"].read_text(encoding="utf-8")

    def _applies(self, step: Mapping[str, Any]) -> bool:
        condition = step.get("if")
        assert condition in (None, "inputs.comment == 'true' && github.event.pull_request")
        return condition is None or self._context["inputs.comment"] == "true"

    def _run(self, step: Mapping[str, Any]) -> None:
        assert step["shell"] == "bash"
        expressions = {name: str(text) for name, text in step.get("env", {}).items()}
        own = {
            name: EXPRESSION.sub(lambda f: value_of(f[1], self._context), text) for name, text in expressions.items()
        }
        assert "${{" not in step["run"]  # texts of others would be code
        environment = {
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "HOME": str(self._folder.parent),
            "GITHUB_ACTIONS": "true",
            "GITHUB_API_URL": self._forge.address,
            "GITHUB_REPOSITORY": "me/it",
            "GITHUB_EVENT_PATH": str(self._event),
            "RUNNER_TEMP": str(self._folder.parent),
            **{name: str(path) for name, path in self._files.items()},
            **own,
        }
        # As GitHub starts `shell: bash`.
        command = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]]
        run = subprocess.run(command, cwd=self._folder, env=environment, capture_output=True, text=True, check=False)
        self.said = run.stdout + run.stderr
        if run.returncode:
            self.failed = (step["name"], run.returncode)
        for line in self._files["GITHUB_OUTPUT"].read_text(encoding="utf-8").splitlines():
            name, _, value = line.partition("=")
            self._context[f"steps.{step.get('id')}.outputs.{name}"] = value


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, str]:
    """A clone of one commit, which grows a model, and the commit before it, which the clone lacks."""
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "gitconfig"))
    origin, folder = tmp_path / "origin", tmp_path / "checkout"
    origin.mkdir()

    def git(*arguments: str, cwd: Path = origin) -> str:
        names = ("-c", "user.name=me", "-c", "user.email=me@example.org", "-c", "commit.gpgsign=false")
        run = subprocess.run(["git", *names, *arguments], cwd=cwd, check=True, capture_output=True, text=True)
        return run.stdout.strip()

    git("init", "--quiet")
    git("config", "uploadpack.allowAnySHA1InWant", "true")  # as GitHub has it
    for layers in (2, 3):
        (origin / "chat.json").write_text(transformer(layers=layers).to_json(), encoding="utf-8")
        git("add", ".")
        git("commit", "--quiet", "-m", f"{layers} layers")
    git("clone", "--quiet", "--depth=1", origin.as_uri(), str(folder), cwd=tmp_path)
    return folder, git("rev-parse", "HEAD^")


def test_one_comment_with_limits(checkout: tuple[Path, str]) -> None:
    folder, base = checkout
    terms = {"models": "chat.json\n", "options": "--hardware l4 --price spot"}
    with fake_forge() as forge:
        first = Job(folder, forge, base, **terms)
        assert first.failed is None, first.said
        (body,) = forge.comments.values()
        assert body.startswith("<!-- pyinfercost: written by pyinfercost -->\n### Cost of this change\n")
        assert "| chat.json | changed | batch 2, sequence 16, l4, native, eager | " in body
        assert body.endswith(first.summary)
        second = Job(folder, forge, base, **terms, fail_if="parameters:+1%\nlatency_s:+500%", title="Cost & more")
        assert second.failed == ("Limits", 3)
        (body,) = forge.comments.values()
        assert "### Cost &amp; more" in body or "### Cost & more" in body
        assert "❌ **1 limit is broken:**" in body
        assert forge.tokens == {"secret"}


@pytest.mark.slow
def test_configured_models_without_a_comment(checkout: tuple[Path, str]) -> None:
    folder, base = checkout
    text = '[defaults]\nhardware = "l4"\n[models.chat]\nspec = "chat.json"\n[limits]\nflops = "+1%"\n'
    (folder / "pyinfercost.toml").write_text(text, encoding="utf-8")
    with fake_forge() as forge:
        job = Job(folder, forge, base, comment="false", token="")
        assert job.failed == ("Limits", 3), job.said
        assert "| chat | changed | batch 2, sequence 16, l4, native, eager | " in job.summary
        assert forge.requests == []


def test_a_failure_is_one_of_the_step(checkout: tuple[Path, str]) -> None:
    folder, base = checkout
    with fake_forge() as forge:
        job = Job(folder, forge, base, models="missing.json")
        assert job.failed == ("Compare", 1)
        assert "missing.json cannot be profiled" in job.said
        assert forge.requests == []


def test_the_hook_and_the_action_name_what_exists(tmp_path: Path) -> None:
    (hook,) = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text(encoding="utf-8"))
    run = subprocess.run(
        [sys.executable, "-m", "pyinfercost", "ci", "--help"], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert hook["entry"].startswith("pyinfercost ci ")
    text = json.dumps(yaml.safe_load(ACTION.read_text(encoding="utf-8")))
    for option in {*re.findall(r"--[a-z-]+", hook["entry"]), "--base", "--title", "--output", "--model", "--fail-if"}:
        assert option in run.stdout
    assert "pyinfercost ci --base" in text
