"""Structural twins of modules: of the right class, with attributes of their own and the tensors of the original."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from .fake_quantised import FakeQuantisation
from .libraries import Notes
from .references import References, is_bare
from .reparametrized import Reparametrizations, is_parametrized_class
from .wrappers import Placed, Wrappers, hand_on_hooks, own_hooks

# What is in C++ and has no attributes to copy.
_OPAQUE = (torch.jit.ScriptModule,)


class Twins:
    """The modules that are reached from one, and what takes their place.

    A module has a twin if something is to be taken off it, or off one that it refers to; all others stay the modules
    that they are, so that whatever refers to them need not be known.

    Args:
        root: The module to begin with.
        notes: Where to write what was taken off.
    """

    def __init__(self, root: nn.Module, notes: Notes) -> None:
        self._notes = notes
        self._wrappers = Wrappers(notes)
        self._reparametrized = Reparametrizations(notes)
        self._quantised = FakeQuantisation(notes)
        self._root = root
        self._found: dict[int, nn.Module] = {}  # holds them, so that an id stays that of its module
        self._refers: dict[int, set[int]] = {}
        self._changed: set[int] = set()
        self._placed: Placed = {}
        self._twins: dict[int, nn.Module] = {}
        self._formats: dict[int, str] = {}
        self._discover()
        self._spread()

    def stands_for(self, module: nn.Module) -> nn.Module:
        """What takes the place of a module: its twin, what it wraps, or itself."""
        inner = self._innermost(module)
        return self._twins.get(id(inner), inner)

    def _innermost(self, module: nn.Module) -> nn.Module:
        while (inner := self._wrappers.inner(module)) is not None:
            module = inner
        return module

    def format_of(self, module: nn.Module) -> str | None:
        """The format that fake quantisation of a twin's original was for."""
        return self._formats.get(id(module))

    def make(self) -> nn.Module:
        """Makes the twins, and returns what takes the root's place."""
        originals = [module for module in self._found.values() if self._needs_twin(module)]
        originals = [module for module in originals if self._make_shell(module)]
        references = References(self.stands_for)
        whole: dict[int, torch.Tensor] = {}
        for module in originals:
            twin = self._twins[id(module)]
            vars(twin).update({name: references.copied(value) for name, value in vars(module).items()})
            for name, tensor in self._placed.get(id(module), {}).items():
                vars(twin).pop(name, None)  # a view of the flat parameter
                twin._parameters[name] = tensor  # type: ignore[assignment]  # it is a parameter
            self._wrappers.take_off(module, twin, whole)
        for _ in range(references.compiled):
            self._notes.taken_off("torch.compile")
        for wrapper in list(self._found.values()):
            if self._wrappers.inner(wrapper) is not None:
                self._notes.taken_off(type(wrapper).__name__)
                inner = self._twins.get(id(self._innermost(wrapper)))
                if inner is not None and own_hooks(wrapper):
                    hand_on_hooks(wrapper, inner, references)
        for module in reversed(originals):  # what a module refers to before itself, as far as there are no cycles
            twin = self._twins[id(module)]
            self._reparametrized.take_off(twin)
            if (form := self._quantised.take_off(module, twin)) is not None:
                self._formats[id(twin)] = form
            if isinstance(twin, nn.RNNBase):  # it runs on a list of its own
                vars(twin)["_flat_weights"] = [getattr(twin, name, None) for name in twin._flat_weights_names]
        return self.stands_for(self._root)

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
        """Notes whether something is to be taken off a module; returns those that it refers to."""
        for owner, name, tensor in self._wrappers.placed(module):
            self._placed.setdefault(id(owner), {})[name] = tensor
            self._changed.add(id(owner))
        if (inner := self._wrappers.inner(module)) is not None:
            self._changed.add(id(module))
            return [inner]
        if self._quantised.is_observer(module):
            self._changed.add(id(module))
            return []
        if isinstance(module, _OPAQUE):
            return []
        referred: list[nn.Module] = []

        def note(other: nn.Module) -> nn.Module:
            referred.append(other)
            return other

        references = References(note)
        for value in vars(module).values():
            if not is_bare(value):
                references.copied(value)
        if (
            references.compiled
            or self._wrappers.applies(module)
            or self._quantised.applies(module)
            or self._reparametrized.applies(module)
        ):
            self._changed.add(id(module))
        self._changed.update(id(part) for part in self._reparametrized.parts(module))
        return referred

    def _spread(self) -> None:
        """What refers to something that changes, changes."""
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

    def _needs_twin(self, module: nn.Module) -> bool:
        return id(module) in self._changed and self._wrappers.inner(module) is None

    def _make_shell(self, module: nn.Module) -> bool:
        """An empty twin; False where there is nothing to fill."""
        if self._quantised.is_observer(module):
            identity = self._twins[id(module)] = nn.Identity()
            identity.training = module.training
            self._notes.taken_off("an observer or a fake quantiser")
            return False
        kind = self._plain_class(type(module))
        try:
            self._twins[id(module)] = object.__new__(kind)
        except TypeError as error:  # a class that is laid out in C
            self._notes.add(f"left as it is: a module of class {kind.__name__}, which has no twin: {error}")
            return False
        return True

    def _plain_class(self, kind: Any) -> Any:
        while True:
            plain = self._wrappers.plain_class(kind)
            plain = plain.__bases__[0] if is_parametrized_class(plain) else plain
            if plain is kind:
                return self._quantised.plain_class(kind)
            kind = plain
