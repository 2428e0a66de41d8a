"""`pyinfercost ci` and `comment`: models before and after a change in a repository, and one comment about it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from support.fake_forge import Forge, fake_forge
from support.toy_graphs import blocks, transformer

from pyinfercost.cli import forges, main

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")

_MAIN = "from pyinfercost.__main__ import main; main()"
CONFIGURATION = """
[defaults]
hardware = "l4"
[models.chat]
spec = "chat.json"
requests_per_month = 2e9
[models.other]
spec = "other.json"
[prices]
l4 = 0.8
"""


def git(*arguments: str) -> str:
    names = ("-c", "user.name=me", "-c", "user.email=me@example.org", "-c", "commit.gpgsign=false")
    return subprocess.run(["git", *names, *arguments], check=True, capture_output=True, text=True).stdout


@pytest.fixture(autouse=True)
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with two models, of which the working tree has a larger one."""
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "gitconfig"))
    folder = tmp_path / "repository"
    folder.mkdir()
    monkeypatch.chdir(folder)
    git("init", "--quiet")
    (folder / "chat.json").write_text(transformer(layers=2).to_json(), encoding="utf-8")
    (folder / "other.json").write_text(blocks().to_json(), encoding="utf-8")
    (folder / "pyinfercost.toml").write_text(CONFIGURATION, encoding="utf-8")
    git("add", ".")
    git("commit", "--quiet", "-m", "models")
    (folder / "chat.json").write_text(transformer(layers=3).to_json(), encoding="utf-8")
    return folder


def invoke(*arguments: str) -> Result:
    return CliRunner().invoke(main, arguments)


def reviewed(*arguments: str, code: int = 0) -> dict[str, object]:
    result = invoke("ci", "--format", "json", *arguments)
    assert result.exit_code == code, result.output
    document: dict[str, object] = json.loads(result.stdout)["review"]
    return document


def models_of(document: dict[str, object]) -> dict[str, dict[str, object]]:
    return {each["model"]: each for each in document["models"]}  # type: ignore[attr-defined]


def test_models_of_the_configuration_are_compared_with_those_of_the_last_commit() -> None:
    document = reviewed()
    models = models_of(document)
    assert {name: each["status"] for name, each in models.items()} == {"chat": "changed", "other": "same"}
    totals = models["chat"]["comparison"]["totals"]  # type: ignore[index]
    layer, two = totals["parameters"]["difference"], totals["parameters"]["before"]
    assert layer > 0
    assert totals["parameters"]["after"] == two + layer
    # A month: USD of an item of the batch, times the requests. The other model has no number of requests.
    for side in ("before", "after"):
        assert document["usd_per_month"][side] == pytest.approx(totals["cost_usd"][side] * 2e9)  # type: ignore[index]
    assert models["other"]["usd_per_month"]["before"] is None  # type: ignore[index]
    # The repository is as it was.
    assert git("worktree", "list").count("\n") == 1
    assert git("status", "--short") == " M chat.json\n"


@pytest.mark.slow
def test_markdown() -> None:
    result = invoke("ci")
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert lines[0] == "### Cost of this change"
    assert " USD a month more (" in lines[2]
    assert lines[4].startswith("| model | status | on | latency | memory | energy | cost of 1M | USD a month |")
    assert lines[6].startswith("| chat | changed | batch 2, sequence 16, l4, native, eager | ")
    assert lines[7].startswith("| other | same | batch 1, l4, native, eager | ")
    assert lines[7].endswith(" | ? |")  # no requests
    assert result.stdout.count("<details><summary>chat</summary>") == 1
    assert "<summary>other" not in result.stdout
    assert "ci" in invoke("ci", "--title", "ci").stdout.splitlines()[0]


def test_nothing_changed() -> None:
    git("checkout", "--quiet", ".")
    result = invoke("ci")
    assert "**no difference: " in result.stdout
    assert "<details>" not in result.stdout


@pytest.mark.slow
def test_limits_of_options_and_of_the_configuration(repository: Path) -> None:
    broken = invoke("ci", "--fail-if", "parameters:+5%", "--fail-if", "usd_per_month:+0.01", "-o", "r.md")
    assert broken.exit_code == 3, broken.output
    assert "FAILED usd_per_month:+0.01: usd_per_month grew by " in broken.stderr
    assert "FAILED chat: parameters:+5%: " in broken.stderr
    assert "❌ **2 limits are broken:**" in Path("r.md").read_text(encoding="utf-8")
    assert invoke("ci", "--fail-if", "parameters:+500%").exit_code == 0
    with (repository / "pyinfercost.toml").open("a", encoding="utf-8") as file:
        file.write('[limits]\nlate_share = "+0.1"\nparameters = "+5%"\n')  # the first one is of fleets
    assert invoke("ci").exit_code == 3
    wrong = invoke("ci", "--fail-if", "parametres:+5%")
    assert wrong.exit_code == 2
    assert "did you mean parameters" in wrong.stderr


