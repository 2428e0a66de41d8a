"""Extension of griffe: the arguments and attributes of a settings type, from its declarations."""

from __future__ import annotations

import ast
from typing import Any

import griffe

_FORMS = ("number", "whole", "wholes", "numbers", "flag", "word", "label", "converted")


class SettingsDocs(griffe.Extension):
    """Adds the constructor of a class that declares settings, and the section of attributes to its docstring."""

    def on_class(self, *, cls: griffe.Class, **_: Any) -> None:
        """Read the declarations of a class."""
        if not any(str(base) == "Settings" for base in cls.bases):
            return
        rows, parameters = [], [griffe.Parameter("self")]
        for name, member in cls.attributes.items():
            call = ast.parse(str(member.value), mode="eval").body
            if not (isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id in _FORMS):
                continue
            rows.append(f"    {name}: {ast.literal_eval(call.args[-1])}")
            default = next((ast.unparse(each.value) for each in call.keywords if each.arg == "default"), None)
            given = member.annotation
            if isinstance(given, griffe.ExprSubscript) and str(given.left) == "Parsed":
                given, member.annotation = given.slice.elements
            kind = griffe.ParameterKind.keyword_only
            parameters.append(griffe.Parameter(name, annotation=given, kind=kind, default=default))
        if rows and cls.docstring:
            cls.docstring.value = "\n".join([cls.docstring.value, "", "Attributes:", *rows])
            cls.set_member("__init__", griffe.Function("__init__", parameters=griffe.Parameters(*parameters)))
