"""Requests of a real engine, through a log and a workload to their replay."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from support.language_configs import spec_of
from support.paths import SHARED

import pyinfercost as ic
from benchmarks.wayback import SCHEDULER, SETTINGS, exported, one_after_another, percentiles, replayed, runs_of
from pyinfercost.serving.serve import phases_of

LIVE = SHARED / "live"
pytestmark = [
    pytest.mark.torch,
    pytest.mark.skipif(not LIVE.is_dir(), reason=f"{LIVE} is not there: no requests of a real engine"),
]
pytest.importorskip("transformers", reason="needs transformers: pip install 'pyinfercost[models]'")

LIMIT = 0.15


def test_an_hour_of_vllm_is_reproduced(tmp_path: Path) -> None:
    """The percentiles of three runs, one after another, within 15 % after the correction by their means."""
    settings = json.loads((LIVE / SETTINGS).read_text(encoding="utf-8"))
    server, runs = settings["server"], runs_of(LIVE)
    names = [name for name, about in settings["runs"].items() if about["model"] == "small"]
    hour = one_after_another([runs[name] for name in names])
    phases = phases_of(spec_of(tmp_path, settings["models"]["small"]))
    on = ic.Deployment(hardware="xeon-8480+", threads=2, engine="vllm")
    costs = ic.serving.step_costs(phases.decode, phases.prefill, on=on, context=server["max_model_len"])
    costs = replace(costs, block_tokens=server["block_size"])
    given = {name: server[name] for name in SCHEDULER}
    given["num_gpu_blocks"] = server["kv_tokens"]["small"] // server["block_size"]
    path = exported(hour, tmp_path, "hour")
    measured = percentiles(hour.times)
    corrected = ic.calibrate_serving(costs, path, **given).costs
    errors = replayed(corrected, path, given) / measured - 1
    assert np.abs(errors).max() < LIMIT
    assert np.abs(errors[2]).max() < 0.06, "whole requests"
    plain = replayed(costs, path, given) / measured - 1
    assert np.abs(plain).mean() > 0.3, "without the correction, the replay is that of a faster machine"
