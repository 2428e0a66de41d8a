"""Quantisation-aware training: float modules that act as if they were quantised, and what they are converted to."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from .fake_quantised_torchao import TORCHAO_CLASSES, torchao_format
from .libraries import Notes, defined_in, loaded
from .wrappers import drop_hook, on_meta

# Modules that only look at values or round them.
_OBSERVERS = (
    "torch.ao.quantization.fake_quantize.FakeQuantizeBase",
    "torch.ao.quantization.observer.ObserverBase",
    "torchao.quantization.pt2e.fake_quantize.FakeQuantizeBase",
    "torchao.quantization.pt2e.observer.ObserverBase",
    "torchao.quantization.qat.fake_quantizer.FakeQuantizerBase",
)

# Those that call an observer after a module or before it.
_OF_OBSERVERS = ("torch.ao.quantization.", "torchao.quantization.")

_QAT = "torch.ao.nn.qat.modules"
_FUSED = "torch.ao.nn.intrinsic.qat.modules"


def _torch_classes() -> dict[type, type]:
    """Torch's modules of quantisation-aware training -> the classes that they are converted to.

    Those with a ReLU keep a class of theirs, which is a convolution with a ReLU once its fake quantisation is gone: the
    float module is a Sequential, and its weights would have other names.
    """
    of_torch: dict[str, Any] = {
        f"{_QAT}.linear.Linear": nn.Linear,
        "torch.ao.nn.qat.dynamic.modules.linear.Linear": nn.Linear,
        f"{_QAT}.embedding_ops.Embedding": nn.Embedding,
        f"{_QAT}.embedding_ops.EmbeddingBag": nn.EmbeddingBag,
        f"{_FUSED}.linear_fused.LinearBn1d": nn.Linear,
    }
    for axes, plain in ((1, nn.Conv1d), (2, nn.Conv2d), (3, nn.Conv3d)):
        of_torch[f"{_QAT}.conv.Conv{axes}d"] = of_torch[f"{_FUSED}.conv_fused.ConvBn{axes}d"] = plain
    classes: dict[type, type] = {kind: plain for name, plain in of_torch.items() for kind in loaded(name)}
    for kind in loaded(f"{_FUSED}.linear_relu.LinearReLU"):
        classes[kind] = kind
    for axes in (1, 2, 3):
        for kind in loaded(f"{_FUSED}.conv_fused.ConvReLU{axes}d"):
            classes[kind] = kind
            classes |= {with_norm: kind for with_norm in loaded(f"{_FUSED}.conv_fused.ConvBnReLU{axes}d")}
    return classes


class FakeQuantisation:
    """Takes fake quantisation off, and says which format it was for."""

    def __init__(self, notes: Notes) -> None:
        self._notes = notes
        self._observers = loaded(*_OBSERVERS)
        self._dynamic = loaded("torch.ao.nn.qat.dynamic.modules.linear.Linear")
        self._of_torchao = loaded(*TORCHAO_CLASSES)
        self._classes = _torch_classes()
        for kind in self._of_torchao:  # their subclasses, one for each format, as well
            self._classes[kind] = nn.Embedding if issubclass(kind, nn.Embedding) else nn.Linear

    def is_observer(self, module: nn.Module) -> bool:
        """Whether a module only rounds what it gets, or notes its range."""
        return isinstance(module, self._observers)

    def applies(self, module: nn.Module) -> bool:
        """Whether a module acts as if it were quantised."""
        return (
            type(module) in self._classes
            or isinstance(module, self._of_torchao)
            or any(_is_of_observers(hook) for hook in module._forward_hooks.values())
            or any(_is_of_observers(hook) for hook in module._forward_pre_hooks.values())
        )

    def plain_class(self, kind: type) -> type:
        """The class that a class of fake quantised modules is converted to; others as they are."""
        return next((self._classes[each] for each in kind.__mro__ if each in self._classes), kind)

    def take_off(self, original: nn.Module, twin: nn.Module) -> str | None:
        """Makes a float module of a twin.

        Returns:
            The format that the conversion gives, None for none.
        """
        for hooks in (twin._forward_hooks, twin._forward_pre_hooks):
            for number in [number for number, hook in hooks.items() if _is_of_observers(hook)]:
                drop_hook(twin, number)
        if isinstance(original, self._of_torchao):
            for name in ("activation_fake_quantizer", "weight_fake_quantizer"):
                twin._modules.pop(name, None)
                vars(twin).pop(name, None)  # one that is None is a plain attribute
            self._notes.taken_off("fake quantisation of torchao")
            return torchao_format(original, self._notes)
        if "weight_fake_quant" not in original._modules:
            return None
        if "bn" in twin._modules:
            _fold_norm(twin)
        if not self._rounds_weights(twin):
            del twin._modules["weight_fake_quant"]
        self._notes.taken_off("fake quantisation of torch.ao")
        return self._torch_format(original)

    @staticmethod
    def _rounds_weights(twin: nn.Module) -> bool:
        """Whether the forward of a twin calls what is now an identity."""
        return type(twin).__module__.startswith("torch.ao.")

    def _torch_format(self, original: Any) -> str | None:
        if isinstance(original, nn.Embedding | nn.EmbeddingBag):
            self._notes.add("counted as float: an embedding that will be quantised; formats are of products")
            return None
        dtype = getattr(original._modules["weight_fake_quant"], "dtype", None)
        activation = getattr(getattr(original, "qconfig", None), "activation", None)
        settings = getattr(getattr(activation, "p", None), "keywords", {})
        if dtype is torch.float16:
            return "fp16"
        if dtype not in (torch.qint8, torch.quint8, torch.int8, torch.uint8):
            self._notes.add(f"counted as float: a {type(original).__name__} whose weights will be {dtype}")
            return None
        dynamic = isinstance(original, self._dynamic) or settings.get("is_dynamic", False)
        return "int8_dynamic" if dynamic else "int8_static"


def _is_of_observers(hook: Any) -> bool:
    return defined_in(hook).startswith(_OF_OBSERVERS)


def _fold_norm(twin: nn.Module) -> None:
    """A norm behind a layer becomes part of its weight and its bias, which is there from then on."""
    weight = twin._parameters["weight"]
    del twin._modules["bn"]
    if weight is not None and twin._parameters.get("bias") is None:
        bias: Any = on_meta(weight, weight.shape[:1], weight.dtype)
        twin._parameters["bias"] = bias
