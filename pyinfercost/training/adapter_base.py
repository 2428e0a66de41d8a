"""What the adapters to training frameworks share: a tracker that is made late, and a guard around all they do."""

from __future__ import annotations

import inspect
import weakref
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from .guard import Guard, PassesThroughError
from .inputs import Call, Inputs

if TYPE_CHECKING:
    from .record import CostRecord
    from .tracker import CostTracker

_PRECISIONS = {"16-mixed": "amp_fp16", "fp16": "amp_fp16", "bf16-mixed": "amp_bf16", "bf16": "amp_bf16"}


class Attached:
    """A tracker in a framework's loop.

    It is made once the model is where it will be trained and the inputs are known. Whatever fails, in here or in what a
    framework gives, is told once, and nothing is done from then on.

    Args:
        what: The adapter's name, for the warning.
        settings: Of `CostTracker`; their names are checked at once.
        tracker: One that is there already; it is not closed.

    Raises:
        TypeError: A setting has no such name, or a tracker is given and settings too.
    """

    def __init__(self, what: str, settings: Mapping[str, Any], tracker: CostTracker | None = None) -> None:
        if tracker is not None and settings:
            raise TypeError(f"a tracker has its settings: give it alone, or {sorted(settings)} without it")
        _check_names(settings)
        self.guard = Guard(what)
        self.tracker = tracker
        self.inputs: Inputs | None = None
        self._settings = dict(settings)
        self._given = tracker is not None
        self._paused = False
        self._state: dict[str, Any] | None = None
        self._state_of: weakref.ref[Any] | None = None

    @property
    def on(self) -> bool:
        """Whether there is anything to do for a batch; the tracker tells of its own failures."""
        return self.guard.error is None and (self.tracker is None or self.tracker.enabled)

    def know(self, model: Any, given: Any) -> None:
        """Takes what is known of the inputs: an example, a function of a batch, or None."""
        self.inputs = self.guard.run(Inputs, model, given)

    def start(self, model: Any, batch: Any = None, instead: Mapping[str, Any] | None = None, **defaults: Any) -> None:
        """Makes the tracker, from the example or else from a batch; does nothing while there is neither.

        Args:
            model: What is trained.
            batch: As the framework has it.
            instead: Settings of the tracker, whatever the caller has given.
            **defaults: Settings of the tracker, where the caller has given none; None is no setting.

        Raises:
            ValueError: A setting is wrong. That is the caller's to know before anything is trained.
            TypeError: A setting is of the wrong type.
        """
        if self.tracker is not None or self.inputs is None or not self.guard.on:
            return
        call = self.inputs.example
        if call is None:
            if batch is None:
                return
            call = self.guard.run(self.inputs.of, batch)
        if call is not None:
            known = {name: value for name, value in defaults.items() if value is not None}
            self._make(model, call, {**known, **self._settings, **(instead or {})})

    def _make(self, model: Any, call: Call, settings: dict[str, Any]) -> None:
        from .random_states import random_states_kept
        from .tracker import CostTracker

        try:
            with random_states_kept():
                tracker = CostTracker(model, call.args, call.kwargs, **settings)
        except (ValueError, TypeError, PassesThroughError):
            raise
        except Exception as error:
            self.guard.stop(error)
            return
        if self._state_of is not None and self._state_of() is not model:
            self._state = None  # what an earlier run has spent on another model
        if self._state:
            self.guard.run(tracker.load_state_dict, self._state)
        self.tracker = tracker
        self._paused = False

    def micro_batch(self, batch: Any) -> None:
        """A forward and a backward of this batch are done."""
        tracker, inputs = self.tracker, self.inputs
        if tracker is not None and inputs is not None and tracker.enabled:
            self.guard.run(self._micro_batch, tracker, inputs, batch)

    @staticmethod
    def _micro_batch(tracker: CostTracker, inputs: Inputs, batch: Any) -> None:
        call = inputs.of(batch)
        tracker.micro_batch(*call.args, **call.kwargs)

    def step(self, step: int | None = None) -> CostRecord | None:
        """The optimizer has stepped; the tracker's record, where one is due."""
        if self.on and self.tracker is not None:
            return self.guard.run(self.tracker.step, step)
        return None

    def pause(self) -> None:
        """What follows is no training, until `resume`; they do not nest."""
        if not self._paused and self.on and self.tracker is not None:
            self._paused = True
            self.guard.run(self.tracker.pause)

    def resume(self) -> None:
        """Training goes on."""
        if self._paused:
            self._paused = False
            if self.on and self.tracker is not None:
                self.guard.run(self.tracker.resume)

    def state_dict(self) -> dict[str, Any]:
        """The tracker's state, or the one that waits for it; empty where it has failed."""
        if self.tracker is None:
            return dict(self._state or {})
        return self.guard.run(self.tracker.state_dict) or {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Gives the tracker its state, at once or when it is made."""
        self._state, self._state_of = dict(state), None
        if self.tracker is not None and state:
            self.guard.run(self.tracker.load_state_dict, self._state)

    def close(self, model: Any = None) -> None:
        """Closes the tracker where this has made it. Another run on the same model goes on with its state."""
        tracker = self.tracker
        if tracker is None or self._given:
            return
        self._state = self.state_dict()
        self._state_of = None if model is None else weakref.ref(model)
        self.tracker = None
        if self.guard.on:
            self.guard.run(tracker.close)
        else:
            with suppress(Exception):  # told already, and what can be closed is
                tracker.close()


def precision_of(name: object) -> str | None:
    """What the tracker calls the mixed precision that a framework names; None where its names say nothing more."""
    return _PRECISIONS.get(str(name))


def _check_names(settings: Mapping[str, Any]) -> None:
    from .tracker import CostTracker

    if settings:
        inspect.signature(CostTracker).bind_partial(None, (), None, **settings)
