"""Tokens of prompts that a step reads: large steps read prompts sooner, small ones delay decoding less."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...deployment.engine_flags import flag_of
from ..tactic import Option, Options, Refusal
from ..traffic_tactic import TrafficTactic

if TYPE_CHECKING:
    from ..case import Case
    from ..setups import Setup

_TOKENS = (512, 1024, 2048, 4096, 8192, 16_384)
_TERM = "max_num_batched_tokens"


class ChunkSize(TrafficTactic):
    """Another budget of tokens in a step."""

    name = "chunk_size"
    title = "tokens of a step"
    group = "chunk_size"
    effort = "setting"

    def offered(self, setup: Setup, case: Case) -> Options:
        """Offer other budgets of engines that mix prompts and decoding."""
        engine = setup.on.engine
        if engine not in ("vllm", "trtllm"):
            why = f"engine {engine} reads prompts in steps of their own"
            return Options((), [Refusal(text="chunks of prompts", why=why)])
        found = [
            Option(
                text=f"steps of {tokens:,} tokens",
                change={f"terms.{_TERM}": tokens},
                apply=flag_of(engine, _TERM, str(tokens)),
            )
            for tokens in _TOKENS
            if tokens != setup.terms.get(_TERM)
        ]
        return Options(found)
