"""Figures of counts, estimates and profiles, for the doors that lead to them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from support.toy_graphs import blocks, transformer

import pyinfercost as ic
from pyinfercost import _core

from ..door import Figure, figures_in, hidden, require
from ..values import Value

MACHINES = ("l4", "xeon-8380", "tpu-v5e", "apple-m2", "mi300x")
"""Machines of every kind, with and without known powers and links."""

PRECISIONS = ("native", "native", *_core.precisions())
EXECUTIONS = ("eager", "compiled", "cuda_graph", "reduce-overhead")

_ROW = (
    *("contraction_flops", "pointwise_flops", "causal_flops", "flops", "macs", "parameters", "parameter_bytes"),
    *("buffer_bytes", "bytes_read", "bytes_written", "peak_activation_bytes", "peak_memory_bytes"),
)
_SIGNED = frozenset({"index", "peak_node", "made_by", "held_until", "tensor", "lowest_octave"})
"""Keys of numbers and exponents."""


def of_machine(machine: ic.Hardware, value: Value) -> Iterator[Figure]:
    """Yield the figures of estimates of two models on a machine, in the precision, execution and batch of an input."""
    for graph in _MODELS:
        estimate = ic.estimate(
            graph,
            hardware=machine,
            precision=value["precision"],
            execution=value["execution"],
            batch=value["batch"],
        )
        yield from of_estimate(estimate)


_MODELS = (blocks(), transformer(layers=1))


def of_counts(counts: ic.results.Counts) -> Iterator[Figure]:
    """Yield the figures of counts: totals, rows and memory. Expressions of open sizes are left out."""
    for name in _ROW:
        yield name, getattr(counts.total, name)
    yield from counts.total.bytes_by_role.items()
    for layer in counts.layers:
        yield "flops of a layer", layer.row.flops
        yield "bytes read of a layer", layer.row.bytes_read
        yield "bytes written of a layer", layer.row.bytes_written
    memory = counts.memory
    for name in ("input_bytes", "saved_for_backward_bytes"):
        yield name, getattr(memory, name)
    yield from (("bytes of the timeline", value) for value in memory.timeline)
    yield from (("workspace", value) for value in memory.workspace)


def of_estimate(estimate: ic.results.Estimate) -> Iterator[Figure]:
    """Yield the figures of an estimate and of its layers."""
    for name, value in vars(estimate).items():
        if isinstance(value, (int, float, dict)):
            yield from figures_in(value, name)
    for layer in estimate.layers:
        for name, value in vars(layer).items():
            if isinstance(value, (int, float)):
                yield f"{name} of a layer", value


def of_document(document: dict[str, Any]) -> Iterator[Figure]:
    """Yield the numbers of the JSON object of a result."""
    return figures_in(document, signed=_SIGNED)


def of_sparsity(sparsity: ic.results.Sparsity) -> Iterator[Figure]:
    """Yield the figures of scanned weights; shares are of one at most."""
    document = sparsity.to_dict()
    yield from of_document(document)
    for name, value in figures_in(document):
        if name.endswith("_share") and isinstance(value, float):
            yield f"1 - {name}", 1 - value
    sparsity.to_text()


def finite(document: Any) -> Iterator[Figure]:
    """Yield the sizes of numbers that may be negative, such as differences: they may be neither NaN nor infinite."""
    for name, value in figures_in(document):
        yield name, abs(value) if isinstance(value, (int, float)) else value


def check_printable(text: str) -> None:
    """Raise an error if a text has characters that control a terminal, are invisible or change the direction."""
    require(not hidden(text), "text has no control characters", ascii(hidden(text)))
