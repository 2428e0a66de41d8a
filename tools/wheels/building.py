"""Cross-compilation of a wheel: Zig's Clang with its own C and C++ libraries, driven by CMake and scikit-build-core."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import ziglang

from .debian import Archive
from .targets import GLIBC, Target

_COMPILER = """\
#!/bin/sh
# Zig spells the levels of x86-64 with underscores.
for word do
    shift
    case $word in
        -march=x86-64-*) word=-march=x86_64_${word#-march=x86-64-} ;;
    esac
    set -- "$@" "$word"
done
# These also for the compiler checks of CMake, or Zig builds its C++ library once for them and once for the module.
exec '@ZIG@' c++ -target @TRIPLE@ -O3 -s "$@"
"""
_TOOLCHAIN = """\
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR @ARCHITECTURE@)
set(CMAKE_CXX_COMPILER "@TOOLS@/c++")
set(CMAKE_AR "@TOOLS@/ar")
set(CMAKE_RANLIB "@TOOLS@/ranlib")
set(CMAKE_MODULE_LINKER_FLAGS_INIT "-Wl,--gc-sections")
# Zig writes no precompiled headers.
set(CMAKE_DISABLE_PRECOMPILE_HEADERS ON)
set(Python_INCLUDE_DIR "@HEADERS@" CACHE PATH "" FORCE)
# If one of these three is missing, pybind11 takes all from the interpreter that runs scikit-build-core.
set(PYTHON_IS_DEBUG OFF CACHE INTERNAL "" FORCE)
set(PYTHON_MODULE_EXTENSION "@SUFFIX@" CACHE INTERNAL "" FORCE)
set(PYTHON_MODULE_DEBUG_POSTFIX "" CACHE INTERNAL "" FORCE)
# pybind11 would try link-time optimization, which the module does not use: Zig builds its C++ library again for each.
set(HAS_FLTO OFF CACHE INTERNAL "")
set(HAS_FLTO_AUTO OFF CACHE INTERNAL "")
set(HAS_FLTO_THIN OFF CACHE INTERNAL "")
"""


def build(target: Target, source: Path, work: Path) -> Path:
    """Build the wheel of a target, and return its path. Targets of one architecture share the objects of the core.

    Args:
        target: The target.
        source: The project.
        work: Folder for builds, which later calls reuse.
    """
    folder = work / target.architecture.name
    folder.mkdir(parents=True, exist_ok=True)
    _write(folder / "toolchain.cmake", _toolchain(target, folder, work))
    wheels = work / "built" / str(target)
    settings = [
        f"-Cbuild-dir={folder / 'build'}",
        f"-Cwheel.tags={target.python.interpreter}-{target.python.abi}-linux_{target.architecture.name}",
        "-Cinstall.strip=false",  # the compiler has done it: strip of this system knows one architecture
        f"-Ccmake.define.CMAKE_TOOLCHAIN_FILE={folder / 'toolchain.cmake'}",
    ]
    shutil.rmtree(wheels, ignore_errors=True)
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", f"--outdir={wheels}", *settings, str(source)]
    # Zig finds each object by the content of its files, so one that is in its cache is compiled in no later run.
    subprocess.run(command, check=True, env={**os.environ, "ZIG_GLOBAL_CACHE_DIR": str(work / "zig")})
    (wheel,) = wheels.glob("*.whl")
    return wheel


def _toolchain(target: Target, folder: Path, work: Path) -> str:
    zig = Path(ziglang.__file__).parent / "zig"
    triple = f"{target.architecture.name}-linux-gnu.{GLIBC}"
    tools = folder / "tools"
    tools.mkdir(exist_ok=True)
    _write(tools / "c++", _COMPILER.replace("@ZIG@", str(zig)).replace("@TRIPLE@", triple), mode=0o755)
    for name in ("ar", "ranlib"):
        _write(tools / name, f"#!/bin/sh\nexec '{zig}' {name} \"$@\"\n", mode=0o755)
    text = _TOOLCHAIN
    for name, value in {
        "ARCHITECTURE": target.architecture.name,
        "TOOLS": str(tools),
        "HEADERS": str(headers(target, work)),
        "SUFFIX": target.suffix,
    }.items():
        text = text.replace(f"@{name}@", value)
    return text


def headers(target: Target, work: Path) -> Path:
    """Return the folder of the headers of a target's interpreter."""
    python = target.python
    root = work / "headers" / str(target)
    found = root / "usr/include" / f"python{python.version}"
    if not root.exists():
        archive = Archive(work / "debian", python.suite, target.architecture.debian)
        archive.extract(f"libpython{python.version}-dev", root)
        # Debian's file includes the one of the architecture of the compiler; a compiler for others does not find it.
        (of_architecture,) = (root / "usr/include").glob(f"*-linux-gnu/python{python.version}/pyconfig.h")
        text = of_architecture.read_text()
        if python.free_threaded:
            text += "\n#define Py_GIL_DISABLED 1\n"  # the only difference between the two builds
        (found / "pyconfig.h").write_text(text)
    return found


def _write(path: Path, text: str, mode: int = 0o644) -> None:
    """Write a file if its content changes: builds depend on its time."""
    if not path.exists() or path.read_text() != text:
        path.write_text(text)
    path.chmod(mode)
