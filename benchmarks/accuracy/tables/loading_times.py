"""`loading_times.csv`: loading times of weights, published with ServerlessLLM.

Decisions, with evidence in the data:

- A row is one load of a checkpoint in its 16-bit format from the start of the loader until the weights are in device
  memory. `random`: thirty copies of a model, which do not fit the page cache together, are loaded in random order from
  SSDs. `cached`: one model is loaded again, from the page cache (`safetensors`) or from pinned memory (`sllm`).
  `phantom` is the name of `sllm` in 2024.
- Bytes follow from the architectures, at 2 bytes for each parameter.
- Servers: `a5000_2024` has two Intel P5510 in RAID 0, taken for 2 x 7.0 GB/s, the sheet of the same drive's predecessor
  (D7-P5500); `h100_2025` states 29.4 GB/s for its storage. Links are those of the catalog.
- Of the rates, three follow from this table, for all rows alike: reads of mapped files and the share of an array that
  direct reads reach (`deployment/facts.toml`), and copies of pageable memory (`calibration/gpu.toml`).
- The plain model has none of them: bytes over the slower of storage and link.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from pyinfercost.deployment import Startup, cold_start

from ..cases import Group
from ..figures import Judged
from ..predict import Predicted

if TYPE_CHECKING:
    from pyinfercost import Hardware

    from ..captures import Capturing
    from ..measured import Table

FOLDER = "../traces/serverlessllm_coldstart"
"""Folder of the table, beside that of the measurements."""

DEVICES = {"a5000_2024": "rtx-a5000", "h100_2025": "h100-sxm-80gb"}
"""Server of the table -> id of its device in the catalog."""

STORAGE_GB_PER_S = {"rtx-a5000": 2 * 7.0, "h100-sxm-80gb": 29.4}
"""Device of a server -> rate of its SSDs, as published."""

_GIGA = 1e9
_WIDTH = 2
_LOADERS = {"safetensors": "safetensors", "sllm": "sllm", "phantom": "sllm"}


def _decoder(
    hidden: int, layers: int, heads: int, kv_heads: int, width: int, inner: int, vocabulary: int, beside: int = 0
) -> int:
    """Return the parameters of a decoder with gated feed-forward layers and a head of its own.

    Args:
        hidden: Width of the residual stream.
        layers: Number of layers.
        heads: Heads of queries.
        kv_heads: Heads of keys and of values.
        width: Width of a head.
        inner: Width of the feed-forward layer.
        vocabulary: Rows of embeddings.
        beside: Further parameters of a layer.
    """
    attention = 2 * hidden * heads * width + 2 * hidden * kv_heads * width
    layer = attention + 3 * hidden * inner + 2 * hidden + beside
    return 2 * vocabulary * hidden + layers * layer + hidden


def _opt(hidden: int, layers: int, inner: int, vocabulary: int, positions: int) -> int:
    """Return the parameters of an OPT, whose products and norms have biases and whose head is its embedding."""
    layer = 4 * (hidden * hidden + hidden) + 2 * hidden * inner + inner + hidden + 4 * hidden
    return (vocabulary + positions) * hidden + layers * layer + 2 * hidden


PARAMETERS = {
    "facebook/opt-6.7b": _opt(4096, 32, 16384, 50272, 2050),
    "meta-llama/Llama-3.1-8B-Instruct": _decoder(4096, 32, 32, 8, 128, 14336, 128256),
    # Norms of queries and keys, and biases of the three projections.
    "Qwen/Qwen3-32B": _decoder(5120, 64, 64, 8, 128, 25600, 151936, beside=2 * 128),
    "deepseek-ai/DeepSeek-R1-Distill-Qwen-32B": _decoder(
        5120, 64, 40, 8, 128, 27648, 152064, beside=(40 + 2 * 8) * 128
    ),
}
"""Model -> its parameters."""


def named(table: Table) -> Table:
    """Return the table with the devices of its servers, by the catalog's ids."""
    devices = [DEVICES.get(server, server) for server in table.text("device")]
    return replace(table, columns={**table.columns, "device": devices})


def columns(table: Table) -> dict[str, list[str]]:
    """Return the columns of the loader and of the model without the number of its copy."""
    return {
        "loader": [_LOADERS.get(name, name) for name in table.text("format")],
        "model": [name.rpartition("_")[0] or name for name in table.text("model")],
    }


def loads(table: Table, machines: Mapping[str, Hardware], capturing: Capturing) -> Judged:
    """Return the loads; `software` is the loader and `part` the model, with where its weights are."""
    del capturing  # nothing is captured
    measured_s = table.seconds()
    found = []
    for key, rows in table.groups("device", "loader", "mode", "model"):
        device, loader, mode, model = key
        if model not in PARAMETERS or mode not in ("random", "cached") or loader not in _LOADERS:
            table.problems.add(table.name, "model, mode or loader unknown", " ".join(key), len(rows))
            continue
        weight_bytes = _WIDTH * PARAMETERS[model]
        cached = "memory" if loader == "safetensors" else "pinned"
        place = cached if mode == "cached" else STORAGE_GB_PER_S[device]
        start = cold_start(machines[device], weight_bytes, Startup(weights_from=place, loader=loader))
        if start is None:
            table.problems.add(table.name, "the link of the device is unknown", device, len(rows))
            continue
        part = start.part("weights")
        rates = [machines[device].links_byte_per_s["host"]]
        if mode != "cached":
            rates.append(STORAGE_GB_PER_S[device] * _GIGA)
        group = Group(table.name, device, loader, "bf16", "", f"{model.rpartition('/')[2]}, {mode}")
        count = len(rows)
        predicted = Predicted(*(np.full(count, value) for value in (part.seconds, part.low_s, part.high_s)))
        plain_s = np.full(count, weight_bytes / min(rates))
        found.append(Judged([group] * count, measured_s[rows], predicted, plain_s, rows))
    return Judged.joined(found)
