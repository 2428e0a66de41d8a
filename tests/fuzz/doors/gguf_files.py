"""GGUF files: `capture` of a file, then `count`."""

from __future__ import annotations

import struct
import warnings
from collections.abc import Iterator
from itertools import count
from math import prod
from random import Random
from typing import ClassVar

from support.gguf_bytes import ALIGNMENT, CODES, KINDS, array, content, setting, tensor, text

import pyinfercost as ic

from ..door import Corpus, Door, Figure
from ..mutate import integer, mutated_bytes
from ..mutate import text as any_text
from ..values import Value
from .figures import of_counts

_SIZES = {0: (1, 4), 1: (1, 2), 2: (32, 18), 8: (32, 34), 12: (256, 144), 14: (256, 210), 39: (32, 17)}
_BASE = {
    "context_length": 64, "embedding_length": 256, "block_count": 2, "feed_forward_length": 256,
    "attention.head_count": 4, "attention.head_count_kv": 2,
}  # fmt: skip
_EXPERTS = {"expert_count": 2, "expert_used_count": 1, "expert_feed_forward_length": 256}
_LAYER = {
    "attn_norm": (256,), "ffn_norm": (256,), "attn_q": (256, 256), "attn_k": (256, 128), "attn_v": (256, 128),
    "attn_output": (256, 256), "ffn_gate": (256, 256), "ffn_up": (256, 256), "ffn_down": (256, 256),
}  # fmt: skip
_OF_EXPERTS = {"ffn_gate_inp": (256, 2), "ffn_gate_exps": (256, 256, 2), "ffn_up_exps": (256, 256, 2),
               "ffn_down_exps": (256, 256, 2)}  # fmt: skip
_ARCHITECTURES = {
    "llama": ({}, _LAYER),
    "qwen3": ({}, {**_LAYER, "attn_q_norm": (64,), "attn_k_norm": (64,)}),
    "gemma2": ({"attention.sliding_window": 8},
               {**_LAYER, "post_attention_norm": (256,), "post_ffw_norm": (256,)}),
    "qwen3moe": (_EXPERTS, {**{name: shape for name, shape in _LAYER.items() if not name.startswith("ffn_")},
                            "ffn_norm": (256,), "attn_q_norm": (64,), "attn_k_norm": (64,), **_OF_EXPERTS}),
}  # fmt: skip
_MOST_LAYERS = 8


class GgufFiles(Door):
    """`capture` of a GGUF file."""

    share = 4_000
    # What the first capture imports takes longer than an input may.
    libraries: ClassVar[tuple[str, ...]] = (
        "torch",
        "transformers.models.llama.modeling_llama",
        "pyinfercost.sources.huggingface.decode_step",
        "pyinfercost.sources.trace.trace",
    )
    _numbers = count()

    def seeds(self) -> list[Value]:
        """Return files of small models: their settings and tensors."""
        return [_model(name) for name in _ARCHITECTURES]

    def draw(self, random: Random) -> Value:
        """Return a changed file, as bytes, and a phase."""
        if not isinstance(self.corpus, Corpus):
            self.corpus = Corpus(self.corpus)
        model = self.corpus.draw(random)
        for _ in range(random.choice((0, 1, 1, 2))):
            _change(random, model)
        raw = _content(random, model)
        if random.random() < 0.25:
            raw = mutated_bytes(random, raw)
        if random.random() < 0.1:
            at = random.randrange(len(raw))
            raw = raw[:at] + struct.pack("<Q", random.choice((0, 2**31, 2**63, 2**64 - 1))) + raw[at + 8 :]
        return {"content": raw, "phase": random.choice(("", "", "#prefill", "#decode", "#train"))}

    def run(self, value: Value) -> Iterator[Figure]:
        """Write the file; capture and count it."""
        path = self.folder / f"{next(self._numbers)}.gguf"
        path.write_bytes(value["content"])
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                yield from of_counts(ic.count(ic.capture(f"{path}{value['phase']}")))
        finally:
            path.unlink()


