"""`serving.csv`: times to the first token and per output token of language servers in a closed loop, simulated.

Decisions, with evidence in the data:

- The scheduler of the engine is simulated step by step (`pyinfercost.serve`), with as many clients as the row says.
- `origin` inferencex: 10 prompts for each client, lengths uniform in 0.8 to 1 of the nominal, a burst first; that is
  what the launch scripts say, and `serving.scripts.json` beside the table has their settings: tokens and sequences of a
  step, recorded sizes, format of the cache, asynchronous scheduling. Rows of that origin without a script are taken to
  have the settings of the others.
- Other origins tell neither flags nor client: fixed lengths in a burst, and for TensorRT-LLM N + 1 clients on N
  sequences. Their times to the first token follow that guess, and are told apart from those with a script.
- Rows of `origin` dynamo are judged like the others, though a single server does not explain them: with vLLM, 48
  clients of prompts of 4,000 tokens on two devices see a first token after 185 ms, which is one prompt, so that most
  clients must be on other servers.
- `queue_limited` rows have a table of their own, as have times to the first token and of whole requests. In some, less
  than a quarter of the clients get tokens at a time (Little's law), though the cache has room for all and no script
  tells a lower limit. A limit that nobody tells holds the others back; these rows are apart, too.
- vLLM 0.12 with Llama-3.1-8B in fp8 on H200, and vLLM of `origin` dynamo: a first token comes after the time of one
  prompt whatever the number of clients, and the times per output token leave no time for their prompts. They are those
  of decode steps alone, and compared with these.
- Models that TensorRT-LLM quantizes to fp8 have a cache of fp8: with one of 16 bits, 64 clients of 4,096 tokens would
  wait for 11 s on one device, and they see a first token after 1.6 s.
- Weights are those of the published checkpoint of the row's precision (`recipes/serving_models.json`); gpt-oss has
  mxfp4 weights in rows of fp8, too. A precision without a checkpoint is refused. Experts are loaded as `step_costs`
  assumes.
- The scripts of Llama-3.1-70B ask vLLM for a cache in fp8, and the runs on H100 had one of 16 bits: of 64 clients on 2
  devices 29 ran at 8,192 and 1,024 tokens, which fill the memory with 16 bits. With these, the three rows with a full
  queue are 1.3 % off in the time per output token and 4.7 % in that to the first one, with fp8 30 and 82 %; all others
  are 4.1 % off instead of 6.0 %. So fp8 is not applied to vLLM on devices of that family.
- vLLM schedules asynchronously from 0.14 on; then the host of a step is hidden.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from pyinfercost import Layout, Workload
from pyinfercost.serving.arrivals import ClosedLoop
from pyinfercost.serving.lengths import UniformLengths

from ..cases import Group
from ..figures import Judged
from ..predict import Predicted
from ..served import Costs, Deployments, Served, graphs_of, outcome, schedules_ahead

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pyinfercost import Hardware

    from ..captures import Capturing
    from ..measured import Table

TTFT, E2E = ": time to first token", ": whole request"
QUEUED = ", queue limited"
UNTOLD = ", limit untold"
_KNOWN = "inferencex"
_PROMPTS_OF_CLIENT = 10
_LEAST_LENGTH = 0.8
_LEAST_PROMPTS, _BURSTS = 32, 4
_WIDE_CACHES = ("h100", "h200", "gh200")
_OWN_FP8 = ("-FP8", "gpt-oss-120b")
"""Ends of names of models that are published in fp8 (or mxfp4) with a cache of 16 bits."""
_DECODES_ALONE = ("nvidia/Llama-3.1-8B-Instruct-FP8", "dynamo")
"""A model and an origin of rows of vLLM that time decode steps alone."""
_FEW = 0.25
_LAID = ("tensor_parallel", "pipeline_parallel", "attention_data_parallel", "expert_parallel")


def servers(table: Table, machines: Mapping[str, Hardware], capturing: Capturing) -> Judged:
    """Return the rows of a table of servers, with the latencies that the simulator predicts."""
    scripts = scripts_beside(table.path)
    models = list(zip(table.text("model"), table.text("precision"), strict=True))
    deployments = Deployments(machines, graphs_of(models, table.name, table.problems, capturing))
    columns = {name: table.text(name, "") for name in table.columns}
    rows: list[tuple[Group, float, float, float, float, float]] = []
    judged: list[int] = []
    for place in range(len(table)):
        row = {name: values[place] for name, values in columns.items()}
        try:
            rows += _judged(row, script_of(row, scripts), deployments)
            judged += [place] * (len(rows) - len(judged))
        except ValueError as error:
            reason = " ".join(str(error).split())[:160]
            table.problems.add(table.name, reason, row["model"])
    numbers = np.array([row[1:] for row in rows], dtype=np.float64).reshape(-1, 5)
    measured, latency, low, high, plain = numbers.T
    places = np.array(judged, dtype=np.int64)
    return Judged([row[0] for row in rows], measured, Predicted(latency, low, high), plain, places)


def scripts_beside(path: Path) -> dict[str, str]:
    """Return the launch scripts beside a table, by name."""
    beside = path.with_suffix(".scripts.json")
    if not beside.is_file():
        return {}
    return {name: entry["text"] for name, entry in json.loads(beside.read_text(encoding="utf-8")).items()}


def script_of(row: Mapping[str, str], scripts: Mapping[str, str]) -> str:
    """Return the launch script of a row; empty if it is unknown."""
    if row.get("script"):
        return scripts.get(row["script"], "")
    alike = [text for name, text in scripts.items() if name.startswith(_family(row["model"]))]
    return alike[-1] if alike and row.get("origin") == _KNOWN else ""


def _family(model: str) -> str:
    return re.sub(r"[^a-z0-9.]", "", model.rpartition("/")[2].lower())[:6]


def script_settings(script: str, clients: int) -> tuple[dict[str, Any], dict[str, Any], str]:
    """Return what a launch script of any engine says.

    Args:
        script: Its text; options are written `--a-b`, `--a_b=` or as YAML.
        clients: Value of `$CONC`.

    Returns:
        Settings of the scheduler, settings of steps, and the format of the cache; empty for that of the model.
    """

    def value(names: str) -> str | None:
        pattern = names.replace("-", "[-_]") + r"[ =:'\"]+(\$\{?CONC\}?(?![A-Z_])|[A-Za-z0-9_.]+)"
        found = re.search(pattern, script)
        return None if found is None else found[1]

    def number(names: str) -> int | None:
        text = value(names)
        if text is None:
            return None
        return clients if text.startswith("$") else int(text) if text.isdigit() else None

    scheduler = {
        "max_num_seqs": number("(?:max-num-seqs|max-running-requests|max-batch-size)"),
        "max_num_batched_tokens": number("(?:max-num-batched-tokens|max-prefill-tokens|max-num-tokens)"),
        "max_model_len": number("(?:max-model-len|context-length|max-seq-len)"),
        "chunked_prefill_size": number("chunked-prefill-size"),
    }
    ahead = re.search(r"(no[-_])?async[-_]scheduling(?:[ =:'\"]+(\w+))?", script)
    steps: dict[str, Any] = {}
    if ahead is not None:
        steps["async_scheduling"] = ahead[1] is None and (ahead[2] or "true").lower() != "false"
    largest = number("(?:cuda-graph-sizes|max-cudagraph-capture-size|cuda-graph-max-bs)")
    if largest is not None:
        steps["graph_batches"] = (1, 2, 4, *range(8, min(256, largest), 8), *range(256, largest + 1, 16))
    beside = re.search(r"kv_cache_config:(?:\n[ \t]+\w+:.*)*?\n[ \t]+dtype: *(\w+)", script)
    cache = value("kv-cache-dtype") or (beside[1] if beside else "auto")
    return (
        {name: each for name, each in scheduler.items() if each is not None},
        steps,
        "fp8" if cache.startswith("fp8") else "",
    )


def version_of(version: str) -> list[str]:
    """Return the setting of a version that has a number."""
    numbers = re.match(r"\d+\.\d+", version)
    return [] if numbers is None else [f"version={numbers[0]}"]


class Asked(NamedTuple):
    """One row, as it is simulated.

    Attributes:
        costs: Step costs of its server.
        workload: What its clients ask.
        scheduler: Settings of its scheduler.
        answer: Mean tokens of an answer.
        tensor: Devices that share a product.
    """

    costs: Costs
    workload: Workload
    scheduler: dict[str, Any]
    answer: float
    tensor: int


def asked(row: Mapping[str, str], script: str, deployments: Deployments) -> Asked:
    """Return what a row says of its server and clients.

    Raises:
        ValueError: There are no step costs.
    """
    clients, prompt, answer = (int(row[name]) for name in ("concurrency", "input_tokens", "output_tokens"))
    engine, version = row["server"], row.get("version", "")
    tensor, pipeline, attention_data, expert = (int(row.get(name) or 1) for name in _LAID)
    layout = Layout(tensor=tensor, pipeline=pipeline, attention_data=attention_data, expert=expert)
    scheduler, steps, cache = script_settings(script, clients)
    if engine == "trtllm" and row["precision"] == "fp8" and not row["model"].endswith(_OWN_FP8):
        cache = "fp8"
    if engine == "vllm" and row["device"].startswith(_WIDE_CACHES):
        cache = ""
    decided = steps.get("async_scheduling", schedules_ahead(engine, version))
    ahead = ["async_scheduling"] if decided and engine == "vllm" else []
    sizes = ["graph_batches=" + ":".join(map(str, steps["graph_batches"]))] if "graph_batches" in steps else []
    serving = ",".join([*ahead, *sizes, *version_of(version)])
    served = Served(row["device"], engine, row["model"], row["precision"], layout, cache, serving)
    costs = deployments.costs(served)
    if isinstance(costs, str):
        raise ValueError(costs)
    known = row.get("origin") == _KNOWN
    slots = clients
    if engine == "trtllm" and not known:  # of each copy
        scheduler["max_num_seqs"], clients = -(-slots // layout.copies), clients + 1
    workload = Workload(
        arrivals=ClosedLoop(clients=clients),
        prompt=UniformLengths(low=int(_LEAST_LENGTH * prompt), high=prompt) if known else prompt,
        output=UniformLengths(low=max(1, int(_LEAST_LENGTH * answer)), high=answer) if known else answer,
        requests=_PROMPTS_OF_CLIENT * slots if known else max(_BURSTS * slots, _LEAST_PROMPTS),
    )
    mean_answer = float(workload.output.mean) if workload.output is not None else answer
    return Asked(costs, workload, scheduler, mean_answer, tensor)


def _judged(
    row: Mapping[str, str], script: str, deployments: Deployments
) -> list[tuple[Group, float, float, float, float, float]]:
    made_of = asked(row, script, deployments)
    if row["server"] == "vllm" and not {row["model"], row.get("origin")}.isdisjoint(_DECODES_ALONE):
        return [_decode_step(row, made_of.costs)]
    found = outcome(made_of.costs, made_of.workload, made_of.scheduler)
    limited = ""
    if row.get("queue_limited") == "true":
        limited = UNTOLD if _has_untold_limit(row, made_of) else QUEUED
    part = ("script known" if row.get("known_script") == "true" else "client guessed") + f", {made_of.tensor} devices"
    ttft_s, tpot_s = float(row["ttft_ms"]) / 1e3, float(row["tpot_ms"]) / 1e3
    measured = {"": tpot_s, TTFT: ttft_s, E2E: ttft_s + tpot_s * (made_of.answer - 1)}
    made = []
    for table, name in (("", "tpot_s"), (TTFT, "ttft_s"), (E2E, "e2e_s")):
        group = _group(row, f"serving{limited}{table}", part)
        means = [float(getattr(each, name).mean()) for each in (found.predicted, found.low, found.high, found.roofline)]
        made.append((group, measured[table], *means))
    return made  # type: ignore[return-value]


def _group(row: Mapping[str, str], table: str, part: str) -> Group:
    engine = f"{row['server']} {row.get('version', '')}".strip()
    return Group(table, row["device"], engine, row["precision"], "cuda_graph", part)


def _has_untold_limit(row: Mapping[str, str], made_of: Asked) -> bool:
    """Return whether few clients get tokens, though caches of all fit and the server is not told to hold fewer."""
    clients = int(row["concurrency"])
    answer_ms = float(row["tpot_ms"]) * int(row["output_tokens"])
    if answer_ms > _FEW * (float(row["ttft_ms"]) + answer_ms):
        return False
    tokens = clients * (int(row["input_tokens"]) + int(row["output_tokens"]))
    holds = made_of.costs.predicted.pool_tokens
    return holds is not None and tokens <= holds and made_of.scheduler.get("max_num_seqs", clients) >= clients


def _decode_step(row: Mapping[str, str], costs: Costs) -> tuple[Group, float, float, float, float, float]:
    """Return a row of a server that times decode steps alone: at half of the answers."""
    context = int(row["input_tokens"]) + int(row["output_tokens"]) // 2
    step_s, plain_s = (float(each.step(int(row["concurrency"]), context)[0]) for each in costs)
    factor = 1 + costs.predicted.spread
    group = _group(row, "serving", f"decode steps alone, {row['tensor_parallel']} devices")
    return group, float(row["tpot_ms"]) / 1e3, step_s, step_s / factor, step_s * factor, plain_s
