"""vLLM.

Names as of 0.32 (V1 engine; read on a running server, and in `vllm/v1/metrics/loggers.py`), then older ones:
`gpu_cache_usage_perc` and `gpu_prefix_cache_*` until 0.9, `time_per_output_token_seconds` until 0.11,
`gpu_prefix_cache_*` counted blocks before 0.8.3. V0 (before 0.8) has no counters of prefixes.
https://docs.vllm.ai/en/stable/usage/metrics/
"""

from __future__ import annotations

from ...results.live import series
from .metric import MEAN, Engine, counted, named

_CANCELLED, _FAILED = ("abort",), ("error",)

VLLM = Engine(
    name="vllm",
    prefix="vllm:",
    predicted_as="vllm",
    model_label="model_name",
    identity=("engine", "model_name"),
    counters={
        series("requests", outcome="ok"): counted(
            "vllm:request_success", without={"finished_reason": (*_CANCELLED, *_FAILED)}
        ),
        series("requests", outcome="cancelled"): counted("vllm:request_success", only={"finished_reason": _CANCELLED}),
        series("requests", outcome="error"): counted("vllm:request_success", only={"finished_reason": _FAILED}),
        series("prompt_tokens"): counted("vllm:prompt_tokens"),
        series("cached_prompt_tokens"): (
            *counted("vllm:prompt_tokens_cached"),
            *counted("vllm:prefix_cache_hits", "vllm:gpu_prefix_cache_hits"),
        ),
        series("output_tokens"): counted("vllm:generation_tokens"),
        series("queue_s"): named("vllm:request_queue_time_seconds_sum"),
        series("service_s"): named("vllm:request_inference_time_seconds_sum"),
        series("preemptions"): counted("vllm:num_preemptions"),
    },
    gauges={
        series("in_flight"): named("vllm:num_requests_running"),
        series("waiting"): named("vllm:num_requests_waiting"),
        series("kv_cache_use_share"): named("vllm:kv_cache_usage_perc", "vllm:gpu_cache_usage_perc", combine=MEAN),
    },
    histograms={
        series("request_s"): named("vllm:e2e_request_latency_seconds"),
        series("queue_wait_s"): named("vllm:request_queue_time_seconds"),
        series("ttft_s"): named("vllm:time_to_first_token_seconds"),
        # The last two are distributions over tokens, not over requests.
        series("tpot_s"): named(
            "vllm:request_time_per_output_token_seconds",
            "vllm:inter_token_latency_seconds",
            "vllm:time_per_output_token_seconds",
        ),
        series("request_prompt_tokens"): named("vllm:request_prompt_tokens"),
        series("request_output_tokens"): named("vllm:request_generation_tokens"),
    },
    parts={
        "steps": named("vllm:iteration_tokens_total_count"),
        "decode_s": named("vllm:inter_token_latency_seconds_sum", "vllm:time_per_output_token_seconds_sum"),
        "decode_tokens": named("vllm:inter_token_latency_seconds_count", "vllm:time_per_output_token_seconds_count"),
        "prefill_s": named("vllm:request_prefill_time_seconds_sum"),
    },
    shapes={"step_tokens": named("vllm:iteration_tokens_total")},
    hint="vLLM has it at its own port, such as 8000",
)
