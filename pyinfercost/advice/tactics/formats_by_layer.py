"""Formats by layer: each layer gets the format in which it is fastest, or keeps its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...errors import Error
from ...predict.plans import graph_cache
from ..facts import products
from ..setups import Variant
from ..tactic import Option, Options, Tactic
from .formats import ActivationFormats, WeightFormats, form_words, kernels_of, kind_of

if TYPE_CHECKING:
    from ..case import Case
    from ..setups import Setup

_FORMS = (WeightFormats(), ActivationFormats())
_KEPT = "formats by layer"


class FormatsByLayer(Tactic):
    """A format for each kind of layer, by its predicted time; layers that no format shortens keep theirs."""

    name = "formats_by_layer"
    title = "formats by layer"
    group = "formats"
    risk = "small"
    effort = "build"

    def options(self, setup: Setup, case: Case) -> Options:
        """Offer one mixture, if layers differ in their fastest format; of the given model on the given machine only."""
        if setup.placed.machine.id != case.machine.id or setup.variant != Variant(
            memory_format=setup.variant.memory_format
        ):
            return Options()
        kept = graph_cache(case.graphs.open(setup.variant))
        if (_KEPT, setup.key) not in kept:
            kept[_KEPT, setup.key] = _mixture(setup, case)
        found: Option | None = kept[_KEPT, setup.key]
        return Options() if found is None else Options([found])


def _mixture(setup: Setup, case: Case) -> Option | None:
    offered = [option for tactic in _FORMS for option in tactic.options(setup, case).found]
    forms = {option.published: option for option in offered}
    seconds = {}
    for form, change in (("none", {}), *((form, option.change) for form, option in forms.items())):
        try:
            seconds[form] = _seconds(setup.changed(change), case)
        except Error:  # the layout or the engine does not allow it
            continue
    if "none" not in seconds:
        return None
    kinds = list(dict.fromkeys(kind_of(each.node.module) for each in products(case.graphs.open(setup.variant))
                               if not each.spatial_dims))  # fmt: skip
    fastest = {kind: min(seconds, key=lambda form: seconds[form].get(kind, 0.0)) for kind in kinds}
    used = dict.fromkeys(form for form in fastest.values() if form != "none")
    if not used or len(set(fastest.values())) == 1:
        return None
    ordered = sorted(fastest, key=lambda kind: -len(kind))  # the first pattern that matches applies
    counts = {form: sum(each == form for each in fastest.values()) for form in (*used, "none")}
    names = {form: f"in {form_words(form)}" if form != "none" else "unchanged" for form in (*used, "none")}
    told = ", ".join(f"{_kinds(count)} {names[form]}" for form, count in counts.items() if count)
    return Option(
        text="formats by layer",
        phrase="with formats by layer",
        change={"quantize": kernels_of(setup) + ",".join(f"{kind}={fastest[kind]}" for kind in ordered)},
        published=next(iter(used)),
        apply="\n".join(f"{forms[form].apply}  # filter_fn: those layers" for form in used),
        note=told,
    )


def _seconds(setup: Setup, case: Case) -> dict[str, float]:
    """Return the seconds of each kind of layer."""
    _, estimate = case.evaluator.exact(setup)
    found: dict[str, float] = {}
    for layer in () if estimate is None else estimate.layers:
        kind = kind_of(layer.module)
        found[kind] = found.get(kind, 0.0) + layer.latency_s
    return found


def _kinds(count: int) -> str:
    return "layers of one kind" if count == 1 else f"layers of {count} kinds"
