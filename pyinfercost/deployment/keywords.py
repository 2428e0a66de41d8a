"""Functions that take the fields of a deployment as keywords."""

from __future__ import annotations

import inspect
import textwrap
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeVar, cast

from ..errors import InputTypeError
from .deployment import OPTIONS, Deployment
from .options import SIZES

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from .options import DeploymentOptions

_Function = TypeVar("_Function", bound="Callable[..., Any]")
_FIELDS = frozenset(OPTIONS)


def shows(options: Any) -> Callable[[_Function], _Function]:
    """Return a decorator of functions that take options as keywords: their signature and their help show each option.

    Args:
        options: Type of the options, a `TypedDict`. Sizes among them stay as `**options`, since others are valid, too.
    """
    fields = inspect.signature(Deployment).parameters
    keywords = [name for name in options.__annotations__ if name not in SIZES]
    is_sized = len(keywords) < len(options.__annotations__)

    def shown(function: _Function) -> _Function:
        signature = inspect.signature(function)
        *own, rest = signature.parameters.values()
        added = [
            inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=_type(name))
            for name in keywords
            if name not in signature.parameters
        ]
        named = [rest.replace(name="named_sizes", annotation="SupportsIndex")] if is_sized else []
        if function.__doc__:
            function.__doc__ = f"{function.__doc__.rstrip()}\n\n    Fields of `Deployment`:\n{_rows()}\n    "
        function.__signature__ = signature.replace(parameters=[*own, *added, *named])  # type: ignore[attr-defined]
        return function

    def _type(name: str) -> Any:
        if name in fields:
            return f"{fields[name].annotation.removesuffix(' | None')} | None"
        found = options.__annotations__[name]
        return getattr(found, "__forward_arg__", found)

    return shown


@lru_cache(1)
def _rows() -> str:
    """Return the fields as arguments in a docstring."""
    wrapped = textwrap.TextWrapper(120, initial_indent=" " * 8, subsequent_indent=" " * 12)
    return "\n".join(wrapped.fill(f"{each.name}: {each.text}") for each in Deployment.fields)


def deployment_of(on: Deployment | None, options: Mapping[str, Any]) -> Deployment:
    """Return the deployment that `on=` and the keywords of a call describe.

    Args:
        on: The deployment to start from; None starts from the defaults.
        options: Fields that override its own unless they are None.

    Raises:
        InputTypeError: `on` is no `Deployment`, or a field has several values.
        InputError: As for `Deployment`.
    """
    given: dict[str, Any] = {name: value for name, value in options.items() if value is not None}
    for name in ("hardware", "precision", "engine", "execution", "price"):
        if isinstance(given.get(name), (list, tuple, set, frozenset)):
            raise InputTypeError(
                f"{name} is of type {type(given[name]).__name__}; expected one value. Several are for sweep(), which "
                "predicts all combinations, and for compare(), which shows models and machines side by side"
            )
    if on is None:
        return Deployment(**given)
    if not isinstance(on, Deployment):
        raise InputTypeError(f"on is of type {type(on).__name__}; expected a Deployment, or hardware= with the machine")
    return on.replace(**given) if given else on


def split_options(options: Mapping[str, object]) -> tuple[DeploymentOptions, dict[str, Any]]:
    """Return the fields of a deployment among the keywords of a call, and the other keywords: sizes by name."""
    fields = {name: options[name] for name in OPTIONS if name in options}
    return cast("DeploymentOptions", fields), {name: value for name, value in options.items() if name not in _FIELDS}
