"""`serving.csv`: time per output token of language servers on several devices, with few clients.

Decisions, with evidence in the data:

- Rows of several devices with at most 8 clients in a closed loop: then a server computes decode steps of all clients,
  and a prefill for each answer. With more clients, queues and chunks of prompts decide, which no forward predicts.
- Predicted is a decode step at the number of clients and the context in the middle of an answer, and the prefills of
  the other clients, spread over the tokens of an answer: `step + prefill x (clients - 1) / answer`.
- The layout is that of the row: `tensor_parallel` devices, experts on `expert_parallel` of them. Weights are those of
  the row's precision; gpt-oss has mxfp4 weights whatever the row says, and a config of fp8 stays fp8.
- The host of a serving engine is fitted to steps of these servers; no other constant is.
"""

from __future__ import annotations

import importlib.metadata
import json
from typing import TYPE_CHECKING

import numpy as np

from pyinfercost import Layout
from pyinfercost.predict.plans import launched_graph

from ..captures import Wanted, captured
from ..cases import Case, Group, machine_key
from ..figures import Judged
from ..predict import Predicted, predict
from ..recipes import serving_models
from ..recipes.serving_models import DECODE, PREFILL
from ..roofline import roofline_s

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pyinfercost import Graph, Hardware

    from ..captures import Captured, Capturing
    from ..measured import Rows, Table

MOST_CLIENTS = 8
_PHASES = (DECODE, PREFILL)
_LAID = ("tensor_parallel", "pipeline_parallel", "attention_data_parallel", "expert_parallel")


def servers(table: Table, machines: Mapping[str, Hardware], capturing: Capturing) -> Judged:
    """Return the rows of servers on several devices, with the time per output token predicted."""
    chosen = _chosen(table)
    graphs = _graphs(chosen, capturing)
    steps, reads = [], []
    names = ("device", "server", "version", "model", "precision", *_LAID)
    for key, rows in chosen.groups(*names):
        device, server, version, model, precision, *laid = key
        found = [graphs[model, precision, phase] for phase in _PHASES if (model, precision, phase) in graphs]
        if len(found) < len(_PHASES):
            chosen.problems.add(table.name, "its model has no config, or no graph", model, len(rows))
            continue
        tensor, pipeline, attention_data, expert = map(int, laid)
        part = f"tensor {tensor}" + (f", experts {expert}" if expert > 1 else "")
        group = Group(table.name, device, f"{server} {version}".strip(), precision, "cuda_graph", part)
        try:
            layout = Layout(tensor=tensor, pipeline=pipeline, attention_data=attention_data, expert=expert)
            decode, prefill = (launched_graph(graph, server, layout) for graph in found)
        except ValueError as error:
            chosen.problems.add(table.name, f"the layout is refused: {error}", model, len(rows))
            continue
        steps.append(_case(chosen, rows, group, decode, model, DECODE))
        reads.append(_case(chosen, rows, group, prefill, model, PREFILL))
    return _judged(chosen, steps, reads, machines)


def _chosen(table: Table) -> Table:
    """Return the rows that are predicted; others are counted."""
    devices = np.prod([table.integers(name, 1) for name in _LAID[:3]], axis=0)
    clients = table.integers("concurrency")
    for reason, out in (
        ("one device, whose server is not a forward", devices == 1),
        (f"more than {MOST_CLIENTS} clients: queues decide", (devices > 1) & (clients > MOST_CLIENTS)),
    ):
        models = table.text("model")
        for row in np.flatnonzero(out).tolist():
            table.problems.add(table.name, reason, models[row])
    return table.only(np.flatnonzero((devices > 1) & (clients <= MOST_CLIENTS)).tolist())


def _graphs(table: Table, capturing: Capturing) -> dict[tuple[str, str, str], Graph]:
    wanted: dict[tuple[str, str, str], Wanted] = {}
    version = importlib.metadata.version("transformers")
    for (model, precision), _ in table.groups("model", "precision"):
        config = serving_models.config_of(model, precision)
        if config is None:
            continue
        for phase in _PHASES:
            recipe = (("config", json.dumps(config, sort_keys=True)), ("phase", phase), ("transformers", version))
            wanted[model, precision, phase] = Wanted("serving", model, recipe)
    found: Captured = captured(wanted.values(), serving_models.build, capturing)
    kept = {}
    for key, each in wanted.items():
        graph = found.graph(each, 1)
        if graph is None:
            table.problems.add(table.name, found.reason(each), key[0])
        else:
            kept[key] = graph
    return kept


def _case(table: Table, rows: Rows, group: Group, graph: Graph, model: str, phase: str) -> Case:
    clients, prompt, answer = (table.integers(name)[rows] for name in ("concurrency", "input_tokens", "output_tokens"))
    sizes = (
        {"batch": clients, "context": prompt + answer // 2}
        if phase == DECODE
        else {"batch": np.ones_like(clients), "sequence": prompt}
    )
    measured_s = table.seconds()[rows]
    return Case(group, graph, "native", group.execution, sizes, measured_s, rows, subject=model, sustained=True)


def _judged(table: Table, steps: list[Case], reads: list[Case], machines: Mapping[str, Hardware]) -> Judged:
    loaded = {machine_key(name, sustained=True): machine for name, machine in machines.items()} | dict(machines)

    def failed(case: Case, place: int, reason: str) -> None:
        del place
        table.problems.add(table.name, reason, case.subject)

    step, read = (predict(cases, loaded, failed) for cases in (steps, reads))
    rows = np.concatenate([case.rows for case in steps]) if steps else np.empty(0, dtype=np.int64)
    others = (table.integers("concurrency")[rows] - 1) / table.integers("output_tokens")[rows]
    groups = [case.group for case in steps for _ in range(len(case))]
    measured_s = np.concatenate([*(case.measured_s for case in steps), np.empty(0)])
    return Judged(
        groups,
        measured_s,
        Predicted(
            step.latency_s + others * read.latency_s,
            step.low_s + others * read.low_s,
            step.high_s + others * read.high_s,
        ),
        roofline_s(steps, loaded) + others * roofline_s(reads, loaded),
    )
