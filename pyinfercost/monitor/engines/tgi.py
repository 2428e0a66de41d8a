"""Text Generation Inference.

Names of its reference of metrics in 3.3 (https://huggingface.co/docs/text-generation-inference/reference/metrics);
counters have no suffix, and counters of tokens are sums of histograms. IBM's fork calls the method of decoding
`next_token`. There is no time to the first token, and the time per token is the time of the whole request over its
tokens.
"""

from __future__ import annotations

from ...results.live import series
from .metric import Engine, counted, named

_DECODE = ("decode", "next_token")

TGI = Engine(
    name="tgi",
    prefix="tgi_",
    predicted_as="vllm",
    model_label="model_name",  # set by scrapers alone: a process serves one model
    identity=(),
    counters={
        series("requests", outcome="ok"): counted("tgi_request_success"),
        series("requests", outcome="error"): counted("tgi_request_failure"),
        series("prompt_tokens"): named("tgi_request_input_length_sum"),
        series("output_tokens"): named("tgi_request_generated_tokens_sum"),
        series("queue_s"): named("tgi_request_queue_duration_sum"),
        series("service_s"): named("tgi_request_inference_duration_sum"),
    },
    gauges={
        series("in_flight"): named("tgi_batch_current_size"),
        series("waiting"): named("tgi_queue_size"),
    },
    histograms={
        series("request_s"): named("tgi_request_duration"),
        series("queue_wait_s"): named("tgi_request_queue_duration"),
        series("tpot_s"): named("tgi_request_mean_time_per_token_duration"),
        series("request_prompt_tokens"): named("tgi_request_input_length"),
        series("request_output_tokens"): named("tgi_request_generated_tokens"),
    },
    parts={
        "steps": counted("tgi_batch_inference_count"),
        "decode_steps": counted("tgi_batch_inference_count", only={"method": _DECODE}),
        "busy_s": named("tgi_batch_inference_duration_sum"),
        "decode_steps_s": named("tgi_batch_inference_duration_sum", only={"method": _DECODE}),
    },
    notes=(
        "the time per token of TGI has the time to the first token in it",
        "steps of TGI are predicted with the kernels of vLLM",
    ),
    hint="TGI has it at its own port, such as 8080",
)
