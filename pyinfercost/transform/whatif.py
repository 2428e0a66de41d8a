"""`whatif`: a graph as it would be with other formats; the model is not touched and nothing is traced again."""

from __future__ import annotations

import difflib
import fnmatch
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from .caches import CacheFormat
from .edit import GraphEdit
from .formats import CACHE_DTYPES, Format, WhatIfError, format_of, pruned_format
from .products import Product, Quantiser, product_of

if TYPE_CHECKING:
    from .._core import Graph

Layers = str | Iterable[str] | Callable[[str], bool] | None


def whatif(
    graph: Graph,
    *,
    quantize: str | Format | Mapping[str, str | Format | None] | None = None,
    prune: str | Mapping[str, str | None] | None = None,
    kv_cache: str | None = None,
    layers: Layers = None,
    kernels: str = "engine",
) -> Graph:
    """The graph of the same model with weights, activations or caches in other formats.

    Products get the kernels that serving engines have for a format: weights that are widened as they are read
    (`int8_wo`, `fp8_wo`, `int4_wo`, `nf4_wo`, `nvfp4_wo`, `mxfp4_wo`), or products of narrow operands behind a kernel
    that quantises the activations, row by row (`int8_dynamic`, `fp8_dynamic`, `nvfp4_dynamic`) or with a scale that is
    known (`int8_static`, `fp8_static`). That kernel is in the graph, so that a small batch may come out slower. `fp16`
    and `bf16` cast a layer, with a cast before it and one after it.

    Args:
        graph: what `capture` returned. Its dtypes are those that the formats are mixed with, or those of the precision
            that it is then estimated at.
        quantize: a format for all products with weights, or formats by patterns of module paths
            (`{"*.mlp.*": "int4_wo", "lm_head": None}`); the first pattern that fits counts, None leaves a layer as it
            is. `"int4_wo:64"` has groups of 64.
        prune: what pruning leaves of the weights of matrix products, for all or by patterns: `"2:4"`, two of four
            neighbours along the inputs. Machines without a unit for it multiply the zeros.
        kv_cache: what keys and values of attention are kept in: `int8`, `fp8`, `fp16` or `bf16`.
        kernels: `"engine"`, those of serving engines as above, or `"torchao"`: the operators that torchao's modules run
            where nothing compiles them (`int8_wo`, `fp8_wo`, `int8_dynamic`).
        layers: modules whose products are changed: a pattern of paths, several, or a function of the path.

    Returns:
        A new graph. Convolutions have `int8_dynamic`, `int8_static` and casts alone and stay as they are with other
        formats.

    Raises:
        WhatIfError: for a format that is not known, or where nothing in the graph can have it.
    """
    if quantize is None and prune is None and kv_cache is None:
        raise WhatIfError(
            "nothing is asked: give quantize=, such as 'int8_wo', prune='2:4', or kv_cache=, such as 'fp8'"
        )
    edit = GraphEdit(graph)
    chosen = _chosen(edit, quantize, layers, format_of)
    pruned = _chosen(edit, prune, layers, pruned_format)
    if both := [product for key, (product, _) in chosen.items() if key in pruned]:
        raise WhatIfError(f"{both[0].node.get('module', '')!r} is to be quantised and pruned; no kernel here does both")
    chosen |= pruned
    cache = _cache(edit, kv_cache)
    if kernels not in ("engine", "torchao"):
        raise WhatIfError(f"kernels is {kernels!r}; expected engine or torchao")
    quantiser = Quantiser(edit, kernels)
    for node in edit.nodes:
        if id(node) in chosen:
            product, form = chosen[id(node)]
            quantiser.quantise(product, form)
        else:
            edit.keep(node if cache is None else cache.visit(node))
    return edit.build()


def _chosen(
    edit: GraphEdit, quantize: Any, layers: Layers, by_name: Callable[[Any], Format]
) -> dict[int, tuple[Product, Format]]:
    """The products that get a format, by the id of their node."""
    if quantize is None:
        return {}
    products = [found for node in edit.nodes if (found := product_of(edit, node)) is not None]
    policy = quantize if isinstance(quantize, Mapping) else {"*": quantize}
    forms = {pattern: None if name is None else by_name(name) for pattern, name in policy.items()}
    wanted = _selector(layers)
    modules = list(dict.fromkeys(product.node.get("module", "") for product in products))
    _check_patterns([*policy, *_patterns(layers)], modules)
    chosen: dict[int, tuple[Product, Format]] = {}
    for product in products:
        module = product.node.get("module", "")
        form = next((form for pattern, form in forms.items() if _fits(module, pattern)), None)
        if form is None or not wanted(module) or (product.axes and not _is_of_convolutions(form)):
            continue
        chosen[id(product.node)] = (product, form)
    if not chosen:
        names = ", ".join(str(name) for name in policy.values())
        raise WhatIfError(
            f"no layer can have {names}: " + (_some(modules) if modules else "there is no product with a weight")
        )
    return chosen


def _is_of_convolutions(form: Format) -> bool:
    return form.is_cast or (form.dtype == "int8" and form.activation is not None)


def _fits(module: str, pattern: str) -> bool:
    return fnmatch.fnmatchcase(module, pattern)


def _patterns(layers: Layers) -> list[str]:
    if layers is None or callable(layers):
        return []
    return [layers] if isinstance(layers, str) else list(layers)


def _selector(layers: Layers) -> Callable[[str], bool]:
    if layers is None:
        return lambda _: True
    if callable(layers):
        return layers
    patterns = _patterns(layers)
    return lambda module: any(_fits(module, pattern) for pattern in patterns)


def _check_patterns(patterns: list[str], modules: list[str]) -> None:
    """A pattern that fits nothing is a mistake, and not an answer."""
    for pattern in patterns:
        if not any(_fits(module, pattern) for module in modules):
            near = difflib.get_close_matches(pattern, modules, n=3, cutoff=0.4)
            hint = f"; the nearest are {', '.join(near)}" if near else f"; {_some(modules)}"
            raise WhatIfError(f"no layer with a weight has a path like {pattern!r}{hint}")


def _some(modules: list[str], most: int = 5) -> str:
    more = f" and {len(modules) - most} more" if len(modules) > most else ""
    return f"there are {', '.join(modules[:most])}{more}"


def _cache(edit: GraphEdit, kv_cache: str | None) -> CacheFormat | None:
    if kv_cache is None:
        return None
    if kv_cache not in CACHE_DTYPES:
        raise WhatIfError(f"kv_cache is {kv_cache!r}; expected {', '.join(CACHE_DTYPES)}")
    cache = CacheFormat(edit, CACHE_DTYPES[kv_cache])
    if not cache.found:
        raise WhatIfError("the graph has no cache of keys and values; capture a decode step, such as hf:model#decode")
    return cache
