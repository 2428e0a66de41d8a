"""Pages of metrics of serving engines, written after their documentation; none was recorded on a server."""

# ruff: noqa: E501

SGLANG = """\
# Written after docs.sglang.io/references/production_metrics.html and srt/metrics/collector.py of SGLang 0.5.
# HELP sglang:prompt_tokens_total Number of prefill tokens processed.
# TYPE sglang:prompt_tokens_total counter
sglang:prompt_tokens_total{model_name="llama"} 8.128902e+06
# TYPE sglang:generation_tokens_total counter
sglang:generation_tokens_total{model_name="llama"} 7.557572e+06
# TYPE sglang:cached_tokens_total counter
sglang:cached_tokens_total{model_name="llama"} 61028.0
# TYPE sglang:num_requests_total counter
sglang:num_requests_total{model_name="llama"} 11008.0
# TYPE sglang:num_aborted_requests_total counter
sglang:num_aborted_requests_total{model_name="llama"} 12.0
# TYPE sglang:token_usage gauge
sglang:token_usage{engine_type="unified",model_name="llama",pp_rank="0",tp_rank="0"} 0.28
# TYPE sglang:num_running_reqs gauge
sglang:num_running_reqs{engine_type="unified",model_name="llama",pp_rank="0",tp_rank="0"} 162.0
# TYPE sglang:num_queue_reqs gauge
sglang:num_queue_reqs{engine_type="unified",model_name="llama",pp_rank="0",tp_rank="0"} 2826.0
# TYPE sglang:num_retracted_requests_total counter
sglang:num_retracted_requests_total{engine_type="unified",model_name="llama",pp_rank="0",tp_rank="0"} 3.0
# TYPE sglang:gpu_execution_seconds_total counter
sglang:gpu_execution_seconds_total{category="decode",engine_type="unified",model_name="llama",pp_rank="0",tp_rank="0"} 900.5
sglang:gpu_execution_seconds_total{category="extend",engine_type="unified",model_name="llama",pp_rank="0",tp_rank="0"} 99.5
# TYPE sglang:time_to_first_token_seconds histogram
sglang:time_to_first_token_seconds_sum{model_name="llama"} 2351.5
sglang:time_to_first_token_seconds_bucket{le="0.1",model_name="llama"} 8000.0
sglang:time_to_first_token_seconds_bucket{le="1.0",model_name="llama"} 11000.0
sglang:time_to_first_token_seconds_bucket{le="+Inf",model_name="llama"} 11008.0
sglang:time_to_first_token_seconds_count{model_name="llama"} 11008.0
# TYPE sglang:inter_token_latency_seconds histogram
sglang:inter_token_latency_seconds_sum{model_name="llama"} 150000.0
sglang:inter_token_latency_seconds_bucket{le="0.02",model_name="llama"} 7000000.0
sglang:inter_token_latency_seconds_bucket{le="0.1",model_name="llama"} 7546564.0
sglang:inter_token_latency_seconds_bucket{le="+Inf",model_name="llama"} 7546564.0
sglang:inter_token_latency_seconds_count{model_name="llama"} 7546564.0
# TYPE sglang:e2e_request_latency_seconds histogram
sglang:e2e_request_latency_seconds_sum{model_name="llama"} 170000.0
sglang:e2e_request_latency_seconds_bucket{le="10.0",model_name="llama"} 4000.0
sglang:e2e_request_latency_seconds_bucket{le="+Inf",model_name="llama"} 11008.0
sglang:e2e_request_latency_seconds_count{model_name="llama"} 11008.0
# TYPE sglang:queue_time_seconds histogram
sglang:queue_time_seconds_sum{engine_type="unified",model_name="llama",pp_rank="0",tp_rank="0"} 1200.0
sglang:queue_time_seconds_bucket{engine_type="unified",le="0.0",model_name="llama",pp_rank="0",tp_rank="0"} 0.0
sglang:queue_time_seconds_bucket{engine_type="unified",le="0.1",model_name="llama",pp_rank="0",tp_rank="0"} 9000.0
sglang:queue_time_seconds_bucket{engine_type="unified",le="+Inf",model_name="llama",pp_rank="0",tp_rank="0"} 11008.0
sglang:queue_time_seconds_count{engine_type="unified",model_name="llama",pp_rank="0",tp_rank="0"} 11008.0
"""

