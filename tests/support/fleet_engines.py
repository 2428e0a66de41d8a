"""The same engine as a replica that takes each step of its scheduler, and as one that takes steps with prompts only."""

from __future__ import annotations

from typing import Any

from support import fleet_cases as cases

from pyinfercost import _core

BLOCK = {"vllm": 16, "sglang": 1, "trtllm": 16}
RESERVES: dict[str, dict[str, Any]] = {
    "vllm": {},
    # The defaults of a simulated server.
    "sglang": {"reserves": 0.7, "least_reserves": 0.7 * 0.14, "reserve_steps": 600},
    "trtllm": {"reserves": 1.0},
}
ACCEPTANCE = (0.8, 0.7, 0.6)
"""Of drafts, which yield 1 + 0.8 + 0.8 x 0.7 + 0.8 x 0.7 x 0.6 tokens a step."""
YIELD = 1 + 0.8 + 0.8 * 0.7 + 0.8 * 0.7 * 0.6


def server(costs: _core.StepCosts, engine: str, pool_tokens: int = 400_000, **changes: Any) -> _core.SimulatedServer:
    """Return a server with the defaults of an engine and a cache of some tokens. vLLM leaves one block unused."""
    settings: dict[str, Any] = {
        "blocks": pool_tokens // BLOCK[engine] + (engine == "vllm"),
        "block_tokens": BLOCK[engine],
        "max_sequences": 256,
        "max_tokens": 16_384 if engine == "sglang" else 8192,
        "chunk_tokens": 8192 if engine == "sglang" else 0,
        "chunked_prefill": engine != "trtllm",
    }
    return _core.SimulatedServer(costs=costs, engine=engine, **{**settings, **changes})


def sequences(costs: _core.StepCosts, engine: str, pool_tokens: int = 400_000, **changes: Any) -> _core.TokenReplica:
    """Return the same server by its steps with prompts."""
    settings: dict[str, Any] = {
        "pool_tokens": float(pool_tokens),
        "block_tokens": BLOCK[engine],
        "max_sequences": 256,
        "max_tokens": 8192,
        "mixes": engine != "sglang",
        "chunked_prefill": engine != "trtllm",
        **RESERVES[engine],
    }
    return cases.tokens(costs, **{**settings, **changes})
