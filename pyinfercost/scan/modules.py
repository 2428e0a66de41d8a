"""Scans of the weights of modules and programs, as the forward uses them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, NamedTuple

import torch

from ..results.sparsity import Skipped, Sparsity, WeightSparsity
from ..sources.tensors.packed_weights import PackedWeights, contents_of
from ..sources.torch_state import in_mode
from . import SparsityError
from .arrays import with_bytes
from .summary import sparsity_of
from .tensors import scan_tensor

# Names of stored parts in torch.nn.utils.prune and torch.nn.utils.parametrize.
_KEPT, _MASK = "_orig", "_mask"
_ORIGINALS = "parametrizations"


class Weight(NamedTuple):
    """A weight of a module: its name, value, origin of its zeros, and stored tensors."""

    name: str
    value: torch.Tensor
    form: str
    kept: tuple[torch.Tensor, ...]


def scan_module(module: torch.nn.Module, threads: int, *, model: str = "", magnitudes: bool = True) -> Sparsity:
    """Scan the parameters of a module, with masks and parametrizations applied and packed weights decoded.

    Args:
        module: The module.
        threads: Number of threads.
        model: Name of the model in the result.
        magnitudes: Whether to sample magnitudes.

    Returns:
        The scan.

    Raises:
        SparsityError: The module has no parameters, or none of them has values.
    """
    with torch.no_grad():
        return _scan(weights_of(module), threads, model or type(module).__name__, magnitudes=magnitudes)


def scan_program(program: Any, threads: int) -> Sparsity:
    """Scan the parameters of a `torch.export` program.

    Args:
        program: The program.
        threads: Number of threads.

    Returns:
        The scan.

    Raises:
        SparsityError: The program has no parameters, or none of them has values.
    """
    held = [(name, program.state_dict[name]) for name in program.graph_signature.parameters]
    with torch.no_grad():
        items = (Weight(name, tensor, "", (tensor,)) for name, tensor in held)
        return _scan(items, threads, type(program).__name__)


def scan_lone_tensor(tensor: torch.Tensor, threads: int) -> Sparsity:
    """Scan one tensor.

    Args:
        tensor: The tensor.
        threads: Number of threads.

    Returns:
        The scan, with one row.

    Raises:
        SparsityError: The tensor has no values, or its elements are not numbers.
    """
    with torch.no_grad():
        try:
            return sparsity_of("tensor", (_row("", tensor, "", (), threads),))
        except SparsityError as error:
            raise SparsityError(f"this tensor cannot be scanned: {error}") from error


def _scan(items: Iterator[Weight], threads: int, model: str, *, magnitudes: bool = True) -> Sparsity:
    rows: dict[Any, WeightSparsity] = {}
    skipped = []
    for item in items:
        key = _memory_of(item.kept)
        if key in rows:
            known = rows[key]
            rows[key] = replace(known, aliases=(*known.aliases, item.name))
            continue
        try:
            rows[key] = _row(item.name, item.value, item.form, item.kept, threads, magnitudes=magnitudes)
        except SparsityError as error:
            skipped.append(Skipped(name=item.name, reason=str(error)))
    if not rows:
        reason = f"{skipped[0].name}: {skipped[0].reason}" if skipped else "it has no parameters"
        raise SparsityError(f"{model} has no weights to scan: {reason}")
    return sparsity_of(model, rows.values(), skipped)


def _row(
    name: str,
    value: torch.Tensor,
    form: str,
    kept: tuple[torch.Tensor, ...],
    threads: int,
    *,
    magnitudes: bool = True,
) -> WeightSparsity:
    found = scan_tensor(value, threads, magnitudes=magnitudes)
    figures = found.figures
    if form:
        figures = with_bytes(figures, sum(part.nbytes for part in kept))
    return WeightSparsity(
        name=name,
        form=form or found.form,
        dtype=found.dtype,
        shape=tuple(value.shape),
        figures=figures,
        magnitudes=found.magnitudes,
        note=found.note,
    )


def _memory_of(kept: tuple[torch.Tensor, ...]) -> Any:
    """Return a key that is equal for weights that share memory."""

    def key(tensor: torch.Tensor) -> Any:
        if type(tensor) not in {torch.Tensor, torch.nn.Parameter} or tensor.layout is not torch.strided:
            return id(tensor)
        if tensor.is_meta or tensor.numel() == 0 or tensor.is_quantized:
            return id(tensor)
        return tensor.data_ptr(), tensor.dtype, tuple(tensor.shape), tensor.stride()

    return tuple(map(key, kept))


def weights_of(module: torch.nn.Module) -> Iterator[Weight]:
    """Yield the weights of a module as its forward uses them; parametrized weights are computed one at a time."""
    for path, part in module.named_modules(remove_duplicate=False):
        prefix = f"{path}." if path else ""
        if path.rpartition(".")[2] == _ORIGINALS or f".{_ORIGINALS}." in f".{path}":
            continue  # handled with the module whose weights it computes
        for name, value in part._parameters.items():
            if value is None:
                continue
            plain = name.removesuffix(_KEPT)
            mask = part._buffers.get(f"{plain}{_MASK}") if plain != name else None
            if mask is not None:
                yield Weight(prefix + plain, mask.to(value.dtype) * value, "mask", (value, mask))
            else:
                yield Weight(prefix + name, value, "", (value,))
        for name, made in getattr(part, _ORIGINALS, {}).items():
            kept = tuple(made.parameters())
            with _left_alone(made):
                yield Weight(prefix + name, getattr(part, name), "parametrization", kept)
    for held in PackedWeights(module).all:
        for key, tensor in contents_of(held.source).items():
            if tensor is not None:
                yield Weight(held.names[key], tensor, "", (tensor,))


@contextmanager
def _left_alone(made: torch.nn.Module) -> Iterator[None]:
    """Compute a parametrization without side effects: some advance in training mode, and some draw random numbers."""
    with torch.random.fork_rng(devices=[]), in_mode(made, training=False):
        yield
