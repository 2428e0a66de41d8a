"""Inputs of a forward: positional, by keyword, or both."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple


class Inputs(NamedTuple):
    """Inputs of a forward that takes both positional and keyword inputs.

    Attributes:
        args: Positional inputs.
        kwargs: Keyword inputs.
    """

    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = MappingProxyType({})


class CappedSize(str):
    """Name of a size whose dimension stops growing with it, such as a KV cache that keeps the tokens of a window.

    Args:
        name: The size.
        value: Its value in the example, which the dimension alone does not tell.
        most: Largest length of the dimension, which is min(size, most).
    """

    __slots__ = ("most", "value")

    def __new__(cls, name: str, value: int, most: int) -> CappedSize:
        made = super().__new__(cls, name)
        made.value = value
        made.most = most
        return made

    value: int
    most: int


def parse_inputs(inputs: Any) -> Inputs:
    """Return the inputs of a forward as positional and keyword inputs.

    Args:
        inputs: A tuple or list of positional inputs, a lone input, a mapping of keyword inputs, or an `Inputs`.

    Returns:
        The inputs of both kinds.
    """
    if isinstance(inputs, Inputs):
        return Inputs(tuple(inputs.args), dict(inputs.kwargs))
    if isinstance(inputs, Mapping):
        return Inputs((), dict(inputs))
    return Inputs(tuple(inputs) if isinstance(inputs, tuple | list) else (inputs,), {})
