"""Full-size models compared with published figures or arithmetic, through each model source.

The vision figures are twice torchvision's `weights.meta["_ops"]`, exact. The language figures, at 128 tokens:

- BERT-base: 12 layers of 4 products of 768x768 and 2 of 768x3072 per token, scores and values of 12 heads, the pooler
- GPT-2: the same layers, and a head of 768x50257
- Llama, 8 layers of width 512: query and output 512x512, key and value 512x256, three of 512x1376, a head of 512x32000
- Mixtral, 4 layers of width 256: attention likewise, two of 8 experts of three 256x512 each, a router of 256x8
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import pyinfercost as ic

torchvision = pytest.importorskip("torchvision")
transformers = pytest.importorskip("transformers")

pytestmark = [
    pytest.mark.torch,
    pytest.mark.filterwarnings(
        "ignore::FutureWarning:torch", "ignore::FutureWarning:copyreg", "ignore::UserWarning:torch"
    ),
]

TOKENS = 128
SCORES = 2 * TOKENS * TOKENS  # two products, of a query with all keys and of the scores with all values


def vision(name: str) -> tuple[nn.Module, tuple[Any, ...], dict[str, Any]]:
    return torchvision.models.get_model(name, weights=None), (torch.empty(1, 3, 224, 224),), {}


def language(
    model_class: Any, config: Any, *, decoder: bool = True
) -> tuple[nn.Module, tuple[Any, ...], dict[str, Any]]:
    kwargs: dict[str, Any] = {"input_ids": torch.empty((1, TOKENS), dtype=torch.int64)}
    if decoder:  # an explicit mask and no cache: the one call that runs the same under torch.export
        mask = torch.empty((1, 1, TOKENS, TOKENS), dtype=torch.bool)
        kwargs |= {"attention_mask": mask, "use_cache": False}
    return model_class(config), (), kwargs


def bert() -> Any:
    return language(transformers.BertModel, transformers.BertConfig(), decoder=False)


def gpt2() -> Any:
    return language(transformers.GPT2LMHeadModel, transformers.GPT2Config())


def llama() -> Any:
    config = transformers.LlamaConfig(
        hidden_size=512,
        intermediate_size=1376,
        num_hidden_layers=8,
        num_attention_heads=8,
        num_key_value_heads=4,
        vocab_size=32000,
    )
    return language(transformers.LlamaForCausalLM, config)


def mixtral() -> Any:
    config = transformers.MixtralConfig(
        hidden_size=256,
        intermediate_size=512,
        num_hidden_layers=4,
        num_attention_heads=8,
        num_key_value_heads=4,
        num_local_experts=8,
        num_experts_per_tok=2,
        vocab_size=32000,
    )
    return language(transformers.MixtralForCausalLM, config)


TRANSFORMER_LAYER = TOKENS * (4 * 768 * 768 + 2 * 768 * 3072) + SCORES * 768
LLAMA_LAYER = TOKENS * (2 * 512 * 512 + 2 * 512 * 256 + 3 * 512 * 1376) + SCORES * 512
MIXTRAL_LAYER = TOKENS * (2 * 256 * 256 + 2 * 256 * 128 + 256 * 8 + 2 * 3 * 256 * 512) + SCORES * 256

MACS: dict[str, tuple[Callable[[], Any], int]] = {
    "resnet50": (lambda: vision("resnet50"), 8_178_368_512 // 2),
    "vit_b_16": (lambda: vision("vit_b_16"), 35_127_656_448 // 2),
    "swin_t": (lambda: vision("swin_t"), 8_981_133_312 // 2),
    "bert": (bert, 12 * TRANSFORMER_LAYER + 768 * 768),
    "gpt2": (gpt2, 12 * TRANSFORMER_LAYER + TOKENS * 768 * 50257),
    "llama": (llama, 8 * LLAMA_LAYER + TOKENS * 512 * 32000),
    "mixtral": (mixtral, 4 * MIXTRAL_LAYER + TOKENS * 256 * 32000),
}
# As others print them, in GMAC.
PRINTED = {"bert": 11.1742, "gpt2": 16.1141, "llama": 5.2009, "mixtral": 1.5865}


@pytest.mark.parametrize(
    "name", [name if name == "resnet50" else pytest.param(name, marks=pytest.mark.slow) for name in MACS]
)
def test_every_way_in_gives_the_published_figure(name: str, tmp_path: Path) -> None:
    make, macs = MACS[name]
    with torch.device("meta"):
        module, args, kwargs = make()
    module.eval()
    program = torch.export.export(module, args, kwargs, strict=False)
    torch.export.save(program, tmp_path / "model.pt2")
    graphs = {
        "trace": ic.capture(module, ic.Inputs(args, kwargs)),
        "export": ic.capture(program),
        "decomposed": ic.capture(program.run_decompositions()),
        "archive": ic.capture(tmp_path / "model.pt2"),
    }
    for door, graph in graphs.items():
        counts = ic.count(graph)
        assert counts.unmodelled == {}, door
        assert counts.total.macs == macs, door
        assert counts.total.contraction_flops == 2 * macs, door
    if name in PRINTED:
        assert round(macs / 1e9, 4) == PRINTED[name]
