"""The KV cache of a language model: keys, values and states that a forward leaves for the next one."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from .._records import dataclass

KINDS = ("full", "sliding", "latent", "cross", "state")
"""Kinds of layers, in the order of reports."""


@dataclass(frozen=True)
class CacheLayers:
    """Layers of one kind that hold as many tokens of each sequence.

    Attributes:
        kind: `"full"`: keys and values of every token. `"sliding"`: of the last tokens only. `"latent"`: one vector per
            token from which products make keys and values of all heads (multi-head latent attention). `"cross"`: keys
            and values of an encoder's tokens. `"state"`: the state of recurrent layers, which has a fixed size.
        layers: Number of layers.
        dtype: Dtype of the elements; several are separated by commas.
        positions: Tokens that they hold of each sequence; None for a state.
        bytes_per_token: Bytes of one token of a sequence in all of these layers; 0 for a state.
        bytes_per_sequence: Bytes of a sequence in all of these layers.
        grows: Whether the next token adds its bytes; False for a full window.
    """

    kind: str
    layers: int
    dtype: str
    positions: int | None
    bytes_per_token: int
    bytes_per_sequence: int
    grows: bool


@dataclass(frozen=True)
class KVCache:
    """Keys, values and states after a forward.

    Attributes:
        layers: Layers by kind.
        bytes: Bytes of all sequences.
        bytes_per_token: Bytes that the next token of a sequence adds.
        bytes_per_sequence: Bytes of a sequence.
        tokens: Tokens of a sequence: the most that a layer holds; None if all layers have states.
    """

    layers: tuple[CacheLayers, ...]
    bytes: int
    bytes_per_token: int
    bytes_per_sequence: int
    tokens: int | None

    def to_dict(self) -> dict[str, Any]:
        """Return the attributes as JSON values."""
        return asdict(self) | {"layers": [asdict(layers) for layers in self.layers]}
