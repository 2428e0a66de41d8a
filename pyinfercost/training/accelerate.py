"""Adapter to accelerate: `Accelerator(log_with=[AccelerateCostTracker(model=model)])`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from ..errors import InputTypeError, MissingLibraryError
from .adapter_base import TrackerAdapter, precision_of, with_bases

if TYPE_CHECKING:
    from .tracker import CostTracker


class AccelerateCostTracker:
    """`GeneralTracker` of accelerate that tracks cost.

    `accelerator.log(values, step=step)` counts an optimizer step; a second call for the same `step` does not.
    `micro_batch(batch)` reports a batch. `accelerator.register_for_checkpointing(tracker)` saves its state in
    checkpoints. Records go to the tracker's sinks, and with an `AcceleratorSink` to the accelerator's other trackers.

    Args:
        tracker: An existing tracker.
        model: The model; without `tracker`, one is created for it at the first batch or step.
        inputs: Inputs of the model: an example (a tensor, a tuple, or a dictionary of keywords), or a function from a
            batch to one. None takes the batch itself, by the rule of `training.BatchInputs`.
        **settings: Arguments of `CostTracker`. The default `precision` is the accelerator's.

    Raises:
        MissingLibraryError: accelerate is not installed.
        InputTypeError: A setting has an unknown name, or both or neither of `tracker` and `model` are given.
    """

    name = "pyinfercost"
    requires_logging_directory = False
    main_process_only = False  # a budget that raises must do so in every process, or the others wait forever

    def __new__(cls, *_: Any, **__: Any) -> AccelerateCostTracker:
        """Return an instance of a class that also derives from the framework's base, which is imported here."""
        try:
            from accelerate.tracking import GeneralTracker
        except ImportError as error:
            raise MissingLibraryError(
                f"AccelerateCostTracker needs accelerate, which cannot be imported ({error}); run pip install "
                "'pyinfercost[accelerate]'",
                name="accelerate",
            ) from error
        return object.__new__(cls if GeneralTracker in cls.__mro__ else with_bases(cls, (GeneralTracker,)))

    def __init__(
        self, tracker: CostTracker | None = None, *, model: Any = None, inputs: Any = None, **settings: Any
    ) -> None:
        if (tracker is None) == (model is None):
            raise InputTypeError("got both a tracker and a model, or neither; pass exactly one of them")
        self._adapter = TrackerAdapter("AccelerateCostTracker", settings, tracker)
        self._model = model
        self._last: int | None = None
        self._adapter.set_inputs(model, inputs)

    @property
    def tracker(self) -> CostTracker | None:
        """The `CostTracker`; None before the first batch or step."""
        return self._adapter.tracker

    def micro_batch(self, batch: Any) -> None:
        """Report a forward and backward.

        Args:
            batch: A batch of the loader.
        """
        self._start(batch)
        self._adapter.micro_batch(batch)

    def pause(self) -> None:
        """Stop the clock."""
        self._adapter.pause()

    def resume(self) -> None:
        """Restart the clock."""
        self._adapter.resume()

    def start(self) -> None:
        """Do nothing: the tracker is created when the inputs are known."""

    def store_init_configuration(self, values: Mapping[str, Any]) -> None:
        """Do nothing: settings of a run have no cost."""

    def log(self, values: Mapping[str, Any], step: int | None = None, **_: Any) -> None:
        """Count a step.

        Args:
            values: Values that the run logs; not used.
            step: The number of the step.
        """
        if step is not None and step == self._last:
            return
        self._last = step
        self._start(None)
        self._adapter.step(step)

    def finish(self) -> None:
        """Close the tracker if this object created it."""
        self._adapter.close(self._model)

    def state_dict(self) -> dict[str, Any]:
        """Return the tracker's state."""
        return self._adapter.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Load the tracker's state."""
        self._adapter.load_state_dict(state)

    def _start(self, batch: Any) -> None:
        if self._adapter.tracker is None and self._model is not None:
            precision = precision_of(_mixed_precision())
            self._adapter.start(self._model, batch, precision=precision, training_precision=precision)


class AcceleratorSink:
    """Sink that logs records through the other trackers of an accelerator.

    Args:
        accelerator: The `Accelerator`, or a function that returns it: the sink is created before the accelerator, whose
            `log_with` contains the tracker that writes to the sink.
    """

    def __init__(self, accelerator: Any | Callable[[], Any]) -> None:
        self._accelerator = accelerator

    def write(self, step: int, metrics: Mapping[str, float | int]) -> None:
        """Log the figures with each of the other trackers."""
        accelerator = self._accelerator if hasattr(self._accelerator, "trackers") else self._accelerator()
        for tracker in accelerator.trackers:
            if not isinstance(tracker, AccelerateCostTracker):
                tracker.log(dict(metrics), step=step)

    def close(self) -> None:
        """Do nothing: the accelerator closes its trackers."""


def _mixed_precision() -> object:
    from accelerate.state import AcceleratorState, is_initialized

    return AcceleratorState().mixed_precision if is_initialized() else None
