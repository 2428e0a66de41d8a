"""Files that list models, and their cases."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Iterable
from functools import cache, partial
from typing import NamedTuple, NoReturn

from zoo.case import Case, NotBuildableError

# A file of cases -> the library that it needs.
FAMILIES = {
    "torchvision_models": "torchvision",
    "torchvision_quantized_models": "torchvision",
    "timm_models": "timm",
    "transformers_models": "transformers",
    "diffusers_models": "diffusers",
}


class Family(NamedTuple):
    """One file of cases.

    Attributes:
        name: Stem of the file.
        cases: Its cases, by `library:name`.
        missing: Reason for an empty list.
    """

    name: str
    cases: dict[str, Case]
    missing: str = ""


@cache
def family(name: str) -> Family:
    """Return the cases of one file, without building them."""
    if importlib.util.find_spec(f"zoo.{name}") is None:
        return Family(name, {}, f"there is no tests/zoo/{name}.py")
    if importlib.util.find_spec(FAMILIES.get(name, "torch")) is None:
        return Family(name, {}, f"needs {FAMILIES[name]}: pip install 'pyinfercost[models]'")
    module = importlib.import_module(f"zoo.{name}")
    listed = module.cases()
    # A file may list apart what cannot be built, and why.
    reasons: dict[str, str] = module.unbuildable() if hasattr(module, "unbuildable") else {}
    known = {case.name for case in listed}
    listed += [
        Case(FAMILIES[name], case, "not built", partial(_refuse, text))
        for case, text in reasons.items()
        if case not in known  # some refuse by themselves
    ]
    cases = {str(case): case for case in listed}
    if len(cases) != len(listed):
        twice = sorted({str(case) for case in listed if sum(str(case) == str(other) for other in listed) > 1})
        raise ValueError(f"zoo.{name} lists {', '.join(twice)} more than once; expected one case per name")
    return Family(name, cases)


def _refuse(reason: str) -> NoReturn:
    raise NotBuildableError(reason)


def families(libraries: Iterable[str] = ()) -> list[Family]:
    """Return all files of cases, or those of some libraries."""
    wanted = set(libraries) or set(FAMILIES.values())
    return [family(name) for name, library in FAMILIES.items() if library in wanted]
