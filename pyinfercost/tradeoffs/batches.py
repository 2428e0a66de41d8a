"""Batches of training data: tensors in a seeded order, or the caller's own batches, with their shapes."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from math import ceil
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.utils.data import Dataset

from ..errors import InputTypeError
from . import DistillationError
from .training_run import Shape

LABELS = "labels"
IGNORED = -100
"""Label of positions without one, as in torch's cross entropy."""

_ADDENDS = 1_000_003  # a prime: seeds of epochs differ between seeds
_MOST_SEED = 2**63


class Batch(NamedTuple):
    """Inputs of one forward, and its labels.

    Attributes:
        args: Positional inputs.
        kwargs: Keyword inputs.
        labels: Labels; None without.
    """

    args: tuple[torch.Tensor, ...]
    kwargs: Mapping[str, torch.Tensor]
    labels: torch.Tensor | None

    def to(self, device: str) -> Batch:
        """Return the batch on a device."""
        return Batch(
            tuple(each.to(device) for each in self.args),
            {name: each.to(device) for name, each in self.kwargs.items()},
            None if self.labels is None else self.labels.to(device),
        )

    @property
    def items(self) -> int:
        """Rows of the first input."""
        first = self.args[0] if self.args else next(iter(self.kwargs.values()))
        return int(first.shape[0]) if first.dim() else 1

    @property
    def shape(self) -> Shape:
        """The shapes of all tensors."""
        tensors = {**{str(place): each for place, each in enumerate(self.args)}, **self.kwargs}
        if self.labels is not None:
            tensors[LABELS] = self.labels
        return tuple(
            (name, str(each.dtype).removeprefix("torch."), tuple(each.shape)) for name, each in tensors.items()
        )


def batch_of_shape(shape: Shape, device: str = "meta") -> Batch:
    """Return a batch of tensors without values."""
    made = {name: torch.empty(size, dtype=getattr(torch, dtype), device=device) for name, dtype, size in shape}
    labels = made.pop(LABELS, None)
    return Batch(
        tuple(each for name, each in made.items() if name.isdigit()),
        {name: each for name, each in made.items() if not name.isdigit()},
        labels,
    )


def first_tensor(values: Any) -> torch.Tensor | None:
    """Return the first floating-point tensor; of a result with names or of a tuple too."""
    if isinstance(values, torch.Tensor):
        return values if values.is_floating_point() else None
    if isinstance(values, Mapping):
        values = tuple(values.values())
    if isinstance(values, tuple | list):
        return next((each for each in values if isinstance(each, torch.Tensor) and each.is_floating_point()), None)
    return None


def constants_of(module: nn.Module | None) -> dict[str, Any]:
    """Return keyword inputs that a training gives to a model: no KV cache, for models of transformers."""
    if module is None or not hasattr(getattr(module, "config", None), "use_cache"):
        return {}
    return {"use_cache": False}


