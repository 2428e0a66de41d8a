"""Weights of a model that quantization methods change: weights of linear layers and of experts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .names import Names

if TYPE_CHECKING:
    from torch import nn

# Projections of one expert in a fused weight, in the names of checkpoints.
_PROJECTIONS = {
    "gate_up_proj": ("gate_proj", "up_proj", "w1", "w3"),
    "gate_up_projs": ("gate_proj", "up_proj", "w1", "w3"),
    "down_proj": ("down_proj", "w2"),
    "down_projs": ("down_proj", "w2"),
}
_STACK = 3  # dimensions


@dataclass(frozen=True)
class Weight:
    """A weight that methods quantize.

    Attributes:
        parameter: Name of the parameter.
        module: Path of its module.
        names: Paths that lists of modules may give: the module's, in the model and in published checkpoints, and the
            paths of the first expert's projections, since checkpoints store experts one by one.
        of_experts: Whether it is a stack of the matrices of experts.
        in_block: Whether its module is in a numbered block of the language model, as the modules of all its layers are.
        is_kept: Whether methods leave it out unless asked: the output embedding, a weight that an embedding shares, and
            the last one of the model.
        elements: Number of its elements.
    """

    parameter: str
    module: str
    names: tuple[str, ...]
    of_experts: bool
    in_block: bool
    is_kept: bool
    elements: int


def weights_of(model: nn.Module) -> list[Weight]:
    """Return the weights of linear layers and experts of a model of `transformers`, in the order of its modules."""
    from torch import nn

    embeddings = {id(module.weight) for module in model.modules() if isinstance(module, nn.Embedding)}
    last = [name for name, _ in model.named_parameters()][-1:]
    output_embeddings: Any = getattr(model, "get_output_embeddings", None)
    output = None if output_embeddings is None else output_embeddings()
    language = {id(module) for module in _language_part(model).modules()}
    found, published = [], Names(model)
    for path, module in model.named_modules():
        for name, parameter in _matrices(path, module):
            of_experts = parameter.dim() == _STACK
            parts = _PROJECTIONS.get(name, (name,)) if of_experts else ()
            kept = module is output or id(parameter) in embeddings or any(name.startswith(f"{path}.") for name in last)
            paths = dict.fromkeys((path, published.of_checkpoint(path)))
            names = (*paths, *(f"{each}.0.{part}" for each in paths for part in parts))
            in_block = id(module) in language and any(part.isdigit() for part in path.split("."))
            full = f"{path}.{name}" if path else name
            found.append(Weight(full, path, names, of_experts, in_block, kept, parameter.numel()))
    return found


def _language_part(model: nn.Module) -> nn.Module:
    """Return the part of a model with images or sound that reads tokens; of other models the whole."""
    decoder: Any = getattr(model, "get_decoder", None)
    if decoder is None or getattr(getattr(model, "config", None), "is_encoder_decoder", False):
        return model
    try:
        part: nn.Module = decoder()
    except (AttributeError, NotImplementedError):  # a class without one
        return model
    return part


def _matrices(path: str, module: nn.Module) -> Iterator[tuple[str, Any]]:
    from torch import nn

    kind = type(module).__name__
    # Subclasses have kernels of their own, such as the output projection of `nn.MultiheadAttention`.
    if type(module) is nn.Linear or kind == "Conv1D" or (isinstance(module, nn.Linear) and "GroupedLinear" in kind):
        yield "weight", module.weight
    elif path.rpartition(".")[2].endswith("experts") or "Experts" in kind:
        for name, parameter in module.named_parameters(recurse=False):
            if parameter.dim() == _STACK:
                yield name, parameter
