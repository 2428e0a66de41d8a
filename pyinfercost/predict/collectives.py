"""Estimates of collective operations between devices, of one node and of several."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, SupportsIndex, overload

import numpy as np
from numpy.typing import NDArray

from .. import _core
from .._checks import COUNT, Range, number, shown, whole
from ..deployment.nodes import devices_of_node
from ..errors import InputError
from ..hardware.dtypes import CORE_DTYPES
from ..results.collective import CollectiveEstimate

if TYPE_CHECKING:
    from collections.abc import Sequence
    from os import PathLike

    from .._core import Hardware

OPERATIONS = tuple(_core.collectives())
"""Names of operations. `broadcast` and `send` follow from the formula, and are not compared with measurements."""

KERNELS = tuple(_core.collective_kernels())
"""Names of kernels."""

EXECUTIONS = ("cuda_graph", "eager")
"""How an engine launches its all-reduce: from a recorded graph, or by the host."""

OF_TOKENS = ("dispatch", "combine")
"""Operations on the tokens of a mixture of experts."""

_MOST_BYTES = 10**18
_BALANCED = 1000  # a share of 1 in the core's thousandths
_SHARES = Range(1, 1e6)
_MESSAGES = {name: torch for name, torch in CORE_DTYPES.items() if name != "tf32"}  # tf32 is stored as fp32
_WORDS = {column: np.array(words) for column, words in _core.collective_words().items()}


class CollectiveError(InputError):
    """A collective operation that cannot be estimated."""


class UnknownCollectiveError(CollectiveError):
    """An unknown operation, kernel or dtype, or invalid sizes or devices."""


@dataclass(frozen=True)
class ExpertTokens:
    """Tokens that a mixture of experts exchanges.

    Attributes:
        token_bytes: Bytes of one token on the link, with its scales if its elements are narrow.
        top_k: Experts of a token.
        experts: Experts of all ranks together.
        sms: Cores that mode `"normal"` may use.
    """

    token_bytes: int
    top_k: int = 8
    experts: int = 256
    sms: int = 20

    def __post_init__(self) -> None:
        for name in ("token_bytes", "top_k", "experts", "sms"):
            object.__setattr__(self, name, whole(getattr(self, name), name, COUNT, UnknownCollectiveError))
        if self.top_k > self.experts:
            raise UnknownCollectiveError(f"top_k is {self.top_k}; expected 1 to the {self.experts} experts")


One = CollectiveEstimate[float, str]
Many = CollectiveEstimate[NDArray[np.float64], NDArray[np.str_]]


@overload
def collective(
    op: str,
    size_bytes: float,
    *,
    hardware: str | PathLike[str] | Hardware,
    devices: SupportsIndex,
    nodes: SupportsIndex = ...,
    dtype: str = ...,
    kernel: str | None = ...,
    execution: str = ...,
    share: float = ...,
    tokens: ExpertTokens | None = ...,
) -> One: ...


@overload
def collective(
    op: str,
    size_bytes: Sequence[float] | NDArray[Any],
    *,
    hardware: str | PathLike[str] | Hardware,
    devices: SupportsIndex,
    nodes: SupportsIndex = ...,
    dtype: str = ...,
    kernel: str | None = ...,
    execution: str = ...,
    share: float = ...,
    tokens: ExpertTokens | None = ...,
) -> Many: ...


def collective(
    op: str,
    size_bytes: float | Sequence[float] | NDArray[Any],
    *,
    hardware: str | PathLike[str] | Hardware,
    devices: SupportsIndex,
    nodes: SupportsIndex = 1,
    dtype: str = "fp16",
    kernel: str | None = None,
    execution: str = "cuda_graph",
    share: float = 1.0,
    tokens: ExpertTokens | None = None,
) -> One | Many:
    """Predict the time of a collective operation between devices.

    The formula of NCCL's tuner is `start + step x steps + bytes / rate` in the cheapest of its protocols;
    `csrc/hardware/collectives.hpp` states it in full, and `[collectives]` in the calibration files has its constants
    with what they were fitted to. A node of a graph with the same operation takes the same time.

    Between nodes, operations are hierarchical: devices of the same place in each node exchange their parts over
    their own NICs (`[link.network]` of the device's file). No measurement of an all-reduce, an all-gather or a send
    between nodes was found in public, so that this part is not compared with any; the exchange of experts' tokens is,
    for 1 to 8 nodes.

    Args:
        op: `"all_reduce"`, `"all_gather"`, `"reduce_scatter"`, `"alltoall"`; `"broadcast"` and `"send"` (one device to
            another) follow from the same formula, and are not compared with measurements; `"dispatch"` and `"combine"`
            send the tokens of a mixture of experts to their experts, and the results back.
        size_bytes: Bytes of the whole message, at most 1e18: the data of each device for an all-reduce, broadcast,
            send or all-to-all, the result of an all-gather, the input of a reduce-scatter; of a dispatch or combine the
            tokens of one device, each once. For a sequence or an array, the numbers of the estimate are arrays of the
            same length.
        hardware: An id of the catalog (`"h100-sxm-80gb"`), the path of a TOML file, or a `Hardware`.
        devices: Number of participating machines, of all nodes together. One device sends nothing and takes 0 s.
        nodes: Number of nodes that they are in, at least as many as hold them: eight devices are in a node, unless the
            machine's file has another size. Devices of one link domain, as of an NVL72, count as one node.
        dtype: Dtype of the message, such as `"fp16"` or `"float16"`. It does not change the size. A switch that adds up
            data does so for floats of 16 bits and more.
        kernel: `"library"` (NCCL); for an all-reduce `"engine"`, the one-shot and two-shot kernels of vLLM, or
            `"push"`, the kernels of TensorRT-LLM and of SGLang from 0.5.14, where faster than the library; for
            tokens of experts `"low_latency"` or `"normal"`, the modes of DeepEP, or `"engine"`, the faster of them.
            By default `"library"`, and for tokens of experts `"engine"`.
        execution: `"cuda_graph"` or `"eager"`. An engine's eager all-reduce copies the message first, and takes at
            least as long as its host.
        share: Bytes of the busiest device over the mean, 1 or more: imbalance of an all-to-all, a dispatch or combine.
        tokens: The tokens of a dispatch or combine.

    Returns:
        The estimate.

    Raises:
        UnknownCollectiveError: The operation, the kernel or the dtype is unknown, or sizes, devices, nodes or tokens
            are invalid.
        CollectiveError: The machine has no link to other devices or nodes, or no constants. Both are ValueErrors.
        UnknownHardwareError: The id is unknown.
    """
    from ..hardware import load

    _check_operation(op)
    short = _dtype(dtype)
    sizes = _sizes(size_bytes)
    count = whole(devices, "devices", COUNT, UnknownCollectiveError)
    machines = whole(nodes, "nodes", Range(1, count), UnknownCollectiveError)
    chosen = _kernel(op, kernel)
    if execution not in EXECUTIONS:
        raise UnknownCollectiveError(f"execution is {shown(execution)}; expected one of {', '.join(EXECUTIONS)}")
    busiest = number(share, "share", _SHARES, UnknownCollectiveError)
    if (op in OF_TOKENS) != isinstance(tokens, ExpertTokens):
        raise UnknownCollectiveError(
            f"tokens is {shown(tokens)} for {op!r}; expected an ExpertTokens for {' and '.join(OF_TOKENS)} alone"
        )
    exchanged = tokens or ExpertTokens(1)
    machine = load(hardware)
    flat = np.atleast_1d(sizes)
    try:
        found = _core.collective_times(
            op,
            flat,
            machine,
            devices=count,
            nodes=machines,
            dtype=_MESSAGES[short],
            kernel=chosen,
            execution=execution,
            share=round(busiest * _BALANCED),
            top_k=exchanged.top_k,
            experts=exchanged.experts,
            token_bytes=exchanged.token_bytes,
            cores=exchanged.sms,
        )
    except ValueError as error:
        raise CollectiveError(str(error)) from None
    link = found.pop("link")
    each: dict[str, Any] = {"size_bytes": flat}
    each |= {name: _WORDS[name][column] if name in _WORDS else column for name, column in found.items()}
    if sizes.ndim == 0:
        each = {name: column[0].item() for name, column in each.items()}
    return CollectiveEstimate(
        op=op,
        hardware=machine.id,
        devices=count,
        nodes=max(machines, -(-count // devices_of_node(machine))),
        dtype=short,
        kernel=chosen,
        link=link,
        **each,
    )


def _kernel(op: str, kernel: str | None) -> str:
    if kernel is None:
        return "engine" if op in OF_TOKENS else "library"
    own = ("low_latency", "normal") if op in OF_TOKENS else ("push",) if op == "all_reduce" else ()
    allowed = ("library", "engine", *own)
    if kernel not in allowed:
        raise UnknownCollectiveError(f"kernel is {shown(kernel)} for {op!r}; expected one of {', '.join(allowed)}")
    return kernel


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