@pytest.mark.slow
def test_models_that_are_added_and_removed(repository: Path) -> None:
    text = CONFIGURATION.replace("models.other", "models.new")
    (repository / "pyinfercost.toml").write_text(text, encoding="utf-8")
    git("mv", "other.json", "new.json")
    (repository / "pyinfercost.toml").write_text(text.replace("other.json", "new.json"), encoding="utf-8")
    document = reviewed("--fail-if", "parameters:+500%")
    assert {name: each["status"] for name, each in models_of(document).items()} == {
        "chat": "changed",
        "new": "added",
        "other": "removed",
    }
    assert "| other | removed | " in invoke("ci").stdout


@pytest.mark.slow
def test_a_model_that_was_broken_before_is_said_so(repository: Path) -> None:
    (repository / "chat.json").write_text("{}", encoding="utf-8")
    git("commit", "--quiet", "-am", "broken")
    (repository / "chat.json").write_text(transformer(layers=3).to_json(), encoding="utf-8")
    document = reviewed()
    assert models_of(document)["chat"]["status"] == "unknown"
    assert "not profiled before the change: Error: " in str(models_of(document)["chat"]["error"])
    assert "⚠️ chat: not profiled before the change" in invoke("ci").stdout


def test_a_model_that_is_broken_now_is_a_failure(repository: Path) -> None:
    (repository / "chat.json").write_text("{}", encoding="utf-8")
    result = invoke("ci")
    assert result.exit_code == 1
    assert "chat cannot be profiled: Error: " in result.stderr
    assert git("worktree", "list").count("\n") == 1


@pytest.mark.slow
def test_models_and_options_of_the_command_line(repository: Path) -> None:
    git("rm", "--quiet", "--force", "pyinfercost.toml")
    document = reviewed("--model", "chat.json", "--", "--hardware", "t4", "--price", "0.5")
    chat = models_of(document)["chat.json"]
    assert chat["comparison"]["after"]["hardware"] == "t4"  # type: ignore[index]
    assert chat["comparison"]["totals"]["cost_usd"]["after"] > 0  # type: ignore[index]
    assert document["usd_per_month"]["before"] is None  # type: ignore[index]
    nothing = invoke("ci")
    assert nothing.exit_code == 2
    assert "no models: give --model" in nothing.stderr
    wrong = invoke("ci", "--model", "chat.json", "--", "--hardware", "l40000")
    assert wrong.exit_code == 1
    assert "l40000" in wrong.stderr


@pytest.mark.slow
def test_the_side_before_has_its_own_configuration(repository: Path) -> None:
    git("checkout", "--quiet", ".")
    (repository / "pyinfercost.toml").write_text(CONFIGURATION.replace('"l4"', '"t4"'), encoding="utf-8")
    chat = models_of(reviewed())["chat"]
    sides = [chat["comparison"][side]["hardware"] for side in ("before", "after")]  # type: ignore[index]
    assert sides == ["l4", "t4"]


