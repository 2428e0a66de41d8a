"""All quantized models of torchvision, in quantized form and in the float form before quantization."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from zoo.case import Built, Case

if TYPE_CHECKING:
    from torch import nn

_SIDES = {"quantized_inception_v3": 299}
# Published figures are those of the model without its auxiliary heads, or with them, as its weights were made.
_OPTIONS: dict[str, dict[str, Any]] = {
    "quantized_googlenet": {"aux_logits": False},
    "quantized_inception_v3": {"aux_logits": True},
}


def _model(name: str, quantize: bool) -> nn.Module:
    from torchvision.models import get_model

    options = _OPTIONS.get(name, {})
    if name == "quantized_inception_v3" and quantize:
        options = {"aux_logits": False}  # as torchvision makes it: the head is no part of what is quantized
    model: nn.Module = get_model(name, weights=None, quantize=quantize, **options)
    return model.eval()


def _build(name: str, quantize: bool) -> Built:
    import torch

    if quantize:  # runs on the CPU while it is quantized
        model = _model(name, quantize=True)
    else:
        with torch.device("meta"):
            model = _model(name, quantize=False)
    side = _SIDES.get(name, 224)
    return model, (torch.empty(1, 3, side, side, device="meta"),), {}


def _published(name: str) -> dict[str, Any]:
    from torchvision.models import get_model_weights

    return dict(next(iter(get_model_weights(name))).meta)


def _flops(name: str) -> int:
    # `_ops` is in 10^9 multiply-accumulates.
    return round(2e9 * float(_published(name)["_ops"]))


def _parameters(name: str, quantize: bool) -> int:
    """Return the published number; in quantized form, a batch norm is folded into its convolution, which gets a bias.

    The norm's weight is therefore removed. Heads that are not built are removed too.
    """
    import torch
    from torch import nn

    published = int(_published(name)["num_params"])
    if not quantize:
        return published
    with torch.device("meta"):
        model = _model(name, quantize=False)
    heads = [part for path, part in model.named_children() if "aux" in path.lower() and part is not None]
    gone = sum(parameter.numel() for head in heads for parameter in head.parameters())
    rest = [part for path, part in model.named_modules() if not path.lower().startswith("aux")]
    folded = sum(part.weight.numel() for part in rest if isinstance(part, nn.BatchNorm2d))
    return published - gone - folded


def cases() -> list[Case]:
    """Return all models of `torchvision.models.quantization` in both forms."""
    import torchvision

    names = torchvision.models.list_models(module=torchvision.models.quantization)
    return [
        Case(
            "torchvision",
            f"{name}#{'int8' if quantize else 'float'}",
            "quantized",
            partial(_build, name, quantize),
            partial(_flops, name),
            partial(_parameters, name, quantize),
        )
        for name in names
        for quantize in (True, False)
    ]
