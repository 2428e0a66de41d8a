"""Estimates of collective operations between the devices of one node."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Any, SupportsIndex, overload

import numpy as np
from numpy.typing import NDArray

from .. import _core
from .._checks import COUNT, shown, whole
from ..errors import InputError
from ..hardware.dtypes import CORE_DTYPES
from ..results.collective import COLUMNS, CollectiveEstimate

if TYPE_CHECKING:
    from collections.abc import Sequence
    from os import PathLike

    from .._core import Hardware

OPERATIONS = tuple(_core.collectives())
"""Names of operations. `broadcast` and `send` follow from the formula, and are not compared with measurements."""

_MOST_BYTES = 10**18
_MESSAGES = {name: torch for name, torch in CORE_DTYPES.items() if name != "tf32"}  # tf32 is stored as fp32
_WORDS = {column: np.array(words) for column, words in _core.collective_words().items()}


class CollectiveError(InputError):
    """A collective operation that cannot be estimated."""


class UnknownCollectiveError(CollectiveError):
    """An unknown operation or dtype, or invalid sizes or devices."""


One = CollectiveEstimate[float, str]
Many = CollectiveEstimate[NDArray[np.float64], NDArray[np.str_]]


@overload
def collective(
    op: str,
    size_bytes: float,
    *,
    hardware: str | PathLike[str] | Hardware,
    devices: SupportsIndex,
    dtype: str = ...,
) -> One: ...


@overload
def collective(
    op: str,
    size_bytes: Sequence[float] | NDArray[Any],
    *,
    hardware: str | PathLike[str] | Hardware,
    devices: SupportsIndex,
    dtype: str = ...,
) -> Many: ...


def collective(
    op: str,
    size_bytes: float | Sequence[float] | NDArray[Any],
    *,
    hardware: str | PathLike[str] | Hardware,
    devices: SupportsIndex,
    dtype: str = "fp16",
) -> One | Many:
    """Predict the time of a collective operation between the devices of one node.

    The formula is that of NCCL's tuner, `start + step x steps + bytes / rate` in the cheapest of its protocols;
    `csrc/hardware/collectives.hpp` states it in full, and `[collectives]` in the calibration files has its constants
    with what they were fitted to.

    Args:
        op: `"all_reduce"`, `"all_gather"`, `"reduce_scatter"`, `"alltoall"`; `"broadcast"` and `"send"` (one device to
            another) follow from the same formula, and are not compared with measurements.
        size_bytes: Bytes of the whole message, at most 1e18: the data of each device for an all-reduce, broadcast,
            send or all-to-all, the result of an all-gather, the input of a reduce-scatter. For a sequence or an array,
            the numbers of the estimate are arrays of the same length.
        hardware: An id of the catalog (`"h100-sxm-80gb"`), the path of a TOML file, or a `Hardware`.
        devices: Number of participating machines, all of one node. One device sends nothing and takes 0 s.
        dtype: Dtype of the message, such as `"fp16"` or `"float16"`. It does not change the size. A switch that adds up
            data does so for floats of 16 bits and more.

    Returns:
        The estimate.

    Raises:
        UnknownCollectiveError: The operation or the dtype is unknown, or sizes or devices are invalid.
        CollectiveError: The machine has no link to other devices, or no constants. Both are ValueErrors.
        UnknownHardwareError: The id is unknown.
    """
    from ..hardware import load

    _check_operation(op)
    short = _dtype(dtype)
    sizes = _sizes(size_bytes)
    count = whole(devices, "devices", COUNT, UnknownCollectiveError)
    machine = load(hardware)
    flat = np.atleast_1d(sizes)
    try:
        found = _core.collective_times(op, flat, machine, devices=count, dtype=_MESSAGES[short])
    except ValueError as error:
        raise CollectiveError(str(error)) from None
    each: dict[str, Any] = {"size_bytes": flat}
    for name in COLUMNS[1:]:
        each[name] = _WORDS[name][found[name]] if name in _WORDS else found[name]
    if sizes.ndim == 0:
        each = {name: column[0].item() for name, column in each.items()}
    return CollectiveEstimate(op=op, hardware=machine.id, devices=count, dtype=short, link=found["link"], **each)


def _check_operation(op: str) -> None:
    if op not in OPERATIONS:
        near = difflib.get_close_matches(str(op).lower().replace("-", "_"), OPERATIONS, n=1, cutoff=0.5)
        raise UnknownCollectiveError(
            f"unknown collective {shown(op)}; expected one of {', '.join(OPERATIONS)}"
            + (f"; the nearest is {near[0]!r}" if near else "")
        )


def _dtype(dtype: str) -> str:
    for short, torch_name in _MESSAGES.items():
        if dtype in (short, torch_name):
            return short
    raise UnknownCollectiveError(f"unknown dtype {shown(dtype)}; expected one of {', '.join(_MESSAGES)}")


def _sizes(size_bytes: object) -> NDArray[Any]:
    """Return the sizes as an array with zero or one dimension."""
    try:
        given = np.asarray(size_bytes)
    except (ValueError, TypeError, OverflowError):  # lists of unequal lengths, or in too many lists
        given = np.array(None)
    if given.dtype.kind not in "iuf" or given.ndim > 1:
        raise UnknownCollectiveError(
            f"size_bytes is {shown(size_bytes)}; expected a number of bytes, or a sequence of them"
        )
    floats = given.dtype.kind == "f"
    sizes = given.astype(np.float64) if floats else given
    wrong = sizes[~((sizes >= 0) & (sizes <= _MOST_BYTES))]  # NaN is neither
    if wrong.size:
        raise UnknownCollectiveError(f"size_bytes has {wrong.flat[0]:g}; expected 0 to {_MOST_BYTES:g} bytes")
    return sizes if floats else sizes.astype(np.int64)
