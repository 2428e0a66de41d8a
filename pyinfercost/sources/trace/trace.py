"""Capture by running the module once on meta tensors: no weight is allocated, and the module is not changed."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from threading import get_ident
from typing import TYPE_CHECKING, Any, NamedTuple

from pyinfercost._core import Graph, GraphBuilder

from ..._checks import excerpt, shown
from ..symbols import CaptureError
from .writer import GraphWriter, source_of

if TYPE_CHECKING:
    import torch

    from ..symbols import SizeSpace
    from .expert_routing import Routing
    from .inputs import MetaInputs
    from .recorder import Recorder

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
    """Run `module(*args, **kwargs)` once on meta tensors and record every ATen call.

    Args:
        module: Any module. Its parameters, buffers, hooks and flags are the same afterwards.
        args: Positional inputs. Only dtypes, shapes and strides of tensors matter, except if the forward reads a value
            that follows from the inputs alone (`if mask.all()`), which is then computed from real inputs.
        kwargs: Named inputs. A tensor whose name starts with `past_key_value` is a KV cache.
        dynamic: Position or name of an input -> dimension -> name of the size. Dimensions with the same name are one
            size, which stays symbolic in the graph; the lengths of the example are its default. For a nested input, it
            applies to every tensor in it.
        model: Name of the graph.
        sizes: Values of sizes that depend on data (`{"roi_heads.nms": 100}`), at which the forward is captured. Others
            have their defaults: the upper bound, or equal shares for a choice among several.
        training: Whether to append the loss and its backward pass, for the graph of a training step without its
            optimizer. The module runs in its current mode.
        loss: Maps the module's result to a scalar; None takes its `loss` if it has one, else the sum of its
            floating-point tensors.

    Returns:
        The graph.

    Raises:
        CaptureError: The forward failed, needs the value of a tensor, or fixes a size in `dynamic`.
    """
    _require_python(module)
    name = model or type(module).__name__
    step = None
    if training:
        from .training import warn_of_evaluation

        warn_of_evaluation(module)
        step = _Step(loss)
    run = _run(module, args, dict(kwargs or {}), dynamic or {}, name, sizes or {}, step)
    found = _routings(run.recorder)
    used = run.sizes.finish([(routing.module, routing.bound) for routing in found])
    of_calls = {
        id(call): groups
        for routing, groups in zip(found, used, strict=True)
        for call in routing.calls
        if groups is not None
    }
    return GraphWriter(run.builder, run.sizes, run.recorder, of_calls).graph(
        module, run.weights, run.inputs, run.output, run.held
    )


def _require_python(module: torch.nn.Module) -> None:
    """Reject TorchScript, which its own interpreter runs: it does not take the meta tensors that stand for weights.

    Raises:
        CaptureError: The module or a part of it is TorchScript.
    """
    import torch

    for path, part in module.named_modules():
        if isinstance(part, torch.jit.ScriptModule):
            where = f"its part {shown(path)}" if path else "the module"
            raise CaptureError(
                f"{where} is TorchScript ({type(part).__name__}), which cannot be captured; pass the module that it "
                "was made from, or a program: torch.export.export(module, inputs)"
            )


def _routings(recorder: Recorder) -> list[Routing]:
    if not recorder.grouped_ops:
        return []
    from .expert_routing import routings

    return routings(recorder.calls)


def output_on_meta(module: torch.nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    """Return the result of `module(*args, **kwargs)` as `trace_graph` runs it, with meta tensors.

    Raises:
        CaptureError: As for `trace_graph`.
    """
    return _run(module, args, dict(kwargs), {}, type(module).__name__, {}).output


class _Step(NamedTuple):
    """Settings that turn a forward into a training step."""

    loss: Callable[[Any], Any] | None


class _Run(NamedTuple):
    """Results of one run on meta tensors.

    Attributes:
        builder: Builder of the graph.
        sizes: Its named sizes.
        recorder: The recorded calls.
        weights: Meta twins of the weights, by name.
        inputs: The inputs on meta.
        output: Result of the module.
        held: Tensors that were alive when it returned.
    """

    builder: GraphBuilder
    sizes: SizeSpace
    recorder: Recorder
    weights: dict[str, torch.Tensor]
    inputs: MetaInputs
    output: Any
    held: list[torch.Tensor]


def _run(
    module: torch.nn.Module,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    dynamic: Dynamic,
    name: str,
    given: Mapping[str, int],
    step: _Step | None = None,
) -> _Run:
    """Run the module as cheaply as possible: most forwards need neither values nor sizes that depend on data."""
    from ..symbols import NeedsOpenSizesError

    try:
        return _one_run(module, args, kwargs, dynamic, name, given, step=step, with_values=False, of_data=False)
    except CaptureError as error:
        if not _asks_for_values(str(error)):
            raise
    except NeedsOpenSizesError:
        pass
    # The first run computes requested values from the record. If that is not possible (in-place writes, tensors made
    # from numbers on the device of an input), the second run also executes every call that has values.
    try:
        return _one_run(module, args, kwargs, dynamic, name, given, step=step, with_values=True, of_data=False)
    except NeedsOpenSizesError:
        pass  # continue with symbolic integers from the start, which is slower
    except CaptureError as error:
        # `tolist` is not an operator and fails without a dispatch; it works once sizes may depend on data.
        if "Cannot copy out of meta tensor" not in str(error.__cause__):
            raise
    return _one_run(module, args, kwargs, dynamic, name, given, step=step, with_values=True, of_data=True)


def _one_run(
    module: torch.nn.Module,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    dynamic: Dynamic,
    name: str,
    given: Mapping[str, int],
    *,
    with_values: bool,
    of_data: bool,
    step: _Step | None,
) -> _Run:
    import torch

    from ..symbols import SizeSpace
    from ..tensors.packed_weights import PackedWeights
    from ..torch_state import (
        allow_autocast_off_on_meta,
        as_it_was,
        isolate_lru_caches,
        uncompiled,
        without_fast_path,
    )
    from .composite_operators import taken_apart
    from .constants import Constants
    from .inputs import meta_inputs, stand_in
    from .recorder import Recorder

    builder = GraphBuilder(name)
    sizes = SizeSpace(builder, given, of_data=of_data)
    # Created in inference mode, like everything computed from them: torch keeps no view versions for such tensors, so
    # one result can replace another.
    with _gradients(step is not None):
        inputs = meta_inputs(args, kwargs, dynamic, sizes)
        packed = PackedWeights(module)
        weights, certain = stand_in(module, with_numbers=bool(packed.all))
    given_values = inputs.given | certain
    recorder, runs = Recorder(given_values, sizes, packed, follows=with_values), module
    if step is not None:
        from .training import TrainingRecorder, TrainingStep

        owners = {id(tensor): name.rpartition(".")[0] for name, tensor in reversed(weights.items())}
        recorder = TrainingRecorder(given_values, sizes, packed, follows=with_values, owners=owners)
        runs = TrainingStep(module, step.loss, recorder)
    try:
        with (
            as_it_was(module),
            isolate_lru_caches(module),
            _gradients(step is not None),
            torch.random.fork_rng(devices=[]),
            without_fast_path(),
            uncompiled(),
            allow_autocast_off_on_meta(),
            sizes.dispatching(),
            taken_apart() if step is not None and sizes.symbolic else contextlib.nullcontext(),
            _module_paths(module, recorder),
            recorder.handed.running(),
            recorder.mode(),
            Constants(recorder) if with_values else contextlib.nullcontext(),
        ):
            # A copy, because torch writes back what a forward assigns to buffers. Names already reflect ties.
            named = {f"module.{name}" if step is not None else name: tensor for name, tensor in weights.items()}
            output = torch.func.functional_call(runs, named, inputs.args, _given_up(inputs.kwargs), tie_weights=False)
            if step is not None:
                output = [output, *_gradients_of([*weights.values(), *(tensor for _, tensor in inputs.tensors)])]
            held = recorder.handed.held()
    except CaptureError:
        raise  # its message is complete
    except Exception as error:
        raise _explained(error, recorder) from error
    return _Run(builder, sizes, recorder, weights, inputs, output, held)


def _given_up(kwargs: dict[str, Any]) -> dict[str, Any]:
    """Return named inputs whose KV caches are held by their container only."""
    import torch

    from .inputs import is_cache
    from .lifetimes import given_up

    return {
        name: value
        if isinstance(value, torch.Tensor) or not is_cache(name)
        else torch.utils._pytree.tree_map_only(torch.Tensor, given_up, value)
        for name, value in kwargs.items()
    }


def _gradients_of(tensors: list[torch.Tensor]) -> list[torch.Tensor]:
    return list({id(t): t.grad for t in tensors if t.requires_grad and t.grad is not None}.values())


@contextlib.contextmanager
def _gradients(kept: bool) -> Iterator[None]:
    """Enter inference mode, or grad mode regardless of the caller's mode."""
    import torch

    with torch.inference_mode(not kept), torch.set_grad_enabled(kept):
        yield


