"""Quantization-aware training: float modules that simulate quantization, and the formats they are converted to."""

from __future__ import annotations

import re
from typing import Any

import torch
from torch import nn

from .wrappers import Notes, defined_in, drop_hook, loaded, on_meta

# Modules that only observe or round values.
_OBSERVERS = (
    "torch.ao.quantization.fake_quantize.FakeQuantizeBase",
    "torch.ao.quantization.observer.ObserverBase",
    "torchao.quantization.pt2e.fake_quantize.FakeQuantizeBase",
    "torchao.quantization.pt2e.observer.ObserverBase",
    "torchao.quantization.qat.fake_quantizer.FakeQuantizerBase",
)

# Modules that define hooks which call an observer before or after a forward.
_OBSERVER_HOOKS = ("torch.ao.quantization.", "torchao.quantization.")

_QAT = "torch.ao.nn.qat.modules"
_FUSED = "torch.ao.nn.intrinsic.qat.modules"

# torchao has subclasses of these for some formats.
_TORCHAO = (
    "torchao.quantization.qat.linear.FakeQuantizedLinear",
    "torchao.quantization.qat.embedding.FakeQuantizedEmbedding",
    "torchao.prototype.qat.nvfp4.NVFP4FakeQuantizedLinear",
    "torchao.prototype.qat.mx.MXFakeQuantizedLinear",
)

_INTEGER = re.compile(r"u?int(\d)$", re.IGNORECASE)


