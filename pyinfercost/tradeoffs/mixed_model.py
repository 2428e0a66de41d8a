"""A model with some layers in other formats: its predicted cost, its accuracy and the module itself."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from .._lazy import cached_property
from ..formats.table import FORMATS, PRUNED, Format, format_of, pruned_format
from ..predict.profile import profile
from ..results.sensitivity import MixedFigures
from ..results.tradeoff import ORIGINAL
from ..sources.capture import capture
from ..transform.whatif import whatif
from . import NotApplicableError, TradeoffError
from .journal import Journal
from .steps import accuracy_of, module_of, said

if TYPE_CHECKING:
    from .._core import Graph, Hardware
    from ..deployment import Deployment
    from .layers import Layer

KIND = "pyinfercost.sensitivity"
"""Kind of the file that accuracies are resumed from."""

_OWN = "own"
_MIXED = "formats"
_NARROW_FLOATS = ("float8", "float4")  # int8 products run on any machine, if slowly


@dataclass(frozen=True)
class Choice:
    """A possible change of a layer: a format of the table, a change of the caller's, or a format that the caller
    applies.

    Attributes:
        name: Name of the format, or of the caller's candidate.
        form: The format, whose kernels are predicted; None if the changed module is captured instead.
        candidate: The caller's function of a module and a path; None to apply the format as `layer_formats` does.
    """

    name: str
    form: Format | None
    candidate: Callable[[Any, str], Any] | None = None

    @property
    def text(self) -> str:
        """Description, which is the same in each process."""
        return self.name if self.candidate is None else f"{self.name} by {said(self.candidate)}"

    def check_on(self, machine: Hardware) -> None:
        """Reject a format whose products no unit of a machine computes.

        Raises:
            NotApplicableError: There is no such unit.
        """
        form = self.form
        if form is None or form.activation is None or not form.dtype.startswith(_NARROW_FLOATS):
            return
        units = (*(machine.matrix_flop_per_s or ()), *machine.vector_flop_per_s)
        width = form.dtype.partition("_")[0]
        if not any(dtype.startswith(width) for dtype in units):
            raise NotApplicableError(f"{machine.id} has no unit for products of {width}")


def choice_of(name: str, candidate: Callable[[Any, str], Any] | None = None) -> Choice:
    """Return the choice of a name.

    Raises:
        FormatError: There is no such format, and no candidate of the caller's.
    """
    if name in PRUNED:
        return Choice(name, pruned_format(name), candidate)
    if candidate is not None and name.partition(":")[0] not in FORMATS:
        return Choice(name, None, candidate)
    return Choice(name, format_of(name), candidate)


@dataclass(frozen=True)
class Mixing:
    """Settings that all combinations of formats share.

    Attributes:
        make: Returns a fresh model.
        model: One, to inspect.
        evaluate: Returns the accuracy of a model.
        inputs: Inputs of a forward; None if costs are from another graph.
        graph: The graph of the unchanged model.
        on: Deployment of the prediction.
        sizes: Values of named sizes of the graph.
        kernels: Kernels of formats, as in `whatif`.
        choices: Name of a format -> change of a layer.
        layers: Name of a layer -> the layer.
        journal: Storage of accuracies.
    """

    make: Callable[[], Any]
    model: Any = field(repr=False)
    evaluate: Callable[[Any], Any]
    inputs: Any
    graph: Graph
    on: Deployment
    sizes: Mapping[str, int]
    kernels: str
    choices: Mapping[str, Choice]
    layers: Mapping[str, Layer]
    journal: Journal = field(repr=False)

    def figures(self, formats: Mapping[str, str]) -> MixedFigures:
        """Return the predicted costs of a combination, without its accuracy.

        Args:
            formats: Name of a layer -> format; layers left out are unchanged.

        Raises:
            FormatError: A format does not apply to a layer.
        """
        found = profile(self.graph_of(formats), on=self.on, sizes=self.sizes)
        estimate, total = found.estimate, found.counts.total
        if estimate is None:
            raise TradeoffError("no hardware is given; pass the machine to predict for")
        return MixedFigures(
            accuracy=None,
            lost=None,
            latency_s=estimate.latency_s,
            latency_low_s=estimate.latency_low_s,
            latency_high_s=estimate.latency_high_s,
            energy_j=estimate.energy_j,
            cost_usd=estimate.cost_usd,
            parameter_bytes=int(total.parameter_bytes),
            peak_memory_bytes=int(total.peak_memory_bytes),
        )

    def stored(self, formats: Mapping[str, str]) -> float | None:
        """Return the accuracy of a combination from the journal; None if it is not there.

        Raises:
            TradeoffError: The journal has another candidate of that name.
        """
        known = self.journal.find(_MIXED, self._key(formats), self._text(formats))
        return None if known is None else float(known["accuracy"])

    def accuracy(self, formats: Mapping[str, str]) -> float:
        """Return the accuracy of a combination: from the journal, or evaluated.

        Raises:
            TradeoffError: The journal has another candidate of that name.
        """
        known = self.stored(formats)
        if known is None:
            known = accuracy_of(self.evaluate, self.module(formats))
            self.journal.add(_MIXED, self._key(formats), self._text(formats), {"accuracy": known})
        return known

    def module(self, formats: Mapping[str, str]) -> Any:
        """Return a fresh module that has a combination, in eval mode.

        Raises:
            NotApplicableError: A format cannot be applied to a layer.
        """
        from .layer_formats import apply_format, weights_of

        changed = self._changed(formats, captured=False)
        for layer, choice in self._items(formats):
            if choice.candidate is None and choice.form is not None:
                apply_format(changed, weights_of(changed, layer.products), choice.form, self._largest)
        return changed.eval()

    def method(self, name: str, format_name: str) -> str:
        """Return how the module of a layer gets a format, as `FormatSensitivity.applied`."""
        from .layer_formats import method_of, weights_of

        choice = self.choices[format_name]
        if choice.candidate is not None or choice.form is None:
            return _OWN
        return method_of(self.model, weights_of(self.model, self.layers[name].products), choice.form)

    def policies(self, formats: Mapping[str, str]) -> tuple[dict[str, str], dict[str, str]]:
        """Return the arguments `quantize` and `prune` of `whatif` for a combination."""
        quantize: dict[str, str] = {}
        prune: dict[str, str] = {}
        for layer, choice in self._items(formats):
            if choice.form is not None:
                policy = prune if choice.form.semi_structured else quantize
                policy.update(dict.fromkeys(layer.patterns, choice.name))
        return quantize, prune

    def graph_of(self, formats: Mapping[str, str]) -> Graph:
        """Return the graph of a combination.

        Raises:
            FormatError: A format has no kernel for a layer.
            NotApplicableError: The machine has no unit for a format.
        """
        for layer, choice in self._items(formats):
            choice.check_on(self.on.machine)
            if choice.form is not None and not layer.products:
                raise NotApplicableError(
                    f"{layer.name!r} computes no product with a weight itself; name its layers, such as "
                    f"{layer.name + '.*'!r}"
                )
        graph = self.graph
        if any(choice.form is None for _, choice in self._items(formats)):
            graph = capture(self._changed(formats, captured=True).eval(), self.inputs)
        quantize, prune = self.policies(formats)
        if not quantize and not prune:
            return graph
        return whatif(graph, quantize=quantize or None, prune=prune or None, kernels=self.kernels)

    def _changed(self, formats: Mapping[str, str], *, captured: bool) -> Any:
        """Return a fresh module with the caller's own changes, for a capture without those that stand for a format."""
        module = self.make()
        for layer, choice in self._items(formats):
            if choice.candidate is not None and (choice.form is None or not captured):
                for member in layer.members:
                    module = module_of(choice.candidate(module, member))
        return module

    def _items(self, formats: Mapping[str, str]) -> list[tuple[Layer, Choice]]:
        return [(self.layers[name], self.choices[form]) for name, form in formats.items() if form != ORIGINAL]

    def _key(self, formats: Mapping[str, str]) -> str:
        return json.dumps({name: form for name, form in formats.items() if form != ORIGINAL}, sort_keys=True)

    def _text(self, formats: Mapping[str, str]) -> str:
        """Return the key of an accuracy besides the model: members, formats, and how they are applied."""
        parts = {
            f"{', '.join(layer.members)}: {choice.text}, {self.method(layer.name, choice.name)}"
            for layer, choice in self._items(formats)
        }
        return "; ".join(sorted(parts)) or "unchanged"

    @cached_property
    def _largest(self) -> dict[str, float]:
        """Largest magnitudes of inputs of layers, for static formats."""
        forms = [choice.form for choice in self.choices.values()]
        if self.inputs is None or not any(form is not None and form.activation == "static" for form in forms):
            return {}
        from .layer_formats import largest_inputs

        paths = [product.node.module for layer in self.layers.values() for product in layer.products]
        return largest_inputs(self.make(), self.inputs, paths)
