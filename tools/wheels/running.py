"""Runs of wheels: the interpreter of each, from Debian, in a folder of its own; another architecture in qemu-user."""

from __future__ import annotations

import platform
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from .debian import Archive
from .targets import GLIBC, Target

_FIGURES = Path(__file__).with_name("figures.py")


class Environment:
    """An empty environment of a target's interpreter with a wheel, its dependencies and pytest; no compiler is in it.

    Args:
        target: The target.
        wheel: Its wheel.
        work: Folder for interpreters, which later calls reuse.
    """

    def __init__(self, target: Target, wheel: Path, work: Path) -> None:
        python, architecture = target.python, target.architecture
        root = work / "roots" / f"{python.version}-{architecture.name}"
        if not root.exists():
            root.parent.mkdir(parents=True, exist_ok=True)
            # numpy needs the C++ library of the system; our module has its own.
            packages = [f"python{python.version}-minimal", f"libpython{python.version}-stdlib", "libstdc++6"]
            Archive(work / "debian", python.suite, architecture.debian).extract_all(packages, root)
        program = root / "usr/bin" / f"python{python.version}"
        if architecture.name == platform.machine():
            # Its own loader: the C library of the suite may be newer than the one of this system.
            folders = [root / "usr/lib" / f"{architecture.name}-linux-gnu", root / "usr/lib"]
            loader = folders[0] / architecture.loader  # links elsewhere point out of the folder
            self._command = [str(loader), "--library-path", ":".join(map(str, folders)), str(program)]
        else:
            emulator = shutil.which(f"qemu-{architecture.name}")
            if emulator is None:
                raise SystemExit(f"qemu-{architecture.name} not found; install qemu-user, or give --no-run")
            self._command = [emulator, "-L", str(root), str(program)]
        self._site = work / "sites" / str(target)
        self._home = root / "usr"
        self._install(target, wheel)

    def _install(self, target: Target, wheel: Path) -> None:
        shutil.rmtree(self._site, ignore_errors=True)
        name = target.architecture.name
        oldest, newest = 17, int(GLIBC.partition(".")[2])
        platforms = [f"manylinux_2_{minor}_{name}" for minor in range(newest, oldest - 1, -1)]
        command = [sys.executable, "-m", "pip", "install", "--quiet", f"--target={self._site}", "--only-binary=:all:"]
        command += ["--implementation", "cp", "--python-version", target.python.version, "--abi", target.python.abi]
        command += [word for each in [*platforms, f"manylinux2014_{name}"] for word in ("--platform", each)]
        subprocess.run([*command, str(wheel), "pytest"], check=True)

    def python(self, arguments: Sequence[str | Path], cwd: Path) -> str:
        """Run the interpreter and return what it prints."""
        environment = {
            "PATH": "",  # no compiler, and nothing else
            "HOME": str(cwd),
            "LC_ALL": "C.UTF-8",
            "PYTHONHOME": str(self._home),
            "PYTHONPATH": str(self._site),
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        command = [*self._command, *map(str, arguments)]
        run = subprocess.run(command, cwd=cwd, env=environment, stdout=subprocess.PIPE, text=True, check=False)
        if run.returncode:
            raise SystemExit(f"{' '.join(command)} failed:\n{run.stdout}")
        return run.stdout


def run(environment: Environment, tests: Path, graphs: Path | None, scratch: Path) -> tuple[str, str]:
    """Run the smoke test and the figures of graphs with a wheel.

    Returns:
        The last line of pytest, and the figures as JSON.
    """
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    shutil.copy(tests, scratch)
    (scratch / "pytest.ini").write_text("[pytest]\n")  # not that of the project, which names plugins
    said = environment.python(["-m", "pytest", "-q", "-p", "no:cacheprovider", tests.name], scratch)
    figures = environment.python([_FIGURES, *([] if graphs is None else [graphs.resolve()])], scratch)
    return said.strip().splitlines()[-1], figures
