"""Memory of training: weights, gradients, states of the optimizer and activations, whole or sharded."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from math import isfinite, prod
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple, SupportsIndex

from .. import _core
from .._checks import COUNT, Range, flag, shown, whole
from .._records import dataclass
from ..deployment import deployment_of
from ..errors import InputError
from ..results.training_memory import TrainingMemory
from ..sources.sizes import bind_sizes, call_sizes

if TYPE_CHECKING:
    from .._core import Graph, Hardware
    from ..deployment import HardwareLike
    from ..inputs.layout import Layout

RECEIVED = "received"
"""Name of the inputs of a stage that other stages send."""

_FLOAT32 = 4
_STEP = 4  # the step counter of a tensor's state, a float32
_BLOCK = 256  # elements of a scale in 8-bit states
_SMALLEST_BLOCKED = 4096  # tensors with fewer elements keep states in float32

Shape = Sequence[int]
States = Callable[[Shape, int], int]
"""Bytes of a weight's states by its shape and the bytes of an element."""


@dataclass(frozen=True)
class Optimizer:
    """What an optimizer keeps and allocates.

    Attributes:
        states: Bytes of the states of one weight.
        temporaries: Copies of a weight that the update makes: of all weights at once on a GPU, where torch's default
            updates lists of tensors, and of the largest weight elsewhere.
    """

    states: States
    temporaries: int


def _moments(count: int) -> States:
    return lambda shape, element: count * prod(shape) * element + (_STEP if count > 1 else 0)


