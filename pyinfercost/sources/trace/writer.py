"""Conversion of recorded calls to the nodes and tensors of a Graph."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from pyinfercost._core import Expr, Graph, GraphBuilder, TensorId

if TYPE_CHECKING:
    import torch

    from ..symbols import SizeSpace
    from .calls import Call
    from .inputs import MetaInputs
    from .record import Record


def source_of(call: Call) -> str:
    """Return file and line of a call, `resnet.py:268`; empty if unknown."""
    if call.source is None:
        return ""
    code, line = call.source
    return f"{code.co_filename.replace(chr(92), '/').rpartition('/')[2]}:{line}"


class GraphWriter:
    """Converts recorded calls to nodes."""

    def __init__(
        self,
        builder: GraphBuilder,
        sizes: SizeSpace,
        recorder: Record,
        groups_used: Mapping[int, Expr] | None = None,  # id of a call -> number of groups of its product with rows
    ) -> None:
        self._builder = builder
        self._groups_used = groups_used or {}
        self._sizes = sizes
        self._recorder = recorder
        self._tensors: dict[int, TensorId] = {}
        self._last_node: list[int] = []  # per call, the last node so far
        self._declared = 0
        self._names: dict[Any, list[str]] = {}
        self._cache_names: dict[int, str] = {}  # by id of a tensor in a cache among the results
        self._metadata: dict[Any, tuple[str, list[Any], list[Any] | None]] = {}

    def graph(
        self,
        module: torch.nn.Module,
        weights: Mapping[str, torch.Tensor],
        inputs: MetaInputs,
        output: Any,
        held: list[torch.Tensor],
    ) -> Graph:
        from ..tensors.tensor_parts import PLAIN, parts_of
        from .inputs import is_cache

        for role, named in (("parameter", module.named_parameters()), ("buffer", module.named_buffers())):
            for name, _ in named:
                weight = weights[name]
                if type(weight) in PLAIN:
                    self._declare(weight, role, name)
                    continue
                for part in parts_of(name, weight):
                    self._declare(part.tensor, role, part.name, part.logical_numel)
        for packed in self._recorder.packed.all:
            for part in packed.parts():
                self._declare(part.tensor, "parameter", part.name, part.logical_numel)
        given = [
            self._declare(part.tensor, "kv_cache" if is_cache(name) else "input", part.name, part.logical_numel, held)
            for name, tensor in inputs.tensors
            for held in [inputs.storage_elements.get(id(tensor))]
            for part in parts_of(name, tensor)
        ]
        for name, tensor in _cached(output):
            self._cache_names[id(self._recorder.handed.twin(tensor))] = name
        backward_from = self._recorder.backward_from
        for index, call in enumerate(self._recorder.calls):
            self.node(call, "forward" if backward_from is None or index < backward_from else "backward")
        results: list[TensorId] = []
        self._collect(output, results)
        return self._builder.build(given, results, held_until=self._held_until(held))

    def _held_until(self, held: list[torch.Tensor]) -> list[int | None] | None:
        """Return for each tensor the last node before the model freed it."""
        released = self._recorder.handed.released
        if not self._last_node or self._last_node[-1] < 0:
            return None
        until: list[int | None] = [None] * self._declared
        at = 0
        node = 0
        for call, last in zip(self._recorder.calls, self._last_node, strict=True):
            while at < call.released:
                self._hold(until, released[at].twin, node)
                at += 1
            node = max(0, last)
        for handed in released[at:]:
            self._hold(until, handed.twin, node)
        for tensor in held:
            self._hold(until, tensor, node)
        return until

    def _hold(self, until: list[int | None], tensor: torch.Tensor, node: int) -> None:
        known = self._tensors.get(id(tensor))
        if known is not None:
            until[known.index] = node

    def node(self, call: Call, phase: str = "forward") -> None:
        """Add one call."""
        import torch

        names = self._names.get(call.op)
        if names is None:
            names = self._names[call.op] = [a.name for a in call.op._schema.arguments]
        named: Any = zip(names, call.args, strict=False)
        if call.op in self._recorder.packed_ops:
            named = self._recorder.packed.arguments(named)
        arguments = {name: self._argument(value) for name, value in named}
        for name, value in call.kwargs.items():
            arguments[name] = self._argument(value)
        if id(call) in self._groups_used:
            arguments["groups_used"] = self._groups_used[id(call)]
        first = id(call.args[0]) if call.args else 0
        if first in self._recorder.signatures.earlier and torch.Tag.inplace_view in call.op.tags:
            self._recorder.signatures.earlier[first].pop(0)
            del self._tensors[first]
        outputs: list[TensorId] = []
        self._collect(call.result, outputs)
        if not outputs and call.op._schema.is_mutable:  # the written tensors are the only results
            written = [a.alias_info is not None and a.alias_info.is_write for a in call.op._schema.arguments]
            self._collect([v for v, changed in zip(call.args, written, strict=False) if changed], outputs)
        if outputs:
            where: Any = {"module": call.module, "source": source_of(call), "phase": phase}
            self._last_node.append(self._builder.node(str(call.op), arguments, outputs, **where))
        else:
            self._last_node.append(self._last_node[-1] if self._last_node else -1)

    def _argument(self, value: Any) -> Any:
        import torch

        kind = type(value)
        if kind in _PLAIN:
            return value
        if isinstance(value, torch.Tensor):
            return self._tensor(value, "constant")
        if kind is list or kind is tuple:
            return [self._argument(v) for v in value]
        if kind is torch.SymInt:
            return self._sizes.expression(value)
        if kind is torch.dtype:
            return str(value).removeprefix("torch.")
        return None  # devices, layouts, generators: irrelevant for the work

    def _collect(self, value: Any, into: list[TensorId]) -> None:
        import torch

        if type(value) is torch.Tensor:
            into.append(self._tensor(value, "activation"))
        elif isinstance(value, torch.Tensor):
            from ..tensors.tensor_parts import parts_of

            into += [self._tensor(part.tensor, "activation") for part in parts_of("", value)]
        elif isinstance(value, list | tuple):
            for item in value:
                self._collect(item, into)
        elif isinstance(value, Mapping):
            for item in value.values():
                self._collect(item, into)
        elif type(value).__module__.partition(".")[0] not in _NOT_CONTAINERS and hasattr(value, "__dict__"):
            for item in vars(value).values():  # a cache object among the outputs
                self._collect(item, into)

    def _tensor(self, tensor: torch.Tensor, role: str) -> TensorId:
        tensor = self._recorder.handed.twin(tensor)
        known = self._tensors.get(id(tensor))
        if known is not None:
            return known
        return self._declare(tensor, role, self._cache_names.get(id(tensor), ""))

    def _declare(
        self,
        tensor: torch.Tensor,
        role: str,
        name: str,
        logical_numel: int | None = None,
        storage_elements: int | None = None,
    ) -> TensorId:
        known = self._tensors.get(id(tensor))
        if known is not None:  # tied weights, or one tensor passed twice
            return known
        dtype, shape, strides = self._described(tensor)
        declared = self._builder.tensor(
            dtype,
            shape,
            strides=strides,
            role=role,
            name=name,
            logical_numel=logical_numel,
            storage_elements=storage_elements,
        )
        self._declared += 1
        self._tensors[id(tensor)] = declared
        return declared

    def _described(self, tensor: torch.Tensor) -> tuple[str, list[Any], list[Any] | None]:
        import torch

        earlier = self._recorder.signatures.earlier.get(id(tensor))
        try:
            key = earlier[0] if earlier else self._recorder.signatures.of(tensor)
        except TypeError:  # more than plain metadata: complex, sparse, a subclass
            strides = list(tensor.stride()) if tensor.layout is torch.strided else None
            return _described(self._sizes, tensor.dtype, list(tensor.shape), strides)
        found = self._metadata.get(key)
        if found is None:
            dtype, _, shape, strides = self._recorder.signatures.metadata(key)
            found = self._metadata[key] = _described(self._sizes, dtype, shape, strides)
        return found


def _described(sizes: SizeSpace, dtype: Any, shape: Any, strides: Any) -> tuple[str, list[Any], list[Any] | None]:
    lengths = [v if type(v) is int else sizes.expression(v) for v in shape]
    steps = None if strides is None else [v if type(v) is int else sizes.stride(v) for v in strides]
    return str(dtype).removeprefix("torch."), lengths, steps


def _cached(output: Any) -> Iterator[tuple[str, torch.Tensor]]:
    """Yield the tensors of caches among the results of a forward, with the names that they have as inputs."""
    if isinstance(output, Mapping):
        for key, value in output.items():
            if str(key).startswith(_CACHES):
                yield from _leaves(_CACHE_NAME, value)
            else:
                yield from _cached(value)
    elif isinstance(output, list | tuple):
        for value in output:
            yield from _cached(value)
    elif "Cache" in type(output).__name__:
        yield from _leaves(_CACHE_NAME, output)


def _leaves(name: str, value: Any) -> Iterator[tuple[str, torch.Tensor]]:
    import torch

    if isinstance(value, torch.Tensor):
        yield name, value
        return
    if isinstance(value, Mapping):
        parts: Any = value.items()
    elif isinstance(value, list | tuple):
        parts = enumerate(value)
    elif type(value).__module__.partition(".")[0] in _NOT_CONTAINERS or not hasattr(value, "__dict__"):
        return
    else:
        parts = vars(value).items()
    for key, part in parts:
        word = str(key).lstrip("_")
        yield from _leaves(name if word == "layers" else f"{name}_{word}", part)


_CACHE_NAME = "past_key_values"
_CACHES = ("past_key_value", "cache")  # names of results
_PLAIN = frozenset({int, float, bool, str, type(None)})
_NOT_CONTAINERS = frozenset({"builtins", "torch", "sympy"})
