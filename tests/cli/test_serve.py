"""`pyinfercost serve`, with a small Llama."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from support.language_configs import LLAMA, spec_of

import pyinfercost as ic
from pyinfercost.cli import main
from pyinfercost.serving.serve import phases_of

pytestmark = pytest.mark.torch

ON = ("-H", "h100-sxm-80gb", "--engine", "vllm", "--price", "2.50/h")
LOAD = ("--rate", "100/s", "--prompt", "64", "--output-tokens", "16", "--requests", "300")


def invoke(*arguments: str) -> Result:
    return CliRunner().invoke(main, ("serve", *arguments))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    pytest.importorskip("transformers", reason="needs transformers: pip install 'pyinfercost[models]'")
    return spec_of(tmp_path_factory.mktemp("config"), LLAMA | {"max_position_embeddings": 512})


def test_options_are_arguments_of_the_api(model: str) -> None:
    result = invoke(model, *ON, *LOAD, "--slo", "ttft_p99<100ms", "--format", "json")
    assert result.exit_code == 0, result.output
    phases = phases_of(model)
    assert phases.context == 512
    served = ic.serve(
        [phases.prefill, phases.decode],
        on=ic.Deployment(hardware="h100-sxm-80gb", engine="vllm", price="2.50/h"),
        workload=ic.Workload(rate_per_s=100, prompt=64, output=16, requests=300),
        slo={"ttft_p99": 0.1},
        max_model_len=512,
    )
    command = served.engine_command.replace(" --max-model-len 512", "")  # the context of the model, as by default
    expected = served.to_dict()["serve"] | {"model": model, "engine_command": command}
    assert json.loads(result.stdout)["serve"] == json.loads(json.dumps(expected))
    assert served.finished == 300
    assert served.devices == 1


def test_layouts_replicas_and_settings(model: str) -> None:
    options = ("--layout", "tensor=2", "--replicas", "2", "--max-num-seqs", "4", "--num-gpu-blocks", "100")
    result = invoke(model, *ON, *LOAD, *options, "--format", "csv")
    assert result.exit_code == 0, result.output
    (row,) = csv.DictReader(io.StringIO(result.stdout))
    assert (row["layout"], row["replicas"], row["devices"], row["finished"]) == ("tensor=2", "2", "4", "300")
    assert float(row["running_mean"]) <= 8


def test_a_text_of_arrivals_may_have_the_rate(model: str) -> None:
    """`--arrivals gamma:100,cv=2` is `--rate 100/s --arrivals gamma:cv=2`."""
    lengths = ("--prompt", "64", "--output-tokens", "16", "--requests", "200", "--format", "json")
    one = invoke(model, *ON, "--arrivals", "gamma:6000/min,cv=2", *lengths)
    other = invoke(model, *ON, "--rate", "100/s", "--arrivals", "gamma:cv=2", *lengths)
    assert one.exit_code == 0, one.output
    assert one.output == other.output
    both = invoke(model, *ON, "--rate", "100/s", "--arrivals", "gamma:100", *lengths)
    assert both.exit_code == 2
    assert "give the mean once, in the text or apart" in " ".join(both.output.split())


def test_a_trace_and_clients(model: str, tmp_path: Path) -> None:
    lines = [
        json.dumps({"timestamp": 1000 * at, "input_length": 30, "output_length": 5, "hash_ids": []}) for at in range(9)
    ]
    (tmp_path / "trace.jsonl").write_text("\n".join(lines), encoding="utf-8")
    result = invoke(model, *ON, "--trace", f"mooncake:{tmp_path / 'trace.jsonl'}", "--rate", "2/s", "--format", "json")
    assert result.exit_code == 0, result.output
    served = json.loads(result.stdout)["serve"]
    assert served["requests"] == served["finished"] == 9
    assert served["duration_s"] == pytest.approx(4.0, rel=0.1)
    closed = invoke(model, *ON, "--concurrency", "3", *LOAD[2:], "--format", "md")
    assert closed.exit_code == 0, closed.output
    assert "| time to first token |" in closed.stdout


def test_prompts_above_the_context_are_refused(model: str) -> None:
    result = invoke(model, *ON, "--rate", "1", "--prompt", "600", "--output-tokens", "4")
    assert result.exit_code == 1
    assert "all prompts have 600 tokens or more, and the longest sequence of the model is 512" in result.stderr


def test_a_search_has_the_deployments_of_lists(model: str) -> None:
    options = ("-H", "l4,h100-sxm-80gb", "--engine", "vllm,sglang", "--precision", "bf16", "--price", "on-demand")
    goal = ("--find", "cheapest", "--devices", "2", "--slo", "ttft_p99<1")
    result = invoke(model, *options, *LOAD, *goal, "--format", "json")
    assert result.exit_code == 0, result.output
    search = json.loads(result.stdout)["search"]
    places = {(each["hardware"], each["engine"], each["layout"]) for each in search["found"] + search["out"]}
    assert {place[:2] for place in places} == {(h, e) for h in ("l4", "h100-sxm-80gb") for e in ("vllm", "sglang")}
    assert search["found"][0]["usd_per_h"] == min(each["usd_per_h"] for each in search["found"])


def test_the_highest_rate_is_found_without_one(model: str) -> None:
    tokens = [word for pair in zip(LOAD[::2], LOAD[1::2], strict=True) if pair[0] != "--rate" for word in pair]
    goal = ("--find", "rate", "--slo", "ttft_p99<1", "--format", "json")
    found = [invoke(model, *ON, *load, *goal) for load in (tokens, LOAD)]
    assert [each.exit_code for each in found] == [0, 0], found[0].output
    assert json.loads(found[0].stdout)["search"] == json.loads(found[1].stdout)["search"]


def test_a_search_without_an_answer_fails(model: str) -> None:
    result = invoke(model, *ON, *LOAD, "--find", "replicas", "--slo", "tpot_p50<0.001ms")
    assert result.exit_code == 1
    assert "No deployment meets tpot_p50<1e-06" in result.stdout
    assert "tpot_p50 is" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--engine", "vllm", *LOAD), "Missing option '--hardware'"),
        (("-H", "l4", *LOAD), "Missing option '--engine'"),
        ((*ON, "--prompt", "4", "--output-tokens", "4"), "expected one, such as --rate 4/s"),
        ((*ON, "--rate", "4/s", "--output-tokens", "4"), "Missing option '--prompt'"),
        (
            (*ON, "--rate", "4/y", "--prompt", "4", "--output-tokens", "4"),
            "--rate is '4/y'; expected a number per s",
        ),
        ((*ON, "--rate", "4", "--prompt", "four", "--output-tokens", "4"), "prompt is 'four'"),
        ((*ON, *LOAD, "--slo", "tttt_p99<4"), "--slo: slo has the unknown metric 'tttt_p99'"),
        ((*ON, *LOAD, "--find", "cheapest"), "--find needs --slo"),
        ((*ON, *LOAD, "--precision", "bf16,fp8"), "--precision has several values; give one, or a goal to --find"),
        ((*ON, *LOAD, "--layout", "all"), "--layout has several values"),
        (("-H", "l4", *LOAD, "--find", "rate", "--slo", "tpot_p50<1"), "Missing option '--engine'"),
        (
            ("-H", "l4", "--engine", "vllm", *LOAD, "--find", "cheapest", "--slo", "tpot_p50<1"),
            "--find cheapest needs --price",
        ),
        ((*ON, *LOAD, "--region", "deu"), "--region has no effect on a server under load"),
    ],
)
def test_wrong_usage(model: str, arguments: tuple[str, ...], message: str) -> None:
    result = invoke(model, *arguments)
    assert result.exit_code == 2, result.output
    assert message in result.stderr


@pytest.mark.slow
def test_graphs_of_a_server_are_kept(model: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "pyinfercost", "serve", model, "--hardware", "l4", "--engine", "vllm", *LOAD]
    environment = os.environ | {"PYINFERCOST_CACHE_DIR": str(tmp_path), "PYINFERCOST_NO_CACHE": ""}
    done = subprocess.run(command, check=False, capture_output=True, env=environment)
    assert done.returncode == 0, done.stderr
    assert len(list(tmp_path.glob("graph-*"))) == 2  # decode and prefill
