"""The KV cache of a Hugging Face model as plain tensors, so that a capture sees it among the inputs."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

from ..inputs import CappedSize

_MATRIX = 2
CONTEXT = "past_key_values_context"
"""Input for the number of tokens that were processed, which a layer with a window counts separately."""


class DecodeStep:
    """Hook that puts flat `past_key_values_*` tensors back into the model's cache object before each call.

    Args:
        argument: Name of the forward's cache argument.
        cache: The cache filled by the model.
        encoder_outputs: Result of the encoder; None if there is none.
    """

    def __init__(self, argument: str, cache: Any, encoder_outputs: EncoderOutputs | None = None) -> None:
        self._argument = argument
        self._encoder_outputs = encoder_outputs
        layered = hasattr(cache, "self_attention_cache") or hasattr(cache, "layers")
        self._parts: _Layers | _State = _Layers(cache) if layered else _State(cache)
        self.tensors: dict[str, Any] = self._parts.tensors

    def context_dims(self, context: int) -> dict[str, dict[int, str]]:
        """Return the dimensions of cache tensors that grow with the context, if only up to a window.

        None grows by name if the cache also has tensors that follow the context by a rule of its own, such as one entry
        for several tokens: a graph with an open context would have a fixed length of it.
        """
        found = {name: self._context_dim(name, context) for name in self.tensors}
        if any(not dims and not self._parts.is_understood(name) for name, dims in found.items()):
            return {}
        return found

    def _context_dim(self, name: str, context: int) -> dict[int, str]:
        tensor = self.tensors[name]
        if not name.endswith(("_keys", "_values")) or tensor.dim() < _MATRIX:
            return {}
        most = self._parts.most(name)
        if most is None or tensor.shape[-2] != min(context, most):
            return {}
        return {tensor.dim() - 2: "context" if most >= _NO_WINDOW else CappedSize("context", context, most)}

    @property
    def counts_tokens(self) -> bool:
        """Whether the cache counts the tokens of the context, and takes their number as the input `CONTEXT`."""
        return self._parts.counts_tokens

    def __call__(self, _: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        kwargs = dict(kwargs)
        kwargs[self._argument] = self._parts.filled(kwargs)
        if self._encoder_outputs is not None:
            kwargs["encoder_outputs"] = self._encoder_outputs.taken_from(kwargs)
        return args, kwargs


class _Layers:
    """A cache of `transformers` with layers, or two of them for an encoder and a decoder."""

    def __init__(self, cache: Any) -> None:
        self._cache = cache
        halves = (
            (cache.self_attention_cache, cache.cross_attention_cache)
            if hasattr(cache, "self_attention_cache")
            else (cache,)
        )
        self._growing = len(halves[0].layers)
        self._layers: list[Any] = [layer for half in halves for layer in half.layers]
        # Some caches also keep lists of states in addition to their layers.
        self._layers += [half for half in halves if any(_listed(value) for value in vars(half).values())]
        # Layers count and mark processed tokens; each call starts from the state after the prefill.
        self._states = [_copied(vars(layer)) for layer in self._layers]
        self.tensors = {
            _cache_name(index, attribute, key): tensor
            for index, state in enumerate(self._states)
            for attribute, value in state.items()
            for key, tensor in _tensors(value)
        }

    @property
    def counts_tokens(self) -> bool:
        return any(_COUNT in state for state in self._states)

    def most(self, name: str) -> int | None:
        """Return the most tokens in a tensor; None if it does not grow with the context."""
        index = int(name.split("_")[3])
        if index >= self._growing:
            return None
        layer = self._layers[index]
        # A window counts the new token, so that the cache before a step has one token less.
        if not getattr(layer, "is_sliding", False):
            return _NO_WINDOW
        window = getattr(layer, "sliding_window", None)
        return window - 1 if isinstance(window, int) else None

    def is_understood(self, name: str) -> bool:
        """Return whether a tensor without a dimension that grows has the same shape at any context."""
        index = int(name.split("_")[3])
        tensor = self.tensors[name]
        if index >= self._growing or tensor.dim() <= _MATRIX:
            return True
        layer = self._layers[index]
        slides = getattr(layer, "is_sliding", False) and name.endswith(("_keys", "_values"))
        return not slides and type(layer).__module__ == _OF_TRANSFORMERS

    def filled(self, kwargs: dict[str, Any]) -> Any:
        """Return the cache with the tensors of a call, which are removed from its arguments."""
        from pyinfercost.sources.trace.lifetimes import given_up

        seen = kwargs.pop(CONTEXT, None)
        for index, (layer, state) in enumerate(zip(self._layers, self._states, strict=True)):
            for attribute, value in _copied(state).items():
                if isinstance(value, (dict, list)):
                    for key, tensor in _tensors(value):
                        value[key] = given_up(kwargs.pop(_cache_name(index, attribute, key), tensor))
                    setattr(layer, attribute, value)
                else:
                    setattr(layer, attribute, given_up(kwargs.pop(_cache_name(index, attribute, None), value)))
            if seen is not None and _COUNT in state:
                layer.cumulative_length = seen
                layer.get_mask_sizes = partial(_mask_sizes, layer)
        return self._cache


def _mask_sizes(layer: Any, query_length: Any) -> tuple[Any, Any]:
    """Return the keys that a mask has, and the first of them, without comparing the context with the window."""
    import torch

    seen = layer.cumulative_length
    kept = torch.sym_min(seen, layer.sliding_window - 1)  # type: ignore[no-untyped-call]
    return kept + query_length, seen - kept


class _State:
    """The state of a recurrent model: tensors in lists, or in an object of its own."""

    def __init__(self, state: Any) -> None:
        self._state = state
        self.tensors = {f"past_key_values_{path}": tensor for path, tensor in _leaves(state)}

    counts_tokens = False

    def is_understood(self, name: str) -> bool:
        """As `_Layers.is_understood`."""
        del name
        return True

    def most(self, name: str) -> int | None:
        """As `_Layers.most`."""
        del name
        return None

    def filled(self, kwargs: dict[str, Any]) -> Any:
        """As `_Layers.filled`."""
        from pyinfercost.sources.trace.lifetimes import given_up

        return _rebuilt(self._state, lambda path, tensor: given_up(kwargs.pop(f"past_key_values_{path}", tensor)))


def _leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the tensors in nested lists and dicts, and in the attributes of the outermost object."""
    if hasattr(value, "stride"):
        yield path, value
    for name, part in _items(value, outermost=not path):
        yield from _leaves(part, f"{path}_{name}".lstrip("_"))


