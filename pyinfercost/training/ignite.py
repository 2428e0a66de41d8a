"""Adapter to PyTorch-Ignite: `IgniteCostHandler(model=model, hardware=["l4"]).attach(trainer)`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ..errors import InputError, InputTypeError, MissingLibraryError
from .adapter_base import TrackerAdapter

if TYPE_CHECKING:
    from ..results.record import CostRecord
    from .tracker import CostTracker


class IgniteCostHandler:
    """Handler of Ignite that tracks cost at the events of an engine.

    `Checkpoint(to_save={"cost": handler})` saves its state.

    Args:
        tracker: An existing tracker.
        model: The model; without `tracker`, one is created for it at the first batch.
        inputs: Inputs of the model: an example (a tensor, a tuple, or a dictionary of keywords), or a function from a
            batch to one. None takes the batch itself, by the rule of `training.BatchInputs`.
        accumulation: Iterations per optimizer step.
        **settings: Arguments of `CostTracker`.

    Raises:
        InputError: `accumulation` is below 1.
        InputTypeError: A setting has an unknown name, or neither `tracker` nor `model` is given.
    """

    def __init__(
        self,
        tracker: CostTracker | None = None,
        *,
        model: Any = None,
        inputs: Any = None,
        accumulation: int = 1,
        **settings: Any,
    ) -> None:
        if tracker is None and model is None:
            raise InputTypeError("got neither a tracker nor a model; pass one of them")
        if accumulation < 1:
            raise InputError(f"accumulation is {accumulation}; expected at least 1 iteration per step")
        self._adapter = TrackerAdapter("IgniteCostHandler", settings, tracker)
        self._model = model
        self._inputs = inputs
        self._accumulation = accumulation
        self._prefix = ""
        self._adapter.set_inputs(model, inputs)

    @property
    def tracker(self) -> CostTracker | None:
        """The tracker; None before the first batch."""
        return self._adapter.tracker

    def attach(self, engine: Any, name: str | None = None) -> IgniteCostHandler:
        """Track a trainer; the figures of the latest record are in `engine.state.metrics`.

        Args:
            engine: The trainer.
            name: A prefix of the figures' names there, before a slash; None for no prefix.

        Returns:
            This handler.

        Raises:
            MissingLibraryError: ignite is not installed.
        """
        events = _events()
        self._prefix = "" if name is None else f"{name}/"
        engine.add_event_handler(events.ITERATION_STARTED, self._on_iteration_started)
        engine.add_event_handler(events.ITERATION_COMPLETED, self._on_iteration_completed)
        # A handler of EXCEPTION_RAISED would make Ignite swallow the exceptions of an engine, so there is none.
        engine.add_event_handler(events.COMPLETED, self._on_completed)
        return self

    def attach_pause(self, evaluator: Any) -> IgniteCostHandler:
        """Pause while another engine runs, such as an evaluator; return this handler."""
        events = _events()
        evaluator.add_event_handler(events.STARTED, self._on_evaluator_started)
        evaluator.add_event_handler(events.COMPLETED, self._on_evaluator_completed)
        return self

    def state_dict(self) -> dict[str, Any]:
        """Return the tracker's state."""
        return self._adapter.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Load the tracker's state."""
        self._adapter.load_state_dict(state)

    def close(self) -> None:
        """Close the tracker if this handler created it, for a run that was stopped; the end of a run does so itself."""
        self._adapter.close(self._model)

    def _on_iteration_started(self, engine: Any) -> None:
        adapter = self._adapter
        if adapter.tracker is None:
            adapter.start(self._model, engine.state.batch)
        adapter.resume()

    def _on_iteration_completed(self, engine: Any) -> None:
        self._adapter.micro_batch(engine.state.batch)
        iteration = engine.state.iteration
        if iteration % self._accumulation == 0:
            record = self._adapter.step(iteration // self._accumulation)
            if record is not None:
                self._adapter.guard.run(self._to_metrics, engine, record)

    def _to_metrics(self, engine: Any, record: CostRecord) -> None:
        engine.state.metrics.update({f"{self._prefix}{name}": value for name, value in record.metrics.items()})

    def _on_completed(self, engine: Any) -> None:
        self.close()

    def _on_evaluator_started(self, engine: Any) -> None:
        self._adapter.pause()

    def _on_evaluator_completed(self, engine: Any) -> None:
        self._adapter.resume()


def _events() -> Any:
    try:
        from ignite.engine import Events
    except ImportError as error:
        raise MissingLibraryError(
            f"IgniteCostHandler needs pytorch-ignite, which cannot be imported ({error}); run pip install "
            "'pyinfercost[ignite]'",
            name="ignite",
        ) from error
    return Events
