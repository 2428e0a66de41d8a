"""Servers on this machine that publish pages of metrics as serving engines do, and misbehave as asked."""

from __future__ import annotations

import contextlib
import gzip
import http.server
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

TEXT = "text/plain; version=0.0.4; charset=utf-8"
OPEN = "application/openmetrics-text; version=1.0.0; charset=utf-8"
Handler = http.server.BaseHTTPRequestHandler


@dataclass
class PageServer:
    """A server of one page, which may be changed at any time.

    Attributes:
        page: The page, or what handles a request by itself.
        port: Port on this machine; 0 while it is down.
        asked: Requests so far.
    """

    page: bytes | Callable[[Handler], None] = b""
    content_type: str = TEXT
    status: int = 200
    packed: bool = False
    port: int = 0
    asked: int = 0
    _server: http.server.ThreadingHTTPServer | None = field(default=None, repr=False)

    @property
    def url(self) -> str:
        """Address of the page."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Listen, on the port of before if there was one."""
        outer = self

        class Answer(Handler):
            def do_GET(self) -> None:
                outer.asked += 1
                if callable(outer.page):
                    with contextlib.suppress(OSError):
                        outer.page(self)
                    return
                body = gzip.compress(outer.page) if outer.packed else outer.page
                self.send_response(outer.status)
                self.send_header("Content-Type", outer.content_type)
                self.send_header("Content-Length", str(len(body)))
                if outer.packed:
                    self.send_header("Content-Encoding", "gzip")
                self.end_headers()
                with contextlib.suppress(OSError):
                    self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True
            allow_reuse_address = True

        self._server = Server(("127.0.0.1", self.port), Answer)
        self.port = self._server.server_port
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def stop(self) -> None:
        """Stop listening; the port is kept for the next start."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None


@contextlib.contextmanager
def serving_pages(**settings: object) -> Iterator[PageServer]:
    """Run a server of pages."""
    server = PageServer(**settings)  # type: ignore[arg-type]
    server.start()
    try:
        yield server
    finally:
        server.stop()


class VllmProcess:
    """The metrics of one process of vLLM, by the library that it uses; names as of 0.32, or as of 0.7.

    Args:
        started_s: Unix time of the start of the process.
        is_old: Whether it has the names of 0.7, and no time of its start.
    """

    def __init__(self, started_s: float, *, is_old: bool = False, model: str = "small", engine: str = "0") -> None:
        self.registry = registry = CollectorRegistry()
        names = ["model_name", "engine"]
        labels = {"model_name": model, "engine": engine}

        def counter(name: str, *more: str) -> Counter:
            return Counter(name, name, [*names, *more], registry=registry)

        def histogram(name: str, *buckets: float) -> Histogram:
            return Histogram(name, name, names, buckets=buckets, registry=registry).labels(**labels)

        if not is_old:
            Gauge("process_start_time_seconds", "start", registry=registry).set(started_s)
        self._labels = labels
        self.prompt = counter("vllm:prompt_tokens").labels(**labels)
        self.output = counter("vllm:generation_tokens").labels(**labels)
        self.cached = counter("vllm:gpu_prefix_cache_hits" if is_old else "vllm:prompt_tokens_cached").labels(**labels)
        self.preempted = counter("vllm:num_preemptions").labels(**labels)
        self.ended = counter("vllm:request_success", "finished_reason")
        self.running = Gauge("vllm:num_requests_running", "running", names, registry=registry).labels(**labels)
        self.waiting = Gauge("vllm:num_requests_waiting", "waiting", names, registry=registry).labels(**labels)
        kv = "vllm:gpu_cache_usage_perc" if is_old else "vllm:kv_cache_usage_perc"
        self.kv = Gauge(kv, "kv", names, registry=registry).labels(**labels)
        itl = "vllm:time_per_output_token_seconds" if is_old else "vllm:inter_token_latency_seconds"
        self.itl = histogram(itl, 0.01, 0.025, 0.05, 0.1, 1.0)
        self.tpot = None if is_old else histogram("vllm:request_time_per_output_token_seconds", 0.01, 0.05, 0.1, 1.0)
        self.ttft = histogram("vllm:time_to_first_token_seconds", 0.01, 0.1, 0.5, 1.0, 5.0)
        self.e2e = histogram("vllm:e2e_request_latency_seconds", 0.3, 1.0, 5.0, 30.0)
        self.queued = histogram("vllm:request_queue_time_seconds", 0.3, 1.0, 5.0)
        self.prefill = histogram("vllm:request_prefill_time_seconds", 0.3, 1.0, 5.0)
        self.inference = histogram("vllm:request_inference_time_seconds", 0.3, 1.0, 5.0)
        self.prompts = histogram("vllm:request_prompt_tokens", 10, 100, 1000)
        self.outputs = histogram("vllm:request_generation_tokens", 10, 100, 1000)
        self.steps = histogram("vllm:iteration_tokens_total", 1, 8, 64, 512, 4096)

    def answer(
        self,
        prompt: int,
        output: int,
        *,
        ttft_s: float = 0.2,
        itl_s: float = 0.02,
        reason: str = "stop",
        queue_s: float = 0.0,
    ) -> None:
        """Count a request that runs alone."""
        self.prompt.inc(prompt)
        self.output.inc(output)
        self.ttft.observe(ttft_s)
        self.steps.observe(prompt + 1)
        for _ in range(output - 1):
            self.itl.observe(itl_s)
            self.steps.observe(1)
        if self.tpot is not None and output > 1:
            self.tpot.observe(itl_s)
        self.queued.observe(queue_s)
        self.prefill.observe(ttft_s - queue_s)
        self.inference.observe(ttft_s - queue_s + itl_s * (output - 1))
        self.e2e.observe(ttft_s + itl_s * (output - 1))
        self.prompts.observe(prompt)
        self.outputs.observe(output)
        self.ended.labels(**self._labels, finished_reason=reason).inc()

    def page(self) -> bytes:
        """The page of this moment."""
        return generate_latest(self.registry)
