"""Packages of Debian for other suites and architectures, in folders of their own: the system is left as it is."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

_NEEDED = ("apt-get", "dpkg-deb")


class Archive:
    """The packages of one suite for one architecture. The mirror and its keys are those of this system's apt."""

    def __init__(self, folder: Path, suite: str, architecture: str) -> None:
        if missing := [program for program in _NEEDED if shutil.which(program) is None]:
            raise SystemExit(f"{' and '.join(missing)} not found: run this on Debian or a system derived from it")
        self._folder = folder / f"{suite}-{architecture}"
        self._debs = self._folder / "cache" / "archives"
        for part in ("state/lists/partial", "cache/archives/partial", "etc"):
            (self._folder / part).mkdir(parents=True, exist_ok=True)
        (self._folder / "state/status").touch()  # as if nothing were installed: dependencies are fetched, too
        mirror, keys = _mirror()
        (self._folder / "etc/sources.list").write_text(f"deb [signed-by={keys}] {mirror} {suite} main\n")
        config = self._folder / "apt.conf"
        config.write_text(
            f"""\
Dir::State "{self._folder}/state";
Dir::State::status "{self._folder}/state/status";
Dir::Cache "{self._folder}/cache";
Dir::Etc::sourcelist "{self._folder}/etc/sources.list";
Dir::Etc::sourceparts "-";
APT::Architecture "{architecture}";
APT::Architectures {{ "{architecture}"; }};
APT::Sandbox::User "";
Acquire::Languages "none";
"""
        )
        self._environment = {**os.environ, "APT_CONFIG": str(config), "LC_ALL": "C"}
        if not list((self._folder / "state/lists").glob("*Packages*")):
            self._apt("update", "-qq", cwd=self._folder)

    def extract(self, package: str, root: Path) -> Path:
        """Extract a package without its dependencies into a folder, and return the folder."""
        if not root.exists():
            debs = self._folder / "single" / package
            debs.mkdir(parents=True, exist_ok=True)
            self._apt("download", "-qq", package, cwd=debs)
            _unpack(list(debs.glob("*.deb")), root)
        return root

    def extract_all(self, packages: list[str], root: Path) -> Path:
        """Extract packages with all that they depend on into a folder, and return the folder."""
        if not root.exists():
            self._apt("clean", cwd=self._folder)
            options = ("-qq", "-y", "--download-only", "--no-install-recommends")
            self._apt("install", *options, *packages, cwd=self._folder)
            _unpack(sorted(self._debs.glob("*.deb")), root)
        return root

    def _apt(self, *arguments: str, cwd: Path) -> None:
        subprocess.run(["apt-get", *arguments], check=True, cwd=cwd, env=self._environment)


def _unpack(debs: list[Path], root: Path) -> None:
    unfinished = root.with_name(root.name + ".part")
    shutil.rmtree(unfinished, ignore_errors=True)
    # Packages of any age: before the folders were merged, libraries lay in /lib.
    for folder in ("bin", "lib", "lib64", "sbin"):
        (unfinished / "usr" / folder).mkdir(parents=True)
        (unfinished / folder).symlink_to(f"usr/{folder}")
    for deb in debs:
        with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", deb], stdout=subprocess.PIPE) as content:
            # --keep-directory-symlink: /lib of an older package goes to /usr/lib, too.
            command = ["tar", "--extract", "--keep-directory-symlink", "--no-same-owner", f"--directory={unfinished}"]
            subprocess.run(command, stdin=content.stdout, check=True)
        if content.returncode:
            raise SystemExit(f"{deb} cannot be unpacked; delete it and try again")
    unfinished.rename(root)


def _mirror() -> tuple[str, str]:
    """Return the mirror of Debian that this system uses, and its file of keys."""
    form = "$(REPO_URI)\t$(SIGNED_BY)\t$(ORIGIN)"
    listed = subprocess.run(
        ["apt-get", "indextargets", "--format", form, "Created-By: Packages"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    for line in listed.splitlines():
        address, keys, origin = line.split("\t")
        if origin == "Debian":
            return address, keys if keys.startswith("/") else "/usr/share/keyrings/debian-archive-keyring.gpg"
    raise SystemExit("no mirror of Debian is known to apt-get, or no list was fetched; run apt-get update as root")
