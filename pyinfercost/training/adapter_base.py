"""Base of the framework adapters: a tracker that is created late, and classes whose bases are imported late."""

from __future__ import annotations

import inspect
import weakref
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar

from ..errors import InputTypeError
from ..predict.budgets import CostBudgetExceededError
from ..sources.inputs import Inputs
from .inputs import BatchInputs
from .isolation import Guard

if TYPE_CHECKING:
    from ..results.record import CostRecord
    from .tracker import CostTracker

_PRECISIONS = {"16-mixed": "amp_fp16", "fp16": "amp_fp16", "bf16-mixed": "amp_bf16", "bf16": "amp_bf16"}


class TrackerAdapter:
    """A tracker in a framework's training loop.

    The tracker is created once the model is on its training device and the inputs are known. A failure of the adapter
    or of the framework's data issues one warning and disables it.

    Args:
        what: The adapter's name, for the warning.
        settings: Arguments of `CostTracker`; their names are checked at once.
        tracker: An existing tracker, which is not closed.

    Raises:
        InputTypeError: A setting has an unknown name, or a tracker is given together with settings.
    """

    def __init__(self, what: str, settings: Mapping[str, Any], tracker: CostTracker | None = None) -> None:
        if tracker is not None and settings:
            raise InputTypeError(
                f"got a tracker and settings {sorted(settings)}; pass the tracker alone, or settings alone"
            )
        _check_names(settings)
        self.guard = Guard(what)
        self.tracker = tracker
        self.inputs: BatchInputs | None = None
        self._settings = dict(settings)
        self._given = tracker is not None
        self._paused = False
        self._state: dict[str, Any] | None = None
        self._state_of: weakref.ref[Any] | None = None

    @property
    def on(self) -> bool:
        """Whether batches are processed; the tracker reports its own failures."""
        return self.guard.error is None and (self.tracker is None or self.tracker.enabled)

    def set_inputs(self, model: Any, given: Any) -> None:
        """Set the caller's inputs: an example, a function of a batch, or None."""
        self.inputs = self.guard.run(BatchInputs, model, given)

    def start(self, model: Any, batch: Any = None, instead: Mapping[str, Any] | None = None, **defaults: Any) -> None:
        """Create the tracker from the example or else from a batch; do nothing without either.

        Args:
            model: The model in training.
            batch: A batch of the framework.
            instead: Settings of the tracker that override the caller's.
            **defaults: Settings of the tracker that the caller's override; None for no setting.

        Raises:
            InputError: A setting is wrong, which the caller has to know before training.
            InputTypeError: A setting has the wrong type.
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
            if self._settings.get("on") is not None:
                known.pop("precision", None)  # the caller's deployment has one
            # The loggers of the framework get the records, so that the terminal stays the framework's.
            self._create(model, call, {"sinks": (), **known, **self._settings, **(instead or {})})

    def _create(self, model: Any, call: Inputs, settings: dict[str, Any]) -> None:
        from .isolation import preserve_random_states
        from .tracker import CostTracker

        try:
            with preserve_random_states():
                tracker = CostTracker(model, call, **settings)
        except (ValueError, TypeError, CostBudgetExceededError):
            raise
        except Exception as error:
            self.guard.stop(error)
            return
        if self._state_of is not None and self._state_of() is not model:
            self._state = None  # totals of an earlier run on another model
        if self._state:
            self.guard.run(tracker.load_state_dict, self._state)
        self.tracker = tracker
        self._paused = False

    def micro_batch(self, batch: Any) -> None:
        """Report a forward and backward of this batch."""
        tracker, inputs = self.tracker, self.inputs
        if tracker is not None and inputs is not None and tracker.enabled:
            self.guard.run(self._micro_batch, tracker, inputs, batch)

    @staticmethod
    def _micro_batch(tracker: CostTracker, inputs: BatchInputs, batch: Any) -> None:
        call = inputs.of(batch)
        tracker.micro_batch(*call.args, **call.kwargs)

    def step(self, step: int | None = None) -> CostRecord | None:
        """Report an optimizer step; return the tracker's record if one is due."""
        if self.on and self.tracker is not None:
            return self.guard.run(self.tracker.step, step)
        return None

    def pause(self) -> None:
        """Pause the tracker until `resume`; calls do not nest."""
        if not self._paused and self.on and self.tracker is not None:
            self._paused = True
            self.guard.run(self.tracker.pause)

    def resume(self) -> None:
        """Resume the tracker."""
        if self._paused:
            self._paused = False
            if self.on and self.tracker is not None:
                self.guard.run(self.tracker.resume)

    def state_dict(self) -> dict[str, Any]:
        """Return the tracker's state, or the one to be loaded into it; empty after a failure."""
        if self.tracker is None:
            return dict(self._state or {})
        return self.guard.run(self.tracker.state_dict) or {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Load the state into the tracker, at once or when it is created."""
        self._state, self._state_of = dict(state), None
        if self.tracker is not None and state:
            self.guard.run(self.tracker.load_state_dict, self._state)

    def close(self, model: Any = None) -> None:
        """Close the tracker if this adapter created it. A later run on the same model continues its state."""
        tracker = self.tracker
        if tracker is None or self._given:
            return
        self._state = self.state_dict()
        self._state_of = None if model is None else weakref.ref(model)
        self.tracker = None
        if self.guard.on:
            self.guard.run(tracker.close)
        else:
            with suppress(Exception):  # the failure was reported; close what can be closed
                tracker.close()


def precision_of(name: object) -> str | None:
    """Return the tracker's name of a framework's mixed precision; None if it is no mixed precision."""
    return _PRECISIONS.get(str(name))


def _check_names(settings: Mapping[str, Any]) -> None:
    from .tracker import CostTracker

    if settings:
        inspect.signature(CostTracker).bind_partial(None, (), **settings)


# ---- classes whose bases are imported late ---------------------------------------------------------------------------

C = TypeVar("C")
_MADE: dict[tuple[type, ...], type] = {}


def with_bases(plain: type[C], bases: tuple[type, ...]) -> type[C]:
    """Return a class with the name and methods of `plain` and additional bases; the same class for each call."""
    key = (plain, *bases)
    if key not in _MADE:
        _MADE[key] = type(plain.__name__, key, names_of(plain))
    return _MADE[key]


def names_of(plain: type) -> dict[str, Any]:
    """Return the attributes that make a derived class look like `plain`; its `_plain` refers to that class."""
    looks = ("__module__", "__qualname__", "__doc__")
    return {"_plain": plain, **{name: getattr(plain, name) for name in looks}}


def unpickled(plain: type[C]) -> C:
    """Return an instance of such a class without its attributes; pickle cannot find the class by its name."""
    return plain.__new__(plain)