@dataclass(frozen=True)
class Batches:
    """Training data that can be read once per epoch.

    Attributes:
        data: A tensor, a tuple of tensors of equal length (inputs, then labels), a mapping of such tensors (`"labels"`
            are the labels), or an iterable of such batches, such as a `DataLoader`.
        batch_size: Rows of a batch of tensors.
        name: Name of the data, for messages.
    """

    data: Any
    batch_size: int
    name: str = "data"

    def __post_init__(self) -> None:
        if self._is_whole:
            lengths = {int(each.shape[0]) if each.dim() else 0 for each in self._tensors()}
            if len(lengths) != 1 or 0 in lengths:
                raise DistillationError(
                    f"{self.name} has tensors of {', '.join(map(str, sorted(lengths)))} rows; expected as many rows in "
                    "each, at least one"
                )
            return
        if isinstance(self.data, Dataset) and not hasattr(self.data, "batch_size"):
            raise InputTypeError(
                f"{self.name} is a {type(self.data).__name__} of single examples; pass DataLoader({self.name}, "
                "batch_size=...)"
            )
        if isinstance(self.data, str | bytes) or not isinstance(self.data, Iterable):
            raise InputTypeError(
                f"{self.name} is of type {type(self.data).__name__}; expected a tuple of tensors (inputs, labels), a "
                "mapping of tensors, or an iterable of batches such as a DataLoader"
            )
        if iter(self.data) is self.data:
            raise InputTypeError(
                f"{self.name} is of type {type(self.data).__name__}, which can be read once; each epoch reads it, so "
                "pass a list or a DataLoader"
            )

    @property
    def count(self) -> int | None:
        """Number of batches of an epoch; None if it is unknown."""
        if self._is_whole:
            return ceil(len(self._tensors()[0]) / self.batch_size)
        try:
            return len(self.data)
        except TypeError:
            return None

    def epoch(self, seed: int, epoch: int) -> Iterator[Batch]:
        """Yield the batches of an epoch; tensors in an order that the seed and the epoch determine.

        Batches of an iterable come in its own order. Torch's default generator is seeded before, from which a
        `DataLoader` draws its order.

        Args:
            seed: Seed of the training.
            epoch: Number of the epoch.
        """
        seeded = (seed * _ADDENDS + epoch) % _MOST_SEED
        if not self._is_whole:
            torch.manual_seed(seeded)
            yield from self._own()
            return
        order = torch.randperm(len(self._tensors()[0]), generator=torch.Generator().manual_seed(seeded))
        for rows in torch.split(order, self.batch_size):
            yield self._rows(rows)

    def in_order(self) -> Iterator[Batch]:
        """Yield all batches, tensors in their order."""
        if not self._is_whole:
            yield from self._own()
            return
        rows_in_order = torch.arange(len(self._tensors()[0]))
        for rows in torch.split(rows_in_order, self.batch_size):
            yield self._rows(rows)

    def first(self) -> Batch:
        """Return the first batch.

        Raises:
            DistillationError: There is none.
        """
        with torch.random.fork_rng(devices=[]):
            for batch in self.in_order():
                return batch
        raise DistillationError(f"{self.name} has no batch; expected at least one")

    def digest(self) -> str:
        """Return a text that differs for other data: a hash of tensors, else the type and the number of batches."""
        if not self._is_whole:
            return f"{type(self.data).__qualname__} of {self.count} batches"
        found = hashlib.blake2b(digest_size=8)
        for each in self._tensors():
            found.update(f"{each.dtype}{tuple(each.shape)}".encode())
            found.update(each.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
        return f"{len(self._tensors()[0])} rows {found.hexdigest()}"

    @property
    def _is_whole(self) -> bool:
        if isinstance(self.data, torch.Tensor):
            return True
        values = self.data.values() if isinstance(self.data, Mapping) else self.data
        is_set = isinstance(self.data, tuple | Mapping) and len(self.data) > 0
        return is_set and all(isinstance(each, torch.Tensor) for each in values)

    def _tensors(self) -> list[torch.Tensor]:
        if isinstance(self.data, torch.Tensor):
            return [self.data]
        return list(self.data.values() if isinstance(self.data, Mapping) else self.data)

    def _rows(self, rows: torch.Tensor) -> Batch:
        if isinstance(self.data, torch.Tensor):
            return self._parsed(self.data[rows])
        if isinstance(self.data, Mapping):
            return self._parsed({name: each[rows] for name, each in self.data.items()})
        return self._parsed(tuple(each[rows] for each in self.data))

    def _own(self) -> Iterator[Batch]:
        for given in self.data:
            yield self._parsed(given)

    def _parsed(self, given: Any) -> Batch:
        if isinstance(given, torch.Tensor):
            return Batch((given,), {}, None)
        if isinstance(given, Mapping):
            named = {str(name): each for name, each in given.items()}
            self._check(named.values())
            labels = named.pop(LABELS, None)
            if not named:
                raise DistillationError(f"a batch of {self.name} has no inputs; expected a mapping of names to tensors")
            return Batch((), named, labels)
        if not isinstance(given, tuple | list) or not given:
            raise InputTypeError(
                f"a batch of {self.name} is of type {type(given).__name__}; expected a tensor, a tuple (inputs, "
                "labels) or a mapping of tensors"
            )
        self._check(given)
        return Batch((given[0],), {}, None) if len(given) == 1 else Batch(tuple(given[:-1]), {}, given[-1])

    def _check(self, values: Iterable[Any]) -> None:
        for each in values:
            if not isinstance(each, torch.Tensor):
                raise InputTypeError(
                    f"a batch of {self.name} has a value of type {type(each).__name__}; expected tensors alone"
                )
