"""The command beside a real vLLM on this machine's CPU: counts equal to the client's, also over a kill -9."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.request import urlopen

import pytest
from prometheus_client.parser import text_string_to_metric_families
from support.vllm_server import PYTHON, SETTINGS, Answered, blocks, free_port, replay, running

import pyinfercost as ic
from pyinfercost.monitor.recorded import export_workload
from pyinfercost.serving.serve import phases_of

LOG = logging.getLogger(__name__)

pytestmark = [
    pytest.mark.torch,
    pytest.mark.server,
    pytest.mark.slow,
    pytest.mark.timeout(1800),  # two starts of the engine and 86 requests, on cores that are shared
    pytest.mark.skipif(
        not shutil.which(PYTHON),
        reason="needs PYINFERCOST_VLLM_PYTHON, a Python with vLLM for CPUs (tests/support/vllm_server.py)",
    ),
]

INTERVAL_S = 1.0
PRICE = 0.36
KILLED = 20  # requests of which a kill breaks off most


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("machine") / "this.toml"
    threads = os.cpu_count() or 1
    path.write_text(ic.calibrate(threads=threads, budget_s=20.0, compiled=False).to_toml(), encoding="utf-8")
    return path


def correction(machine: Path, engine: Path, known: Sequence[Answered], port: int) -> str:
    """Return the file of the correction that a run asks for."""
    phases = phases_of(f"hf:{engine}/config.json")
    on = ic.Deployment(hardware=machine, engine="vllm", precision="bf16")
    costs = ic.serving.step_costs(
        phases.decode, phases.prefill, on=on, context=400, most_sequences=32, most_tokens=2048, most_context=2048
    )
    columns = {
        "arrival_s": [each.arrival_s for each in known],
        "prompt_tokens": [each.prompt for each in known],
        "output_tokens": [each.output for each in known],
        "first_token_s": [each.first_token_s for each in known],
        "last_token_s": [each.last_token_s for each in known],
    }
    settings = {**SETTINGS, "num_gpu_blocks": blocks(port), "enable_prefix_caching": False}
    found = ic.calibrate_serving(costs, columns, **settings)
    LOG.info(found.to_text())
    path = engine / "correction.json"
    path.write_text(json.dumps(found.correction.to_dict()), encoding="utf-8")
    return str(path)


@contextmanager
def sidecar(port: int, listen: int, errors: Path, *options: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run the command, and end it by SIGTERM."""
    command = [
        *(sys.executable, "-m", "pyinfercost", "monitor", "--scrape", f"http://127.0.0.1:{port}", "--engine", "vllm"),
        *("--listen", f"127.0.0.1:{listen}", "--interval", str(INTERVAL_S), *options),
    ]
    with errors.open("wb") as log:
        process = subprocess.Popen(command, stderr=log, stdout=log, cwd=errors.parent)
        try:
            until = time.monotonic() + 60
            while b"Metrics at" not in errors.read_bytes():
                assert process.poll() is None, errors.read_text()
                assert time.monotonic() < until, errors.read_text()
                time.sleep(0.1)
            yield process
        finally:
            process.send_signal(signal.SIGTERM)
            assert process.wait(30) == 0, errors.read_text()


def exported(listen: int) -> dict[str, float]:
    """Return the samples of the sidecar, with the values of labels other than the model's in their names."""
    with urlopen(f"http://127.0.0.1:{listen}/metrics", timeout=10) as answer:
        text = answer.read().decode()
    found: dict[str, float] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = [value for name, value in sorted(sample.labels.items()) if name != "model"]
            found[":".join([sample.name.removeprefix("pyinfercost_"), *labels])] = sample.value
    return found


def after_a_reading(listen: int) -> dict[str, float]:
    """Return the samples after a reading that began later than this call."""
    read = exported(listen)["scrapes_total:ok"]
    while (found := exported(listen))["scrapes_total:ok"] < read + 2:
        time.sleep(INTERVAL_S / 4)
    return found


def counted(found: dict[str, float]) -> tuple[float, float, float]:
    return tuple(found[name] for name in ("requests_total:ok", "prompt_tokens_total", "output_tokens_total"))  # type: ignore[return-value]


