"""`whatif`: a graph with weights, activations or caches in other formats, without changing or tracing the model."""

from __future__ import annotations

import difflib
import fnmatch
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from .. import _core
from ..formats.ggml import format_or_type_of
from ..formats.kernels import EngineKernels
from ..formats.products import Product, find_products
from ..formats.stored_weights import StoredWeights
from ..formats.table import CACHE_DTYPES, Format, FormatError, pruned_format
from ..sources.notices import warn_if_not_kept
from .kv_cache import CacheFormat
from .torchao_kernels import TORCHAO, TorchaoKernels, has_one_kernel, is_convertible

if TYPE_CHECKING:
    from .._core import Graph

Layers = str | Iterable[str] | Callable[[str], bool] | None
_NARROW = ("pyinfercost.linear_", "pyinfercost.grouped_")
"""Products whose weights have a format."""

Chosen = dict[int, tuple[Product, Format]]
"""Products and their new formats, by node number."""


def whatif(
    graph: Graph,
    *,
    quantize: str | Format | Mapping[str, str | Format | None] | None = None,
    prune: str | Mapping[str, str | None] | None = None,
    kv_cache: str | None = None,
    layers: Layers = None,
    kernels: str = "engine",
) -> Graph:
    """Return the graph of the same model with weights, activations or caches in other formats.

    Products get the kernels of serving engines for a format: kernels that dequantize the weight as they read it
    (`int8_wo`, `fp8_wo`, `int4_wo`, `nf4_wo`, `nvfp4_wo`, `mxfp4_wo`), or products of narrow operands after a kernel
    that quantizes the activations, row by row (`int8_dynamic`, `fp8_dynamic`, `nvfp4_dynamic`) or with a known scale
    (`int8_static`, `fp8_static`). The quantizing kernel is part of the graph, so a small batch may become slower.
    `fp16` and `bf16` cast a layer, with a cast before and after it.

    Args:
        graph: A graph from `capture`. Other dtypes stay as captured, or follow the precision of the estimate.
        quantize: A format for all products with weights, or formats by patterns of module paths
            (`{"*.mlp.*": "int4_wo", "lm_head": None}`); the first matching pattern applies, and None keeps a layer
            unchanged. Patterns of experts match the path of their module (`*.mlp.experts`) or the name of one of
            their weights (`*.experts.down_proj`). `"int4_wo:64"` has groups of 64. Products whose weights are narrow
            already, as in a quantized checkpoint, stay as they are.
        prune: Structure of pruned weights of matrix products, for all or by patterns: `"2:4"`, two of four consecutive
            inputs. Machines without a unit for it multiply the zeros.
        kv_cache: Dtype of keys and values of attention: `int8`, `fp8`, `fp16` or `bf16`.
        layers: Modules whose products change: a pattern, several, or a predicate on the module's path.
        kernels: `"engine"` for the kernels of serving engines as above, or those that torchao's modules run without a
            compiler for linear layers in `int8_wo`, `fp8_wo` and `int8_dynamic`: `"torchao"` on GPUs, `"torchao-u8s8"`
            on CPUs with VNNI and without AMX, `"torchao-s8s8"` on other CPUs. Other layers are unchanged then.

    Returns:
        A new graph. Convolutions support `int8_dynamic`, `int8_static` and casts only, and are unchanged for other
        formats; so are experts for `prune` and for torchao's kernels. Weights that no node reads are removed.

    Raises:
        FormatError: A format is unknown, or applies to nothing in the graph.

    Examples:
        >>> net = nn.Sequential(nn.Linear(784, 128), nn.ReLU(), nn.Linear(128, 10))
        >>> graph = ic.capture(net, torch.empty(1, 784), dynamic={0: {0: "batch"}})
        >>> smaller = ic.whatif(graph, quantize="int8_wo")
        >>> [ic.count(each, batch=1).total.parameter_bytes for each in (graph, smaller)]
        [407080, 102874]
    """
    if quantize is None and prune is None and kv_cache is None:
        raise FormatError(
            "nothing to change; pass quantize=, such as 'int8_wo', prune='2:4', or kv_cache=, such as 'fp8'"
        )
    products = [] if quantize is None and prune is None else list(find_products(graph))
    if kernels in TORCHAO:  # it has none for experts
        products = [product for product in products if not product.stacked]
    narrow = _narrow_names(graph)
    chosen = _chosen(products, narrow, quantize, layers, format_or_type_of, of_torchao=kernels in TORCHAO)
    pruned = _chosen(products, narrow, prune, layers, pruned_format)
    if both := [product for node, (product, _) in chosen.items() if node in pruned]:
        raise FormatError(
            f"{both[0].node.module!r} is both quantized and pruned, which no kernel supports; give each layer one of "
            "them, by patterns"
        )
    if kernels not in ("engine", *TORCHAO):
        raise FormatError(f"kernels is {kernels!r}; expected 'engine' or one of {', '.join(TORCHAO)}")
    rewriter = _core.GraphRewriter(graph)
    cache = _cache(graph, rewriter, kv_cache)
    weights = StoredWeights(graph, rewriter)
    engine, torchao = EngineKernels(graph, rewriter, weights), TorchaoKernels(rewriter, weights, kernels)
    chosen |= pruned
    for node in sorted(chosen) if cache is None else range(len(graph)):
        if node in chosen:
            product, form = chosen[node]
            (engine if kernels == "engine" or has_one_kernel(form) else torchao).replace(product, form)
            if product.view is not None:
                rewriter.drop_if_unread(product.view)
        elif cache is not None:
            cache.visit(graph.node(node))
    for made in graph.tensors:
        if made.role == "parameter":
            rewriter.drop_if_unread(made.index)
    found = rewriter.build()
    if not pruned:  # half of the products of such weights are left out on purpose
        warn_if_not_kept(_core.kept_share(graph, found), "the graph in other formats")
    return found


