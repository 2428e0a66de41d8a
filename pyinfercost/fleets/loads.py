"""The load of traffic over time, if no request waited."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True)
class PoolLoad:
    """The load over time if no request waited. Arrays have a value for each second.

    Attributes:
        end_s: Time at which the last request would leave.
        running_s: Request-seconds in service.
        most: Most requests at a time.
        replicas_s: Replica-seconds of the bound: at any time as many as that time and the one after it need.
        most_replicas: The most of them.
    """

    end_s: float
    running_s: NDArray[np.float64]
    most: NDArray[np.int64]
    replicas_s: NDArray[np.float64]
    most_replicas: int
