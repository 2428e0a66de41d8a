"""Layers whose formats change: products of a captured graph by the module that computes them, alone or in groups."""

from __future__ import annotations

import difflib
import glob
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from ..errors import InputTypeError
from ..formats.products import find_products
from . import TradeoffError

if TYPE_CHECKING:
    from .._core import Graph
    from ..formats.products import Product


@dataclass(frozen=True)
class Layer:
    """A layer, or several that get the same format.

    Attributes:
        name: Path of its module, name of the weight of experts, or the caller's pattern.
        members: Names of its parts: module paths, or names of the weights of experts.
        products: Its products in the graph.
    """

    name: str
    members: tuple[str, ...]
    products: tuple[Product, ...]

    @property
    def patterns(self) -> tuple[str, ...]:
        """Patterns that match its parts, and nothing else."""
        return tuple(glob.escape(member) for member in self.members)


def layers_in(graph: Graph, chosen: Iterable[str] | None, modules: Iterable[str] = ()) -> list[Layer]:
    """Return the layers of a graph whose formats may change.

    Args:
        graph: The captured graph.
        chosen: Paths of modules, names of weights of experts, or patterns, whose matches are one layer together. None
            for each layer with a product alone.
        modules: Paths of other modules that may be chosen, which candidates of the caller can change.

    Returns:
        The layers; layers of one product are in the order of the graph.

    Raises:
        TradeoffError: There is none, a name matches nothing, or two of them share a layer.
    """
    products: dict[str, list[Product]] = {}
    for product in find_products(graph):
        products.setdefault(product.name if product.stacked else product.node.module, []).append(product)
    if chosen is None:
        if not products:
            raise TradeoffError("the model has no layers with weights, such as linear layers and convolutions")
        return [Layer(name, (name,), tuple(each)) for name, each in products.items()]
    if isinstance(chosen, str):
        raise InputTypeError(f"layers is {chosen!r}; expected an iterable of paths or patterns, such as [{chosen!r}]")
    others = dict.fromkeys(name for name in modules if name not in products)
    found = [_layer(name, products, others) for name in dict.fromkeys(chosen)]
    if not found:
        raise TradeoffError("layers is empty; expected paths of modules or patterns, or None for all")
    owner: dict[str, str] = {}
    for layer in found:
        for member in layer.members:
            if member in owner:
                raise TradeoffError(f"{member!r} is in {owner[member]!r} and in {layer.name!r}; name it once")
            owner[member] = layer.name
    return found


def _layer(name: str, products: Mapping[str, list[Product]], others: Mapping[str, None]) -> Layer:
    if not isinstance(name, str):
        raise InputTypeError(f"a layer is of type {type(name).__name__}; expected a path or a pattern")
    is_path = name in products or name in others
    members = [name] if is_path else [each for each in products if fnmatchcase(each, name)]
    if not members:
        near = difflib.get_close_matches(name, products, n=3, cutoff=0.4) or list(products)[:5]
        raise TradeoffError(f"no layer with a weight matches {name!r}; there are {', '.join(near)}")
    return Layer(name, tuple(members), tuple(product for each in members for product in products.get(each, ())))
