"""A run with the tracker is bitwise equal to one without it: weights, optimizer, buffers, generators."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from support.identical_training import Picture, Text, assert_same, trained
from support.paths import TESTS

pytestmark = pytest.mark.torch


@pytest.mark.parametrize("kind", [Picture, Text])
@pytest.mark.parametrize(("autocast", "accumulation"), [(False, 1), (True, 1), (False, 3), (True, 2)])
@pytest.mark.sample(1)
def test_eager(kind: type[torch.nn.Module], autocast: bool, accumulation: int) -> None:
    ways = {"autocast": autocast, "accumulation": accumulation, "steps": 60}
    assert_same(trained(kind, tracked=False, **ways), trained(kind, tracked=True, **ways))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
@pytest.mark.parametrize("kind", [Picture, Text])
def test_compiled(kind: type[torch.nn.Module]) -> None:
    from torch._dynamo.utils import counters

    compilations = []
    runs = []
    for tracked in (False, True):
        torch._dynamo.reset()
        counters.clear()
        runs.append(trained(kind, tracked=tracked, compiled=True, autocast=True, accumulation=2))
        compilations.append((counters["stats"]["unique_graphs"], counters["frames"]["total"]))
    torch._dynamo.reset()
    assert_same(*runs)
    assert compilations[0] == compilations[1], "nothing is compiled again because of the tracker"


TWO_PROCESSES = """
import os, sys
sys.path.insert(0, sys.argv[1])
import torch
import torch.multiprocessing as processes
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FullyShardedDataParallel, fully_shard
from torch.nn.parallel import DistributedDataParallel
from support.identical_training import Picture, Text, assert_same, trained


def main(rank, port):
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=port)
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", rank=rank, world_size=2)
    wraps = {
        "ddp": DistributedDataParallel,
        "fsdp": lambda model: FullyShardedDataParallel(model, device_id=torch.device("cpu")),
        "fsdp, original": lambda model: FullyShardedDataParallel(
            model, device_id=torch.device("cpu"), use_orig_params=True
        ),
        "fully sharded": lambda model: fully_shard(model, mesh=init_device_mesh("cpu", (2,))),
    }
    costs = set()
    for kind, name, steps in (
        (Picture, "ddp", 200),
        (Text, "ddp", 200),
        (Text, "fsdp", 20),
        (Text, "fsdp, original", 20),
        (Text, "fully sharded", 20),
    ):
        records = []
        ways = dict(wrap=wraps[name], accumulation=2, steps=steps)
        plain = trained(kind, tracked=False, **ways)
        tracked = trained(
            kind, tracked=True, silent=rank != 0, sinks=lambda step, metrics: records.append(metrics), **ways
        )
        assert_same(plain, tracked)
        assert len(records) == (steps // 10 if rank == 0 else 0), "rank zero writes, and it alone"
        if records:
            assert records[-1]["training/total_device_h"] > 0
            assert records[-1]["training/mfu"] > 0
            assert records[-1]["sparsity/zero_share"] < 0.1
            if kind is Text:
                costs.add((records[-1]["cost/l4/latency_s"], records[-1]["cost/parameters"]))
    assert len(costs) == (rank == 0), "wrappers are not served"
    torch.distributed.destroy_process_group()
    print(f"rank {rank} is the same", flush=True)


if __name__ == "__main__":
    processes.spawn(main, (sys.argv[2],), nprocs=2)
"""


@pytest.mark.slow
@pytest.mark.skipif(not torch.distributed.is_available(), reason="this torch is built without torch.distributed")
def test_two_processes(tmp_path: Path) -> None:
    import socket

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    script = tmp_path / "two.py"
    script.write_text(TWO_PROCESSES, encoding="utf-8")
    result = subprocess.run(
        [sys.executable, script, TESTS, str(port)],
        capture_output=True,
        text=True,
        timeout=300,
        cwd=TESTS,
        check=False,
    )
    assert result.stdout.count("is the same") == 2, result.stderr[-3000:]
