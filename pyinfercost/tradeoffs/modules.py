"""Operations on modules for a trade-off: fresh copies, content hashes, and prunable layers."""

from __future__ import annotations

import copy
import hashlib
import io
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import nn

from ..errors import InputTypeError
from . import TradeoffError

_LAYERS = (nn.Linear, nn.modules.conv._ConvNd)


def maker_of(model: Any) -> tuple[Callable[[], nn.Module], nn.Module, str]:
    """Return a function that makes a fresh model, one model to inspect, and its hash.

    A fresh model is a copy of the module, or the result of the caller's function.

    Args:
        model: A module, or a callable that returns one.

    Returns:
        The function, a model, and the hash of its content.

    Raises:
        TypeError: `model` is neither a module nor callable.
        TradeoffError: The module cannot be copied, or the function returns different models.
    """
    if isinstance(model, nn.Module):
        return lambda: copy_of(model), model, signature_of(model)
    if not callable(model):
        raise InputTypeError(f"model is of type {type(model).__name__}; expected an nn.Module or a callable making one")

    def made() -> nn.Module:
        module = model()
        if not isinstance(module, nn.Module):
            raise InputTypeError(f"model() returned a {type(module).__name__}; expected an nn.Module")
        return module

    original = made()
    signature = signature_of(original)
    if signature_of(made()) != signature:
        raise TradeoffError("model() returns different weights each time; seed it, or load the same weights")
    return made, original, signature


def copy_of(model: nn.Module) -> nn.Module:
    """Return a copy that shares no memory with the model.

    A pruned weight is not a leaf of autograd, since hooks computed it from two other tensors before the last forward,
    and torch cannot copy it. Its values are copied here; the copy's hooks compute it again.

    Args:
        model: The module.

    Returns:
        The copy.

    Raises:
        TradeoffError: The model cannot be copied.
    """
    made = {
        id(value): value.detach().clone()
        for part in model.modules()
        for value in vars(part).values()
        if isinstance(value, torch.Tensor) and not value.is_leaf
    }
    try:
        return copy.deepcopy(model, dict(made))
    except (RuntimeError, TypeError, NotImplementedError) as error:
        raise TradeoffError(
            f"{type(model).__name__} cannot be copied ({error}); pass a callable that returns the model instead"
        ) from error


def signature_of(model: nn.Module) -> str:
    """Return a hash of the model's class, names, shapes, dtypes and values; equal for models that compute the same."""
    found = hashlib.blake2b(f"{type(model).__module__}.{type(model).__qualname__}".encode(), digest_size=16)
    for path, part in model.named_modules():
        found.update(f"{path}:{type(part).__qualname__}({part.extra_repr()})".encode())
    for name, value in model.state_dict().items():
        found.update(name.encode())
        _add(found, value)
    return found.hexdigest()


def _add(found: Any, value: Any) -> None:
    """Add a value of a state to a hash; a quantized tensor as its inner tensors."""
    plain = isinstance(value, torch.Tensor) and type(value) in {torch.Tensor, nn.Parameter}
    if plain and value.layout is torch.strided and not value.is_quantized:
        found.update(f"{value.dtype}{tuple(value.shape)}".encode())
        if value.device.type != "meta":
            # As bytes, since numpy has no bfloat16.
            found.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    elif hasattr(value, "__tensor_flatten__"):
        names, kept = value.__tensor_flatten__()
        found.update(f"{type(value).__qualname__}{kept}".encode())
        for name in names:
            _add(found, getattr(value, name))
    else:
        buffer = io.BytesIO()
        torch.save(value, buffer)
        found.update(buffer.getbuffer())


def layers_of(model: nn.Module) -> list[str]:
    """Return the paths of layers that can be pruned or quantized: linear layers and convolutions, in model order."""
    return [path for path, part in model.named_modules() if isinstance(part, _LAYERS)]


def described(value: Any) -> Any:
    """Return the properties of inputs that figures depend on: shapes and dtypes of tensors, repr of other values."""
    if isinstance(value, torch.Tensor):
        return f"{str(value.dtype).removeprefix('torch.')}{list(value.shape)}"
    if isinstance(value, Mapping):
        return {str(key): described(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [described(item) for item in value]
    return repr(value)


def chosen_layers(model: nn.Module, module_name: str | None) -> Iterator[tuple[str, Any]]:
    """Return the layers that a candidate changes: the one at a path, or all.

    Args:
        model: The model.
        module_name: Path of a layer; None for all.

    Yields:
        Path and module of each layer.

    Raises:
        TradeoffError: There is no layer at that path.
    """
    parts = dict(model.named_modules())
    if module_name is not None and module_name not in parts:
        raise TradeoffError(f"{type(model).__name__} has no module {module_name!r}")
    for path in layers_of(model) if module_name is None else [module_name]:
        yield path, parts[path]
