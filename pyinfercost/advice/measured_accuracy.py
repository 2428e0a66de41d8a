"""Accuracy of options on the caller's own evaluation: the change is applied to a copy of the module."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ..errors import InputError
from ..results.advice import AccuracyNote
from ..tradeoffs import NotApplicableError

if TYPE_CHECKING:
    from ..tradeoffs.candidates import Candidate
    from .tactic import Option


class MeasuredAccuracy:
    """Evaluates options, each once.

    Attributes:
        original: The accuracy of the unchanged model.
    """

    def __init__(self, model: Any, evaluate: Callable[[Any], Any], *, maximize: bool) -> None:
        """Evaluate the unchanged model.

        Args:
            model: A module.
            evaluate: A module -> its accuracy, as in `tradeoff`.
            maximize: Whether higher accuracy is better.
        """
        self._model = model
        self._evaluate = evaluate
        self._sign = 1.0 if maximize else -1.0
        self._notes: dict[str, AccuracyNote | None] = {}
        self.original = self._value(self._copy())

    def _copy(self) -> Any:
        from ..tradeoffs.modules import copy_of

        return copy_of(self._model)

    def _value(self, model: Any) -> float:
        try:
            return float(self._evaluate(model))
        except (TypeError, ValueError) as error:
            raise InputError(
                f"evaluate returned no number ({error}); expected a float, higher for a better model"
            ) from error

    def note(self, option: Option) -> AccuracyNote | None:
        """Return the accuracy of an option; None for one that cannot be applied to a module here."""
        key = str(sorted(option.change.items()))
        if key not in self._notes:
            self._notes[key] = self._measured(option)
        return self._notes[key]

    def _measured(self, option: Option) -> AccuracyNote | None:
        candidate = _candidate(option)
        if candidate is None:
            return None
        try:
            value = self._value(candidate(self._copy()))
        except (NotApplicableError, InputError, ImportError, RuntimeError):
            return None  # published losses are shown instead
        lost = self._sign * (self.original - value)
        text = f"{value:.4f} instead of {self.original:.4f}, measured by evaluate"
        return AccuracyNote(text=text, lost_low=lost, lost_high=lost, unit="of evaluate", measured=True)


def _candidate(option: Option) -> Candidate | None:
    """Return the candidate of `tradeoff` that applies an option; None if there is none."""
    from ..tradeoffs import candidates

    known: dict[tuple[str, Any], Callable[[], Candidate]] = {
        ("precision", "fp16"): lambda: candidates.cast("fp16"),
        ("precision", "bf16"): lambda: candidates.cast("bf16"),
        ("quantize", "int8_wo"): candidates.int8_weight_only,
        ("quantize", "int8_dynamic"): candidates.int8_dynamic,
        ("prune", "2:4"): candidates.n_of_m,
    }
    if len(option.change) != 1:
        return None
    ((name, value),) = option.change.items()
    make = known.get((name, option.published if name == "quantize" else value))
    return None if make is None else make()
