"""Keys and values of attention in 8 bits: twice as many tokens in the same memory, and half the bytes to read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...deployment.engine_flags import flag_of
from ..tactic import Option, Options, Refusal
from ..traffic_tactic import TrafficTactic

if TYPE_CHECKING:
    from ..case import Case
    from ..setups import Setup

_OF_ENGINES = {"vllm": ("fp8",), "sglang": ("fp8",), "trtllm": ("fp8", "int8")}


class ServedCache(TrafficTactic):
    """An 8-bit KV cache."""

    name = "served_cache"
    screened = True
    title = "8-bit KV cache"
    group = "kv_cache"
    risk = "small"
    effort = "setting"

    def offered(self, setup: Setup, case: Case) -> Options:
        """Offer the formats that the engine stores."""
        known = _OF_ENGINES.get(setup.on.engine)
        if known is None:
            why = f"engine {setup.on.engine} stores keys and values as the model computes them"
            return Options((), [Refusal(text="KV cache", why=why)])
        found = [
            Option(
                text=f"{name} KV cache",
                change={"kv_cache": name},
                published=f"kv:{name}",
                apply=flag_of(setup.on.engine, "kv_cache", name),
            )
            for name in known
            if name != setup.variant.kv_cache
        ]
        return Options(found)
