"""Inference view of a module in training: a structural copy without the parts needed for training only."""

from __future__ import annotations

import functools
import types
import weakref
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from .fake_quantization import FakeQuantization
from .reparametrizations import Reparametrizations, is_parametrized_class, plain_parameter, without_parametrization
from .wrappers import HOOKS, UNIQUE_NAMES, Notes, Placed, Wrappers, compiled_from, drop_training_hooks, own_hooks

# Modules implemented in C++, which have no attributes to copy.
_OPAQUE = (torch.jit.ScriptModule,)

_DICTS = frozenset({dict, OrderedDict, defaultdict})
_ATOMS = frozenset({str, int, float, bool, type(None), torch.Tensor, nn.Parameter, torch.dtype, torch.device})

# Long containers, such as a vocabulary or a list of samples, hold no modules and are slow to traverse.
_LARGE = 4096


@dataclass(frozen=True)
class InferenceView:
    """A module in the form in which it will be served.

    Attributes:
        module: For capture only: its weights have the served shapes and dtypes, but not always the values, and some
            may be on meta.
        quantize: Module path -> format, as in `pyinfercost.whatif(graph, quantize=...)`; empty without
            quantization-aware training. `whatif` rejects a layer that the captured forward does not run.
        notes: Removed parts, and parts that could not be removed.
    """

    module: nn.Module
    quantize: Mapping[str, str]
    notes: tuple[str, ...]


def inference_view(module: nn.Module) -> InferenceView:
    """Return a module without the parts that are needed for training only.

    Removed are wrappers (`torch.compile` in all forms, data parallelism, FSDP 1 and 2, tensor parallelism, averaged
    models, activation checkpoints, norms over all devices, precision wrappers of accelerate and Fabric), pruning masks,
    weight norms, parametrizations, and fake quantization of torch.ao and torchao. Hooks of users stay.

    The module itself is not changed. If nothing has to be removed, the view contains the module itself; otherwise the
    modules that change, and those that refer to them, are replaced by structural copies that share its weights. No
    weight is copied or computed, except that a parametrization of unknown shape runs on meta tensors, or on the real
    ones if it needs values.

    Args:
        module: Any module in training, between two steps.

    Returns:
        The module to capture, the formats that conversion gives its layers, and notes.
    """
    notes = Notes()
    copy = StructuralCopy(module, notes)
    plain = copy.make()
    formats = {path: copy.format_of(part) for path, part in plain.named_modules()}
    quantize = {path: form for path, form in formats.items() if form is not None}
    return InferenceView(plain, types.MappingProxyType(quantize), notes.all())


def plain_name(name: str, module: nn.Module | None = None) -> str:
    """Return a parameter's name without wrappers: `layer.weight` for `module._orig_mod.layer.weight`.

    Args:
        name: A name from `named_parameters()` of the wrapped module.
        module: The wrapped module. Without it only a leading `module` counts as a wrapper, and names from pruning and
            weight norms (`weight_orig`, `weight_g`) stay.

    Returns:
        The name in the unwrapped module.
    """
    name = without_parametrization(name)
    parts = name.split(".")
    if module is None:
        parts = [part for part in parts if part not in UNIQUE_NAMES]
        while len(parts) > 1 and parts[0] == "module":
            parts = parts[1:]
        return ".".join(parts)
    wrappers, kept = Wrappers(Notes()), []
    at: nn.Module | None = module
    for part in parts[:-1]:
        if at is None or wrappers.inner_name(at) != part:
            kept.append(part)
        at = None if at is None else at._modules.get(part)
    return ".".join([*kept, parts[-1] if at is None else plain_parameter(at, parts[-1])])


