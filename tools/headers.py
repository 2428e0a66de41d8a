"""Every header of the core compiled as if by itself: batches of sources and precompiled headers hide a missing include.

A header that another one includes is compiled before it, in one file: the other includes all that came before anyway.
Half of the compilations suffice.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pybind11

ROOT = Path(__file__).parents[1]
INCLUDES = [ROOT / "csrc", pybind11.get_include(), sysconfig.get_path("include")]
# Vectors of an instruction set that is not this processor's are compiled where CMakeLists.txt builds for it.
FLAGS = {"avx2": ["-mavx2"], "avx512": ["-mavx512f", "-mavx512dq"], "sse41": ["-msse4.1"], "neon": None, "wasm": None}


def flags_of(header: str) -> list[str] | None:
    """Return what the instruction set of a header needs, or None where it is not this processor's."""
    return FLAGS.get(Path(header).stem.removeprefix("matches_"), [])


def included_by(headers: dict[str, str]) -> dict[str, set[str]]:
    """Return the headers that each one includes, itself or through others, from their texts."""
    found: dict[str, set[str]] = {}

    def read(header: str) -> set[str]:
        if header not in found:
            found[header] = set()
            for other in re.findall(r'^#include "(.+)"$', headers[header], re.MULTILINE):
                found[header] |= {other} | read(other)
        return found[header]

    for header in headers:
        read(header)
    return found


def chains(included: dict[str, set[str]]) -> list[list[str]]:
    """Return all headers in lists, in each of which a header includes all that are before it."""
    left = dict(sorted(included.items(), key=lambda item: (len(item[1]), item[0])))
    found = []
    while left:
        header, within = left.popitem()
        chain = [header]
        while below := [each for each in left if each in within]:
            chain.append(below[-1])
            within = left.pop(below[-1])
        found.append(chain[::-1])
    return found


def compile_together(chain: list[str]) -> str:
    """Return the compiler's errors; empty without one."""
    flags = [flag for header in chain for flag in flags_of(header) or []]
    command = [os.environ.get("CXX") or "c++", "-std=c++20", "-fsyntax-only", "-DINFERCOST_ISA=baseline", *flags]
    source = "".join(f'#include "{header}"\n' for header in chain)
    includes = [f"-I{folder}" for folder in INCLUDES]
    done = subprocess.run(
        [*command, *includes, "-x", "c++", "-"], input=source, capture_output=True, text=True, check=False
    )
    return done.stderr if done.returncode else ""


def main() -> int:
    """Compile all headers, and return 1 if one does not compile."""
    if shutil.which(os.environ.get("CXX") or "c++") is None:
        sys.exit("there is no C++ compiler: set CXX, or install g++")
    folder = ROOT / "csrc"
    texts = {path.relative_to(folder).as_posix(): path.read_text("utf-8") for path in folder.rglob("*.hpp")}
    included = included_by(texts)
    together = chains({header: within for header, within in included.items() if flags_of(header) is not None})
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        failed = [
            (chain, said) for chain, said in zip(together, threads.map(compile_together, together), strict=True) if said
        ]
    for chain, said in failed:
        sys.stdout.write(f"{', '.join(chain)}: one does not compile by itself:\n{said}\n")
    sys.stdout.write(f"{len(texts)} headers in {len(together)} compilations, {len(failed)} of which failed\n")
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
