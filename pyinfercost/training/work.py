"""What one batch of training asks for: FLOPs that the model needs, FLOPs that are run, and bytes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import torch

from .. import _core
from .checkpoints import without_checkpoints
from .inference_view import deployed
from .example import Example, ShapeError, Sizes
from .cost_to_serve import with_open_sizes

if TYPE_CHECKING:
    from .._core import CountRow, Graph, Quantity

_SEQUENCE = "sequence"


class BatchWork(NamedTuple):
    """The work of one forward and backward.

    Attributes:
        model_flops: that the model needs: its products, once forward and, for gradients that are required, backward.
        run_flops: that are run, activations that are computed again included; equal to `model_flops` where none are.
        bytes: that the operators of forward and backward read and write.
        items: of the batch.
        tokens: that the forward reads, padding included; None where it reads none.
    """

    model_flops: float
    run_flops: float
    bytes: float
    items: int
    tokens: int | None


class TrainingWork:
    """The work of batches of any size, from one capture of a training step.

    Args:
        module: in training.
        example: inputs of a training step.
        loss: from what the module returns to a scalar, as `capture` takes it.
        causal: whether attention counts what its causal mask keeps alone, and not the whole square.
    """

    def __init__(
        self, module: torch.nn.Module, example: Example, *, loss: Callable[[Any], Any] | None, causal: bool
    ) -> None:
        self._example = example
        view = deployed(module)
        self.notes = view.notes
        with without_checkpoints(view.module) as recomputes:
            self._graph = _captured(view.module, example, loss)
        self._field = "causal_flops" if causal else "contraction_flops"
        self._counts = _quantities(self._graph).total
        self._run: tuple[Graph, CountRow] | None = None
        if recomputes:
            graph = _captured(view.module, example, loss)
            self._run = graph, _quantities(graph).total
        self._known: dict[Sizes, BatchWork] = {}
        self._ids = _core.boundary(self._graph)["tokens"]

    def of(self, sizes: Sizes) -> BatchWork:
        """The work of a batch whose named sizes, in the order of `Example.names`, have these values.

        Raises:
            ShapeError: a size is not the example's that could not stay open in the capture.
        """
        if sizes not in self._known:
            self._known[sizes] = self._work(dict(zip(self._example.names, sizes, strict=True)))
        return self._known[sizes]

    def useful_share(self, sizes: Sizes, lengths: Mapping[int, int]) -> float:
        """The share of padded batches' FLOPs that their real tokens need; `lengths` has how many are how long.

        Each sequence counts with the FLOPs of one of its own length, so that attention over padding does not count.
        Where the length of sequences is no open size (`sequence`), FLOPs are taken to grow with the tokens.
        """
        named = dict(zip(self._example.names, sizes, strict=True))
        padded = named.get(_SEQUENCE)
        if padded is None or _SEQUENCE not in self._graph.sizes or "batch" not in named:
            longest = padded or max(lengths)
            tokens = sum(length * count for length, count in lengths.items())
            return min(1.0, tokens / (longest * sum(lengths.values()))) if longest else 1.0
        whole = self._flops({**named, "batch": 1})
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
            scale = items / size  # the work of another batch is in proportion to its items
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


def _captured(module: torch.nn.Module, example: Example, loss: Callable[[Any], Any] | None) -> Graph:
    from ..sources.capture import capture
    from ..sources.torch_state import in_mode

    def run(of: Example) -> Graph:
        return capture(module, of.args, of.kwargs, dynamic=of.dynamic or None, training=True, loss=loss)

    with in_mode(module, training=True):
        return with_open_sizes(run, example)


def _quantities(graph: Graph) -> Any:
    """Counts in the graph's open sizes; sizes that depend on data are at their defaults."""
    return _core.count(graph, {})


def _value(quantity: Quantity, graph: Graph, named: Mapping[str, int]) -> int:
    from ..predict.boundary import value_of

    if isinstance(quantity, int):
        return quantity
    return value_of(quantity, graph.size_values({name: v for name, v in named.items() if name in graph.sizes}))