SGLANG_OLD = """\
# Written after the documentation of SGLang 0.4.3, whose time between tokens has another name.
# TYPE sglang:prompt_tokens_total counter
sglang:prompt_tokens_total{model_name="llama"} 100.0
# TYPE sglang:generation_tokens_total counter
sglang:generation_tokens_total{model_name="llama"} 60.0
# TYPE sglang:num_running_reqs gauge
sglang:num_running_reqs{model_name="llama"} 2.0
# TYPE sglang:time_per_output_token_seconds histogram
sglang:time_per_output_token_seconds_sum{model_name="llama"} 1.5
sglang:time_per_output_token_seconds_bucket{le="0.05",model_name="llama"} 50.0
sglang:time_per_output_token_seconds_bucket{le="+Inf",model_name="llama"} 50.0
sglang:time_per_output_token_seconds_count{model_name="llama"} 50.0
"""

TRITON = """\
# Written after docs/user_guide/metrics.md of Triton 25.06.
# HELP nv_inference_request_success Number of successful inference requests, all batch sizes
# TYPE nv_inference_request_success counter
nv_inference_request_success{model="resnet",version="1"} 1610
nv_inference_request_success{model="bert",version="1"} 40
# TYPE nv_inference_request_failure counter
nv_inference_request_failure{model="resnet",reason="BACKEND",version="1"} 3
nv_inference_request_failure{model="resnet",reason="CANCELED",version="1"} 2
nv_inference_request_failure{model="resnet",reason="OTHER",version="1"} 1
nv_inference_request_failure{model="resnet",reason="REJECTED",version="1"} 4
# TYPE nv_inference_count counter
nv_inference_count{model="resnet",version="1"} 6440
nv_inference_count{model="bert",version="1"} 40
# TYPE nv_inference_exec_count counter
nv_inference_exec_count{model="resnet",version="1"} 805
nv_inference_exec_count{model="bert",version="1"} 40
# TYPE nv_inference_request_duration_us counter
nv_inference_request_duration_us{model="resnet",version="1"} 34000000
# TYPE nv_inference_queue_duration_us counter
nv_inference_queue_duration_us{model="resnet",version="1"} 1800000
# TYPE nv_inference_compute_input_duration_us counter
nv_inference_compute_input_duration_us{model="resnet",version="1"} 1000000
# TYPE nv_inference_compute_infer_duration_us counter
nv_inference_compute_infer_duration_us{model="resnet",version="1"} 30000000
# TYPE nv_inference_compute_output_duration_us counter
nv_inference_compute_output_duration_us{model="resnet",version="1"} 1200000
# TYPE nv_inference_pending_request_count gauge
nv_inference_pending_request_count{model="resnet",version="1"} 7
# TYPE nv_energy_consumption counter
nv_energy_consumption{gpu_uuid="GPU-0"} 120034.25
nv_energy_consumption{gpu_uuid="GPU-1"} 80000.5
# TYPE nv_gpu_power_usage gauge
nv_gpu_power_usage{gpu_uuid="GPU-0"} 61.5
nv_gpu_power_usage{gpu_uuid="GPU-1"} 58.5
# TYPE nv_inference_first_response_histogram_ms histogram
nv_inference_first_response_histogram_ms_count{model="resnet",version="1"} 10
nv_inference_first_response_histogram_ms_sum{model="resnet",version="1"} 2500
nv_inference_first_response_histogram_ms_bucket{model="resnet",version="1",le="100"} 4
nv_inference_first_response_histogram_ms_bucket{model="resnet",version="1",le="500"} 9
nv_inference_first_response_histogram_ms_bucket{model="resnet",version="1",le="+Inf"} 10
"""

