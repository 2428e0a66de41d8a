"""The KV cache of a language model: keys, values and states that a forward leaves for the next one."""

from __future__ import annotations

from .declared import Part, declared, fact

KINDS = ("full", "sliding", "latent", "cross", "state")
"""Kinds of layers, in the order of reports."""


@declared
class CacheLayers:
    """Layers of one kind that hold as many tokens of each sequence."""

    kind: str = fact(
        '`"full"`: keys and values of every token. `"sliding"`: of the last tokens only. `"latent"`: one vector per '
        'token from which products make keys and values of all heads (multi-head latent attention). `"cross"`: keys '
        'and values of tokens of an encoder. `"state"`: the state of recurrent layers, which has a fixed size.'
    )
    layers: int = fact("Number of layers.")
    dtype: str = fact("Dtype of the elements; several are separated by commas.")
    positions: int | None = fact("Tokens that they hold of each sequence; None for a state.")
    bytes_per_token: int = fact("Bytes of one token of a sequence in all of these layers; 0 for a state.")
    bytes_per_sequence: int = fact("Bytes of a sequence in all of these layers.")
    grows: bool = fact("Whether the next token adds its bytes; False for a full window.")


@declared
class KVCache(Part):
    """Keys, values and states after a forward."""

    layers: tuple[CacheLayers, ...] = fact("Layers by kind.")
    bytes: int = fact("Bytes of all sequences.")
    bytes_per_token: int = fact("Bytes that the next token of a sequence adds.")
    bytes_per_sequence: int = fact("Bytes of a sequence.")
    tokens: int | None = fact("Tokens of a sequence: the most in a layer; None if all layers have states.")
