"""The KV cache of a Hugging Face model as plain tensors, so that a capture sees it among the inputs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_MATRIX = 2


class DecodeStep:
    """Puts flat `past_key_values_*` tensors back into the model's own cache object before each call."""

    def __init__(self, argument: str, cache: Any) -> None:
        self._argument = argument
        self._cache = cache
        halves = (
            (cache.self_attention_cache, cache.cross_attention_cache)
            if hasattr(cache, "self_attention_cache")
            else (cache,)
        )
        self._growing = len(halves[0].layers)
        self._layers: list[Any] = [layer for half in halves for layer in half.layers]
        # Some caches also keep a list of states of their own beside their layers.
        self._layers += [half for half in halves if any(_listed(value) for value in vars(half).values())]
        # A layer also counts tokens and marks what it has seen; each call starts from the state after the prefill.
        self._states = [_copied(vars(layer)) for layer in self._layers]
        self.tensors: dict[str, Any] = {}
        for index, state in enumerate(self._states):
            for attribute, value in state.items():
                for key, tensor in _tensors(value):
                    self.tensors[_cache_name(index, attribute, key)] = tensor

    def context_dim(self, name: str, context: int) -> dict[int, str]:
        """Which dimension of a cache tensor grows with the context: full attention's has one, a window or state not."""
        tensor = self.tensors[name]
        index = int(name.split("_")[3])
        grows = index < self._growing and not getattr(self._layers[index], "is_sliding", False)
        if grows and name.endswith(("_keys", "_values")) and tensor.dim() >= _MATRIX and tensor.shape[-2] == context:
            return {tensor.dim() - 2: "context"}
        return {}

    def __call__(self, _: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        from pyinfercost.capture.handed_out import given_up

        kwargs = dict(kwargs)
        for index, (layer, state) in enumerate(zip(self._layers, self._states, strict=True)):
            for attribute, value in _copied(state).items():
                if isinstance(value, (dict, list)):
                    for key, tensor in _tensors(value):
                        value[key] = given_up(kwargs.pop(_cache_name(index, attribute, key), tensor))
                    setattr(layer, attribute, value)
                else:
                    setattr(layer, attribute, given_up(kwargs.pop(_cache_name(index, attribute, None), value)))
        kwargs[self._argument] = self._cache
        if "encoder_last_hidden_state" in kwargs:
            from transformers.modeling_outputs import BaseModelOutput

            kwargs["encoder_outputs"] = BaseModelOutput(last_hidden_state=kwargs.pop("encoder_last_hidden_state"))
        return args, kwargs


def _cache_name(layer: int, attribute: str, key: Any) -> str:
    return f"past_key_values_{layer}_{attribute.lstrip('_')}" + ("" if key is None else f"_{key}")


def _copied(state: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: dict(value) if isinstance(value, dict) else list(value) if _listed(value) else value
        for name, value in state.items()
    }


def _tensors(value: Any) -> list[tuple[Any, Any]]:
    """The tensors of a cache attribute: itself (under None), or those of a dict or a list under their keys."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if _listed(value) else [(None, value)]
    return [(key, tensor) for key, tensor in items if hasattr(tensor, "stride")]


def _listed(value: Any) -> bool:
    """Whether a value is a list with tensors in it."""
    return isinstance(value, list) and any(hasattr(entry, "stride") for entry in value)
