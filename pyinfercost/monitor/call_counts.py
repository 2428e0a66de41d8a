"""Items and tokens that a call served, from its arguments and its result."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from .._core import Graph

_SEQUENCE_RANK = 2


class Served(NamedTuple):
    """Items and tokens of a call.

    Attributes:
        items: Items of its batch.
        prompt_tokens: Tokens that it read, of all items.
        output_tokens: Tokens that it generated, of all items.
        cached_tokens: Tokens of prompts that were in a cache of prefixes.
    """

    items: int = 1
    prompt_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0


Count: TypeAlias = Callable[[tuple[Any, ...], Mapping[str, Any], Any], Served]
"""A function of positional arguments, keywords and the result (None of a call that has yielded pieces)."""


def count_items(args: tuple[Any, ...], kwargs: Mapping[str, Any], result: Any) -> Served:
    """Count the items of a batch: the first dimension of the first array, or the length of the first list.

    Arrays are searched in positional arguments, then in keywords, and in the first mapping among them, such as the feed
    of an ONNX session. A call without any has one item.
    """
    for value in args:
        if (items := items_of(value)) is not None:
            return Served(items)
    for value in kwargs.values():
        if (items := items_of(value)) is not None:
            return Served(items)
    return Served(1)


def count_generated(args: tuple[Any, ...], kwargs: Mapping[str, Any], result: Any) -> Served:
    """Count tokens of `generate` of `transformers`, whose result repeats the prompts: `[batch, prompt + output]`.

    Padding counts: machines compute it.
    """
    given = kwargs.get("input_ids", kwargs.get("inputs", args[0] if args else None))
    items, prompt = (int(length) for length in given.shape[:2])
    sequences = getattr(result, "sequences", result)
    total = 0 if sequences is None else int(sequences.shape[0]) * int(sequences.shape[-1])
    copies = 0 if sequences is None else int(sequences.shape[0])  # several answers to a prompt
    return Served(items, items * prompt, max(0, total - copies * prompt))


def count_tokens(args: tuple[Any, ...], kwargs: Mapping[str, Any], result: Any) -> Served:
    """Count items and tokens of the first array of at least two dimensions: `[batch, sequence, ...]`."""
    for value in (*args, *kwargs.values()):
        shape = getattr(value, "shape", None)
        if shape is not None and len(shape) >= _SEQUENCE_RANK:
            return Served(int(shape[0]), int(shape[0]) * int(shape[1]))
    return count_items(args, kwargs, result)


def counter_of(graph: Graph | None) -> Count:
    """Return how calls of a captured model are counted: items, and tokens if it has a size of sequences."""
    return count_items if graph is None or graph.size_of_role("sequence") is None else count_tokens


def items_of(value: Any) -> int | None:
    """Return the first dimension of an array, of an `OrtValue`, of the first in a mapping, or the length of a list."""
    shape = getattr(value, "shape", None)
    if callable(shape):
        shape = shape()
    if shape is not None:
        return int(shape[0]) if len(shape) else None
    if isinstance(value, Mapping):
        return next((items for each in value.values() if (items := items_of(each)) is not None), None)
    if isinstance(value, Sequence) and not isinstance(value, (str, bytes)):
        return len(value)
    return None
