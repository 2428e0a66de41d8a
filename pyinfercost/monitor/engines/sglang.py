"""SGLang, started with `--enable-metrics`.

Names of `python/sglang/srt/metrics/collector.py` in 0.5 (commit 00ae9c15), then names of 0.4:
`time_per_output_token_seconds`, and `func_latency_seconds`, which is not read. Length histograms need
`--collect-tokens-histogram`. Counters of tokens and requests move when a request ends, and the times between tokens as
tokens are sent. https://docs.sglang.io/references/production_metrics.html
"""

from __future__ import annotations

from ...results.live import series
from .metric import MEAN, Engine, counted, named

SGLANG = Engine(
    name="sglang",
    prefix="sglang:",
    predicted_as="sglang",
    model_label="model_name",
    identity=("model_name", "dp_rank", "tp_rank", "pp_rank"),
    counters={
        series("requests", outcome="ok"): counted("sglang:num_requests"),
        series("requests", outcome="cancelled"): counted("sglang:num_aborted_requests"),
        series("prompt_tokens"): counted("sglang:prompt_tokens"),
        series("cached_prompt_tokens"): counted("sglang:cached_tokens"),
        series("output_tokens"): counted("sglang:generation_tokens"),
        series("queue_s"): named("sglang:queue_time_seconds_sum"),
        series("preemptions"): counted("sglang:num_retracted_requests"),
    },
    # By default only the first rank of each copy has these.
    gauges={
        series("in_flight"): named("sglang:num_running_reqs"),
        series("waiting"): named("sglang:num_queue_reqs"),
        series("kv_cache_use_share"): named("sglang:token_usage", combine=MEAN),
    },
    histograms={
        series("request_s"): named("sglang:e2e_request_latency_seconds"),
        series("queue_wait_s"): named("sglang:queue_time_seconds"),
        series("ttft_s"): named("sglang:time_to_first_token_seconds"),
        # Distributions over tokens, not over requests.
        series("tpot_s"): named("sglang:inter_token_latency_seconds", "sglang:time_per_output_token_seconds"),
        series("request_prompt_tokens"): named("sglang:prompt_tokens_histogram"),
        series("request_output_tokens"): named("sglang:generation_tokens_histogram"),
    },
    parts={
        "decode_s": named("sglang:inter_token_latency_seconds_sum", "sglang:time_per_output_token_seconds_sum"),
        "decode_tokens": named(
            "sglang:inter_token_latency_seconds_count", "sglang:time_per_output_token_seconds_count"
        ),
        "busy_s": counted("sglang:gpu_execution_seconds", combine=MEAN),
    },
    notes=("an aborted request may be among the finished ones too, as SGLang counts them",),
    hint="SGLang has it at its own port if it was started with --enable-metrics",
)
