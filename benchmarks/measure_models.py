"""Measure whole models on this machine and write rows in the form of published tables.

    python -m benchmarks.measure_models --device-id my-cpu --out measured.csv [--models FILE] [--batch 1 8]
        [--execution eager compiled] [--precision fp32] [--threads N] [--device cpu|cuda] [--group N] [--lock FILE]
        [--real-time]

Columns: device, software, precision, layout, execution, model, image_size, batch, parameters_m, latency_ms. Rows that
are already in the file are not measured again, so an interrupted run can be resumed. Models are prepared (built,
compiled, warmed up) in groups, and each group is then timed without interruption. With `--lock`, other jobs that hold a
shared lock on that file wait during timing, as with `flock -s FILE command`. With `--real-time` (root on Linux), timing
runs with real-time priority: on a shared machine, a thread that loses its core for some milliseconds would delay all
others and distort the times. On glibc, the heap keeps freed memory; otherwise it would depend on earlier models in the
same process whether each forward maps its memory anew.
"""

from __future__ import annotations

import argparse
import csv
import gc
import os
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

COLUMNS = (
    "device", "software", "precision", "layout", "execution", "model", "image_size", "batch", "parameters_m",
    "latency_ms",
)  # fmt: skip

VISION = (
    "torchvision:alexnet", "torchvision:resnet18", "torchvision:resnet50", "torchvision:resnext50_32x4d",
    "torchvision:mobilenet_v2", "torchvision:mobilenet_v3_small", "torchvision:mobilenet_v3_large",
    "torchvision:shufflenet_v2_x1_0", "torchvision:squeezenet1_1", "torchvision:mnasnet1_0", "torchvision:googlenet",
    "torchvision:regnet_y_400mf", "torchvision:regnet_x_800mf", "torchvision:efficientnet_b0",
    "torchvision:densenet121", "torchvision:convnext_tiny", "torchvision:vit_b_16", "torchvision:swin_t",
    "torchvision:vgg11",
    "timm:resnet26d", "timm:resnet34", "timm:seresnet33ts", "timm:ghostnet_100", "timm:mobilenetv4_conv_small",
    "timm:efficientnet_lite0", "timm:tf_efficientnetv2_b0", "timm:rexnet_100", "timm:hardcorenas_a",
    "timm:lcnet_050", "timm:regnety_002", "timm:convnext_atto", "timm:convnextv2_pico", "timm:deit_tiny_patch16_224",
    "timm:vit_small_patch16_224", "timm:vit_tiny_patch16_224", "timm:mixer_s32_224", "timm:resmlp_12_224",
    "timm:poolformer_s12", "timm:xcit_nano_12_p16_224", "timm:cait_xxs24_224", "timm:levit_128", "timm:mobilevit_s",
    "timm:edgenext_xx_small", "timm:pit_ti_224", "timm:darknet53", "timm:repvgg_a0", "timm:hrnet_w18_small",
    "timm:dla34", "timm:efficientformer_l1", "timm:fastvit_t8", "timm:inception_next_tiny", "timm:crossvit_tiny_240",
    "timm:nf_resnet50", "timm:selecsls42b", "timm:vovnet39a",
)  # fmt: skip

LANGUAGE: dict[str, dict[str, Any]] = {
    "bert-mini": {"model_type": "bert", "hidden_size": 256, "num_hidden_layers": 4, "num_attention_heads": 4,
                  "intermediate_size": 1024},
    "bert-base": {"model_type": "bert"},
    "distilbert": {"model_type": "distilbert"},
    "electra-small": {"model_type": "electra"},
    "roberta-6": {"model_type": "roberta", "num_hidden_layers": 6},
    "gpt2-small": {"model_type": "gpt2"},
    "gpt2-mini": {"model_type": "gpt2", "n_embd": 384, "n_layer": 6, "n_head": 6},
    "opt-125m": {"model_type": "opt"},
    "llama-mini": {"model_type": "llama", "hidden_size": 512, "num_hidden_layers": 8, "num_attention_heads": 8,
                   "num_key_value_heads": 4, "intermediate_size": 1376, "vocab_size": 32000},
    "qwen2-mini": {"model_type": "qwen2", "hidden_size": 768, "num_hidden_layers": 6, "num_attention_heads": 12,
                   "num_key_value_heads": 2, "intermediate_size": 2048, "vocab_size": 32000},
    "t5-small": {"model_type": "t5"},
}  # fmt: skip


class Job(NamedTuple):
    """A row to measure."""

    spec: str
    batch: int
    execution: str


class Prepared(NamedTuple):
    """A forward that has been run once, with the other columns of its row."""

    job: Job
    image_size: str
    parameters_m: float
    forward: Callable[[], object]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device-id", required=True, help="name of this machine in the rows")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--models", type=Path, help="file with one spec per line; default: a list in this script")
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 8])
    parser.add_argument(
        "--execution",
        nargs="+",
        default=["eager", "compiled"],
        choices=["eager", "compiled", "cuda_graph", "reduce-overhead"],
    )
    parser.add_argument("--precision", default="fp32", choices=["fp32", "bf16", "fp16"])
    parser.add_argument("--threads", type=int)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--group", type=int, default=8, help="number of rows to prepare before timing them")
    parser.add_argument(
        "--seconds", type=float, default=1.0, help="duration of timed runs per row, plus a third of warm-up"
    )
    parser.add_argument("--lock", type=Path, help="held shared while preparing, exclusively while timing")
    parser.add_argument("--real-time", action="store_true", help="time with real-time priority (root on Linux)")
    parser.add_argument("--limit-s", type=float, default=float("inf"), help="start no group after this time")
    arguments = parser.parse_args()

    import torch

    from pyinfercost.measuring.heap import keep_freed_memory

    keep_freed_memory()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    specs = arguments.models.read_text().split() if arguments.models else [*VISION, *language_specs()]
    done = measured(arguments.out, arguments.device_id, arguments.precision)
    jobs = [Job(s, b, e) for s in specs for b in arguments.batch for e in arguments.execution]
    jobs = [job for job in jobs if (name_of(job.spec), str(job.batch), job.execution) not in done]
    start = time.monotonic()
    while jobs and time.monotonic() - start < arguments.limit_s:
        group, jobs = jobs[: arguments.group], jobs[arguments.group :]
        rows = measure_group(group, arguments)
        append(arguments.out, rows)
        print(f"{len(jobs)} rows left", file=sys.stderr)


