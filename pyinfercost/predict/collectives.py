"""Estimates of collective operations: what passes between devices of one node, and how long that takes."""

from __future__ import annotations

import difflib
from operator import index
from typing import TYPE_CHECKING, Any, SupportsIndex, overload

import numpy as np
from numpy.typing import NDArray

from ..hardware.schema import CORE_DTYPES
from ..results.collective import COLUMNS, CollectiveEstimate
from .collective_times import OPERATIONS, PROTOCOLS, Operation, Path, Times, UnknownCollectiveError, constant, times
from .uncertainty import band

if TYPE_CHECKING:
    from collections.abc import Sequence
    from os import PathLike

    from .._core import Hardware

_MESSAGES = {name: torch for name, torch in CORE_DTYPES.items() if name != "tf32"}  # tf32 lies in memory as fp32
_ADDED_IN_SWITCH = ("fp64", "fp32", "fp16", "bf16")  # narrower ones go round the ring


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
    `pyinfercost.predict.collective_times` states it in full, and `[collectives]` in the calibration files has its
    constants with what they were fitted to.

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

    rule = _operation(op)
    short = _dtype(dtype)
    sizes = _sizes(size_bytes)
    count = index(devices)
    if isinstance(devices, bool) or count < 1:
        raise UnknownCollectiveError(f"devices is {devices!r}; expected a whole number, 1 or more")
    machine = load(hardware)
    flat = np.atleast_1d(sizes)
    if count == 1:
        nothing, none = np.zeros(len(flat)), np.full(len(flat), "none")
        link, latency_s, spread = "none", nothing, 0.0
        words = (none, none, np.full(len(flat), "latency"))
    else:
        path, spent = times(rule, flat, machine, devices=count, in_switch=short in _ADDED_IN_SWITCH)
        link, spread = path.link, _spread(machine, path)
        latency_s, words = _cheapest(rule, spent)
    low_s, high_s = band(latency_s, latency_s * spread)
    with np.errstate(invalid="ignore"):
        carried = np.where(
            latency_s > 0, flat * _bus_factor(rule, count) / np.where(latency_s > 0, latency_s, 1.0), 0.0
        )
    each: dict[str, Any] = dict(zip(COLUMNS, (flat, latency_s, low_s, high_s, carried, *words), strict=True))
    if sizes.ndim == 0:
        each = {name: column[0].item() for name, column in each.items()}
    return CollectiveEstimate(op=op, hardware=machine.id, devices=count, dtype=short, link=link, **each)


def _operation(op: str) -> Operation:
    if op not in OPERATIONS:
        near = difflib.get_close_matches(str(op).lower().replace("-", "_"), OPERATIONS, n=1, cutoff=0.5)
        raise UnknownCollectiveError(
            f"unknown collective {op!r}; expected one of {', '.join(OPERATIONS)}"
            + (f"; the nearest is {near[0]!r}" if near else "")
        )
    return OPERATIONS[op]


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


def _spread(hardware: Hardware, path: Path) -> float:
    return constant(hardware, "host_spread" if path.link == "host" else "spread")


def _cheapest(
    op: Operation, spent: Times
) -> tuple[NDArray[np.float64], tuple[NDArray[np.str_], NDArray[np.str_], NDArray[np.str_]]]:
    """The seconds of the cheapest protocol of each size, and the algorithm, the protocol and what binds."""
    totals_s = spent.start_s + spent.wire_s
    chosen = np.argmin(totals_s, axis=0)
    column = np.arange(len(chosen))
    usual = "direct" if op.direct or op.pair else "ring"
    algorithm = np.array([*(usual for _ in PROTOCOLS[:-1]), "switch"])[chosen]
    protocol = np.array([*PROTOCOLS[:-1], "Simple"])[chosen]
    bound = np.where(spent.wire_s[chosen, column] > spent.start_s[chosen, 0], "link", "latency")
    return totals_s[chosen, column], (algorithm, protocol, bound)


def _bus_factor(op: Operation, devices: int) -> float:
    return op.rounds * ((devices - 1) / devices if op.parts else 1.0)
