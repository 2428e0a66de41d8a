"""Wheels to build: interpreters, architectures, and where the headers of each interpreter come from.

A module of CPython needs three things of its interpreter: the headers, `pyconfig.h` of the architecture, and the name
that a module has. The compiler brings the C library and the C++ library of each architecture, so no interpreter runs
during a build, and one machine builds all.
"""

from __future__ import annotations

from typing import NamedTuple


class Python(NamedTuple):
    """An interpreter.

    Attributes:
        version: Such as `3.13`.
        suite: The Debian suite that has it.
        free_threaded: Whether it has no global lock. The headers are the same; a macro tells them apart, as on Windows.
    """

    version: str
    suite: str
    free_threaded: bool = False

    @property
    def interpreter(self) -> str:
        """First part of the tag of a wheel."""
        return "cp" + self.version.replace(".", "")

    @property
    def abi(self) -> str:
        """Second part of the tag of a wheel."""
        return self.interpreter + "t" * self.free_threaded


class Architecture(NamedTuple):
    """An architecture.

    Attributes:
        name: Of wheels and of compilers.
        debian: Of Debian's packages.
        loader: File name of its dynamic loader.
    """

    name: str
    debian: str
    loader: str


GLIBC = "2.28"
"""The C library that wheels need at least: of 2018, and of manylinux_2_28."""

MOST_BYTES = 6_000_000
"""Most bytes of a wheel."""

# No Debian suite has 3.10 or 3.12 any more: cibuildwheel builds these (.github/workflows/wheels.yml).
PYTHONS = (
    Python("3.11", "bookworm"),
    Python("3.13", "trixie"),
    Python("3.14", "forky"),
    Python("3.14", "forky", free_threaded=True),
)
ARCHITECTURES = (
    Architecture("x86_64", "amd64", "ld-linux-x86-64.so.2"),
    Architecture("aarch64", "arm64", "ld-linux-aarch64.so.1"),
)


class Target(NamedTuple):
    """A wheel to build."""

    python: Python
    architecture: Architecture

    def __str__(self) -> str:
        """`cp313-cp313-aarch64`."""
        return f"{self.python.interpreter}-{self.python.abi}-{self.architecture.name}"

    @property
    def suffix(self) -> str:
        """Suffix of its modules: `sysconfig.get_config_var("EXT_SUFFIX")` of its interpreter."""
        return f".cpython-{self.python.abi.removeprefix('cp')}-{self.architecture.name}-linux-gnu.so"


def chosen(words: list[str]) -> list[Target]:
    """Return the targets that all words name: interpreters (`cp313`), ABIs (`cp314t`) or architectures (`aarch64`)."""
    abis = {python.abi: python for python in PYTHONS}
    architectures = {architecture.name: architecture for architecture in ARCHITECTURES}
    if unknown := [word for word in words if word not in abis and word not in architectures]:
        raise SystemExit(f"unknown target {unknown[0]!r}; expected some of {', '.join([*abis, *architectures])}")
    pythons = [abis[word] for word in words if word in abis] or list(PYTHONS)
    machines = [architectures[word] for word in words if word in architectures] or list(ARCHITECTURES)
    return [Target(python, machine) for machine in machines for python in pythons]
