"""Capture by running the module once on meta tensors: no weight is allocated, nothing of the module is changed."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable, Iterator, Mapping
from threading import get_ident
from typing import TYPE_CHECKING, Any, NamedTuple

from pyinfercost._core import Expr, Graph, GraphBuilder, TensorId

from .symbols import CaptureError

if TYPE_CHECKING:
    import torch

    from .calls import Call
    from .recorder import Recorder
    from .symbols import SizeSpace

Dynamic = Mapping[int | str, Mapping[int, str]]


def trace_graph(
    module: torch.nn.Module,
    args: tuple[Any, ...] = (),
    kwargs: Mapping[str, Any] | None = None,
    dynamic: Dynamic | None = None,
    *,
    model: str = "",
    sizes: Mapping[str, int] | None = None,
    training: bool = False,
    loss: Callable[[Any], Any] | None = None,
) -> Graph:
    """Runs `module(*args, **kwargs)` once on meta tensors and records every ATen call.

    Args:
        module: Any module. Its parameters, buffers, hooks and flags are the same afterwards.
        args: Positional inputs. Only dtypes, shapes and strides of tensors matter, except that a forward may ask for a
            value that follows from the inputs alone (`if mask.all()`): it is then computed from real inputs.
        kwargs: Named inputs. A tensor under a name that starts with `past_key_value` is a KV cache.
        dynamic: Position or name of an input -> dimension -> name of the size. Dimensions with one name are one size,
            kept open in the graph; the lengths of the example are its default. For a nested input it holds for every
            tensor in it.
        model: A name for the graph.
        sizes: Values of sizes that depend on data (`{"roi_heads.nms": 100}`): the forward is captured at these. The
            others are at their defaults: as many as there can be, or equal shares where one of several is chosen.
        training: Whether the loss and its backward follow, so that the graph is that of a training step without its
            optimizer. The module runs in the mode that it is in.
        loss: From what the module returned to a scalar; None takes its `loss` if it has one, else the sum of its
            floating tensors.

    Raises:
        CaptureError: The forward failed, or needs the value of a tensor, or fixes a size that was to stay open.
    """
    name = model or type(module).__name__
    step = None
    if training:
        from .training import warn_of_evaluation

        warn_of_evaluation(module)
        step = _Step(loss)
    run = _run(module, args, dict(kwargs or {}), dynamic or {}, name, sizes or {}, step)
    run.sizes.finish()
    return _Writer(run.builder, run.sizes, run.recorder).graph(module, run.weights, run.inputs, run.output, run.held)


def output_on_meta(module: torch.nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    """What `module(*args, **kwargs)` returns, as `trace_graph` runs it: with meta tensors in the place of results.

    Raises:
        CaptureError: as for `trace_graph`.
    """
    return _run(module, args, dict(kwargs), {}, type(module).__name__, {}, None).output


class _Step(NamedTuple):
    """What follows the forward: backward from a loss of what the module returned."""

    loss: Callable[[Any], Any] | None


class _Run(NamedTuple):
    """What one run on meta tensors left.

    Attributes:
        builder: of the graph.
        sizes: its named sizes.
        recorder: its calls.
        weights: the twins of the weights, by name.
        inputs: the meta tensors that were given, with names.
        output: what the module returned.
        held: tensors that were alive when it returned.
    """

    builder: GraphBuilder
    sizes: SizeSpace
    recorder: Recorder
    weights: dict[str, torch.Tensor]
    inputs: list[tuple[str, torch.Tensor]]
    output: Any
    held: list[torch.Tensor]


def _run(
    module: torch.nn.Module,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    dynamic: Dynamic,
    name: str,
    given: Mapping[str, int],
    step: _Step | None,
) -> _Run:
    """The cheapest run that serves: most forwards need neither values nor sizes that depend on data."""
    from .symbols import NeedsOpenSizesError

    try:
        return _one_run(module, args, kwargs, dynamic, name, given, step, with_values=False, of_data=False)
    except CaptureError as error:
        if not _asks_for_values(str(error)):
            raise
    except NeedsOpenSizesError:
        pass
    # The first run goes back for the few values that are asked for. Where that is not enough (writes in place, tensors
    # made from numbers on the device of an input), the second carries every call out that has values.
    try:
        return _one_run(module, args, kwargs, dynamic, name, given, step, with_values=True, of_data=False)
    except NeedsOpenSizesError:
        pass  # with symbolic integers from the start, which are slower
    return _one_run(module, args, kwargs, dynamic, name, given, step, with_values=True, of_data=True)


def _one_run(
    module: torch.nn.Module,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    dynamic: Dynamic,
    name: str,
    given: Mapping[str, int],
    step: _Step | None,
    *,
    with_values: bool,
    of_data: bool,
) -> _Run:
    import torch

    from .autocast import autocast_of_meta_tensors
    from .constants import Constants
    from .inputs import meta_inputs, stand_in
    from .packed_weights import PackedWeights
    from .recorder import Recorder
    from .symbols import SizeSpace
    from .values import Values

    builder = GraphBuilder(name)
    sizes = SizeSpace(builder, given, of_data=of_data)
    # Made in inference mode, as everything computed from them is: torch keeps no versions of views of such tensors, so
    # that one result can stand for another.
    with _gradients(step is not None):
        inputs = meta_inputs(args, kwargs, dynamic, sizes)
        packed = PackedWeights(module)
        weights, certain = stand_in(module, with_numbers=bool(packed.all))
    values = Values(inputs.given | certain, followed=with_values)
    runs, named = module, dict(weights)  # a copy, because torch writes back what a forward assigns to buffers
    if step is None:
        recorder = Recorder(values, sizes, packed, follows=with_values)
    else:
        from .training import TrainingRecorder, TrainingStep

        owners = {id(tensor): name.rpartition(".")[0] for name, tensor in reversed(weights.items())}
        recorder = TrainingRecorder(values, sizes, packed, follows=with_values, owners=owners)
        runs = TrainingStep(module, step.loss, recorder)
        named = {f"module.{name}": tensor for name, tensor in weights.items()}
    try:
        with (
            _as_it_was(module),
            _gradients(step is not None),
            torch.random.fork_rng(devices=[]),
            _without_fast_path(),
            autocast_of_meta_tensors(),
            sizes.dispatching(),
            _module_paths(module, recorder),
            recorder.mode(),
            Constants(recorder) if with_values else contextlib.nullcontext(),
        ):
            # Ties are in the names already.
            output = torch.func.functional_call(runs, named, inputs.args, inputs.kwargs, tie_weights=False)
            held = recorder.handed.held()
    except CaptureError:
        raise  # it says all
    except Exception as error:
        raise _explained(error, recorder) from error
    if step is not None:
        wanted = [*weights.values(), *(tensor for _, tensor in inputs.tensors)]
        output = [output, *{id(t): t.grad for t in wanted if t.requires_grad and t.grad is not None}.values()]
    return _Run(builder, sizes, recorder, weights, inputs.tensors, output, held)


@contextlib.contextmanager
def _gradients(kept: bool) -> Iterator[None]:
    """Inference mode, or grad mode whatever mode the caller is in."""
    import torch

    with torch.inference_mode(not kept), torch.set_grad_enabled(kept):
        yield


@contextlib.contextmanager
def _as_it_was(module: torch.nn.Module) -> Iterator[None]:
    """Undoes what a forward does to its module's attributes: a result that it keeps, a table that it registers.

    Random numbers that it draws from Python and from numpy are put back too.
    """
    import numpy as np

    kept: list[tuple[Any, Any]] = [
        (values, values.copy())
        for part in module.modules()
        for values in (
            vars(part),
            part._parameters,
            part._buffers,
            part._modules,
            part._non_persistent_buffers_set,
            part._forward_hooks,  # a library may install its own in the first forward
            part._forward_pre_hooks,
            part._forward_hooks_with_kwargs,
            part._forward_pre_hooks_with_kwargs,
        )
    ]
    drawn, drawn_by_numpy = random.getstate(), np.random.get_state()  # noqa: NPY002 - the one that a forward draws from
    try:
        yield
    finally:
        random.setstate(drawn)
        np.random.set_state(drawn_by_numpy)  # noqa: NPY002
        for values, before in kept:
            for name in [name for name in values if name not in before]:
                if isinstance(values, dict):
                    del values[name]
                else:
                    values.discard(name)
            values.update(before)


@contextlib.contextmanager
def _without_fast_path() -> Iterator[None]:
    """`nn.MultiheadAttention` has a fused CPU path that hides its products; the one counted is the general one."""
    import torch

    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(before)


@contextlib.contextmanager
def _module_paths(module: torch.nn.Module, recorder: Recorder) -> Iterator[None]:
    """Keeps `recorder.module` at the path of the innermost running submodule, through torch's global hooks."""
    from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook

    names = {id(m): name for name, m in module.named_modules()}
    thread = get_ident()  # the hooks are called for the modules of all threads

    def enter(entered: torch.nn.Module, _: Any) -> None:
        if get_ident() == thread:
            recorder.enter(names.get(id(entered)))

    def leave(_: torch.nn.Module, __: Any, ___: Any) -> None:
        if get_ident() == thread:
            recorder.leave()

    # A forward that is run again in backward, for a checkpoint, ends by an exception as soon as it has what it needs.
    hooks = (
        register_module_forward_pre_hook(enter),
        register_module_forward_hook(leave, always_call=recorder.ends_by_exceptions),
    )
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _explained(error: Exception, recorder: Recorder) -> CaptureError:
    module = recorder.failed_in(error)
    where = f" in module {module!r}" if module else ""
    last = recorder.calls[-1] if recorder.calls else None
    after = f", after {len(recorder.calls)} calls, the last of them {last.op} at {_source(last)}" if last else ""
    text = f"{type(error).__name__}: {error}"
    if _asks_for_values(text):
        advice = (
            "; a capture has shapes, and values only where they follow from real inputs: pass real tensors and leave "
            "their sizes out of dynamic, or give such values as Python numbers"
        )
    else:
        advice = "; expected a forward that runs on these inputs (check their number, names and shapes)"
    return CaptureError(f"capture stopped{where}{after}: {text}{advice}")


