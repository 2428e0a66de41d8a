"""The stub matches the compiled core: names both ways, kinds, and each argument's name, default and position.

A type checker believes the stub, and stubtest cannot see into a pybind11 function; its docstring's first line can.
"""

from __future__ import annotations

import ast
import inspect
import re
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from pyinfercost import _core

STUB = ast.parse((Path(__file__).parents[1] / "pyinfercost" / "_core.pyi").read_text(encoding="utf-8"))
CLASSES = {node.name: node for node in STUB.body if isinstance(node, ast.ClassDef)}

# Python or pybind11 puts these on every class; a stub gains nothing by repeating them.
IMPLIED = {
    "__annotations__",
    "__copy__",
    "__deepcopy__",
    "__doc__",
    "__getstate__",
    "__module__",
    "__new__",
    "__reduce__",
    "__repr__",
    "__setstate__",
    "__str__",
    "__weakref__",
}


class Argument(NamedTuple):
    """One parameter as a caller sees it."""

    name: str
    default: str | None
    keyword_only: bool


def stub_arguments(function: ast.FunctionDef) -> list[Argument]:
    """The parameters of a stub's function, `self` left out."""
    given = function.args
    positional = given.posonlyargs + given.args
    defaults: list[ast.expr | None] = [None] * (len(positional) - len(given.defaults)) + list(given.defaults)
    arguments = [(arg, default, False) for arg, default in zip(positional, defaults, strict=True)]
    arguments += [(arg, default, True) for arg, default in zip(given.kwonlyargs, given.kw_defaults, strict=True)]
    if given.vararg is not None:
        # A binding has `*args` whatever a stub calls it.
        arguments.append((ast.arg("*args"), None, False))
    return [
        Argument(arg.arg, None if default is None else ast.unparse(default), keyword_only)
        for arg, default, keyword_only in arguments
        if arg.arg != "self"
    ]


def split_outside_brackets(text: str, separator: str) -> list[str]:
    """Splits where the separator stands in no bracket and no quotes."""
    parts, depth, quote = [""], 0, ""
    for character in text:
        if quote:
            quote = "" if character == quote else quote
        elif character in "'\"":
            quote = character
        elif character in "([{":
            depth += 1
        elif character in ")]}":
            depth -= 1
        if character == separator and depth == 0 and not quote:
            parts.append("")
        else:
            parts[-1] += character
    return [part.strip() for part in parts if part.strip()]


def signature_arguments(signature: str) -> list[Argument]:
    """The parameters in a line as pybind11 writes it: `name(self: T, a: int, *, b: str = 'x') -> R`."""
    inside = signature[signature.index("(") + 1 : signature.rindex(") ->")]
    arguments, keyword_only = [], False
    for part in split_outside_brackets(inside, ","):
        if part in {"*", "/"}:
            keyword_only = keyword_only or part == "*"
            continue
        declared, *default = split_outside_brackets(part, "=")
        name = declared.split(":")[0].strip()
        if name != "self":
            arguments.append(Argument(name, default[0] if default else None, keyword_only))
    return arguments


def runtime_signatures(function: Any) -> list[str]:
    """The signature lines of a pybind11 function, one per overload."""
    lines = (inspect.getdoc(function) or "").splitlines()
    if lines and lines[0].endswith("(*args, **kwargs)"):
        return [line.split(". ", 1)[1] for line in lines if re.match(r"\d+\. \w+\(.*\) ->", line)]
    return lines[:1]


def stub_functions() -> Iterator[tuple[str, ast.FunctionDef]]:
    """Every function of the stub, methods as `Class.name`, properties left out."""
    for node in STUB.body:
        if isinstance(node, ast.FunctionDef):
            yield node.name, node
    for owner, body in CLASSES.items():
        for node in body.body:
            if isinstance(node, ast.FunctionDef) and "property" not in decorators(node):
                yield f"{owner}.{node.name}", node


def decorators(function: ast.FunctionDef) -> set[str]:
    """The names of a function's decorators."""
    return {ast.unparse(decorator) for decorator in function.decorator_list}


def runtime(path: str) -> Any:
    """The object of the compiled core that a stub's `Class.name` speaks of."""
    found: Any = _core
    for name in path.split("."):
        found = inspect.getattr_static(found, name)
    return found.__func__ if isinstance(found, staticmethod) else found


def test_module_names_agree() -> None:
    declared = set(CLASSES)
    declared |= {node.name for node in STUB.body if isinstance(node, ast.FunctionDef)}
    assigned = {ast.unparse(node.target) for node in STUB.body if isinstance(node, ast.AnnAssign)}
    declared |= {name for name in assigned if not name.startswith("_") or name.startswith("__")}  # aliases of types
    present = {name for name in vars(_core) if not name.startswith("_")} | {"__version__"}
    assert declared == present


@pytest.mark.parametrize("owner", CLASSES)
def test_members_agree(owner: str) -> None:
    declared = {node.name for node in CLASSES[owner].body if isinstance(node, ast.FunctionDef)}
    # A slot wrapper is Python's own (an `__init__` that refuses a class without a constructor), and an `__eq__` that is
    # bound alone leaves `__hash__ = None` behind.
    present = {
        name
        for name, value in vars(getattr(_core, owner)).items()
        if name not in IMPLIED
        and not name.startswith("_pybind11")
        and not isinstance(value, (types.WrapperDescriptorType, types.NoneType))
    }
    assert declared - IMPLIED == present


@pytest.mark.parametrize("owner", CLASSES)
def test_properties_are_properties(owner: str) -> None:
    functions = [node for node in CLASSES[owner].body if isinstance(node, ast.FunctionDef)]
    declared = {node.name for node in functions if "property" in decorators(node)}
    present = {name for name, value in vars(getattr(_core, owner)).items() if isinstance(value, property)}
    assert declared == present


@pytest.mark.parametrize(("path", "function"), [pytest.param(*pair, id=pair[0]) for pair in stub_functions()])
def test_arguments_agree(path: str, function: ast.FunctionDef) -> None:
    signatures = runtime_signatures(runtime(path))
    assert signatures, f"{path} has no signature line in its docstring, so its arguments cannot be compared"
    expected = stub_arguments(function)
    for signature in signatures:
        got = signature_arguments(signature)
        if function.name.startswith("__") and function.name != "__init__":
            # An operator is not called with keywords, so only the number of its operands counts.
            assert len(got) == len(expected), signature
        else:
            assert got == expected, signature


def test_a_renamed_argument_would_be_seen() -> None:
    line = "count(graph: _core.Graph, shape: dict[str, int] = {'a': 1, 'b': 2}, *, precision: str = 'x, y') -> T"
    assert signature_arguments(line) == [
        Argument("graph", None, False),
        Argument("shape", "{'a': 1, 'b': 2}", False),
        Argument("precision", "'x, y'", True),
    ]
    source = "def count(graph: Graph, sizes: X = {'a': 1, 'b': 2}, *, precision: str = 'x, y') -> T: ..."
    stub = ast.parse(source).body[0]
    assert isinstance(stub, ast.FunctionDef)
    assert signature_arguments(line) != stub_arguments(stub)
    assert [argument.name for argument in stub_arguments(stub)] == ["graph", "sizes", "precision"]
