"""Sequences that run in a server at once: more share each reading of the weights, fewer are faster each."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...deployment.engine_flags import flag_of
from ...predict.memory_use import engine_sequences
from ..tactic import Option, Options, Refusal
from ..traffic_tactic import TrafficTactic

if TYPE_CHECKING:
    from ..case import Case
    from ..setups import Setup

_SEQUENCES = (32, 64, 128, 256, 512, 1024)
_TERM = "max_num_seqs"
_ENGINES = ("vllm", "sglang", "trtllm")


class SequenceLimit(TrafficTactic):
    """Another limit of running sequences."""

    name = "sequence_limit"
    title = "sequences that run at once"
    group = "sequence_limit"
    effort = "setting"

    def offered(self, setup: Setup, case: Case) -> Options:
        """Offer other limits than the engine's."""
        on = setup.on
        if on.engine not in _ENGINES:
            return Options((), [Refusal(text="running sequences", why=f"engine {on.engine} runs none")])
        own = setup.terms.get(_TERM) or engine_sequences(on.engine, on.machine)
        found = [
            Option(
                text=f"{count:,} sequences at once",
                change={f"terms.{_TERM}": count},
                apply=flag_of(on.engine, _TERM, str(count)),
            )
            for count in _SEQUENCES
            if count != own
        ]
        return Options(found)
