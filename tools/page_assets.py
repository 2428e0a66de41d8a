"""Compiled files of pages: the core as WebAssembly, and two libraries of npm, for TOML and for charts.

`nox -s wasm` runs this. All are built in build/wasm and written into the package, compressed, with a manifest: the
versions of what is compiled in, which are changed there, the compiler, and a digest of the sources. With `--check` the
files of the package stay as they are, and are compared with those of the build.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import re
import shutil
import subprocess
import sys
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
ASSETS = ROOT / "pyinfercost" / "report" / "html" / "assets"
MANIFEST = ASSETS / "compiled.json"
BUILD = ROOT / "build" / "wasm"

CONFIGURED = ("-DCMAKE_BUILD_TYPE=Release", "-DPYINFERCOST_BINDINGS=OFF")
ENTRY = 'export { parse } from "smol-toml";\n'
BUNDLED = (
    *("--bundle", "--minify", "--format=iife", "--global-name=TOML"),
    *("--charset=ascii", "--legal-comments=none"),
)


def read_manifest() -> dict[str, Any]:
    """Return the manifest."""
    manifest: dict[str, Any] = json.loads(MANIFEST.read_text(encoding="utf-8"))
    return manifest


def digest_of_sources() -> str:
    """Return a digest of all that decides the bytes of the files, but the compiler.

    Blank lines, indentation and lines of comments are left out, so that a change of them asks for no build.
    """
    packages = read_manifest()["packages"]
    code = {path.relative_to(ROOT).as_posix(): _code(path) for path in _sources()}
    decisive = [packages, CONFIGURED, ENTRY, BUNDLED, code]
    return hashlib.sha256(json.dumps(decisive, sort_keys=True).encode()).hexdigest()


def _sources() -> list[Path]:
    """Return the files of the core without the folders that CMakeLists.txt has for Python and for machines alone."""
    recipe = ROOT / "CMakeLists.txt"
    text = recipe.read_text(encoding="utf-8")
    (others,) = re.findall(r"if\(NOT EMSCRIPTEN\)\s+list\(APPEND core_directories ([\w/ ]+)\)", text)
    absent = tuple(ROOT / "csrc" / folder for folder in ("bindings", *others.split()))
    files = (path for path in (ROOT / "csrc").rglob("*") if path.suffix in (".cpp", ".hpp", ".h"))
    core = [path for path in files if not any(path.is_relative_to(folder) for folder in absent)]
    return [*core, recipe, *(ROOT / "cmake").glob("*.cmake")]


def _code(path: Path) -> str:
    comment = "//" if path.is_relative_to(ROOT / "csrc") else "#"
    lines = map(str.strip, path.read_text(encoding="utf-8").splitlines())
    return "\n".join(line for line in lines if line and not line.startswith(comment))


def compiler_here() -> str:
    """Return the versions of what compiles, links and shortens the core on this machine; empty without emscripten."""
    if shutil.which("em++") is None:
        return ""
    (version,) = re.findall(r" ([\d.]+ \(.*\))$", _said("em++", "--version").splitlines()[0])
    (clang,) = re.findall(r"clang version (.*)", _said("em++", "-v"))
    shortener = _said(str(Path(_said("em-config", "BINARYEN_ROOT").strip(), "bin", "wasm-opt")), "--version")
    return f"emscripten {version}, clang {clang}, {shortener.strip()}"


def _said(*command: str) -> str:
    return subprocess.run(
        command, check=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, encoding="utf-8"
    ).stdout


def _run(*command: str | Path) -> None:
    subprocess.run(command, check=True, cwd=ROOT)


def build_core() -> bytes:
    """Compile the core, and return its module."""
    # CMake looks for headers of this machine nowhere else when it builds for another one.
    headers = importlib.metadata.distribution("nlohmann-json").locate_file("nlohmann_json/include")
    _run(
        *("emcmake", "cmake", "-S", ".", "-B", BUILD, "-G", "Ninja"),
        *(*CONFIGURED, f"-DNLOHMANN_JSON_INCLUDE_DIR={headers}"),
    )
    _run("cmake", "--build", BUILD, "--target", "core")
    return (BUILD / "core.wasm").read_bytes()


def build_toml() -> bytes:
    """Bundle npm's smol-toml, with its license, as a script with one global, `TOML`."""
    packages = _installed("smol-toml", "esbuild")
    entry, bundle = (packages.parent / name for name in ("entry.js", "toml.js"))
    entry.write_text(ENTRY, encoding="utf-8")
    banner = f"--banner:js={_license(packages / 'smol-toml')}"
    _run(packages / ".bin" / "esbuild", entry, f"--outfile={bundle}", *BUNDLED, banner)
    return bundle.read_bytes()


def build_uplot() -> bytes:
    """Return the minified script of npm's uPlot, with its license; it has one global, `uPlot`."""
    package = _installed("uplot") / "uplot"
    script = (package / "dist" / "uPlot.iife.min.js").read_text(encoding="utf-8")
    return f"{_license(package)}\n{re.sub(r'^/[*]!.*?[*]/', '', script).strip()}\n".encode()


def _installed(*names: str) -> Path:
    """Install packages of npm in the versions of the manifest, and return the folder of all."""
    folder = BUILD / names[0]
    folder.mkdir(parents=True, exist_ok=True)
    versions = read_manifest()["packages"]
    _run("npm", "install", "--prefix", folder, *(f"{name}@{versions[name]}" for name in names))
    return folder / "node_modules"


def _license(package: Path) -> str:
    return f"/*\n{(package / 'LICENSE').read_text(encoding='utf-8').strip()}\n*/"


OF_NPM: Mapping[str, Callable[[], bytes]] = {"toml.js": build_toml, "uplot.js": build_uplot}
"""Files that need no compiler of C++."""


def write() -> None:
    """Build all files, and write those that changed, and the manifest."""
    manifest = read_manifest() | {"compiler": compiler_here(), "sources": digest_of_sources(), "files": {}}
    for name, build in {"core.wasm": build_core, **OF_NPM}.items():
        content = build()
        path = ASSETS / f"{name}.zz"
        if not path.is_file() or zlib.decompress(path.read_bytes()) != content:
            from zopfli.zlib import compress

            path.write_bytes(compress(content))
        manifest["files"][name] = {
            "sha256": hashlib.sha256(content).hexdigest(),
            "bytes": len(content),
            "packed_bytes": path.stat().st_size,
        }
    MANIFEST.write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")


def check() -> None:
    """Build what this machine has the tools for, and compare it with the files of the package.

    Raises:
        SystemExit: A file differs.
    """
    known, here = read_manifest()["compiler"], compiler_here() or "no emscripten"
    for name, build in OF_NPM.items():
        if shutil.which("npm"):
            _compare(name, build())
        else:
            sys.stdout.write(f"{name} is not compared: there is no npm here\n")
    if here == known:
        _compare("core.wasm", build_core())
    else:
        sys.stdout.write(f"core.wasm is not compared: it was made by {known}, and here is {here}\n")


def _compare(name: str, content: bytes) -> None:
    if zlib.decompress((ASSETS / f"{name}.zz").read_bytes()) != content:
        sys.exit(f"{name}.zz is not what its sources give: `nox -s wasm` writes it again, and git tracks it")
    sys.stdout.write(f"{name} has the bytes of the package\n")


if __name__ == "__main__":
    if sys.argv[1:] == ["--check"]:
        check()
    else:
        write()
