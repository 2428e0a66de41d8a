"""Speedup from zeros in weights on a machine: dense and effective work, and the latency of kernels that skip zeros."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .. import _core
from ..deployment import deployment_of
from ..deployment.keywords import shows, split_options
from ..deployment.options import SizedOptions
from ..errors import InputError
from ..formats.products import find_products, has_2_4_kernel
from ..results.sparsity import LayerSpeedup, SparsitySpeedup
from ..sources.sizes import bind_sizes, call_sizes
from ..transform.whatif import whatif
from .estimate import estimate_on
from .plans import value_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import SupportsIndex

    from typing_extensions import Unpack

    from .._core import Graph
    from ..deployment import Deployment
    from ..results.sparsity import Sparsity, WeightSparsity

_COMPRESSING = ("coo", "csr", "csc", "bsr", "bsc", "semi_structured")


@shows(SizedOptions)
def sparsity_speedup(
    graph: Graph,
    sparsity: Sparsity,
    *,
    on: Deployment | None = None,
    sizes: Mapping[str, SupportsIndex] | None = None,
    **options: Unpack[SizedOptions],
) -> SparsitySpeedup:
    """Predict the speedup that the zeros in the weights give on a machine.

    Dense kernels multiply zeros like any other number, so that unstructured zeros give none. Weights of which two of
    four neighbors are zero run on matrix units that skip them (`[sparsity]` of the calibration files has the factors
    that libraries achieve).

    Args:
        graph: The graph of the model, as `capture` returns it.
        sparsity: The result of `ic.sparsity` for its weights; names are the names of the model's parameters.
        on: Where and how the model runs; keywords override its fields.
        sizes: Values of named sizes, for names that options have too.
        **options: Fields of `Deployment`, such as `hardware`, which override `on`, and sizes by name, such as
            `batch=8`; a size left out takes the graph's default.

    Returns:
        The speedup in total and per layer.

    Raises:
        InputError: No scanned weight is one of the graph's products, or an argument is invalid as in `estimate`.

    Examples:
        >>> layer = nn.Linear(4096, 4096).half()
        >>> _ = layer.weight.data.view(-1, 4)[:, :2].zero_()
        >>> graph = ic.capture(layer, torch.empty(4096, 4096).half())
        >>> found = ic.sparsity_speedup(graph, ic.sparsity(layer), hardware="a100-sxm-80gb", precision="fp16")
        >>> found.speedup > 1
        True
    """
    fields, named_sizes = split_options(options)
    deployment = deployment_of(on, fields)
    with call_sizes(sparsity_speedup, sizes, named_sizes) as named:
        return _speedup(graph, sparsity, deployment, bind_sizes(graph, named))


def _speedup(graph: Graph, sparsity: Sparsity, on: Deployment, sizes: Mapping[str, int]) -> SparsitySpeedup:
    dense = estimate_on(on, graph, sizes)
    named = {name: weight for weight in sparsity.weights for name in (weight.name, *weight.aliases)}
    found: list[tuple[str, str, WeightSparsity]] = []
    for product in find_products(graph):
        weight = named.get(graph.tensor(product.weight).name)
        if weight is not None:
            found.append((product.node.module, weight.name, weight))
    if not found:
        known = ", ".join(list(named)[:5])
        raise InputError(
            f"no product of the graph has a scanned weight; expected names of the graph, got {known or 'none'}. Pass "
            "the sparsity of the captured model"
        )
    machine = on.machine
    skips = machine.kind == "gpu" and machine.sparsity_2_4 > 1
    two_of_four = {module for module, _, weight in found if has_2_4_kernel(weight)}
    changed = dense
    if two_of_four and skips:
        pruned = whatif(graph, prune="2:4", layers=two_of_four.__contains__)
        changed = estimate_on(on, pruned, sizes)
    before, after = _by_module(dense), _by_module(changed)
    bound = graph.size_values(sizes)
    counted = {layer.module: layer for layer in _core.count(graph, bound).layers if layer.row.macs}
    layers = []
    for module, name, weight in found:
        flops = value_of(counted[module].row.contraction_flops, {}) if module in counted else 0
        dense_bytes = weight.figures.elements * _bits(weight.dtype) // 8
        layers.append(
            LayerSpeedup(
                module=module,
                weight=name,
                form=weight.form,
                zero_share=weight.zero_share,
                dense_flops=flops,
                effective_flops=flops * (1 - weight.zero_share),
                dense_bytes=dense_bytes,
                compressed_bytes=_compressed(weight, dense_bytes),
                latency_s=before.get(module, 0.0),
                realizable_s=after.get(module, 0.0) if module in two_of_four else before.get(module, 0.0),
                why=_why(weight, module in two_of_four, skips, machine.id),
            )
        )
    return SparsitySpeedup(
        hardware=machine.id, latency_s=dense.latency_s, realizable_s=changed.latency_s, layers=tuple(layers)
    )


def _by_module(of: Any) -> dict[str, float]:
    seconds: dict[str, float] = {}
    for layer in of.layers:
        seconds[layer.module] = seconds.get(layer.module, 0.0) + layer.latency_s
    return seconds


def _bits(dtype: str) -> int:
    digits = "".join(character if character.isdigit() else " " for character in dtype).split()
    return 8 if dtype in ("bool", "float8_e4m3fn", "float8_e5m2") else int(digits[0])


def _compressed(weight: WeightSparsity, dense_bytes: int) -> int:
    bits = _bits(weight.dtype)
    kept = weight.figures.elements - weight.figures.zeros
    least = kept * (bits + 16) // 8
    if weight.holds_2_4:
        least = min(least, weight.figures.elements // 2 * (bits + 2) // 8)
    return min(least, dense_bytes)


def _why(weight: WeightSparsity, two_of_four: bool, skips: bool, machine: str) -> str:
    share = f"{100 * weight.zero_share:.0f} % zeros"
    if two_of_four and skips:
        return f"2:4: the matrix unit of {machine} skips half of the products, with 2:4 kernels"
    if two_of_four:
        return f"2:4: {machine} has no unit that skips zeros, 1.0x"
    if weight.figures.zeros == 0:
        return "no zeros"
    if weight.form in _COMPRESSING:
        return f"{weight.form}: products with sparse matrices, estimated as they are captured"
    if weight.figures.zero_rows:
        return f"{share}, {weight.figures.zero_rows} rows wholly zero: 1.0x until the rows are removed"
    return f"{share}, unstructured, on dense kernels: 1.0x"
