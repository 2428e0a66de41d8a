"""Whether a model fits, from each door: one rule for `profile`, `serve`, searches, fleets, `compare`, `sweep`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from support.language_configs import DEEPSEEK, GPT_OSS, LLAMA, WIDE_LLAMA, spec_of

import pyinfercost as ic
from pyinfercost.errors import InputError

pytestmark = pytest.mark.torch

CONFIGS = Path(__file__).parents[1] / "support" / "configs"
SPECS = [f"hf:{path}" for path in sorted(CONFIGS.glob("*.json"))]
SMALL = {
    "llama": LLAMA,
    "wide": WIDE_LLAMA,
    "deepseek": DEEPSEEK | {"num_hidden_layers": 2},
    "gpt_oss": GPT_OSS,
}
PROMPT, OUTPUT = 900, 100
SEQUENCE = PROMPT + OUTPUT


def load(**fields: Any) -> ic.Workload:
    return ic.Workload(**{"rate_per_s": 0.01, "prompt": PROMPT, "output": OUTPUT, "requests": 3} | fields)


def served(spec: str, on: ic.Deployment, **settings: Any) -> ic.ServingResult | str:
    try:
        return ic.serve(spec, on=on, workload=load(), **settings)
    except InputError as error:
        return str(error)


def verdicts(spec: str, on: ic.Deployment) -> dict[str, bool]:
    """Return whether one sequence fits, by door."""
    both = ic.profile(spec, on=on, batch=1, prompt=PROMPT, context=SEQUENCE)
    decode = ic.profile(f"{spec}#decode", on=on, batch=1, context=SEQUENCE)
    swept = ic.sweep(decode.request.captured.graph, on=on, hardware=[on.machine.id])
    rows = ic.compare({"model": spec}, on=[on], batch=1, prompt=PROMPT, context=SEQUENCE).rows
    found = ic.find_serving("replicas", spec, on=on, workload=load(), slo="ttft_p50<1000")
    run = served(spec, on)
    assert isinstance(run, ic.ServingResult) or "leave no memory for the cache of a sequence" in run
    fleet = True
    try:
        ic.fleet(spec, on=on, traffic=load(), autoscaler="static:1")
    except InputError:
        fleet = False
    return {
        "profile": both.memory.fits,
        "decode": decode.estimate.fits_in_memory,
        "sweep": bool(swept["fits_in_memory"][0]),
        "compare": rows[-1].fits_in_memory,
        "serve": isinstance(run, ic.ServingResult),
        "find": found.best is not None,
        "fleet": fleet,
    }


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["vllm", "sglang", "trtllm"])
@pytest.mark.parametrize("machine", ["l4", "h100-sxm-80gb", "h200-sxm-141gb"])
@pytest.mark.parametrize("spec", SPECS, ids=[Path(spec).stem for spec in SPECS])
def test_all_doors_agree_about_published_models(spec: str, machine: str, engine: str) -> None:
    found = verdicts(spec, ic.Deployment(hardware=machine, engine=engine))
    assert len(set(found.values())) == 1, found


@pytest.mark.parametrize("engine", ["vllm", "sglang", "trtllm"])
@pytest.mark.parametrize("config", SMALL.values(), ids=SMALL)
def test_all_doors_agree_about_small_models(tmp_path: Path, config: dict[str, Any], engine: str) -> None:
    spec = spec_of(tmp_path, config)
    machine = ic.hardware.load("l4")
    weights = ic.profile(f"{spec}#decode", hardware="l4", engine=engine, batch=1).estimate.memory.weight_bytes
    found = {}
    for share in (1e-6, 0.9):  # of the memory: all that the weights leave, and less than they take
        on = ic.Deployment(hardware=machine, engine=engine, serving=f"gpu_memory_utilization={share}")
        doors = verdicts(spec, on)
        assert len(set(doors.values())) == 1, doors
        found[share] = doors["serve"]
    assert weights < 1e9
    assert found[0.9]
    assert not found[1e-6] or engine == "trtllm"  # whose share is of what weights leave


def test_gpt_oss_120b_is_served_by_one_gpu_with_80_gb() -> None:
    run = served(f"hf:{CONFIGS / 'gpt-oss-120b.json'}", ic.Deployment(hardware="h100-sxm-80gb", engine="vllm"))
    assert isinstance(run, ic.ServingResult)
    assert run.finished == 3
