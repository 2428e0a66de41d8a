"""Every header of the core compiled by itself: batches of sources and precompiled headers hide a missing include."""

from __future__ import annotations

import os
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


def compile_alone(header: Path) -> str:
    """Return the compiler's errors; empty without one."""
    flags = FLAGS.get(header.stem.removeprefix("matches_"), [])
    if flags is None:
        return ""
    command = [os.environ.get("CXX") or "c++", "-std=c++20", "-fsyntax-only", "-DINFERCOST_ISA=baseline", *flags]
    source = f'#include "{header.relative_to(ROOT / "csrc")}"\n'
    includes = [f"-I{folder}" for folder in INCLUDES]
    done = subprocess.run(
        [*command, *includes, "-x", "c++", "-"], input=source, capture_output=True, text=True, check=False
    )
    return done.stderr if done.returncode else ""


def main() -> int:
    """Compile all headers, and return 1 if one does not compile."""
    if shutil.which(os.environ.get("CXX") or "c++") is None:
        sys.exit("there is no C++ compiler: set CXX, or install g++")
    headers = sorted((ROOT / "csrc").rglob("*.hpp"))
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        failed = {
            header: said for header, said in zip(headers, threads.map(compile_alone, headers), strict=True) if said
        }
    for header, said in failed.items():
        sys.stdout.write(f"{header.relative_to(ROOT)} does not compile by itself:\n{said}\n")
    sys.stdout.write(f"{len(headers) - len(failed)} of {len(headers)} headers compile by themselves\n")
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
