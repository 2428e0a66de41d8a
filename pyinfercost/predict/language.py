"""Both phases of a language model from two profiles: the figures that its users ask for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..results import figures
from ..results.language_profile import LanguageProfile
from ..sources.sizes import batch_name
from .memory_use import Prompt, memory_on

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..deployment import Deployment
    from ..results.estimate import Estimate
    from ..results.memory_use import MemoryUse
    from ..results.profile import Profile


def language_profile(
    on: Deployment, model: str, sizes: Mapping[str, int], prefill: Profile, decode: Profile
) -> LanguageProfile:
    """Return one result of both phases.

    Args:
        on: Where and how the model runs.
        model: Name of the model.
        sizes: `batch`, `prompt` and `context`.
        prefill: Profile of the prefill.
        decode: Profile of a decode step.
    """
    memory = _memory(on, prefill, decode)
    timed = _timed(prefill.estimate, decode.estimate, on.settings.tokens_per_step)
    known = {**decode.figures, **timed, **_of_memory(memory)}
    return LanguageProfile(
        model=model,
        precision=on.precision,
        sizes=sizes,
        prefill=prefill,
        decode=decode,
        kv_cache=decode.kv_cache,
        memory=memory,
        figures={key: known.get(key) for key in figures.keys(figures.PHASES)},
        engine_command=decode.engine_command,
    )


def _memory(on: Deployment, prefill: Profile, decode: Profile) -> MemoryUse | None:
    """Return the memory of the decode step, with a pool that leaves room for a prefill."""
    reading = None if prefill.estimate is None else prefill.estimate.memory
    use = None if decode.estimate is None else decode.estimate.memory
    if prefill.estimate is None or reading is None or use is None:
        return use
    # The largest share of the batch on one device.
    copies = on.rank_layout.copies
    sequences = -(-prefill.sizes.get("batch", 1) // copies)
    share = dict(decode.sizes)
    if copies > 1:
        batch = batch_name(decode.graph)
        share[batch] = -(-share[batch] // copies)
    prompt = Prompt(reading.activation_bytes, sequences)
    peak = use.weight_bytes + use.kv_cache_bytes + use.activation_bytes
    return memory_on(on, decode.graph, share, peak, prompt=prompt)


def _timed(reads: Estimate | None, generates: Estimate | None, tokens_per_step: float) -> dict[str, float | None]:
    """Return the figures that need a machine."""
    if reads is None or generates is None:
        return {}
    return {
        "ttft_s": reads.latency_s,
        "tpot_s": generates.tpot_s,
        "prefill_tokens_per_s": reads.tokens_per_s,
        "tokens_per_s": generates.tokens_per_s,
        "tokens_per_s_per_sequence": generates.tokens_per_s_per_sequence,
        "energy_per_input_token_j": _energy_per_token_j(reads, 1.0),
        "energy_per_output_token_j": _energy_per_token_j(generates, tokens_per_step),
        "usd_per_million_input_tokens": getattr(reads, figures.OF_TOKENS["cost_usd"]),
        "usd_per_million_output_tokens": getattr(generates, figures.OF_TOKENS["cost_usd"]),
    }


def _energy_per_token_j(estimate: Estimate, tokens_per_step: float) -> float | None:
    if estimate.energy_j is None or not estimate.tokens:
        return None
    return estimate.energy_j / (estimate.tokens * tokens_per_step)


def _of_memory(memory: MemoryUse | None) -> dict[str, int | None]:
    if memory is None:
        return {}
    return {"max_sequences": memory.max_sequences, "memory_left_bytes": memory.left_bytes}
