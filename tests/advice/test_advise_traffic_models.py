"""Advice on models under traffic, through the command line: every printed command predicts the figures of its row."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from support.advised_traffic import advised, capture_once, of_code, of_same, printed
from support.language_configs import GPT_OSS, LLAMA, WIDE_LLAMA, spec_of

from pyinfercost.cli import main

pytestmark = pytest.mark.torch

LLAMA_8B = LLAMA | {
    "hidden_size": 4096, "intermediate_size": 14336, "num_attention_heads": 32, "num_key_value_heads": 8,
    "num_hidden_layers": 32, "vocab_size": 128256, "max_position_embeddings": 16384,
}  # fmt: skip
MIXTURE = GPT_OSS | {
    "hidden_size": 1024, "intermediate_size": 1024, "num_attention_heads": 16, "num_key_value_heads": 4,
    "head_dim": 64, "num_hidden_layers": 12, "num_local_experts": 16, "sliding_window": 128,
    "max_position_embeddings": 8192,
}  # fmt: skip
BERT = {
    "architectures": ["BertForSequenceClassification"], "model_type": "bert", "hidden_size": 256,
    "num_hidden_layers": 4, "num_attention_heads": 4, "intermediate_size": 1024, "vocab_size": 30522,
}  # fmt: skip

CASES: dict[str, tuple[Any, str]] = {
    "small decoder, rate": (
        WIDE_LLAMA,
        "-H l4 --engine vllm --precision bf16 --rate 900/s --requests 900 --prompt lognormal:mean=600,cv=1 "
        "--output-tokens 40 --slo ttft_p99<0.5,tpot_p50<0.02 --risk small --acceptance 0.7",
    ),
    "large decoder, trace": (
        LLAMA_8B,
        "-H l40s --engine sglang --precision bf16 --trace TRACE --rate 15/s --slo ttft_p90<2,tpot_p90<0.08 "
        "--risk small --price g6e.2xlarge",
    ),
    "large decoder, clients": (
        LLAMA_8B,
        "-H h100-sxm-80gb --engine trtllm --concurrency 64 --requests 400 --prompt uniform:200-2000 "
        "--output-tokens 200 --prefixes 800,groups=4,share=0.5 --no-enable-prefix-caching --risk none",
    ),
    "mixture of experts, rate": (
        MIXTURE,
        "-H a100-sxm-80gb --engine vllm --layout tensor=2 --rate 60/s --requests 600 --prompt 800 "
        "--output-tokens 100 --slo tpot_p99<0.05 --risk small --replicas 3",
    ),
    "small decoder, traffic": (
        WIDE_LLAMA,
        "-H l4 --engine vllm --precision bf16 --traffic gamma:150,cv=3 --duration-s 900 --prompt 600 "
        "--output-tokens 40 --slo e2e_p90<1.5 --risk small --autoscaler hpa --commitment discount=0.4,term_years=1",
    ),
    "large decoder, trace as traffic": (
        LLAMA_8B,
        "-H l40s --engine vllm --precision bf16 --traffic TRACE --scale 2 --slo ttft_p90<2,tpot_p90<0.08 "
        "--autoscaler kpa --cold-start-s 40 --price g6e.2xlarge",
    ),
    "mixture of experts, traffic": (
        MIXTURE,
        "-H a10g --engine vllm --traffic diurnal:mean=10,peak=3,period_s=3600 --duration-s 3600 --prompt 800 "
        "--output-tokens 100 --slo tpot_p99<0.1 --risk small --interruptions interruptions_per_h=0.1",
    ),
    "encoder, traffic": (
        BERT,
        "-H t4 --traffic diurnal:mean=3,peak=4,cv=2 --slo e2e_p99<0.3 --price on-demand --autoscaler kpa --risk small "
        "--commitment discount=0.3,term_years=1",
    ),
    "CNN, trace as traffic": (
        "torchvision:mobilenet_v3_large",
        "-H xeon-8480+ --threads 4 --price c7i.xlarge --execution compiled --traffic TRACE --slo e2e_p99<0.5 "
        "--risk small --max-batch-size 4 --objective carbon_g --region usa",
    ),
    "ViT, traffic": (
        "torchvision:vit_b_16",
        "-H a10g --precision tf32 --traffic mmpp:20,burst=5,share=0.1,length_s=60 --duration-s 1800 --slo e2e_p95<0.4 "
        "--price g5.xlarge --autoscaler static --interruptions interruptions_per_h=0.05 --max-queue-delay-s 0.005",
    ),
}  # fmt: skip
FAST = {"small decoder, rate", "encoder, traffic"}
FEW = (
    "--among served_precision,served_cache,speculation,chunk_size,l40s",
    "--among autoscaler,scaling_target,commitment",
)


@pytest.fixture(scope="module", autouse=True)
def _captured() -> Iterator[None]:
    pytest.importorskip("transformers", reason="needs transformers: pip install 'pyinfercost[models]'")
    pytest.importorskip("torchvision", reason="needs torchvision: pip install 'pyinfercost[models]'")
    with pytest.MonkeyPatch.context() as patch:
        capture_once(patch)
        yield


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    """Ten minutes of requests as Azure's traces have them, with a pause, and lengths that differ."""
    path = tmp_path / "requests.csv"
    lines = ["TIMESTAMP,ContextTokens,GeneratedTokens"]
    for minute in range(10):
        for second in [] if minute == 6 else range(0, 60, 1 + minute % 3):
            for part in range(1 + second % 4):
                time = f"2024-05-10 00:{minute:02}:{second:02}.{2 * part:07}"
                lines.append(f"{time},{200 + 37 * second % 1800},{20 + 7 * second % 300}")
    path.write_text("\n".join(lines) + "\n")
    return path


