"""No file and no class is longer than one concept needs."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
FOLDERS = ("pyinfercost", "csrc", "tests", "benchmarks", "tools")
LONGEST_FILE = 600
LONGEST_CLASS = 250
CPP_CLASS = re.compile(r"^([ ]*)(?:class|struct) (\w+)[^;]*\{$")


def files(*suffixes: str) -> list[Path]:
    """The files of the project that people write, by their endings."""
    found = [path for folder in FOLDERS for path in (ROOT / folder).rglob("*") if path.suffix in suffixes]
    assert found
    return sorted(found)


def python_classes(path: Path) -> Iterator[tuple[str, int]]:
    """Names of classes, and the lines of each."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ClassDef) and node.end_lineno is not None:
            yield node.name, node.end_lineno - node.lineno + 1


def cpp_classes(path: Path) -> Iterator[tuple[str, int]]:
    """The same of C++, where the formatter indents the closing brace as the head."""
    lines = path.read_text(encoding="utf-8").splitlines()
    for first, line in enumerate(lines):
        if head := CPP_CLASS.match(line):
            last = next(i for i in range(first, len(lines)) if lines[i].startswith(head[1] + "}"))
            yield head[2], last - first + 1


def test_files_are_short() -> None:
    lengths = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in files(".py", ".cpp", ".hpp")}
    long = [f"{path.relative_to(ROOT)}: {lines} lines" for path, lines in lengths.items() if lines > LONGEST_FILE]
    assert not long, "\n".join(long)


def test_classes_are_short() -> None:
    classes = [(path, *each) for path in files(".py") for each in python_classes(path)]
    classes += [(path, *each) for path in files(".cpp", ".hpp") for each in cpp_classes(path)]
    assert {"Graph", "Deployment"} <= {name for _, name, _ in classes}
    long = [
        f"{path.relative_to(ROOT)}: {name}, {lines} lines" for path, name, lines in classes if lines > LONGEST_CLASS
    ]
    assert not long, "\n".join(long)
