"""Batches and seconds of the steps between two records, and the device that training runs on."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import torch

from ..errors import InputError
from ..hardware.dtypes import CORE_DTYPES, short_dtype
from ..predict.peaks import peak_of
from ..sources.example import Sizes

if TYPE_CHECKING:
    from .._core import Hardware
    from ..predict.peaks import Peak
    from .training_step import TrainingWork

_MOST_UNREAD = 1024  # batches


class Throughput:
    """Accumulate batches and time.

    Args:
        example: Sizes of the example, which a step without reported batches has run.
        accumulation: Batches of such a step.
        clock: A function that returns seconds; by default `time.perf_counter`.
    """

    def __init__(self, example: Sizes, accumulation: int, clock: Callable[[], float] | None = None) -> None:
        self._example = example
        self._accumulation = accumulation
        self._clock = clock or time.perf_counter
        self._begun: float | None = None
        self._paused_at: float | None = None
        self._paused_s = 0.0
        self.steps = 0
        self._batches: dict[Sizes, int] = {}
        self._new: dict[Sizes, int] = {}
        self._told = False
        self._lengths: dict[Sizes, Counter[int]] = {}
        self._unread: list[tuple[Sizes, Any]] = []
        self._untimed: Batches = Batches({}, {})
        self._new_lengths: list[tuple[Sizes, Any]] = []
        self._unknown = ""

    def batch(self, sizes: Sizes | None, lengths: Any) -> None:
        """Add a forward and backward; one without items is no work."""
        self._told = True
        sizes = self._example if sizes is None else sizes
        if 0 in sizes:
            return
        self._new[sizes] = self._new.get(sizes, 0) + 1
        if lengths is not None:
            self._new_lengths.append((sizes, lengths))

    def unlike(self, why: str) -> None:
        """Mark the work of the current window as unknown."""
        self._unknown = why

    def _read_lengths(self) -> None:
        """Count sequences by length; this waits for tensors on a device."""
        for sizes, given in self._unread:
            lengths = given.tolist() if hasattr(given, "tolist") else given
            counted = Counter(int(length) for length in lengths)
            if counted.total():
                self._lengths.setdefault(sizes, Counter()).update(counted)
        self._unread.clear()

    def step(self) -> None:
        """Add an optimizer step. The first starts the clock and is not timed, because it compiles and allocates."""
        told, self._told = self._told, False
        if told:
            for sizes, count in self._new.items():
                self._batches[sizes] = self._batches.get(sizes, 0) + count
            self._unread += self._new_lengths
            self._new.clear()
            self._new_lengths.clear()
        else:
            self._batches[self._example] = self._batches.get(self._example, 0) + self._accumulation
        if self._begun is None:
            self._read_lengths()
            self._untimed = Batches(self._batches, self._lengths)
            self._begin()
            return
        self.steps += 1
        if len(self._unread) >= _MOST_UNREAD:  # bounds memory if records are rare
            self._read_lengths()

    def pause(self) -> None:
        """Stop the clock."""
        if self._paused_at is None:
            self._paused_at = self._clock()

    def resume(self) -> None:
        """Restart the clock."""
        if self._paused_at is not None:
            self._paused_s += self._clock() - self._paused_at
            self._paused_at = None

    def take(self) -> Window | None:
        """Return the steps since the last call and start a new window; None before the second step."""
        if self._begun is None or self.steps == 0:
            return None
        now = self._clock() if self._paused_at is None else self._paused_at
        self._read_lengths()
        seconds = now - self._begun - self._paused_s
        window = Window(seconds, self.steps, Batches(self._batches, self._lengths), self._untimed, self._unknown)
        self._untimed = Batches({}, {})
        self._begin()
        return window

    def _begin(self) -> None:
        self._begun = self._clock()
        self._paused_s = 0.0
        if self._paused_at is not None:
            self._paused_at = self._begun
        self.steps = 0
        self._batches = {}
        self._lengths = {}
        self._unknown = ""


@dataclass(frozen=True)
class Batches:
    """Forwards and backwards of some steps.

    Attributes:
        count: Named sizes -> number of batches.
        lengths: Named sizes of padded batches -> real length -> number of sequences.
    """

    count: dict[Sizes, int]
    lengths: dict[Sizes, Counter[int]]

    def work(self, of: TrainingWork) -> BatchWork:
        """Return their work.

        Args:
            of: The work of a step by its sizes.
        """
        model = run = moved = 0.0
        items = tokens = 0
        for sizes, count in self.count.items():
            each = of.of(sizes)
            model += count * each.model_flops
            run += count * each.run_flops
            moved += count * each.bytes
            items += count * each.items
            tokens += count * (each.tokens or 0)
        padded = real = 0.0
        for sizes, lengths in self.lengths.items():
            each = of.of(sizes)
            batches = lengths.total() / each.items
            model -= batches * each.model_flops * (1 - of.useful_share(sizes, lengths))
            padded += batches * each.tokens if each.tokens is not None else max(lengths) * lengths.total()
            real += sum(length * count for length, count in lengths.items())
        tokens -= min(tokens, round(padded - real))
        return BatchWork(model, run, moved, items, tokens, padded, real)


class BatchWork(NamedTuple):
    """Work of batches on the devices that share one forward.

    Attributes:
        model_flops: That the model needs.
        run_flops: That run.
        bytes: That are moved.
        items: Items.
        tokens: Tokens; real ones if lengths are known.
        padded_tokens: Tokens of batches with lengths, with their padding.
        real_tokens: Tokens of batches with lengths, without it.
    """

    model_flops: float
    run_flops: float
    bytes: float
    items: int
    tokens: int
    padded_tokens: float
    real_tokens: float


@dataclass(frozen=True)
class Window:
    """Steps of training between two records.

    Attributes:
        seconds: Their time, without pauses.
        steps: Optimizer steps in that time.
        batches: Their batches.
        untimed: Batches of a first step before that time.
        unknown: Why the work of a batch is unknown; empty if all are known.
    """

    seconds: float
    steps: int
    batches: Batches
    untimed: Batches
    unknown: str = ""


@dataclass
class Totals:
    """Totals of the training so far, which checkpoints keep.

    Attributes:
        seconds: Time of steps, without pauses and without the first step.
        items: Items of batches, on all devices.
        tokens: Tokens on all devices; real ones if lengths are known.
        contraction_flops: That the model needed, on all devices.
    """

    seconds: float = 0.0
    items: int = 0
    tokens: int = 0
    contraction_flops: float = 0.0


# ---- the device ------------------------------------------------------------------------------------------------------


class Processes(NamedTuple):
    """The rank of this process, and the number of processes that train together.

    Attributes:
        rank: 0 for the process that writes.
        world_size: Number of processes.
    """

    rank: int
    world_size: int


def processes() -> Processes:
    """Return rank and world size from `torch.distributed`, or a launcher's environment, or for this process alone."""
    distributed: Any = torch.distributed
    if distributed.is_available() and distributed.is_initialized():
        return Processes(distributed.get_rank(), distributed.get_world_size())
    rank, count = os.environ.get("RANK", "0"), os.environ.get("WORLD_SIZE", "1")
    return Processes(int(rank), int(count)) if rank.isdigit() and count.isdigit() else Processes(0, 1)


