"""Graphs of whole models: storage on disk, captures of missing ones, and reports of failures."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import pyinfercost as ic
from benchmarks.accuracy.captures import Capturing, Wanted, captured

Judge = Callable[..., int]
Output = pytest.CaptureFixture[str]

VISION = """\
device,software,precision,layout,execution,model,image_size,batch,parameters_m,latency_ms
rtx-3090,pytorch 9,amp_fp16,nchw,eager,test_resnet,160,256,0.47,5
rtx-3090,pytorch 9,amp_fp16,nhwc,eager,test_resnet,160,256,0.47,5
rtx-3090,pytorch 9,amp_fp16,nchw,compiled,test_resnet,160,64,0.47,1
core-i9-10940x,pytorch 9,fp32,nchw,eager,test_resnet,160,1,0.47,5
rtx-3090,pytorch 9,fp32,nchw,eager,test_repvit_from_the_future,160,1,1.0,5
rtx-3090,pytorch 9,fp32,nchw,eager,test_resnet,160,1,47.0,5
"""


class Builds:
    """Counts what is built; a graph with an open batch, or of one batch."""

    def __init__(self, *, opens: bool = True) -> None:
        self.calls: list[tuple[str, int | None]] = []
        self.opens = opens

    def __call__(self, wanted: Wanted, batch: int | None) -> ic.Graph:
        self.calls.append((wanted.model, batch))
        if wanted.model == "broken" or (batch is None and not self.opens):
            raise ValueError(f"no open batch of {wanted.model}")
        builder = ic.GraphBuilder(wanted.model)
        rows = builder.size("batch", default=2) if batch is None else batch
        before, after = builder.tensor("float32", [rows, 4], role="input"), builder.tensor("float32", [rows, 4])
        builder.node("aten.relu", {"self": before}, [after])
        return builder.build([before], [after])


def test_a_graph_is_captured_once(tmp_path: Path) -> None:
    builds, progress = Builds(), []
    some = [Wanted("lib", "a", (("image_size", 8),), (1, 2)), Wanted("lib", "b", (("image_size", 8),), (1,))]
    capturing = Capturing(tmp_path, workers=1, progress=lambda done, total: progress.append((done, total)))
    for _ in range(2):
        graphs = captured([*some, some[0]], builds, capturing)
        graph = graphs.graph(some[0], 7)
        assert graph is not None
        assert list(graph.sizes) == ["batch"]
        assert graphs.graph(some[0], 3) is graph, "loaded once"
    assert builds.calls == [("a", None), ("b", None)]
    assert progress == [(0, 2), (1, 2), (2, 2)]


def test_another_recipe_is_another_graph(tmp_path: Path) -> None:
    builds = Builds()
    for recipe in ((("layout", "nchw"),), (("layout", "nhwc"),), (("layout", "nchw"),)):
        captured([Wanted("lib", "a", recipe)], builds, Capturing(tmp_path, workers=1))
    assert len(builds.calls) == 2


def test_where_no_batch_can_be_open_each_is_captured(tmp_path: Path) -> None:
    builds = Builds(opens=False)
    wanted = Wanted("lib", "a", (), (1, 2))
    graphs = captured([wanted], builds, Capturing(tmp_path, workers=1))
    assert builds.calls == [("a", None), ("a", 1), ("a", 2)]
    shapes = [graph.inputs[0].shape for batch in (1, 2) if (graph := graphs.graph(wanted, batch))]
    assert shapes == [(1, 4), (2, 4)]
    assert graphs.graph(wanted, 3) is None
    captured([wanted], builds, Capturing(tmp_path, workers=1))
    assert len(builds.calls) == 3, "both were kept"


def test_why_a_model_has_no_graph(tmp_path: Path) -> None:
    broken = Wanted("lib", "broken", (), (1,))
    graphs = captured([broken, Wanted("lib", "a", ())], Builds(), Capturing(tmp_path, workers=1))
    assert graphs.graph(broken, 1) is None
    assert graphs.reason(broken) == "no open batch of broken"
    assert not [path for path in tmp_path.iterdir() if path.suffix != ".gz"], "nothing half written is left"


def test_vision_models(judge: Judge, measured: Path, tmp_path: Path, capsys: Output) -> None:
    pytest.importorskip("timm")
    (measured / "models_vision.csv").write_text(VISION, encoding="utf-8")
    assert judge("--table", "models_vision", "--format", "json") == 0
    captured = capsys.readouterr()
    rows = {
        (row["device"], row["precision"], row["execution"], row["part"]): row["rows"]
        for row in json.loads(captured.out)["rows"]
    }
    assert rows == {
        ("rtx-3090", "amp_fp16", "eager", "nchw"): 1,
        ("rtx-3090", "amp_fp16", "eager", "nhwc"): 1,
        ("rtx-3090", "amp_fp16", "compiled", "nchw"): 1,
        ("core-i9-10940x", "fp32", "eager", "nchw"): 1,
        ("all", "all", "all", "all"): 4,
    }
    assert "no such model: test_repvit_from_the_future" in captured.err
    assert "the parameter counts differ: test_resnet" in captured.err
    kept = {path: path.stat().st_mtime_ns for path in (tmp_path / "cache").rglob("*.gz")}
    assert len(kept) == 2, "one graph for all batches of a layout"
    assert judge("--table", "models_vision", "--format", "json") == 0
    assert capsys.readouterr().out == captured.out
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "cache").rglob("*.gz")} == kept


@pytest.mark.slow
def test_several_processes(tmp_path: Path) -> None:
    pytest.importorskip("timm")
    from benchmarks.accuracy.recipes import timm_models

    recipe = (("image_size", "64"), ("layout", "nchw"), ("parameters_m", ""))
    models = [Wanted("timm", name, recipe, (1,)) for name in ("test_resnet", "no_such_model", "test_efficientnet")]
    progress: list[tuple[int, int]] = []
    capturing = Capturing(tmp_path, workers=2, progress=lambda done, total: progress.append((done, total)))
    graphs = captured(models, timm_models.build, capturing)
    assert progress == [(0, 3), (1, 3), (2, 3), (3, 3)]
    resnet, missing, efficientnet = (graphs.graph(wanted, 1) for wanted in models)
    assert resnet is not None
    assert efficientnet is not None
    assert missing is None
    assert "no such model" in graphs.reason(models[1])
    (direct,) = captured([models[0]], timm_models.build, Capturing(tmp_path / "here", workers=1)).by_graph(
        models[0], np.array([4, 8]), np.array([0, 1])
    )
    assert direct[0].tolist() == [0, 1]
    assert direct[1] == resnet, "the same graph from another process"


def test_joined_branches_where_they_were_timed(tmp_path: Path) -> None:
    timm = pytest.importorskip("timm")
    from benchmarks.accuracy.recipes import timm_models

    nodes = []
    model = timm.create_model("repvgg_a0")
    joined = timm.utils.reparameterize_model(model)
    for timed in (model, joined):
        millions = f"{sum(p.numel() for p in timed.parameters()) / 1e6:.2f}"
        recipe = (("image_size", "64"), ("layout", "nchw"), ("parameters_m", millions))
        nodes.append(len(timm_models.build(Wanted("timm", "repvgg_a0", recipe), None)))
    assert nodes[1] < nodes[0]


def test_language_models(judge: Judge, measured: Path, capsys: Output) -> None:
    pytest.importorskip("transformers")
    config = {
        "model_type": "gpt2", "architectures": ["GPT2LMHeadModel"], "n_embd": 32, "n_head": 2, "n_layer": 2,
        "n_positions": 64, "vocab_size": 100,
    }  # fmt: skip
    header = "device,model,sequence,batch,fused,precision,latency_ms\n"
    lines = "".join(
        f"t4,{model},32,{batch},{fused},fp32,1\n"
        for model, batch, fused in [("small", 4, False), ("small", 4, True), ("small", 1, False), ("lost", 1, False)]
    )
    table = measured / "models_language_fp32.csv"
    table.write_text(header + lines, encoding="utf-8")
    (measured / "models_language_fp32.configs.json").write_text(json.dumps({"small": config}), encoding="utf-8")
    assert judge("--table", table.stem, "--format", "json") == 0
    captured = capsys.readouterr()
    fused, unfused, total = json.loads(captured.out)["rows"]
    assert (fused["execution"], fused["part"], fused["rows"]) == ("compiled", "fused", 1)
    assert (unfused["execution"], unfused["part"], unfused["rows"]) == ("eager", "unfused", 2)
    assert total["rows"] == 3
    assert "1 rows not predicted, it has no config: lost" in captured.err
