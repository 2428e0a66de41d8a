"""Values of named sizes, as functions accept them: by keyword or in `sizes=`, checked against a graph."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from fnmatch import fnmatchcase
from operator import index
from typing import Any, SupportsIndex, TypeVar

from .._core import Expr, Graph
from ..errors import InputError

_Value = TypeVar("_Value")

BATCH = "batch"
"""Name of the batch size in specs of models, and in graphs unless the caller chooses another one."""


class SizeError(InputError):
    """A size that the graph does not have, or a value that it does not allow.

    Attributes:
        name: The unknown name; None if the name is known.
        known: The known sizes.
    """

    def __init__(self, message: str, *, name: str | None = None, known: Iterable[str] = ()) -> None:
        super().__init__(message)
        self.name = name
        self.known = tuple(known)


@contextmanager
def call_sizes(
    function: Callable[..., Any], sizes: Mapping[str, _Value] | None, keywords: Mapping[str, _Value]
) -> Iterator[dict[str, _Value]]:
    """Yield the sizes of a call; an error about an unknown name also names the nearest option or size.

    Args:
        function: The function that is called; its parameters are the options.
        sizes: `sizes=` of the call, which may have names that options have.
        keywords: Keywords of the call that are no options.

    Raises:
        SizeError: A size is given in both ways.
    """
    if twice := sorted((sizes or {}).keys() & keywords):
        raise SizeError(f"size {twice[0]!r} is given as a keyword and in sizes=; give it once")
    try:
        yield {**(sizes or {}), **keywords}
    except SizeError as error:
        name = error.name or next((name for name in keywords if repr(name) in str(error)), None)
        options = [p.name for p in inspect.signature(function).parameters.values() if p.kind is p.KEYWORD_ONLY]
        near = difflib.get_close_matches(name or "", [*options, *error.known], n=1, cutoff=0.6)
        if name not in keywords or not near:
            raise
        what = "the option " if near[0] in options else ""
        raise SizeError(f"{error}; did you mean {what}{near[0]!r}?", name=name, known=error.known) from None


def batch_name(graph: Graph) -> str:
    """Return the name of the size of role `batch`; `BATCH` for a graph that was captured at one batch."""
    return graph.size_of_role("batch") or BATCH


def bind_sizes(graph: Graph, sizes: Mapping[str, SupportsIndex]) -> dict[str, int]:
    """Return the given sizes as ints. A name with `*` gives its value to all matching sizes without one of their own.

    Raises:
        SizeError: The graph has no size of that name, or the value is outside its range.
    """
    known = graph.sizes
    bound = {name: check_size(known, name, value) for name, value in matched(graph, sizes).items()}
    if any(isinstance(known[name]["maximum"], Expr) for name in bound):
        try:
            graph.size_values(bound)
        except ValueError as error:
            raise SizeError(str(error)) from None
    return bound


def matched(graph: Graph, sizes: Mapping[str, _Value]) -> dict[str, _Value]:
    """Return the sizes with each pattern (`*.experts.nonzero*`) replaced by the matching sizes that depend on data.

    Raises:
        SizeError: No size that depends on data matches a pattern.
    """
    found: dict[str, _Value] = {}
    for name, value in sizes.items():
        if "*" not in name:
            found[name] = value
            continue
        names = [other for other in graph.sizes if graph.depends_on_data(other) and fnmatchcase(other, name)]
        if not names:
            raise SizeError(f"no size that depends on data matches {name!r}")
        for other in names:
            if other not in sizes:
                found[other] = value
    return found


def unknown_size(known: Iterable[str], name: str) -> SizeError:
    """Return the error of a name that no size has."""
    there = ", ".join(repr(size) for size in known)
    there = (
        f"the sizes {there}" if there else "fixed sizes only; capture it with dynamic={0: {0: 'batch'}} and its like"
    )
    return SizeError(f"unknown size {name!r}; this graph has {there}", name=name, known=known)


def check_size(known: Mapping[str, Mapping[str, Any]], name: str, value: SupportsIndex) -> int:
    """Return the value of a size as an int.

    Args:
        known: The sizes of the graph.
        name: The size.
        value: Its value.

    Raises:
        SizeError: There is no such size, or the value is no whole number or out of range.
    """
    if name not in known:
        raise unknown_size(known, name)
    try:
        number = index(value)
    except TypeError:
        raise SizeError(f"size {name!r} must be a whole number, got {value!r}") from None
    low, high = known[name]["minimum"], known[name]["maximum"]
    if isinstance(high, Expr):  # its value depends on other sizes
        high = None
    if (low is not None and number < low) or (high is not None and number > high):
        limits = f"at least {low}" if high is None else f"from {low} to {high}"
        if low == high:
            limits = f"{low}, which it was captured at (give another value when capturing),"
        raise SizeError(f"size {name!r} must be {limits} in this graph, got {number}")
    return number
