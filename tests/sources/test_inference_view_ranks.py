"""Inference views of modules that two processes train together equal those of a single process."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
import torch.distributed as dist
from support.paths import TESTS

pytestmark = pytest.mark.torch

CHECKS = ("ddp", "fsdp1", "fsdp1-flat", "fsdp2", "tensor-parallel", "pruned")


@pytest.fixture(scope="module")
def errors(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, str]]:
    """What both processes have to say: one run for all checks, since it takes seconds to start."""
    if not (dist.is_available() and dist.is_gloo_available()):
        pytest.skip("this torch has no gloo, with which processes without a GPU talk")
    file = tmp_path_factory.mktemp("ranks") / "meeting"
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(TESTS), *sys.path]),
        "OMP_NUM_THREADS": "1",
        "GLOO_SOCKET_IFNAME": "lo",
    }
    ranks = [
        subprocess.Popen(
            [sys.executable, str(TESTS / "support" / "inference_view_ranks.py"), str(rank), str(file)],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    try:
        said = [rank.communicate(timeout=120) for rank in ranks]
    finally:
        for rank in ranks:
            rank.kill()
    assert all(rank.returncode == 0 for rank in ranks), said
    return [json.loads(out.splitlines()[-1]) for out, _ in said]


@pytest.mark.slow
@pytest.mark.parametrize("check", CHECKS)
def test_what_processes_share_is_served_whole(check: str, errors: list[dict[str, str]]) -> None:
    for said in errors:
        assert said.keys() == set(CHECKS)
        assert not said[check], said[check]
