"""Extension of griffe: arguments and attributes of settings and of results, from their declarations."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from importlib import import_module
from typing import Any

import griffe

from pyinfercost.results.declared import attributes_of

_SETTINGS = ("number", "whole", "wholes", "numbers", "flag", "word", "label", "converted")


class Declarations(griffe.Extension):
    """Adds attributes to the docstring of a class that declares them, and the constructor of settings."""

    def on_class(self, *, cls: griffe.Class, **_: Any) -> None:
        """Read the declarations of a class."""
        inherited = [cls, *(each for each in cls.resolved_bases if isinstance(each, griffe.Class))]
        if any(str(base) == "Settings" for each in inherited for base in each.bases):
            self._settings(cls, inherited)
        elif any(str(each.value) == "declared" for each in cls.decorators):
            _document(cls, attributes_of(getattr(import_module(cls.module.path), cls.name)))

    def _settings(self, cls: griffe.Class, inherited: list[griffe.Class]) -> None:
        rows, parameters = [], [griffe.Parameter("self")]
        for owner, name, call in _calls(inherited):
            rows.append(f"    {name}: {ast.literal_eval(call.args[-1])}")
            default = next((ast.unparse(each.value) for each in call.keywords if each.arg == "default"), None)
            member = owner.attributes[name]
            given = member.annotation
            if isinstance(given, griffe.ExprSubscript) and str(given.left) == "Parsed":
                given, member.annotation = given.slice.elements
            kind = griffe.ParameterKind.keyword_only
            parameters.append(griffe.Parameter(name, annotation=given, kind=kind, default=default))
        if _document(cls, rows):
            cls.set_member("__init__", griffe.Function("__init__", parameters=griffe.Parameters(*parameters)))


def _calls(classes: list[griffe.Class]) -> Iterator[tuple[griffe.Class, str, ast.Call]]:
    """Yield the attributes that are declared as settings, with their class."""
    for owner in reversed(classes):
        for name, member in owner.attributes.items():
            if member.value is None:
                continue
            call = ast.parse(str(member.value), mode="eval").body
            if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id in _SETTINGS:
                yield owner, name, call


def _document(cls: griffe.Class, rows: list[str]) -> bool:
    """Append the section of attributes to the docstring of a class; return whether there is any."""
    if rows and cls.docstring:
        cls.docstring.value = "\n".join([cls.docstring.value, "", "Attributes:", *rows])
    return bool(rows and cls.docstring)
