"""`models_language_fp32.csv`: a forward of a transformers model in fp32, TF32 off, on `sequence` tokens.

Decisions, and what in the data speaks for them:

- The model is the class that the config's `architectures` name, built from `models_language_fp32.configs.json` beside
  the table; logits for every token. An encoder-decoder gets `sequence` tokens on both sides.
- Attention is `eager`: products and a softmax of their own. These runs are older than fused attention in
  transformers, the tables of single ops of the same source hold those products and softmaxes, and with it predicted /
  measured differs least between the models of one card (V100: 1.01 to 1.12; with fused attention 0.85 to 1.05).
- `fused` rows were run by a compiler that fuses operators, and are predicted as `compiled`: they take 11 to 15 %
  less, which no fused attention explains (BERT at 512 tokens gains most), and the prediction of both kinds is then
  off by the same factor. Others are `eager`. `part` says which.
- `switchxl4` is a Switch transformer of four experts, each token to one of them: equal shares, as everywhere where
  the routing is data."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..captures import BATCH, Capturing, Wanted, captured
from ..cases import Case, Group
from ..measured import MeasuredError
from ..recipes import transformers_models

if TYPE_CHECKING:
    from ..measured import Table

_ATTENTION = "eager"


def cases(table: Table, capturing: Capturing) -> list[Case]:
    """The cases of the table of language models."""
    batches, measured_s = table.integers("batch"), table.seconds()
    configs = _configs(table.path)
    wanted: dict[tuple[str, ...], Wanted] = {}
    for (model, sequence), rows in table.groups("model", "sequence"):
        if model not in configs:
            table.problems.add(table.name, "it has no config", model, len(rows))
            continue
        recipe = (
            ("config", json.dumps(configs[model], sort_keys=True)),
            ("sequence", sequence),
            ("attention", _ATTENTION),
        )
        wanted[model, sequence] = Wanted("transformers", model, recipe, tuple(np.unique(batches[rows]).tolist()))
    graphs = captured(wanted.values(), transformers_models.build, capturing)
    found = []
    for key, rows in table.groups("model", "sequence", "device", "software", "precision", "fused", "execution"):
        model, sequence, device, software, precision, fused, execution = key
        model_wanted = wanted.get((model, sequence))
        if model_wanted is None:
            continue
        compiled = fused.lower() in ("true", "1", "yes")
        group = Group(
            table.name,
            device,
            software,
            precision or "fp32",
            execution or ("compiled" if compiled else "eager"),
            "fused" if compiled else "unfused",
        )
        for some, graph in graphs.by_graph(model_wanted, batches, rows):
            if graph is None:
                table.problems.add(table.name, graphs.reason(model_wanted), model, len(some))
                continue
            sizes = {BATCH: batches[some]} if BATCH in graph.sizes else {}
            found.append(Case(group, graph, group.precision, group.execution, sizes, measured_s[some], some, model))
    return found


def _configs(table: Path) -> dict[str, object]:
    """The configs beside the table, by model."""
    path = table.with_suffix(".configs.json")
    if not path.is_file():
        raise MeasuredError(f"{table} needs the models' configs beside it, in {path.name}")
    try:
        configs: dict[str, object] = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise MeasuredError(f"{path} is no JSON: {error}") from None
    return configs
