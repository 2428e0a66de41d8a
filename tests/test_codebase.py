"""Policy as a test: which way the code depends, how long its files are, and what has to agree with what."""

from __future__ import annotations

import ast
import importlib.metadata
import json
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from pyinfercost import _core

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "pyinfercost"
PYTHON_FILES = sorted(PACKAGE.rglob("*.py"))
CPP_FILES = sorted((ROOT / "csrc").rglob("*.[ch]pp"))

# C++: a folder of csrc/, and the folders that it may include. Nobody includes the bindings.
CPP_MAY_INCLUDE = {
    "core": {"core"},
    "simd": {"simd"},
    "ops": {"core", "ops"},
    "count": {"core", "ops", "count"},
    "sparsity": {"core", "simd", "sparsity"},
    "plan": {"core", "ops", "count", "plan"},
    "hardware": {"core", "simd", "hardware"},
    "evaluate": {"core", "simd", "plan", "hardware", "evaluate"},
    "select": {"select"},
    "bindings": {"core", "ops", "count", "plan", "hardware", "evaluate", "select", "sparsity", "bindings"},
}
# The core neither reads nor writes anything: graphs come in as values or text, and Python opens the files.
FORBIDDEN_CPP_HEADERS = {"<fstream>", "<filesystem>", "<iostream>"}

# Python: a part imports only parts of a lower layer, and parts of its own layer only where a call needs them.
PYTHON_LAYERS = {
    "_core": 0,
    "capture": 1,
    "hardware": 1,
    "money": 2,
    "transfer": 2,
    "analysis": 3,
    "report": 3,
    "measuring": 3,
    "sparsity": 3,
    "tradeoffs": 3,
    "training": 3,
    "plots": 4,
    "cli": 4,
    "__main__": 5,
}
# Whatever pulls in torch, and torch itself: an import of a second and more that a `.pt2` file or a graph does not need.
TORCH_LIBRARIES = {"torch", "torchvision", "timm", "transformers", "diffusers"}

# The parts that may import them: what is captured, what is run to be timed or trained, and what has weights or changes
# them. Of the last two only a few files, since weights in files need no torch, and neither do results.
TORCH_PARTS = {"capture", "measuring", "training"}
TORCH_FILES = {
    "sparsity": {"activations.py", "modules.py", "tensors.py"},
    "tradeoffs": {"candidates.py", "modules.py"},
}


def may_import_torch(path: Path) -> bool:
    """Whether a file of the package may import torch, at whatever time."""
    part = part_of(path)
    return part in TORCH_PARTS or path.name in TORCH_FILES.get(part, ())


LONGEST_FILE = 400


def relative(path: Path) -> str:
    """A file's path as the repository names it."""
    return path.relative_to(ROOT).as_posix()


def each(paths: list[Path]) -> pytest.MarkDecorator:
    """One test per file, named after it."""
    return pytest.mark.parametrize("path", [pytest.param(path, id=relative(path)) for path in paths])


class Import(NamedTuple):
    """One imported module or name, in full, and whether importing the file runs it."""

    module: str
    at_import: bool


