"""Formats by layer: each layer gets the format in which it is fastest, or keeps its own."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ...errors import Error
from ...predict.plans import graph_cache
from ..facts import products
from ..setups import Variant
from ..tactic import Option, Options, Tactic
from .formats import ActivationFormats, WeightFormats, kernels_of

if TYPE_CHECKING:
    from ..case import Case
    from ..setups import Setup

_NUMBER = re.compile(r"\d+")
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
        if setup.placed.machine.id != case.machine.id or setup.variant != Variant():
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
    kinds = list(dict.fromkeys(_kind(each.node.module) for each in products(case.graphs.open(setup.variant))
                               if not each.spatial_dims))  # fmt: skip
    fastest = {kind: min(seconds, key=lambda form: seconds[form].get(kind, 0.0)) for kind in kinds}
    used = dict.fromkeys(form for form in fastest.values() if form != "none")
    if not used or len(set(fastest.values())) == 1:
        return None
    ordered = sorted(fastest, key=lambda kind: -len(kind))  # the first pattern that matches applies
    counts = {form: sum(each == form for each in fastest.values()) for form in (*used, "none")}
    told = ", ".join(
        f"{count} kinds of layers {form if form != 'none' else 'unchanged'}" for form, count in counts.items() if count
    )
    return Option(
        text=f"{' and '.join(used)} by layer",
        change={"quantize": kernels_of(setup) + ",".join(f"{kind}={fastest[kind]}" for kind in ordered)},
        published=next(iter(used)),
        apply="\n".join(forms[form].apply for form in used) + "  # with a filter of layers",
        note=told,
    )


def _seconds(setup: Setup, case: Case) -> dict[str, float]:
    """Return the seconds of each kind of layer."""
    _, estimate = case.evaluator.exact(setup)
    found: dict[str, float] = {}
    for layer in () if estimate is None else estimate.layers:
        kind = _kind(layer.module)
        found[kind] = found.get(kind, 0.0) + layer.latency_s
    return found


def _kind(module: str) -> str:
    """Return the path of a module with `*` for numbers: layers of a stack are of one kind."""
    return _NUMBER.sub("*", module)
