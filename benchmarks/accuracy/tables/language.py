"""`models_language_fp32.csv`: a forward of a transformers model in fp32, TF32 off, on `sequence` tokens.

Decisions, with evidence in the data:

- The model is the class named by the config's `architectures`, built from `models_language_fp32.configs.json` next to
  the table, with logits for every token. An encoder-decoder gets `sequence` tokens on both sides.
- Attention is `eager`: separate products and a softmax. These runs predate fused attention in transformers, the tables
  of single operators of the same source contain those products and softmaxes, and with it predicted / measured differs
  least between the models of one card (BERT, GPT and OPT on V100: 1.01 to 1.12; with fused attention 0.85 to 1.05).
- `fused` rows were run by a compiler that fuses operators, and are predicted as `compiled`: they take 11 to 15 % less,
  most for BERT at 512 tokens, where attention is least, and as compiled they are predicted within 8 %. Others are
  `eager`. `part` tells them apart.
- `switchxl4` is a Switch transformer of four experts, with one expert per token and equal shares, as everywhere for
  data-dependent routing.
"""

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
    """Return the cases of the table of language models."""
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
    """Return the configs next to the table, by model."""
    path = table.with_suffix(".configs.json")
    if not path.is_file():
        raise MeasuredError(f"{table} needs the models' configs in the same folder, in {path.name}")
    try:
        configs: dict[str, object] = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise MeasuredError(f"{path} is not JSON: {error}") from None
    return configs
