"""Predictions of communication: calls of `pyinfercost.devices.collective`, which have no graphs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

import pyinfercost as ic
from pyinfercost import _core

from .figures import Judged
from .predict import Predicted, reason_of

if TYPE_CHECKING:
    from pyinfercost import Hardware

    from .cases import Group
    from .measured import Problems


@dataclass(frozen=True, eq=False)
class Call:
    """Rows of one operation between the same number of devices.

    Attributes:
        group: Group of the rows.
        op: The operation, by pyinfercost's name.
        dtype: Dtype of the message, by pyinfercost's name.
        devices: Number of devices.
        size_bytes: Bytes of the whole message.
        measured_s: Measured seconds.
        rows: Row numbers in the table.
        nodes: Number of nodes.
        kernel: The kernel, by pyinfercost's name.
        execution: `"cuda_graph"` or `"eager"`.
        tokens: Tokens of experts.
        direct: Whether the devices of this server reach each other at the full rate of their PCIe links.
    """

    group: Group
    op: str
    dtype: str
    devices: int
    size_bytes: NDArray[np.int64]
    measured_s: NDArray[np.float64]
    rows: NDArray[np.int64]
    nodes: int = 1
    kernel: str = "library"
    execution: str = "cuda_graph"
    tokens: ic.devices.ExpertTokens | None = None
    direct: bool = False

    def __len__(self) -> int:
        return len(self.measured_s)


def predict_calls(calls: Sequence[Call], machines: Mapping[str, Hardware], problems: Problems) -> Judged:
    """Predict all rows; those that the package refuses are counted.

    Returns:
        The rows. Their roofline is the time of the bytes that leave each device (bytes x (n - 1) / n, twice for an
        all-reduce, times the experts of a token) over its link; between nodes, of those for other nodes over its NICs.
    """
    return Judged.joined([_predicted(call, machines[call.group.device], problems) for call in calls])


def call_s(call: Call, machine: Hardware) -> ic.results.CollectiveEstimate[NDArray[np.float64], NDArray[np.str_]]:
    """Return the estimate of a call on a machine."""
    return ic.devices.collective(
        call.op,
        call.size_bytes,
        hardware=directly_linked(machine) if call.direct else machine,
        devices=call.devices,
        nodes=call.nodes,
        dtype=call.dtype,
        kernel=call.kernel,
        execution=call.execution,
        tokens=call.tokens,
    )


def directly_linked(machine: Hardware) -> Hardware:
    """Return the machine in a server whose devices reach each other at the full rate of their PCIe links."""
    data = json.loads(machine.to_json())
    data["constants"]["link.host_direct"] = 1.0
    return _core.Hardware.from_json(json.dumps(data))


def _predicted(call: Call, machine: Hardware, problems: Problems) -> Judged:
    links = machine.links_byte_per_s
    n, passes = call.devices, 2 if call.op == "all_reduce" else 1
    link, away = links.get("device", links.get("host", np.nan)), (n - 1) / n
    if call.nodes > 1:
        link, away = links.get("network", np.nan), 1 - 1 / call.nodes
    copies = call.tokens.top_k if call.tokens else 1
    plain_s = call.size_bytes.astype(np.float64) * (away * passes * copies / link)
    unknown = np.full(len(call), np.nan)
    predicted = Predicted(unknown, unknown, unknown)
    try:
        found = call_s(call, machine)
        predicted = Predicted(found.latency_s, found.latency_low_s, found.latency_high_s)
    except ValueError as error:
        problems.add(call.group.table, reason_of(error), call.op, len(call))
    return Judged([call.group] * len(call), call.measured_s, predicted, plain_s, call.rows)
