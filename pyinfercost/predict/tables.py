"""Tables of a profile: its modules with their shapes, and totals by operator."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any

from .._core import Expr
from ..errors import InputTypeError
from ..results.profile import Profile
from ..results.tables import ModuleRow, ModuleTable, OperatorRow, OperatorTable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from .._core import CountRow, LayerRow, NodeInfo, Quantity, TensorInfo

_READ = ("activation", "input", "kv_cache")
_FORWARD = "forward"
_POOLS = "pool"


def module_table(profile: Profile) -> ModuleTable:
    """Return the modules of a profiled model with input, output and kernel shapes, weights and multiply-adds.

    Multiply-adds are counted on the operators that run. torchinfo multiplies weights by the batch, so it leaves out
    attention, products of two activations, and the sequence of a linear layer; of convolutions both count the same.

    Args:
        profile: A profile.

    Returns:
        The table.

    Raises:
        InputTypeError: It is no profile.

    Examples:
        >>> net = nn.Sequential(nn.Linear(784, 128), nn.ReLU(), nn.Linear(128, 10))
        >>> table = ic.module_table(ic.profile(net, torch.empty(1, 784)))
        >>> [(row.module, row.parameters) for row in table.rows]
        [('', 101770), ('0', 100480), ('1', 0), ('2', 1290)]
    """
    _check(profile)
    counts, sizes = profile.counts, profile.sizes
    whole = counts.by_module()
    shapes = _shapes(profile)
    latency = _latency(profile)
    order = {"": None, **dict.fromkeys(path for layer in counts.layers for path in _paths(layer.module))}
    order.update(dict.fromkeys(path for path in whole if path not in order))
    own = _own_parameters(whole)
    trainable = _trainable(profile)
    rows = []
    for path in _nested(list(order)):
        row, shape = whole.get(path), shapes.get(path, _Shape())
        if row is None:
            continue
        rows.append(
            ModuleRow(
                module=path,
                depth=path.count(".") + 1 if path else 0,
                op=shape.busy[0] if len(shape.busy) == 1 else "",
                calls=row.nodes,
                input_shape=_bound(shape.read, sizes),
                output_shape=_bound(shape.made, sizes),
                kernel_shape=_bound(shape.kernel, sizes) if len(shape.busy) == 1 else None,
                own_parameters=own[path],
                parameters=row.parameters,
                trainable=trainable.get(path),
                mult_adds=row.macs,
                flops=row.flops,
                activations=shape.activations,
                latency_s=None if latency is None else latency.get(path, 0.0),
            )
        )
    return ModuleTable(
        model=profile.model,
        rows=tuple(rows),
        input_bytes=counts.memory.input_bytes,
        parameter_bytes=counts.total.parameter_bytes,
        peak_activation_bytes=counts.total.peak_activation_bytes,
        hardware=None if profile.estimate is None else profile.estimate.hardware,
    )


def operator_table(profile: Profile) -> OperatorTable:
    """Return the totals of a profiled model by operator: calls, FLOPs, bytes and, with a machine, time and energy.

    Args:
        profile: A profile.

    Returns:
        The table, the operator with the largest share first.

    Raises:
        InputTypeError: It is no profile.

    Examples:
        >>> net = nn.Sequential(nn.Linear(784, 128), nn.ReLU(), nn.Linear(128, 10))
        >>> table = ic.operator_table(ic.profile(net, torch.empty(1, 784)))
        >>> [(row.op, row.calls) for row in table.rows]
        [('aten.linear', 2), ('aten.relu', 1)]
    """
    _check(profile)
    estimate = profile.estimate
    seconds: dict[str, float] = defaultdict(float)
    joules: dict[str, float | None] = defaultdict(float)
    for layer in () if estimate is None else estimate.layers:
        seconds[layer.op] += layer.latency_s
        known = joules[layer.op]
        joules[layer.op] = None if known is None or layer.energy_j is None else known + layer.energy_j
    whole_flops = profile.counts.total.flops
    rows = []
    for op, row in profile.counts.by_op().items():
        share = _ratio(row.flops, whole_flops) if estimate is None else _ratio(seconds[op], estimate.latency_s)
        rows.append(
            OperatorRow(
                op=op,
                calls=row.nodes,
                contraction_flops=row.contraction_flops,
                pointwise_flops=row.pointwise_flops,
                bytes_read=row.bytes_read,
                bytes_written=row.bytes_written,
                latency_s=None if estimate is None else seconds[op],
                energy_j=None if estimate is None or estimate.energy_j is None else joules[op],
                share=share,
                is_modelled=op not in profile.counts.unmodelled,
            )
        )
    rows.sort(key=lambda row: (-(row.share or 0.0), row.op))
    return OperatorTable(
        model=profile.model, rows=tuple(rows), hardware=None if estimate is None else estimate.hardware
    )


def _check(profile: object) -> None:
    if not isinstance(profile, Profile):
        raise InputTypeError(f"got a {type(profile).__name__}; expected a Profile, as `profile` returns it")


def _ratio(part: Any, whole: Any) -> float | None:
    if isinstance(part, Expr) or isinstance(whole, Expr):
        return None
    return part / whole if whole else 0.0


# ---- modules ---------------------------------------------------------------------------------------------------------


@dataclass
class _Shape:
    """What the operators of a module and those below it read and return."""

    read: tuple[Quantity, ...] | None = None
    made: tuple[Quantity, ...] | None = None
    kernel: tuple[Quantity, ...] | None = None
    activations: Any = 0
    busy: tuple[str, ...] = ()


def _paths(module: str) -> Iterator[str]:
    """Yield the paths of a module and those above it, the outermost first, without the model itself."""
    names = module.split(".") if module else []
    for count in range(1, len(names) + 1):
        yield ".".join(names[:count])


def _nested(paths: list[str]) -> list[str]:
    """Return paths in their order, each followed by those below it."""
    below: dict[str, list[str]] = defaultdict(list)
    known = set(paths)
    for path in paths:
        if path:
            above = path.rpartition(".")[0]
            while above and above not in known:
                above = above.rpartition(".")[0]
            below[above].append(path)
    found: list[str] = []
    waiting = [""]
    while waiting:
        path = waiting.pop()
        found.append(path)
        waiting += reversed(below[path])
    return found


def _shapes(profile: Profile) -> dict[str, _Shape]:
    """Return the shapes of each module in the forward."""
    shapes: dict[str, _Shape] = defaultdict(_Shape)
    made_in: dict[int, str] = {}
    rows = {layer.index: layer for layer in profile.counts.layers}
    for node in profile.graph.nodes:
        if node.phase != _FORWARD:
            continue
        operands, results = node.inputs, node.outputs
        layer = rows[node.index]
        for path in ("", *_paths(node.module)):
            shape = shapes[path]
            if shape.read is None:
                shape.read = next((each.shape for each in operands if _is_outside(each, path, made_in)), None)
            if results:
                shape.made = results[0].shape
            if not _is_idle(layer):
                shape.busy = (*shape.busy, node.op)[:2]
                shape.kernel = shape.kernel or _kernel(node)
            if layer.row.contraction_flops != 0:
                shape.activations += sum(prod(each.shape, start=1) for each in results[:1])
        made_in.update((each.index, node.module) for each in results)
    for shape in shapes.values():
        (shape.activations,) = _bound((shape.activations,), profile.sizes) or (0,)
    return shapes


def _is_outside(tensor: TensorInfo, path: str, made_in: Mapping[int, str]) -> bool:
    """Return whether a module reads a tensor that it did not make."""
    if tensor.role not in _READ:
        return False
    maker = made_in.get(tensor.index)
    return maker is None or (path not in ("", maker) and not maker.startswith(f"{path}."))


def _is_idle(layer: LayerRow) -> bool:
    row = layer.row
    return bool(layer.modelled and row.flops == 0 and row.bytes_read == 0 and row.bytes_written == 0)


def _kernel(node: NodeInfo) -> tuple[Quantity, ...] | None:
    """Return the window of a convolution, from its weight, or of a pooling, from its argument."""
    if "conv" in node.op:
        weight = node.operand("weight")
        shapes = [each.shape for each in node.inputs if each.index == weight]
        return shapes[0][2:] if shapes else None
    window = node.argument("kernel_size") if _POOLS in node.op else None
    if isinstance(window, (int, Expr)):
        return (window,)
    return tuple(window) if isinstance(window, (list, tuple)) else None


def _bound(shape: tuple[Quantity, ...] | None, sizes: Mapping[str, int]) -> tuple[Quantity, ...] | None:
    """Return a shape with the values of its sizes; lengths that depend on others stay expressions."""
    if shape is None:
        return None
    found: list[Quantity] = []
    for length in shape:
        known = isinstance(length, Expr) and all(name in sizes for name in length.names)
        found.append(length.evaluate(sizes) if isinstance(length, Expr) and known else length)
    return tuple(found)


def _own_parameters(whole: Mapping[str, CountRow]) -> dict[str, Quantity]:
    """Return the weights of each module without the weights of modules below it."""
    own: dict[str, Any] = {path: row.parameters for path, row in whole.items()}
    for path, row in whole.items():
        if path:
            above = path.rpartition(".")[0]
            if above in own:
                own[above] = own[above] - row.parameters
    return own


def _trainable(profile: Profile) -> dict[str, bool]:
    """Return whether the own weights of each module are of floating point."""
    found: dict[str, bool] = {}
    for tensor in profile.graph.tensors:
        if tensor.role == "parameter" and tensor.name:
            path = tensor.name.rpartition(".")[0]
            found[path] = found.get(path, False) or tensor.dtype.startswith(("float", "bfloat", "complex"))
    return found


def _latency(profile: Profile) -> dict[str, float] | None:
    """Return the seconds of each module with everything below it."""
    if profile.estimate is None:
        return None
    found: dict[str, float] = defaultdict(float)
    for layer in profile.estimate.layers:
        for path in ("", *_paths(layer.module)):
            found[path] += layer.latency_s
    return found
