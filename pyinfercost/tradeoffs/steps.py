"""Steps of a trade-off: one candidate, or one candidate of one layer, from a fresh copy to its figures."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from math import isfinite
from typing import TYPE_CHECKING, Any

from ..errors import InputError, InputTypeError
from ..results.tradeoff import ORIGINAL, LayerSensitivity, TradeoffRow
from ..results.training_cost import TrainingCost
from . import NotApplicableError, TradeoffError
from .break_even import measured_break_even, predicted_break_even
from .journal import Journal

if TYPE_CHECKING:
    from ..deployment import Deployment

_ESTIMATED = ("latency_s", "latency_low_s", "latency_high_s", "energy_j", "cost_usd")
_COUNTED = ("peak_memory_bytes", "parameter_bytes")
_MEASURED = ("measured_s", "measured_low_s", "measured_high_s")


@dataclass(frozen=True)
class Steps:
    """Settings that all candidates share, and the steps.

    Attributes:
        make: Returns a fresh model.
        evaluate: Returns the accuracy of a model.
        inputs: Inputs of a forward.
        on: Deployment of all candidates.
        measured: Arguments of `measure`; None to measure nothing.
        journal: Storage of finished rows.
        maximize: Whether higher accuracy is better.
    """

    make: Callable[[], Any]
    evaluate: Callable[[Any], Any]
    inputs: Any
    on: Deployment
    measured: Mapping[str, Any] | None
    journal: Journal
    maximize: bool

    def original(self) -> TradeoffRow:
        """Return the row of the unchanged model.

        Raises:
            TradeoffError: The unchanged model fails, so that there is nothing to compare with.
        """
        row = self._row(ORIGINAL, _unchanged, "the unchanged model")
        if row.error is not None:
            raise TradeoffError(f"the unchanged model fails: {row.error}")
        return replace(row, lost=0.0)

    def row(self, name: str, candidate: Callable[..., Any], original: TradeoffRow) -> TradeoffRow:
        """Return the row of a candidate; if it fails, with its error."""
        row = self._row(name, candidate, said(candidate))
        row = replace(row, lost=lost(row.accuracy, original.accuracy, maximize=self.maximize))
        if row.training_steps is None:
            return row
        predicted = predicted_break_even(row, original, self.on.machine.id)
        measured = measured_break_even(row, original)
        return replace(
            row,
            break_even_inferences=predicted.inferences,
            break_even=predicted.text,
            measured_break_even_inferences=measured.inferences,
            measured_break_even=measured.text,
        )

    def layer(self, name: str, path: str, candidate: Callable[..., Any], original: TradeoffRow) -> LayerSensitivity:
        """Return the figures of a candidate applied to one layer; if it fails, with its error."""
        text = said(candidate)
        known = self.journal.find(name, path, text)
        if known is None:
            try:
                changed = module_of(candidate(self.make(), path))
                known = {"accuracy": accuracy_of(self.evaluate, changed)}
            except NotApplicableError as error:
                return LayerSensitivity(candidate=name, module=path, applicable=False, error=str(error))
            except Exception as error:
                return LayerSensitivity(candidate=name, module=path, error=told(error))
            self.journal.add(name, path, text, known)
        less = lost(known["accuracy"], original.accuracy, maximize=self.maximize)
        return LayerSensitivity(candidate=name, module=path, lost=less, **known)

    def _row(self, name: str, candidate: Callable[..., Any], text: str) -> TradeoffRow:
        known = self.journal.find(name, "", text)
        if known is not None:
            return TradeoffRow(name=name, **known)
        figures: dict[str, Any] = {}
        doing = "applying it"
        try:
            placed = self._placed(candidate)
            changed = module_of(placed(self.make()))
            figures |= _trained(placed)
            # Cheap steps first; measuring is last because it casts the module.
            for action, step in (
                ("predicting it", self._predict),
                ("scanning it for zeros", _zeros),
                ("evaluating it", lambda module: {"accuracy": accuracy_of(self.evaluate, module)}),
                ("measuring it", self._measure),
            ):
                doing = action
                figures |= step(changed)
        except Exception as error:
            return TradeoffRow(name=name, **figures, error=f"{doing}: {told(error)}")
        self.journal.add(name, "", text, figures)
        return TradeoffRow(name=name, **figures)

    def _placed(self, candidate: Callable[..., Any]) -> Callable[..., Any]:
        """Return a candidate for this machine and these inputs, where it depends on them."""
        placed = getattr(candidate, "placed", None)
        if placed is None:
            return candidate
        threads = self.on.threads if self.measured is None else self.measured["threads"]
        found: Callable[..., Any] = placed(self.on, self.inputs, threads)
        return found

    def _predict(self, module: Any) -> dict[str, Any]:
        from ..predict.profile import profile

        found = profile(module.eval(), self.inputs, on=self.on)
        return {
            **{name: getattr(found.estimate, name) for name in _ESTIMATED},
            **{name: getattr(found.counts.total, name) for name in _COUNTED},
            "unmodelled": found.counts.nodes - found.counts.modelled_nodes,
        }

    def _measure(self, module: Any) -> dict[str, Any]:
        if self.measured is None:
            return {}
        from ..measuring.measure import measure

        found = measure(module.eval(), self.inputs, energy=False, **self.measured)
        return {name: getattr(found, name) for name in _MEASURED}


def lost(accuracy: float | None, original: float | None, *, maximize: bool) -> float | None:
    """Return the accuracy lost against the original; None if one of them is unknown."""
    if accuracy is None or original is None:
        return None
    return original - accuracy if maximize else accuracy - original


def _trained(candidate: Any) -> dict[str, Any]:
    """Return the cost of a candidate's training; nothing without one."""
    cost = getattr(candidate, "cost", None)
    if not isinstance(cost, TrainingCost):
        return {}
    return {
        "training_steps": cost.steps,
        "training_hardware": cost.hardware,
        "training_s": cost.predicted_s,
        "training_j": cost.predicted_j,
        "training_usd": cost.predicted_usd,
        "training_why_not": cost.why_not,
        "measured_training_s": cost.measured_s,
        "measured_training_j": cost.measured_j,
    }


