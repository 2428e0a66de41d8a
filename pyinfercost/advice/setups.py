"""`Setup`: graph variant, deployment and sizes as data, with the command and the code that reproduce its figures.

A change of the model that the command line lacks is a field of `Variant` and of `TRANSFORMS`, its effect in
`transform/variants.py`, and an option of `whatif_options`.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from os import PathLike, fspath
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from .. import _core
from .._lazy import cached_property
from ..deployment import Deployment
from ..deployment.fields import OPTIONS
from ..errors import InputError
from ..sources.memory_formats import marked
from ..sources.registry import is_graph

if TYPE_CHECKING:
    from typing_extensions import Self

SIZES = "sizes."
"""Prefix of a size in a change: `{"sizes.batch": 32}`."""

TERMS = "terms."
"""Prefix of a term of the traffic in a change: `{"terms.autoscaler": "kpa"}`."""


@dataclass(frozen=True)
class Variant:
    """Differences of the graph from the given model's.

    Attributes:
        model: Another model in the place of the given one, as a spec; empty for the given one.
        quantize: Formats of weights, in the notation of `--quantize`.
        prune: Structure of pruned weights, in the notation of `--prune`.
        kv_cache: Format of keys and values, in the notation of `--kv-cache`.
        width: Share of the channels that each group of channels keeps.
        layers: Share of the layers that each stack of equal layers keeps.
        exit_at: Early exit at which the forward ends; 0 for the last one.
        memory_format: Memory format of images, `channels_last`; empty for the given model's.
    """

    model: str = ""
    quantize: str = ""
    prune: str = ""
    kv_cache: str = ""
    width: float = 1.0
    layers: float = 1.0
    exit_at: int = 0
    memory_format: str = ""

    @property
    def captured(self) -> Variant:
        """The variant to capture, without the transforms of its graph."""
        return Variant(model=self.model, memory_format=self.memory_format)

    @property
    def transforms(self) -> dict[str, Any]:
        """Its transforms of a graph, as arguments of `transform.variants.varied`."""
        given = Variant()
        return {name: value for name in TRANSFORMS if (value := getattr(self, name)) != getattr(given, name)}


TRANSFORMS = ("quantize", "prune", "kv_cache", "width", "layers", "exit_at")
"""Fields of a variant that transforms of a graph bring about."""

VARIANT = tuple(Variant.__dataclass_fields__)
"""Fields of a variant."""


@dataclass(frozen=True)
class Setup:
    """A variant of a model, its deployment and its sizes.

    Attributes:
        on: Where and how it runs.
        variant: Differences of its graph from the given model's.
        sizes: Values of named sizes, such as the batch.
        terms: Settings of the server or the fleet under traffic, in the notation of the command line.
        continuous: Whether the machine runs without pause unless `on` decides that, see `Deployment.for_throughput`.
        source: Expression of Python for the graph of a model without a spec; for a module it has `model` and `inputs`.
    """

    on: Deployment
    variant: Variant = Variant()
    sizes: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))
    terms: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    continuous: bool = True
    source: str = "graph"

    @cached_property
    def placed(self) -> Deployment:
        """The deployment whose figures are predicted: under continuous load, where that is asked and known."""
        if self.continuous or self.on.sustained is not None or self.on.hardware is None:
            return self.on.for_throughput() if self.continuous else self.on
        return self.on.replace(sustained=False)

    def with_deployment(self, on: Deployment, placed: Deployment) -> Self:
        """Return the setup on another deployment, for which `placed` is known already."""
        found = replace(self, on=on)
        found.__dict__["placed"] = placed
        return found

    def changed(self, change: Mapping[str, Any]) -> Self:
        """Return the setup with a change.

        Args:
            change: Field of a `Deployment` or of a `Variant`, `"sizes.NAME"` or `"terms.NAME"` -> new value.

        Raises:
            InputError: A name is none of these, or the deployment refuses a value.
        """
        if not change:
            return self
        fields = {name: value for name, value in change.items() if name in OPTIONS}
        variant = {name: value for name, value in change.items() if name in VARIANT}
        sizes = {name.removeprefix(SIZES): value for name, value in change.items() if name.startswith(SIZES)}
        terms = {name.removeprefix(TERMS): value for name, value in change.items() if name.startswith(TERMS)}
        if len(fields) + len(variant) + len(sizes) + len(terms) < len(change):
            unknown = [name for name in change if name not in (*OPTIONS, *VARIANT) and "." not in name]
            raise InputError(f"a setup has no {', '.join(unknown)}; expected {', '.join((*OPTIONS, *VARIANT))}")
        found = replace(
            self,
            on=self.on.replace(**fields) if fields else self.on,
            variant=replace(self.variant, **variant),
            sizes={**self.sizes, **sizes},
            terms={**self.terms, **terms},
        )
        if not fields and "placed" in self.__dict__:
            found.__dict__["placed"] = self.placed
        return found

    @property
    def key(self) -> tuple[Any, ...]:
        """All that the figures depend on, as a hashable value."""
        sizes, terms = tuple(sorted(self.sizes.items())), tuple(sorted((k, str(v)) for k, v in self.terms.items()))
        return self.placed, self.variant, sizes, terms

    def arguments(self) -> list[str]:
        """Return the options of the command line that describe the setup, without terms of traffic."""
        words: list[str] = []
        for name, value in deployment_settings(self.placed).items():
            words += ["--sustained"] if name == "sustained" else [f"--{name}", str(value)]
        for name, value in self.sizes.items():
            words += ["--batch", str(value)] if name == "batch" else ["--set", f"{name}={value}"]
        for name, value in self.variant.transforms.items():
            words += [f"--{name.replace('_', '-')}", f"{value:g}" if isinstance(value, float) else str(value)]
        return words

    def command(self, model: str) -> str:
        """Return the command that predicts the figures of the setup; empty if it cannot be written as one.

        Args:
            model: Spec or path of the given model; empty if it has none.
        """
        spec = self.variant.model or model
        if not spec or not is_plain(self.on):
            return ""
        return shlex.join(["pyinfercost", "profile", marked(spec, self.variant.memory_format), *self.arguments()])

    def code(self, model: str) -> str:
        """Return lines of Python that predict the figures of the setup; empty where only a command can.

        Args:
            model: Spec or path of the given model; empty for one that `source` captures.
        """
        spec = self.variant.model or model
        fields = [f"{name}={value!r}" for name, value in deployment_settings(self.placed).items()]
        sizes = "".join(f", {name}={value}" for name, value in self.sizes.items() if name.isidentifier())
        other = {name: value for name, value in self.sizes.items() if not name.isidentifier()}
        sizes += f", sizes={other!r}" if other else ""
        lines = ["import pyinfercost as ic", f"on = ic.Deployment({', '.join(fields)})"]
        changes = self.variant.transforms
        if spec and not is_graph(spec):
            if changes:
                return ""  # a spec is captured at fixed sizes, of which its graph does not know the batch
            target = repr(marked(spec, self.variant.memory_format))
            return "\n".join([*lines, f"profile = ic.profile({target}, on=on{sizes})"])
        source = f"ic.capture({spec!r})" if spec else self.source
        if self.variant.memory_format:
            lines.insert(1, "from pyinfercost.sources.memory_formats import in_channels_last")
            source = source.replace("(model, inputs", "(*in_channels_last(model, inputs)", 1)
        if changes:
            words = ", ".join(f"{name}={value!r}" for name, value in changes.items())
            lines.insert(1, "from pyinfercost.transform.variants import varied")
            source = f"varied({source}, {words})"
        elif spec:
            source = repr(spec)
        return "\n".join([*lines, f"profile = ic.profile({source}, on=on{sizes})"])


def deployment_settings(on: Deployment) -> dict[str, Any]:
    """Return the fields of a deployment that differ from the defaults, as values of options."""
    found: dict[str, Any] = {}
    for name in OPTIONS:
        value = getattr(on, name)
        if name == "execution":
            value = on.asked_execution
        elif name == "layout":
            value = "" if on.layout is None else str(on.rank_layout)
        elif name == "devices" and on.layout is not None:
            continue
        elif name == "hardware":
            value = on.machine.id if isinstance(value, _core.Hardware) else fspath(value) if value is not None else None
        elif name == "transfer" and value is not None:
            value = str(on.data_transfer)
        elif name == "startup" and value is not None:
            value = str(on.replica_startup)
        elif name == "price" and value is not None and isinstance(value, PathLike):
            value = fspath(value)
        if value is None or value == "" or value is False or value == getattr(Deployment, name):
            continue  # a forward is short by default
        found[name] = value
    return found


def is_plain(on: Deployment) -> bool:
    """Return whether options of the command line can describe a deployment: its machine and price have names."""
    machine = not isinstance(on.hardware, _core.Hardware)
    return machine and (on.price is None or isinstance(on.price, (str, int, float, PathLike)))
