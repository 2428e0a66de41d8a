"""`collectives.csv`: one NCCL call between GPUs of a node.

The message size is `elements` times the width of `dtype`, for the whole result: an int8 row takes as long as a half row
with half as many elements, and of the 537 MB that 8 H100 gather in 1,401 us, seven eighths arrive at each of them, at
335 of its link's 450 GB/s. Execution is the collective alone, without kernels of a model.

Collectives are predicted by `pyinfercost.collective(op, size_bytes, hardware=, devices=, dtype=)`, not by graphs; if
the package has no such function, the table is skipped.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from ..cases import Group
from ..predict import Predicted, reason_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pyinfercost import Hardware

    from ..measured import Table

_BYTES = {"half": 2, "float16": 2, "bfloat16": 2, "int8": 1, "fp8": 1, "float": 4, "float32": 4}
_NAMES = {"half": "fp16", "float16": "fp16", "bfloat16": "bf16", "float": "fp32", "float32": "fp32"}


def predictor() -> Callable[..., Any] | None:
    """Return the package's function for collectives; None if there is none."""
    import pyinfercost

    found: Callable[..., Any] | None = getattr(pyinfercost, "collective", None)
    return found


def predict_collective(
    op: str, size_bytes: NDArray[np.int64], machine: Hardware, devices: int, dtype: str
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return latencies of a collective in seconds: the expected one, and both ends of its error band."""
    function = predictor()
    if function is None:
        raise RuntimeError("pyinfercost has no function `collective`")
    found = function(op, size_bytes, hardware=machine, devices=devices, dtype=_NAMES.get(dtype, dtype))
    return found.latency_s, found.latency_low_s, found.latency_high_s


def predicted(
    table: Table, machines: Mapping[str, Hardware]
) -> tuple[list[Group], NDArray[np.float64], Predicted, NDArray[np.float64]]:
    """Predict all rows.

    Returns:
        The group of each row (`part` is the operation and the number of GPUs), the measured seconds, the predictions,
        and a roofline: bytes that leave each GPU (bytes x (n - 1) / n, twice for an all-reduce) over its link, in
        seconds.
    """
    groups = [Group(table.name, "")] * len(table)
    elements = table.integers("elements")
    columns = np.full((4, len(table)), np.nan)
    for (device, software, op, dtype, gpus), rows in table.groups("device", "software", "op", "dtype", "gpus"):
        group = Group(table.name, device, software, dtype, "collective", f"{op} x{gpus}")
        for row in rows:
            groups[row] = group
        if dtype not in _BYTES:
            table.problems.add(table.name, "dtype unknown", dtype, len(rows))
            continue
        size_bytes, machine, count = elements[rows] * _BYTES[dtype], machines[device], int(gpus)
        link = machine.links_byte_per_s.get("device", machine.links_byte_per_s.get("host", np.nan))
        columns[3, rows] = size_bytes * ((count - 1) / count * (2 if op == "all_reduce" else 1) / link)
        try:
            columns[:3, rows] = predict_collective(op, size_bytes, machine, count, dtype)
        except (ValueError, TypeError, RuntimeError) as error:
            table.problems.add(table.name, reason_of(error), op, len(rows))
    return groups, table.seconds(), Predicted(*columns[:3]), columns[3]
