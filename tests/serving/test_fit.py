"""Whether a model fits, from each door: one rule for `profile`, `serve`, searches, fleets, `compare`, `sweep`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from support.language_configs import DEEPSEEK, GPT_OSS, LLAMA, WIDE_LLAMA, spec_of

import pyinfercost as ic
from pyinfercost.errors import InputError
from pyinfercost.serving.scheduler import SchedulerError

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


def served(spec: str, on: ic.Deployment, **settings: Any) -> ic.results.ServingResult | str:
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
    assert isinstance(run, ic.results.ServingResult) or "leave no memory for the cache of a sequence" in run
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
        "serve": isinstance(run, ic.results.ServingResult),
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
@pytest.mark.sample(2)
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


@pytest.mark.slow
def test_gpt_oss_120b_is_served_by_one_gpu_with_80_gb() -> None:
    run = served(f"hf:{CONFIGS / 'gpt-oss-120b.json'}", ic.Deployment(hardware="h100-sxm-80gb", engine="vllm"))
    assert isinstance(run, ic.results.ServingResult)
    assert run.finished == 3


# ---- lengths ---------------------------------------------------------------------------------------------------------

LONG = WIDE_LLAMA | {"max_position_embeddings": 4_000_000}


def test_the_longest_sequence_is_what_the_cache_holds(tmp_path: Path) -> None:
    on = ic.Deployment(hardware="l4", engine="vllm")
    spec = spec_of(tmp_path, LONG)
    run = served(spec, on)
    assert isinstance(run, ic.results.ServingResult)
    longest = run.scheduler["max_model_len"]
    assert longest == run.scheduler["num_gpu_blocks"] * 16 < 4_000_000
    assert any(f"{longest:,} tokens" in note and f"--max-model-len {longest}" in note for note in run.notes)
    assert f"--max-model-len {longest}" in run.engine_command
    assert run.engine_command in run.to_text(width=400)
    assert run.to_dict()["serve"]["engine_command"] == run.engine_command
    profile = ic.profile(f"{spec}#decode", on=on, batch=1, context=SEQUENCE)
    assert profile.estimate.memory.most_tokens == longest
    assert profile.engine_command == run.engine_command
    assert ic.profile(spec, on=on, prompt=PROMPT).engine_command == run.engine_command


@pytest.mark.slow
def test_windows_grow_until_they_are_full(tmp_path: Path) -> None:
    config = GPT_OSS | {"sliding_window": 100_000, "max_position_embeddings": 10_000_000, "head_dim": 256}
    run = served(spec_of(tmp_path, config), ic.Deployment(hardware="l4", engine="vllm"))
    assert isinstance(run, ic.results.ServingResult)
    note = next(note for note in run.notes if "--max-model-len" in note)
    longest = run.scheduler["max_model_len"]
    assert f"{longest:,}" in note
    pool = ic.profile(
        spec_of(tmp_path, config, "decode"), hardware="l4", engine="vllm", context=SEQUENCE
    ).estimate.memory.pool_bytes
    layer = 2 * 2 * 256 * 2  # keys and values, heads, elements, bytes
    assert 2 * layer * (longest + 100_000) == pytest.approx(pool, rel=0.01)


def test_a_length_with_which_the_engine_does_not_start_is_refused(tmp_path: Path) -> None:
    on = ic.Deployment(hardware="l4", engine="vllm")
    spec = spec_of(tmp_path, LONG)
    message = served(spec, on, max_model_len=3_000_000)
    assert isinstance(message, str)
    assert "max_model_len is 3,000,000, and the cache holds" in message
    assert "vLLM does not start" in message
    beyond = served(spec, on, max_model_len=5_000_000)
    assert "the context of the model has 4,000,000 tokens" in beyond
    other = served(spec, on.replace(engine="sglang"), max_model_len=3_000_000)  # serves what the cache holds
    assert isinstance(other, ic.results.ServingResult)
    with pytest.raises(SchedulerError, match="the cache holds 640 tokens"):
        ic.serve(spec, on=on, workload=load(), num_gpu_blocks=40, max_model_len=1000)


def test_more_of_the_memory_holds_more_tokens(tmp_path: Path) -> None:
    spec = spec_of(tmp_path, LONG)
    blocks = []
    for serving in ("", "gpu_memory_utilization=0.95"):
        run = served(spec, ic.Deployment(hardware="l4", engine="vllm", serving=serving))
        assert isinstance(run, ic.results.ServingResult)
        blocks.append(run.scheduler["num_gpu_blocks"])
    assert blocks[1] > 1.04 * blocks[0]


def test_fewer_sequences_leave_more_memory(tmp_path: Path) -> None:
    spec = spec_of(tmp_path, LONG | {"vocab_size": 100_000})
    on = ic.Deployment(hardware="l4", engine="vllm")
    few, own = (served(spec, on, **settings) for settings in ({"max_num_seqs": 8}, {}))
    assert isinstance(few, ic.results.ServingResult)
    assert isinstance(own, ic.results.ServingResult)
    assert few.scheduler["num_gpu_blocks"] > own.scheduler["num_gpu_blocks"]


# ---- formats ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("engine", ["vllm", "sglang", "trtllm"])
@pytest.mark.sample(1)
def test_float32_is_loaded_in_16_bits(tmp_path: Path, engine: str) -> None:
    on = ic.Deployment(hardware="l4", engine=engine)
    wide, narrow = (spec_of(tmp_path, WIDE_LLAMA | {"dtype": dtype}) for dtype in ("float32", "bfloat16"))
    of = [ic.profile(f"{spec}#decode", on=on, batch=2, context=100) for spec in (wide, narrow)]
    assert of[0].estimate.memory.weight_bytes == pytest.approx(of[1].estimate.memory.weight_bytes, rel=1e-5)
    assert of[0].kv_cache.bytes_per_token == of[1].kv_cache.bytes_per_token
    assert of[0].kv_cache.layers[0].dtype == "bfloat16"
    assert of[0].estimate.latency_s == pytest.approx(of[1].estimate.latency_s, rel=0.05)
    assert "float32 weights in 16 bits" in of[0].to_text(width=200)
    assert "16 bits" not in of[1].to_text(width=200)
    notes = ic.compare({"wide": of[0], "narrow": of[1]}).notes
    assert notes == (f"{engine} loads the float32 weights of wide in 16 bits",)
    run = served(wide, on)
    assert isinstance(run, ic.results.ServingResult)
    assert any("float32 weights of this model in 16 bits" in note for note in run.notes)


def test_an_explicit_precision_and_torch_keep_float32(tmp_path: Path) -> None:
    spec = f"{spec_of(tmp_path, WIDE_LLAMA | {'dtype': 'float32'})}#decode"
    halved = ic.profile(spec, hardware="l4", engine="vllm", batch=1).estimate.memory.weight_bytes
    whole = ic.profile(spec, hardware="l4", engine="vllm", precision="fp32", batch=1).estimate.memory.weight_bytes
    torch = ic.profile(spec, hardware="l4", batch=1).estimate.memory.weight_bytes
    assert whole == pytest.approx(2 * halved, rel=1e-3)
    assert torch == pytest.approx(2 * halved, rel=1e-3)


# ---- models with images ----------------------------------------------------------------------------------------------

VISION = {
    "architectures": ["Gemma3ForConditionalGeneration"],
    "model_type": "gemma3",
    "mm_tokens_per_image": 4,
    "image_token_index": 120,
    "boi_token_index": 121,
    "eoi_token_index": 122,
    "text_config": {
        "model_type": "gemma3_text",
        "hidden_size": 64,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 16,
        "vocab_size": 128,
        "sliding_window": 512,
    },
    "vision_config": {
        "model_type": "siglip_vision_model",
        "hidden_size": 32,
        "intermediate_size": 32,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "image_size": 56,
        "patch_size": 14,
        "vision_use_head": False,
    },
    "dtype": "bfloat16",
}


def test_a_model_with_images_is_served_prompts_of_text(tmp_path: Path) -> None:
    spec = spec_of(tmp_path, VISION)
    run = served(spec, ic.Deployment(hardware="l4", engine="vllm"))
    assert isinstance(run, ic.results.ServingResult)
    assert run.finished == 3
    text, images = (ic.capture(f"{spec}#{phase}") for phase in ("text-prefill", "prefill"))
    assert len(text.inputs) < len(images.inputs)
