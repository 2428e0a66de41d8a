"""Setups in words, and with their figures, command and code."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from ..results.advice import AdvisedSetup
from ..sources.sizes import batch_name
from .setups import VARIANT, deployment_settings

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .case import Case, Outcome
    from .combinations import Choices
    from .setups import Setup
    from .tactic import Refusal


_NUMBERS = re.compile(r"\d+")


def advised(case: Case, setup: Setup, outcome: Outcome, choices: Choices = ()) -> AdvisedSetup:
    """Return a setup with its figures, its command and its code.

    Args:
        case: The model, its deployment and the objective.
        setup: The setup.
        outcome: Its figures.
        choices: Options that change the baseline to it; empty for the baseline.
    """
    return AdvisedSetup(
        text=", ".join(choice.option.text for choice in choices) if choices else described(case, setup),
        figures=dict(outcome.figures),
        evidence=outcome.evidence,
        command=setup.command(case.model),
        code=setup.code(case.model),
        settings=_settings(case.baseline, setup),
    )


def described(case: Case, setup: Setup) -> str:
    """Return a setup in words: precision, execution, engine, batch, formats and machine."""
    if own := case.described(setup):
        return own
    on = setup.placed
    batch = batch_name(case.graphs.open(setup.variant))
    words = [on.precision if on.precision != "native" else "the dtypes of the model"]
    words.append(on.execution if on.engine == "torch" else on.engine)
    words += [f"batch {setup.sizes[batch]}"] if batch in setup.sizes else []
    words += [f"{name} {size}" for name, size in setup.sizes.items() if name != batch]
    words += filter(None, (setup.variant.quantize, setup.variant.prune, setup.variant.kv_cache))
    count = f"{on.devices} " if on.devices > 1 else ""
    price = on.device_price
    rent = f" at {price.usd_per_h:.4g} USD/h ({price.text})" if price is not None else ""
    return f"{', '.join(words)}, on {count}{on.machine.id}{rent}"


def _settings(baseline: Setup, setup: Setup) -> dict[str, Any]:
    """Return the differences from the baseline, as JSON values."""
    old, new = (deployment_settings(each.placed) for each in (baseline, setup))
    found: dict[str, Any] = {name: new.get(name) for name in {**old, **new} if old.get(name) != new.get(name)}
    found |= {name: size for name, size in setup.sizes.items() if baseline.sizes.get(name) != size}
    found |= {name: term for name, term in setup.terms.items() if baseline.terms.get(name) != term}
    found |= {
        name: getattr(setup.variant, name)
        for name in VARIANT
        if getattr(setup.variant, name) != getattr(baseline.variant, name)
    }
    plain = (int, float, str, type(None))
    return {name: value if isinstance(value, plain) else str(value) for name, value in found.items()}


def reasons_in_words(refusals: Iterable[Refusal]) -> str:
    """Return why options cannot run, those with the same reason together; numbers apart, since these repeat it."""
    named: dict[str, list[Refusal]] = {}
    for refusal in refusals:
        named.setdefault(_NUMBERS.sub("#", refusal.why), []).append(refusal)
    if len(named) == 1:
        return next(iter(named.values()))[0].why
    return "; ".join(
        f"{', '.join(dict.fromkeys(each.text for each in alike))}: {alike[0].why}" for alike in named.values()
    )


def first_clause(message: str) -> str:
    """Return the first clause of an error: the problem, without the remedy."""
    return message.partition(";")[0].partition(": at ")[0]
