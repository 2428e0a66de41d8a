"""Training on several devices: gradients and weights that copies of a model exchange, and how long they wait for them.

Copies of a model that is trained add up their gradients. As in torch's `DistributedDataParallel`, gradients are sent in
buckets of 25 MiB, the first one of 1 MiB, as soon as the backward pass has made them. With ZeRO, each copy gets the sum
of its shard alone, and weights are gathered: after the update in the stages 1 and 2; in stage 3 (FSDP) of a layer
before its forward and again before its backward, and weights of other modules once.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from .. import _core
from .._records import dataclass
from ..deployment.nodes import nodes_of
from .plans import derived, family_of, graph_cache
from .training_memory import Trained, largest_module_bytes, trained_weights

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from .._core import Graph, Hardware, PlanFamily
    from ..inputs.layout import Layout

Numbers: TypeAlias = "NDArray[np.float64]"

_BUCKET_BYTES = 25 * 2**20
_FIRST_BUCKET_BYTES = 2**20
_SHARDS_WEIGHTS = 3
_LAYER = re.compile(r"(?:[^.]+\.)*?\d+(?=\.)")
_DTYPES = {8: "float64", 4: "float32", 2: "bfloat16", 1: "int8"}


class Message(NamedTuple):
    """A collective operation of a training step.

    Attributes:
        op: `"all_reduce"`, `"reduce_scatter"` or `"all_gather"`.
        bytes: Bytes of the operand of a reduction, of the result of a gathering.
        element: Bytes of an element.
        when: `"forward"`, `"backward"` or `"update"`: during or, of an update, after what it is sent.
    """

    op: str
    bytes: int
    element: int
    when: str


def messages(graph: Graph, sizes: Mapping[str, int], layout: Layout, precision: str) -> tuple[Message, ...]:
    """Return the exchanges of a device with the devices of other copies in one training step, in order.

    Args:
        graph: The graph of a training step of one device: its gradients are of its part of the weights.
        sizes: Values of all its sizes.
        layout: The layout: copies in `data`, and the stage of ZeRO.
        precision: Dtype to run in.
    """
    counts = _core.count(graph, sizes, precision=precision, on_cpu=False)
    trained = sorted(trained_weights(graph, counts, sizes, precision), key=lambda weight: weight.made_by)
    if layout.zero < _SHARDS_WEIGHTS:
        op = "reduce_scatter" if layout.zero else "all_reduce"
        found = [Message(op, total, element, "backward") for total, element in _buckets(trained)]
        if layout.zero:
            found += [
                Message("all_gather", each.bytes, each.element, "update")
                for each in _units(trained, layout.data, of_gradients=False).values()
            ]
        return tuple(found)
    weights, gradients = (_units(trained, layout.data, of_gradients=of) for of in (False, True))
    layers = [name for name in weights if name]
    found = [
        Message("all_gather", *weights[name], "forward") for name in ([""] if "" in weights else []) + layers[::-1]
    ]
    for name in layers:
        found.append(Message("all_gather", *weights[name], "backward"))
        found.append(Message("reduce_scatter", *gradients[name], "backward"))
    if "" in gradients:
        found.append(Message("reduce_scatter", *gradients[""], "backward"))
    return tuple(found)


def _buckets(trained: Sequence[Trained]) -> list[tuple[int, int]]:
    """Return the bytes of buckets of gradients, in the order in which they are made, and of their elements."""
    found: list[tuple[int, int]] = []
    held, limit = 0, _FIRST_BUCKET_BYTES
    for weight in trained:
        held += weight.gradient_bytes
        if held >= limit:
            found.append((held, weight.element))
            held, limit = 0, _BUCKET_BYTES
    if held:
        found.append((held, trained[-1].element))
    return found


class _Unit(NamedTuple):
    """Weights that are gathered together."""

    bytes: int
    element: int


def _units(trained: Sequence[Trained], shards: int, *, of_gradients: bool) -> dict[str, _Unit]:
    """Return the weights, or the gradients, of each layer, and under `""` of other modules.

    The first number in the names of weights gives the layers, in the order of the backward pass. Each weight is cut
    along its first dimension, into parts that are padded to equal lengths.
    """
    found: dict[str, _Unit] = {}
    for weight in trained:
        match = _LAYER.match(weight.name)
        name = match[0] if match else ""
        rows = weight.shape[0] if weight.shape else 1
        element = weight.gradient_bytes // max(1, weight.elements) if of_gradients else weight.element
        padded = -(-rows // shards) * shards * (weight.elements // max(1, rows)) * element
        before = found.get(name, _Unit(0, element))
        found[name] = _Unit(before.bytes + padded, element)
    return found


@dataclass(frozen=True)
class Exchanged:
    """Seconds and joules of the exchanges of a copy in one training step, on one machine.

    Attributes:
        backward_s: Seconds of all messages of the backward pass.
        last_s: Seconds of the last one of these, which nothing hides.
        forward_s: Seconds of all messages of the forward.
        first_s: Seconds of the first one of these, which nothing hides.
        update_s: Seconds of the messages after the update.
        parts: Messages of the backward pass that wait for gradients.
        layers: Messages of the forward.
        joules: Energy of all messages above idle power.
    """

    backward_s: float
    last_s: float
    forward_s: float
    first_s: float
    update_s: float
    parts: int
    layers: int
    joules: float

    def waits_s(self, forward_s: Numbers, backward_s: Numbers) -> Numbers:
        """Return the seconds that a device waits for others, besides its forward and its last backward."""
        import numpy as np

        ends_s = np.maximum(backward_s + self.last_s, backward_s / max(1, self.parts) + self.backward_s)
        begins_s = np.maximum(forward_s + self.first_s, forward_s / max(1, self.layers) + self.forward_s)
        return (ends_s - backward_s) + (begins_s - forward_s) + self.update_s

    def added(self, columns: Mapping[str, Numbers], forward_s: Numbers, idle_w: float) -> dict[str, Numbers]:
        """Return the evaluator's columns of a training step, with the seconds that the device waits for others.

        Buckets become ready evenly over the backward pass, so that the exchange begins after the first part of it and
        ends after the pass by the last message at least. Weights are gathered one layer ahead.

        Args:
            columns: Columns of the step of one device.
            forward_s: Seconds of its forward.
            idle_w: Power of a device that waits.
        """
        import numpy as np

        waits_s = self.waits_s(forward_s, columns["latency_s"] - forward_s)
        latency_s = columns["latency_s"] + waits_s
        spread = columns["spread_s"] / np.maximum(columns["latency_s"], 1e-300)
        return {
            **columns,
            "latency_s": latency_s,
            "interval_s": latency_s,
            "link_s": columns["link_s"] + waits_s,
            "spread_s": spread * latency_s,
            "energy_j": columns["energy_j"] + self.joules + idle_w * waits_s,
        }


def exchanged_on(
    graph: Graph, sizes: Mapping[str, int], layout: Layout, precision: str, execution: str, machine: Hardware
) -> Exchanged:
    """Return the times of the exchanges of a device with other copies, computed once for a machine.

    Args:
        graph: The graph of a training step of one device.
        sizes: Values of all its sizes; weights do not depend on them.
        layout: The layout.
        precision: Dtype to run in.
        execution: How it runs.
        machine: The machine.
    """
    kept = graph_cache(graph)
    key = ("exchanged", layout.data, layout.zero, layout.nodes, layout.ranks, precision, execution, id(machine))
    if key not in kept:
        sent = messages(graph, sizes, layout, precision)
        kept[key] = _timed(sent, layout, execution, machine), machine  # the machine lives as long as its id is a key
    found: Exchanged = kept[key][0]
    return found


def _timed(sent: Sequence[Message], layout: Layout, execution: str, machine: Hardware) -> Exchanged:
    times: list[float] = []
    joules = 0.0
    if sent:
        nodes = layout.nodes_of_copies(nodes_of(machine, layout))
        times, joules = message_times(sent, layout.data, nodes, execution, machine)
    by_phase: dict[str, list[tuple[Message, float]]] = {"forward": [], "backward": [], "update": []}
    for message, seconds in zip(sent, times, strict=True):
        by_phase[message.when].append((message, seconds))
    forward, backward, update = ([seconds for _, seconds in by_phase[when]] for when in by_phase)
    waiting = sum(message.op != "all_gather" for message, _ in by_phase["backward"])
    return Exchanged(
        backward_s=sum(backward),
        last_s=backward[-1] if backward else 0.0,
        forward_s=sum(forward),
        first_s=forward[0] if forward else 0.0,
        update_s=sum(update),
        parts=waiting,
        layers=len(forward),
        joules=joules,
    )


def message_times(
    sent: Sequence[Message], devices: int, nodes: int, execution: str, machine: Hardware
) -> tuple[list[float], float]:
    """Return the seconds of each message among devices in some machines, and the joules of all above idle power."""
    made = exchange_graph(sent, devices, nodes)
    family = family_of(made, "native", execution)
    times, joules = [0.0] * len(made), 0.0
    idle_w = machine.power_w.get("idle", 0.0)
    for kernel in _core.evaluate_kernels(family.plan_for({}), {}, machine):
        for launch in kernel.launches:
            times[launch[0]] += kernel.latency_s
            joules += kernel.energy_j - idle_w * kernel.latency_s
    return times, joules


def exchange_graph(sent: Sequence[Message], devices: int, nodes: int) -> Graph:
    """Return the graph of the messages of a training step alone, among some devices in some machines."""
    builder = _core.GraphBuilder("exchange")
    given: list[Any] = []
    results: list[Any] = []
    for message in sent:
        elements = max(devices, message.bytes // message.element)
        dtype = _DTYPES.get(message.element, "float32")
        shard = -(-elements // devices)
        before = shard if message.op == "all_gather" else elements
        after = shard if message.op == "reduce_scatter" else elements
        given.append(builder.tensor(dtype, [before], role="input", name=message.when))
        results.append(builder.tensor(dtype, [after]))
        arguments = {"input": given[-1], "devices": devices, "nodes": nodes}
        builder.node(f"collective.{message.op}.default", arguments, [results[-1]])
    return builder.build(given, results)


def with_exchange(
    graph: Graph,
    layout: Layout,
    precision: str,
    execution: str,
    axes: Sequence[tuple[str, NDArray[np.int64], int]],
    machine: Hardware,
    *,
    first: int,
    points: int,
    columns: Mapping[str, Numbers],
    threads: int = 1,
) -> dict[str, Numbers]:
    """Return the columns of a training step whose copies exchange gradients and weights.

    Args:
        graph: The graph of a training step of one device.
        layout: The layout.
        precision: Dtype to run in.
        execution: How it runs.
        axes: Sizes of the grid, as `_core.evaluate_grid` takes them.
        machine: The machine.
        first: Number of the first point.
        points: Number of points.
        columns: The evaluator's columns of the step of one device.
        threads: Threads of this process.
    """
    import numpy as np

    sizes = graph.size_values({})
    sent = exchanged_on(graph, sizes, layout, precision, execution, machine)
    forward_s = np.empty(points)
    family = forward_family(graph, precision, execution)
    _core.evaluate_grid(
        family, axes, machine, first=first, points=points, out={"latency_s": forward_s}, threads=threads
    )
    added = sent.added(columns, forward_s, machine.power_w.get("idle", 0.0))
    spared = _sharded_bytes(graph, sizes, layout, precision)
    return {**added, "peak_memory_bytes": added["peak_memory_bytes"] - spared}


def forward_family(graph: Graph, precision: str, execution: str) -> PlanFamily:
    """Return the plans of the forward of a training step."""
    return family_of(derived(graph, (_core.forward_of(graph), ())), precision, execution)


def _sharded_bytes(graph: Graph, sizes: Mapping[str, int], layout: Layout, precision: str) -> int:
    """Return the weights that a copy need not hold: with stage 3 of ZeRO its own shard and one layer remain."""
    if layout.zero < _SHARDS_WEIGHTS:
        return 0
    kept = graph_cache(graph)
    key = ("sharded", layout.data, precision)
    if key not in kept:
        counts = _core.count(graph, sizes, precision=precision, on_cpu=False)
        whole = int(counts.total.parameter_bytes)
        kept[key] = max(0, whole - (-(-whole // layout.data)) - largest_module_bytes(counts))
    found: int = kept[key]
    return found
