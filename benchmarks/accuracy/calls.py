"""Predictions of communication: calls of `pyinfercost.collective`, which have no graphs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

import pyinfercost as ic

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
    """

    group: Group
    op: str
    dtype: str
    devices: int
    size_bytes: NDArray[np.int64]
    measured_s: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.measured_s)


def predict_calls(calls: Sequence[Call], machines: Mapping[str, Hardware], problems: Problems) -> Judged:
    """Predict all rows; those that the package refuses are counted.

    Returns:
        The rows. Their roofline is the time of the bytes that leave each device (bytes x (n - 1) / n, twice for an
        all-reduce) over its link.
    """
    return Judged.joined([_predicted(call, machines[call.group.device], problems) for call in calls])


def _predicted(call: Call, machine: Hardware, problems: Problems) -> Judged:
    link = machine.links_byte_per_s.get("device", machine.links_byte_per_s.get("host", np.nan))
    passes = 2 if call.op == "all_reduce" else 1
    plain_s = call.size_bytes.astype(np.float64) * ((call.devices - 1) / call.devices * passes / link)
    unknown = np.full(len(call), np.nan)
    predicted = Predicted(unknown, unknown, unknown)
    try:
        found = ic.collective(call.op, call.size_bytes, hardware=machine, devices=call.devices, dtype=call.dtype)
        predicted = Predicted(found.latency_s, found.latency_low_s, found.latency_high_s)
    except ValueError as error:
        problems.add(call.group.table, reason_of(error), call.op, len(call))
    return Judged([call.group] * len(call), call.measured_s, predicted, plain_s)