def _asks_for_values(text: str) -> bool:
    return any(word in text for word in _ABOUT_VALUES)


def _source(call: Call) -> str:
    if call.source is None:
        return ""
    code, line = call.source
    return f"{code.co_filename.replace(chr(92), '/').rpartition('/')[2]}:{line}"


class _Writer:
    """Turns recorded calls into nodes."""

    def __init__(self, builder: GraphBuilder, sizes: SizeSpace, recorder: Recorder) -> None:
        self._builder = builder
        self._sizes = sizes
        self._recorder = recorder
        self._tensors: dict[int, TensorId] = {}
        self._last_node: list[int] = []  # for each call, the last node so far
        self._declared = 0
        self._names: dict[Any, list[str]] = {}
        self._metadata: dict[Any, tuple[str, list[Any], list[Any] | None]] = {}

    def graph(
        self,
        module: torch.nn.Module,
        weights: Mapping[str, torch.Tensor],
        inputs: Any,
        output: Any,
        held: list[torch.Tensor],
    ) -> Graph:
        from .tensor_parts import PLAIN, parts_of

        for role, named in (("parameter", module.named_parameters()), ("buffer", module.named_buffers())):
            for name, _ in named:
                weight = weights[name]
                if type(weight) in PLAIN:
                    self._declare(weight, role, name)
                    continue
                for part in parts_of(name, weight):
                    self._declare(part.tensor, role, part.name, part.stands_for)
        for packed in self._recorder.packed.all:
            for part in packed.parts():
                self._declare(part.tensor, "parameter", part.name, part.stands_for)
        given = [
            self._declare(t, "kv_cache" if name.startswith("past_key_value") else "input", name) for name, t in inputs
        ]
        backward_from = self._recorder.backward_from
        for index, call in enumerate(self._recorder.calls):
            self._node(call, "forward" if backward_from is None or index < backward_from else "backward")
        results: list[TensorId] = []
        self._collect(output, results)
        return self._builder.build(given, results, held_until=self._held_until(held))

    def _held_until(self, held: list[torch.Tensor]) -> list[int | None] | None:
        """For each tensor the last node that ran before the model let go of it."""
        released = self._recorder.handed.released
        if not self._recorder.handed.observes or not self._last_node or self._last_node[-1] < 0:
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

    def _node(self, call: Call, phase: str) -> None:
        import torch

        if call.op is torch.ops.aten.detach.default and self._recorder.backward_from is not None:
            # How autograd notes what it saves: no call of a real step, which keeps the tensor itself.
            self._tensors[id(call.result)] = self._tensor(call.args[0], "constant")
            self._last_node.append(self._last_node[-1] if self._last_node else -1)
            return
        names = self._names.get(call.op)
        if names is None:
            names = self._names[call.op] = [a.name for a in call.op._schema.arguments]
        named: Any = zip(names, call.args, strict=False)
        if call.op in self._recorder.packed_ops:
            named = self._recorder.packed.arguments(named)
        arguments = {name: self._argument(value) for name, value in named}
        for name, value in call.kwargs.items():
            arguments[name] = self._argument(value)
        first = id(call.args[0]) if call.args else 0
        if first in self._recorder.earlier and torch.Tag.inplace_view in call.op.tags:
            self._recorder.earlier[first].pop(0)
            del self._tensors[first]
        outputs: list[TensorId] = []
        self._collect(call.result, outputs)
        if outputs:
            node = self._builder.node(
                str(call.op), arguments, outputs, module=call.module, source=_source(call), phase=phase
            )
            self._last_node.append(node)
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
        return None  # devices, layouts, generators: where a tensor lives, never how much work it is

    def _collect(self, value: Any, into: list[TensorId]) -> None:
        import torch

        if isinstance(value, torch.Tensor):
            into.append(self._tensor(value, "activation"))
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
        return known if known is not None else self._declare(tensor, role, "")

    def _declare(self, tensor: torch.Tensor, role: str, name: str, stands_for: int | None = None) -> TensorId:
        known = self._tensors.get(id(tensor))
        if known is not None:  # tied weights, or one tensor passed twice
            return known
        dtype, shape, strides = self._described(tensor)
        declared = self._builder.tensor(dtype, shape, strides=strides, role=role, name=name, stands_for=stands_for)
        self._declared += 1
        self._tensors[id(tensor)] = declared
        return declared

    def _described(self, tensor: torch.Tensor) -> tuple[str, list[Any], list[Any] | None]:
        import torch

        earlier = self._recorder.earlier.get(id(tensor))
        try:
            key = earlier[0] if earlier else self._recorder.signature(tensor)
        except TypeError:  # more than plain metadata: complex, sparse, a subclass
            strides = list(tensor.stride()) if tensor.layout is torch.strided else None
            return _described(self._sizes, tensor.dtype, list(tensor.shape), strides)
        found = self._metadata.get(key)
        if found is None:
            dtype, _, shape, strides = self._recorder.metadata(key)
            found = self._metadata[key] = _described(self._sizes, dtype, shape, strides)
        return found


def _described(sizes: SizeSpace, dtype: Any, shape: Any, strides: Any) -> tuple[str, list[Any], list[Any] | None]:
    def lengths(values: Any) -> list[int | Expr]:
        return [v if type(v) is int else sizes.expression(v) for v in values]

    return str(dtype).removeprefix("torch."), lengths(shape), None if strides is None else lengths(strides)


_ABOUT_VALUES = (
    "item()",
    "_local_scalar_dense",
    "data-dependent",
    "is_nonzero",
    "value of a tensor",
    "unallocated storage",
    "without output_size",
    "torch.nonzero()",
    "out of meta tensor",
    "meta tensors",
)
_PLAIN = frozenset({int, float, bool, str, type(None)})
_NOT_CONTAINERS = frozenset({"builtins", "torch", "sympy"})
