"""A module in training as it would be served: what only training needs is taken off, for a capture."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from torch import nn

from .unwrap.libraries import Notes
from .unwrap.reparametrized import plain_parameter, without_parametrization
from .unwrap.structural_copy import Twins
from .unwrap.wrappers import UNIQUE_NAMES, Wrappers


@dataclass(frozen=True)
class Deployed:
    """A module as it would be served.

    Attributes:
        module: To be captured, and for nothing else: its weights have the shapes and dtypes that are served, but not
            always the values, and some may be on meta.
        quantize: Path of a module -> format, as `pyinfercost.whatif(graph, quantize=...)` takes them; empty where no
            layer is trained to be quantised. `whatif` refuses a layer that the captured forward does not run.
        notes: What was taken off and what could not be, in words.
    """

    module: nn.Module
    quantize: Mapping[str, str]
    notes: tuple[str, ...]


def deployed(module: nn.Module) -> Deployed:
    """Takes off a module what is there for its training alone.

    That is: wrappers (`torch.compile` in all forms, data parallelism, FSDP 1 and 2, tensor parallelism, averaged
    models, activation checkpoints, norms over all devices, accelerate's and Fabric's precision), masks of pruning,
    norms of weights and parametrizations, and fake quantisation of torch.ao and torchao. Hooks that users have
    registered stay, and so does all that is no business of training.

    The module is only looked at. Where nothing is to be taken off it is returned itself; otherwise what changes, and
    what refers to that, has twins that share its weights. No weight is copied and none is computed, except that a
    parametrization whose shape is not known runs on meta tensors, or on the real ones where it asks for values.

    Args:
        module: Any module, in whatever state of training, between two steps of it.

    Returns:
        The module to capture, the formats that conversion would give its layers, and notes.
    """
    notes = Notes()
    twins = Twins(module, notes)
    plain = twins.make()
    formats = {path: twins.format_of(part) for path, part in plain.named_modules()}
    quantize = {path: form for path, form in formats.items() if form is not None}
    return Deployed(plain, MappingProxyType(quantize), notes.all())


def plain_name(name: str, module: nn.Module | None = None) -> str:
    """The name of a parameter without wrappers: `layer.weight` for `module._orig_mod.layer.weight`.

    Args:
        name: As `named_parameters()` of the wrapped module has it.
        module: The wrapped module. Without it only a `module` at the beginning is taken for a wrapper's, and names that
            pruning and norms of weights have made (`weight_orig`, `weight_g`) stay.
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
