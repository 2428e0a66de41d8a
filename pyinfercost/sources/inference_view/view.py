"""Inference view of a module in training: a structural copy without what only training needs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import torch
from torch import nn

from .fake_quantization import FakeQuantization
from .references import References, is_bare
from .reparametrizations import Reparametrizations, is_parametrized_class, plain_parameter, without_parametrization
from .wrappers import UNIQUE_NAMES, Notes, Placed, Wrappers, move_hooks, own_hooks

# Modules implemented in C++, which have no attributes to copy.
_OPAQUE = (torch.jit.ScriptModule,)


@dataclass(frozen=True)
class InferenceView:
    """A module as it will be served.

    Attributes:
        module: For capture only: its weights have the served shapes and dtypes, but not always the values, and some
            may be on meta.
        quantize: Path of a module -> format, as `pyinfercost.whatif(graph, quantize=...)` takes it; empty without
            quantization-aware training. `whatif` refuses a layer that the captured forward does not run.
        notes: What was removed and what could not be.
    """

    module: nn.Module
    quantize: Mapping[str, str]
    notes: tuple[str, ...]


def inference_view(module: nn.Module) -> InferenceView:
    """Return a module without the parts that only its training needs.

    These are wrappers (`torch.compile` in all forms, data parallelism, FSDP 1 and 2, tensor parallelism, averaged
    models, activation checkpoints, norms over all devices, precision wrappers of accelerate and Fabric), pruning masks,
    norms of weights, parametrizations, and fake quantization of torch.ao and torchao. Hooks of users stay.

    The module itself is not changed. If nothing has to be removed, the view holds the module itself; otherwise the
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
    return InferenceView(plain, MappingProxyType(quantize), notes.all())


def plain_name(name: str, module: nn.Module | None = None) -> str:
    """Return a parameter's name without wrappers: `layer.weight` for `module._orig_mod.layer.weight`.

    Args:
        name: A name from `named_parameters()` of the wrapped module.
        module: The wrapped module. Without it only a leading `module` counts as a wrapper, and names from pruning and
            norms of weights (`weight_orig`, `weight_g`) stay.
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
    """Copies of the modules that change, of the right class, with own attributes and the tensors of the original.

    A module is copied if something has to be removed from it or from a module that it refers to. All others stay, so
    references to them need not be known.

    Args:
        root: The module to start from.
        notes: Receives what was removed.
    """

    def __init__(self, root: nn.Module, notes: Notes) -> None:
        self._notes = notes
        self._wrappers = Wrappers(notes)
        self._reparametrized = Reparametrizations(notes)
        self._quantized = FakeQuantization(notes)
        self._root = root
        self._found: dict[int, nn.Module] = {}  # holds the modules, so that their ids stay valid
        self._refers: dict[int, set[int]] = {}
        self._changed: set[int] = set()
        self._placed: Placed = {}
        self._copies: dict[int, nn.Module] = {}
        self._formats: dict[int, str] = {}
        self._discover()
        self._spread()

    def replacement(self, module: nn.Module) -> nn.Module:
        """Return what replaces a module: its copy, the module that it wraps, or itself."""
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
        references = References(self.replacement)
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
                    move_hooks(wrapper, inner, references)
        for module in reversed(originals):  # modules that others refer to come first, as far as there are no cycles
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

        references = References(note)
        for value in vars(module).values():
            if not is_bare(value):
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