def _model(name: str) -> Value:
    own, layer = _ARCHITECTURES[name]
    settings = [["general.architecture", KINDS["text"], name]]
    settings += [[f"{name}.{key}", KINDS["u32"], number] for key, number in {**_BASE, **own}.items()]
    settings.append(["tokenizer.ggml.tokens", KINDS["array"], [KINDS["text"], ["a", "b"]]])
    tensors = [["token_embd.weight", [256, 32], 2], ["output.weight", [256, 32], 14], ["output_norm.weight", [256], 0]]
    for block in range(2):
        tensors += [[f"blk.{block}.{part}.weight", list(s), 12 if len(s) > 1 else 0] for part, s in layer.items()]
    return {"settings": settings, "tensors": tensors}


def _change(random: Random, model: Value) -> None:
    """Change one setting or one tensor, or add many."""
    settings, tensors = model["settings"], model["tensors"]
    drawn = random.random()
    if drawn < 0.04:
        count = random.choice((100, 5000))
        kind = random.randrange(4)
        if kind == 0:
            tensors += [[f"t{number}", [0], 0] for number in range(count)]
        elif kind == 1:
            settings += [[f"s{number}", KINDS["text"], "a" * random.choice((0, 300))] for number in range(count)]
        elif kind == 2:
            settings.append(["tokens", KINDS["array"], [KINDS["text"], ["a"] * (10 * count)]])
        else:
            random.choice(tensors)[1] = [1] * count
    elif drawn < 0.35 and settings:
        row = random.choice(settings)
        if isinstance(row[2], int):
            row[2] = random.choice((0, 1, 3, 2**31, integer(random)))
        elif isinstance(row[2], str):
            row[2] = any_text(random)
    elif drawn < 0.45 and settings:
        settings.pop(random.randrange(len(settings)))
    elif drawn < 0.55:
        key = random.choice([row[0] for row in settings] or [""])
        kind = random.choice(list(CODES))
        value = random.choice(([kind, [0, 1]], [KINDS["text"], [any_text(random)]], [KINDS["array"], []]))
        settings.append([random.choice((key, any_text(random))), KINDS["array"], value])
    elif drawn < 0.7 and tensors:
        row = random.choice(tensors)
        row[1] = [random.choice((0, 1, 32, 256, 512, length, integer(random))) for length in row[1]]
    elif drawn < 0.8 and tensors:
        random.choice(tensors)[2] = random.choice((*_SIZES, 3, 16, 19, 24, 30, 31, 255))
    elif drawn < 0.9 and tensors:
        tensors.pop(random.randrange(len(tensors)))
    elif tensors:
        row = random.choice(tensors)
        tensors.append([random.choice((row[0], any_text(random), "blk.1.ffn_gate.0.weight")), list(row[1]), row[2]])


def _content(random: Random, model: Value) -> bytes:
    """Return the bytes of a file whose offsets are right."""
    order = random.choice("<<<>")
    settings = [_setting(row, order) for row in model["settings"]]
    offset, tensors = 0, []
    for name, shape, kind in model["tensors"]:
        weights, nbytes = _SIZES.get(kind, (1, 4))
        inward = [length % 2**64 for length in shape]
        tensors.append(tensor(name, inward, kind, offset % 2**64, order))
        offset += -(-prod(inward) // weights * nbytes // ALIGNMENT) * ALIGNMENT
    return content(settings, tensors, min(offset, 4_000_000), order=order, version=random.choice((2, 3, 3)))


def _setting(row: Value, order: str) -> bytes:
    key, kind, value = row
    if isinstance(value, str):
        return setting(key, KINDS["text"], text(value, order), order)
    if isinstance(value, list):
        inner, values = value
        return setting(key, kind, array(inner, values, order), order)
    if key.endswith(("block_count", "expert_count")) and _MOST_LAYERS < value < 1_000:  # legal, and slow to capture
        value = _MOST_LAYERS
    return setting(key, kind, value % 2**32, order)