def measure_group(group: list[Job], arguments: argparse.Namespace) -> list[dict[str, str]]:
    """Return the rows of some jobs; a job that cannot run is reported and has no row."""
    import torch

    from pyinfercost.measuring.clock import Budget, time_call
    from pyinfercost.measuring.heap import forget_freed_memory
    from pyinfercost.measuring.real_models import waiting_for

    wait = waiting_for(arguments.device)
    budget = Budget(warm_up_s=arguments.seconds / 3, measure_s=arguments.seconds)
    rows = []
    _models.clear()
    torch._dynamo.reset()  # not between models of a group, which would discard compiled code before timing
    gc.collect()
    prepared = []
    for job in group:
        with locked(arguments.lock, exclusive=False):  # one by one, so that waiting timers get a turn in between
            one = prepare(job, arguments)
        if one is not None:
            prepared.append(one)
    with locked(arguments.lock, exclusive=True):
        for one in prepared:
            forget_freed_memory()
            with first_in_line(arguments.real_time):
                timing = time_call(one.forward, budget, wait)
            spread = (timing.high_s - timing.low_s) / timing.median_s
            print(f"{one.job}  {timing.median_s * 1e3:.3f} ms  spread {spread:.2f}", file=sys.stderr)
            values = (
                arguments.device_id, f"pytorch {torch.__version__.split('+')[0]}", arguments.precision, "nchw",
                one.job.execution, name_of(one.job.spec), one.image_size, str(one.job.batch),
                f"{one.parameters_m:.2f}", f"{timing.median_s * 1e3:.4f}",
            )  # fmt: skip
            rows.append(dict(zip(COLUMNS, values, strict=True)))
    return rows


_models: dict[tuple[str, int], Any] = {}


def prepare(job: Job, arguments: argparse.Namespace) -> Prepared | None:
    """Build, compile and warm up; the execution modes of one model share its weights."""
    import torch

    from pyinfercost.measuring.real_models import forward_of, real_model

    try:
        key = (job.spec, job.batch)
        if key not in _models:
            _models[key] = real_model(path_of(job.spec), {"batch": job.batch}, arguments.device)
        loaded = _models[key]
        forward = forward_of(loaded, execution=job.execution, precision=arguments.precision)
        for _ in range(2):
            forward()
    except Exception:  # any error of a model's own code
        print(f"{job} cannot run:\n{traceback.format_exc(limit=3)}", file=sys.stderr)
        return None
    size = next((str(a.shape[-1]) for a in loaded.args if isinstance(a, torch.Tensor) and a.ndim == 4), "")
    return Prepared(job, size, sum(p.numel() for p in loaded.module.parameters()) / 1e6, forward)


def language_specs() -> list[str]:
    return [f"config:{name}" for name in LANGUAGE]


def path_of(spec: str) -> str:
    """Return the spec as `capture` takes it; a config of this script is first written to a file."""
    scheme, _, name = spec.partition(":")
    if scheme != "config":
        return spec
    import json

    folder = Path(tempfile.gettempdir()) / "measured-configs"
    folder.mkdir(exist_ok=True)
    path = folder / f"{name}.json"
    path.write_text(json.dumps(LANGUAGE[name]))
    return f"hf:{path}"


def name_of(spec: str) -> str:
    """Return a model's name in the rows: timm's own name as in published tables, else the whole spec."""
    return spec.removeprefix("timm:")


def measured(path: Path, device: str, precision: str) -> set[tuple[str, str, str]]:
    if not path.is_file():
        return set()
    with path.open(encoding="utf-8", newline="") as file:
        return {
            (row["model"], row["batch"], row["execution"])
            for row in csv.DictReader(file)
            if (row["device"], row["precision"]) == (device, precision)
        }


def append(path: Path, rows: list[dict[str, str]]) -> None:
    new = not path.is_file()
    with path.open("a", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        if new:
            writer.writeheader()
        writer.writerows(rows)


@contextmanager
def first_in_line(wanted: bool) -> Iterator[None]:
    """Give all threads of this process real-time priority within the context, including waiting pool threads."""
    if not wanted:
        yield
        return
    _schedule(os.SCHED_RR, 10)
    try:
        yield
    finally:
        _schedule(os.SCHED_OTHER, 0)


def _schedule(policy: int, priority: int) -> None:
    for thread in Path("/proc/self/task").iterdir():
        os.sched_setscheduler(int(thread.name), policy, os.sched_param(priority))


@contextmanager
def locked(path: Path | None, *, exclusive: bool) -> Iterator[None]:
    if path is None:
        yield
        return
    import fcntl

    with path.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH)
        yield


if __name__ == "__main__":
    main()
