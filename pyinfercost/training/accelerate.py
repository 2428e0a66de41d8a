"""The cost of training among accelerate's trackers: `Accelerator(log_with=[CostAccelerateTracker(model=model)])`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from .adapter_base import Attached, precision_of
from .lazy_bases import with_bases

if TYPE_CHECKING:
    from .tracker import CostTracker


class CostAccelerateTracker:
    """Tracks what training costs; an object of it is a `GeneralTracker`.

    `accelerator.log(values, step=step)`, once after each step of the optimizer, counts the step; a second call for the
    same `step` does not. `micro_batch(batch)` tells what goes through the model. Its state goes into checkpoints by
    `accelerator.register_for_checkpointing(tracker)`. Records go to the tracker's sinks, and with an `AcceleratorSink`
    to the other trackers of the accelerator.

    Args:
        tracker: One that is there already.
        model: The model, of which the tracker is made at the first batch or step where none is given.
        inputs: What the model gets: an example (a tensor, a tuple, or a dictionary of keywords), or a function from a
            batch to that. None takes the batch itself, as `training.inputs.Inputs` does.
        **settings: Of `CostTracker`. Where no `precision` is given, the accelerator's is taken over.

    Raises:
        ImportError: There is no accelerate.
        TypeError: There is no such setting, or neither `tracker` nor `model`.
    """

    name = "pyinfercost"
    requires_logging_directory = False
    main_process_only = False  # a budget that raises does so in every process, or the others would wait for ever

    def __new__(cls, *_: Any, **__: Any) -> CostAccelerateTracker:
        """An object of a class that also has the framework's base, which is not there before it is imported."""
        try:
            from accelerate.tracking import GeneralTracker
        except ImportError as error:
            raise ImportError(
                f"CostAccelerateTracker needs accelerate, which cannot be imported ({error}): pip install "
                "'pyinfercost[accelerate]'",
                name="accelerate",
            ) from error
        return object.__new__(cls if GeneralTracker in cls.__mro__ else with_bases(cls, (GeneralTracker,)))

    def __init__(
        self, tracker: CostTracker | None = None, *, model: Any = None, inputs: Any = None, **settings: Any
    ) -> None:
        if (tracker is None) == (model is None):
            raise TypeError(
                "CostAccelerateTracker takes a tracker, or model= to make one of; not both, and not neither"
            )
        self._attached = Attached("CostAccelerateTracker", settings, tracker)
        self._model = model
        self._last: int | None = None
        self._attached.know(model, inputs)

    @property
    def tracker(self) -> CostTracker | None:
        """The `CostTracker`, once there is one."""
        return self._attached.tracker

    def micro_batch(self, batch: Any) -> None:
        """A forward and a backward of this batch are done.

        Args:
            batch: As the loader gives it.
        """
        self._start(batch)
        self._attached.micro_batch(batch)

    def pause(self) -> None:
        """What follows is no training."""
        self._attached.pause()

    def resume(self) -> None:
        """Training goes on."""
        self._attached.resume()

    def start(self) -> None:
        """Nothing: the tracker is made when the inputs are known."""

    def store_init_configuration(self, values: Mapping[str, Any]) -> None:
        """Nothing: settings of a run cost nothing."""

    def log(self, values: Mapping[str, Any], step: int | None = None, **_: Any) -> None:
        """Counts a step.

        Args:
            values: What the run logs, of which nothing is needed here.
            step: The number of the step.
        """
        if step is not None and step == self._last:
            return
        self._last = step
        self._start(None)
        self._attached.step(step)

    def finish(self) -> None:
        """Closes the tracker where this has made it."""
        self._attached.close(self._model)

    def state_dict(self) -> dict[str, Any]:
        """The tracker's state."""
        return self._attached.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Gives the tracker its state."""
        self._attached.load_state_dict(state)

    def _start(self, batch: Any) -> None:
        if self._attached.tracker is None and self._model is not None:
            precision = precision_of(_mixed_precision())
            self._attached.start(self._model, batch, precision=precision, training_precision=precision)


class AcceleratorSink:
    """Logs records through the other trackers of an accelerator.

    Args:
        accelerator: The `Accelerator`, or a function that gives it: the sink is made before the accelerator, whose
            `log_with` has the tracker that writes here.
    """

    def __init__(self, accelerator: Any | Callable[[], Any]) -> None:
        self._accelerator = accelerator

    def write(self, step: int, metrics: Mapping[str, float | int]) -> None:
        """Logs the figures, each tracker in its own way."""
        accelerator = self._accelerator if hasattr(self._accelerator, "trackers") else self._accelerator()
        for tracker in accelerator.trackers:
            if not isinstance(tracker, CostAccelerateTracker):
                tracker.log(dict(metrics), step=step)

    def close(self) -> None:
        """Leaves the trackers to the accelerator."""


def _mixed_precision() -> object:
    from accelerate.state import AcceleratorState, is_initialized

    return AcceleratorState().mixed_precision if is_initialized() else None
