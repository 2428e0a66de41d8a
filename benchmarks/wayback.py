"""Percentiles of a real engine's requests beside those of their replay: log, workload, calibration, simulation.

    python -m benchmarks.wayback --measured DIR [--hardware xeon-8480+ --threads 2]

The requests of `vllm_cpu_runs.csv` (vLLM on two cores) are appended to the log of a monitor every 15 s, as a monitor
in the process of the engine does. The log is exported as a workload (`export_workload`), step costs are corrected by
the means of the exported requests (`calibrate_serving`, four factors), and the workload is replayed (`serve`). Errors
of percentiles are replayed / measured - 1, in percent. An hour is all runs of one server, one after another with
pauses between them; runs may be corrected by another load of the same server, too. Settings are those of the server.
"""

from __future__ import annotations

import argparse
import csv
import json
import tempfile
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

import pyinfercost as ic
from pyinfercost.monitor.log import MonitorLog
from pyinfercost.monitor.recorded import export_workload
from pyinfercost.monitor.request_columns import RequestColumns
from pyinfercost.results.live import Snapshot, series
from pyinfercost.serving.serve import phases_of

Numbers = NDArray[np.float64]

TABLE, SETTINGS = "vllm_cpu_runs.csv", "vllm_cpu_runs.json"
START_S, INTERVAL_S = 1_780_000_000.0, 15.0
HOUR_S = 3600.0
PERCENTILES = (50, 90, 99)
TIMES = ("ttft_s", "tpot_s", "e2e_s")
SCHEDULER = ("max_model_len", "max_num_seqs", "max_num_batched_tokens", "enable_prefix_caching")
FEWER_BLOCKS = {"tiny_rate16_kv24": 24}
"""Runs whose server had fewer blocks of the KV cache than its memory holds."""


class Requests(NamedTuple):
    """Requests of one run, in seconds from its begin."""

    arrival_s: Numbers
    prompt: Numbers
    output: Numbers
    first_s: Numbers
    last_s: Numbers

    @property
    def times(self) -> dict[str, Numbers]:
        several = self.output > 1
        tpot = (self.last_s - self.first_s)[several] / (self.output[several] - 1)
        return dict(zip(TIMES, (self.first_s - self.arrival_s, tpot, self.last_s - self.arrival_s), strict=True))


def runs_of(folder: Path) -> dict[str, Requests]:
    """Return the requests of each run."""
    rows: dict[str, list[list[float]]] = defaultdict(list)
    with (folder / TABLE).open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            names = ("arrival_s", "input_tokens", "output_tokens", "first_token_s", "last_token_s")
            rows[row["run"]].append([float(row[name]) for name in names])
    return {name: Requests(*np.array(each).T) for name, each in rows.items()}


def one_after_another(runs: Sequence[Requests]) -> Requests:
    """Return an hour in which each run begins after an equal part of it."""
    parts = []
    for place, run in enumerate(runs):
        shift = place * HOUR_S / len(runs)
        parts.append(
            run._replace(arrival_s=run.arrival_s + shift, first_s=run.first_s + shift, last_s=run.last_s + shift)
        )
    return Requests(*map(np.concatenate, zip(*parts, strict=True)))


def logged(run: Requests, path: Path) -> None:
    """Append requests to a log when they end."""
    ended = np.floor(run.last_s / INTERVAL_S).astype(int)
    with MonitorLog(path, start_s=START_S) as log:
        for interval in range(int(ended.max()) + 1):
            chosen = ended == interval
            columns = RequestColumns.of(
                START_S + run.arrival_s[chosen], prompt_tokens=run.prompt[chosen], output_tokens=run.output[chosen],
                first_token_s=START_S + run.first_s[chosen], end_s=START_S + run.last_s[chosen],
            )  # fmt: skip
            total = {series("requests", outcome="ok"): float((ended <= interval).sum())}
            log.append(Snapshot(START_S + (interval + 1) * INTERVAL_S, total, info={"run": "1"}), columns)


def exported(run: Requests, folder: Path, name: str) -> Path:
    """Return the workload of a run that went through a log."""
    logged(run, folder / f"{name}.jsonl")
    return export_workload(folder / f"{name}.jsonl", folder / f"{name}.csv").path


def percentiles(times: Mapping[str, Numbers]) -> Numbers:
    return np.array([[np.percentile(times[name], each) for each in PERCENTILES] for name in TIMES])


def replayed(costs: ic.serving.StepCosts, path: Path, given: Mapping[str, Any]) -> Numbers:
    """Return the percentiles of a simulated workload."""
    found = ic.serve(costs, workload=ic.Workload.read(path), **given)
    return np.array([[getattr(found[name], f"p{each}") for each in PERCENTILES] for name in TIMES])


def line(name: str, how: str, errors: Numbers) -> str:
    cells = " | ".join(f"{100 * each:+.1f}" for each in errors.ravel())
    return f"| {name} | {how} | {cells} | {100 * np.abs(errors).mean():.1f} | {100 * np.abs(errors).max():.1f} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--measured", type=Path, required=True)
    parser.add_argument("--hardware", default="xeon-8480+")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    settings = json.loads((options.measured / SETTINGS).read_text(encoding="utf-8"))
    runs = runs_of(options.measured)
    on = ic.Deployment(hardware=options.hardware, threads=options.threads, engine="vllm")
    heads = " | ".join(f"{name.removesuffix('_s')} p{each}" for name in TIMES for each in PERCENTILES)
    print(f"| requests | step costs corrected by | {heads} | mean | greatest |")
    print("|---" * (len(PERCENTILES) * len(TIMES) + 4) + "|")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for model, config in settings["models"].items():
            (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
            phases = phases_of(f"hf:{folder}/config.json")
            costs = ic.serving.step_costs(
                phases.decode, phases.prefill, on=on, context=settings["server"]["max_model_len"]
            )
            costs = replace(costs, block_tokens=settings["server"]["block_size"])
            own = {each: runs[each] for each, about in settings["runs"].items() if about["model"] == model}
            judge(costs, own, folder, settings["server"], model)


def judge(
    costs: ic.serving.StepCosts, runs: dict[str, Requests], folder: Path, server: Mapping[str, Any], model: str
) -> None:
    """Print the errors of the runs of one model."""
    usual = [name for name in runs if name not in FEWER_BLOCKS]
    runs[f"{model}, an hour"] = one_after_another([runs[name] for name in usual])
    paths = {name: exported(run, folder, name) for name, run in runs.items()}
    given = {
        name: {
            **{each: server[each] for each in SCHEDULER},
            "num_gpu_blocks": FEWER_BLOCKS.get(name, server["kv_tokens"][model] // server["block_size"]),
        }
        for name in runs
    }
    corrected = {name: ic.calibrate_serving(costs, path, **given[name]).costs for name, path in paths.items()}
    for name, run in runs.items():
        measured = percentiles(run.times)
        others = [each for each in usual if runs[each] is not run and not same_load(runs[each], run)]
        for by in (name, *([] if name not in usual else others[:1])):
            errors = replayed(corrected[by], paths[name], given[name]) / measured - 1
            print(line(name, "itself" if by == name else by, errors), flush=True)
    for name in usual:
        for other in usual:
            if name < other and same_load(runs[name], runs[other]):
                errors = percentiles(runs[other].times) / percentiles(runs[name].times) - 1
                print(line(name, f"(not replayed: {other} beside it)", errors), flush=True)


def same_load(one: Requests, other: Requests) -> bool:
    return len(one.prompt) == len(other.prompt) and bool((one.prompt == other.prompt).all())


if __name__ == "__main__":
    main()
