"""The cost of training in Lightning: `Trainer(callbacks=[CostCallback(hardware=["l4"])])`."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any

from .adapter_base import Attached, precision_of
from .lazy_bases import again, with_bases

if TYPE_CHECKING:
    from .record import CostRecord
    from .tracker import CostTracker

_PACKAGES = ("lightning.pytorch", "pytorch_lightning")


class CostCallback:
    """Tracks what training costs; an object of it is a `Callback` of `lightning.pytorch` or of `pytorch_lightning`.

    It is one of the package that is imported when it is made, of both if both are, and of the one that is installed if
    neither is. The tracker is made when training starts, or at the first batch where nothing else tells the inputs. It
    counts every batch, and a step where an optimizer has stepped, however many optimizers have; validation and
    checkpoints are left out of its time. Its state is in checkpoints. With `fast_dev_run` there are no sinks, as there
    are no loggers. Records, and so sinks and loggers, are of rank zero.

    Args:
        inputs: What the module's forward gets: an example (a tensor, a tuple, or a dictionary of keywords), or a
            function from a batch to that. None takes `example_input_array` of the module, else the batch itself:
            a tensor, the first of `(x, y)`, or of a dictionary what has the name of an argument of the forward. An
            example stands for each batch that the last rule cannot be right for (see `training.inputs.Inputs`).
        log: Whether the trainer's loggers get the figures, at the step that they have for the batch.
        **settings: Of `CostTracker`. Where no `precision` is given, mixed precision of the trainer is taken over.

    Raises:
        ImportError: There is neither package.
        TypeError: There is no such setting.
    """

    _plain: type[CostCallback]

    def __new__(cls, *_: Any, **__: Any) -> CostCallback:
        """An object of a class that also has the bases of the framework, which are not there before it is imported."""
        return object.__new__(cls if hasattr(cls, "_plain") else with_bases(cls, _callbacks()))

    def __init__(self, inputs: Any = None, *, log: bool = True, **settings: Any) -> None:
        self._inputs = inputs
        self._log = log
        self._attached = Attached("CostCallback for Lightning", settings)
        self._steps = 0

    def __reduce__(self) -> tuple[Any, ...]:
        return again, (self._plain,), self.__dict__

    @property
    def tracker(self) -> CostTracker | None:
        """The tracker, while there is one."""
        return self._attached.tracker

    @property
    def state_key(self) -> str:
        """What its state is called in a checkpoint, whichever package the callback is of."""
        return "pyinfercost.CostCallback"

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """Makes the tracker, where the inputs are known."""
        attached, given = self._attached, self._inputs
        if given is None:
            given = pl_module.example_input_array
        attached.know(pl_module, given)
        self._steps = trainer.global_step
        self._start(trainer, pl_module, None)

    def on_train_batch_start(self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int) -> None:
        """Makes the tracker of the first batch; a checkpoint, which has no end of its own, has ended by now."""
        if self._attached.tracker is None:
            self._start(trainer, pl_module, batch)
        else:
            self._attached.resume()

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Counts the batch, and the step where there was one."""
        attached = self._attached
        if attached.tracker is None:
            return
        attached.micro_batch(batch)
        if trainer.global_step != self._steps:
            self._steps = trainer.global_step
            # Of several optimizers each raises global_step; what is a step is then for the tracker to count.
            record = attached.step(trainer.global_step if pl_module.automatic_optimization else None)
            if record is not None and self._log:
                attached.guard.run(_to_loggers, trainer, record)

    def on_validation_start(self, trainer: Any, pl_module: Any) -> None:
        """Pauses the tracker."""
        self._attached.pause()

    def on_validation_end(self, trainer: Any, pl_module: Any) -> None:
        """Resumes it."""
        self._attached.resume()

    def on_save_checkpoint(self, trainer: Any, pl_module: Any, checkpoint: dict[str, Any]) -> None:
        """Pauses the tracker until the next batch."""
        self._attached.pause()

    def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:
        """Closes the tracker."""
        self._attached.close(pl_module)

    def teardown(self, trainer: Any, pl_module: Any, stage: str) -> None:
        """Closes the tracker, after the last checkpoint."""
        if stage == "fit":
            self._attached.close(pl_module)

    def state_dict(self) -> dict[str, Any]:
        """The tracker's state, for a checkpoint."""
        return self._attached.state_dict()

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Takes the state of a checkpoint, which comes before the tracker is made."""
        self._attached.load_state_dict(state_dict)

    def _start(self, trainer: Any, pl_module: Any, batch: Any) -> None:
        instead = {"sinks": ()} if trainer.fast_dev_run else {}
        precision = precision_of(trainer.precision)
        self._attached.start(pl_module, batch, instead, precision=precision, training_precision=precision)


def _to_loggers(trainer: Any, record: CostRecord) -> None:
    # `LightningModule.log` would put the figures among the module's own: progress bars, monitors, reductions. The axis
    # is that of the module's figures, whose number for this batch is one less than the steps that are done.
    step = getattr(trainer.fit_loop.epoch_loop, "_batches_that_stepped", trainer.global_step)
    for logger in trainer.loggers:
        logger.log_metrics(dict(record.metrics), step=step)


def _callbacks() -> tuple[type, ...]:
    """The base classes: those of what is imported, else of what is installed."""
    found = [sys.modules[name].Callback for name in _PACKAGES if hasattr(sys.modules.get(name), "Callback")]
    if found:
        return tuple(found)
    for name in _PACKAGES:
        try:
            return (import_module(name).Callback,)
        except ImportError as error:
            missing = error
    raise ImportError(
        f"CostCallback needs Lightning, which cannot be imported ({missing}): pip install 'pyinfercost[lightning]'",
        name="lightning",
    ) from missing
