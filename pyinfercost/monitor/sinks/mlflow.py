"""MLflow."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from math import isfinite
from typing import Any

from .protocol import library

_AT_ONCE = 1000  # MLflow takes no more metrics in a request
_LONGEST = 250


class MLflow:
    """Logs to a run of MLflow, a request a record.

    Names keep their slashes; characters that MLflow refuses become underscores. What is not finite is left out, since
    databases behind MLflow store it as another number.

    Args:
        run_id: The run. None takes the one that is active when the first record comes, or else makes one, which does
            not become the active one.
        experiment: The name of the experiment for a new run; it is made where there is none.
        run_name: The name of a new run.

    Raises:
        ImportError: There is no mlflow.
        ValueError: A run is given, and also what a new one should be.
    """

    def __init__(
        self, run_id: str | None = None, *, experiment: str | None = None, run_name: str | None = None
    ) -> None:
        if run_id is not None and (experiment, run_name) != (None, None):
            raise ValueError("a run that is there has its experiment and its name: give run_id alone, or the others")
        self._mlflow = library("mlflow", "the sink MLflow", "mlflow")
        self._metric = library("mlflow.entities", "the sink MLflow", "mlflow").Metric
        self._run_id = run_id
        self._experiment = experiment
        self._run_name = run_name
        self._client: Any = None
        self._made = False

    def write(self, step: int, metrics: Mapping[str, float | int]) -> None:
        """Logs the figures that are finite."""
        if self._client is None:
            self._client = self._mlflow.MlflowClient()
        if self._run_id is None:
            self._run_id = self._found_or_made()
        now_ms = int(time.time() * 1000)
        entries = [
            self._metric(legal_name(name), float(value), now_ms, step)
            for name, value in metrics.items()
            if isfinite(value)
        ]
        for first in range(0, len(entries), _AT_ONCE):
            self._client.log_batch(self._run_id, metrics=entries[first : first + _AT_ONCE])

    def close(self) -> None:
        """Ends the run where this has made it."""
        if self._made:
            self._client.set_terminated(self._run_id)
            self._run_id, self._made = None, False

    def _found_or_made(self) -> str:
        active = self._mlflow.active_run()
        if active is not None and (self._experiment, self._run_name) == (None, None):
            return str(active.info.run_id)
        experiment_id = None
        if self._experiment is not None:
            experiment = self._client.get_experiment_by_name(self._experiment)
            experiment_id = experiment.experiment_id if experiment else self._client.create_experiment(self._experiment)
        # MLflow alone knows which experiment is meant by default; its way of starting a run also makes it the active
        # one, to which everything else in the process would then log.
        with self._mlflow.start_run(experiment_id=experiment_id, run_name=self._run_name, nested=True) as run:
            made = str(run.info.run_id)
        self._client.update_run(made, status="RUNNING")
        self._made = True
        return made


def legal_name(name: str) -> str:
    """The name with what MLflow takes: letters, digits, `_-. /`, and no part that means another folder."""
    parts = [re.sub(r"[^\w.\- ]", "_", part) for part in name.split("/")]
    return "/".join(part for part in parts if part not in {"", ".", ".."})[:_LONGEST]
