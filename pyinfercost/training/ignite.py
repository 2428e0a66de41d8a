"""The cost of training in PyTorch-Ignite: `CostHandler(model=model, hardware=["l4"]).attach(trainer)`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from .adapter_base import Attached

if TYPE_CHECKING:
    from .record import CostRecord
    from .tracker import CostTracker


class CostHandler:
    """Tracks what training costs, at the events of an engine.

    `Checkpoint(to_save={"cost": handler})` keeps its state.

    Args:
        tracker: One that is there already.
        model: The model, of which the tracker is made at the first batch where none is given.
        inputs: What the model gets: an example (a tensor, a tuple, or a dictionary of keywords), or a function from a
            batch to that. None takes the batch itself, as `training.inputs.Inputs` does.
        accumulation: Iterations in which gradients are gathered for one step of the optimizer.
        **settings: Of `CostTracker`.

    Raises:
        ValueError: `accumulation` is below 1.
        TypeError: There is no such setting, or neither `tracker` nor `model`.
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
            raise TypeError("CostHandler takes a tracker, or model= to make one of")
        if accumulation < 1:
            raise ValueError(f"accumulation is {accumulation}, expected 1 or more iterations for a step")
        self._attached = Attached("CostHandler for ignite", settings, tracker)
        self._model = model
        self._inputs = inputs
        self._accumulation = accumulation
        self._prefix = ""
        self._attached.know(model, inputs)

    @property
    def tracker(self) -> CostTracker | None:
        """The tracker, once there is one."""
        return self._attached.tracker

    def attach(self, engine: Any, name: str | None = None) -> CostHandler:
        """Follows a trainer; the figures of the latest record are in `engine.state.metrics`.

        Args:
            engine: The trainer.
            name: What the names of the figures begin with there, before a slash; None leaves them as they are.

        Raises:
            ImportError: There is no ignite.
        """
        events = _events()
        self._prefix = "" if name is None else f"{name}/"
        engine.add_event_handler(events.ITERATION_STARTED, self._on_iteration_started)
        engine.add_event_handler(events.ITERATION_COMPLETED, self._on_iteration_completed)
        # Ignite swallows what an engine raises once somebody listens to EXCEPTION_RAISED; so nothing listens here.
        engine.add_event_handler(events.COMPLETED, self._on_completed)
        return self

    def attach_pause(self, evaluator: Any) -> CostHandler:
        """Leaves the time of another engine out, such as an evaluator that runs while the trainer waits."""
        events = _events()
        evaluator.add_event_handler(events.STARTED, self._on_evaluator_started)
        evaluator.add_event_handler(events.COMPLETED, self._on_evaluator_completed)
        return self

    def state_dict(self) -> dict[str, Any]:
        """The tracker's state."""
        return self._attached.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Gives the tracker its state."""
        self._attached.load_state_dict(state)

    def close(self) -> None:
        """Closes the tracker where this has made it, as the end of a run does; for a run that was stopped."""
        self._attached.close(self._model)

    def _on_iteration_started(self, engine: Any) -> None:
        attached = self._attached
        if attached.tracker is None:
            attached.start(self._model, engine.state.batch)
        attached.resume()

    def _on_iteration_completed(self, engine: Any) -> None:
        self._attached.micro_batch(engine.state.batch)
        iteration = engine.state.iteration
        if iteration % self._accumulation == 0:
            record = self._attached.step(iteration // self._accumulation)
            if record is not None:
                self._attached.guard.run(self._to_metrics, engine, record)

    def _to_metrics(self, engine: Any, record: CostRecord) -> None:
        engine.state.metrics.update({f"{self._prefix}{name}": value for name, value in record.metrics.items()})

    def _on_completed(self, engine: Any) -> None:
        self.close()

    def _on_evaluator_started(self, engine: Any) -> None:
        self._attached.pause()

    def _on_evaluator_completed(self, engine: Any) -> None:
        self._attached.resume()


def _events() -> Any:
    try:
        from ignite.engine import Events
    except ImportError as error:
        raise ImportError(
            f"CostHandler needs pytorch-ignite, which cannot be imported ({error}): pip install 'pyinfercost[ignite]'",
            name="ignite",
        ) from error
    return Events