class TrainingDevice(NamedTuple):
    """The device that training runs on, as far as it is known.

    Attributes:
        peak: Of one device; None if the machine is unknown.
        usd_per_h: Price of one device; None without one.
        notes: Unknown figures, and why.
    """

    peak: Peak | None
    usd_per_h: float | None
    notes: tuple[str, ...]


def training_device(module: torch.nn.Module, hardware: Any, precision: str | None, price: Any) -> TrainingDevice:
    """Return the training device from a caller's settings and the module's weights.

    Args:
        module: The module in training.
        hardware: As `_machine` takes it.
        precision: As `_precision` takes it.
        price: Of an hour, as in `estimate`.

    Raises:
        InputError: A machine, dtype or price is unknown.
    """
    from ..deployment import parse_price

    machine, why = _machine(hardware, module)
    short = _precision(precision, module)
    if isinstance(price, str) and machine is None:
        raise InputError(f"training_price is {price!r}, which depends on the machine; pass training_hardware=")
    device = "" if machine is None else machine.id
    usd_per_h = None if price is None else parse_price(price, device).usd_per_h
    if machine is None:
        return TrainingDevice(None, usd_per_h, (why,))
    peak = peak_of(machine, short)
    notes = (f"{machine.id} has no peak in {short}: no MFU",) if peak.flop_per_s is None else ()
    return TrainingDevice(peak, usd_per_h, notes)


def _machine(hardware: Any, module: torch.nn.Module) -> tuple[Hardware | None, str]:
    """Return the machine that training runs on, or None and the reason.

    Args:
        hardware: As `hardware.load` takes it, None for none, or `"auto"`: the GPU with the weights.
        module: The module in training.
    """
    from ..hardware import identify, load

    if hardware is None:
        return None, "training_hardware is None: no MFU and MBU"
    if hardware != "auto":
        return load(hardware), ""
    device = next((t.device for t in module.parameters()), torch.device("cpu"))
    if device.type != "cuda":
        return None, (
            f"weights are on {device.type}, whose peak is unknown; for MFU and MBU pass training_hardware=: an id from "
            "the catalog or the file that `pyinfercost calibrate` writes"
        )
    facts = torch.cuda.get_device_properties(device)
    found = identify(facts.name, cores=facts.multi_processor_count, memory_bytes=facts.total_memory)
    if found is None:
        return None, (
            f"{facts.name} with {facts.multi_processor_count} cores and {facts.total_memory / 2**30:.1f} GiB is not in "
            "the catalog; for MFU and MBU pass training_hardware="
        )
    return load(found), ""


def _precision(precision: str | None, module: torch.nn.Module) -> str:
    """Return the dtype of products in training.

    Args:
        precision: The caller's setting, such as `bf16` under autocast; None takes the dtype of most weights, and for
            fp32 on a GPU TF32 if torch may use it.
        module: The module in training.

    Raises:
        InputError: The dtype has no peak.
    """
    if precision is not None:
        short = precision.removeprefix("amp_")
        if short not in CORE_DTYPES:
            raise InputError(f"training_precision is {precision!r}; expected one of {', '.join(CORE_DTYPES)}")
        return short
    elements: dict[torch.dtype, int] = {}
    for tensor in module.parameters():
        elements[tensor.dtype] = elements.get(tensor.dtype, 0) + tensor.numel()
    most = max(elements, key=elements.__getitem__, default=torch.float32)
    short = short_dtype(str(most).removeprefix("torch."))
    short = short if short in CORE_DTYPES else "fp32"
    on_gpu = any(t.device.type == "cuda" for t in module.parameters())
    return "tf32" if short == "fp32" and on_gpu and torch.get_float32_matmul_precision() != "highest" else short
