"""`collectives.csv`: one NCCL call between GPUs of a node.

The size of a message is `elements` times the width of `dtype`, of the whole result: an int8 row takes as long as a
half row with half as many elements, and an all-gather of 537 MB between 8 H100 (1,401 us) moves 335 GB/s over each
link if that is all that arrives at a GPU, its own eighth included. Execution is the collective's own: no kernel of a
model is in it.

Collectives are predicted by `pyinfercost.collective(op, size_bytes, hardware=, devices=)`, not by graphs; where the
package has no such function the table is skipped.
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


def predictor() -> Callable[..., Any] | None:
    """The package's function for collectives, None where it has none."""
    import pyinfercost

    found: Callable[..., Any] | None = getattr(pyinfercost, "collective", None)
    return found


def predict_collective(op: str, size_bytes: int, machine: Hardware, devices: int) -> tuple[float, float, float]:
    """Latency of a collective in seconds: expected, and the ends of its error band."""
    function = predictor()
    if function is None:
        raise RuntimeError("pyinfercost has no function `collective`")
    found = function(op, size_bytes, hardware=machine, devices=devices)
    return found.latency_s, found.latency_low_s, found.latency_high_s


def predicted(
    table: Table, machines: Mapping[str, Hardware]
) -> tuple[list[Group], NDArray[np.float64], Predicted, NDArray[np.float64]]:
    """Predictions of all rows.

    Returns:
        Each row's group (`part` is the op and the number of GPUs), what was measured, what is predicted, and a roofline:
        what leaves each GPU (bytes x (n - 1) / n, twice for an all-reduce) over its link, all in seconds.
    """
    groups: list[Group] = []
    sizes, measured_s = table.integers("elements"), table.seconds()
    gpus, ops, dtypes = table.integers("gpus"), table.text("op"), table.text("dtype")
    devices, software = table.text("device"), table.text("software", "")
    columns = np.full((4, len(table)), np.nan)
    for row, (device, op, dtype) in enumerate(zip(devices, ops, dtypes, strict=True)):
        groups.append(Group(table.name, device, software[row], dtype, "collective", f"{op} x{gpus[row]}"))
        if dtype not in _BYTES:
            table.problems.add(table.name, "dtype unknown", dtype)
            continue
        size_bytes, machine, count = int(sizes[row]) * _BYTES[dtype], machines[device], int(gpus[row])
        link = machine.links_byte_per_s.get("device", machine.links_byte_per_s.get("host", np.nan))
        columns[3, row] = size_bytes * (count - 1) / count * (2 if op == "all_reduce" else 1) / link
        try:
            columns[:3, row] = predict_collective(op, size_bytes, machine, count)
        except (ValueError, TypeError, RuntimeError) as error:
            table.problems.add(table.name, reason_of(error), op)
    return groups, measured_s, Predicted(*columns[:3]), columns[3]