def asked(model: Any, options: str, folder: Path, trace: Path) -> tuple[str, dict[str, Any]]:
    """The JSON of the advice that a command prints."""
    spec = model if isinstance(model, str) else spec_of(folder, model)
    words = [str(trace) if word == "TRACE" else word for word in shlex.split(options)]
    ran = CliRunner().invoke(main, ["advise", spec, *words, "--format", "json"])
    assert ran.exit_code == 0, ran.output
    return spec, json.loads(ran.stdout)["advice"]


def setups_of(advice: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """All setups with figures of the JSON: the baseline, rows, and every step of the plans."""
    yield advice["baseline"]
    yield from (row["setup"] for row in advice["rows"])
    for plan in filter(None, (advice["best"], advice["here"])):
        yield plan["setup"]
        yield from (step["setup"] for step in plan["steps"])


@pytest.mark.parametrize("name", sorted(FAST))
@pytest.mark.slow
def test_commands_of_some_tactics_print_their_figures(name: str, tmp_path: Path, trace: Path) -> None:
    model, options = CASES[name]
    _check(model, f"{options} {FEW['--traffic' in options]}", tmp_path, trace)


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_commands_of_all_tactics_print_their_figures(name: str, tmp_path: Path, trace: Path) -> None:
    model, options = CASES[name]
    _check(model, options, tmp_path, trace)


def _check(model: Any, options: str, folder: Path, trace: Path) -> None:
    spec, advice = asked(model, options, folder, trace)
    assert advice["rows"], [each["why"] for each in advice["unhelpful"]]
    setups = {setup["command"]: setup for setup in setups_of(advice)}
    assert len(setups) > 1
    goal = advice["objective"]
    before = advice["baseline"]["figures"][goal]
    for command, setup in setups.items():
        assert command.startswith(("pyinfercost serve ", "pyinfercost fleet ")), setup["text"]
        assert spec in command
        assert printed(command) == advised(setup["figures"], command), command
    for plan in filter(None, (advice["best"], advice["here"])):
        assert plan["saving_share"] == 1 - plan["setup"]["figures"][goal] / before
        assert plan["setup"] == plan["steps"][-1]["setup"]
        assert sum(step["adds_share"] for step in plan["steps"]) == pytest.approx(plan["saving_share"])
        if (code := plan["setup"]["code"]) and "as it was given" not in code:
            assert of_code(code) == of_same(plan["setup"]["figures"], plan["setup"]["command"]), code
    for row in advice["rows"]:
        assert row["saving_share"] == 1 - row["setup"]["figures"][goal] / before
        assert row["saving_low_share"] <= row["saving_share"] <= row["saving_high_share"]