class StructuralCopy:
    """Structural copies of the modules that change: same attributes and tensors, possibly another class.

    A module is copied if something has to be removed from it or from a module that it refers to. All others stay, so
    references to them need not be known.

    Args:
        root: The module to start from.
        notes: Receives the removed parts.
    """

    def __init__(self, root: nn.Module, notes: Notes) -> None:
        self._notes = notes
        self._wrappers = Wrappers(notes)
        self._reparametrized = Reparametrizations(notes)
        self._quantized = FakeQuantization(notes)
        self._root = root
        self._found: dict[int, nn.Module] = {}  # keeps the modules alive, so that their ids stay valid
        self._refers: dict[int, set[int]] = {}
        self._changed: set[int] = set()
        self._placed: Placed = {}
        self._copies: dict[int, nn.Module] = {}
        self._formats: dict[int, str] = {}
        self._discover()
        self._spread()

    def replacement(self, module: nn.Module) -> nn.Module:
        """Return the replacement of a module: its copy, the module that it wraps, or itself."""
        inner = self._innermost(module)
        return self._copies.get(id(inner), inner)

    def _innermost(self, module: nn.Module) -> nn.Module:
        while (inner := self._wrappers.inner(module)) is not None:
            module = inner
        return module

    def format_of(self, module: nn.Module) -> str | None:
        """Return the format that the original of a copy simulated."""
        return self._formats.get(id(module))

    def make(self) -> nn.Module:
        """Make the copies and return the replacement of the root."""
        originals = [module for module in self._found.values() if self._needs_copy(module)]
        originals = [module for module in originals if self._make_shell(module)]
        references = _References(self.replacement)
        whole: dict[int, torch.Tensor] = {}
        for module in originals:
            copy = self._copies[id(module)]
            vars(copy).update({name: references.copied(value) for name, value in vars(module).items()})
            for name, tensor in self._placed.get(id(module), {}).items():
                vars(copy).pop(name, None)  # a view of the flat parameter
                copy._parameters[name] = tensor  # type: ignore[assignment]  # it is a parameter
            self._wrappers.strip(module, copy, whole)
        for _ in range(references.compiled):
            self._notes.removed("torch.compile")
        for wrapper in list(self._found.values()):
            if self._wrappers.inner(wrapper) is not None:
                self._notes.removed(type(wrapper).__name__)
                inner = self._copies.get(id(self._innermost(wrapper)))
                if inner is not None and own_hooks(wrapper):
                    _move_hooks(wrapper, inner, references)
        for module in reversed(originals):  # referenced modules come first, except in cycles
            copy = self._copies[id(module)]
            self._reparametrized.strip(copy)
            if (form := self._quantized.strip(module, copy)) is not None:
                self._formats[id(copy)] = form
            if isinstance(copy, nn.RNNBase):  # its forward reads this list
                vars(copy)["_flat_weights"] = [getattr(copy, name, None) for name in copy._flat_weights_names]
        return self.replacement(self._root)

    def _discover(self) -> None:
        waiting = [self._root]
        while waiting:
            module = waiting.pop()
            if id(module) in self._found:
                continue
            self._found[id(module)] = module
            referred = self._look_at(module)
            self._refers[id(module)] = set(map(id, referred))
            waiting += reversed(referred)
        for wrapper in self._found.values():
            if self._wrappers.inner(wrapper) is not None and own_hooks(wrapper):
                self._changed.add(id(self._innermost(wrapper)))

    def _look_at(self, module: nn.Module) -> list[nn.Module]:
        """Record whether a module changes, and return the modules that it refers to."""
        for owner, name, tensor in self._wrappers.placed(module):
            self._placed.setdefault(id(owner), {})[name] = tensor
            self._changed.add(id(owner))
        if (inner := self._wrappers.inner(module)) is not None:
            self._changed.add(id(module))
            return [inner]
        if self._quantized.is_observer(module):
            self._changed.add(id(module))
            return []
        if isinstance(module, _OPAQUE):
            return []
        referred: list[nn.Module] = []

        def note(other: nn.Module) -> nn.Module:
            referred.append(other)
            return other

        references = _References(note)
        for value in vars(module).values():
            if not _is_bare(value):
                references.copied(value)
        if (
            references.compiled
            or self._wrappers.applies(module)
            or self._quantized.applies(module)
            or self._reparametrized.applies(module)
        ):
            self._changed.add(id(module))
        self._changed.update(id(part) for part in self._reparametrized.parts(module))
        return referred

    def _spread(self) -> None:
        """Mark the modules that refer to a changed module as changed."""
        referring: dict[int, list[int]] = {}
        for owner, referred in self._refers.items():
            for each in referred:
                referring.setdefault(each, []).append(owner)
        waiting = list(self._changed)
        while waiting:
            for owner in referring.get(waiting.pop(), ()):
                if owner not in self._changed:
                    self._changed.add(owner)
                    waiting.append(owner)

    def _needs_copy(self, module: nn.Module) -> bool:
        return id(module) in self._changed and self._wrappers.inner(module) is None

    def _make_shell(self, module: nn.Module) -> bool:
        """Make an empty copy; return False if there is nothing to fill."""
        if self._quantized.is_observer(module):
            identity = self._copies[id(module)] = nn.Identity()
            identity.training = module.training
            self._notes.removed("an observer or a fake quantizer")
            return False
        kind = self._plain_class(type(module))
        try:
            self._copies[id(module)] = object.__new__(kind)
        except TypeError as error:  # a class with a C layout
            self._notes.add(f"kept: a module of class {kind.__name__}, which cannot be copied: {error}")
            return False
        return True

    def _plain_class(self, kind: Any) -> Any:
        while True:
            plain = self._wrappers.plain_class(kind)
            plain = plain.__bases__[0] if is_parametrized_class(plain) else plain
            if plain is kind:
                return self._quantized.plain_class(kind)
            kind = plain


def _is_bare(value: Any) -> bool:
    """Return whether a value has no references; most attributes are numbers and empty dicts of hooks."""
    kind = type(value)
    return kind in _ATOMS or (kind in _DICTS and not value)


class _References:
    """Copy values and replace the modules that they refer to.

    Lists, sets and dicts are always copied, so that the copy and the original do not share values stored by a forward.
    Modules are searched in these and in tuples, as owners of bound methods, in `functools.partial`, in closures of
    functions and behind weak references: all places where wrappers and hooks keep them. Other objects are not copied.

    Args:
        replacement: Maps a module to its replacement.

    Attributes:
        compiled: Number of compiled functions that were replaced by their originals.
    """

    def __init__(self, replacement: Callable[[nn.Module], nn.Module]) -> None:
        self._replacement = replacement
        self._copies: dict[int, Any] = {}
        self.compiled = 0

    def copied(self, value: Any) -> Any:
        """Return a copy of a value, or the value itself if nothing in it changes."""
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
        if isinstance(function, types.MethodType):  # the compiled function is already bound
            return function
        replaced = self._replacement(owner)
        return method if replaced is owner and function is method.__func__ else types.MethodType(function, replaced)

    def _function(self, function: types.FunctionType) -> Any:
        self._copies[id(function)] = function  # a function may be in its own closure
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
        # Only modules: a container in a closure may be shared with other functions on purpose.
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


def _move_hooks(wrapper: nn.Module, copy: nn.Module, references: _References) -> None:
    """Register a wrapper's hooks on the copy of the wrapped module, outside the copy's own hooks."""
    for name in HOOKS:
        given, own = references.copied(vars(wrapper)[name]), vars(copy)[name]
        vars(copy)[name] = OrderedDict({**given, **own} if "pre" in name else {**own, **given})
    drop_training_hooks(copy)
