"""Facts about a graph that decide which tactics apply."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, TypeVar

from .._core import GraphRewriter
from ..errors import InputError
from ..formats.products import find_products
from ..hardware.dtypes import short_dtype
from ..predict.plans import boundary_of, graph_cache

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from .._core import Graph
    from ..formats.products import Product

_Fact = TypeVar("_Fact")

_IMAGE = 4  # dimensions of a batch of images
_FLOATS = ("float64", "float32", "float16", "bfloat16")
_KEY = "advice"


def products(graph: Graph) -> tuple[Product, ...]:
    """Return the products with weights."""
    return _kept(graph, "products", lambda: tuple(find_products(graph)))


def _kept(graph: Graph, name: str, make: Callable[[], _Fact]) -> _Fact:
    """Return a fact about a graph, which is found once."""
    kept = graph_cache(graph)
    key = (_KEY, name)
    if key not in kept:
        kept[key] = make()
    found: _Fact = kept[key]
    return found


def weight_dtype(graph: Graph) -> str:
    """Return the short name of the floating-point dtype that most weights have; empty without weights."""
    return _kept(graph, "dtype", lambda: _weight_dtype(graph))


def _weight_dtype(graph: Graph) -> str:
    elements: dict[str, float] = {}
    for tensor in graph.tensors:
        if tensor.role == "parameter" and tensor.dtype in _FLOATS:
            size = prod(dim for dim in tensor.shape if isinstance(dim, int))
            elements[tensor.dtype] = elements.get(tensor.dtype, 0.0) + size
    return short_dtype(max(elements, key=lambda name: elements[name])) if elements else ""


def why_not_at(graph: Graph, sizes: Mapping[str, int]) -> str:
    """Return why a graph does not hold at some values of its sizes; empty if it does.

    A forward may depend on a size: a unet of diffusers copies tensors from a batch of 64 on.
    """
    if not graph.guards:
        return ""
    known = {name: size for name, size in sizes.items() if name in graph.sizes}
    try:
        GraphRewriter(graph).bind(graph.size_values(known))
    except InputError as error:
        return str(error).partition(";")[0]
    return ""


def generates(graph: Graph) -> bool:
    """Return whether the graph is a phase of a language model with a KV cache."""
    return boundary_of(graph, "native").kv_cache_bytes is not None


def reads_tokens(graph: Graph) -> bool:
    """Return whether the model reads tokens."""
    return boundary_of(graph, "native").tokens is not None


def reads_images(graph: Graph) -> bool:
    """Return whether an input of the model is a batch of images."""
    return any(
        len(tensor.shape) == _IMAGE and tensor.dtype in _FLOATS and tensor.shape[1] in (1, 3) for tensor in graph.inputs
    )


def has_convolutions(graph: Graph) -> bool:
    """Return whether products with weights are convolutions in part."""
    return any(product.spatial_dims for product in products(graph))


def is_channels_last(graph: Graph) -> bool:
    """Return whether all weights of convolutions with several channels and positions have their channels innermost."""
    weights = [
        tensor
        for tensor in graph.tensors
        if tensor.role == "parameter" and len(tensor.shape) >= _IMAGE and tensor.shape[1] != 1 and tensor.shape[-1] != 1
    ]
    return bool(weights) and all(tensor.strides[1] == 1 for tensor in weights)


def has_attention(graph: Graph) -> bool:
    """Return whether the model has attention, as one operator."""
    return _kept(graph, "attention", lambda: any("attention" in node.op for node in graph.nodes))


def family_of(graph: Graph, spec: str = "") -> str:
    """Return the family of models in `published.toml`, from the operators and sizes of the graph.

    Args:
        graph: The graph.
        spec: The spec of the model; one of diffusers is a diffusion model.
    """
    if spec.startswith("diffusers:"):
        return "diffusion"
    if generates(graph):
        return "language model"
    if any("embedding_bag" in node.op for node in graph.nodes):
        return "recommender"
    if reads_tokens(graph):
        return "encoder"
    if reads_images(graph):
        return "vision transformer" if has_attention(graph) else "convolutional"
    return "any"


def items_word(graph: Graph) -> str:
    """Return the word for items of a batch, in the plural."""
    if generates(graph) or reads_tokens(graph):
        return "tokens"
    return "images" if reads_images(graph) else "inputs"
