"""Triton Inference Server.

Names of its documentation of 25.06 (`docs/user_guide/metrics.md`); counters have no suffix. Times are sums over
requests in microseconds; there are histograms of the first response of decoupled models only, with
`--metrics-config histogram_latencies=true`, in milliseconds. Names that begin with `nv_trt_llm_` and `nv_llm_` are of
its TensorRT-LLM backend (`src/custom_metrics_reporter`), whose lengths of prompts and answers are histograms. A failure
has a reason since 24.06.
"""

from __future__ import annotations

from ...results.live import series
from .metric import MEAN, Engine, Metric, named

_MICRO, _MILLI = 1e-6, 1e-3
_CANCELLED = ("CANCELED",)
_COMPUTE = tuple(Metric(f"nv_inference_compute_{phase}_duration_us", _MICRO) for phase in ("input", "infer", "output"))

TRITON = Engine(
    name="triton",
    prefix="nv_",
    predicted_as=None,
    model_label="model",
    identity=("model", "version", "gpu_uuid"),
    counters={
        series("requests", outcome="ok"): named("nv_inference_request_success"),
        series("requests", outcome="cancelled"): named("nv_inference_request_failure", only={"reason": _CANCELLED}),
        series("requests", outcome="error"): named("nv_inference_request_failure", without={"reason": _CANCELLED}),
        series("items"): named("nv_inference_count"),
        series("prompt_tokens"): named("nv_llm_input_token_len_sum"),
        series("output_tokens"): named("nv_llm_output_token_len_sum"),
        series("queue_s"): named("nv_inference_queue_duration_us", scale=_MICRO),
        series("service_s"): (_COMPUTE,),
        series("energy_j"): named("nv_energy_consumption"),
    },
    gauges={
        series("in_flight"): named("nv_trt_llm_request_metrics", only={"request_type": ("scheduled",)}),
        series("waiting"): (
            *named("nv_trt_llm_request_metrics", only={"request_type": ("waiting",)}),
            *named("nv_inference_pending_request_count"),
        ),
        series("kv_cache_use_share"): named(
            "nv_trt_llm_kv_cache_block_metrics", only={"kv_cache_block_type": ("fraction",)}, combine=MEAN
        ),
        series("power_w"): named("nv_gpu_power_usage"),
    },
    histograms={
        series("ttft_s"): named("nv_inference_first_response_histogram_ms", scale=_MILLI),
        series("request_prompt_tokens"): named("nv_llm_input_token_len"),
        series("request_output_tokens"): named("nv_llm_output_token_len"),
    },
    parts={
        "batches": named("nv_inference_exec_count"),
        "batch_requests": named("nv_inference_request_success"),
        "batch_s": (_COMPUTE,),
    },
    notes=(
        "the requests of an ensemble are counted with the requests of its models; pick one model to count users' alone",
    ),
    hint="Triton has it at port 8002 by default",
)
