"""Capture by running the module once on meta tensors: no weight is allocated, and the module is not changed."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from threading import get_ident
from typing import TYPE_CHECKING, Any, NamedTuple

from pyinfercost._core import Graph, GraphBuilder

from ..._checks import excerpt, shown
from ..symbols import CaptureError
from .attempts import Attempt, Gradients, asks_for_values
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
    """Run the module as cheaply as possible, and again with the settings that a failure asks for."""
    from ..symbols import NeedsOpenSizesError
    from ..torch_state import replaceable

    attempt = Attempt(gradients=Gradients.NEVER if step is None else Gradients.EVERYWHERE)
    while True:
        replaced = replaceable()
        try:
            return _one_run(module, args, kwargs, dynamic, name, given, step=step, attempt=attempt)
        except NeedsOpenSizesError:
            attempt = attempt.with_open_sizes()
        except CaptureError as error:
            following = attempt.after(str(error), str(error.__cause__ or ""))
            if following is None and replaceable() == replaced:
                raise
            attempt = following or attempt


def _one_run(
    module: torch.nn.Module,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    dynamic: Dynamic,
    name: str,
    given: Mapping[str, int],
    *,
    step: _Step | None,
    attempt: Attempt,
) -> _Run:
    import torch

    from ..symbols import SizeSpace
    from ..tensors.packed_weights import PackedWeights
    from ..torch_state import (
        allow_autocast_off_on_meta,
        as_it_was,
        function_modes,
        initialized_apart,
        isolate_lru_caches,
        uncompiled,
        without_fast_path,
    )
    from .composite_operators import taken_apart
    from .constants import Constants
    from .inputs import meta_inputs, stand_in
    from .one_device import OneDevice
    from .recorder import Recorder

    builder = GraphBuilder(name)
    sizes = SizeSpace(builder, given, of_data=attempt.of_data)
    # Created in inference mode, like everything computed from them: torch keeps no view versions for such tensors, so
    # one result can replace another.
    with _recording(attempt.gradients):
        inputs = meta_inputs(args, kwargs, dynamic, sizes)
        packed = PackedWeights(module)
        weights, certain = stand_in(module, with_numbers=bool(packed.all))
    given_values = inputs.given | certain
    runs, differentiates = module, attempt.gradients is not Gradients.NEVER
    recorder = Recorder(given_values, sizes, packed, attempt.with_values, attempt.one_device)
    if differentiates:
        from .fused_operators import fused_operators
        from .training import TrainingRecorder, TrainingStep

        owners = {id(tensor): name.rpartition(".")[0] for name, tensor in reversed(weights.items())}
        recorder = of_step = TrainingRecorder(
            given_values, sizes, packed, attempt.with_values, attempt.one_device, owners=owners
        )
        if step is not None:
            runs = TrainingStep(module, step.loss, of_step)
    modes: list[Any] = [Constants(recorder)] if attempt.with_values else []
    modes += [OneDevice(recorder.handed)] if attempt.one_device else []
    try:
        with (
            as_it_was(module),
            initialized_apart(module),
            isolate_lru_caches(module),
            _recording(attempt.gradients),
            torch.random.fork_rng(devices=[]),
            without_fast_path(),
            uncompiled(),
            allow_autocast_off_on_meta(),
            sizes.dispatching(),
            taken_apart() if differentiates and sizes.symbolic else contextlib.nullcontext(),
            fused_operators() if differentiates else contextlib.nullcontext(),
            _module_paths(module, recorder),
            recorder.handed.running(),
            recorder.mode(),
            function_modes(*modes),
        ):
            # A copy, because torch writes back tensors that a forward assigns to buffers. Names already reflect ties.
            named = {f"module.{name}" if step is not None else name: tensor for name, tensor in weights.items()}
            output = torch.func.functional_call(runs, named, inputs.args, _given_up(inputs.kwargs), tie_weights=False)
            if step is not None:
                output = [output, *_gradients_of([*weights.values(), *(tensor for _, tensor in inputs.tensors)])]
            held = recorder.handed.held()
    except CaptureError:
        raise  # its message is complete
    except Exception as error:
        raise _explained(error, recorder) from error
    _require_shapes(weights)
    return _Run(builder, sizes, recorder, weights, inputs, output, held)


def _require_shapes(weights: Mapping[str, torch.Tensor]) -> None:
    """Reject weights of lazy modules that no call has given a shape.

    Raises:
        CaptureError: A lazy module did not run.
    """
    from torch.nn.parameter import is_lazy

    lazy = next((name for name, weight in weights.items() if is_lazy(weight)), None)
    if lazy is not None:
        raise CaptureError(
            f"weight {shown(lazy)} belongs to a lazy module that the forward does not run, so it has no shape; "
            "expected a forward that runs it: remove the module, or replace it by one with a shape"
        )


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
def _recording(gradients: Gradients) -> Iterator[None]:
    """Enter inference mode, or let autograd record, regardless of the caller's mode."""
    import torch

    with (
        torch.inference_mode(gradients is Gradients.NEVER),
        torch.set_grad_enabled(gradients is Gradients.EVERYWHERE),
    ):
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
    if asks_for_values(text):
        advice = (
            "; a capture has the shapes of tensors, and values only if they follow from real inputs alone. For a value "
            "of an input, pass real tensors and leave their sizes out of dynamic. For a value that depends on weights, "
            "choose the branch yourself, as a Python argument or attribute, or use torch.where"
        )
    elif "NestedTensorImpl" in text:
        advice = "; nested tensors of strided layout have no meta kernels: create them with layout=torch.jagged"
    else:
        advice = "; expected a forward that runs on these inputs (check their number, names and shapes)"
    return CaptureError(f"capture stopped{where}{after}: {excerpt(text, most=_LONGEST)}{advice}")


_LONGEST = 4_000  # characters of another library's message
_NO_KERNEL = "\n\nCPU: registered at"
