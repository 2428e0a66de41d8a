"""One function per counter, from a module and its inputs to multiply-accumulates.

Each counter is called as in its own documentation, under `torch.no_grad()` as for inference. Its printed output is
discarded; its exceptions are not.
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
import logging
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

Counter = Callable[[nn.Module, tuple[Any, ...]], float]


def _pyinfercost(module: nn.Module, args: tuple[Any, ...]) -> float:
    import pyinfercost as ic

    counts = ic.count(ic.capture(module, args))
    if counts.unmodelled:
        raise LookupError(f"unmodelled: {counts.unmodelled}")
    return float(int(counts.total.macs))


def _flop_counter_mode(module: nn.Module, args: tuple[Any, ...]) -> float:
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter:
        module(*args)
    return counter.get_total_flops() / 2


def _fvcore(module: nn.Module, args: tuple[Any, ...]) -> float:
    from fvcore.nn import FlopCountAnalysis

    analysis = FlopCountAnalysis(module, args)
    analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False)
    return float(analysis.total())  # fvcore calls a multiply-accumulate one FLOP


def _torchprofile(module: nn.Module, args: tuple[Any, ...]) -> float:
    from torchprofile import profile_macs

    return float(profile_macs(module, args))


def _calflops(module: nn.Module, args: tuple[Any, ...]) -> float:
    from calflops import calculate_flops

    _, macs, _ = calculate_flops(module, args=list(args), print_results=False, output_as_string=False)
    return float(macs)


def _deepspeed(module: nn.Module, args: tuple[Any, ...]) -> float:
    from deepspeed.profiling.flops_profiler import get_model_profile

    _, macs, _ = get_model_profile(module, args=list(args), print_profile=False, as_string=False, warm_up=0)
    return float(macs)


def _ptflops(backend: str) -> Counter:
    def count(module: nn.Module, args: tuple[Any, ...]) -> float:
        from ptflops import get_model_complexity_info

        names = [f"arg{i}" for i in range(len(args))]
        macs, _ = get_model_complexity_info(
            _ByName(module, names),
            (1,),
            as_strings=False,
            print_per_layer_stat=False,
            backend=backend,
            input_constructor=lambda _: dict(zip(names, args, strict=True)),
        )
        return float(macs)

    return count


def _thop(module: nn.Module, args: tuple[Any, ...]) -> float:
    from thop import profile

    return float(profile(module, inputs=args, verbose=False)[0])


def _torchinfo(module: nn.Module, args: tuple[Any, ...]) -> float:
    from torchinfo import summary

    return float(summary(module, input_data=list(args), verbose=0).total_mult_adds)


class _ByName(nn.Module):
    """Module with named inputs, as ptflops passes them."""

    def __init__(self, module: nn.Module, names: list[str]) -> None:
        super().__init__()
        self.module = module
        self.names = names

    def forward(self, **inputs: Any) -> Any:
        return self.module(*[inputs[name] for name in self.names])


# Name -> module that must be importable, and the function that calls it.
COUNTERS: dict[str, tuple[str, Counter]] = {
    "pyinfercost": ("pyinfercost", _pyinfercost),
    "FlopCounterMode": ("torch", _flop_counter_mode),
    "fvcore": ("fvcore", _fvcore),
    "torchprofile": ("torchprofile", _torchprofile),
    "calflops": ("calflops", _calflops),
    "DeepSpeed": ("deepspeed", _deepspeed),
    "ptflops, pytorch": ("ptflops", _ptflops("pytorch")),
    "ptflops, aten": ("ptflops", _ptflops("aten")),
    "thop": ("thop", _thop),
    "torchinfo": ("torchinfo", _torchinfo),
}


def installed() -> list[str]:
    """Return the counters that can be run here."""
    return [name for name, (module, _) in COUNTERS.items() if importlib.util.find_spec(module) is not None]


def count(name: str, module: nn.Module, args: tuple[Any, ...]) -> float:
    """Return MACs of one forward by one counter; its exceptions are passed on."""
    logging.disable(logging.CRITICAL)
    silent = io.StringIO()
    with torch.no_grad(), contextlib.redirect_stdout(silent), contextlib.redirect_stderr(silent):
        return COUNTERS[name][1](module, args)
