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
