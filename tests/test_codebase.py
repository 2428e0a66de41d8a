"""Policy tests: dependencies between packages, lengths of files, and consistency of duplicated facts."""

from __future__ import annotations

import ast
import builtins
import enum
import functools
import importlib.metadata
import inspect
import json
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from support import quick

from pyinfercost import _core

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "pyinfercost"
PYTHON_FILES = sorted(PACKAGE.rglob("*.py"))
# Names that packages export. Results are those of all rooms.
EXPORTS = sorted({*PACKAGE.rglob("__init__.pyi"), *PACKAGE.glob("[!_]*.pyi")} - {PACKAGE / "results" / "__init__.pyi"})
CPP_FILES = sorted((ROOT / "csrc").rglob("*.[ch]pp"))

# C++: a folder of csrc/, and the folders that it may include. Nobody includes the bindings.
CPP_MAY_INCLUDE = {
    "core": {"core"},
    "simd": {"core", "simd"},
    "ops": {"core", "ops"},
    "lowering": {"core", "ops", "lowering"},
    "count": {"core", "ops", "lowering", "count"},
    "sparsity": {"core", "simd", "sparsity"},
    "plan": {"core", "ops", "lowering", "count", "plan"},
    "hardware": {"core", "simd", "hardware"},
    "evaluate": {"core", "simd", "plan", "hardware", "evaluate"},
    "pipelines": {"core", "ops", "lowering", "count", "plan", "hardware", "evaluate", "pipelines"},
    "costs": {"core", "costs"},
    "select": {"core", "select"},
    "simulate": {"core", "simulate"},
    "monitor": {"core", "monitor"},
    "serving": {"core", "ops", "lowering", "count", "plan", "hardware", "evaluate", "simulate", "serving"},
    "deploy": {
        *("core", "ops", "lowering", "count", "plan", "hardware", "evaluate", "costs", "simulate"),
        *("pipelines", "serving", "deploy"),
    },
    "sources": {"core", "sources"},
    "interface": {
        *("core", "ops", "lowering", "count", "plan", "hardware", "evaluate", "costs", "simulate"),
        *("pipelines", "serving", "deploy", "sources", "interface"),
    },
    "bindings": {
        *("core", "ops", "lowering", "count", "plan", "hardware", "evaluate", "costs", "select", "simulate"),
        *("sparsity", "monitor", "pipelines", "serving", "deploy", "sources", "interface"),
        "bindings",
    },
    "infercost.hpp": {"core", "ops", "lowering", "count", "plan", "hardware", "evaluate"},  # the public header
}
# The core neither reads nor writes anything: graphs come in as values or text, and Python opens the files.
FORBIDDEN_CPP_HEADERS = {"<fstream>", "<filesystem>", "<iostream>"}

# Python: a room imports only rooms of the levels below its own, at import, inside functions and for types alike.
LEVELS = (
    {"_core", "_escapes", "_interrupts"},
    {"errors"},
    {"_checks", "_lazy", "_records", "_cache"},
    {"_toml"},
    {"_http", "inputs"},
    {"results", "hardware"},
    {"formats"},
    {"sources"},
    {"transform", "deployment"},
    {"predict"},
    {"sweeps", "measuring", "scan"},
    {"serving"},
    {"report", "training", "fleets"},
    {"tradeoffs"},
    {"monitor", "advice"},
    {"cli", "plots", "devices", "comparison"},
    {"__init__", "__main__"},
)
LEVEL_OF = {room: level for level, rooms in enumerate(LEVELS) for room in rooms}
# The one door upward: results, wherever they stand, are rendered by this module and by no other of its room.
DOOR = "pyinfercost.report.render"

# Libraries that take a second or more to import. A `.pt2` file, a stored graph and a weights file need none of them.
TORCH_LIBRARIES = {"torch", "torchvision", "timm", "transformers", "diffusers"}

