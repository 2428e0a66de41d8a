"""Memory of a training step with its optimizer, on one device."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from .._records import dataclass


@dataclass(frozen=True)
class TrainingMemory:
    """Memory that training takes on one device, in bytes.

    Attributes:
        optimizer: Name of the optimizer.
        zero_stage: What is sharded: 0 nothing, 1 states of the optimizer, 2 also gradients, 3 also weights.
        shards: Devices among which it is sharded.
        master_weights: Whether the optimizer keeps weights in float32 beside those of the model.
        parameter_bytes: Weights, or their shard with those of the largest module, which is gathered to run.
        gradient_bytes: Gradients of all weights that have one, or their shard.
        optimizer_bytes: States of the optimizer, or their shard.
        master_bytes: Master weights, or their shard.
        activation_bytes: Activations, workspaces, buffers and inputs at the peak of forward and backward, without
            gradients that are complete by then.
        update_bytes: Temporary tensors of the optimizer's update.
        peak_bytes: Most of all of these together: in forward and backward, or in the update.
        peak_phase: Where that is: `"backward"`, in forward and backward, or `"update"`.
        machine_memory_bytes: Memory of the machine; None without a machine, or if its owner chooses the size.
        fits_in_memory: Whether the peak fits; None if the size is unknown.
    """

    optimizer: str
    zero_stage: int
    shards: int
    master_weights: bool
    parameter_bytes: int
    gradient_bytes: int
    optimizer_bytes: int
    master_bytes: int
    activation_bytes: int
    update_bytes: int
    peak_bytes: int
    peak_phase: str
    machine_memory_bytes: int | None
    fits_in_memory: bool | None

    @property
    def peak_parts(self) -> dict[str, int]:
        """What the peak consists of: name -> bytes."""
        parts = {
            "weights": self.parameter_bytes,
            "optimizer": self.optimizer_bytes,
            "master weights": self.master_bytes,
        }
        if self.peak_phase == "backward":
            parts["activations"] = self.activation_bytes
            return {**parts, "gradients": self.peak_bytes - sum(parts.values())}  # of the layers that have theirs
        parts |= {"gradients": self.gradient_bytes, "the update": self.update_bytes}
        return {**parts, "inputs, buffers and results": self.peak_bytes - sum(parts.values())}

    def to_dict(self) -> dict[str, Any]:
        """Return the attributes as JSON values."""
        return asdict(self)
