"""How a model lies on several devices."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import prod
from typing import Any, TypeAlias

from .._checks import COUNT, MOST, Range, number_in, shown
from ..errors import LayoutError
from .settings import Settings, converted, flag, whole, word

LayoutLike: TypeAlias = "Layout | str | Mapping[str, Any]"
"""A layout as `Layout.parse` accepts it: a `Layout`, its text (`"tensor=4,data=2"`), or its fields by name."""

FACTORS = ("tensor", "pipeline", "context", "data")
"""Fields of a `Layout` whose product is the number of devices; devices of `data` are copies of the others."""

_NOT_OF_A_RANK = ("zero", "micro_batches", "schedule", "expert_load")
_MOST_SHARDED = 1  # stage of ZeRO with stages of a pipeline
BALANCED = "balanced"
_EXPONENT = Range(0.0, 10.0)
_LOAD = Range(0.0, 1e15)
_EXPECTED_LOADS = "expected balanced, random, power:EXPONENT, or the tokens of each expert as numbers"


def _load_text(value: object) -> str:
    """Return the text of a load of experts."""
    if isinstance(value, str):
        kind, colon, exponent = value.partition(":")
        if value in ("", BALANCED, "random"):
            return value
        if kind == "power":
            found = number_in(exponent if colon else 1.0, "the exponent of expert_load", _EXPONENT, LayoutError)
            return f"power:{found:g}"
        loads: list[object] = list(value.split(":"))
    elif isinstance(value, Iterable):
        loads = list(value)
    else:
        raise LayoutError(f"expert_load is {shown(value)}; {_EXPECTED_LOADS}")
    try:
        numbers = [number_in(load, "a load", _LOAD, LayoutError) for load in loads]
    except LayoutError:
        raise LayoutError(f"expert_load is {shown(value)}; {_EXPECTED_LOADS}") from None
    if not sum(numbers):
        raise LayoutError(f"expert_load is {shown(value)}; {_EXPECTED_LOADS}, of which one is above 0")
    return ":".join(repr(load) if load % 1 else str(int(load)) for load in numbers)


class Layout(Settings):
    """How a model lies on several devices: `tensor` x `pipeline` x `context` x `data` of them.

    Raises:
        LayoutError: A number is below 1, or does not fit the others.
    """

    kind = "layout"
    error = LayoutError
    tensor: int = whole(
        COUNT,
        "Devices that share each product: heads, columns of feed-forward layers, words of the vocabulary.",
        default=1,
    )
    pipeline: int = whole(COUNT, "Stages of consecutive layers, each on devices of its own.", default=1)
    expert: int = whole(
        COUNT,
        "Groups of experts, each on devices of its own: a divisor of `tensor`, or `tensor` x `data`, where tokens are "
        "sent to their experts.",
        default=1,
    )
    data: int = whole(
        COUNT,
        "Copies of the model (of its attention, with `expert` = `tensor` x `data`), each with a share of the batch.",
        default=1,
    )
    sequence: bool = flag(
        "Whether the `tensor` devices also share the tokens of norms and sums between products.", default=False
    )
    context: int = whole(COUNT, "Devices that share the tokens of a prompt.", default=1)
    ulysses: bool = flag(
        "Whether these exchange tokens for heads around each attention, in the place of gathering keys and values.",
        default=False,
    )
    attention_data: int = whole(
        COUNT,
        "Shares of the batch in attention, among the `tensor` devices. Engines count these either way: with fewer "
        "`tensor` devices than shares, or too few for `expert`, they are read as those of one share.",
        default=1,
    )
    nodes: int = whole(
        COUNT,
        "Machines that the devices are in; more if these do not hold so many. Devices of `tensor` are neighbors, then "
        "the devices of `context`, `pipeline` and `data`, so that stages are the first to be in different machines.",
        default=1,
    )
    zero: int = whole(
        Range(0, 3),
        "Stage of ZeRO (and FSDP) in which the `data` copies of a model that is trained share its memory: 0 replicates "
        "everything, 1 shards the states of the optimizer, 2 also gradients, 3 also weights.",
        default=0,
    )
    micro_batches: int = whole(
        Range(0, MOST),
        "Parts of the batch that are in the stages of a pipeline at the same time; 0, the default, stands for as many "
        "as there are stages, where the batch has as many items.",
        default=0,
    )
    schedule: str = word(
        ("1f1b", "gpipe"),
        'Order of forward and backward passes in the stages of a pipeline that is trained: `"1f1b"`, one forward and '
        'one backward in turn, or `"gpipe"`, all forwards and then all backwards.',
        default="1f1b",
    )
    expert_load: str | Iterable[float] = converted(
        _load_text,
        'How tokens are shared by experts. `"balanced"`: experts have equal numbers of tokens. `"random"`: each token '
        "chooses its experts at random, so some have none, and the busiest device has about sqrt(2 m ln n) more than "
        'the mean m of n devices. `"power:1.2"`: the tokens of the i-th expert are as 1 / i^1.2, and experts lie on '
        'the devices in turn. Numbers, or text such as `"40:30:20:10"`: measured tokens of each expert, with neighbors '
        "on one device. The device with most tokens decides, and of its experts those are read that have tokens. "
        'Empty, the default, is `predict.plans.SERVED_EXPERTS` in a serving engine, and `"balanced"` elsewhere.',
        default="",
    )

    def _check(self) -> None:
        together = self.tensor * self.attention_data
        few = self.tensor < self.attention_data or self.tensor % self.expert
        if few and self.expert != self.tensor * self.data and together % self.expert == 0:
            self.__dict__["tensor"] = together
        if self.tensor % self.expert and self.expert != self.tensor * self.data:
            raise LayoutError(
                f"expert is {self.expert}; expected a divisor of tensor={self.tensor}, or tensor x data = "
                f"{self.tensor * self.data}, so that all devices have as many experts"
            )
        if self.tensor % self.attention_data:
            raise LayoutError(
                f"attention_data is {self.attention_data}; expected a divisor of tensor={self.tensor}, whose devices "
                "share the batch in attention"
            )
        if self.micro_batches > 1 and self.pipeline == 1:
            raise LayoutError(
                f"micro_batches is {self.micro_batches} with pipeline=1; expected several stages, which work on parts "
                "of the batch at the same time"
            )
        if self.zero > _MOST_SHARDED and self.pipeline > 1:
            raise LayoutError(
                f"zero is {self.zero} with pipeline={self.pipeline}, whose stages add up the gradients of "
                "micro-batches and so hold all of them; expected zero to be 0 or 1"
            )
        if self.ulysses and self.context == 1:
            raise LayoutError("ulysses is 1 with context=1; expected several devices, which exchange tokens for heads")
        if self.schedule != Layout.schedule and self.pipeline == 1:
            raise LayoutError(f"schedule is {self.schedule} with pipeline=1; expected several stages")
        if self.zero and self.data == 1:
            raise LayoutError(f"zero is {self.zero} with data=1; expected several copies, which share what they train")
        if self.devices % self.nodes:
            raise LayoutError(f"nodes is {self.nodes}; expected a divisor of the {self.devices} devices")

    @property
    def ranks(self) -> int:
        """Devices that one copy of the model lies on."""
        return prod(getattr(self, name) for name in FACTORS if name != "data")

    @property
    def devices(self) -> int:
        """Devices in all."""
        return self.ranks * self.data

    @property
    def copies(self) -> int:
        """Shares of the batch: copies of the model, or of its attention."""
        return self.data * self.attention_data

    @property
    def attention_tensor(self) -> int:
        """Devices that share the heads of an attention, and the vocabulary."""
        return self.tensor // self.attention_data

    @property
    def shared_sizes(self) -> tuple[str, ...]:
        """Named sizes that devices share: a graph must have them by name."""
        batch = ("batch",) if self.copies > 1 or self.pipeline > 1 or self.sequence else ()
        return (*batch, "sequence", "prompt", "context") if self.context > 1 else batch

    def stage_of(self, rank: int) -> int:
        """Return the stage of a device: neighbors share products, then the tokens of a prompt; then stages follow."""
        return rank // (self.tensor * self.context) % self.pipeline

    def sends_between_nodes(self, stage: int, nodes: int) -> bool:
        """Return whether a stage and the next one are in different ones of some machines, in any copy."""
        of_stage, in_node = self.tensor * self.context, -(-self.devices // nodes)
        firsts = (copy * self.ranks + stage * of_stage for copy in range(self.data))
        return any(first // in_node != (first + of_stage) // in_node for first in firsts)

    def nodes_of_copies(self, nodes: int) -> int:
        """Return in how many of some machines the devices are that have the same part of the model in each copy."""
        in_node = -(-self.devices // nodes)
        return self.data if self.ranks >= in_node else (self.data - 1) * self.ranks // in_node + 1

    def on(self, devices: int) -> Layout:
        """Return the layout repeated on a number of devices, which share the batch.

        Raises:
            LayoutError: The number is no multiple of the layout's devices.
        """
        if devices % self.devices:
            raise LayoutError(
                f"devices is {devices}, and layout {self} is of {self.devices}; expected a multiple of these"
            )
        times = devices // self.devices
        return self.replace(data=self.data * times, nodes=self.nodes * (times if self.nodes > 1 else 1))

    @property
    def together(self) -> int:
        """Devices that exchange data, and so lie in one machine or in connected ones: those of a copy, or all."""
        return self.devices if self.expert > self.tensor else self.ranks

    @property
    def given(self) -> dict[str, Any]:
        """The fields that differ from the layout of one device."""
        return {each.name: value for each in self.fields if (value := getattr(self, each.name)) != each.default}

    def __str__(self) -> str:
        """Return the text that `Layout.parse` reads: `tensor=4,data=2`."""
        return super().__str__() or "tensor=1"

    def for_core(self) -> dict[str, Any]:
        """Return the arguments of the core."""
        numbers = {each.name: getattr(self, each.name) for each in self.fields if each.name not in _NOT_OF_A_RANK}
        if not self.expert_load:
            return numbers
        kind, _, exponent = str(self.expert_load).partition(":")
        if kind == "power":
            return {**numbers, "routing": kind, "exponent": float(exponent)}
        if kind in (BALANCED, "random"):
            return {**numbers, "routing": kind}
        return {**numbers, "routing": "measured", "loads": [float(load) for load in str(self.expert_load).split(":")]}
