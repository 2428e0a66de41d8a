"""Functions that take the fields of a deployment as keywords."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar, cast

from ..errors import InputTypeError
from ..inputs.keywords import shows_settings
from .deployment import Deployment
from .fields import OPTIONS
from .options import SIZES

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from .options import DeploymentOptions

_Function = TypeVar("_Function", bound="Callable[..., Any]")
_FIELDS = frozenset(OPTIONS)


def shows(options: Any) -> Callable[[_Function], _Function]:
    """Return a decorator of functions that take the fields of a deployment as keywords: their help shows each of them.

    Args:
        options: Type of the options, a `TypedDict`.
    """
    return shows_settings(options, Deployment, sizes=SIZES)


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
