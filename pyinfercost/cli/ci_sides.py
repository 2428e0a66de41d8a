"""The two sides of a change in a repository of git: profiles of models before it and after it.

The side after is the working tree as it is; the side before is a commit, checked out into a temporary folder. Each is
profiled by a process of its own in its own folder, so that code and files of models belong to the side.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .._checks import is_file, read_json
from ..errors import InputError, StateError
from .configuration import NAME, Configuration, find_configuration, read_configuration
from .progress import NO_PROGRESS

_LONGEST = 2000  # characters of a message of a child
_OF_HOOKS = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX", "GIT_OBJECT_DIRECTORY", "GIT_COMMON_DIR")
_PROGRAM = "from pyinfercost.__main__ import main; main()"


class GitError(StateError):
    """Git is missing, or does not know a commit or the folder."""


@dataclass(frozen=True)
class SideOfChange:
    """A folder with the files of one side.

    Attributes:
        folder: The folder, which corresponds to the current one.
        configuration: The configuration of the side; None without one.
    """

    folder: Path
    configuration: Configuration | None

    def profile(self, model: str, options: Sequence[str], output: Path) -> dict[str, Any]:
        """Return the document of the profile of a model of this side.

        Args:
            model: Its name in the configuration, or its spec.
            options: Options of `profile`.
            output: A file to write it to.

        Raises:
            InputError: It cannot be profiled; the message comes from `profile`.
        """
        config = ["--no-config"] if self.configuration is None else ["--config", str(self.configuration.path)]
        command = [sys.executable, "-c", _PROGRAM, *config, "profile", model, *options]
        run = subprocess.run(
            [*command, "--format", "json", "-o", str(output)],
            cwd=self.folder,
            # A folder named as a library of ours hides nothing, and errors stand alone on stderr.
            env={**_environment(), "PYTHONSAFEPATH": "1", NO_PROGRESS: "1"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            encoding="utf-8",
            errors="replace",
            check=False,
        )
        if run.returncode:
            said = [
                line for line in run.stderr.strip().splitlines() if not line.startswith(("Using ", "Usage:", "Try "))
            ]
            raise InputError(" ".join(said)[-_LONGEST:] or f"profile ended with exit code {run.returncode}")
        document: dict[str, Any] = read_json(output)
        return document

    @property
    def models(self) -> Mapping[str, Mapping[str, Any]]:
        """The models of the configuration."""
        return {} if self.configuration is None else self.configuration.models


@contextmanager
def sides_of_change(base: str, configuration: Configuration | None) -> Iterator[tuple[SideOfChange, SideOfChange]]:
    """Check out the commit before a change, and remove it at the end.

    Args:
        base: A commit.
        configuration: Configuration of the side after. The side before has its own if there is a file at the same
            place; otherwise it has a copy of this one.

    Raises:
        GitError: This is no repository, or git does not know the commit.
    """
    here = Path.cwd()
    top = Path(_git("rev-parse", "--show-toplevel").strip())
    prefix = _git("rev-parse", "--show-prefix").strip()
    commit = _git("rev-parse", "--verify", "--quiet", "--end-of-options", f"{base}^{{commit}}", of=base).strip()
    with tempfile.TemporaryDirectory(prefix="pyinfercost-") as scratch:
        tree = Path(scratch) / "before"
        _git("worktree", "add", "--quiet", "--detach", str(tree), commit)
        try:
            folder = tree / prefix
            folder.mkdir(parents=True, exist_ok=True)  # the change may have created it
            before = None if configuration is None else _own(configuration, top, tree)
            yield SideOfChange(folder, before), SideOfChange(here, configuration)
        finally:
            shutil.rmtree(tree, ignore_errors=True)
            _git("worktree", "prune")


def _own(configuration: Configuration, top: Path, tree: Path) -> Configuration:
    """Return the configuration of the side before: the file at the same place, or a copy of the other side's."""
    path = configuration.path.resolve()
    inside = path.is_relative_to(top.resolve())
    place = tree / path.relative_to(top.resolve()) if inside else tree / NAME
    if not is_file(place):
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, place)
    return read_configuration(place)


def configuration_here() -> Configuration | None:
    """Return the configuration of the current folder."""
    found = find_configuration(Path.cwd())
    return None if found is None else read_configuration(found)


def _environment() -> dict[str, str]:
    """Return the environment without the index and the folders that git sets for its hooks: they are of one tree."""
    return {name: value for name, value in os.environ.items() if name not in _OF_HOOKS}


def _git(*arguments: str, of: str = "") -> str:
    program = shutil.which("git")
    if program is None:
        raise GitError("git is not found, which has the files before the change; install it")
    run = subprocess.run(
        [program, *arguments], env=_environment(), capture_output=True, text=True, errors="replace", check=False
    )
    if run.returncode:
        if of:
            raise GitError(f"git knows no commit {of!r}; fetch it, such as by `fetch-depth: 0` of actions/checkout")
        raise GitError(f"git {arguments[0]} failed: {run.stderr.strip()[-_LONGEST:]}")
    return run.stdout
