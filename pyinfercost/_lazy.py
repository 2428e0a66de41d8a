"""What is made when first used: exports of a package, libraries that an extra installs, properties."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping
from contextlib import nullcontext
from importlib import import_module
from sys import modules
from typing import TYPE_CHECKING, Any

from .errors import MissingLibraryError


def lazy_exports(
    package: str, table: Mapping[str, Iterable[str]], *eager: str, needs: Mapping[str, str] | None = None
) -> tuple[Callable[[str], Any], Callable[[], list[str]], list[str]]:
    """Return `__getattr__`, `__dir__` and `__all__` of a package from one table of its exports.

    Type checkers cannot read the table: the package repeats its rows as imports under `TYPE_CHECKING`, and a test
    compares the two.

    Args:
        package: `__name__` of the package.
        table: Module relative to the package -> the names that it defines. A module without names is exported itself.
        *eager: Names that the package imports at once.
        needs: Library -> the extra that installs it; its absence is reported with that extra.
    """
    found = {name: module for module, names in table.items() for name in names or (module.lstrip("."),)}
    exported = sorted({*found, *eager})

    def get(name: str) -> Any:
        if name not in found:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        try:
            module = import_module(found[name], package)
        except ModuleNotFoundError as error:
            extra = (needs or {}).get(error.name or "")
            if extra is None:
                raise
            raise missing_library(f"{package}.{name}", error, extra) from error
        value = getattr(module, name) if table[found[name]] else module
        vars(modules[package])[name] = value
        return value

    def names() -> list[str]:
        return sorted({*vars(modules[package]), *exported})

    return get, names, exported


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
