"""One model with the sizes that were asked for, the inputs of one call, and token ids."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch

from ..loaded_model import checked_sizes
from . import media

_LARGEST = 2**24  # token ids in one tensor that is given values
_FIRST_WORD = 3  # lower ids are padding, start and end of nearly all vocabularies


@dataclass
class Inputs:
    """The named inputs of one call, and which of their dimensions a capture may keep open."""

    kwargs: dict[str, Any] = field(default_factory=dict)
    dynamic: dict[int | str, dict[int, str]] = field(default_factory=dict)

    def add(self, name: str, tensor: Any, **dims: int) -> None:
        """One input; `batch=0` says that its first dimension is the size called batch."""
        self.kwargs[name] = tensor
        if dims:
            self.dynamic[name] = {dim: size for size, dim in dims.items()}


@dataclass
class Request:
    """One model and the sizes that were asked for; each size is looked up when an input needs it."""

    name: str
    model: Any
    config: Any
    phase: str
    asked: Mapping[str, int]
    used: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.parameters = inspect.signature(self.model.forward).parameters

    @property
    def spec(self) -> str:
        return f"hf:{self.name}" + (f"#{self.phase}" if self.phase else "")

    def size(self, name: str, default: int) -> int:
        """A size that was asked for, or its default; noted as one that this model has."""
        self.used.setdefault(name, default)
        return checked_sizes(self.spec, {n: v for n, v in self.asked.items() if n == name}, {name: default})[name]

    def check(self) -> None:
        """Refuses what was asked for and no input has."""
        checked_sizes(self.spec, self.asked, self.used)

    @property
    def batch(self) -> int:
        return self.size("batch", 1)


def token_ids(config: Any, batch: int, tokens: int) -> torch.Tensor:
    """Real token ids, since a forward may look for padding or for the end among them; of millions, the shape alone."""
    if batch * tokens > _LARGEST:
        return torch.empty((batch, tokens), dtype=torch.int64, device="meta")
    return torch.full((batch, tokens), word_id(config))


def word_id(config: Any) -> int:
    """A token id that stands for nothing but itself."""
    special: set[int] = set()
    for part in [*media.part_configs(config, ("",))]:
        for name, value in vars(part).items():
            if name.endswith(("_token_id", "_token_index", "_id")) and isinstance(value, int):
                special.add(value)
            elif name.endswith("_token_id") and isinstance(value, list):
                special |= set(value)
    return next(i for i in range(_FIRST_WORD, _FIRST_WORD + len(special) + 1) if i not in special)
