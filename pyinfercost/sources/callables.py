"""Models from a user's callable: `package.module:callable`."""

from __future__ import annotations

import difflib
import importlib
import inspect
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .loaded_model import LoadedModel, SpecError, UnknownModelError, checked_sizes, images
from .registry import SCHEMES

_DEFAULT_SIDE = 224


def load_callable(spec: str, sizes: Mapping[str, int]) -> LoadedModel:
    """Call a user's function that returns a module, (module, args) or (module, args, kwargs).

    Args:
        spec: `package.module:callable`; the module is imported with the current folder on the path.
        sizes: Arguments of the callable. A module without inputs is treated as an image model with the sizes `batch`
            and `image_size`.

    Returns:
        The module in evaluation mode, and its inputs.

    Raises:
        SpecError: The callable does not exist, does not accept the sizes, or returns something else.
    """
    module_name, _, attribute = spec.partition(":")
    make = _imported(spec, module_name, attribute)
    try:
        accepted = inspect.signature(make).parameters
    except ValueError as error:  # a builtin
        raise SpecError(f"{spec}: {error}; expected a function with a signature") from error
    open_ended = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in accepted.values())
    given = {name: value for name, value in sizes.items() if open_ended or name in accepted}
    try:
        inspect.signature(make).bind(**given)
    except TypeError as error:
        raise SpecError(f"{spec} cannot be called with the sizes {given}: {error}") from error
    made = make(**given)
    left = [name for name in sizes if not open_ended and name not in accepted]
    if isinstance(made, tuple) and made and hasattr(made[0], "named_parameters"):
        if left:
            raise SpecError(
                f"{spec} takes no size {left[0]!r}; expected {' or '.join(accepted) or 'none'}, the names of its "
                "arguments"
            )
        args, kwargs = made[1] if len(made) > 1 else (), made[2] if len(made) > 2 else {}  # noqa: PLR2004
        if not isinstance(args, tuple) or not isinstance(kwargs, Mapping):
            raise SpecError(
                f"{spec} returned inputs as {type(args).__name__} and {type(kwargs).__name__}; "
                "expected (module, tuple of args, dict of kwargs)"
            )
        return LoadedModel(made[0].eval(), args, dict(kwargs), {})
    if not hasattr(made, "named_parameters"):
        raise SpecError(
            f"{spec} returned a {type(made).__name__}; expected an nn.Module, (module, args) or (module, args, kwargs)"
        )
    needed = [
        p
        for p in inspect.signature(made.forward).parameters.values()
        if p.default is p.empty and p.kind <= p.POSITIONAL_OR_KEYWORD
    ]
    if len(needed) != 1:
        raise SpecError(
            f"{spec} returned a module whose forward takes {len(needed)} inputs; "
            "expected (module, args) with the inputs to use"
        )
    # The input of a module alone is unknown: assume an image model.
    remaining = {name: sizes[name] for name in left}
    known = checked_sizes(spec, remaining, {"batch": 1, "image_size": _DEFAULT_SIDE})
    return LoadedModel(
        made.eval(), (images(known["batch"], 3, known["image_size"], known["image_size"]),), {}, {0: {0: "batch"}}
    )


def _imported(spec: str, module_name: str, attribute: str) -> Any:
    # Console scripts do not have the current folder on their path, which may hold a user's module.
    here = str(Path.cwd())
    added = here not in sys.path
    if added:
        sys.path.insert(0, here)
    try:
        found: Any = importlib.import_module(module_name)
        for part in attribute.split("."):
            found = getattr(found, part)
    except ModuleNotFoundError as error:
        if error.name and not (module_name + ".").startswith(error.name + "."):
            raise  # the module exists, but one of its imports does not
        near = difflib.get_close_matches(module_name.lower(), SCHEMES, n=1)
        meant = f"did you mean {near[0]}:{attribute}?" if near else "expected the name of an importable module"
        raise UnknownModelError(f"{spec}: there is no module {module_name!r}; {meant}") from error
    except AttributeError as error:
        raise UnknownModelError(f"{spec}: {error}; expected package.module:callable") from error
    finally:
        if added and here in sys.path:
            sys.path.remove(here)
    if not callable(found):
        raise SpecError(f"{spec} is a {type(found).__name__}; expected a callable that returns a module")
    return found
