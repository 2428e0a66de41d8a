"""`open_loop_requests.csv`: requests of open-loop runs of vLLM with all their stamps, replayed by the simulator.

Decisions, with evidence in the data:

- A run is all rows of a device, a number of devices and a model. `open_loop_requests.settings.json` beside the table
  has the server's settings. What is not recorded has the engine's own value; vLLM 0.19 schedules asynchronously.
- Requests are replayed with their own arrivals and lengths. Prompts are texts of different users, without a common
  prefix, so that the prefix cache plays no part but after a preemption.
- Times of clients are those of the table, from the arrival on; the hand-over to the engine (30 and 133 ms on average)
  is not modeled.
- Beside the times of each request, there is one row for the means of a run.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np

from pyinfercost import Layout, Workload
from pyinfercost.serving.recorded_requests import RecordedRequests

from ..cases import Group
from ..figures import Judged
from ..predict import Predicted
from ..served import Deployments, Served, graphs_of, outcome, schedules_ahead

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pyinfercost import Hardware

    from ..captures import Capturing
    from ..measured import Rows, Table

_NAME = "open_loop_requests"
_PRECISIONS = {"bfloat16": "bf16", "float16": "fp16", "auto": "bf16"}
_SCHEDULER = ("max_num_seqs", "max_num_batched_tokens", "max_model_len")


def servers(table: Table, machines: Mapping[str, Hardware], capturing: Capturing) -> Judged:
    """Return the requests of all runs with their predicted latencies."""
    beside = table.path.with_suffix(".settings.json")
    known = json.loads(beside.read_text(encoding="utf-8")) if beside.is_file() else {}
    runs = [
        (rows, known.get(f"{device} x{count} {model}", {}), (device, count, model))
        for (device, count, model), rows in table.groups("device", "gpus", "model")
    ]
    models = [(model, _precision(model, settings)) for _, settings, (_, _, model) in runs]
    longest = int((table.integers("input_tokens") + table.integers("output_tokens")).max())
    deployments = Deployments(machines, graphs_of(models, table.name, table.problems, capturing), longest)
    found = []
    for rows, settings, (device, count, model) in runs:
        try:
            found.append(_run(table, rows, settings, (device, int(count), model), deployments))
        except ValueError as error:
            table.problems.add(table.name, " ".join(str(error).split())[:160], model, len(rows))
    return Judged.joined(found)


def _precision(model: str, settings: Mapping[str, Any]) -> str:
    if "fp8" in model.lower():
        return "fp8"
    return _PRECISIONS.get(settings.get("engine_arguments", {}).get("dtype", "auto"), "bf16")


def _run(
    table: Table, rows: Rows, settings: Mapping[str, Any], run: tuple[str, int, str], deployments: Deployments
) -> Judged:
    device, count, model = run
    given = settings.get("engine_arguments", {})
    name, _, version = settings.get("server", "vllm 0.19.0").partition(" ")
    tensor = int(given.get("tensor_parallel_size") or count)
    data = int(given.get("data_parallel_size") or 1)
    expert = tensor * data if given.get("enable_expert_parallel") else 1
    recorded = settings.get("scheduler")
    ahead = (
        bool(recorded["async_scheduling"])
        if isinstance(recorded, dict) and "async_scheduling" in recorded
        else schedules_ahead(name, version)
    )
    layout = Layout(tensor=tensor, data=data, expert=expert)
    served = Served(device, name, model, _precision(model, settings), layout, "", "async_scheduling" if ahead else "")
    costs = deployments.costs(served)
    if isinstance(costs, str):
        raise ValueError(costs)
    scheduler = {key: int(given[key]) for key in _SCHEDULER if given.get(key)}
    cache = settings.get("kv_cache")
    if isinstance(cache, dict) and cache.get("num_gpu_blocks"):
        scheduler["num_gpu_blocks"] = int(cache["num_gpu_blocks"])
    arrival, first, last = (
        np.array(table.columns[each], dtype=np.float64)[rows] for each in ("arrival_s", "first_token_s", "last_token_s")
    )
    prompt, output = (table.integers(each)[rows] for each in ("input_tokens", "output_tokens"))
    order = np.argsort(arrival, kind="stable")
    found = outcome(costs, Workload(trace=RecordedRequests.of(arrival, prompt, output)), scheduler)
    measured = {
        "e2e_s": (last - arrival)[order],
        "tpot_s": ((last - first) / np.maximum(output - 1, 1))[order],
        "ttft_s": (first - arrival)[order],
    }
    parts = []
    for quantity, values in measured.items():
        of_each = [getattr(each, quantity) for each in (found.predicted, found.low, found.high, found.roofline)]
        for label, reduce in (("", lambda array: array), ("mean ", lambda array: array.mean(keepdims=True))):
            latency, low, high, plain = map(reduce, of_each)
            title = {"e2e_s": "whole request", "tpot_s": "time per output token", "ttft_s": "time to first token"}
            group = Group(
                f"{_NAME}: {label}{title[quantity]}" if (label or quantity != "e2e_s") else _NAME,
                device,
                f"{name} {version}".strip(),
                served.precision,
                "cuda_graph",
                f"{model} x{count}",
            )
            places = np.full(1, -1) if label else rows[order]
            parts.append(Judged([group] * len(latency), reduce(values), Predicted(latency, low, high), plain, places))
    return Judged.joined(parts)
