"""Adapter to Lightning: `Trainer(callbacks=[LightningCostCallback(hardware=["l4"])])`."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any

from ..errors import MissingLibraryError
from .adapter_base import TrackerAdapter, precision_of, unpickled, with_bases

if TYPE_CHECKING:
    from ..results.record import CostRecord
    from .tracker import CostTracker

_PACKAGES = ("lightning.pytorch", "pytorch_lightning")


class LightningCostCallback:
    """Callback of Lightning that tracks cost: a `Callback` of `lightning.pytorch` or of `pytorch_lightning`.

    It derives from the package that is imported when it is created, from both if both are, and from the installed one
    if neither is. The tracker is created when training starts, or at the first batch if nothing else defines the
    inputs. It counts every batch, and one step whenever any optimizer has stepped; its clock is stopped for validation
    and checkpoints. Checkpoints hold its state. With `fast_dev_run` there are no sinks, as there are no loggers. Only
    rank zero has records, and therefore sinks and loggers.

    Args:
        inputs: Inputs of the module's forward: an example (a tensor, a tuple, or a dictionary of keywords), or a
            function from a batch to one. None takes the module's `example_input_array`, else the batch itself: a
            tensor, the first of `(x, y)`, or the entries of a dictionary with names of the forward's arguments. An
            example is used for each batch that this rule does not fit (see `training.BatchInputs`).
        log: Whether the trainer's loggers receive the figures, at the loggers' step of the batch.
        **settings: Arguments of `CostTracker`. The default `precision` is the trainer's mixed precision.

    Raises:
        MissingLibraryError: Neither package is installed.
        InputTypeError: A setting has an unknown name.
    """

    _plain: type[LightningCostCallback]

    def __new__(cls, *_: Any, **__: Any) -> LightningCostCallback:
        """Return an instance of a class that also derives from the framework's bases, which are imported here."""
        return object.__new__(cls if hasattr(cls, "_plain") else with_bases(cls, _callbacks()))

    def __init__(self, inputs: Any = None, *, log: bool = True, **settings: Any) -> None:
        self._inputs = inputs
        self._log = log
        self._adapter = TrackerAdapter("LightningCostCallback", settings)
        self._steps = 0

    def __reduce__(self) -> tuple[Any, ...]:
        return unpickled, (self._plain,), self.__dict__

    @property
    def tracker(self) -> CostTracker | None:
        """The tracker; None before training and after it."""
        return self._adapter.tracker

    @property
    def state_key(self) -> str:
        """The key of its state in checkpoints, equal for both packages."""
        return "pyinfercost.LightningCostCallback"

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """Create the tracker if the inputs are known."""
        adapter, given = self._adapter, self._inputs
        if given is None:
            given = pl_module.example_input_array
        adapter.set_inputs(pl_module, given)
        self._steps = trainer.global_step
        self._start(trainer, pl_module, None)

    def on_train_batch_start(self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int) -> None:
        """Create the tracker from the first batch; resume after a checkpoint, which has no end hook."""
        if self._adapter.tracker is None:
            self._start(trainer, pl_module, batch)
        else:
            self._adapter.resume()

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Count the batch, and the step if there was one."""
        adapter = self._adapter
        if adapter.tracker is None:
            return
        adapter.micro_batch(batch)
        if trainer.global_step != self._steps:
            self._steps = trainer.global_step
            # Each of several optimizers raises global_step, so the tracker counts steps itself.
            record = adapter.step(trainer.global_step if pl_module.automatic_optimization else None)
            if record is not None and self._log:
                adapter.guard.run(_to_loggers, trainer, record)

    def on_validation_start(self, trainer: Any, pl_module: Any) -> None:
        """Pause the tracker."""
        self._adapter.pause()

    def on_validation_end(self, trainer: Any, pl_module: Any) -> None:
        """Resume the tracker."""
        self._adapter.resume()

    def on_save_checkpoint(self, trainer: Any, pl_module: Any, checkpoint: dict[str, Any]) -> None:
        """Pause the tracker until the next batch."""
        self._adapter.pause()

    def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:
        """Close the tracker."""
        self._adapter.close(pl_module)

    def teardown(self, trainer: Any, pl_module: Any, stage: str) -> None:
        """Close the tracker after the last checkpoint."""
        if stage == "fit":
            self._adapter.close(pl_module)

    def state_dict(self) -> dict[str, Any]:
        """Return the tracker's state for a checkpoint."""
        return self._adapter.state_dict()

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Load the state of a checkpoint, which arrives before the tracker is created."""
        self._adapter.load_state_dict(state_dict)

    def _start(self, trainer: Any, pl_module: Any, batch: Any) -> None:
        instead = {"sinks": ()} if trainer.fast_dev_run else {}
        precision = precision_of(trainer.precision)
        self._adapter.start(pl_module, batch, instead, precision=precision, training_precision=precision)


def _to_loggers(trainer: Any, record: CostRecord) -> None:
    # `LightningModule.log` would add the figures to the module's progress bars, monitors and reductions. The step is
    # the one that the module's own figures have for this batch: one less than the steps done.
    step = getattr(trainer.fit_loop.epoch_loop, "_batches_that_stepped", trainer.global_step)
    for logger in trainer.loggers:
        logger.log_metrics(dict(record.metrics), step=step)


def _callbacks() -> tuple[type, ...]:
    """Return the base classes of the imported packages, else of an installed one."""
    found = [sys.modules[name].Callback for name in _PACKAGES if hasattr(sys.modules.get(name), "Callback")]
    if found:
        return tuple(found)
    for name in _PACKAGES:
        try:
            return (import_module(name).Callback,)
        except ImportError as error:
            missing = error
    raise MissingLibraryError(
        f"LightningCostCallback needs Lightning, which cannot be imported ({missing}); run pip install "
        "'pyinfercost[lightning]'",
        name="lightning",
    ) from missing