def _unchanged(module: Any) -> Any:
    return module


def _zeros(module: Any) -> dict[str, Any]:
    from ..scan import SparsityError
    from ..scan.sparsity import sparsity

    try:
        total = sparsity(module).total
    except SparsityError:
        return {}  # a model without weights, or with non-numeric ones
    best = total.best_groups
    return {
        "zero_share": total.zero_share,
        "structure": best.label if best else "",
        "zero_rows": total.zero_rows,
    }


def module_of(changed: Any) -> Any:
    """Return the result of a candidate in eval mode.

    Raises:
        InputTypeError: It is no module.
    """
    if not (hasattr(changed, "named_modules") and callable(changed)):
        raise InputTypeError(f"the candidate returned {type(changed).__name__}; expected the changed module")
    return changed.eval()


def accuracy_of(evaluate: Callable[[Any], Any], module: Any) -> float:
    """Return the accuracy of a module from the caller's function.

    Raises:
        InputError: It is no finite number.
    """
    returned = evaluate(module)
    detach = getattr(returned, "detach", None)  # float() of a tensor that requires a gradient would warn
    try:
        accuracy = float(returned if detach is None else detach())
    except (TypeError, ValueError):
        raise InputTypeError(f"evaluate returned {type(returned).__name__}; expected a number") from None
    if not isfinite(accuracy):
        raise InputError(f"evaluate returned {accuracy}; expected a finite number")
    return accuracy


def told(error: Exception) -> str:
    """Return an error with its class, for a row."""
    return f"{type(error).__name__}: {error}"


def said(candidate: Callable[..., Any]) -> str:
    """Return a description of a candidate that is the same in each process, with all figures of a ready-made one."""
    from_text = getattr(candidate, "text", None)
    if isinstance(from_text, str):
        return from_text
    return str(getattr(candidate, "__qualname__", type(candidate).__qualname__))


def takes(candidate: Callable[..., Any], arguments: int) -> bool:
    """Return whether a candidate accepts this number of positional arguments; True if its signature is unknown."""
    try:
        signature = inspect.signature(candidate)
    except (TypeError, ValueError):
        return True
    try:
        signature.bind(*range(arguments))
    except TypeError:
        return False
    return True


class Saying:
    """Progress report: the current step on stderr, or calls of a function.

    Args:
        progress: As in `tradeoff`.
        steps: Number of all steps.
        of: Subject of the steps.
    """

    def __init__(self, progress: bool | Callable[[int, int], None] | None, steps: int, of: str = "tradeoff") -> None:
        self._steps = steps
        self._of = of
        self._begun = 0
        self._tell = progress if callable(progress) else None
        terminal = sys.stderr is not None and sys.stderr.isatty()
        self._says = progress is True or (progress is None and terminal)

    def __call__(self, step: str) -> None:
        """Report the start of a step."""
        if self._tell is not None:
            self._tell(self._begun, self._steps)
        self._begun += 1
        if self._says:
            sys.stderr.write(f"{self._of} {self._begun} of {self._steps}: {step}\n")
            sys.stderr.flush()

    def done(self) -> None:
        """Report the end of the last step."""
        if self._tell is not None:
            self._tell(self._steps, self._steps)
