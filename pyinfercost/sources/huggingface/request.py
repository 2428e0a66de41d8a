"""A model with the given sizes, the inputs of one call, and token ids."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch

from ..loaded_model import checked_sizes
from . import media

_LARGEST = 2**24  # maximum number of token ids with values in a tensor
_FIRST_WORD = 3  # lower ids are padding, start and end in nearly all vocabularies


@dataclass
class Inputs:
    """Named inputs of one call, and their dimensions that a capture may keep symbolic."""

    kwargs: dict[str, Any] = field(default_factory=dict)
    dynamic: dict[int | str, dict[int, str]] = field(default_factory=dict)

    def add(self, name: str, tensor: Any, **dims: int) -> None:
        """Add one input; `batch=0` names its first dimension `batch`."""
        self.kwargs[name] = tensor
        if dims:
            self.dynamic[name] = {dim: size for size, dim in dims.items()}


@dataclass
class Request:
    """A model and the given sizes; sizes are looked up when an input needs them.

    Attributes:
        beside_text: Whether the inputs include other media than text: images, audio, video.
    """

    name: str
    model: Any
    config: Any
    phase: str
    asked: Mapping[str, int]
    scheme: str = "hf:"
    beside_text: bool = True
    used: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.parameters = inspect.signature(self.model.forward).parameters

    @property
    def spec(self) -> str:
        return self.label + (f"#{self.phase}" if self.phase else "")

    @property
    def label(self) -> str:
        """The spec without its phase."""
        return f"{self.scheme}{self.name}"

    def size(self, name: str, default: int) -> int:
        """Return a given size or its default, and record that the model has it."""
        self.used.setdefault(name, default)
        return checked_sizes(self.spec, {n: v for n, v in self.asked.items() if n == name}, {name: default})[name]

    def check(self) -> None:
        """Reject given sizes that no input has."""
        checked_sizes(self.spec, self.asked, self.used)

    def sizes(self) -> dict[str, int]:
        """Return the values of all sizes that the inputs have."""
        return {name: self.asked.get(name, default) for name, default in self.used.items()}

    @property
    def batch(self) -> int:
        return self.size("batch", 1)


def token_ids(config: Any, batch: int, tokens: int) -> torch.Tensor:
    """Return real token ids, since a forward may search them for padding or the end; only shapes for millions."""
    if batch * tokens > _LARGEST:
        return torch.empty((batch, tokens), dtype=torch.int64, device="meta")
    return torch.full((batch, tokens), word_id(config))


def word_id(config: Any) -> int:
    """Return a token id without a special meaning."""
    special: set[int] = set()
    for part in [*media.part_configs(config, ("",))]:
        for name, value in vars(part).items():
            if name.endswith(("_token_id", "_token_index", "_id")) and isinstance(value, int):
                special.add(value)
            elif name.endswith("_token_id") and isinstance(value, list):
                special |= set(value)
    return next(i for i in range(_FIRST_WORD, _FIRST_WORD + len(special) + 1) if i not in special)
