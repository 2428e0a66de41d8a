"""`published_models.csv`: a whole model on a device, from one document each.

Decisions:

- Language models are built from the configs in `recipes/transformers_models.json`. `decode` is one step with
  `context_tokens` in the cache, `prefill` a prompt of `sequence_tokens` with logits for its last token, and other rows
  are a plain forward. Image models are those of torchvision, or of timm where it has none.
- Weights in blocks of a file format (`Q4_0`, `Q4_K_M`, `Q8_0`) are 4 or 8 bits wide with their scales, and widened as
  they are read; 4 bits have a scale and a zero point per 32, which is 5 bits per weight (4.5 to 4.9 in the files).
  `fp8` has fp8 operands of products with known scales, and `int8` 8-bit operands of products and convolutions, with
  all other tensors in bf16.
- Engines allocate a cache once and write keys and values into it; the cache of transformers appends them, which copies
  it. The copy of every decode step is left out.
- Engines fuse operators, so the execution is `compiled`; a GPU replays a `cuda_graph`. TensorRT folds batch norms into
  convolutions, and adds residuals and applies ReLU in their kernels.
- `batch` is of the whole device. Where `note` tells of processes side by side, they are instances of the model on equal
  parts of a CPU, and `batch` is shared between them.
- `image` rows of diffusion models are `_STEPS` steps of the denoiser with guidance, which is a batch of two. The
  decoder and the text encoders, a small part of the FLOPs, are left out.
- `part` is the table's own kind of device. Rows of `confidence` recalled, which nobody read again in their source, are
  a part of their own.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

import pyinfercost as ic
from pyinfercost._core import GraphRewriter
from pyinfercost.hardware.catalog_names import CATALOG
from pyinfercost.hardware.files import read_device

from ..captures import BATCH, Build, Capturing, Wanted, captured
from ..cases import Case, Group
from ..predict import reason_of
from ..recipes import config_of, diffusers_models, timm_models, torchvision_models, transformers_models

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..measured import Rows, Table

_STEPS, _GUIDED = 20, 2
_BUILDERS: dict[str, Build] = {
    "transformers": transformers_models.build,
    "torchvision": torchvision_models.build,
    "timm": timm_models.build,
    "diffusers": diffusers_models.build,
}
_OF_TIMM = ("inception_v4",)
_OF_TORCHVISION = {"vit_b_16_384": "vit_b_16"}
"""Names of torchvision that differ from those of the table."""
_WEIGHTS = {"Q4_0": "int4_wo:32", "Q4_K_M": "int4_wo:32", "Q8_0": "int8_wo", "fp8": "fp8_static"}
"""Formats of `whatif` by the table's names."""
_PRECISIONS = {"fp32": "fp32", "fp16": "fp16", "bf16": "bf16", "fp8": "bf16", "int8": "int8"}
"""Precisions by the table's names: what is not an operand of an fp8 product is bf16."""
_COLUMNS = (
    "kind", "device", "model", "precision", "quantisation", "kv_cache", "sequence_tokens", "context_tokens",
    "image_size", "threads", "instances", "phase", "engine", "confidence",
)  # fmt: skip


_PROCESSES = re.compile(r"(\d+) processes of \d+ cores")


def columns(table: Table) -> dict[str, list[str]]:
    """Return the number of processes side by side; empty for one."""
    found = [_PROCESSES.search(note) for note in table.text("note", "")]
    return {"instances": ["" if processes is None else processes[1] for processes in found]}


def cases(table: Table, capturing: Capturing) -> list[Case]:
    """Return the cases of the table of published models; `part` is the table's kind of device, see above."""
    measured_s = table.seconds()
    batches = np.array([int(text or 1) for text in table.text("batch", "")], dtype=np.int64)
    groups = [(dict(zip(_COLUMNS, key, strict=True)), rows) for key, rows in table.groups(*_COLUMNS)]
    models = [_wanted(row, np.unique(_batches(row, batches[rows])).tolist()) for row, rows in groups]
    graphs = {
        library: captured([one for one in models if one.library == library], build, capturing)
        for library, build in _BUILDERS.items()
    }
    found = []
    for (row, rows), model in zip(groups, models, strict=True):
        ran = _batches(row, batches)
        for some, graph in graphs[model.library].by_graph(model, ran, rows):
            if graph is None:
                table.problems.add(table.name, graphs[model.library].reason(model), row["model"], len(some))
                continue
            try:
                ran_graph = _quantized(graph, row)
                if row["phase"] == "decode":
                    ran_graph = _in_place(ran_graph)
                if row["engine"] == "TensorRT":
                    ran_graph = ic.engine_graph(ran_graph, "tensorrt")
            except ValueError as error:
                table.problems.add(table.name, reason_of(error), f"{row['device']} {row['model']}", len(some))
                continue
            sizes = {BATCH: ran[some]} if BATCH in graph.sizes else {}
            found.append(_case(table.name, row, ran_graph, sizes, measured_s[some], some))
    return found


