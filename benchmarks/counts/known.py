"""Models and modules whose multiply-accumulates are known without any counter.

Modules are the cases of the test suite, each with its arithmetic (`tests/sources/test_micro.py`). For models, the
figure is that of torch's own counter with attention and experts decomposed and gradients enabled, the only mode in
which it sees every product of these models; for torchvision's models it must agree with the figure published with the
weights.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import nn

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_TESTS = Path(__file__).parents[2] / "tests"
SEQUENCE = 128


class Known(NamedTuple):
    """A module with inputs, and a function that returns the MACs of one forward."""

    module: nn.Module
    args: tuple[Any, ...]
    macs: Callable[[], float]


class _Logits(nn.Module):
    """A language model without a cache, from ids to its first result, which every counter can call."""

    def __init__(self, model: PreTrainedModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        mask = torch.ones(1, 1, 1, SEQUENCE, dtype=torch.bool) if not self.model.config.is_decoder_like else _causal()
        result: torch.Tensor = self.model(input_ids=ids, attention_mask=mask, return_dict=False, use_cache=False)[0]
        return result


def _causal() -> torch.Tensor:
    return torch.ones(SEQUENCE, SEQUENCE, dtype=torch.bool).tril()[None, None]


def _torchvision(name: str, size: int) -> Callable[[], tuple[nn.Module, tuple[Any, ...]]]:
    def build() -> tuple[nn.Module, tuple[Any, ...]]:
        import torchvision

        options: dict[str, Any] = {"weights": None}
        if name.startswith("deeplab"):
            options |= {"weights_backbone": None, "aux_loss": True}
        return _First(torchvision.models.get_model(name, **options).eval()), (torch.rand(1, 3, size, size),)

    return build


class _First(nn.Module):
    """Module that returns only tensors, because tracing counters do not accept dicts."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        result = self.model(x)
        return result["out"] if isinstance(result, dict) else result


def _language(
    kind: str, options: dict[str, Any], attention: str = "sdpa", experts: str | None = None
) -> Callable[[], tuple[nn.Module, tuple[Any, ...]]]:
    def build() -> tuple[nn.Module, tuple[Any, ...]]:
        import transformers

        model_class = getattr(transformers, kind)
        config = model_class.config_class(**options)
        config._attn_implementation = attention
        if experts is not None:
            config._experts_implementation = experts
        config.is_decoder_like = kind != "BertModel"
        model = model_class(config).eval()
        return _Logits(model), (torch.randint(0, 1000, (1, SEQUENCE)),)

    return build


_LLAMA = {
    "hidden_size": 512,
    "intermediate_size": 1376,
    "num_hidden_layers": 8,
    "num_attention_heads": 8,
    "num_key_value_heads": 4,
    "vocab_size": 32000,
}
_MIXTRAL = {
    "hidden_size": 256,
    "intermediate_size": 512,
    "num_hidden_layers": 4,
    "num_attention_heads": 8,
    "num_key_value_heads": 4,
    "num_local_experts": 8,
    "num_experts_per_tok": 2,
    "vocab_size": 32000,
}
MODELS: dict[str, Callable[[], tuple[nn.Module, tuple[Any, ...]]]] = {
    "resnet50": _torchvision("resnet50", 224),
    "mobilenet_v3_large": _torchvision("mobilenet_v3_large", 224),
    "vit_b_16": _torchvision("vit_b_16", 224),
    "swin_t": _torchvision("swin_t", 224),
    "convnext_tiny": _torchvision("convnext_tiny", 224),
    "efficientnet_b0": _torchvision("efficientnet_b0", 224),
    "densenet121": _torchvision("densenet121", 224),
    "deeplabv3_resnet50": _torchvision("deeplabv3_resnet50", 520),
    "BERT-base, sdpa": _language("BertModel", {}),
    "BERT-base, eager": _language("BertModel", {}, "eager"),
    "GPT-2, sdpa": _language("GPT2LMHeadModel", {}),
    "Llama, small, sdpa": _language("LlamaForCausalLM", _LLAMA),
    "Llama, small, eager": _language("LlamaForCausalLM", _LLAMA, "eager"),
    "Mixtral, small, grouped products": _language("MixtralForCausalLM", _MIXTRAL),
    "Mixtral, small, eager experts": _language("MixtralForCausalLM", _MIXTRAL, experts="eager"),
    "Mixtral, small, batched products": _language("MixtralForCausalLM", _MIXTRAL, experts="batched_mm"),
}


def model(name: str) -> Known:
    """Return a model with random weights and its known MACs."""
    torch.manual_seed(0)
    module, args = MODELS[name]()
    return Known(module, args, lambda: _taken_apart(name, module, args))


def _taken_apart(name: str, module: nn.Module, args: tuple[Any, ...]) -> float:
    """Return MACs by torch's counter, which sees every product once attention and experts are decomposed.

    Raises:
        ArithmeticError: The published figure differs, so the MACs are not known.
    """
    from torch.nn.attention import SDPBackend, sdpa_kernel
    from torch.utils.flop_counter import FlopCounterMode

    config = getattr(getattr(module, "model", None), "config", None)
    if config is not None and hasattr(config, "_experts_implementation"):
        config._experts_implementation = "eager"
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        module(*args)
    macs = counter.get_total_flops() / 2
    published = _published(name)
    if published is not None and round(macs / 1e9, 3) != published:
        raise ArithmeticError(f"{name}: counted {macs / 1e9:.3f} GMAC, published {published}")
    return macs


def _published(name: str) -> float | None:
    import torchvision

    if name not in torchvision.models.list_models():
        return None
    weights = torchvision.models.get_model_weights(name)
    return float(next(iter(weights)).meta["_ops"])


def small() -> dict[str, Callable[[], Known]]:
    """Return the modules of the test suite, with real inputs."""
    if str(_TESTS) not in sys.path:
        sys.path.append(str(_TESTS))
    from support.micro_cases import CASES

    def build(case: Any) -> Callable[[], Known]:
        module = case.module if isinstance(case.module, nn.Module) else _Function(case.module)
        return lambda: Known(module.eval(), tuple(_real(tensor) for tensor in case.inputs), lambda: case.macs)

    return {case.name: build(case) for case in CASES}


class _Function(nn.Module):
    """A function as a forward, in a form that suits every counter.

    Some counters replace torch's functions, so these are looked up at each call. Some need the device of the first
    parameter, so there is one.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__()
        self.function = function
        name = getattr(function, "__name__", "")
        places = (torch.nn.functional, torch)
        self.place = next((place for place in places if getattr(place, name, None) is function), None)
        self.name = name
        self.anchor = nn.Parameter(torch.zeros(()))

    def forward(self, *args: Any) -> Any:
        function = self.function if self.place is None else getattr(self.place, self.name)
        return function(*args)


def _real(tensor: torch.Tensor) -> torch.Tensor:
    if tensor.dtype.is_floating_point:
        return torch.rand(tensor.shape).to(tensor.dtype)
    return torch.zeros(tensor.shape, dtype=tensor.dtype)
