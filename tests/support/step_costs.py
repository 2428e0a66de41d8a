"""Tables of steps as formulas, for tests of servers under load without a model."""

from __future__ import annotations

import numpy as np

from pyinfercost._core import Rent, RentedDevices
from pyinfercost.serving.step_tables import StepCosts, Table


def step_costs_like_an_h100(**changes: object) -> StepCosts:
    """Costs like those of 8 billion parameters on an H100, as formulas.

    Products take 6 ms, or 20 us a token beyond 300; attention reads 131 kB a token at 2.5 TB/s, and a chunk of t tokens
    takes 2 ns x t x (context + t / 2).
    """
    tokens = np.unique(np.concatenate([np.arange(1.0, 65), np.geomspace(64, 16_384, 200)]))
    sequences, contexts = np.arange(1.0, 513), np.geomspace(1, 65_536, 33)
    products = np.maximum(6e-3, 20e-6 * tokens)
    rows, columns = np.meshgrid(sequences, contexts, indexing="ij")
    decode = 0.2e-3 + rows * columns * 131e3 / 2.5e12
    chunks, befores = np.unique(np.rint(np.geomspace(1, 16_384, 80))), np.linspace(0, 65_536, 9)
    chunk, before = np.meshgrid(chunks, befores, indexing="ij")
    reading = 2e-9 * chunk * (before + chunk / 2)
    fields: dict[str, object] = {
        "engine": "vllm",
        "precision": "bf16",
        "layout": "tensor=1",
        "hardware": "made",
        "devices": 1,
        "copies": 1,
        "lockstep": False,
        "stages": 1,
        "prefill_fill": 1.0,
        "tokens": Table(tokens, products, 500 * products),
        "recorded": Table(sequences, np.maximum(6e-3, 20e-6 * sequences), np.full(512, 3.0)),
        "outputs": Table(sequences, 0.4e-3 + 1e-6 * sequences, 0.2 + 0 * sequences),
        "decode": Table(sequences, decode, 400 * decode, contexts),
        "prefill": Table(chunks, reading, 500 * reading, befores),
        "drafts": None,
        "host_step_s": 1e-3,
        "host_sequence_s": 16e-6,
        "host_prefill_s": 1e-3,
        "overlaps_host": False,
        "idle_w": 100.0,
        "draft_tokens": 0,
        "tokens_per_step": 1.0,
        "spread": 0.15,
        "prefill_spread": 0.15,
        "most_sequences": 512,
        "most_tokens": 16_384,
        "most_context": 65_536,
        "weight_bytes": 16_000_000_000,
        "pool_bytes": None,
        "block_tokens": 16,
        "kv_bytes_per_token": 131_072.0,
        "context": 4096,
        "rent": Rent(RentedDevices(1, 1), 3.6, 1),
    }
    return StepCosts(**{**fields, **changes})  # type: ignore[arg-type]
