"""Copies of attribute values in which references to modules are replaced."""

from __future__ import annotations

import functools
import types
import weakref
from collections import OrderedDict, defaultdict
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

_DICTS = frozenset({dict, OrderedDict, defaultdict})
_ATOMS = frozenset({str, int, float, bool, type(None), torch.Tensor, nn.Parameter, torch.dtype, torch.device})

# A vocabulary or a list of samples holds no modules and is slow to traverse.
_LARGE = 4096

_COMPILED_FROM = "_torchdynamo_orig_callable"


def compiled_from(function: Any) -> Any:
    """Return the function that `torch.compile` wrapped; None for one that is not compiled."""
    if not isinstance(function, types.FunctionType) or "_torchdynamo_disable" in vars(function):
        return None
    return vars(function).get(_COMPILED_FROM)


def is_bare(value: Any) -> bool:
    """Return whether a value refers to nothing: most attributes are numbers and empty dictionaries of hooks."""
    kind = type(value)
    return kind in _ATOMS or (kind in _DICTS and not value)


class References:
    """Copy values and replace the modules that they refer to.

    Lists, sets and dictionaries are always copied, so that what a forward stores in one stays out of the other. Modules
    are searched in these and in tuples, as the owner of bound methods, in `functools.partial`, in closures of functions
    and behind weak references: all places where wrappers and hooks keep them. Other objects are not copied.

    Args:
        replacement: From a module to its replacement.

    Attributes:
        compiled: How many compiled functions were met; their originals replace them.
    """

    def __init__(self, replacement: Callable[[nn.Module], nn.Module]) -> None:
        self._replacement = replacement
        self._copies: dict[int, Any] = {}
        self.compiled = 0

    def copied(self, value: Any) -> Any:
        """Return a copy of a value, or the value itself where nothing in it changes."""
        kind = type(value)
        if kind in _ATOMS:
            return value
        if isinstance(value, nn.Module):
            return self._replacement(value)
        if kind is types.MethodType:
            return self._method(value)
        if id(value) in self._copies:
            return self._copies[id(value)]
        if kind in _DICTS or kind in (list, set, tuple):
            return value if len(value) > _LARGE else self._container(value)
        if isinstance(value, tuple) and hasattr(value, "_fields"):
            return self._unless_same(value, [self.copied(each) for each in value], lambda new: kind(*new))
        if kind is types.FunctionType:
            return self._function(value)
        if kind is functools.partial:
            return self._partial(value)
        if kind is weakref.ReferenceType and isinstance(value(), nn.Module):
            return weakref.ref(self._replacement(value()))
        return value

    def _container(self, value: Any) -> Any:
        if not value:
            return self._copies.setdefault(id(value), value.copy() if hasattr(value, "copy") else value)
        if type(value) is tuple:
            return self._unless_same(value, [self.copied(each) for each in value], tuple)
        new = self._copies[id(value)] = value.copy()
        new.clear()
        if isinstance(value, dict):
            for key, each in value.items():
                new[self.copied(key)] = self.copied(each)
        elif isinstance(value, list):
            new.extend(self.copied(each) for each in value)
        else:
            new.update(self.copied(each) for each in value)
        return new

    @staticmethod
    def _unless_same(old: Any, new: list[Any], make: Callable[[list[Any]], Any]) -> Any:
        return old if all(a is b for a, b in zip(old, new, strict=True)) else make(new)

    def _method(self, method: types.MethodType) -> Any:
        owner = method.__self__
        if not isinstance(owner, nn.Module):
            return method
        function = self.copied(method.__func__)
        if isinstance(function, types.MethodType):  # the compiled function was bound already
            return function
        replaced = self._replacement(owner)
        return method if replaced is owner and function is method.__func__ else types.MethodType(function, replaced)

    def _function(self, function: types.FunctionType) -> Any:
        self._copies[id(function)] = function  # it may be in its own closure
        original = compiled_from(function)
        if original is not None:
            self.compiled += 1
            new = self.copied(original)
        else:
            new = self._with_closure(function)
        self._copies[id(function)] = new
        return new

    def _with_closure(self, function: types.FunctionType) -> types.FunctionType:
        cells = function.__closure__ or ()
        try:
            inside = [cell.cell_contents for cell in cells]
        except ValueError:  # an empty cell
            return function
        # Only modules: a closure may hold a container that the function shares with others on purpose.
        found = [self.copied(each) if isinstance(each, nn.Module | types.MethodType) else each for each in inside]
        if all(a is b for a, b in zip(inside, found, strict=True)):
            return function
        new = types.FunctionType(
            function.__code__,
            function.__globals__,
            function.__name__,
            function.__defaults__,
            tuple(types.CellType(each) for each in found),
        )
        new.__kwdefaults__ = function.__kwdefaults__
        new.__dict__.update(function.__dict__)
        return new

    def _partial(self, value: functools.partial[Any]) -> Any:
        given = [value.func, *value.args, *value.keywords.values()]
        new = [self.copied(each) for each in given]
        if all(a is b for a, b in zip(given, new, strict=True)):
            return value
        args = new[1 : 1 + len(value.args)]
        keywords = dict(zip(value.keywords, new[1 + len(value.args) :], strict=True))
        made = functools.partial(new[0], *args, **keywords)
        made.__dict__.update(value.__dict__)
        return made
