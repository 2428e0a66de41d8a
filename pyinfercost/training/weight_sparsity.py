"""Sparsity of the weights in training, by form of zeros, and the work that remains."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import torch

from ..sources.inference_view.view import plain_name

if TYPE_CHECKING:
    from ..results.sparsity import Sparsity

_GROUP, _KEPT = 4, 2
_MATRIX = 2


class Zeros(NamedTuple):
    """Zeros of all weights.

    Attributes:
        metrics: Figures by name.
        shares: Name of a weight -> share of its elements that are zero.
        two_of_four: Names of the matrices in which two of four neighbors along the inputs are zero.
        notes: Weights that were not scanned.
    """

    metrics: Mapping[str, float]
    shares: Mapping[str, float]
    two_of_four: frozenset[str]
    notes: tuple[str, ...]


class PlainNames(dict[str, str]):
    """Names of weights in the wrapped module -> names without wrappers, each computed once.

    Args:
        module: The wrapped module.
    """

    def __init__(self, module: torch.nn.Module) -> None:
        super().__init__()
        self._module = module

    def __missing__(self, name: str) -> str:
        self[name] = found = plain_name(name, self._module)
        return found


def zeros_of(module: torch.nn.Module, names: Mapping[str, str], *, threads: int) -> Zeros:
    """Scan the weights: in host memory with all figures of `sparsity`, on other devices for elements and 2:4 alone.

    Args:
        module: The module in training, in any wrapper. Of sharded weights, this process's shards are scanned.
        names: Names of its weights -> names without wrappers.
        threads: Threads of the scan.

    Returns:
        The figures; a note without figures if there are no weights, or they have no values.
    """
    tensors = [*module.parameters()]
    sharded = any(hasattr(t, "_local_tensor") or hasattr(t, "_is_flat_param") for t in tensors)
    if sharded or any(t.device.type != "cpu" for t in tensors):
        with torch.no_grad():
            return _on_device(module, names, sharded=sharded)
    from ..scan import SparsityError
    from ..scan.modules import scan_module

    try:
        found = scan_module(module, threads, magnitudes=False)
    except SparsityError as error:  # a model without weights has a cost all the same
        return Zeros({}, {}, frozenset(), (f"zeros of the weights are not counted: {error}",))
    return _of_scan(found, names)


def _of_scan(found: Sparsity, names: Mapping[str, str]) -> Zeros:
    from ..formats.products import has_2_4_kernel

    total = found.total
    shares = {names[name]: weight.zero_share for weight in found.weights for name in (weight.name, *weight.aliases)}
    metrics: dict[str, float] = {"sparsity/zero_share": total.zero_share, "sparsity/zeros": total.zeros}
    metrics |= _by_form((weight.form, weight.figures.zeros, weight.figures.elements) for weight in found.weights)
    if total.rows:
        metrics["sparsity/zero_row_share"] = total.zero_rows / total.rows
    two_of_four = [weight for weight in found.weights if has_2_4_kernel(weight)]
    elements = sum(weight.figures.elements for weight in two_of_four)
    metrics["sparsity/2_4_share"] = elements / total.elements if total.elements else 0.0
    notes = tuple(f"weight {item.name} was not scanned: {item.reason}" for item in found.skipped)
    return Zeros(metrics, shares, frozenset(names[weight.name] for weight in two_of_four), notes)


def _by_form(weights: Iterable[tuple[str, int, int]]) -> dict[str, float]:
    """Return shares by form: zeros from masks, from parametrizations, or stored in the weights."""
    forms: dict[str, list[int]] = {}
    for form, zeros, elements in weights:
        of = forms.setdefault(form, [0, 0])
        of[0] += zeros
        of[1] += elements
    return {f"sparsity/{form}/zero_share": zeros / count for form, (zeros, count) in forms.items() if count}


def _on_device(module: torch.nn.Module, names: Mapping[str, str], *, sharded: bool) -> Zeros:
    """Count zeros on the weights' device and fetch all counts at once, with one synchronization."""
    weights: list[tuple[str, int, str]] = []
    counts: list[torch.Tensor] = []
    for name, value, form in _weights(module):
        local: Any = getattr(value, "_local_tensor", value)
        weights.append((names[name], local.numel(), form))
        counts.append(torch.count_nonzero(local))
        counts.append(torch.zeros_like(counts[-1]) if sharded else _breaks_2_4(local))
    numbers = torch.stack([each.to(counts[0].device) for each in counts]).tolist() if counts else []
    shares, two_of_four, forms = {}, set(), []
    for (name, elements, form), kept, broken in zip(weights, numbers[::2], numbers[1::2], strict=True):
        forms.append((form, elements - kept, elements))
        if elements:
            shares[name] = 1 - kept / elements
        if not sharded and elements and not broken:
            two_of_four.add(name)
    zeros, elements = sum(of[1] for of in forms), sum(of[2] for of in forms)
    metrics: dict[str, float] = {"sparsity/zero_share": zeros / elements if elements else 0.0, "sparsity/zeros": zeros}
    metrics |= _by_form(forms)
    notes = ("zeros are counted in the weights of this process",) if sharded else ()
    return Zeros(metrics, shares, frozenset(two_of_four), notes)


def _weights(module: torch.nn.Module) -> Iterable[tuple[str, torch.Tensor, str]]:
    from ..scan.modules import weights_of

    for item in weights_of(module):
        yield item.name, item.value, item.form or "dense"


def _breaks_2_4(weight: torch.Tensor) -> torch.Tensor:
    """Count the groups of four along the inputs with more than two nonzeros; at least 1 if there are no groups."""
    from ..formats.products import METADATA_COLUMNS

    if weight.dim() != _MATRIX or weight.shape[1] % METADATA_COLUMNS or weight.numel() == 0:
        return torch.ones((), dtype=torch.int64, device=weight.device)
    kept = (weight.reshape(-1, _GROUP) != 0).sum(1, dtype=torch.int8)
    return torch.count_nonzero(kept > _KEPT)
