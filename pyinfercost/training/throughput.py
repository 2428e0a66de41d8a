"""How well training uses its device: throughput, MFU, HFU and MBU over the steps between two records.

MFU is that of PaLM (Chowdhery et al. 2022, appendix B): FLOPs that the model needs over those that the devices could do
at their dense peak in the same time. HFU counts what is run, activations that are computed again included. MBU is the
same with bytes and the bandwidth of memory.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .example import Sizes

if TYPE_CHECKING:
    from .work import TrainingWork

_SECONDS_PER_H = 3600.0
_MOST_UNREAD = 1024  # batches


@dataclass(frozen=True)
class Peak:
    """What one training device could do.

    Attributes:
        name: of the machine.
        flop_per_s: its dense peak in the dtype of the products; None where it is not known.
        byte_per_s: of its memory.
    """

    name: str
    flop_per_s: float | None
    byte_per_s: float | None


class Throughput:
    """Adds up batches and time.

    Args:
        example: the sizes of the example, which a step without batches of its own has run.
        accumulation: batches of a step whose batches were not told.
        clock: seconds, from wherever; by default of this process.
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
        self._lengths: dict[Sizes, Counter[int]] = {}
        self._unread: list[tuple[Sizes, Any]] = []
        self._new_lengths: list[tuple[Sizes, Any]] = []
        self._unknown = ""

    def batch(self, sizes: Sizes | None, lengths: Any) -> None:
        """A forward and backward has gone through the model."""
        sizes = self._example if sizes is None else sizes
        self._new[sizes] = self._new.get(sizes, 0) + 1
        if lengths is not None:
            self._new_lengths.append((sizes, lengths))

    def unlike(self, why: str) -> None:
        """The work of these steps is not known."""
        self._unknown = why

    def _read_lengths(self) -> None:
        """How many sequences have which length; a tensor on a device is waited for here."""
        for sizes, given in self._unread:
            lengths = given.tolist() if hasattr(given, "tolist") else given
            self._lengths.setdefault(sizes, Counter()).update(int(length) for length in lengths)
        self._unread.clear()

    def step(self) -> None:
        """The optimizer has stepped. The first step only starts the clock: it compiles, warms up, allocates."""
        if self._begun is None:
            self._new.clear()
            self._new_lengths.clear()
            self._begin()
            return
        self.steps += 1
        if self._new:
            for sizes, count in self._new.items():
                self._batches[sizes] = self._batches.get(sizes, 0) + count
            self._unread += self._new_lengths
            self._new.clear()
            self._new_lengths.clear()
            if len(self._unread) >= _MOST_UNREAD:  # where records are rare, neither tensors nor numbers pile up
                self._read_lengths()
        else:
            self._batches[self._example] = self._batches.get(self._example, 0) + self._accumulation

    def pause(self) -> None:
        """What follows is no training."""
        if self._paused_at is None:
            self._paused_at = self._clock()

    def resume(self) -> None:
        """Training goes on."""
        if self._paused_at is not None:
            self._paused_s += self._clock() - self._paused_at
            self._paused_at = None

    def take(self) -> Window | None:
        """The steps since the last call, and begins anew; None before the second step."""
        if self._begun is None or self.steps == 0:
            return None
        now = self._clock() if self._paused_at is None else self._paused_at
        self._read_lengths()
        seconds = now - self._begun - self._paused_s
        window = Window(seconds, self.steps, self._batches, self._lengths, self._unknown)
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
class Window:
    """Some steps of training.

    Attributes:
        seconds: that they took, pauses left out.
        steps: of the optimizer.
        batches: named sizes -> how many batches of such sizes.
        lengths: for padded batches of such sizes, how many of their sequences have which real length.
        unknown: why the work of a batch is not known; empty where it is known of all.
    """

    seconds: float
    steps: int
    batches: dict[Sizes, int]
    lengths: dict[Sizes, Counter[int]]
    unknown: str = ""


@dataclass
class Totals:
    """What training has taken so far; survives in checkpoints.

    Attributes:
        seconds: of steps, pauses left out.
        items: of batches, on all devices.
        tokens: real ones where lengths are known, on all devices.
        flops: that the model needed, on all devices.
    """

    seconds: float = 0.0
    items: int = 0
    tokens: int = 0
    flops: float = 0.0


def figures(
    window: Window,
    work: TrainingWork,
    totals: Totals,
    *,
    peak: Peak | None,
    devices: int,
    devices_per_replica: int,
    usd_per_h: float | None,
) -> dict[str, float]:
    """The figures of a window, which is added to the totals.

    Args:
        window: the steps.
        work: of their batches.
        totals: so far; changed.
        peak: of one device; None where it is not known.
        devices: that train together, each group of `devices_per_replica` on batches of its own, of the same sizes.
        devices_per_replica: that share one forward.
        usd_per_h: of one device.
    """
    replicas = devices / devices_per_replica
    model = run = moved = 0.0
    items = tokens = 0
    for sizes, count in window.batches.items():
        of = work.of(sizes)
        model += count * of.model_flops
        run += count * of.run_flops
        moved += count * of.bytes
        items += count * of.items
        tokens += count * (of.tokens or 0)
    padded = real = 0.0
    for sizes, lengths in window.lengths.items():
        of = work.of(sizes)
        batches = lengths.total() / of.items
        model -= batches * of.model_flops * (1 - work.useful_share(sizes, lengths))
        padded += batches * of.tokens if of.tokens is not None else max(lengths) * lengths.total()
        real += sum(length * count for length, count in lengths.items())
    tokens -= min(tokens, round(padded - real))
    metrics: dict[str, float] = {
        "training/items_per_s": replicas * items / window.seconds,
        "training/flops_per_s": model / window.seconds / devices_per_replica,
    }
    if tokens:
        metrics["training/tokens_per_s"] = replicas * tokens / window.seconds
    if padded:
        metrics["training/padding_share"] = 1 - real / padded
    if peak is not None and peak.flop_per_s:
        possible = peak.flop_per_s * devices_per_replica * window.seconds
        metrics["training/mfu"] = model / possible
        metrics["training/hfu"] = run / possible
    if peak is not None and peak.byte_per_s:
        metrics["training/mbu"] = moved / (peak.byte_per_s * devices_per_replica * window.seconds)
    totals.seconds += window.seconds
    totals.items += round(replicas * items)
    totals.tokens += round(replicas * tokens)
    totals.flops += replicas * model
    metrics["training/total_flops"] = totals.flops
    metrics["training/total_items"] = totals.items
    metrics["training/total_device_h"] = totals.seconds * devices / _SECONDS_PER_H
    if totals.tokens:
        metrics["training/total_tokens"] = totals.tokens
    if usd_per_h is not None:
        metrics["training/total_usd"] = totals.seconds * devices / _SECONDS_PER_H * usd_per_h
    return metrics