def of(requests: Sequence[Answered]) -> tuple[int, int, int]:
    assert all(each.tokens == each.output for each in requests)
    return len(requests), sum(each.prompt for each in requests), sum(each.tokens for each in requests)


def test_counts_are_those_of_the_client_over_two_lives_of_the_engine(machine: Path, tmp_path: Path) -> None:
    port, listen, log = free_port(), free_port(), tmp_path / "live.jsonl"
    engine = tmp_path / "engine"
    engine.mkdir()
    options = ("--model", f"hf:{engine}/config.json", "--hardware", str(machine), "--precision", "bf16")
    more = ("--price", f"{PRICE}/h", "--log", str(log))
    with contextlib.ExitStack() as ends:
        process = ends.enter_context(running(engine, port))
        replay(port, rate_per_s=4.0, requests=8, seed=0)  # the first requests allocate and compile
        learned = correction(machine, engine, replay(port, rate_per_s=1.0, requests=24, seed=4), port)
        ends.enter_context(sidecar(port, listen, tmp_path / "errors", *options, *more, "--correction", learned))
        before = after_a_reading(listen)
        first = replay(port, rate_per_s=1.0, requests=30, seed=1)
        known = after_a_reading(listen)
        assert counted(before) == (0, 0, 0)
        assert counted(known) == of(first)
        assert known["ttft_seconds_count"] == known["request_output_tokens_count"] == len(first)
        assert known["up"] == 1
        paid_s = sum(known[f"reserved_seconds_total:{use}"] for use in ("busy", "idle", "cold"))
        cost = sum(known[f"cost_usd_total:{use}"] for use in ("busy", "idle", "cold"))
        assert cost == pytest.approx(paid_s * PRICE / 3600, rel=1e-9)
        ratios = {
            part: (
                known[f"measured_seconds_total:{part}"] / known[f"predicted_seconds_total:{part}"],
                known[f"predicted_low_seconds_total:{part}"] / known[f"predicted_seconds_total:{part}"],
                known[f"predicted_high_seconds_total:{part}"] / known[f"predicted_seconds_total:{part}"],
            )
            for part in ("tpot", "ttft")
        }
        LOG.info(f"measured / predicted with both ends of the band: {ratios}")
        LOG.info(f"paid {paid_s:.1f} s, busy {known['reserved_seconds_total:busy']:.1f} s")

        # It is killed under load. What came back long before is counted, and never more than was asked for.
        received = [0] * KILLED
        load = threading.Thread(
            target=replay, args=(port,), kwargs={"rate_per_s": 3.0, "requests": KILLED, "seed": 2, "received": received}
        )
        load.start()
        while sum(received) < 150:
            time.sleep(0.1)
        least = sum(received)
        after_a_reading(listen)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(30)
        load.join()
        while exported(listen)["up"]:
            time.sleep(INTERVAL_S / 4)
        killed = exported(listen)
        in_first_life = counted(killed)
        assert least <= in_first_life[2] - counted(known)[2]
        assert in_first_life[0] - counted(known)[0] <= KILLED
        counted_of_it = in_first_life[2] - counted(known)[2]
        LOG.info(f"the client had {sum(received)} tokens of the killed engine, {counted_of_it:g} are counted")

        with running(engine, port):
            second = replay(port, rate_per_s=1.5, requests=12, seed=3)
            found = after_a_reading(listen)
            requests, prompt, output = of(second)
            assert counted(found) == tuple(
                one + other for one, other in zip(in_first_life, (requests, prompt, output), strict=True)
            )
            assert (found["restarts_total"], found["cold_starts_total"]) == (1, 1)
            assert found["reserved_seconds_total:cold"] > 5.0  # it loads and compiles
            LOG.info(f"cold {found['reserved_seconds_total:cold']:.1f} s")
        while exported(listen)["up"]:
            time.sleep(INTERVAL_S / 4)
        last = exported(listen)
        assert counted(last) == counted(found)
    told = (tmp_path / "errors").read_text()
    assert re.search(r"nothing listens there|broke off", told)
    assert "it answers" in told
    assert re.search(r"Ended after [\d,]+ s: \d+ requests", told)
    written = export_workload(log, tmp_path / "load.csv")
    # Those that the kill broke off had arrived.
    assert counted(last)[0] <= written.requests <= counted(last)[0] + KILLED