@contextlib.contextmanager
def _module_paths(module: torch.nn.Module, recorder: Recorder) -> Iterator[None]:
    """Keep `recorder.module` at the path of the innermost running submodule, through torch's global hooks."""
    from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook

    names = {id(m): name for name, m in module.named_modules()}
    thread = get_ident()  # global hooks are called for modules of all threads

    def enter(entered: torch.nn.Module, _: Any) -> None:
        if get_ident() == thread:
            recorder.enter(names.get(id(entered)))

    def leave(_: torch.nn.Module, __: Any, ___: Any) -> None:
        if get_ident() == thread:
            recorder.leave()

    # A forward that a checkpoint recomputes in backward ends with an exception as soon as it has its results.
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
    after = f", after {len(recorder.calls)} calls, the last of them {last.op} at {source_of(last)}" if last else ""
    # For an operator without a kernel, torch lists all backends after an empty line.
    text = f"{type(error).__name__}: {str(error).partition(_NO_KERNEL)[0].rstrip()}"
    if _asks_for_values(text):
        advice = (
            "; a capture has the shapes of tensors, and values only if they follow from real inputs alone. For a value "
            "of an input, pass real tensors and leave their sizes out of dynamic. For a value that depends on weights, "
            "choose the branch yourself, as a Python argument or attribute, or use torch.where"
        )
    else:
        advice = "; expected a forward that runs on these inputs (check their number, names and shapes)"
    return CaptureError(f"capture stopped{where}{after}: {excerpt(text, most=_LONGEST)}{advice}")


def _asks_for_values(text: str) -> bool:
    return any(word in text for word in _ABOUT_VALUES)


_LONGEST = 4_000  # characters of another library's message
_NO_KERNEL = "\n\nCPU: registered at"
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
    "type tensor to numpy",
    "device='meta'",  # a string that contains a meta tensor, such as the key of an expert
)