def imports(path: Path) -> list[Import]:
    """Every import of a file that can run; those under `if TYPE_CHECKING:` never do."""
    package = ("pyinfercost", *path.relative_to(PACKAGE).parts[:-1])

    def walk(node: ast.AST, at_import: bool) -> Iterator[Import]:
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
            for child in node.orelse:
                yield from walk(child, at_import)
            return
        if isinstance(node, ast.Import):
            yield from (Import(alias.name, at_import) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(package[: len(package) - node.level + 1]) if node.level else ""
            module = ".".join(part for part in (base, node.module) if part)
            # `from package import name` may mean a module of the package or a name in it: the full name serves both.
            yield from (Import(f"{module}.{alias.name}", at_import) for alias in node.names)
        inside = at_import and not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
        for child in ast.iter_child_nodes(node):
            yield from walk(child, inside)

    return list(walk(ast.parse(path.read_text(encoding="utf-8")), at_import=True))


def files_of(module: str) -> set[Path]:
    """The package's files that importing a module or a name in it runs: its own, and each `__init__.py` on the way."""
    parts = module.split(".")
    if parts[0] != "pyinfercost":
        return set()
    folders = [PACKAGE.joinpath(*parts[1:depth]) for depth in range(1, len(parts) + 1)]
    candidates = [
        *(folder / "__init__.py" for folder in folders),
        *(folder.with_suffix(".py") for folder in folders[1:]),
    ]
    return {path for path in candidates if path.is_file()}


def part_of(path: Path) -> str:
    """The part of the package that a file belongs to: a subpackage or a module of the top level."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


@each(CPP_FILES)
def test_cpp_includes_point_one_way(path: Path) -> None:
    folder = path.relative_to(ROOT / "csrc").parts[0]
    included = re.findall(r'^\s*#\s*include\s+("[^"]+"|<[^>]+>)', path.read_text(encoding="utf-8"), re.MULTILINE)
    own = [name.strip('"') for name in included if name.startswith('"')]
    unrooted = [name for name in own if not (ROOT / "csrc" / name).is_file()]
    assert not unrooted, "a header of the project is included by its path from csrc/"
    wrong = [name for name in own if name.split("/")[0] not in CPP_MAY_INCLUDE[folder]]
    assert not wrong, f"csrc/{folder} may include only {sorted(CPP_MAY_INCLUDE[folder])}"
    assert not FORBIDDEN_CPP_HEADERS.intersection(included), "the core has no file access and prints nothing"
    if folder != "bindings":
        python = [name for name in included if re.search(r"pybind11|Python\.h|numpy", name)]
        assert not python, "only csrc/bindings knows of Python"


@each([path for path in PYTHON_FILES if part_of(path) != "__init__"])
def test_python_imports_point_one_way(path: Path) -> None:
    part = part_of(path)
    assert part in PYTHON_LAYERS, f"{part} has no layer yet: give it one in PYTHON_LAYERS"
    wrong = []
    for module, at_import in imports(path):
        root, _, rest = module.partition(".")
        imported = rest.split(".")[0]
        if root != "pyinfercost" or imported == part:
            continue
        # A name that is no part is one of the package itself, which stands above all parts but the command line.
        layer = PYTHON_LAYERS.get(imported, PYTHON_LAYERS["analysis"])
        same_layer_in_a_call = layer == PYTHON_LAYERS[part] == PYTHON_LAYERS["analysis"] and not at_import
        if not (layer < PYTHON_LAYERS[part] or (same_layer_in_a_call and imported in PYTHON_LAYERS)):
            wrong.append(module)
    assert not wrong, f"{part} stands in layer {PYTHON_LAYERS[part]} and may import only from below"


@each([path for path in PYTHON_FILES if not may_import_torch(path)])
def test_torch_is_imported_by_few(path: Path) -> None:
    assert not [entry.module for entry in imports(path) if entry.module.split(".")[0] in TORCH_LIBRARIES]


@each([path for path in PYTHON_FILES if not may_import_torch(path) or path.name == "__init__.py"])
def test_torch_is_imported_when_called(path: Path) -> None:
    """A module of capture may need torch to be imported; then whatever leads to it imports it inside a function."""
    reached, waiting = {path}, [path]
    while waiting:
        for module, at_import in imports(waiting.pop()):
            assert not (at_import and module.split(".")[0] in TORCH_LIBRARIES), (
                f"importing {path.name} imports {module}"
            )
            found = files_of(module) if at_import else set()
            waiting += found - reached
            reached |= found


def test_the_files_that_may_import_torch_are_there() -> None:
    assert not [name for part, names in TORCH_FILES.items() for name in names if not (PACKAGE / part / name).is_file()]


@each(sorted((ROOT / "tests" / "core").rglob("*.py")))
def test_core_tests_need_no_torch(path: Path) -> None:
    named = re.findall(r"^\s*(?:import|from)\s+(\w+)", path.read_text(encoding="utf-8"), re.MULTILINE)
    assert not TORCH_LIBRARIES.intersection(named)


def test_importing_the_package_is_light() -> None:
    heavy = ("torch", "numpy", "rich", "click", "matplotlib")
    code = f"import pyinfercost, sys; print([name for name in {heavy} if name in sys.modules])"
    # Run elsewhere than in the root, where the source folder would stand before an installed wheel.
    result = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, cwd=ROOT / "tests"
    )
    assert result.stdout.strip() == "[]"


@each(PYTHON_FILES + CPP_FILES)
def test_files_are_short(path: Path) -> None:
    lines = len(path.read_text(encoding="utf-8").splitlines())
    assert lines <= LONGEST_FILE, f"{lines} lines; aim for 300 or fewer"


@each(PYTHON_FILES)
def test_no_assert_and_no_print_in_the_package(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    asserts = [node.lineno for node in ast.walk(tree) if isinstance(node, ast.Assert)]
    assert not asserts, "input is refused with an exception that `python -O` keeps"
    prints = [
        node.lineno
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"
    ]
    assert not prints, "only the command line prints, through click.echo"


def project() -> dict[str, object]:
    """The [project] table of pyproject.toml."""
    table: dict[str, object] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return table


def test_versions_agree() -> None:
    changelog = re.search(r"^## \[?([^\]\s]+)", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert changelog, "CHANGELOG.md has no entry: a line `## 1.2.3`"
    versions = {
        "pyproject.toml": project()["version"],
        "pyinfercost._core.__version__": _core.__version__,
        "CHANGELOG.md, newest entry": changelog[1],
    }
    assert len(set(versions.values())) == 1, versions


def test_readme_has_two_lines_to_paste() -> None:
    blocks = re.findall(
        r"^```sh\n(.*?)^```$", (ROOT / "README.md").read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
    )
    assert [block.count("\n") for block in blocks] == [1, 1], (
        ".ci/run runs them: one line that profiles, one that tests"
    )
    profile, test = blocks
    assert "pyinfercost profile" in profile
    assert "pytest" in test
    assert "'.[models]'" in profile
    assert "'.[integration,test]'" in test


def test_extras_named_to_a_user_exist() -> None:
    texts = [path.read_text(encoding="utf-8") for path in [*PYTHON_FILES, ROOT / "README.md"]]
    named = {
        extra
        for text in texts
        for group in re.findall(r"(?:pyinfercost|'\.)\[([\w,]+)\]", text)
        for extra in group.split(",")
    }
    declared = project()["optional-dependencies"]
    assert isinstance(declared, dict)
    assert named, "the errors about a missing library name an extra"
    assert named <= declared.keys()


def test_every_op_has_one_row() -> None:
    rows = _core.rules()
    assert rows
    repeated = [op for op, count in Counter(row.op for row in rows).items() if count > 1]
    assert not repeated, "an op stands in one table, once"
    assert not [row.op for row in rows if not row.convention.strip()], "a row says its convention in words"


SUFFIXES = {".py", ".pyi", ".toml", ".typed", ".html", ".css", ".js"}
"""Of the files that a wheel has."""


def test_the_installed_package_is_whole() -> None:
    distribution = importlib.metadata.distribution("pyinfercost")
    if "editable" in json.loads(distribution.read_text("direct_url.json") or "{}").get("dir_info", {}):
        pytest.skip("an editable install holds no files of its own: this looks at a wheel")
    files = {str(file) for file in distribution.files or [] if "__pycache__" not in file.parts}
    installed = {name for name in files if name.startswith("pyinfercost/")}
    compiled = {name for name in installed if re.fullmatch(r"pyinfercost/_core\..*(so|pyd)", name)}
    assert len(compiled) == 1
    source = {relative(path) for path in PACKAGE.rglob("*") if path.suffix in SUFFIXES}
    assert installed - compiled == source, "the wheel holds the package's sources and data, and nothing else"
    others = {name for name in files - installed if not re.search(r"\.dist-info/|bin/pyinfercost|Scripts/", name)}
    assert not others
