"""A captured training step compared with a real one on the CPU: torch's own counter, and saved tensors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from support.small_transformers import MODELS, inputs_of
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

import pyinfercost as ic

pytestmark = pytest.mark.torch

Case = tuple[nn.Module, dict[str, Any]]


def vision(name: str, **options: Any) -> Callable[[], Case]:
    def make() -> Case:
        models = pytest.importorskip("torchvision.models")
        return models.get_model(name, weights=None, **options), {"x": torch.randn(2, 3, 64, 64)}

    return make


def text(name: str) -> Callable[[], Case]:
    """Without dropout, which accelerators run as one kernel and the CPU does not."""

    def make() -> Case:
        transformers = pytest.importorskip("transformers")
        class_name, options = MODELS[name]
        model_class = getattr(transformers, class_name)
        config = model_class.config_class(**options)
        for key, value in vars(config).items():
            if "drop" in key and isinstance(value, float):
                setattr(config, key, 0.0)
        inputs = inputs_of(model_class(config))
        inputs.pop("attention_mask", None)
        return model_class(config), {key: value.contiguous() for key, value in inputs.items()} | {"use_cache": False}

    return make


def without_cache(make: Callable[[], Case]) -> Case:
    module, inputs = make()
    if "use_cache" in inputs and not hasattr(module.config, "use_cache"):
        del inputs["use_cache"]
    return module.train(), inputs


def loss_of(output: Any) -> torch.Tensor:
    """A sum over everything, as a capture takes it where no loss is given."""
    found: list[torch.Tensor] = []

    def collect(value: Any) -> None:
        if isinstance(value, torch.Tensor):
            if value.is_floating_point() and value.requires_grad:
                found.append(value.sum())
        elif isinstance(value, dict):
            collect(list(value.values()))
        elif isinstance(value, (list, tuple)):
            for item in value:
                collect(item)

    collect(output)
    return torch.stack(found).sum()


# The counter takes a grouped convolution's gradient of the weight for an ungrouped one, so none of these has groups.
COUNTED = {
    "resnet18": vision("resnet18"),
    "densenet121": vision("densenet121"),
    "squeezenet1_1": vision("squeezenet1_1", dropout=0.0),
    "swin_t": vision("swin_t"),
    "vit": vision("vit_b_16", image_size=64),
    **{name: text(name) for name in MODELS if name != "Mamba"},  # which has a depthwise convolution
}


@pytest.mark.parametrize("name", COUNTED)
@pytest.mark.sample(1)
def test_products_are_those_that_torch_counts(name: str) -> None:
    module, inputs = without_cache(COUNTED[name])
    with sdpa_kernel(SDPBackend.MATH):
        counts = ic.count(ic.capture(module, inputs, training=True))
        if hasattr(module, "config"):  # the counter knows no grouped products
            module.config._experts_implementation = "eager"
        with FlopCounterMode(display=False) as counter:
            loss_of(module(**inputs)).backward()
    assert not counts.unmodelled
    assert int(counts.total.contraction_flops) == counter.get_total_flops() > 0


KEPT = {
    "resnet18": vision("resnet18"),
    "mobilenet_v3_small": vision("mobilenet_v3_small", dropout=0.0),
    "efficientnet_b0": vision("efficientnet_b0", dropout=0.0),
    "densenet121": vision("densenet121"),
    "swin_t": vision("swin_t"),
    "convnext_tiny": vision("convnext_tiny"),
    "vit": vision("vit_b_16", image_size=64),
    # The fused kernel of the CPU gives T5's bias no gradient, so torch does not use it there.
    **{name: text(name) for name in MODELS if name != "T5"},
}


@pytest.mark.parametrize("name", KEPT)
@pytest.mark.sample(1)
def test_what_is_kept_for_backward_is_what_autograd_keeps(name: str) -> None:
    module, inputs = without_cache(KEPT[name])
    counts = ic.count(ic.capture(module, inputs, training=True))
    given = [value for value in inputs.values() if isinstance(value, torch.Tensor)]
    there = {t.untyped_storage().data_ptr() for t in [*module.parameters(), *module.buffers(), *given]}
    kept: dict[int, int] = {}
    alive = []

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        alive.append(tensor)  # so that no other storage comes to lie there
        if storage.data_ptr() not in there:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        loss_of(module(**inputs))
    assert counts.memory.saved_for_backward_bytes == sum(kept.values()) > 0
