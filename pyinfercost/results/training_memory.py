"""Memory of a training step with its optimizer, on one device."""

from __future__ import annotations

from .declared import Part, declared, fact


@declared
class TrainingMemory(Part):
    """Memory that training takes on one device, in bytes."""

    optimizer: str = fact("Name of the optimizer.")
    zero_stage: int = fact("Sharded state: 0 nothing, 1 states of the optimizer, 2 also gradients, 3 also weights.")
    shards: int = fact("Devices among which it is sharded.")
    master_weights: bool = fact("Whether the optimizer keeps weights in float32 in addition to the model's.")
    parameter_bytes: int = fact("Weights, or their shard with the largest module, which is gathered to run.")
    gradient_bytes: int = fact("Gradients of all weights that have one, or their shard.")
    optimizer_bytes: int = fact("States of the optimizer, or their shard.")
    master_bytes: int = fact("Master weights, or their shard.")
    activation_bytes: int = fact(
        "Activations, workspaces, buffers and inputs at the peak of forward and backward, without gradients that "
        "are complete by then."
    )
    update_bytes: int = fact("Temporary tensors of the optimizer's update.")
    peak_bytes: int = fact("Most of all of these together: in forward and backward, or in the update.")
    peak_phase: str = fact('Where that is: `"backward"`, in forward and backward, or `"update"`.')
    machine_memory_bytes: int | None = fact(
        "Memory of the machine; None without a machine, or if its owner chooses the size."
    )
    fits_in_memory: bool | None = fact("Whether the peak fits; None if the size is unknown.")

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
