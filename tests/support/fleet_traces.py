"""Arrivals of real traces, for the table of costs of autoscalers. The traces stand next to the repository."""

from __future__ import annotations

import csv
from datetime import datetime
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from support.paths import SHARED

TRACES = SHARED / "traces"
WEEK_S = 7 * 86400.0


def _need(name: str) -> Any:
    path = TRACES / name
    if not path.exists():
        pytest.skip(f"needs {path}: the traces next to the repository")
    return path


def azure_hour(name: str) -> tuple[NDArray[np.float64], NDArray[np.int32], NDArray[np.int32]]:
    """Return seconds since the first request, tokens of prompts and tokens of answers of `code` or `conv`."""
    path = _need(f"azure_llm_2023/AzureLLMInferenceTrace_{name}.csv")
    rows = []
    with path.open(newline="") as file:
        for row in csv.DictReader(file):
            whole, part = row["TIMESTAMP"].split(".")
            time_s = datetime.fromisoformat(whole).timestamp() + float(f"0.{part}")
            rows.append((time_s, int(row["ContextTokens"]), max(1, int(row["GeneratedTokens"]))))
    rows.sort(key=lambda row: row[0])
    arrival = np.array([row[0] for row in rows])
    return (
        arrival - arrival[0],
        np.array([row[1] for row in rows], dtype=np.int32),
        np.array([row[2] for row in rows], dtype=np.int32),
    )


def coding_week(share: float = 0.1) -> NDArray[np.float64]:
    """Return a week of arrivals: Poisson numbers of the bins of the trace, uniform within each bin."""
    with _need("azure_llm_2024_weekly/coding_week_7min.csv").open(newline="") as file:
        per_min = np.array([float(row["requests_per_min_mid_rescaled"]) for row in csv.DictReader(file)])
    width_s = WEEK_S / per_min.size
    rng = np.random.default_rng(0)
    counts = rng.poisson(share * per_min * width_s / 60)
    return np.sort(np.concatenate([i * width_s + rng.random(k) * width_s for i, k in enumerate(counts)]))
