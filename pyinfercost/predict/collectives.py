"""Estimates of collective operations: what passes between devices of one node, and how long that takes."""

from __future__ import annotations

import difflib
from operator import index
from typing import TYPE_CHECKING, Any, SupportsIndex, overload

import numpy as np
from numpy.typing import NDArray

from .. import _core
from ..hardware.dtypes import CORE_DTYPES
from ..results.collective import COLUMNS, CollectiveEstimate

if TYPE_CHECKING:
    from collections.abc import Sequence
    from os import PathLike

    from .._core import Hardware

OPERATIONS = tuple(_core.collectives())
"""The operations by name. `broadcast` and `send` follow from the formula; no measurement of them was compared."""

_MESSAGES = {name: torch for name, torch in CORE_DTYPES.items() if name != "tf32"}  # tf32 lies in memory as fp32
_WORDS = {column: np.array(words) for column, words in _core.collective_words().items()}


class CollectiveError(ValueError):
    """A collective that cannot be estimated; the message says what was got and what was expected."""


class UnknownCollectiveError(CollectiveError):
    """No operation or dtype of that name, or sizes or a number of devices that cannot be."""


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
    """Predicts what one collective operation between devices of one node costs.

    The formula is that of NCCL's tuner, `start + step x steps + bytes / rate` in the cheapest of its protocols;
    `csrc/hardware/collectives.hpp` states it in full, and `[collectives]` in the calibration files has its constants
    with what they were fitted to.

    Args:
        op: `"all_reduce"`, `"all_gather"`, `"reduce_scatter"`, `"alltoall"`; `"broadcast"` and `"send"` (one device to
            another) follow from the same formula and were compared with no measurement.
        size_bytes: bytes of the whole message: what each device has of an all-reduce, broadcast, send or all-to-all,
            the result of an all-gather, what is given to a reduce-scatter. A sequence or an array gives an estimate
            whose numbers are arrays of the same length.
        hardware: an id from the catalogue (`"h100-sxm-80gb"`), the path of a TOML file, or a `Hardware`.
        devices: how many of these machines take part, all of one node. One device has nothing to send: it costs 0.
        dtype: what the message holds, `"fp16"` or `"float16"` and so on. It changes no size; a switch that adds up does
            so for floats of 16 bits and more.

    Raises:
        UnknownCollectiveError: for an unknown op or dtype, and sizes or a number of devices that cannot be.
        CollectiveError: for a machine without a link to others or without constants. Both are ValueErrors.
        UnknownHardwareError: for an unknown id.
    """
    from ..hardware import load

    _check_operation(op)
    short = _dtype(dtype)
    sizes = _sizes(size_bytes)
    count = index(devices)
    if isinstance(devices, bool) or count < 1:
        raise UnknownCollectiveError(f"devices is {devices!r}; expected a whole number, 1 or more")
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
            f"unknown collective {op!r}; expected one of {', '.join(OPERATIONS)}"
            + (f"; the nearest is {near[0]!r}" if near else "")
        )


def _dtype(dtype: str) -> str:
    for short, torch_name in _MESSAGES.items():
        if dtype in (short, torch_name):
            return short
    raise UnknownCollectiveError(f"unknown dtype {dtype!r}; expected one of {', '.join(_MESSAGES)}")


def _sizes(size_bytes: object) -> NDArray[Any]:
    """The sizes as an array without or with one dimension."""
    given = np.asarray(size_bytes)
    if given.dtype.kind not in "iuf" or given.ndim > 1:
        raise UnknownCollectiveError(f"size_bytes is {size_bytes!r}; expected a number of bytes, or a sequence of such")
    sizes = given.astype(np.float64 if given.dtype.kind == "f" else np.int64)
    wrong = sizes[~(np.isfinite(sizes) & (sizes >= 0))]
    if wrong.size:
        raise UnknownCollectiveError(f"size_bytes has {wrong.flat[0]:g}; expected 0 or more bytes")
    return sizes
