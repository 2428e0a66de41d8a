"""`models_vision.csv`: a forward of a timm model, per batch.

Decisions, with evidence in the data:

- The model is `timm.create_model(model)`, on images of `image_size`. If the parameter count in a row is that after
  `timm.utils.reparameterize_model`, the model was timed with merged branches and is captured that way. Rows whose
  parameter count differs by more than 2 % from today's timm are left out.
- Execution and precision are in the table. `amp_fp16` and `amp_bf16` are predicted as such by a version with autocast,
  else as fp16 and bf16. `layout` is the part of a line; `nhwc` is `channels_last`, model and images.
- Under autocast, group norms stay narrow, as with timm's `fast_group_norm`: torch's own would run in fp32, and models
  with group norms would take 1.4 to 2 times the measured time. Layer norms of the same models match torch's.
- RTX boards are in desktop computers, whose hosts are faster than the default one.
- Batches differ between rows, so a graph has a symbolic batch and serves all of them.
"""

from __future__ import annotations

import weakref
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from pyinfercost import Graph, _core

from ..captures import BATCH, Capturing, Wanted, captured
from ..cases import Case, Group
from ..machines import desktop_of
from ..recipes import timm_models

if TYPE_CHECKING:
    from ..measured import Table

_WITHOUT_AUTOCAST = {"amp_fp16": "fp16", "amp_bf16": "bf16", "amp": "fp16"}


def cases(table: Table, capturing: Capturing) -> list[Case]:
    """Return the cases of the table of vision models, one per model, image size, layout, execution and precision."""
    batches = table.integers("batch")
    wanted: dict[tuple[str, ...], Wanted] = {}
    for key, rows in table.groups("model", "image_size", "layout", "parameters_m"):
        model, image_size, layout, parameters_m = key
        recipe = (("image_size", image_size), ("layout", layout or "nchw"), ("parameters_m", parameters_m))
        wanted[key] = Wanted("timm", model, recipe, tuple(np.unique(batches[rows]).tolist()))
    graphs = captured(wanted.values(), timm_models.build, capturing)
    measured_s = table.seconds()
    found = []
    names = ("model", "image_size", "layout", "parameters_m", "device", "software", "precision", "execution")
    for key, rows in table.groups(*names):
        model, _, layout, _, device, software, precision, execution = key
        group = Group(table.name, device, software, precision, execution or "eager", layout)
        run_precision = precision_of(precision)
        if run_precision is None or group.execution not in _core.executions():
            table.problems.add(table.name, "precision or execution unknown", f"{precision} {execution}", len(rows))
            continue
        for some, graph in graphs.by_graph(wanted[key[:4]], batches, rows):
            if graph is None:
                table.problems.add(table.name, graphs.reason(wanted[key[:4]]), model, len(some))
                continue
            ran = _with_fast_norms(graph) if precision in _WITHOUT_AUTOCAST else graph
            sizes = {BATCH: batches[some]} if BATCH in ran.sizes else {}
            host = desktop_of(device)
            found.append(
                Case(group, ran, run_precision, group.execution, sizes, measured_s[some], some, model, host=host)
            )
    return found


_fast: weakref.WeakKeyDictionary[Graph, Graph] = weakref.WeakKeyDictionary()


def _with_fast_norms(graph: Graph) -> Graph:
    """Return the graph with timm's group norms; the same object for the same graph, so that plans are shared."""
    if "aten.group_norm" not in graph.op_counts():
        return graph
    if graph not in _fast:
        data = graph.to_dict()
        for node in data["nodes"]:
            if node["op"].startswith("aten.group_norm"):
                node["op"] = "timm.fast_group_norm"
        _fast[graph] = Graph.from_dict(data)
    return _fast[graph]


@cache
def precision_of(label: str) -> str | None:
    """Return the package's name of a precision; None for an unknown one."""
    known = _core.precisions()
    if label in known:
        return label
    return _WITHOUT_AUTOCAST.get(label)
