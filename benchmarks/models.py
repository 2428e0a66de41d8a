"""Models of the capture benchmarks on the meta device, and their contraction FLOPs."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from .parameters import CONFIGS, SEQUENCE

if TYPE_CHECKING:
    import torch


class Model(NamedTuple):
    """A module in evaluation mode with the inputs of one call."""

    module: torch.nn.Module
    args: tuple[Any, ...]
    kwargs: dict[str, Any]

    def forward(self) -> Any:
        """Run one forward in inference mode."""
        import torch

        with torch.no_grad():
            return self.module(*self.args, **self.kwargs)


def make(name: str, device: str = "meta") -> Model:
    """Return one of the models of `parameters.FIXED_SIZE_MODELS`, at batch 1."""
    import torch

    builder, inputs = _MODELS[name]
    with torch.device(device):
        module = builder().eval()
        return Model(module, (inputs(),), {"use_cache": True} if name == "llama-small" else {})


def flop_counter_flops(model: Model) -> int:
    """Return the count of torch's own counter, which sees every product of these models on meta tensors."""
    from torch.utils.flop_counter import FlopCounterMode

    counter = FlopCounterMode(display=False)
    with counter:
        model.forward()
    return int(counter.get_total_flops())


def _image() -> torch.Tensor:
    import torch

    return torch.empty(1, 3, 224, 224)


def _tokens() -> torch.Tensor:
    import torch

    return torch.zeros(1, SEQUENCE, dtype=torch.int64)


def _resnet50() -> torch.nn.Module:
    from torchvision.models import resnet50

    return resnet50()


def _vit_b_16() -> torch.nn.Module:
    from torchvision.models import vit_b_16

    return vit_b_16()


def _bert_base() -> torch.nn.Module:
    from transformers import BertConfig, BertModel

    return BertModel(BertConfig())


def _llama_small() -> torch.nn.Module:
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        hidden_size=512,
        intermediate_size=1376,
        num_hidden_layers=8,
        num_attention_heads=8,
        num_key_value_heads=4,
        vocab_size=32000,
    )
    return LlamaForCausalLM(config)


_MODELS: dict[str, tuple[Callable[[], Any], Callable[[], Any]]] = {
    "resnet50": (_resnet50, _image),
    "vit_b_16": (_vit_b_16, _image),
    "bert-base": (_bert_base, _tokens),
    "llama-small": (_llama_small, _tokens),
}


def decoder_flops(name: str, *, tokens: int, cached: int, batch: int = 1) -> int:
    """Return the contraction FLOPs of a Llama or Mixtral from its config by hand, to check captures.

    Args:
        name: Stem of a file in `parameters.CONFIGS`.
        tokens: Number of new tokens per sequence; logits are computed for the last one only.
        cached: Number of tokens in the KV cache.
        batch: Number of sequences.

    Returns:
        FLOPs, 2 per multiply-add; attention is dense, without causal halving.
    """
    config = json.loads((CONFIGS / f"{name}.json").read_text(encoding="utf-8"))
    width, heads = config["hidden_size"], config["num_attention_heads"]
    head_width = width // heads
    projections = 2 * width * width + 2 * width * config["num_key_value_heads"] * head_width  # q and o; k and v
    experts = config.get("num_local_experts", 0)
    router = width * experts
    feed_forward = 3 * width * config["intermediate_size"] * (config["num_experts_per_tok"] if experts else 1)
    attention = 2 * width * (cached + tokens)  # scores, and their sum over values
    layer = tokens * (projections + router + feed_forward + attention)
    return 2 * batch * (config["num_hidden_layers"] * layer + width * config["vocab_size"])
