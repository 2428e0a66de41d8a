"""Sparsity scans: zeros of weights and activations, by element, N:M group, block, row and channel."""

from ..errors import InputError
from ..results.sparsity import share_below as share_below
from ..results.sparsity import share_below_largest as share_below_largest
from ..results.sparsity import share_below_rms as share_below_rms

__all__ = ["SparsityError", "share_below", "share_below_largest", "share_below_rms"]


class SparsityError(InputError):
    """A value cannot be scanned; the message states what was given, what is expected, and why."""
