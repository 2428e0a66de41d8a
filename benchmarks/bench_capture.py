"""Capture and count of a module, compared with torch's own counter and with the forward alone."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from .interleaved import alone, race, versus
from .models import Model, decoder_flops, flop_counter_flops, make
from .parameters import (
    CALL_ROUNDS,
    CONFIGS,
    FIXED_SIZE_MODELS,
    MAX_RATIO,
    MAX_SYMBOLIC_CAPTURE_S,
    RESIDENT_MODELS,
    SLOW_ROUNDS,
)
from .symbolic import SIZES, LargeModel

pytest.importorskip("torch", reason="needs torch: pip install 'pyinfercost[models]'")

FIRST_CALL = Path(__file__).with_name("first_call.py")
LLAMA = CONFIGS / "llama-3-8b.json"


def capture_and_count(model: Model) -> Callable[[], int]:
    """Return a function from a module to its FLOPs."""
    from pyinfercost import _core
    from pyinfercost.sources.trace.trace import trace_graph

    return lambda: int(_core.count(trace_graph(*model), {}).total.contraction_flops)


@pytest.mark.parametrize("name", FIXED_SIZE_MODELS)
def bench_meta_module(benchmark: Any, name: str) -> None:
    """A module on the meta device, with fixed sizes."""
    model = make(name)
    answers = race(
        benchmark,
        f"capture {name}, meta",
        capture_and_count(model),
        {"FlopCounterMode": lambda: flop_counter_flops(model), "bare forward": model.forward},
        rounds=CALL_ROUNDS,
        max_ratio={
            "FlopCounterMode": MAX_RATIO["capture / FlopCounterMode"],
            "bare forward": MAX_RATIO["capture / bare forward"],
        },
        warmup=2,
    )
    assert answers["ours"] == answers["FlopCounterMode"]


@pytest.mark.parametrize("name", RESIDENT_MODELS)
def bench_resident_module(benchmark: Any, name: str) -> None:
    """A module with real weights, which are not touched."""
    from torch._subclasses.fake_tensor import FakeTensorMode

    model = make(name, device="cpu")

    def on_fakes() -> int:
        with FakeTensorMode(allow_non_fake_inputs=True) as mode:
            args = tuple(mode.from_tensor(value) for value in model.args)
            return flop_counter_flops(model._replace(args=args))

    answers = race(
        benchmark,
        f"capture {name}, weights on the CPU",
        capture_and_count(model),
        {"FlopCounterMode, fake tensors": on_fakes},
        rounds=CALL_ROUNDS,
        max_ratio={"FlopCounterMode, fake tensors": MAX_RATIO["capture / FlopCounterMode"]},
    )
    # On the CPU, torch's counter does not see attention, so the result is compared with that on meta.
    assert answers["ours"] == flop_counter_flops(make(name))


def bench_symbolic_warm(benchmark: Any) -> None:
    """Llama-3-8B with symbolic batch and sequence, repeated in one process."""
    model = LargeModel(str(LLAMA))
    answers = race(
        benchmark,
        "symbolic capture llama-3-8b, repeated",
        model.capture,
        {"bare forward": model.forward},
        rounds=SLOW_ROUNDS,
    )
    check_symbolic(model.flops(answers["ours"], SIZES))
    if benchmark.enabled:
        alone("symbolic capture llama-3-8b, repeated", benchmark.extra_info["ours_s"], MAX_SYMBOLIC_CAPTURE_S)


@pytest.mark.slow
def bench_symbolic_first_call(benchmark: Any, tmp_path: Path) -> None:
    """The same as the first call of a new process. The table shows whole processes, the summary the call only."""
    seconds: dict[str, list[float]] = {"capture": [], "forward": [], "export": []}

    def first_call(what: str) -> dict[str, Any]:
        command = [sys.executable, str(FIRST_CALL), what, str(LLAMA)]
        done = subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, text=True)
        result: dict[str, Any] = json.loads(done.stdout)
        seconds[what].append(result["seconds"])
        return result

    def peers() -> None:
        first_call("forward")
        first_call("export")

    rounds = SLOW_ROUNDS if benchmark.enabled else 1
    result = benchmark.pedantic(lambda: first_call("capture"), setup=peers, rounds=rounds)
    check_symbolic(result["contraction_flops"])
    if benchmark.enabled:
        title = "symbolic capture llama-3-8b, first call"
        versus(title, "bare forward", seconds["capture"], seconds["forward"], None)
        versus(title, "torch.export", seconds["capture"], seconds["export"], None)
        alone(title, seconds["capture"], MAX_SYMBOLIC_CAPTURE_S)


def check_symbolic(flops: int) -> None:
    """Compare with the hand formula at sizes other than the example's."""
    assert flops == decoder_flops("llama-3-8b", tokens=SIZES["sequence"], cached=0, batch=SIZES["batch"])