# Rooms whose files may import them: they capture, time or train modules. In other rooms only the named files may.
TORCH_ROOMS = {"sources", "measuring", "training"}
TORCH_FILES = {
    "scan": {"activations.py", "modules.py", "tensors.py"},
    "tradeoffs": {
        *("batches.py", "candidates.py", "distillation_loop.py", "distillation_loss.py", "distilled_student.py"),
        *("layer_formats.py", "layer_stacks.py", "modules.py", "rounding.py", "student_choice.py", "students.py"),
        *("training_costs.py", "training_forwards.py", "training_store.py"),
    },
}


def may_import_torch(path: Path) -> bool:
    """Whether a file of the package may import torch, at whatever time."""
    room = room_of(path)
    return room in TORCH_ROOMS or path.name in TORCH_FILES.get(room, ())


def relative(path: Path) -> str:
    """A file's path as the repository names it."""
    return path.relative_to(ROOT).as_posix()


def each(paths: list[Path]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """One test of all files, which names those that break the rule: thousands of tests take a minute by themselves."""
    assert paths

    def of_all(rule: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(rule)
        def test(**others: Any) -> None:
            broken = []
            for path in paths:
                try:
                    rule(path=path, **others)
                except AssertionError as error:
                    broken.append(f"{relative(path)}: {error}")
            assert not broken, "\n".join(broken)

        named = inspect.signature(rule)
        test.__signature__ = named.replace(  # type: ignore[attr-defined]  # what pytest reads
            parameters=[each for name, each in named.parameters.items() if name != "path"]
        )
        return test

    return of_all


def test_a_rule_names_the_files_that_break_it() -> None:
    @each(PYTHON_FILES)
    def rule(path: Path) -> None:
        assert path.name != "errors.py", "not this one"

    with pytest.raises(AssertionError, match=r"\Apyinfercost/errors\.py: not this one"):
        rule()


class Kind(enum.Enum):
    """When an import runs."""

    AT_IMPORT = "at import"
    IN_CALL = "inside a function"
    FOR_TYPES = "under TYPE_CHECKING"


class Import(NamedTuple):
    """One imported module or name, in full."""

    name: str
    kind: Kind


@functools.cache
def tree_of(path: Path) -> ast.Module:
    """The syntax tree of a file."""
    return ast.parse(path.read_text(encoding="utf-8"))


def module_of(path: Path) -> str:
    """The dotted name of a file, from the root of the repository."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@functools.cache
def imports(path: Path) -> tuple[Import, ...]:
    """Every import of a file, with when it runs."""
    module = module_of(path).split(".")
    package = module if path.stem == "__init__" else module[:-1]

    found: list[Import] = []

    def walk(node: ast.AST, kind: Kind) -> None:
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
            for child in node.body:
                walk(child, Kind.FOR_TYPES)
            for child in node.orelse:
                walk(child, kind)
            return
        if isinstance(node, ast.Import):
            found.extend(Import(alias.name, kind) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(package[: len(package) - node.level + 1]) if node.level else ""
            full = ".".join(part for part in (base, node.module) if part)
            # `from package import name` may mean a module of the package or a name in it: the full name serves both.
            found.extend(Import(f"{full}.{alias.name}", kind) for alias in node.names)
        if kind is Kind.AT_IMPORT and isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            kind = Kind.IN_CALL
        for child in ast.iter_child_nodes(node):
            if isinstance(child, (ast.stmt, ast.excepthandler, ast.match_case)):  # expressions import nothing
                walk(child, kind)

    walk(tree_of(path), Kind.AT_IMPORT)
    return tuple(found)


def target(name: str, modules: Mapping[str, Path]) -> str | None:
    """The module of the repository that a full name means: itself, or the one that it is a name in."""
    while name and name not in modules:
        name = name.rpartition(".")[0]
    return name or None


def arrows(paths: list[Path]) -> dict[str, dict[str, set[Kind]]]:
    """File -> the files it imports -> when. The compiled core is no file, and the package's own face is no room."""
    modules = {module_of(path): path for path in paths}
    found: dict[str, dict[str, set[Kind]]] = {module: {} for module in modules}
    for module, path in modules.items():
        for name, kind in imports(path):
            other = target(name, modules)
            if other in (None, module) or name.startswith("pyinfercost._core"):
                continue
            found[module].setdefault(other, set()).add(kind)
    return found


def cycles(graph: Mapping[str, Collection[str]]) -> list[list[str]]:
    """The groups of more than one file that reach each other (strongly connected components, Tarjan 1972)."""
    order: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found = []

    def visit(file: str) -> None:
        order[file] = low[file] = len(order)
        stack.append(file)
        for other in graph.get(file, ()):
            if other not in order:
                visit(other)
                low[file] = min(low[file], low[other])
            elif other in stack:
                low[file] = min(low[file], order[other])
        if low[file] == order[file]:
            group = [stack.pop()]
            while group[-1] != file:
                group.append(stack.pop())
            if len(group) > 1:
                found.append(sorted(group))

    for file in graph:
        if file not in order:
            visit(file)
    return found


@functools.cache
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


def room_of(path: Path) -> str:
    """The room of the package that a file belongs to: a subpackage or a module of the top level."""
    return path.relative_to(PACKAGE).parts[0].partition(".")[0]


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
    parser = [name for name in included if "nlohmann" in name]
    assert not parser or relative(path) == "csrc/core/json.cpp", "one file parses JSON; public headers need no library"


@pytest.mark.parametrize("kind", list(Kind), ids=lambda kind: kind.value)
@each([*PYTHON_FILES, *EXPORTS])
def test_python_imports_point_one_way(path: Path, kind: Kind) -> None:
    room = room_of(path)
    assert room in LEVEL_OF, f"{room} has no level yet: give it one in LEVELS"
    wrong = []
    for name, when in imports(path):
        root, _, rest = name.partition(".")
        other = rest.split(".")[0]
        if when is not kind or root != "pyinfercost" or other == room or name.startswith(f"{DOOR}."):
            continue
        # The names of the package itself stand above all rooms but the command line.
        if LEVEL_OF.get(other, LEVEL_OF["cli"]) >= LEVEL_OF[room]:
            wrong.append(name)
    assert not wrong, f"{room} is on level {LEVEL_OF[room]} and imports only from the levels below"


def test_no_file_of_the_package_imports_itself_through_others() -> None:
    files = [path for path in PYTHON_FILES if path != PACKAGE / "__init__.py"]
    assert not cycles({file: [other for other in found if other != DOOR] for file, found in arrows(files).items()})


def test_no_benchmark_imports_itself_through_others() -> None:
    assert not cycles(arrows(sorted((ROOT / "benchmarks").rglob("*.py"))))


def cpp_includes() -> dict[str, list[str]]:
    """The project's headers that each C++ file includes, all by their paths from csrc/."""
    return {
        path.relative_to(ROOT / "csrc").as_posix(): re.findall(
            r'^\s*#\s*include\s+"([^"]+)"', path.read_text(encoding="utf-8"), re.MULTILINE
        )
        for path in CPP_FILES
    }


def test_no_header_includes_itself_through_others() -> None:
    assert not cycles(cpp_includes())


def test_no_folder_of_cpp_includes_itself_through_others() -> None:
    """Subfolders too: of a folder and its subfolder, one includes the other."""
    folders: dict[str, set[str]] = {}
    for path, included in cpp_includes().items():
        folder = str(Path(path).parent)
        folders.setdefault(folder, set()).update(str(Path(name).parent) for name in included)
    assert not cycles({folder: sorted(found - {folder}) for folder, found in folders.items()})


def test_no_two_headers_define_a_type_of_one_name() -> None:
    """All types are in one namespace: of two with one name, the linker may take the destructor of the other."""
    # One file per instruction set is compiled into each, in a namespace of its own.
    headers = [path for path in CPP_FILES if path.suffix == ".hpp" and path.parent.name not in ("simd", "bindings")]
    found: dict[str, list[str]] = {}
    for path in headers:
        for name in re.findall(
            r"^(?:struct|class|enum class) (\w+)[^;]*\{", path.read_text(encoding="utf-8"), re.MULTILINE
        ):
            found.setdefault(name, []).append(relative(path))
    assert not {name: files for name, files in found.items() if len(set(files)) > 1}


def test_cycles_are_found() -> None:
    assert cycles({"a": ["b"], "b": ["c"], "c": ["b", "d"], "d": []}) == [["b", "c"]]


@each([path for path in PYTHON_FILES if not may_import_torch(path)])
def test_torch_is_imported_by_few(path: Path) -> None:
    assert not [
        entry.name
        for entry in imports(path)
        if entry.kind is not Kind.FOR_TYPES and entry.name.split(".")[0] in TORCH_LIBRARIES
    ]


@each([path for path in PYTHON_FILES if not may_import_torch(path) or path.name == "__init__.py"])
def test_torch_is_imported_when_called(path: Path) -> None:
    """A module of sources may need torch to be imported; then its importers import it inside a function."""
    reached, waiting = {path}, [path]
    while waiting:
        for name, kind in imports(waiting.pop()):
            at_import = kind is Kind.AT_IMPORT
            assert not (at_import and name.split(".")[0] in TORCH_LIBRARIES), f"importing {path.name} imports {name}"
            found = files_of(name) if at_import else set()
            waiting += found - reached
            reached |= found


def test_the_files_that_may_import_torch_are_there() -> None:
    assert not [name for room, names in TORCH_FILES.items() for name in names if not (PACKAGE / room / name).is_file()]


@each(sorted((ROOT / "tests").rglob("test_*.py")))
def test_tests_that_import_torch_say_so(path: Path) -> None:
    """A file without the marker is run where torch is not installed; it may import torch inside a test that skips."""
    marked = re.search(r"^pytestmark = .*?pytest\.mark\.torch\b", path.read_text(encoding="utf-8"), re.M | re.S)
    reached, waiting = {path}, [path]
    while waiting and not marked:
        for name, kind in imports(waiting.pop()):
            assert not (kind is Kind.AT_IMPORT and name.split(".")[0] in TORCH_LIBRARIES), (
                f"it imports {name}; mark it `pytestmark = pytest.mark.torch`"
            )
            support = ROOT / "tests" / f"{name.replace('.', '/').rpartition('/')[0]}.py"
            if name.startswith("support.") and support.is_file() and support not in reached:
                reached.add(support)
                waiting.append(support)


def test_quick_tests_are_of_every_room() -> None:
    assert not [path for path in quick.FILES if not path.is_file()]
    rooms = {path.parent.relative_to(ROOT / "tests").as_posix() for path in (ROOT / "tests").rglob("test_*.py")}
    assert rooms - {"fuzz"} == {room or "." for room in quick.QUICK}, "each room but the fuzzer has quick tests"


@pytest.mark.parametrize("cases", [1, 2, 7, 16, 100])
@pytest.mark.parametrize("wanted", [1, 4, 8])
def test_a_sample_is_spread_over_its_cases(cases: int, wanted: int) -> None:
    kept = sorted(quick.sampled(cases, wanted))
    assert kept[0] == 0
    assert len(kept) == min(cases, wanted)
    # Steps of the golden ratio leave no gap that is much longer than two at even distances (three-gap theorem).
    assert max(after - before for before, after in pairwise([*kept, cases])) <= 2.7 * cases / len(kept) + 1


# What these open is not named by users: parts of the package and of libraries, of the system, of the own cache; sinks
# read the files that they write.
OPENS_BY_ITSELF = {
    *("_cache.py", "_checks.py", "measuring/machine.py", "measuring/rapl.py", "monitor/sinks/plain.py"),
    *("report/html/live_packs.py", "report/html/parts.py", "sources/model_names.py", "sweeps/execute.py"),
}


def reads_a_file(call: ast.Call) -> bool:
    """Whether a call opens a path for reading by itself."""
    if not isinstance(call.func, ast.Attribute):
        return False
    if call.func.attr != "open":
        return call.func.attr in ("read_text", "read_bytes")
    if call.args:
        return isinstance(call.args[0], ast.Constant) and call.args[0].value in ("r", "rb")
    return any(keyword.arg == "encoding" for keyword in call.keywords)


@each(PYTHON_FILES)
def test_files_from_outside_are_opened_by_one_function(path: Path) -> None:
    if path.relative_to(PACKAGE).as_posix() in OPENS_BY_ITSELF:
        return
    calls = [node for node in ast.walk(tree_of(path)) if isinstance(node, ast.Call) and reads_a_file(node)]
    assert not calls, f"lines {[call.lineno for call in calls]}: use open_file, read_bytes, read_text of _checks.py"


def test_importing_the_package_is_light() -> None:
    heavy = ("torch", "numpy", "rich", "click", "matplotlib")
    code = f"import pyinfercost, sys; print([name for name in {heavy} if name in sys.modules])"
    # Run elsewhere than in the root, where the source folder would stand before an installed wheel.
    result = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, cwd=ROOT / "tests"
    )
    assert result.stdout.strip() == "[]"


@each(PYTHON_FILES)
def test_no_assert_and_no_print_in_the_package(path: Path) -> None:
    tree = tree_of(path)
    asserts = [node.lineno for node in ast.walk(tree) if isinstance(node, ast.Assert)]
    assert not asserts, "input is refused with an exception that `python -O` keeps"
    prints = [
        node.lineno
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"
    ]
    assert not prints, "only the command line prints, through click.echo"


# Rooms and modules whose errors are all of the package's hierarchy, which `pyinfercost.errors` lists.
OWN_ERRORS = {
    *(
        "_checks",
        "_escapes",
        "_lazy",
        "cli",
        "deployment",
        "errors",
        "formats",
        "hardware",
        "monitor",
        "plots",
        "predict",
        "report",
    ),
    *("results", "training"),
}
# What else these may raise: the command line's own errors, and what Python's protocols demand.
OTHER_ERRORS = {"click.UsageError", "click.ClickException", "click.exceptions.Exit"}
PROTOCOLS = {"__getattr__": "AttributeError", "get": "AttributeError", "__next__": "StopIteration"}


@each([path for path in PYTHON_FILES if room_of(path) in OWN_ERRORS])
def test_errors_are_of_the_package(path: Path) -> None:
    tree = tree_of(path)
    builtin = {
        name for name, value in vars(builtins).items() if isinstance(value, type) and issubclass(value, Exception)
    }
    wrong = []
    for function in ast.walk(tree):
        if not isinstance(function, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Module, ast.ClassDef)):
            continue
        own = [child for child in ast.iter_child_nodes(function)]
        while own:
            node = own.pop()
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
                continue
            own += [each for each in ast.iter_child_nodes(node) if not isinstance(each, ast.expr)]
            if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
                name = ast.unparse(node.exc.func)
                allowed = PROTOCOLS.get(getattr(function, "name", ""))
                if (name in builtin or name.startswith("click.")) and name not in (*OTHER_ERRORS, allowed):
                    wrong.append(f"line {node.lineno}: {name}")
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef):
            bases = [ast.unparse(base) for base in node.bases]
            plain = [base for base in bases if base in builtin and not issubclass(getattr(builtins, base), Warning)]
            if plain == bases and bases:
                wrong.append(f"line {node.lineno}: class {node.name}({', '.join(bases)})")
    assert not wrong, "errors of input are those of pyinfercost.errors, or derive from them"


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


def test_readme_has_two_blocks_to_paste() -> None:
    blocks = re.findall(
        r"^```sh\n(.*?)^```$", (ROOT / "README.md").read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
    )
    assert len(blocks) == 2, ".ci/run runs them: one that profiles, one that tests"
    profile, test = blocks
    assert "pyinfercost profile" in profile
    assert "'.[models]'" in profile
    assert "pytest" in test
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


SUFFIXES = {".py", ".pyi", ".toml", ".typed", ".html", ".css", ".js", ".json", ".zz"}
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