def parse_formats(text: str) -> str | dict[str, str | None]:
    """Return the formats that a text names: one for all products, or formats by patterns.

    Args:
        text: `"int8_wo"`, or `"*.mlp.*=int4_wo,lm_head=none"`, where `none` keeps layers unchanged.

    Raises:
        FormatError: A part of a list has no pattern or no format.
    """
    if "=" not in text:
        return text
    pairs = [part.partition("=") for part in text.split(",")]
    if not all(equals and form for _, equals, form in pairs):
        raise FormatError(f"expected FORMAT or a list of PATTERN=FORMAT; got {text!r}")
    return {pattern: None if form == "none" else form for pattern, _, form in pairs}


def _chosen(
    products: list[Product],
    narrow: list[str],
    policy: Any,
    layers: Layers,
    by_name: Callable[[Any], Format],
    *,
    of_torchao: bool = False,
) -> Chosen:
    if policy is None:
        return {}
    patterns = policy if isinstance(policy, Mapping) else {"*": policy}
    forms = {pattern: None if name is None else by_name(name) for pattern, name in patterns.items()}
    wanted = _selector(layers)
    names = list(dict.fromkeys(name for product in products for name in product.names))
    _check_patterns([*patterns, *_patterns(layers)], names, narrow)
    chosen: Chosen = {}
    for product in products:
        form = next((form for pattern, form in forms.items() if _fits(product.names, pattern)), None)
        if form is None or not wanted(product) or not _applies(form, product):
            continue
        if of_torchao and not (form.is_cast or is_convertible(product)):
            continue
        chosen[product.node.index] = (product, form)
    if not chosen:
        given = ", ".join(str(name) for name in patterns.values())
        raise FormatError(
            f"{given} applies to no layer; " + (_some(names) if names else "there is no product with a weight")
        )
    return chosen


def _applies(form: Format, product: Product) -> bool:
    """Return whether there are kernels of a format for a kind of product."""
    if product.spatial_dims:
        return form.is_cast or (form.dtype == "int8" and form.activation is not None)
    return not (product.stacked and form.semi_structured)


def _fits(names: Iterable[str], pattern: str) -> bool:
    return any(fnmatch.fnmatchcase(name, pattern) for name in names)


def _patterns(layers: Layers) -> list[str]:
    if layers is None or callable(layers):
        return []
    return [layers] if isinstance(layers, str) else list(layers)


def _selector(layers: Layers) -> Callable[[Product], bool]:
    if layers is None:
        return lambda _: True
    if callable(layers):
        return lambda product: layers(product.node.module)
    patterns = _patterns(layers)
    return lambda product: any(_fits(product.names, pattern) for pattern in patterns)


def _narrow_names(graph: Graph) -> list[str]:
    """Return the modules of products whose weights have a format already, as in a quantized checkpoint."""
    return list(dict.fromkeys(node.module for node in graph.nodes if node.op.startswith(_NARROW)))


def _check_patterns(patterns: list[str], names: list[str], narrow: list[str]) -> None:
    """Reject a pattern that matches no layer, or only layers that stay as they are."""
    for pattern in patterns:
        if not _fits(names, pattern):
            if stays := [name for name in narrow if _fits([name], pattern)]:
                more = f" and {len(stays) - 1} more" if len(stays) > 1 else ""
                raise FormatError(
                    f"{pattern!r} matches {stays[0]}{more}, whose weights are in a narrow format already, as the "
                    "checkpoint or an earlier change stores them; leave the pattern out, or capture the model without "
                    "that format (of a config.json: without quantization_config)"
                )
            near = difflib.get_close_matches(pattern, names, n=3, cutoff=0.4)
            hint = f"; similar ones are {', '.join(near)}" if near else f"; {_some(names)}"
            raise FormatError(f"no layer with a weight matches {pattern!r}{hint}")


def _some(names: list[str], most: int = 5) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return f"there are {', '.join(names[:most])}{more}"


def _cache(graph: Graph, rewriter: _core.GraphRewriter, kv_cache: str | None) -> CacheFormat | None:
    if kv_cache is None:
        return None
    if kv_cache not in CACHE_DTYPES:
        raise FormatError(f"kv_cache is {kv_cache!r}; expected {', '.join(CACHE_DTYPES)}")
    cache = CacheFormat(graph, rewriter, CACHE_DTYPES[kv_cache])
    if not cache.found:
        raise FormatError("the graph has no KV cache; capture a phase of a language model, such as hf:model#decode")
    return cache