def _torch_classes() -> dict[type, type]:
    """Return torch's modules of quantization-aware training -> the classes that they are converted to.

    Modules with a ReLU keep their class, which is a convolution with a ReLU after fake quantization is removed: the
    float module is a Sequential, whose weights have other names.
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


class FakeQuantization:
    """Remove fake quantization and report the format that it simulates."""

    def __init__(self, notes: Notes) -> None:
        self._notes = notes
        self._observers = loaded(*_OBSERVERS)
        self._dynamic = loaded("torch.ao.nn.qat.dynamic.modules.linear.Linear")
        self._torchao = loaded(*_TORCHAO)
        self._classes = _torch_classes()
        for kind in self._torchao:
            self._classes[kind] = nn.Embedding if issubclass(kind, nn.Embedding) else nn.Linear

    def is_observer(self, module: nn.Module) -> bool:
        """Return whether a module only rounds its input or records its range."""
        return isinstance(module, self._observers)

    def applies(self, module: nn.Module) -> bool:
        """Return whether a module simulates quantization."""
        return (
            type(module) in self._classes
            or isinstance(module, self._torchao)
            or any(_is_observer_hook(hook) for hook in module._forward_hooks.values())
            or any(_is_observer_hook(hook) for hook in module._forward_pre_hooks.values())
        )

    def plain_class(self, kind: type) -> type:
        """Return the class that a fake-quantized class is converted to; any other class unchanged."""
        return next((self._classes[each] for each in kind.__mro__ if each in self._classes), kind)

    def strip(self, original: nn.Module, copy: nn.Module) -> str | None:
        """Turn a structural copy into a float module.

        Returns:
            The format that conversion gives the layer; None if it has none.
        """
        for hooks in (copy._forward_hooks, copy._forward_pre_hooks):
            for number in [number for number, hook in hooks.items() if _is_observer_hook(hook)]:
                drop_hook(copy, number)
        if isinstance(original, self._torchao):
            for name in ("activation_fake_quantizer", "weight_fake_quantizer"):
                copy._modules.pop(name, None)
                vars(copy).pop(name, None)  # a quantizer that is None is a plain attribute
            self._notes.removed("fake quantization of torchao")
            return _torchao_format(original, self._notes)
        if "weight_fake_quant" not in original._modules:
            return None
        if "bn" in copy._modules:
            _fold_norm(copy)
        if not self._rounds_weights(copy):
            del copy._modules["weight_fake_quant"]
        self._notes.removed("fake quantization of torch.ao")
        return self._torch_format(original)

    @staticmethod
    def _rounds_weights(copy: nn.Module) -> bool:
        """Return whether the forward of a copy calls its quantizer, which is an identity after its removal."""
        return type(copy).__module__.startswith("torch.ao.")

    def _torch_format(self, original: Any) -> str | None:
        if isinstance(original, nn.Embedding | nn.EmbeddingBag):
            self._notes.add("counted as float: an embedding that will be quantized; formats apply to products")
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


def _is_observer_hook(hook: Any) -> bool:
    return defined_in(hook).startswith(_OBSERVER_HOOKS)


def _fold_norm(copy: nn.Module) -> None:
    """Fold a batch norm into the layer before it, which has a bias afterwards."""
    weight = copy._parameters["weight"]
    del copy._modules["bn"]
    if weight is not None and copy._parameters.get("bias") is None:
        bias: Any = on_meta(weight, weight.shape[:1], weight.dtype)
        copy._parameters["bias"] = bias


# ---- formats of torchao ----------------------------------------------------------------------------------------------


def _torchao_format(module: nn.Module, notes: Notes) -> str | None:
    """Return the format of `whatif` that a module is converted to, or the nearest one with equal storage.

    Args:
        module: An instance of one of `_TORCHAO`.
        notes: Receives differences between the formats.
    """
    activation, weight = _config(module, "activation"), _config(module, "weight")
    if isinstance(module, nn.Embedding):
        notes.add("counted as float: an embedding that will be quantized; formats apply to products")
        return None
    if weight is None:
        notes.add("counted as float: a layer of which only the activations will be quantized")
        return None
    kind = type(weight).__name__
    if kind == "NVFP4FakeQuantizeConfig":
        return "nvfp4_wo" if activation is None else "nvfp4_dynamic"
    if kind == "MXFakeQuantizeConfig":
        return _microscaling(weight, notes)
    if kind == "Int4WeightFakeQuantizeConfig":
        return _int4(weight.group_size, activation, notes)
    if kind == "Float8FakeQuantizeConfig":
        if type(weight.granularity).__name__ == "PerTensor":
            notes.add("counted with one scale per row: fp8 weights with one scale per tensor")
        return "fp8_wo" if activation is None else "fp8_dynamic"
    return _integers(module, weight, activation, notes)


def _config(module: Any, of: str) -> Any:
    """Return the rounding of activations or weights, from the module or its fake quantizer."""
    if hasattr(module, f"{of}_config"):
        return getattr(module, f"{of}_config")
    return getattr(getattr(module, f"{of}_fake_quantizer", None), "config", None)


def _int4(group: int, activation: Any, notes: Notes) -> str:
    if activation is not None:
        dtype = str(activation.dtype).removeprefix("torch.")
        notes.add(
            f"counted as int4_wo, which stores weights equally: int4 weights under {dtype} activations, whose products "
            "are faster than int4_wo on machines with kernels for both"
        )
    return f"int4_wo:{group}"


def _integers(module: Any, weight: Any, activation: Any, notes: Notes) -> str | None:
    found = _INTEGER.search(getattr(weight.dtype, "name", str(weight.dtype)))
    bits = int(found[1]) if found else 0
    group = getattr(weight.granularity, "group_size", None)
    if bits == 8:  # noqa: PLR2004
        if group is not None:
            notes.add(f"counted with one scale per row: int8 weights with one scale per {group} elements")
        if activation is None:
            return "int8_wo"
        return "int8_dynamic" if getattr(activation, "is_dynamic", True) else "int8_static"
    if not bits:
        notes.add(f"counted as float: weights of {weight.dtype}, which is not a format of whatif")
        return None
    if bits != 4:  # noqa: PLR2004
        notes.add(f"counted as int4: weights of {bits} bits, which is not a format of whatif")
    notes.add(
        "counted as packed: integers below 8 bits, which torchao stores in a byte each until a backend packs them"
    )
    # One scale per row equals a group of the whole row.
    return _int4(module.in_features if group is None else group, activation, notes)


def _microscaling(weight: Any, notes: Notes) -> str:
    if weight.dtype is getattr(torch, "float4_e2m1fn_x2", None):
        notes.add(
            "counted as mxfp4_wo, which stores weights equally: mxfp4 weights under mxfp4 activations, whose products "
            "are faster on machines with kernels for them"
        )
        return f"mxfp4_wo:{weight.block_size}"
    notes.add(f"counted with one scale per row: fp8 weights with one scale per {weight.block_size} elements")
    return "fp8_dynamic"
