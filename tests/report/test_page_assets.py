"""The compiled files of live pages, which git tracks, are of the sources beside them and of their manifest."""

from __future__ import annotations

import hashlib
import importlib.util
import shutil
import zlib
from pathlib import Path
from types import ModuleType

import pytest
from support.paths import ROOT


def tool_of(root: Path) -> ModuleType:
    specification = importlib.util.spec_from_file_location("page_assets", root / "tools" / "page_assets.py")
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def test_they_are_of_these_sources() -> None:
    tool = tool_of(ROOT)
    assert tool.read_manifest()["sources"] == tool.digest_of_sources(), (
        "The compiled files in pyinfercost/report/html/assets are of other sources. "
        "Run `nox -s wasm` (apt install emscripten npm), and commit them with compiled.json."
    )


def test_they_are_those_of_the_manifest() -> None:
    tool = tool_of(ROOT)
    known = tool.read_manifest()["files"]
    assert set(known) == {"core.wasm", "toml.js", "uplot.js"}
    for name, said in known.items():
        packed = (tool.ASSETS / f"{name}.zz").read_bytes()
        content = zlib.decompress(packed)
        digest = hashlib.sha256(content).hexdigest()
        assert said == {"sha256": digest, "bytes": len(content), "packed_bytes": len(packed)}


@pytest.mark.parametrize(
    ("file", "more", "same"),
    [
        ("csrc/core/graph.cpp", "\n    // as before\n", True),
        ("csrc/core/graph.cpp", "const int added = 1;\n", False),
        ("csrc/simulate/router.hpp", "const int added = 1;\n", False),
        ("csrc/simulate/fleet/fleet.cpp", "const int added = 1;\n", True),
        ("csrc/bindings/module.cpp", "const int added = 1;\n", True),
        ("CMakeLists.txt", "    # as before\n", True),
        ("CMakeLists.txt", "add_compile_options(-O1)\n", False),
        ("pyinfercost/report/html/assets/compiled.json", "", True),
        ("pyinfercost/report/html/assets/compiled.json", "1.9.1 -> 1.9.2", False),
    ],
)
def test_a_change_of_what_is_compiled_in_is_noticed(file: str, more: str, same: bool, copied: ModuleType) -> None:
    path = copied.ROOT / file
    text = path.read_text(encoding="utf-8")
    old, arrow, new = more.partition(" -> ")
    path.write_text(text.replace(old, new) if arrow else text + more, encoding="utf-8")
    assert (copied.digest_of_sources() == copied.known) is same
    path.write_text(text, encoding="utf-8")


@pytest.fixture(scope="module")
def copied(tmp_path_factory: pytest.TempPathFactory) -> ModuleType:
    """The tool in a copy of what the digest is of, and of the rest of the core."""
    folder = tmp_path_factory.mktemp("copy")
    for part in ("csrc", "cmake", "tools"):
        shutil.copytree(ROOT / part, folder / part)
    shutil.copy(ROOT / "CMakeLists.txt", folder)
    manifest = Path("pyinfercost/report/html/assets/compiled.json")
    (folder / manifest).parent.mkdir(parents=True)
    shutil.copy(ROOT / manifest, folder / manifest)
    tool = tool_of(folder)
    tool.known = tool.digest_of_sources()  # type: ignore[attr-defined]
    return tool