def _items(value: Any, *, outermost: bool) -> list[tuple[Any, Any]]:
    if isinstance(value, list | tuple):
        return list(enumerate(value))
    if isinstance(value, dict):
        return list(value.items())
    return list(vars(value).items()) if outermost and hasattr(value, "__dict__") else []


def _rebuilt(value: Any, of_leaf: Callable[[str, Any], Any], path: str = "") -> Any:
    """Return a copy of nested containers with other tensors."""
    if hasattr(value, "stride"):
        return of_leaf(path, value)
    parts = {
        name: _rebuilt(part, of_leaf, f"{path}_{name}".lstrip("_")) for name, part in _items(value, outermost=not path)
    }
    if isinstance(value, list | tuple):
        return type(value)(parts.values())
    if isinstance(value, dict) or not parts:
        return parts if isinstance(value, dict) else value
    twin = copy.copy(value)
    vars(twin).update(parts)
    return twin


class EncoderOutputs:
    """Result of an encoder, which a decode step takes again in an object of the same class.

    Attributes:
        tensors: `encoder_last_hidden_state` and further tensors for decoders (a padding mask), by name.
    """

    def __init__(self, returned: Any) -> None:
        self._kind = type(returned)
        self.tensors = {f"{_ENCODER}{name}": value for name, value in returned.items() if hasattr(value, "stride")}

    def taken_from(self, kwargs: dict[str, Any]) -> Any:
        """Return the object with the tensors of a call, which are removed from its arguments."""
        return self._kind(**{name.removeprefix(_ENCODER): kwargs.pop(name) for name in self.tensors})


_ENCODER = "encoder_"
_COUNT = "cumulative_length"
_OF_TRANSFORMERS = "transformers.cache_utils"
_NO_WINDOW = 2**62


def _cache_name(layer: int, attribute: str, key: Any) -> str:
    return f"past_key_values_{layer}_{attribute.lstrip('_')}" + ("" if key is None else f"_{key}")


def _copied(state: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: dict(value) if isinstance(value, dict) else list(value) if _listed(value) else value
        for name, value in state.items()
    }


def _tensors(value: Any) -> list[tuple[Any, Any]]:
    """Return the tensors of a cache attribute: itself (under None), or the items of a dict or a list by key."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if _listed(value) else [(None, value)]
    return [(key, tensor) for key, tensor in items if hasattr(tensor, "stride")]


def _listed(value: Any) -> bool:
    """Return whether a value is a list of tensors."""
    return isinstance(value, list) and any(hasattr(entry, "stride") for entry in value)