TRITON_TRTLLM = """\
# Written after src/custom_metrics_reporter of Triton's TensorRT-LLM backend 0.16.
# TYPE nv_inference_request_success counter
nv_inference_request_success{model="tensorrt_llm",version="1"} 12
# TYPE nv_trt_llm_request_metrics gauge
nv_trt_llm_request_metrics{model="tensorrt_llm",request_type="waiting",version="1"} 5
nv_trt_llm_request_metrics{model="tensorrt_llm",request_type="scheduled",version="1"} 8
nv_trt_llm_request_metrics{model="tensorrt_llm",request_type="max",version="1"} 512
# TYPE nv_trt_llm_kv_cache_block_metrics gauge
nv_trt_llm_kv_cache_block_metrics{kv_cache_block_type="fraction",model="tensorrt_llm",version="1"} 0.4
nv_trt_llm_kv_cache_block_metrics{kv_cache_block_type="max",model="tensorrt_llm",version="1"} 6239
# TYPE nv_llm_output_token_len histogram
nv_llm_output_token_len_count{model="tensorrt_llm",response_metric_type="total_output_tokens",version="1"} 12
nv_llm_output_token_len_sum{model="tensorrt_llm",response_metric_type="total_output_tokens",version="1"} 1234
nv_llm_output_token_len_bucket{model="tensorrt_llm",response_metric_type="total_output_tokens",version="1",le="100"} 6
nv_llm_output_token_len_bucket{model="tensorrt_llm",response_metric_type="total_output_tokens",version="1",le="+Inf"} 12
# TYPE nv_llm_input_token_len histogram
nv_llm_input_token_len_count{model="tensorrt_llm",response_metric_type="total_input_tokens",version="1"} 12
nv_llm_input_token_len_sum{model="tensorrt_llm",response_metric_type="total_input_tokens",version="1"} 4321
nv_llm_input_token_len_bucket{model="tensorrt_llm",response_metric_type="total_input_tokens",version="1",le="500"} 11
nv_llm_input_token_len_bucket{model="tensorrt_llm",response_metric_type="total_input_tokens",version="1",le="+Inf"} 12
"""

TGI = """\
# Written after huggingface.co/docs/text-generation-inference/reference/metrics of TGI 3.3.
# TYPE tgi_request_success counter
tgi_request_success 240
# TYPE tgi_request_failure counter
tgi_request_failure{err="validation"} 3
tgi_request_failure{err="overloaded"} 2
# TYPE tgi_batch_inference_count counter
tgi_batch_inference_count{method="prefill"} 230
tgi_batch_inference_count{method="decode"} 9000
# TYPE tgi_batch_current_size gauge
tgi_batch_current_size 6
# TYPE tgi_queue_size gauge
tgi_queue_size 4
# TYPE tgi_request_input_length histogram
tgi_request_input_length_bucket{le="128"} 100
tgi_request_input_length_bucket{le="1024"} 239
tgi_request_input_length_bucket{le="+Inf"} 240
tgi_request_input_length_sum 60000
tgi_request_input_length_count 240
# TYPE tgi_request_generated_tokens histogram
tgi_request_generated_tokens_bucket{le="100"} 120
tgi_request_generated_tokens_bucket{le="+Inf"} 240
tgi_request_generated_tokens_sum 36240
tgi_request_generated_tokens_count 240
# TYPE tgi_request_duration histogram
tgi_request_duration_bucket{le="1"} 40
tgi_request_duration_bucket{le="8"} 240
tgi_request_duration_bucket{le="+Inf"} 240
tgi_request_duration_sum 900.5
tgi_request_duration_count 240
# TYPE tgi_request_queue_duration histogram
tgi_request_queue_duration_bucket{le="1"} 240
tgi_request_queue_duration_bucket{le="+Inf"} 240
tgi_request_queue_duration_sum 20.25
tgi_request_queue_duration_count 240
# TYPE tgi_request_inference_duration histogram
tgi_request_inference_duration_bucket{le="+Inf"} 240
tgi_request_inference_duration_sum 880.25
tgi_request_inference_duration_count 240
# TYPE tgi_request_mean_time_per_token_duration histogram
tgi_request_mean_time_per_token_duration_bucket{le="0.05"} 240
tgi_request_mean_time_per_token_duration_bucket{le="+Inf"} 240
tgi_request_mean_time_per_token_duration_sum 5.85
tgi_request_mean_time_per_token_duration_count 240
# TYPE tgi_batch_inference_duration histogram
tgi_batch_inference_duration_bucket{method="prefill",le="+Inf"} 230
tgi_batch_inference_duration_sum{method="prefill"} 23
tgi_batch_inference_duration_count{method="prefill"} 230
tgi_batch_inference_duration_bucket{method="decode",le="+Inf"} 9000
tgi_batch_inference_duration_sum{method="decode"} 180
tgi_batch_inference_duration_count{method="decode"} 9000
"""