@pytest.mark.slow
def test_below_the_top_of_the_repository(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    below = repository / "new" / "folder"
    below.mkdir(parents=True)
    monkeypatch.chdir(below)
    assert models_of(reviewed())["chat"]["status"] == "changed"


def test_unknown_commits_and_folders_without_git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    unknown = invoke("ci", "--base", "nothing")
    assert unknown.exit_code == 1
    assert "git knows no commit 'nothing'; fetch it" in unknown.stderr
    option = invoke("ci", "--base=--help")
    assert "git knows no commit '--help'" in option.stderr
    monkeypatch.chdir(tmp_path)
    outside = invoke("ci", "--model", "x.json")
    assert outside.exit_code == 1
    assert "git rev-parse failed" in outside.stderr


@pytest.mark.slow
def test_as_a_hook_of_git(repository: Path) -> None:
    hook = repository / ".git" / "hooks" / "pre-commit"
    program = f"import sys; sys.argv[1:] = ['ci', '--fail-if', 'parameters:+5%']; {_MAIN}"
    hook.write_text(f'#!/bin/sh\nexec "{sys.executable}" -c "{program}" > hook.md\n', encoding="utf-8")
    hook.chmod(0o755)
    command = ["git", "-c", "user.name=me", "-c", "user.email=me@example.org", "commit", "-am", "x"]
    refused = subprocess.run(command, capture_output=True, text=True, check=False)
    assert refused.returncode == 1
    assert "FAILED chat: parameters:+5%" in refused.stderr
    assert "| chat | changed |" in (repository / "hook.md").read_text(encoding="utf-8")
    # The index is as it was before: git sets variables for it, which are not those of the other tree.
    assert git("status", "--short").splitlines() == [" M chat.json", "?? hook.md"]


# ---- comments --------------------------------------------------------------------------------------------------------


@pytest.fixture
def forge(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Forge]:
    """A job of GitHub Actions of pull request 7."""
    event = tmp_path / "event.json"
    event.write_text('{"pull_request": {"number": 7}}', encoding="utf-8")
    for name in ("GITLAB_CI", "GITHUB_ACTIONS"):
        monkeypatch.delenv(name, raising=False)
    with fake_forge() as found:
        for name, value in {
            "GITHUB_ACTIONS": "true",
            "GITHUB_TOKEN": "secret",
            "GITHUB_API_URL": found.address,
            "GITHUB_REPOSITORY": "me/it",
            "GITHUB_EVENT_PATH": str(event),
        }.items():
            monkeypatch.setenv(name, value)
        yield found


def commented(text: str, *options: str, code: int = 0) -> Result:
    Path("report.md").write_text(text, encoding="utf-8")
    result = invoke("comment", *options, "report.md")
    assert result.exit_code == code, result.output
    return result


@pytest.mark.server
def test_one_comment_is_updated(forge: Forge) -> None:
    forge.comments = {number: f"of a person: {number}" for number in range(1, 151)}  # more than a page
    assert commented("first").stderr == "Wrote a comment on GitHub\n"
    assert commented("second\n").stderr == "Updated the comment on GitHub\n"
    assert commented("third", "--key", "nightly").stderr == "Wrote a comment on GitHub\n"
    assert list(forge.comments.values())[150:] == [
        "<!-- pyinfercost: written by pyinfercost -->\nsecond\n",
        "<!-- nightly: written by pyinfercost -->\nthird",
    ]
    assert forge.tokens == {"secret"}


@pytest.mark.server
def test_a_note_on_gitlab(forge: Forge, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "GITLAB_CI": "true",
        "GITLAB_TOKEN": "of-gitlab",
        "CI_API_V4_URL": forge.address,
        "CI_PROJECT_ID": "42",
        "CI_MERGE_REQUEST_IID": "7",
    }.items():
        monkeypatch.setenv(name, value)
    assert commented("first").stderr == "Wrote a comment on GitLab\n"
    assert commented("second").stderr == "Updated the comment on GitLab\n"
    assert list(forge.comments.values()) == ["<!-- pyinfercost: written by pyinfercost -->\nsecond"]
    assert forge.requests[-1] == "PUT /projects/42/merge_requests/7/notes/1"
    assert forge.tokens == {"of-gitlab"}
    monkeypatch.delenv("CI_MERGE_REQUEST_IID")
    assert "run this in pipelines of merge requests" in commented("x", code=1).stderr


@pytest.mark.server
def test_a_token_that_may_not_write_is_no_failure(forge: Forge) -> None:
    forge.refuses = 403
    assert "the token may not write (403); it needs permissions: pull-requests: write" in commented("x").stderr
    forge.refuses = 500
    assert (
        f"no comment was written on GitHub (GITHUB_API_URL: {forge.address}): it answers with the status 500 (Internal "
        "Server Error); expected the status 201 (Created)" in commented("x", code=1).stderr
    )


@pytest.mark.server
def test_no_job_of_a_pull_request(forge: Forge, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert "the key of a comment" in commented("x", "--key", "a-->b", code=1).stderr
    (tmp_path / "event.json").write_text('{"ref": "main"}', encoding="utf-8")
    assert "this job is of no pull request" in commented("x", code=1).stderr
    monkeypatch.delenv("GITHUB_TOKEN")
    assert "GITHUB_TOKEN is not set" in commented("x", code=1).stderr
    monkeypatch.delenv("GITHUB_ACTIONS")
    assert "neither GITHUB_ACTIONS nor GITLAB_CI is set" in commented("x", code=1).stderr
    assert forge.requests == []


@pytest.mark.server
def test_a_server_that_does_not_answer(forge: Forge, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITHUB_API_URL", "http://127.0.0.1:9")
    assert "no comment was written on GitHub (GITHUB_API_URL: http://127.0.0.1:9): nothing listens there" in (
        commented("x", code=1).stderr
    )
    monkeypatch.setenv("GITHUB_API_URL", "file:///etc")
    assert "expected an address that starts with https://" in commented("x", code=1).stderr
    monkeypatch.setenv("GITHUB_API_URL", "http://user:password@127.0.0.1:9")
    assert "GITHUB_API_URL has a user or a password" in commented("x", code=1).stderr


def redirecting(address: str, status: int) -> Callable[[BaseHTTPRequestHandler], None]:
    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(status)
        request.send_header("Location", address)
        request.send_header("Content-Length", "0")
        request.end_headers()

    return answer


def answering(content: bytes, status: int = 200) -> Callable[[BaseHTTPRequestHandler], None]:
    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(status)
        request.send_header("Content-Length", str(len(content)))
        request.end_headers()
        request.wfile.write(content)

    return answer


@pytest.mark.server
@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("status", [301, 302, 307])
def test_no_redirect_gets_the_token(forge: Forge, method: str, status: int) -> None:
    with fake_forge() as other:
        forge.misbehaves[method] = redirecting(f"{other.address}/repos/me/it/issues/7/comments?token=secret", status)
        told = commented("x", code=1).stderr
        assert f"it redirects to another server, {other.address}\n" in told
        forge.misbehaves[method] = redirecting("/repos/me/it/issues/7/comments", status)
        assert "it redirects to another of its addresses" in commented("x", code=1).stderr
        assert other.requests == []
    assert len(forge.requests) == (2 if method == "GET" else 4)
    assert "secret" not in told
    assert forge.comments == {}


@pytest.mark.server
@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("secret\n", "Wrote a comment"),
        ("", "GITHUB_TOKEN is not set"),
        (" \n", "GITHUB_TOKEN is not set"),
        ("secret\nX: y", "GITHUB_TOKEN has spaces or characters beyond ASCII"),
        ("secret\x01", "GITHUB_TOKEN has spaces"),
        ("secret\N{SNOWMAN}", "GITHUB_TOKEN has spaces"),
    ],
)
def test_a_token_is_checked_and_never_shown(
    forge: Forge, monkeypatch: pytest.MonkeyPatch, given: str, told: str
) -> None:
    monkeypatch.setenv("GITHUB_TOKEN", given)
    result = invoke("comment", "pyinfercost.toml")
    assert told in result.stderr
    assert "secret" not in result.output
    assert forge.tokens <= {"secret"}


@pytest.mark.server
@pytest.mark.parametrize(
    ("answer", "told"),
    [
        ("null", "its list of comments is None; expected a list of objects"),
        ("7", "its list of comments is 7; expected"),
        ('{"message": "of secret"}', "its list of comments is {'message': 'of ***'}; expected"),
        ('[1, null, "x"]', "its list of comments is [1, None, 'x']; expected"),
        ("<html>", "its list of comments is no JSON"),
        ("[" * 100_000, "its list of comments is not valid: its JSON is nested too deeply"),
        ('[{"body": "MARK"}]', "the id of a comment is None; expected a whole number"),
        ('[{"body": "MARK", "id": "../../x"}]', "the id of a comment is '../../x'; expected a whole number"),
        ('[{"body": "MARK", "id": 1e400}]', "the id of a comment is inf; expected a whole number"),
        ('[{"body": "MARK", "id": true}]', "the id of a comment is True; expected a whole number"),
    ],
)
def test_lists_of_comments_of_another_shape(forge: Forge, answer: str, told: str) -> None:
    mark = "<!-- pyinfercost: written by pyinfercost -->"
    forge.misbehaves["GET"] = answering(answer.replace("MARK", mark).encode())
    assert told in commented("x", code=1).stderr
    assert all(each.startswith("GET") for each in forge.requests)


@pytest.mark.server
def test_a_comment_that_was_not_created_is_a_failure(forge: Forge) -> None:
    forge.misbehaves["POST"] = answering(b"[]")
    assert "it answers with the status 200 (OK); expected the status 201 (Created)" in commented("x", code=1).stderr


@pytest.mark.server
def test_a_forge_that_drips_is_left_at_the_deadline(forge: Forge, monkeypatch: pytest.MonkeyPatch) -> None:
    def drip(request: BaseHTTPRequestHandler) -> None:
        with suppress(OSError):
            request.send_response(200)
            request.end_headers()
            for _ in range(200):
                request.wfile.write(b" ")
                time.sleep(0.02)

    monkeypatch.setattr(forges, "_TIMEOUT_S", 0.2)
    forge.misbehaves["GET"] = drip
    assert "no whole answer in 0.2 s" in commented("x", code=1).stderr
    monkeypatch.setattr(forges, "_MOST_BYTES", 1000)
    forge.misbehaves["GET"] = answering(b" " * 1001)
    assert "the answer has more than 1,000 bytes" in commented("x", code=1).stderr


@pytest.mark.server
def test_a_forge_behind_a_proxy(forge: Forge, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", forge.address.replace("//", "//me:password@"))
    monkeypatch.setenv("GITHUB_API_URL", "https://127.0.0.1:9")
    told = commented("x", code=1).stderr
    assert "Tunnel connection failed: 501" in told  # the forge is no proxy
    assert "password" not in told
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    assert "nothing listens there" in commented("x", code=1).stderr
