"""Sinks whose library needs torch or a separate process: TensorBoard event files, and an offline run of W&B."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from math import nan
from pathlib import Path
from typing import Any

import pytest

from pyinfercost.monitor import TensorBoard, WandB, open_sink

pytestmark = pytest.mark.torch

FIGURES = {"cost/l4/latency_s": 0.25, "training/mfu": 0.5}


@pytest.fixture
def accumulator() -> Any:
    """Reads an event file."""
    pytest.importorskip("tensorboard", reason="needs tensorboard: pip install 'pyinfercost[tensorboard]'")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    def read(folder: Path) -> dict[str, list[tuple[int, float]]]:
        events = EventAccumulator(str(folder))
        events.Reload()
        return {name: [(one.step, one.value) for one in events.Scalars(name)] for name in events.Tags()["scalars"]}

    return read


def test_tensorboard(tmp_path: Path, accumulator: Any) -> None:
    sink = open_sink(f"tensorboard:{tmp_path / 'runs'}")
    assert not (tmp_path / "runs").exists()  # every process makes the sink, one writes
    sink.write(10, FIGURES)
    sink.write(20, {"cost/l4/latency_s": 1, "loss": nan})
    sink.close()
    sink.close()
    sink.write(30, {"cost/l4/latency_s": 2})
    sink.close()
    found = accumulator(tmp_path / "runs")
    assert found["cost/l4/latency_s"] == [(10, 0.25), (20, 1.0), (30, 2.0)]
    assert found["training/mfu"] == [(10, 0.5)]
    assert [step for step, _ in found["loss"]] == [20]


def test_tensorboard_leaves_a_given_writer_open(tmp_path: Path, accumulator: Any) -> None:
    from torch.utils.tensorboard import SummaryWriter

    with SummaryWriter(tmp_path) as writer:
        sink = TensorBoard(writer)
        sink.write(1, FIGURES)
        sink.close()
        assert accumulator(tmp_path)["training/mfu"] == [(1, 0.5)]
        writer.add_scalar("loss", 1.0, 2)
    assert accumulator(tmp_path)["loss"] == [(2, 1.0)]
    with pytest.raises(TypeError, match="got 3; expected a folder or a SummaryWriter"):
        TensorBoard(3)


def test_wandb_without_a_net(tmp_path: Path) -> None:
    wandb = pytest.importorskip("wandb", reason="needs wandb: pip install 'pyinfercost[wandb]'")
    sink = WandB(mode="offline", dir=str(tmp_path), settings=wandb.Settings(silent=True, console="off"))
    sink.write(10, FIGURES)
    run = wandb.run
    run.log({"loss": 1.0}, step=7)  # the run's own step goes on, whatever ours is
    sink.write(20, FIGURES)
    sink.close()
    assert wandb.run is None
    wandb.teardown()  # ends the process that writes
    rows, axes = stored(tmp_path)
    ours = [row for row in rows if "training/mfu" in row]
    assert [(row["cost/step"], row["cost/l4/latency_s"], row["training/mfu"]) for row in ours] == [
        (10, 0.25, 0.5),
        (20, 0.25, 0.5),
    ]
    assert [row["_step"] for row in rows if "loss" in row] == [7]
    assert axes == {"cost/*": "cost/step", "training/*": "cost/step"}


def stored(folder: Path) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """The rows of a run's file, and the axes that were declared."""
    from wandb.proto import wandb_internal_pb2

    (path,) = folder.rglob("*.wandb")
    rows, axes = [], {}
    for data in records(path.read_bytes()):
        record = wandb_internal_pb2.Record()
        record.ParseFromString(data)
        if record.HasField("history"):
            items = record.history.item
            rows.append({item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in items})
        if record.HasField("metric") and record.metric.glob_name:
            axes[record.metric.glob_name] = record.metric.step_metric
    return rows, axes


def records(data: bytes) -> Iterator[bytes]:
    """Records of a LevelDB log: blocks of 32 KiB, in them parts with checksum, length and kind."""
    place, record = 7, b""  # after W&B's own header
    while place < len(data):
        if 2**15 - place % 2**15 < 7:
            place += 2**15 - place % 2**15
            continue
        _, length, kind = struct.unpack("<IHB", data[place : place + 7])
        record += data[place + 7 : place + 7 + length]
        place += 7 + length
        if kind in {1, 4}:  # whole, or the last part
            yield record
            record = b""
