"""Functions that remember their results, as `functools.lru_cache` makes them, in the code of a model.

What such a function remembers from an earlier forward was computed there: a capture would miss that work, and what it
remembers from a capture has no values. So a capture runs with memories of its own, which are empty when it begins.
"""

from __future__ import annotations

import contextlib
import functools
import sys
from collections.abc import Callable, Iterator
from types import FunctionType
from typing import Any

import torch

_Remembering = type(functools.lru_cache(len))


@contextlib.contextmanager
def nothing_remembered(module: torch.nn.Module) -> Iterator[None]:
    """Functions that remember results start afresh, and get their memories back at the end.

    They are looked for where models have them: among the methods of the module's parts, in the files of these, and
    within decorators.
    """
    put_back: list[Callable[[], None]] = []
    classes = {found for part in module.modules() for found in type(part).__mro__ if _of_a_model(found)}
    owners = [*classes, *{id(m): m for c in classes if (m := sys.modules.get(c.__module__)) is not None}.values()]
    try:
        for owner in owners:
            for name, value in list(vars(owner).items()):
                function = value.__func__ if isinstance(value, staticmethod | classmethod) else value
                if isinstance(function, _Remembering):
                    put_back.append(functools.partial(setattr, owner, name, value))
                    setattr(owner, name, _afresh(value) if function is value else type(value)(_afresh(function)))
                elif isinstance(function, FunctionType):
                    put_back += _cells_afresh(function)
        yield
    finally:
        for restore in put_back:
            restore()


def _of_a_model(found: type) -> bool:
    return found is not object and found.__module__.partition(".")[0] != "torch"


def _afresh(remembering: Any) -> Any:
    return functools.lru_cache(**remembering.cache_parameters())(remembering.__wrapped__)


def _cells_afresh(function: FunctionType) -> Iterator[Callable[[], None]]:
    """A decorator holds the function that remembers in a cell of what it has made of it."""
    for cell in function.__closure__ or ():
        try:
            value = cell.cell_contents
        except ValueError:  # empty
            continue
        if isinstance(value, _Remembering):
            yield functools.partial(setattr, cell, "cell_contents", value)
            cell.cell_contents = _afresh(value)
