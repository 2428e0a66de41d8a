"""Work of a training step: FLOPs that the model needs, FLOPs that run, and bytes, for batches of any size."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import torch

from .. import _core
from ..sources.example import Example, ShapeError, Sizes, with_open_sizes
from ..sources.inference_view.view import inference_view

if TYPE_CHECKING:
    from .._core import CountRow, Graph, Quantity

_SEQUENCE = "sequence"


class BatchWork(NamedTuple):
    """Work of one forward and backward.

    Attributes:
        model_flops: Contraction FLOPs that the model needs: forward, and backward for the gradients that are required.
        run_flops: Contraction FLOPs that run, including recomputed activations; `model_flops` without recomputation.
        bytes: Read and written by the operators of forward and backward.
        items: Of the batch.
        tokens: Read by the forward, including padding; None for a model without tokens.
    """

    model_flops: float
    run_flops: float
    bytes: float
    items: int
    tokens: int | None


class TrainingWork:
    """Work of batches of any size, from one capture of a training step.

    Args:
        module: The module in training.
        example: Inputs of a training step.
        loss: From the module's result to a scalar, as `capture` takes it.
        causal: Whether attention counts only the part of its square that a causal mask keeps.

    Raises:
        CaptureError: The training step cannot be captured.
    """

    def __init__(
        self, module: torch.nn.Module, example: Example, *, loss: Callable[[Any], Any] | None, causal: bool
    ) -> None:
        self._example = example
        view = inference_view(module)
        self.notes = view.notes
        with _without_checkpoints(view.module) as recomputes:
            self._graph = _capture_step(view.module, example, loss)
        self._field = "causal_flops" if causal else "contraction_flops"
        self._counts = _quantities(self._graph).total
        self._run: tuple[Graph, CountRow] | None = None
        if recomputes:
            graph = _capture_step(view.module, example, loss)
            self._run = graph, _quantities(graph).total
        self._known: dict[Sizes, BatchWork] = {}
        self._ids = _core.boundary(self._graph).tokens

    def of(self, sizes: Sizes) -> BatchWork:
        """Return the work of a batch.

        Args:
            sizes: Values of the named sizes, in the order of `Example.names`.

        Raises:
            ShapeError: A size that the capture fixes differs from the example's.
        """
        if sizes not in self._known:
            self._known[sizes] = self._work(dict(zip(self._example.names, sizes, strict=True)))
        return self._known[sizes]

    def useful_share(self, sizes: Sizes, lengths: Mapping[int, int]) -> float:
        """Return the share of the FLOPs of padded batches that their real tokens need.

        Each sequence counts with the FLOPs of an unpadded one of its length, so that attention over padding is left
        out. If the sequence length is not an open size (`sequence`), FLOPs are taken as proportional to tokens.

        Args:
            sizes: Values of the named sizes of these batches.
            lengths: Real length -> number of sequences.
        """
        named = dict(zip(self._example.names, sizes, strict=True))
        padded = named.get(_SEQUENCE)
        if padded is None or _SEQUENCE not in self._graph.sizes or "batch" not in named:
            longest = padded or max(lengths)
            tokens = sum(length * count for length, count in lengths.items())
            return min(1.0, tokens / (longest * sum(lengths.values()))) if longest else 1.0
        whole = self._flops({**named, "batch": 1})
        if whole == 0:  # a model without contractions
            return 1.0
        real = sum(
            count * self._flops({**named, "batch": 1, _SEQUENCE: max(1, length)}) for length, count in lengths.items()
        )
        return real / (whole * sum(lengths.values()))

    def _flops(self, named: Mapping[str, int]) -> float:
        quantity: Quantity = getattr(self._counts, self._field)
        return float(_value(quantity, self._graph, named))

    def _work(self, named: Mapping[str, int]) -> BatchWork:
        items = named.get("batch", 1)
        scale = 1.0
        for name, size in zip(self._example.names, self._example.sizes(), strict=True):
            if name in self._graph.sizes or named[name] == size:
                continue
            if name != "batch":
                raise ShapeError(
                    f"{name} is {named[name]} and was {size} in the example: the model's training step cannot be "
                    "captured with that size open, so the work of other sizes is not known"
                )
            scale = items / size  # work is proportional to the items of a batch
        model_flops = self._flops(named) * scale
        run_flops = model_flops
        if self._run is not None:
            graph, counts = self._run
            run_flops = _value(getattr(counts, self._field), graph, named) * scale
        moved = _value(self._counts.bytes_read, self._graph, named) + _value(
            self._counts.bytes_written, self._graph, named
        )
        tokens = None if self._ids is None else int(_value(self._ids, self._graph, named) * scale)
        return BatchWork(model_flops, run_flops, moved * scale, items, tokens)


@contextlib.contextmanager
def _without_checkpoints(module: torch.nn.Module) -> Iterator[bool]:
    """Clear the flags with which parts of a module recompute activations; yield whether there are any.

    `transformers` has `gradient_checkpointing`, `timm` has `grad_checkpointing`.
    """
    flags = [
        (part, name)
        for part in module.modules()
        for name, value in vars(part).items()
        if value is True and "checkpoint" in name
    ]
    try:
        for part, name in flags:
            setattr(part, name, False)
        yield bool(flags)
    finally:
        for part, name in flags:
            setattr(part, name, True)


def _capture_step(module: torch.nn.Module, example: Example, loss: Callable[[Any], Any] | None) -> Graph:
    from ..sources.torch_state import in_mode
    from ..sources.trace.trace import trace_graph

    def run(of: Example) -> Graph:
        return trace_graph(module, of.args, of.kwargs, of.dynamic or None, training=True, loss=loss)

    with in_mode(module, training=True):
        return with_open_sizes(run, example)


def _quantities(graph: Graph) -> Any:
    """Return counts in the graph's open sizes; sizes that depend on data are at their defaults."""
    return _core.count(graph, {})


def _value(quantity: Quantity, graph: Graph, named: Mapping[str, int]) -> int:
    from ..predict.plans import value_of

    if isinstance(quantity, int):
        return quantity
    return value_of(quantity, graph.size_values({name: v for name, v in named.items() if name in graph.sizes}))
