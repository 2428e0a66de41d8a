"""Store what the package answers, so that a redesign shows as a diff: `python -m support.snapshot FOLDER`.

`diff -r BEFORE AFTER` of two folders is empty where nothing changed. Stored are every form of every result for some
forty cases, the estimates of 200 random settings, the help of all commands, the machines of all devices, and the
autoscalers with their derived settings. Counts of the zoo have their own golden file.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import fields, is_dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import click
import numpy as np

import pyinfercost as ic
from pyinfercost import _core
from pyinfercost.cli import main as commands
from pyinfercost.inputs.autoscalers import KINDS, parse_autoscaler
from pyinfercost.monitor.log_report import report_log
from pyinfercost.report import forms, render

from . import advice_results, fleet_results, interface_cases, monitored_week
from .toy_graphs import blocks, transformer

_NOT_TEXT = ("view", "pandas", "arrow", "polars", "trace")
# Names of temporary folders, the date, and compressed data, in which both are.
_VARIES = re.compile(r"(?<=/)tmp[\\a-z0-9_]{8,10}|Written [-0-9]+ [:0-9]+ UTC|[A-Za-z0-9+/=]{500,}")
_SIZES = {"vision": {"batch": 8}, "language": {"batch": 8, "context": 1024}}


def _cases(folder: Path) -> Iterator[tuple[str, Callable[[], Any]]]:
    graphs, served = interface_cases.graphs(), interface_cases.served_graphs()
    for machine in ("l4", "h100-sxm-80gb", "epyc-7763", "tpu-v5e"):
        yield f"profile-resnet-{machine}", lambda m=machine: ic.profile(graphs["cnn"], hardware=m, price=1.0, batch=8)
    for engine in ("vllm", "sglang", "trtllm"):
        on = {"hardware": "h100-sxm-80gb", "engine": engine, "price": "on-demand", "layout": "tensor=2"}
        yield f"profile-llama-{engine}", lambda on=on: ic.profile(graphs["llama"], **on, **_SIZES["language"])
        yield f"estimate-moe-{engine}", lambda on=on: ic.estimate(graphs["moe"], **on, **_SIZES["language"])
    profile = ic.profile(blocks(), hardware="l4", price=1.0, batch=8)
    yield "counted", lambda: ic.profile(blocks())
    yield "counts", lambda: ic.count(graphs["vit"], batch=8)
    yield "changes", lambda: ic.compare(before=profile, after=ic.profile(profile, batch=16))
    yield (
        "sweep",
        lambda: ic.sweep(blocks(), hardware=["l4", "t4"], batch=[1, 8], precision=["fp16", "int8"], price=1.0),
    )
    on = {"hardware": ["h100-sxm-80gb", "l4"], "engine": "vllm", "layout": ["tensor=1", "tensor=2"]}
    yield "sweep-llama", lambda: ic.sweep(graphs["llama"], **on, batch=[1, 8], context=[128])
    yield "stored", lambda: ic.sweep(blocks(), hardware=["l4", "t4"], batch=[1, 8], out=folder / "grid")
    models = {"cnn": graphs["cnn"], "vit": graphs["vit"]}
    yield "comparison", lambda: ic.compare(models, hardware=["l4", "t4"], price=1.5, batch=[1, 8])
    yield "collective", lambda: ic.devices.collective("all_reduce", [1024, 2**20], hardware="h100-sxm-80gb", devices=8)
    yield "layouts", lambda: ic.find_layouts(transformer(heads=4), 4, hardware="h100-sxm-80gb")
    load = ic.Workload(arrivals="poisson:4", prompt=200, output=40, requests=200, seed=3)
    for number, case in enumerate(interface_cases.SERVED[:3]):
        at = ic.Deployment(hardware=case.machine, price=1.0, **case.way)
        yield f"serve-{number}", lambda c=case, a=at: ic.serve(served[c.model], on=a, workload=load, slo="ttft_p99<1")
    at = ic.Deployment(hardware="h100-sxm-80gb", engine="vllm", price="on-demand")
    for goal in ("rate", "replicas"):
        yield f"find-{goal}", lambda g=goal: ic.find_serving(g, served["llama"], on=at, workload=load, slo="ttft_p99<1")
    traffic = {"traffic": "diurnal:mean=2,peak=4,cv=2", "duration_s": 1800.0, "prompt": 200, "output": 40, "seed": 2}
    autoscalers = (
        "static",
        "kpa",
        "hpa",
        "ray",
        "sagemaker",
        "cloudrun",
        "zero",
        "seasonal",
        "scheduled:0=2",
        "oracle",
    )
    yield "fleet-served", lambda: ic.fleet(served["llama"], on=at, autoscaler=autoscalers, slo="ttft_p99<5", **traffic)
    yield "fleets", fleet_results.comparison
    yield "fleet", lambda: fleet_results.comparison().best
    yield "plan", fleet_results.plan
    yield "advice", advice_results.of_forward
    yield "advice-fleet", advice_results.of_fleet
    yield "advice-nothing", advice_results.of_nothing
    yield "sparsity", lambda: ic.sparsity(np.array([[0.0, 1.0, 0.0, 2.0]] * 4, dtype=np.float32))

    def log() -> Any:
        monitored_week.write_week(folder / "week.jsonl", days=2.0)
        return report_log(folder / "week.jsonl")

    yield "monitor", log


def _write(path: Path, value: Any, folder: Path) -> None:
    if not isinstance(value, str):
        value = "".join(value) if _is_pieces(value) else json.dumps(value, indent=1, sort_keys=True, default=_plain)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(_VARIES.sub("VARIES", value.replace(str(folder), "FOLDER")), encoding="utf-8")


def _is_pieces(value: Any) -> bool:
    return not isinstance(value, (dict, list, tuple)) and hasattr(value, "__next__")


def _plain(value: Any) -> Any:
    if is_dataclass(value):
        return {field.name: getattr(value, field.name) for field in fields(value)}
    return value.tolist() if hasattr(value, "tolist") else repr(value)


def _results(out: Path) -> None:
    with TemporaryDirectory() as name:
        folder = Path(name)
        for case, make in _cases(folder):
            try:
                result = make()
            except ic.Error as refused:
                _write(out / case / "error.txt", f"{type(refused).__name__}: {refused}\n", folder)
                continue
            for form in forms(result):
                if not form.startswith("plot") and form not in _NOT_TEXT:
                    _write(out / case / form, render(result, form), folder)


def _estimates(out: Path) -> None:
    for number, setting in enumerate(interface_cases.settings()):
        graph = interface_cases.graphs()[setting.model]
        try:
            found = ic.estimate(graph, on=interface_cases.deployment_of(setting), sizes=setting.sizes).to_dict()
        except ic.Error as refused:
            found = {"error": f"{type(refused).__name__}: {refused}"}
        _write(out / f"{number:03d}.json", {"setting": setting._asdict(), "found": found}, out)


def _help(out: Path) -> None:
    def walk(command: click.Command, names: tuple[str, ...]) -> None:
        with click.Context(command, info_name=" ".join(names), terminal_width=120) as context:
            _write(out / f"{'-'.join(names)}.txt", command.get_help(context), out)
            if isinstance(command, click.Group):
                for name in command.list_commands(context):
                    found = command.get_command(context, name)
                    if found is not None:
                        walk(found, (*names, name))

    walk(commands, ("pyinfercost",))


def _autoscalers(out: Path) -> None:
    names = ("concurrency", "rate_per_s", "mean_in_flight", "peak_in_flight", "cold_start_s")
    rows = ((8.0, 4.0, 20.0, 60.0, 30.0), (1.0, 0.1, 0.4, 3.0, 200.0))
    loads = [_core.ReplicaLoad(**dict(zip(names, row, strict=True))) for row in rows]
    texts = [
        *KINDS,
        "static:8",
        "scheduled:0=2,8=10",
        "kpa:target=45,stable_window_s=30",
        "hpa:keda=true,min_replicas=0",
        "ray:target_ongoing_requests=2",
        "cloudrun:concurrency=80",
        "sagemaker:target=100",
        "hpa:metric=utilization",
    ]
    for text in texts:
        found = parse_autoscaler(text)
        rows = [
            {"start": found.starts_with(load), "limit": found.limit_of(load, 5), "settings": found.stated(load)}
            for load in loads
        ]
        _write(out / f"{text.replace(':', '-')}.json", {"text": str(found), "repr": repr(found), "loads": rows}, out)


def main(target: str) -> None:
    """Write all parts below a folder."""
    out = Path(target)
    for part in (_help, _autoscalers, _estimates, _results):
        part(out / part.__name__.strip("_"))
    for name in ic.hardware.names():
        if not ic.hardware.describe(name)["missing"]:
            _write(out / "machines" / f"{name}.json", ic.hardware.load(name).to_json(), out)
    git = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
    click.echo(f"snapshot of {git} in {out}")


if __name__ == "__main__":
    main(*sys.argv[1:])