def _batches(row: Mapping[str, str], batches: Rows) -> Rows:
    """Return the batches of the graph: those of one instance; guidance runs two samples for each."""
    return (batches * _GUIDED if row["phase"] == "image" else batches) // int(row["instances"] or 1)


def _wanted(row: Mapping[str, str], batches: list[int]) -> Wanted:
    """Return the model of a row."""
    model, phase, image_size = row["model"], row["phase"], row["image_size"]
    config = config_of(model)
    if config is not None:
        recipe = [("config", json.dumps(config, sort_keys=True)), ("attention", "")]
        length = ("context", row["context_tokens"]) if phase == "decode" else ("sequence", row["sequence_tokens"])
        phases = [("phase", phase)] if phase in ("prefill", "decode") else []
        return Wanted("transformers", model, tuple([*recipe, length, *phases]), tuple(batches))
    if phase == "image":
        return Wanted("diffusers", model, (("image_size", image_size),), tuple(batches))
    if model in _OF_TIMM:
        recipe = [("image_size", image_size), ("layout", "nchw"), ("parameters_m", "")]
        return Wanted("timm", model, tuple(recipe), tuple(batches))
    return Wanted("torchvision", _OF_TORCHVISION.get(model, model), (("image_size", image_size),), tuple(batches))


def _quantized(graph: ic.Graph, row: Mapping[str, str]) -> ic.Graph:
    """Return the graph in the formats of a row.

    Raises:
        ValueError: A format is unknown, or does not apply to the graph.
    """
    quantisation, kv_cache = row["quantisation"], row["kv_cache"]
    if quantisation in ("", row["precision"]) and quantisation not in _WEIGHTS:
        return graph
    if quantisation not in _WEIGHTS:
        raise ValueError(f"quantisation {quantisation} is unknown")
    return _rewritten(graph, _WEIGHTS[quantisation], kv_cache or None)


@lru_cache(maxsize=64)
def _in_place(graph: ic.Graph) -> ic.Graph:
    """Return the graph with keys and values written into caches instead of appended to copies of them."""
    rewriter = GraphRewriter(graph)
    for node in graph.nodes:
        if node.op == "aten.cat" and node.inputs[0].role == "kv_cache":
            cache, new = node.inputs
            place = rewriter.tensor("int64", (1,), role="input", name=f"position_{node.index}")
            rewriter.replace(node.index, "aten.index_copy_", {"self": cache, "dim": -2, "index": place, "source": new})
    return rewriter.build()


@lru_cache(maxsize=64)
def _rewritten(graph: ic.Graph, weights: str, kv_cache: str | None) -> ic.Graph:
    return ic.whatif(graph, quantize=weights, kv_cache=kv_cache)


def _case(
    table: str,
    row: Mapping[str, str],
    graph: ic.Graph,
    sizes: dict[str, Rows],
    measured_s: NDArray[np.float64],
    rows: Rows,
) -> Case:
    device, precision = row["device"], row["precision"]
    kind = read_device(CATALOG / f"{device}.toml", cataloged=True).kind
    execution = "cuda_graph" if kind == "gpu" else "compiled"
    label = f"{precision} {row['quantisation']}".strip() if row["quantisation"] != precision else precision
    part = row["kind"] + (", recalled" if row["confidence"] == "recalled" else "")
    group = Group(table, device, f"{row['model']} {row['phase']}, {row['engine']}", label, execution, part)
    return Case(
        group,
        graph,
        _PRECISIONS.get(precision, "native"),
        execution,
        sizes,
        measured_s,
        rows,
        row["model"],
        threads=int(row["threads"]) if row["threads"] and kind == "cpu" else None,
        instances=int(row["instances"] or 1),
        runs=_STEPS if row["phase"] == "image" else 1,
    )