def _moments_8bit(shape: Shape, element: int) -> int:
    """Two moments of a byte per element, with a float32 scale per block."""
    del element
    elements = prod(shape)
    if elements < _SMALLEST_BLOCKED:
        return 2 * elements * _FLOAT32
    return 2 * (elements + -(-elements // _BLOCK) * _FLOAT32)


def _factored(shape: Shape, element: int) -> int:
    """Means of squares by row and by column of the last two dimensions, or of each element of a vector."""
    if len(shape) <= 1:
        return prod(shape) * element + _STEP
    return (prod(shape[:-1]) + prod(shape[:-2]) * shape[-1]) * element + _STEP


OPTIMIZERS: Mapping[str, Optimizer] = MappingProxyType(
    {
        "sgd": Optimizer(lambda shape, element: 0, 0),
        "sgd_momentum": Optimizer(_moments(1), 0),
        "adam": Optimizer(_moments(2), 1),
        "adamw": Optimizer(_moments(2), 1),
        "adamw_8bit": Optimizer(_moments_8bit, 0),
        "adafactor": Optimizer(_factored, 1),
    }
)
"""Optimizers by name."""

_STAGES = Range(0, 3)
_ELEMENTS = {"fp64": 8, "fp32": 4, "tf32": 4, "fp16": 2, "bf16": 2, "fp8": 2, "int8": 2}
"""Bytes of an element of gradients by precision; others keep the dtypes of the graph."""


@dataclass(frozen=True)
class TrainingSetup:
    """An optimizer, and how training is sharded; checked when it is made.

    Attributes:
        optimizer: A name of `OPTIMIZERS`.
        zero_stage: Stage of ZeRO, 0 to 3.
        shards: Devices among which states, gradients and weights are sharded.
        master_weights: Whether the optimizer also keeps weights in float32, besides narrower ones.
    """

    optimizer: str
    zero_stage: int = 0
    shards: int = 1
    master_weights: bool = False

    def __post_init__(self) -> None:
        if self.optimizer not in OPTIMIZERS:
            raise InputError(f"unknown optimizer {shown(self.optimizer)}; expected one of {', '.join(OPTIMIZERS)}")
        checked = {
            "zero_stage": whole(self.zero_stage, "zero_stage", _STAGES, InputError),
            "shards": whole(self.shards, "shards", COUNT, InputError),
            "master_weights": flag(self.master_weights, "master_weights", InputError),
        }
        self.__dict__.update(checked)
        if self.zero_stage and self.shards == 1:
            raise InputError(f"zero_stage is {self.zero_stage} with 1 shard; pass shards=, the number of devices")


def setup_of(
    known: TrainingSetup | None,
    optimizer: str | None,
    zero_stage: SupportsIndex | None,
    shards: SupportsIndex | None,
    master_weights: bool | None,
) -> TrainingSetup | None:
    """Return the setup that the keywords of a call describe, which override a known one; None without one.

    Raises:
        InputError: A value is unknown, or a keyword is given without an optimizer.
    """
    keywords: dict[str, Any] = {
        "optimizer": optimizer,
        "zero_stage": zero_stage,
        "shards": shards,
        "master_weights": master_weights,
    }
    given = {name: value for name, value in keywords.items() if value is not None}
    if not given:
        return known
    if known is None and optimizer is None:
        raise InputError(f"{', '.join(given)} is given without optimizer; pass optimizer=, such as optimizer='adamw'")
    return TrainingSetup(**{**({} if known is None else known.__dict__), **given})


def setup_on(setup: TrainingSetup, layout: Layout) -> TrainingSetup:
    """Return the setup on a layout, whose copies shard by its stage of ZeRO.

    Raises:
        InputError: The setup is sharded otherwise than the layout.
    """
    if not layout.zero:
        return setup
    if setup.zero_stage and (setup.zero_stage, setup.shards) != (layout.zero, layout.data):
        raise InputError(
            f"zero_stage is {setup.zero_stage} on {setup.shards} shards, and the layout is {layout}; pass one of them"
        )
    return replace(setup, zero_stage=layout.zero, shards=layout.data)


def training_memory(
    graph: Graph,
    *,
    optimizer: str,
    zero_stage: SupportsIndex | None = None,
    shards: SupportsIndex | None = None,
    master_weights: bool | None = None,
    hardware: HardwareLike | None = None,
    precision: str | None = None,
    sizes: Mapping[str, SupportsIndex] | None = None,
    **named_sizes: SupportsIndex,
) -> TrainingMemory:
    """Predict the memory that training takes on one device, with its optimizer.

    Args:
        graph: The graph of a training step of one device, as `capture(..., training=True)` returns it.
        optimizer: `"sgd"`, `"sgd_momentum"`, `"adam"`, `"adamw"`, `"adamw_8bit"` or `"adafactor"`.
        zero_stage: Stage of ZeRO (and FSDP): 0 replicates everything, 1 shards the states of the optimizer and master
            weights, 2 also gradients, 3 also weights.
        shards: Number of devices among which they are sharded.
        master_weights: Whether the optimizer keeps weights and states in float32 besides narrower weights of the model,
            as mixed precision with fp16 or bf16 weights does.
        hardware: The machine, to compare the peak with its memory.
        precision: Dtype to run in.
        sizes: Values of named sizes, for names that options have too.
        **named_sizes: The same by keyword; a size left out takes the graph's default.

    Returns:
        The parts and their peak.

    Raises:
        InputError: The graph is one of a forward, or a name, a size or a machine is unknown.

    Examples:
        >>> step = ic.capture(nn.Linear(784, 10).train(), torch.empty(32, 784), training=True)
        >>> found = ic.training_memory(step, optimizer="adamw")
        >>> found.parameter_bytes, found.optimizer_bytes
        (31400, 62808)
    """
    setup = TrainingSetup(optimizer, *(_given(zero_stage, 0), _given(shards, 1), _given(master_weights, default=False)))
    on = deployment_of(None, {"hardware": hardware, "precision": precision})
    with call_sizes(training_memory, sizes, named_sizes) as named:
        bound = graph.size_values(bind_sizes(graph, named))
    return training_memory_of(graph, bound, setup, on.precision, on.machine if hardware is not None else None)


def _given(value: Any, default: Any) -> Any:
    return default if value is None else value


class MicroBatches(NamedTuple):
    """Parts of a batch that go through a stage of a pipeline in one step.

    Attributes:
        number: Their number; the gradients of several are added up.
        in_flight: The most of them whose activations are in the stage's memory at the same time.
    """

    number: int = 1
    in_flight: int = 1


ONE_BATCH = MicroBatches()
"""A batch that is not divided."""


def training_memory_of(
    graph: Graph,
    sizes: Mapping[str, int],
    setup: TrainingSetup,
    precision: str,
    machine: Hardware | None,
    parts: MicroBatches = ONE_BATCH,
) -> TrainingMemory:
    """Return the memory of a training step whose sizes are resolved.

    Args:
        graph: The graph of a training step of one device.
        sizes: Values of its sizes; of a stage of a pipeline the sizes of a micro-batch.
        setup: The optimizer, and how training is sharded.
        precision: Dtype to run in.
        machine: The machine; None for a CPU, without its memory.
        parts: Micro-batches of a step.
    """
    if not any(graph.node(i).phase == "backward" for i in range(len(graph))):
        raise InputError("optimizer is given with the graph of a forward; capture the model with training=True")
    on_cpu = machine is None or machine.kind == "cpu"
    counts = _core.count(graph, sizes, precision=precision, on_cpu=on_cpu)
    trained = trained_weights(graph, counts, sizes, precision)
    optimizer = OPTIMIZERS[setup.optimizer]
    of_states, of_gradients = (1 if setup.zero_stage < stage else setup.shards for stage in (1, 2))

    def state_element(weight: Trained) -> int:
        return _FLOAT32 if setup.master_weights else weight.element

    states = _part(sum(optimizer.states(weight.shape, state_element(weight)) for weight in trained), of_states)
    narrow = [weight for weight in trained if weight.element < _FLOAT32]
    master = _part(sum(weight.elements for weight in narrow) * _FLOAT32, of_states) if setup.master_weights else 0
    copies = [weight.elements * state_element(weight) for weight in trained]
    at_once = sum(copies) if machine is not None and machine.kind == "gpu" else max(copies, default=0)
    update = _part(optimizer.temporaries * at_once, of_states)
    weights = int(counts.total.parameter_bytes)
    if setup.zero_stage == _STAGES.high:
        weights = _part(weights, setup.shards) + largest_module_bytes(counts)
    other = int(counts.total.buffer_bytes) + int(counts.memory.input_bytes)
    more = (parts.in_flight - 1) * in_flight_bytes(graph, sizes, counts)
    step, activations, complete = _step_bytes(counts, trained, more, of_gradients, added_up=parts.number > 1)
    kept = _part(complete, of_gradients)
    updating = _results(graph, counts) + kept + update
    peak = weights + other + states + master + max(step, updating)
    memory = None if machine is None or not isfinite(machine.memory_bytes) else int(machine.memory_bytes)
    return TrainingMemory(
        optimizer=setup.optimizer,
        zero_stage=setup.zero_stage,
        shards=setup.shards,
        master_weights=setup.master_weights,
        parameter_bytes=weights,
        gradient_bytes=kept,
        optimizer_bytes=states,
        master_bytes=master,
        activation_bytes=activations + other,
        update_bytes=update,
        peak_bytes=peak,
        peak_phase="backward" if step > updating else "update",
        machine_memory_bytes=memory,
        fits_in_memory=None if memory is None else peak <= memory,
    )


def _step_bytes(
    counts: _core.Counts, trained: Sequence[Trained], more: int, of_gradients: int, *, added_up: bool
) -> tuple[int, int, int]:
    """Return the activations and gradients at the peak of a step, of these the activations, and all gradients.

    Args:
        counts: The counts of the step.
        trained: The weights with gradients.
        more: Activations of other micro-batches.
        of_gradients: Devices among which gradients are sharded.
        added_up: Whether the gradients of several micro-batches are added up, so that all are there at any time.
    """
    made: dict[int, int] = {}
    for weight in trained:
        made[weight.made_by] = made.get(weight.made_by, 0) + weight.gradient_bytes
    all_of_them = sum(made.values())
    complete = activations = step = 0
    for node, live in enumerate(counts.memory.timeline):
        complete += made.get(node, 0)
        own = int(live) - complete + more
        taken = own + _part(all_of_them if added_up else complete, of_gradients)
        if taken > step:
            step, activations = taken, own
    return step, activations, all_of_them


def in_flight_bytes(graph: Graph, sizes: Mapping[str, int], counts: _core.Counts) -> int:
    """Return the bytes that a stage keeps of a micro-batch between its forward and its backward."""
    received = next((tensor for tensor in graph.inputs if tensor.name == RECEIVED), None)
    given = 0 if received is None else _value(received.nbytes, sizes)
    return int(counts.memory.saved_for_backward_bytes) + given


def stage_peak_bytes(
    graph: Graph, sizes: Mapping[str, int], precision: str, *, on_cpu: bool, parts: MicroBatches
) -> int:
    """Return the peak memory of a stage of a pipeline that is trained, without an optimizer.

    Args:
        graph: The graph of the stage.
        sizes: Values of all its sizes, for one micro-batch.
        precision: Dtype to run in.
        on_cpu: Whether it runs on a CPU.
        parts: Micro-batches of a step.
    """
    counts = _core.count(graph, sizes, precision=precision, on_cpu=on_cpu)
    trained = trained_weights(graph, counts, sizes, precision)
    more = (parts.in_flight - 1) * in_flight_bytes(graph, sizes, counts)
    step, _, _ = _step_bytes(counts, trained, more, 1, added_up=parts.number > 1)
    return int(counts.total.parameter_bytes) + int(counts.total.buffer_bytes) + int(counts.memory.input_bytes) + step


@dataclass(frozen=True)
class Trained:
    """A weight with a gradient.

    Attributes:
        name: Its name.
        shape: Its lengths.
        element: Bytes of its elements.
        gradient_bytes: Bytes of its gradient.
        made_by: Number of the node that completes the gradient.
    """

    name: str
    shape: tuple[int, ...]
    element: int
    gradient_bytes: int
    made_by: int

    @property
    def elements(self) -> int:
        """Number of elements."""
        return prod(self.shape)


def trained_weights(graph: Graph, counts: _core.Counts, sizes: Mapping[str, int], precision: str) -> list[Trained]:
    """Return the weights whose gradients are held after backward: results of backward with as many bytes."""
    ends = len(counts.memory.timeline) - 1
    first = next(row.index for row in counts.layers if row.phase == "backward")
    held: dict[int, list[int]] = {}
    for storage in counts.memory.live(ends):
        if storage.made_by >= first:
            held.setdefault(int(storage.bytes), []).append(storage.made_by)
    found = []
    for tensor in graph.tensors:
        if tensor.role != "parameter":
            continue
        shape = tuple(n if isinstance(n, int) else int(n.evaluate(sizes)) for n in tensor.shape)
        own = _value(tensor.nbytes, sizes) // max(1, prod(shape))
        element = _ELEMENTS.get(precision, own)
        # Under autocast, a gradient is in the dtype of the weight or of the product.
        for width in dict.fromkeys((element, own, 2)):
            makers = held.get(prod(shape) * width)
            if makers:
                found.append(Trained(tensor.name, shape, element, prod(shape) * width, makers.pop()))
                break
    return found


def _results(graph: Graph, counts: _core.Counts) -> int:
    """Return the bytes of the results of the step, which the caller keeps during the update."""
    results = {tensor.index for tensor in graph.outputs}
    ends = len(counts.memory.timeline) - 1
    return sum(int(storage.bytes) for storage in counts.memory.live(ends) if storage.tensor in results)


def _value(quantity: Any, sizes: Mapping[str, int]) -> int:
    return quantity if isinstance(quantity, int) else int(quantity.evaluate(sizes))


def _part(whole_bytes: int, shards: int) -> int:
    return -(-whole_bytes // shards)


def largest_module_bytes(counts: _core.Counts) -> int:
    """Return the bytes of the weights of the module with the most of its own."""
    whole = counts.by_module()
    below: dict[str, int] = {}
    for path, row in whole.items():
        if path:
            parent = path.rpartition(".")[0]
            below[parent] = below.get(parent, 0) + int(row.parameter_bytes)
    return max((int(row.parameter_bytes) - below.get(path, 0) for path, row in whole.items()), default=0)
