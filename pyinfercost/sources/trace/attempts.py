"""Settings of a run on meta tensors, from the cheapest to the ones that a forward turns out to need."""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple


class Gradients(IntEnum):
    """Where autograd records: nowhere, where the forward enables it, or everywhere."""

    NEVER = 0
    WITHIN = 1
    EVERYWHERE = 2


class Attempt(NamedTuple):
    """Settings of one run.

    Attributes:
        with_values: Whether every call is also executed with values, where its operands have some. Otherwise requested
            values are computed from the record, which in-place writes and tensors made from numbers prevent.
        of_data: Whether lengths may depend on data, as symbolic integers from the start, which slow a capture down.
        one_device: Whether real tensors that the model made itself are on meta for it, like its inputs.
        gradients: Where autograd records. Inference needs it only for a forward that differentiates.
    """

    with_values: bool = False
    of_data: bool = False
    one_device: bool = False
    gradients: Gradients = Gradients.NEVER

    def with_open_sizes(self) -> Attempt:
        """Return the next attempt if a length depends on data: values may give it, else it stays open."""
        return self._replace(with_values=True, of_data=self.with_values)

    def after(self, message: str, cause: str) -> Attempt | None:
        """Return the next attempt after a failure; None if no setting is left that could help.

        Args:
            message: Message of the capture's error.
            cause: Message of the error of torch or of the model; empty if there is none.
        """
        if not self.with_values and asks_for_values(message):
            return self._replace(with_values=True)
        # `tolist` is not an operator and fails without a dispatch; it works once sizes may depend on data.
        if self.with_values and not self.of_data and "Cannot copy out of meta tensor" in cause:
            return self._replace(of_data=True)
        if self.gradients < Gradients.EVERYWHERE and _mentions(cause, _ABOUT_GRADIENTS):
            return self._replace(gradients=Gradients(self.gradients + 1))
        if not self.one_device and _mentions(cause, _ABOUT_DEVICES):
            return self._replace(one_device=True)
        return None


def asks_for_values(message: str) -> bool:
    """Return whether a forward failed because it reads the value of a tensor."""
    return _mentions(message, _ABOUT_VALUES)


def _mentions(message: str, words: tuple[str, ...]) -> bool:
    return any(word in message for word in words)


_ABOUT_VALUES = (
    "item()",
    "_local_scalar_dense",
    "data-dependent",
    "is_nonzero",
    "value of a tensor",
    "unallocated storage",
    "without output_size",
    "torch.nonzero()",
    "out of meta tensor",
    "meta tensors",
    "type tensor to numpy",
    "device='meta'",  # a string that contains a meta tensor, such as the key of an expert
)
_ABOUT_DEVICES = ("device", "on meta", "on cpu", "do not have strides")  # the last of real sparse tensors
_ABOUT_GRADIENTS = ("require grad", "requires_grad", "requires grad", "nference tensor", "InferenceMode")
