"""Configs of models: `capture("hf:FOLDER")` builds them on the meta device, without network."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from itertools import count
from random import Random
from typing import ClassVar

import pyinfercost as ic
from pyinfercost.sources.library_configs import MOST_EXPERTS

from ..door import Corpus, Door, Figure
from ..mutate import broken_json, integer, mutate, text
from ..values import Value
from .figures import of_counts

_PHASES = ("", "", "#prefill", "#decode", "#train")
_DEEP = re.compile(r"layer|depth|block|stage|repeat|level|expert")
_SIZES = ("batch", "sequence", "context", "image_size", "seconds", "frames")
_POSITIONS = ("sequence", "context", "seconds", "frames")
_LONGEST = 64
_QUANTIZATIONS = (
    {"quant_method": "fp8", "weight_block_size": [128, 128], "modules_to_not_convert": ["lm_head", "layers.0"]},
    {"quant_method": "gptq", "bits": 4, "group_size": 32, "dynamic": {"-:.*up_proj": {}}},
    {"quant_method": "bitsandbytes", "load_in_4bit": True, "bnb_4bit_use_double_quant": True},
    {
        "quant_method": "compressed-tensors",
        "config_groups": {
            "a": {"targets": ["re:.*mlp"], "weights": {"num_bits": 4, "strategy": "group", "group_size": 8}}
        },
        "ignore": ["lm_head"],
    },
    {
        "quant_method": "torchao",
        "quant_type": {"default": {"_type": "Int4WeightOnlyConfig", "_data": {"group_size": 32}}},
    },
    {"quant_method": "modelopt", "quant_algo": "NVFP4", "group_size": 16, "ignore": ["lm_head", "*.self_attn.*"]},
)
_REFUSED = 2**53
_KERNELS = (
    "eager",
    "sdpa",
    "flex_attention",
    "flash_attention_2",
    "paged|sdpa",
    "a/b",
    "a/b:c",
    7,
    ["sdpa"],
    {"": "a/b"},
)
_SETTINGS: dict[str, tuple[Value, ...]] = {
    "attn_implementation": _KERNELS,
    "_attn_implementation": _KERNELS,
    "experts_implementation": _KERNELS,
    "auto_map": ({"AutoConfig": "evil--c.C", "AutoModelForCausalLM": "a/b--m.M"}, {"AutoConfig": "c.C"}),
    "architectures": (["Trainer"], ["AutoModel"], ["__doc__"], ["LlamaConfig"], ["BertTokenizer"], ["Llama"], [""]),
    "model_type": ("../../x", ["llama"], {}, "timm_wrapper", "encoder-decoder", "rag", "bert"),
    "backbone": ("resnet18", "a/b", "hf-hub:a/b"),
    "rope_scaling": ({"rope_type": "yarn", "factor": -1}, {"type": "dynamic"}, {"rope_type": "longrope"}),
    "layer_types": (["full_attention"] * 1000, ["a"]),
    "id2label": ({str(number): "x" for number in range(1000)}, {"a": 1}),
    "pruned_heads": ({"0": [0]}, [0]),
    "output_hidden_states": (True,),
    "return_dict": (False,),
    "torchscript": (True,),
    "add_cross_attention": (True,),
}
"""Keys of configs, and values that fetch, import or lead elsewhere."""


class ModelConfigs(Door):
    """`capture` of a folder with a `config.json`, then `count`."""

    share = 4_000
    # What the first capture imports takes longer than an input may.
    libraries: ClassVar[tuple[str, ...]] = (
        "torch",
        "transformers.models.llama.modeling_llama",
        "transformers.models.vit.modeling_vit",
        "pyinfercost.sources.huggingface.decode_step",
        "pyinfercost.sources.trace.trace",
    )
    scheme = "hf"
    _numbers = count()

    def seeds(self) -> list[Value]:
        """Return configs of small models of every kind."""
        import transformers
        from support.small_transformers import MODELS

        configs = []
        for name, (architecture, fields) in MODELS.items():
            config = getattr(transformers, f"{name}Config")(**fields)
            configs.append({**json.loads(config.to_json_string()), "architectures": [architecture]})
        quantized = next(config for config in configs if config["model_type"] == "llama")
        return [*configs, *({**quantized, "quantization_config": settings} for settings in _QUANTIZATIONS)]

    def draw(self, random: Random) -> Value:
        """Return a changed config, a phase and sizes."""
        if not isinstance(self.corpus, Corpus):
            self.corpus = Corpus(self.corpus)
        config = self.corpus.draw(random)
        if random.random() < 0.6:
            names = [name for name, item in config.items() if isinstance(item, (int, float, list, str))]
            for name in random.sample(names, random.choice((1, 1, 2))):
                config[name] = random.choice((0, -1, 1, 3, 7, 2**31, None, "", [1], integer(random), text(random)))
        if random.random() < 0.6:
            config = mutate(random, config)
        if isinstance(config, dict) and random.random() < 0.2:
            key = random.choice(list(_SETTINGS))
            config[key] = random.choice(_SETTINGS[key])
        if isinstance(config, (dict, list)):
            _make_shallow(config)
        written = json.dumps(config)
        if random.random() < 0.05:
            written = random.choice(
                ("\ufeff" + written, '{"model_type": "bert",' + written[1:], broken_json(random, {}))
            )
        return {
            "config": written,
            "phase": random.choice(_PHASES) if random.random() < 0.98 else text(random),
            "sizes": {name: _size(random, name) for name in _SIZES if random.random() < 0.15},
        }

    def run(self, value: Value) -> Iterator[Figure]:
        """Write the config, and capture and count the model."""
        folder = self.folder / f"{next(self._numbers)}.model"
        folder.mkdir()
        try:
            (folder / "config.json").write_text(value["config"], encoding="utf-8", errors="surrogatepass")
            graph = ic.capture(f"{self.scheme}:{folder}{value['phase']}", **value["sizes"])
            yield from of_counts(ic.count(graph))
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _size(random: Random, name: str) -> int:
    """Return a size; some models loop over positions, so a long sequence is legal and slow to capture."""
    size = random.choice((1, 2, 8, integer(random)))
    return _LONGEST if name in _POSITIONS and _LONGEST < size < _REFUSED else size


def _make_shallow(config: Value, key: str = "") -> None:
    """Lower counts of layers and experts that are legal but take longer than an input may: a second for 100 layers."""
    for place, item in config.items() if isinstance(config, dict) else enumerate(config):
        name = str(place) if isinstance(config, dict) else key
        if isinstance(item, (dict, list)):
            _make_shallow(item, name)
        elif isinstance(item, int) and 8 < item <= MOST_EXPERTS and _DEEP.search(name):
            config[place] = 8
