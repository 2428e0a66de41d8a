"""Formats of the table, applied to layers of a module for the evaluation of its accuracy."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from ..formats.table import Format
from ..sources.inputs import parse_inputs
from . import NotApplicableError
from .candidates import cast, int8_dynamic, int8_weight_only
from .rounding import kept_2_4, rounded_rows, rounded_tensor, rounded_weight

if TYPE_CHECKING:
    from ..formats.products import Product

_CASTS = {"fp16": "fp16", "bf16": "bf16"}
_TORCHAO = {"int8_wo": int8_weight_only, "int8_dynamic": int8_dynamic}


@dataclass(frozen=True)
class Weight:
    """A weight of a product, in a module.

    Attributes:
        owner: Path of the module that has it as a parameter.
        name: Its name there.
        module: Path of the module that computes the product.
        transposed: Whether it is stored as [inputs, outputs].
        spatial_dims: Dimensions of a convolution's window; 0 for a matrix product.
        stacked: Whether it is a stack of matrices.
    """

    owner: str
    name: str
    module: str
    transposed: bool
    spatial_dims: int
    stacked: bool


def weights_of(model: nn.Module, products: Iterable[Product]) -> list[Weight]:
    """Return the weights of products of a captured graph, each once.

    Raises:
        NotApplicableError: The module lacks a weight of the graph.
    """
    found = {}
    parts = dict(model.named_modules())
    for product in products:
        try:
            parameter = model.get_parameter(product.name)
        except AttributeError:
            raise NotApplicableError(
                f"the model has no parameter {product.name!r}, which the graph has; pass the graph of this model"
            ) from None
        module = product.node.module
        names = [
            name
            for name, value in (parts[module].named_parameters(remove_duplicate=False) if module in parts else ())
            if value is parameter
        ]
        path = ".".join(filter(None, (module, names[0]))) if names else product.name
        owner, _, name = path.rpartition(".")
        found[path] = Weight(owner, name, module, product.transposed, product.spatial_dims, product.stacked)
    return list(found.values())


def method_of(model: nn.Module, weights: Iterable[Weight], form: Format) -> str:
    """Return how `apply_format` applies a format to weights: `"torchao"`, `"cast"`, `"zeros"` or `"rounded"`."""
    if form.semi_structured:
        return "zeros"
    plain = all(_is_plain(model, weight) for weight in weights)
    if form.is_cast:
        return "cast" if plain else "rounded"
    linear = all(type(model.get_submodule(weight.module)) is nn.Linear for weight in weights)
    return "torchao" if form.name in _TORCHAO and linear and _has_torchao() else "rounded"


def apply_format(
    model: nn.Module, weights: Iterable[Weight], form: Format, largest: Mapping[str, float] | None = None
) -> None:
    """Round weights of a module to a format, in place, so that its results are as in the format.

    A weight that other modules share is copied first, and theirs stays.

    Args:
        model: The module.
        weights: Weights of one layer.
        form: The format.
        largest: Path of a module -> largest magnitude of its inputs, for static formats.

    Raises:
        NotApplicableError: The inputs of the module and of the product differ, so that they cannot be quantized; or
            a static format lacks the largest magnitudes.
    """
    weights = list(weights)
    method = method_of(model, weights, form)
    for weight in weights:
        _untie(model, weight)
        if method == "torchao":
            _TORCHAO[form.name]()(model, weight.module)
        elif method == "cast":
            cast(_CASTS[form.name])(model, weight.module)
        else:
            _round(model, weight, form)
            if form.activation is not None:
                _round_inputs(model, weight, form, largest or {})


def largest_inputs(model: nn.Module, inputs: Any, paths: Iterable[str]) -> dict[str, float]:
    """Return the largest magnitude of the first input of modules in one forward."""
    found: dict[str, float] = {}
    args, kwargs = parse_inputs(inputs)

    def see(path: str) -> Any:
        def hook(module: nn.Module, given: tuple[Any, ...]) -> None:
            if given and isinstance(given[0], torch.Tensor):
                found[path] = max(found.get(path, 0.0), float(given[0].detach().abs().amax()))

        return hook

    hooks = [model.get_submodule(path).register_forward_pre_hook(see(path)) for path in dict.fromkeys(paths)]
    try:
        with torch.no_grad():
            model.eval()(*args, **kwargs)
    finally:
        for each in hooks:
            each.remove()
    return found


def _is_plain(model: nn.Module, weight: Weight) -> bool:
    """Return whether a module does nothing but this product, and so has the same inputs."""
    part = model.get_submodule(weight.module)
    known = isinstance(part, (nn.Linear, nn.modules.conv._ConvNd)) or type(part).__name__ == "Conv1D"  # of transformers
    return known and weight.owner == weight.module and not weight.stacked


def _has_torchao() -> bool:
    try:
        import torchao.quantization  # noqa: F401
    except ImportError:
        return False
    return True


def _untie(model: nn.Module, weight: Weight) -> None:
    owner = model.get_submodule(weight.owner)
    old = getattr(owner, weight.name)
    setattr(owner, weight.name, nn.Parameter(old.detach().clone(), requires_grad=old.requires_grad))


def _round(model: nn.Module, weight: Weight, form: Format) -> None:
    parameter = getattr(model.get_submodule(weight.owner), weight.name)
    with torch.no_grad():
        matrices = parameter.detach() if weight.stacked else parameter.detach().unsqueeze(0)
        for matrix in matrices:
            turned = matrix.T if weight.transposed else matrix.reshape(len(matrix), -1)
            new = _converted(turned, form)
            matrix.copy_(new.T if weight.transposed else new.reshape(matrix.shape))


def _converted(matrix: torch.Tensor, form: Format) -> torch.Tensor:
    if form.semi_structured:
        return kept_2_4(matrix)
    if form.is_cast:
        return matrix.to(getattr(torch, form.dtype)).to(matrix.dtype)
    return rounded_weight(matrix, form)


def _round_inputs(model: nn.Module, weight: Weight, form: Format, largest: Mapping[str, float]) -> None:
    if not _is_plain(model, weight):
        raise NotApplicableError(
            f"{weight.module} computes more than one product, so that the inputs of one cannot be quantized as "
            f"{form.name} does; pass a candidate that applies it"
        )
    size = None
    if form.activation == "static":
        if weight.module not in largest:
            raise NotApplicableError(f"{form.name} needs the range of the inputs of {weight.module}; pass inputs")
        size = largest[weight.module]
    model.get_submodule(weight.module).register_forward_pre_hook(
        _Inputs(form, size, whole=form.activation == "static" or bool(weight.spatial_dims)).rounded
    )


@dataclass(frozen=True)
class _Inputs:
    """A hook that rounds the input of a layer; the bound method of a value, so that a model with it can be copied.

    Attributes:
        form: The format.
        largest: Largest magnitude of the input, if it is known.
        whole: Whether the input has one scale; else each row has its own.
    """

    form: Format
    largest: float | None
    whole: bool

    def rounded(self, module: nn.Module, given: tuple[Any, ...]) -> tuple[Any, ...]:
        first, *others = given
        narrow = rounded_tensor(first, self.form, self.largest) if self.whole else rounded_rows(first, self.form)
        return (narrow, *others)
