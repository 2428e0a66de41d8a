"""Another serving engine for the same model on the same machine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..tactic import Option, Options, Refusal
from ..traffic_tactic import TrafficTactic
from .engine import why_not_on

if TYPE_CHECKING:
    from ..case import Case
    from ..setups import Setup

_ENGINES = {
    "vllm": "vllm serve MODEL",
    "sglang": "python -m sglang.launch_server --model-path MODEL",
    "trtllm": "trtllm-serve MODEL",
}


class ServedEngine(TrafficTactic):
    """vLLM, SGLang or TensorRT-LLM."""

    name = "served_engine"
    screened = True
    title = "another serving engine"
    group = "engine"
    effort = "build"

    def offered(self, setup: Setup, case: Case) -> Options:
        """Offer the other engines that run on the machine."""
        if setup.on.engine not in _ENGINES:
            return Options((), [Refusal(text="engine", why="the model has no tokens, which serving engines schedule")])
        found, refused = [], []
        for name, apply in _ENGINES.items():
            if name == setup.on.engine:
                continue
            if why := why_not_on(name, setup.on):
                refused.append(Refusal(text=name, why=why))
                continue
            # Settings of a scheduler belong to one engine.
            reset = [term for term in ("max_num_seqs", "max_num_batched_tokens") if term in setup.terms]
            change: dict[str, Any] = {"engine": name, "execution": "", **{f"terms.{term}": None for term in reset}}
            found.append(Option(text=name, change=change, apply=apply))
        return Options(found, refused)
