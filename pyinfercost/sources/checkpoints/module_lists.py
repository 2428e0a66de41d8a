"""Lists of modules to leave out, in the notations of the libraries that write them."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase

from ..._checks import shown
from ..loaded_model import SpecError
from .weights import Weight

Matches = Callable[[Weight], bool]
_LONGEST = 1_000  # characters of an expression
_NESTED = re.compile(r"[*+}][^()]*\)+[*+{]")
"""A repeated group that ends with a repetition, whose matching may take exponential time: `(a+)+`."""


def by_path(where: str, patterns: Sequence[str]) -> Matches:
    """Match as transformers does: an expression for the path from its start to the end of a part, or the path's end.

    `layers.1` matches `layers.1.mlp`, not `layers.11`; `lm_head` matches `model.lm_head`. Parts in the middle of a path
    match as in serving engines: `self_attn` matches `layers.1.self_attn.q_proj`.
    """
    compiled = [(_compiled(where, pattern, whole_parts=True), pattern) for pattern in patterns]

    def fits(name: str, expression: re.Pattern[str], pattern: str) -> bool:
        return bool(expression.match(name)) or name.endswith(pattern) or f".{pattern}." in f".{name}."

    return lambda weight: any(fits(name, *each) for each in compiled for name in weight.names)


def by_name(where: str, patterns: Sequence[str]) -> Matches:
    """Match as compressed-tensors and torchao do: the whole path, a class of layers, or `re:` and an expression."""
    compiled = [_compiled(where, pattern.removeprefix("re:")) for pattern in patterns if pattern.startswith("re:")]
    whole = {pattern for pattern in patterns if not pattern.startswith("re:")}

    def matches(weight: Weight) -> bool:
        if "Linear" in whole or not whole.isdisjoint(weight.names):
            return True
        return any(expression.match(name) for expression in compiled for name in weight.names)

    return matches


def by_wildcard(where: str, patterns: Sequence[str]) -> Matches:
    """Match as Model Optimizer does: a path with wildcards, of a module or one that contains it."""
    del where

    def matches(weight: Weight) -> bool:
        return any(
            fnmatchcase(name, pattern) or fnmatchcase(name, f"{pattern}.*")
            for pattern in patterns
            for name in weight.names
        )

    return matches


def expression(where: str, pattern: str) -> Callable[[Weight], bool]:
    """Match an expression anywhere from the start of a path."""
    compiled = _compiled(where, pattern)
    return lambda weight: any(compiled.match(name) for name in weight.names)


def _compiled(where: str, pattern: str, *, whole_parts: bool = False) -> re.Pattern[str]:
    """Compile an expression; with `whole_parts`, one whose match ends where a part of a path does."""
    if len(pattern) > _LONGEST:
        raise SpecError(f"{where} has an expression of {len(pattern)} characters; expected at most {_LONGEST}")
    if _NESTED.search(pattern):
        raise SpecError(f"{where} has {shown(pattern)}, which repeats a repetition; expected one that ends soon")
    try:
        compiled = re.compile(pattern)
        return re.compile(rf"(?:{pattern})(?:(?<=\.)|(?=\.|$))") if whole_parts else compiled
    except (re.error, OverflowError, RecursionError) as error:
        raise SpecError(f"{where} has {shown(pattern)}, which is no regular expression ({error})") from error
