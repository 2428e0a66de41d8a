"""Utilization of the training device: throughput, MFU, HFU and MBU over the steps between two records.

MFU is defined as in PaLM (Chowdhery et al. 2022, appendix B): FLOPs that the model needs over the FLOPs of the devices'
dense peak in the same time. HFU counts all FLOPs that run, including recomputed activations. MBU is the same ratio for
bytes and memory bandwidth.
"""

from __future__ import annotations

from collections.abc import Callable

from ..sources.example import ShapeError
from .throughput import Totals, TrainingDevice, Window, processes
from .training_step import TrainingWork

_SECONDS_PER_H = 3600.0


class Utilization:
    """Figures of windows of steps, from the work of a training step that is captured when it is first needed.

    Attributes:
        totals: Totals of the training so far.
        note: Why the work is unknown; empty if it is known or nothing needs it.

    Args:
        device: One device of those that train together.
        devices_per_replica: Devices that share one forward; each group has batches of its own of equal sizes.
    """

    def __init__(self, device: TrainingDevice, devices_per_replica: int) -> None:
        self.totals = Totals()
        self.note = ""
        self._device = device
        self._devices_per_replica = devices_per_replica
        self._capture: Callable[[], TrainingWork] | None = None
        self._work: TrainingWork | None = None
        self._is_due = True

    def capture(self, capture: Callable[[], TrainingWork]) -> None:
        """Set the function that captures a training step, and call it."""
        self._capture = capture
        self.work()

    def outdate(self) -> None:
        """Capture the step again when it is next needed."""
        self._is_due = True

    def work(self) -> TrainingWork | None:
        """Return the work of a training step; None if it cannot be captured."""
        from ..sources.symbols import CaptureError

        if self._is_due and self._capture is not None:
            self._is_due, self._work, self.note = False, None, ""
            try:
                self._work = self._capture()
            except CaptureError as error:  # the cost to serve is known all the same
                self.note = f"no throughput, MFU and MBU: {error}"
        return self._work

    def figures(self, window: Window, notes: list[str]) -> dict[str, float]:
        """Return the figures of a window, which is added to the totals; nothing, and a note, if its work is unknown."""
        if self._capture is None:
            return {}
        try:
            if window.seconds <= 0:
                raise ShapeError("no time passed between them")
            if window.unknown:  # no training step is captured either: a model may change at every record
                raise ShapeError(window.unknown)
            work = self.work()
            if work is None:
                return {}
            notes += work.notes
            return self._figures(window, work)
        except ShapeError as error:
            notes.append(f"no throughput, MFU and MBU of these steps: {error}")
            return {}

    def _figures(self, window: Window, work: TrainingWork) -> dict[str, float]:
        devices, per_replica = processes().world_size, self._devices_per_replica
        replicas = devices / per_replica
        peak, totals = self._device.peak, self.totals
        model, run, moved, items, tokens, padded, real = window.batches.work(work)
        first = window.untimed.work(work)
        metrics: dict[str, float] = {
            "training/items_per_s": replicas * items / window.seconds,
            "training/contraction_flops_per_s": model / window.seconds / per_replica,
        }
        if tokens:
            metrics["training/tokens_per_s"] = replicas * tokens / window.seconds
        if padded:
            metrics["training/padding_share"] = 1 - real / padded
        if peak is not None and peak.flop_per_s:
            possible = peak.flop_per_s * per_replica * window.seconds
            metrics["training/mfu"] = model / possible
            metrics["training/hfu"] = run / possible
        if peak is not None and peak.byte_per_s:
            metrics["training/mbu"] = moved / (peak.byte_per_s * per_replica * window.seconds)
        totals.seconds += window.seconds
        totals.items += round(replicas * (items + first.items))
        totals.tokens += round(replicas * (tokens + first.tokens))
        totals.contraction_flops += replicas * (model + first.model_flops)
        metrics["training/total_contraction_flops"] = totals.contraction_flops
        metrics["training/total_items"] = totals.items
        metrics["training/total_device_h"] = totals.seconds * devices / _SECONDS_PER_H
        if totals.tokens:
            metrics["training/total_tokens"] = totals.tokens
        if self._device.usd_per_h is not None:
            metrics["training/total_usd"] = totals.seconds * devices / _SECONDS_PER_H * self._device.usd_per_h
        return metrics