VLLM_V0 = """\
# Written after vllm/engine/metrics.py of vLLM 0.6.6 (V0 engine).
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{model_name="opt"} 3.0
# TYPE vllm:num_requests_waiting gauge
vllm:num_requests_waiting{model_name="opt"} 1.0
# TYPE vllm:gpu_cache_usage_perc gauge
vllm:gpu_cache_usage_perc{model_name="opt"} 0.375
# TYPE vllm:num_preemptions_total counter
vllm:num_preemptions_total{model_name="opt"} 4.0
# TYPE vllm:prompt_tokens_total counter
vllm:prompt_tokens_total{model_name="opt"} 5000.0
# TYPE vllm:generation_tokens_total counter
vllm:generation_tokens_total{model_name="opt"} 2100.0
# TYPE vllm:request_success_total counter
vllm:request_success_total{finished_reason="stop",model_name="opt"} 90.0
vllm:request_success_total{finished_reason="length",model_name="opt"} 10.0
# TYPE vllm:time_to_first_token_seconds histogram
vllm:time_to_first_token_seconds_sum{model_name="opt"} 12.5
vllm:time_to_first_token_seconds_bucket{le="0.1",model_name="opt"} 60.0
vllm:time_to_first_token_seconds_bucket{le="+Inf",model_name="opt"} 100.0
vllm:time_to_first_token_seconds_count{model_name="opt"} 100.0
# TYPE vllm:time_per_output_token_seconds histogram
vllm:time_per_output_token_seconds_sum{model_name="opt"} 40.0
vllm:time_per_output_token_seconds_bucket{le="0.025",model_name="opt"} 1900.0
vllm:time_per_output_token_seconds_bucket{le="+Inf",model_name="opt"} 2000.0
vllm:time_per_output_token_seconds_count{model_name="opt"} 2000.0
"""

VLLM_BLOCKS = """\
# Written after vllm/v1/metrics/loggers.py of vLLM 0.8 (V1 engine), whose caches of prefixes had the prefix gpu_.
# TYPE vllm:gpu_prefix_cache_queries_total counter
vllm:gpu_prefix_cache_queries_total{engine="0",model_name="opt"} 900.0
# TYPE vllm:gpu_prefix_cache_hits_total counter
vllm:gpu_prefix_cache_hits_total{engine="0",model_name="opt"} 300.0
vllm:gpu_prefix_cache_hits_total{engine="1",model_name="opt"} 45.0
# TYPE vllm:gpu_cache_usage_perc gauge
vllm:gpu_cache_usage_perc{engine="0",model_name="opt"} 0.5
vllm:gpu_cache_usage_perc{engine="1",model_name="opt"} 0.25
"""
