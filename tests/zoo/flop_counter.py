"""Work of a forward by torch's own counter, which shares only the model with this package.

The counter has rules for products, convolutions and attention, but not for every product: a module that runs one
without a rule is not comparable. Attention is decomposed into its products, because the counter has no rule for the
fused CPU kernel; gradients are enabled, because `nn.MultiheadAttention` otherwise takes a fast path; experts run one by
one, because the counter has no rule for grouped products.

A model is run with weights if these fit into memory. A larger one is run on meta tensors, as long as its forward reads
no values: torch's own shape rules then determine the lengths of its products.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from typing import Any, NamedTuple
from unittest import mock

import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._pytree import tree_map_only
from torch.utils.flop_counter import FlopCounterMode, flop_registry
from zoo.executed import Executed

from pyinfercost import _core
from pyinfercost.sources.torch_state import allow_autocast_off_on_meta

# Families of the op tables whose rows count contractions.
_CONTRACTIONS = frozenset(
    {"contraction", "convolution", "attention", "multilinear", "recurrent", "einsum", "quantized"}
)
# Real weights beyond this, and a forward of more products, would take too long.
_MOST_PARAMETERS = 200_000_000
_MOST_FLOPS = 300_000_000_000
_LONGEST = 160  # characters of a reason


def _euclidean(x1: Any, x2: Any, *_: Any, out_shape: Any, **__: Any) -> int:
    """Append squares of norms and ones to both operands: |a|^2 + |b|^2 - 2ab as one product."""
    return 2 * math.prod(out_shape) * (x1[-1] + 2)


# What the counter has no rule for, by the lengths of the operands.
_RULES: dict[Any, Any] = {
    torch.ops.aten.mv: lambda matrix, *_, **__: 2 * math.prod(matrix),
    torch.ops.aten.addmv: lambda _, matrix, *__, **___: 2 * math.prod(matrix),
    torch.ops.aten.dot: lambda vector, *_, **__: 2 * vector[0],
    torch.ops.aten._euclidean_dist: _euclidean,
    # One layer of an LSTM or GRU in one direction: both matrices at each step.
    torch.ops.aten.mkldnn_rnn_layer: lambda x, of_input, of_state, *_, **__: (
        2 * x[0] * x[1] * (math.prod(of_input) + math.prod(of_state))
    ),
}


class Counted(NamedTuple):
    """Result of torch's counter for a forward.

    Attributes:
        flops: The count; None if the forward could not be run.
        reason: Reason why the count is not comparable; empty if it is.
        by_module: FLOPs by module path, including submodules.
        lengths: Path of a module and `nonzero` -> number of true elements of each of its masks.
    """

    flops: int | None
    reason: str = ""
    by_module: Mapping[str, int] = {}
    lengths: Mapping[str, list[int]] = {}


def independent_flops(module: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> int | None:
    """Contraction FLOPs of one forward by torch's counter; None if not comparable."""
    counted = torch_counted(module, args, kwargs)
    return None if counted.reason else counted.flops


def torch_counted(module: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any], expected: int = 0) -> Counted:
    """Run a module under torch's counter, with real weights or on meta tensors.

    Args:
        module: The module, as for a capture. It is not changed.
        args: Its positional inputs. Those with values are used; others are generated.
        kwargs: Its named inputs, likewise.
        expected: Approximate FLOPs of the forward, for the choice between real and meta tensors.
    """
    parameters = sum(p.numel() for p in module.parameters() if p.is_meta)
    small = parameters <= _MOST_PARAMETERS and expected <= _MOST_FLOPS
    bearable = parameters <= 3 * _MOST_PARAMETERS and expected <= 3 * _MOST_FLOPS
    meta = (_on_meta, _on_meta_with_values)
    ways = (_with_weights, *meta) if small else (*meta, _with_weights) if bearable else meta
    reasons = []
    for way in ways:
        try:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(0)
                return way(module, args, kwargs)
        except Exception as error:  # whatever a model's own code raises
            text = str(error).strip().partition("\n")[0].partition(". ")[0][:_LONGEST].rstrip(".")
            reasons.append(f"{_WAYS[way]}, {type(error).__name__}: {text}")
    if not small and _with_weights not in ways:
        reasons.append("too large to run with weights")
    return Counted(None, "; ".join(reasons))


