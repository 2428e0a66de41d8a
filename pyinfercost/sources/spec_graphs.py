"""Graphs of specs: from the cache, or captured and kept there.

The batch of a model stays a named size in the cache, if the capture allows that, so that one entry serves every batch;
the requested one is put in afterwards. A graph from the cache and one that is captured anew are therefore equal.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Collection, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from .. import _cache
from .._core import CountOverflowError, Error, Graph, GraphRewriter
from .data_names import is_data_name
from .file_graphs import read_graph
from .loaded_model import LoadedModel, SpecError, SpecSizeError, checked_size, unknown_name
from .memory_formats import split_format
from .model_names import LISTING, names_of
from .models import load_model, require_unquantized, stored
from .notices import noted, warn, warn_of_positions
from .registry import Source, source_of
from .sizes import BATCH, SizeError, bind_sizes
from .spec_keys import importing, is_of_libraries, key_of_spec

_KIND, _ENCODER = "graph", "encoder"
_FORM = 3
_HINT = 2
"""The batch at which a capture with a named batch runs; 1 is special in broadcasting."""


class SpecGraph(NamedTuple):
    """The graph of a spec.

    Attributes:
        graph: The graph.
        sizes: Values of the sizes of its inputs, defaults included, as far as the source states them.
        positions: Most tokens of a sequence that the config of the model states; None if it states none.
    """

    graph: Graph
    sizes: Mapping[str, int]
    positions: int | None = None


def load_graph(spec: str, sizes: Mapping[str, int], dynamic: Any = None) -> Graph:
    """Capture a model at the given sizes, or read its graph.

    Args:
        spec: As for `load_model`, or a file of a graph.
        sizes: As for `load_model`. The sizes of a file stay symbolic: the given ones are only validated here, and bound
            when counting.
        dynamic: As in `capture`.

    Returns:
        The graph.

    Raises:
        SpecError: As for `load_model`, or there is no such file.
        ArchiveError: A `.pt2` file cannot be read.
    """
    source = source_of(spec)
    if source is not None and source.opens == "graph":
        return read_graph(source, spec, sizes, dynamic)
    if dynamic is None:
        return spec_graph(spec, sizes).graph
    return _traced(spec, load_model(spec, _of_inputs(sizes)), sizes, dynamic)


def load_training_graph(spec: str, sizes: Mapping[str, int], loss: Callable[[Any], Any] | None = None) -> Graph:
    """Return the graph of one training step of a model.

    Args:
        spec: As for `load_model`.
        sizes: As for `load_model`.
        loss: As in `capture`.

    Raises:
        SpecError: As for `load_model`, or the spec names a stored graph, which has no module to train.
    """
    return spec_graph(spec, sizes, training=True, loss=loss).graph


def spec_graph(
    spec: str,
    sizes: Mapping[str, int],
    *,
    named: Collection[str] = (),
    training: bool = False,
    loss: Callable[[Any], Any] | None = None,
    most: Mapping[str, int] = MappingProxyType({}),
    across_windows: bool = False,
) -> SpecGraph:
    """Return the graph of a spec, captured at some sizes.

    More tokens than the model has positions are a `PositionsWarning`.

    Args:
        spec: A spec of a source that opens modules.
        sizes: Size name -> value; values of `named` sizes become defaults. A size that depends on data
            (`roi_heads.nms`) is passed to the trace.
        named: Sizes that stay named, as far as the capture allows.
        training: Whether to capture a training step.
        loss: As in `capture`.
        most: Largest values of those named sizes that will have several.
        across_windows: Whether attention with a window has its mask at all named lengths, as in exported programs. In
            eager mode, transformers leaves out the mask while all keys are within the window, so that the graph is
            valid on one side of the window only.

    Returns:
        The graph with its sizes.

    Raises:
        SpecError: As for `load_model`, or a training step is asked of a stored graph.
    """
    found = _found(spec, sizes, named, training=training, loss=loss, across_windows=across_windows)
    tokens = _tokens({**sizes, **most})
    if found.positions is not None and tokens > found.positions:
        warn_of_positions(spec, tokens, found.positions)
    return found


def _tokens(sizes: Mapping[str, int]) -> int:
    """Return the longest sequence of some sizes; a decode step adds a token to its context."""
    return max(sizes.get("sequence", 0), sizes.get("prompt", 0), sizes["context"] + 1 if "context" in sizes else 0)


def _found(
    spec: str,
    sizes: Mapping[str, int],
    named: Collection[str],
    *,
    training: bool,
    loss: Callable[[Any], Any] | None,
    across_windows: bool,
) -> SpecGraph:
    """Return the graph of a spec; arguments and errors are as in `spec_graph`."""
    source = source_of(spec)
    if training and source is not None and source.opens == "graph":
        raise SpecError(f"{spec} is a captured graph, which has no module to train; give the model's spec")
    if source is not None and source.name in LISTING and source.name not in sys.modules:
        known, name = names_of(source.name), source.rest_of(split_format(spec)[0])
        if known and name not in known:  # the library would raise the same, after seconds
            raise unknown_name(source.name, name, known)
    key = None
    if source is not None and loss is None and _cache.folder() is not None:
        key = key_of_spec(source, source.rest_of(spec))
    request = _Request(spec, source, dict(sizes), frozenset(named), training, loss, key, across_windows)
    # Functions of users may do anything with their sizes, and are called once, with those that are asked for.
    if source is not None and source.libraries and not training:
        found = request.with_open_batch()
        if found is not None:
            return found
    return request.exact()


def has_encoder(spec: str) -> bool:
    """Return whether a language model has an encoder as well as a decoder.

    Args:
        spec: A spec of a source with phases, without a phase.

    Raises:
        SpecError: The config does not exist or is not supported.
    """
    source = source_of(spec)
    if source is None or not source.has_phases:
        return False
    found = None if _cache.folder() is None else key_of_spec(source, source.rest_of(spec))
    key = None if found is None else _cache.digest(_FORM, found)
    if key is not None and (stored := _cache.read(_ENCODER, key)) is not None:
        return stored == b"true"
    with importing():
        answer = bool(getattr(source.config_of(spec), "is_encoder_decoder", False))
    if key is not None:
        _cache.write(_ENCODER, key, b"true" if answer else b"false")
    return answer


class _Request:
    """A request of the graph of a spec, and the keys of its entries in the cache."""

    def __init__(
        self,
        spec: str,
        source: Source | None,
        sizes: dict[str, int],
        named: frozenset[str],
        training: bool,
        loss: Callable[[Any], Any] | None,
        key: tuple[object, ...] | None,
        across_windows: bool,
    ) -> None:
        self._spec = spec
        self._source = source
        self._sizes = sizes
        self._named = named
        self._training = training
        self._loss = loss
        self._key = key
        self._across_windows = across_windows

    def with_open_batch(self) -> SpecGraph | None:
        """Return the graph with any batch, at the requested one; None if the model has no batch that may vary."""
        batch = self._sizes.get(BATCH, 1)
        checked_size(self._spec, BATCH, batch)
        sizes, named = {**self._sizes, BATCH: _HINT}, self._named | {BATCH}
        found = self._kept(sizes, named) or self._captured_open(sizes, named)
        if found is None or BATCH not in found.graph.sizes:
            return None
        rewriter = GraphRewriter(found.graph)
        try:
            bind_sizes(found.graph, {BATCH: batch})
            if BATCH in self._named:
                rewriter.set_default(BATCH, batch)
            else:
                rewriter.bind({BATCH: batch})
            graph = rewriter.build()
        except CountOverflowError as error:
            raise SpecSizeError(f"batch {batch} of {self._spec} is too large: {error}") from error
        except (SizeError, Error, ValueError, OverflowError):  # the capture assumed another batch
            return None
        stated = {**found.sizes, BATCH: batch} if found.sizes else {}
        return SpecGraph(graph, stated, found.positions)

    def exact(self) -> SpecGraph:
        """Return the graph at the requested sizes."""
        found = self._kept(self._sizes, self._named)
        return found or self._captured(*self._loaded(self._sizes), self._sizes, self._named)

    def _captured_open(self, sizes: Mapping[str, int], named: frozenset[str]) -> SpecGraph | None:
        """Return the graph with a named batch; None if the model or its capture needs a number."""
        try:
            loaded, told = self._loaded(sizes)
        except SpecSizeError:
            return None
        if not any(BATCH in dims.values() for dims in loaded.dynamic.values()):
            return None
        try:
            return self._captured(loaded, told, sizes, named)
        except Exception:  # libraries raise any; the capture at the requested sizes has the message
            return None

    def _digest(self, sizes: Mapping[str, int], named: frozenset[str]) -> str:
        return _cache.digest(
            _FORM, self._key, sorted(sizes.items()), sorted(named), self._training, self._across_windows
        )

    def _kept(self, sizes: Mapping[str, int], named: frozenset[str]) -> SpecGraph | None:
        """Return the entry of the cache for this package, these libraries and these files."""
        if self._key is None:
            return None
        body = _cache.read(_KIND, self._digest(sizes, named))
        if body is None:
            return None
        head, _, text = body.partition(b"\n")
        try:
            about = json.loads(head)
            positions = about["positions"]
            limit = positions if positions is None else int(positions)
            found = SpecGraph(Graph.from_json(text.decode()), dict(about["sizes"]), limit)
            told = [str(each) for each in about["told"]]
        except (ValueError, KeyError, TypeError, OverflowError):  # made by another form of this package
            return None
        for each in told:
            warn(each)
        return found

    def _loaded(self, sizes: Mapping[str, int]) -> tuple[LoadedModel, list[str]]:
        """Return the model, and the texts of the warnings about it."""
        with noted() as told, importing():
            return load_model(self._spec, sizes if self._training else _of_inputs(sizes)), told

    def _captured(
        self, loaded: LoadedModel, told: list[str], sizes: Mapping[str, int], named: frozenset[str]
    ) -> SpecGraph:
        may_open = {key: {**dims, **loaded.open_images.get(key, {})} for key, dims in loaded.dynamic.items()}
        dynamic = {key: {dim: name for dim, name in dims.items() if name in named} for key, dims in may_open.items()}
        if self._training:
            graph = _traced_training(self._spec, loaded, dynamic, self._loss)
        elif self._across_windows:
            from .huggingface.window_masks import masks_at_all_lengths

            with masks_at_all_lengths():
                graph = _traced(self._spec, loaded, sizes, dynamic)
        else:
            graph = _traced(self._spec, loaded, sizes, dynamic)
        found = SpecGraph(graph, dict(loaded.sizes), loaded.positions)
        of_libraries = self._source is not None and is_of_libraries(loaded.module, self._source.libraries)
        if self._key is not None and of_libraries:
            about = {"spec": self._spec, "sizes": found.sizes, "told": told, "positions": found.positions}
            _cache.write(_KIND, self._digest(sizes, named), f"{json.dumps(about)}\n{graph.to_json()}".encode())
        return found


def _of_inputs(sizes: Mapping[str, int]) -> dict[str, int]:
    """Return the sizes of inputs, without those that depend on data."""
    return {name: value for name, value in sizes.items() if not is_data_name(name)}


def _traced(spec: str, loaded: LoadedModel, sizes: Mapping[str, int], dynamic: Any) -> Graph:
    from .trace.trace import trace_graph

    of_data = {name: value for name, value in sizes.items() if is_data_name(name)}
    graph = trace_graph(loaded.module, loaded.args, loaded.kwargs, dynamic, model=spec, sizes=of_data)
    return stored(spec, graph, loaded)


def _traced_training(spec: str, loaded: LoadedModel, dynamic: Any, loss: Callable[[Any], Any] | None) -> Graph:
    from .trace.trace import trace_graph

    require_unquantized(spec, loaded, "a training step")
    return trace_graph(loaded.module.train(), loaded.args, loaded.kwargs, dynamic, model=spec, training=True, loss=loss)
