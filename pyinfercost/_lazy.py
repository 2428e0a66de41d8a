"""What is made when first used: exports of a package, libraries that an extra installs, properties."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from importlib import import_module
from sys import modules
from typing import TYPE_CHECKING, Any

from .errors import MissingLibraryError


def lazy_exports(
    spec: Any, *, needs: Mapping[str, str] | None = None
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Return `__getattr__` and `__dir__` of a module whose public names are listed in its stub.

    The stub has one line `from .module import name as name` for each name. Type checkers read these lines as imports;
    here they are read when a name is first looked up, and the name is imported then. `__all__` is the sorted names.

    Args:
        spec: `__spec__` of the module.
        needs: Library -> the extra that installs it; its absence is reported with that extra.
    """

    @functools.cache
    def exports() -> dict[str, str]:
        stub = spec.loader.get_data(f"{spec.origin.rpartition('.')[0]}.pyi").decode()  # also from a zip file
        return {name: module for _, module, _, name, *_ in map(str.split, stub.splitlines())}

    def get(name: str) -> Any:
        if name == "__all__":
            return sorted(exports())
        if name not in exports():
            raise AttributeError(f"module {spec.name!r} has no attribute {name!r}")
        module = exports()[name]
        try:
            if module == ".":
                return import_module(f".{name}", spec.parent)
            value = getattr(import_module(module, spec.parent), name)
        except ModuleNotFoundError as error:
            extra = (needs or {}).get(error.name or "")
            if extra is None:
                raise
            raise missing_library(f"{spec.name}.{name}", error, extra) from error
        vars(modules[spec.name])[name] = value
        return value

    def names() -> list[str]:
        return sorted({*vars(modules[spec.name]), *exports()})

    return get, names


def is_hidden(package: str) -> bool:
    """Return whether a file of a library's name was imported instead of the library, which is a folder."""
    found = modules.get(package)
    return found is not None and not hasattr(found, "__path__")


def missing_library(user: str, error: ImportError, extra: str) -> MissingLibraryError:
    """Return the error for a library that is not found, or is hidden by a file of its name.

    Args:
        user: What needs the library.
        error: The failed import.
        extra: The extra of this package that installs the library.
    """
    name = error.name or ""
    package = name.partition(".")[0]
    if is_hidden(package):
        hiding = modules[package].__file__
        told = f"{user} needs {package}, but {package} comes from {hiding}, which hides the library; rename it"
        return MissingLibraryError(told, name=name)
    return MissingLibraryError(
        f"{user} needs {name}, which is not installed; run pip install 'pyinfercost[{extra}]'", name=name
    )


def optional_library(name: str, user: str, extra: str) -> Any:
    """Import a library that an extra installs.

    Args:
        name: The module.
        user: The object that needs it, for the message.
        extra: The extra of this package that installs it.

    Raises:
        MissingLibraryError: It cannot be imported; the message names the extra.
    """
    try:
        return import_module(name)
    except ImportError as error:
        package = name.partition(".")[0]
        raise MissingLibraryError(
            f"{user} needs {package}, which cannot be imported ({error}); run pip install 'pyinfercost[{extra}]'",
            name=package,
        ) from error


if TYPE_CHECKING:
    cached_property = functools.cached_property  # type checkers know its properties
else:

    class cached_property(functools.cached_property):
        """`functools.cached_property` without its lock, as from Python 3.12 on.

        The lock is shared by all objects of a class: threads that compute properties of different objects would wait
        for each other, and a child that is forked meanwhile would wait forever. Here two threads may compute a property
        twice, with equal values.
        """

        def __init__(self, function):
            super().__init__(function)
            self.lock = nullcontext()
