# Written by tools/settings_stub.py from the fields of FleetRun and Scheduler.
from typing import SupportsIndex, TypedDict

from ..serving.lengths import LengthsLike
from ..serving.objectives import SLOLike
from .terms import TermsLike

class FleetOptions(TypedDict, total=False):
    slo: SLOLike | None
    terms: TermsLike | None
    detail: str
    routing: str | None
    prompt: LengthsLike | None
    output: LengthsLike | None
    duration_s: float | None
    scale: float
    start_s: float
    end_s: float | None
    cold_start_s: float | None
    varies_cold_starts: bool
    timeout_s: float | None
    max_batch_size: SupportsIndex
    max_queue_delay_s: float
    seed: SupportsIndex
    max_num_batched_tokens: SupportsIndex | None
    enable_chunked_prefill: bool | None
    chunked_prefill_size: SupportsIndex | None
    max_num_seqs: SupportsIndex | None
    num_gpu_blocks: SupportsIndex | None
    max_model_len: SupportsIndex | None
    enable_prefix_caching: bool | None
    stream_interval: SupportsIndex | None
    evicts: bool | None
