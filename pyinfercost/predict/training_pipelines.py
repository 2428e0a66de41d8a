"""Training steps in the stages of a pipeline: schedules of micro-batches, their activations, the exchange at the end.

Each stage runs the forward and the backward of every micro-batch in the order of the schedule, when it has what its
neighbor sends. Gradients of micro-batches are added up; copies of the model exchange them during the last backward of
their stage, as a model without stages does. Stages that read one weight, such as tied embeddings, add up its gradient
at the end.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from .. import _core
from .._records import dataclass
from ..deployment.nodes import nodes_of
from .plans import graph_cache
from .stages import most_micro_batches, stages_of
from .training_memory import MicroBatches, stage_peak_bytes, trained_weights, training_memory_of
from .training_steps import Exchanged, Message, exchanged_on, forward_family, message_times

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from .._core import Graph, Hardware
    from ..inputs.layout import Layout
    from ..results.training_memory import TrainingMemory
    from .training_memory import TrainingSetup

Numbers: TypeAlias = "NDArray[np.float64]"
Axis: TypeAlias = "tuple[str, NDArray[np.int64], int]"
"""A size, its values, and for how many points in a row a value stands."""

COLUMNS = tuple(_core.evaluator_columns())
_ADDED = ("latency_s", "compute_s", "dram_s", "cache_s", "link_s", "launch_s", "spread_s")
"""Columns of seconds that add up over stages."""


def parts_of_stage(schedule: str, number: int, stages: int, micro_batches: int) -> MicroBatches:
    """Return the micro-batches of a step in a stage, and how many it holds at the same time."""
    held = _core.training_in_flight(schedule, stage=number, stages=stages, micro_batches=micro_batches)
    return MicroBatches(micro_batches, held)


@dataclass(frozen=True)
class TrainingStagePlans:
    """Plans of the stages of a pipeline that is trained.

    Attributes:
        core: The plans of single stages.
        graph: The graph of all stages.
        layout: The layout.
        precision: Dtype to run in.
        execution: How it runs.
    """

    core: _core.DeployedPipeline
    graph: Graph
    layout: Layout
    precision: str
    execution: str

    def with_memory(
        self, rows: Sequence[Mapping[str, Any]], point: Mapping[str, int], machine: Hardware
    ) -> list[dict[str, Any]]:
        """Return the fields of stages at a point with the memory of training: held micro-batches, and gradients."""
        part = self.core.micro_batch(point)
        batch = self.graph.size_of_role("batch")
        count = 1 if batch is None or batch not in point else -(-point[batch] // max(1, part[batch]))
        parts = self.graph.size_values(part)
        return [
            {**each, "memory_bytes": self._peak_bytes(number, parts, count, machine)}
            for number, each in enumerate(rows)
        ]

    def evaluate_point(self, point: Mapping[str, int], machine: Hardware) -> dict[str, float]:
        """Return the columns at one point."""
        import numpy as np

        out = {name: np.empty(1) for name in COLUMNS}
        axes = [(name, np.asarray([size], dtype=np.int64), 1) for name, size in point.items()]
        self.evaluate(axes, machine, first=0, points=1, out=out)
        return {name: float(column[0]) for name, column in out.items()}

    def _peak_bytes(self, number: int, sizes: Mapping[str, int], micro_batches: int, machine: Hardware) -> int:
        """Return the peak of a stage whose sizes are those of a micro-batch, computed once."""
        stages = stages_of(self.graph)
        parts = parts_of_stage(self.layout.schedule, number, len(stages), micro_batches)
        graph = stages[self.core.kind_of[number]].graph
        on_cpu = machine.kind == "cpu"
        kept = graph_cache(graph)
        key = ("stage peak", parts, tuple(sorted(sizes.items())), self.precision, on_cpu)
        if key not in kept:
            kept[key] = stage_peak_bytes(graph, graph.size_values(sizes), self.precision, on_cpu=on_cpu, parts=parts)
        found: int = kept[key]
        return found

    def evaluate(
        self,
        axes: Sequence[Axis],
        machine: Hardware,
        *,
        first: int,
        points: int,
        out: Mapping[str, Numbers],
        threads: int = 1,
    ) -> None:
        """Evaluate points of a grid of training steps.

        Args:
            axes: Sizes, for the largest share of the batch.
            machine: The machine.
            first: Number of the first point.
            points: Number of points.
            out: Columns that are filled.
            threads: Threads of this process.
        """
        import numpy as np

        batch, most = self.graph.size_of_role("batch"), most_micro_batches(self.layout)
        own = [
            (name, _core.micro_batch(values, most) if name == batch else values, repeat)
            for name, values, repeat in axes
        ]
        kinds = {}
        for number in set(self.core.kind_of):
            kinds[number] = {name: np.empty(points) for name in COLUMNS}
            family = self.core.plans_of_stage(number)
            _core.evaluate_grid(family, own, machine, first=first, points=points, out=kinds[number], threads=threads)
        whole = {name: out.get(name, np.empty(points)) for name in COLUMNS}
        self._combine(kinds, axes, own, slice(first, first + points), machine, whole)

    def _combine(
        self,
        kinds: Mapping[int, Mapping[str, Numbers]],
        axes: Sequence[Axis],
        own: Sequence[Axis],
        stretch: slice,
        machine: Hardware,
        out: Mapping[str, Numbers],
    ) -> None:
        """Fill the columns of a training step at some points, from those of a micro-batch in each kind of stage."""
        import numpy as np

        count = stretch.stop - stretch.start
        forwards = {}
        for number in kinds:
            forwards[number] = np.empty(count)
            family = forward_family(stages_of(self.graph)[number].graph, self.precision, self.execution)
            _core.evaluate_grid(
                family, own, machine, first=stretch.start, points=count, out={"latency_s": forwards[number]}, threads=1
            )
        kind_of = self.core.kind_of
        stages = [kinds[kind] for kind in kind_of]
        forward_s = np.stack([forwards[kind] for kind in kind_of])
        each_s = np.stack([stage["latency_s"] for stage in stages])
        backward_s = np.maximum(each_s - forward_s, 0.0)
        micro_batches = self._micro_batches(axes, own, stretch)
        ends_s = _core.training_ends(forward_s, backward_s, micro_batches, schedule=self.layout.schedule)
        done_s, joules = self._exchange(forward_s, backward_s, ends_s, machine)
        latency_s = done_s.max(axis=0)
        busy_s = ends_s.max(axis=0)
        slowest = each_s.argmax(axis=0)
        slowest_s = each_s.max(axis=0)
        # Beside all micro-batches in the slowest stage, the time is that of the others.
        rest = (busy_s - micro_batches * slowest_s) / np.maximum(each_s.sum(axis=0) - slowest_s, 1e-300)
        points = np.arange(count)
        for name in _ADDED:
            columns = np.stack([stage[name] for stage in stages])
            of_slowest = columns[slowest, points]
            out[name][:] = micro_batches * of_slowest + rest * (columns.sum(axis=0) - of_slowest)
        waits_s = latency_s - busy_s
        out["spread_s"][:] *= latency_s / np.maximum(busy_s, 1e-300)
        out["link_s"][:] += waits_s
        out["latency_s"][:] = latency_s
        out["interval_s"][:] = latency_s
        idle_w = machine.power_w.get("idle", 0.0)
        energy_j = joules + sum(
            micro_batches * stage["energy_j"] + idle_w * (latency_s - micro_batches * stage["latency_s"])
            for stage in stages
        )
        out["energy_j"][:] = energy_j / len(stages)
        out["peak_memory_bytes"][:] = self._peaks(own, stretch, micro_batches, machine)

    def _micro_batches(self, axes: Sequence[Axis], own: Sequence[Axis], stretch: slice) -> NDArray[np.int64]:
        """Return the number of micro-batches at each point."""
        import numpy as np

        batch = self.graph.size_of_role("batch")
        points = np.arange(stretch.start, stretch.stop, dtype=np.int64)
        counts = np.ones(len(points), dtype=np.int64)
        for (name, shares, repeat), (_, parts, _) in zip(axes, own, strict=True):
            if name == batch:
                places = points // repeat % len(shares)
                counts = -(-np.asarray(shares)[places] // np.maximum(np.asarray(parts)[places], 1))
        return counts.astype(np.int64)

    def _peaks(
        self, own: Sequence[Axis], stretch: slice, micro_batches: NDArray[np.int64], machine: Hardware
    ) -> Numbers:
        """Return the memory of the fullest stage at each point."""
        import numpy as np

        peaks = np.empty(stretch.stop - stretch.start)
        known: dict[tuple[int, ...], int] = {}
        for place, point in enumerate(range(stretch.start, stretch.stop)):
            values = tuple(int(axis[point // repeat % len(axis)]) for _, axis, repeat in own)
            key = (int(micro_batches[place]), *values)
            if key not in known:
                sizes = {name: value for (name, _, _), value in zip(own, values, strict=True)}
                known[key] = max(
                    self._peak_bytes(number, sizes, key[0], machine) for number in range(len(self.core.kind_of))
                )
            peaks[place] = known[key]
        return peaks

    def _exchange(
        self, forward_s: Numbers, backward_s: Numbers, ends_s: Numbers, machine: Hardware
    ) -> tuple[Numbers, float]:
        """Return the seconds at which each stage has exchanged its gradients, and the joules of all messages."""
        done_s, joules = ends_s.copy(), 0.0
        if self.layout.data > 1:
            for number, kind in enumerate(self.core.kind_of):
                graph = stages_of(self.graph)[kind].graph
                sent: Exchanged = exchanged_on(
                    graph, graph.size_values({}), self.layout, self.precision, self.execution, machine
                )
                done_s[number] += sent.waits_s(forward_s[number], backward_s[number])
                joules += sent.joules
        for stages, message in self._shared_weights():
            machines = nodes_of(machine, self.layout)
            in_node = -(-self.layout.devices // machines)
            apart = {stage * self.layout.tensor * self.layout.context // in_node for stage in stages}
            times, energy_j = message_times([message], len(stages), len(apart), self.execution, machine)
            done_s[list(stages)] = done_s[list(stages)].max(axis=0) + times[0]
            joules += len(stages) * energy_j
        return done_s, joules

    def _shared_weights(self) -> list[tuple[tuple[int, ...], Message]]:
        """Return the stages that read each weight of several ones, and the message that adds up its gradient."""
        readers: dict[str, list[int]] = {}
        stages = stages_of(self.graph)
        for number, stage in enumerate(stages):
            for tensor in stage.graph.tensors:
                if tensor.role == "parameter":
                    readers.setdefault(tensor.name, []).append(number)
        found = []
        for name, numbers in readers.items():
            if len(numbers) > 1:
                gradients = _gradients(stages[numbers[-1]].graph, self.precision)
                if name in gradients:
                    found.append((tuple(numbers), gradients[name]))
        return found


def _gradients(graph: Graph, precision: str) -> Mapping[str, Message]:
    """Return a message with the gradient of each weight of a stage."""
    kept = graph_cache(graph)
    key = ("gradients", precision)
    if key not in kept:
        sizes = graph.size_values({})
        counts = _core.count(graph, sizes, precision=precision, on_cpu=False)
        kept[key] = {
            weight.name: Message("all_reduce", weight.gradient_bytes, weight.element, "update")
            for weight in trained_weights(graph, counts, sizes, precision)
        }
    found: Mapping[str, Message] = kept[key]
    return found


def pipeline_memory(
    graph: Graph,
    layout: Layout,
    sizes: Mapping[str, int],
    setup: TrainingSetup,
    precision: str,
    machine: Hardware | None,
) -> TrainingMemory:
    """Return the memory of training on a device of the fullest stage.

    Args:
        graph: The graph of all stages.
        layout: The layout.
        sizes: Values of all sizes on the devices with the largest share of the batch.
        setup: The optimizer, and how training is sharded.
        precision: Dtype to run in.
        machine: The machine; None for that of a CPU, without its memory.
    """
    stages = stages_of(graph)
    part, count = dict(sizes), 1
    if (batch := graph.size_of_role("batch")) is not None:
        part[batch] = int(_core.micro_batch(sizes[batch], most_micro_batches(layout)))
        count = -(-sizes[batch] // max(1, part[batch]))
    found = [
        training_memory_of(
            stage.graph, stage.graph.size_values(part), setup, precision, machine,
            parts_of_stage(layout.schedule, number, len(stages), count),
        )
        for number, stage in enumerate(stages)
    ]  # fmt: skip
    return max(found, key=lambda memory: memory.peak_bytes)
