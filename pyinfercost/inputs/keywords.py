"""Functions that take settings as keywords: their signature and their help show each of them."""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Collection
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

    from .settings import Settings

_Function = TypeVar("_Function", bound="Callable[..., Any]")


def shows_settings(
    options: Any, *settings: type[Settings], own: Collection[type[Settings]] = (), sizes: Collection[str] = ()
) -> Callable[[_Function], _Function]:
    """Return a decorator of functions that take options as keywords: their signature and their help show each option.

    Args:
        options: Type of the options, a `TypedDict`.
        *settings: Types that have the options as fields.
        own: Types that each call makes, whose defaults are the defaults of the options. Of the other types, None stands
            for an option that is not given and changes nothing.
        sizes: Sizes among the options, which stay as `**named_sizes`, since others are valid, too.
    """
    known = {name: each for kind in settings for name, each in inspect.signature(kind).parameters.items()}
    keywords = [name for name in options.__annotations__ if name not in sizes]
    stated = {each.name for kind in own for each in kind.fields}
    has_sizes = len(keywords) < len(options.__annotations__)

    def shown(function: _Function) -> _Function:
        signature = inspect.signature(function)
        *named_before, rest = signature.parameters.values()
        added = [_parameter(name) for name in keywords if name not in signature.parameters]
        named = [rest.replace(name="named_sizes", annotation="SupportsIndex")] if has_sizes else []
        if function.__doc__:
            kinds: Any = settings  # a class is hashable
            tables = "".join(_table(kind, tuple(keywords)) for kind in kinds)
            function.__doc__ = f"{function.__doc__.rstrip()}\n{tables}    "
        function.__signature__ = signature.replace(parameters=[*named_before, *added, *named])  # type: ignore[attr-defined]
        return function

    def _parameter(name: str) -> inspect.Parameter:
        keyword = inspect.Parameter.KEYWORD_ONLY
        if name not in known:
            found = options.__annotations__[name]
            return inspect.Parameter(name, keyword, default=None, annotation=getattr(found, "__forward_arg__", found))
        if name in stated:
            return known[name]
        optional = f"{known[name].annotation.removesuffix(' | None')} | None"
        return inspect.Parameter(name, keyword, default=None, annotation=optional)

    return shown


@lru_cache
def _table(kind: Any, names: tuple[str, ...]) -> str:
    """Return the fields of a type as arguments in a docstring."""
    wrapped = textwrap.TextWrapper(120, initial_indent=" " * 8, subsequent_indent=" " * 12)
    rows = "\n".join(wrapped.fill(f"{each.name}: {each.text}") for each in kind.fields if each.name in names)
    return f"\n    Fields of `{kind.__name__}`:\n{rows}\n"