def _with_weights(module: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Counted:
    real = real_copy(module) if any(p.is_meta for p in module.parameters()) else module
    return _with_or_without_gradients(real, *tree_map_only(torch.Tensor, _real_input, (args, kwargs)))


def _on_meta(module: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Counted:
    args, kwargs = tree_map_only(torch.Tensor, lambda tensor: tensor.to("meta"), (args, kwargs))
    return _on_meta_with_values(copy.deepcopy(module).to("meta"), args, kwargs)


def _on_meta_with_values(module: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Counted:
    """Run on meta tensors, except for inputs with values, which a forward may read."""
    # Shapes do not depend on where values lie, but some of torch's shape rules insist on one device.
    with allow_autocast_off_on_meta(), mock.patch("torch._prims_common.check_same_device"):
        return _with_or_without_gradients(module, args, kwargs)


_WAYS = {
    _with_weights: "with weights",
    _on_meta: "on meta tensors",
    _on_meta_with_values: "on meta tensors but for inputs with values",
}


def _with_or_without_gradients(module: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Counted:
    try:
        return _run(module, args, kwargs, torch.enable_grad())
    except AssertionError:  # reversible layers keep what they need for a backward pass, and insist on one
        return _run(module, args, kwargs, torch.no_grad())


def _run(module: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any], gradients: Any) -> Counted:
    with (
        gradients,
        # Nothing is kept for a backward pass that does not come.
        torch.autograd.graph.saved_tensors_hooks(lambda _: None, lambda _: None),
        sdpa_kernel(SDPBackend.MATH),
        Executed(module) as executed,
        FlopCounterMode(display=False, custom_mapping=_RULES) as counter,
    ):
        module(*args, **kwargs)
    unknown = sorted(str(op) for op in executed.ops if _lacks_rule(op))
    root = type(module).__name__
    by_module = {
        "" if path == "Global" else path.removeprefix(root).lstrip("."): sum(ops.values())
        for path, ops in counter.get_flop_counts().items()
    }
    return Counted(
        counter.get_total_flops(), f"no rule for {', '.join(unknown)}" if unknown else "", by_module, executed.lengths
    )


def real_copy(module: nn.Module) -> nn.Module:
    """Return a module like one on meta, with weights, created from its config.

    Raises:
        NotImplementedError: There is no config.
    """
    make: Any = type(module)
    if hasattr(module, "_from_config"):
        made = make._from_config(copy.deepcopy(module.config)).eval()
        for part in made.modules():
            if hasattr(part, "config") and hasattr(part.config, "_experts_implementation"):
                part.config._experts_implementation = "eager"
    elif hasattr(module, "from_config"):
        made = make.from_config(module.config).eval()
    else:
        raise NotImplementedError("no config to make it from")
    # What was set after it was made: tiles of an autoencoder; and what puts a cache together from its inputs.
    for mine, its in zip(made.modules(), module.modules(), strict=True):
        vars(mine).update({name: value for name, value in vars(its).items() if isinstance(value, (bool, int, float))})
    for name in ("_forward_pre_hooks", "_forward_pre_hooks_with_kwargs"):
        setattr(made, name, copy.deepcopy(getattr(module, name)))
    return made


def _real_input(tensor: torch.Tensor) -> torch.Tensor:
    if not tensor.is_meta:
        return tensor.clone()  # a forward may write into it
    if tensor.is_floating_point() or tensor.is_complex():
        return torch.randn(tensor.shape, dtype=tensor.dtype)
    return torch.ones(tensor.shape, dtype=tensor.dtype)


def _lacks_rule(op: Any) -> bool:
    rule = _core.find_rule(str(op))
    return rule is not None and rule.family in _CONTRACTIONS and op._overloadpacket not in {*flop_registry, *_RULES}
