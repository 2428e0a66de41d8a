"""Peak rates of a machine, for MFU and MBU."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..hardware.dtypes import CORE_DTYPES

if TYPE_CHECKING:
    from .._core import Hardware


@dataclass(frozen=True)
class Peak:
    """Peak rates of one device.

    Attributes:
        name: The machine.
        flop_per_s: Dense peak in the dtype of the products; None if unknown.
        byte_per_s: Memory bandwidth; None if unknown.
    """

    name: str
    flop_per_s: float | None
    byte_per_s: float | None


def peak_of(machine: Hardware, precision: str) -> Peak:
    """Return the dense peak in a dtype: of the matrix or the vector unit, whichever is higher."""
    dtype = CORE_DTYPES.get(precision, precision)
    rates = [of[dtype] for of in (machine.matrix_flop_per_s, machine.vector_flop_per_s) if dtype in of]
    return Peak(machine.id, max(rates, default=None), machine.bandwidth_byte_per_s or None)
