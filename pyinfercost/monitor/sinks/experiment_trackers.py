"""Sinks of experiment trackers: TensorBoard, Weights & Biases, MLflow."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from math import isfinite
from os import PathLike, fspath
from typing import Any

from ..._lazy import optional_library
from ...errors import InputError, InputTypeError

_WANDB_STEP = "cost/step"
_MLFLOW_BATCH = 1000  # metrics that MLflow accepts in one request
_MLFLOW_LONGEST = 250  # characters of a name that MLflow accepts


class TensorBoard:
    """Write scalars to an event file.

    Args:
        log_dir: The folder of the event file, which is created at the first record; or a `SummaryWriter` of torch or
            tensorboardX, which is flushed and stays open.

    Raises:
        MissingLibraryError: Torch or tensorboard is not installed.
        InputTypeError: `log_dir` is neither.
    """

    def __init__(self, log_dir: str | PathLike[str] | Any) -> None:
        self._made = isinstance(log_dir, (str, PathLike))
        if self._made:
            optional_library("tensorboard", "the sink TensorBoard", "tensorboard")
            self._module = optional_library("torch.utils.tensorboard", "the sink TensorBoard", "tensorboard")
            self._log_dir = fspath(log_dir)
            self._writer: Any = None
        elif hasattr(log_dir, "add_scalar"):
            self._writer = log_dir
        else:
            raise InputTypeError(f"TensorBoard got {log_dir!r}; expected a folder or a SummaryWriter")

    def write(self, step: int, metrics: Mapping[str, float | int]) -> None:
        """Add one scalar per figure."""
        if self._writer is None:
            self._writer = self._module.SummaryWriter(self._log_dir)
        for name, value in metrics.items():
            self._writer.add_scalar(name, value, step)

    def close(self) -> None:
        """Close the event file if this sink opened it."""
        if self._writer is None:
            return
        if self._made:
            self._writer.close()
            self._writer = None  # a later record opens another event file in the same folder
        else:
            self._writer.flush()


class WandB:
    """Log to a run of Weights & Biases, against a step metric of its own.

    The step counter of a run can only increase, and records for earlier steps are dropped. It belongs to the training
    loop, so figures are logged with their own axis, `cost/step`.

    Args:
        run: The run. None takes the active one at the first record, or starts one.
        **init: Arguments of `wandb.init`, such as `project`.

    Raises:
        MissingLibraryError: Wandb is not installed.
    """

    def __init__(self, run: Any = None, **init: Any) -> None:
        self._wandb = optional_library("wandb", "the sink WandB", "wandb") if run is None else None
        self._run = run
        self._init = init
        self._made = False
        self._defined: set[str] = set()

    def write(self, step: int, metrics: Mapping[str, float | int]) -> None:
        """Log the figures."""
        if self._run is None:
            self._start()
        for name in metrics:
            prefix, slash, _ = name.partition("/")
            pattern = f"{prefix}/*" if slash else name
            if pattern not in self._defined:
                self._define(pattern)
        self._run.log({**metrics, _WANDB_STEP: step})

    def close(self) -> None:
        """Finish the run if this sink started it."""
        if self._made:
            self._run.finish()
            self._run, self._made = None, False
            self._defined.clear()

    def _start(self) -> None:
        active = self._wandb.run  # type: ignore[union-attr]
        # wandb.init returns the active run if there is one; this sink does not finish it.
        self._run = active if active is not None and not self._init else self._wandb.init(**self._init)  # type: ignore[union-attr]
        self._made = self._run is not active

    def _define(self, pattern: str) -> None:
        if not self._defined:
            self._run.define_metric(_WANDB_STEP, hidden=True)
        self._run.define_metric(pattern, step_metric=_WANDB_STEP)
        self._defined.add(pattern)


class MLflow:
    """Log to a run of MLflow, one request per record.

    Names keep their slashes; characters that MLflow rejects become underscores. Figures that are not finite are
    omitted, because MLflow's databases store them as other numbers.

    Args:
        run_id: The run. None takes the active one at the first record, or creates one, which does not become active.
        experiment: The name of the experiment of a new run; it is created if it does not exist.
        run_name: The name of a new run.

    Raises:
        MissingLibraryError: Mlflow is not installed.
        InputError: A run is given together with settings of a new one.
    """

    def __init__(
        self, run_id: str | None = None, *, experiment: str | None = None, run_name: str | None = None
    ) -> None:
        if run_id is not None and (experiment, run_name) != (None, None):
            raise InputError(
                "run_id is given with experiment or run_name, which belong to a new run; pass run_id alone, or the "
                "others without it"
            )
        self._mlflow = optional_library("mlflow", "the sink MLflow", "mlflow")
        self._metric = optional_library("mlflow.entities", "the sink MLflow", "mlflow").Metric
        self._run_id = run_id
        self._experiment = experiment
        self._run_name = run_name
        self._made = False
        self._client: Any = None

    def write(self, step: int, metrics: Mapping[str, float | int]) -> None:
        """Log the finite figures."""
        if self._client is None:
            self._client = self._mlflow.MlflowClient()
        if self._run_id is None:
            self._run_id = self._find_or_create()
        now_ms = int(time.time() * 1000)
        entries = [
            self._metric(mlflow_name(name), float(value), now_ms, step)
            for name, value in metrics.items()
            if isfinite(value)
        ]
        for first in range(0, len(entries), _MLFLOW_BATCH):
            self._client.log_batch(self._run_id, metrics=entries[first : first + _MLFLOW_BATCH])

    def close(self) -> None:
        """End the run if this sink created it."""
        if self._made:
            self._client.set_terminated(self._run_id)
            self._run_id, self._made = None, False

    def _find_or_create(self) -> str:
        active = self._mlflow.active_run()
        if active is not None and (self._experiment, self._run_name) == (None, None):
            return str(active.info.run_id)
        experiment_id = None
        if self._experiment is not None:
            experiment = self._client.get_experiment_by_name(self._experiment)
            experiment_id = experiment.experiment_id if experiment else self._client.create_experiment(self._experiment)
        # MLflow's default experiment is only known to `start_run`, which also makes the run active, so that everything
        # else in the process would log to it. Therefore the run is left at once and marked as running.
        with self._mlflow.start_run(experiment_id=experiment_id, run_name=self._run_name, nested=True) as run:
            made = str(run.info.run_id)
        self._client.update_run(made, status="RUNNING")
        self._made = True
        return made


def mlflow_name(name: str) -> str:
    """Return a name that MLflow accepts: letters, digits, `_-. /`, and no relative path."""
    parts = [re.sub(r"[^\w.\- ]", "_", part) for part in name.split("/")]
    return "/".join(part for part in parts if part not in {"", ".", ".."})[:_MLFLOW_LONGEST]
