"""Ready-made candidates: each changes a model in place, whole or in one layer, and gives it back.

Pruning here sets weights to zero and keeps them stored as numbers. A dense kernel multiplies by zero as slowly as by
anything else, so none of these masks saves time or memory by itself, structured or not: what they show is how much
accuracy a model can spare. Sparse kernels and smaller layers are made by other means, in a candidate of your own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn.utils import prune as _untyped_prune

from ..hardware.dtypes import CORE_DTYPES
from . import NotApplicableError, TradeoffError
from .modules import chosen_layers

prune: Any = _untyped_prune  # torch has no types for it
_DTYPES: dict[str, torch.dtype] = {short: getattr(torch, CORE_DTYPES[short]) for short in ("bf16", "fp16", "fp32")}


@dataclass(frozen=True)
class Candidate:
    """A change to a model: called with it, and with the path of a layer to change that layer alone.

    Attributes:
        text: what it does, with its figures; a file to resume from keeps it.
        apply: the change itself, of a module and a path or None.
    """

    text: str
    apply: Callable[[nn.Module, str | None], nn.Module]

    def __call__(self, model: nn.Module, module_name: str | None = None) -> nn.Module:
        return self.apply(model, module_name)

    def __str__(self) -> str:
        return self.text


def magnitude(amount: float, *, keep_masks: bool = False) -> Candidate:
    """Sets the elements of least magnitude to zero, in each weight by itself.

    Args:
        amount: the share of each weight's elements, above 0 and below 1.
        keep_masks: whether masks stay, as while a model is trained on; they cost a product in each forward.

    Raises:
        TradeoffError: for an amount out of range.
    """
    _check_share(amount)
    return _pruning(f"magnitude({amount:g})", keep_masks, lambda part: prune.l1_unstructured(part, "weight", amount))


def channels(amount: float, *, keep_masks: bool = False) -> Candidate:
    """Sets the output channels of least L2 norm to zero, in each weight by itself; they are not taken out.

    Args:
        amount: the share of each weight's output channels (rows of linear layers), above 0 and below 1.
        keep_masks: whether masks stay; they cost a product in each forward.

    Raises:
        TradeoffError: for an amount out of range.
    """
    _check_share(amount)
    return _pruning(
        f"channels({amount:g})", keep_masks, lambda part: prune.ln_structured(part, "weight", amount, n=2, dim=0)
    )


def n_of_m(n: int = 2, m: int = 4, *, keep_masks: bool = False) -> Candidate:
    """Keeps the `n` largest of each `m` neighbours along the inputs of a layer: 2:4 unless told otherwise.

    Args:
        n: how many of a group are kept.
        m: the length of a group; the last one of a row may be shorter.
        keep_masks: whether masks stay; they cost a product in each forward.

    Raises:
        TradeoffError: for an `n` that is not below `m`, or below 1.
    """
    if not 1 <= n < m:
        raise TradeoffError(f"n:m is {n}:{m}; expected 1 <= n < m")
    return _pruning(
        f"n_of_m({n}, {m})",
        keep_masks,
        lambda part: prune.custom_from_mask(part, "weight", _group_mask(part.weight.detach(), n, m)),
    )


def int8_weight_only() -> Candidate:
    """Stores the weights of linear layers as int8 with a scale per output (torchao); products are in floats.

    Raises:
        ImportError: torchao is not installed.
    """
    return _torchao("int8_weight_only()", "Int8WeightOnlyConfig")


def int8_dynamic() -> Candidate:
    """Weights of linear layers as int8 and their inputs quantised in each forward, for int8 products (torchao).

    Raises:
        ImportError: torchao is not installed.
    """
    return _torchao("int8_dynamic()", "Int8DynamicActivationInt8WeightConfig")


def cast(dtype: str) -> Candidate:
    """Casts the model; its floating inputs are cast on their way in and its results to fp32 on their way out.

    Of one layer alone, what goes into that layer is cast and what comes out is cast back.

    Args:
        dtype: `"bf16"` or `"fp16"`.

    Raises:
        TradeoffError: for another dtype.
    """
    if dtype not in ("bf16", "fp16"):
        raise TradeoffError(f"dtype is {dtype!r}; expected bf16 or fp16")
    into = _Cast(_DTYPES[dtype])

    def apply(model: nn.Module, module_name: str | None) -> nn.Module:
        part = model if module_name is None else model.get_submodule(module_name)
        part.to(into.dtype)
        part.register_forward_pre_hook(into.inputs, with_kwargs=True)
        part.register_forward_hook(_TO_FP32.outputs)
        return model

    return Candidate(f"cast({dtype})", apply)


def _pruning(text: str, keep_masks: bool, change: Callable[[Any], object]) -> Candidate:
    def apply(model: nn.Module, module_name: str | None) -> nn.Module:
        changed = 0
        for _, part in chosen_layers(model, module_name):
            if not isinstance(getattr(part, "weight", None), torch.Tensor):
                continue
            change(part)
            if not keep_masks:
                prune.remove(part, "weight")
            changed += 1
        if not changed:
            raise NotApplicableError(f"{text} is of linear layers and convolutions; there are none")
        return model

    return Candidate(f"{text[:-1]}, keep_masks)" if keep_masks else text, apply)


def _torchao(text: str, config: str) -> Candidate:
    try:
        from torchao import quantization
    except ImportError as error:
        raise ImportError(
            f"{text} needs torchao, which is not installed: pip install 'pyinfercost[models]'", name=error.name
        ) from error

    def apply(model: nn.Module, module_name: str | None) -> nn.Module:
        linear = {path for path, part in chosen_layers(model, module_name) if isinstance(part, nn.Linear)}
        if not linear:
            where = "there is none" if module_name is None else f"{module_name} is another"
            raise NotApplicableError(f"{text} is of linear layers, and {where}")
        quantization.quantize_(model, getattr(quantization, config)(), filter_fn=lambda part, path: path in linear)
        return model

    return Candidate(text, apply)


def _group_mask(weight: torch.Tensor, n: int, m: int) -> torch.Tensor:
    """1 for the `n` largest of each `m` elements along a row of the weight as a matrix."""
    rows = weight.abs().reshape(weight.shape[0], -1)
    groups = nn.functional.pad(rows, (0, -rows.shape[1] % m), value=-1.0).reshape(rows.shape[0], -1, m)
    mask = torch.zeros_like(groups).scatter_(2, groups.topk(n, dim=2).indices, 1.0)
    return mask.reshape(rows.shape[0], -1)[:, : rows.shape[1]].reshape(weight.shape)


def _check_share(amount: float) -> None:
    if not 0 < amount < 1:
        raise TradeoffError(f"amount is {amount}; expected a share above 0 and below 1")


@dataclass(frozen=True)
class _Cast:
    """Hooks that cast floating tensors; methods of a value, so that a model with them can be copied."""

    dtype: torch.dtype

    def inputs(
        self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        return tuple(map(self.of, args)), {name: self.of(value) for name, value in kwargs.items()}

    def outputs(self, module: nn.Module, args: Any, output: Any) -> Any:
        return self.of(output)

    def of(self, value: Any) -> Any:
        """The value with its floating tensors cast, those in containers that torch knows (outputs of models), too."""
        return torch.utils._pytree.tree_map_only(
            torch.Tensor, lambda tensor: tensor.to(self.dtype) if tensor.is_floating_point() else tensor, value
        )


_TO_FP32 = _Cast(torch.float32)
